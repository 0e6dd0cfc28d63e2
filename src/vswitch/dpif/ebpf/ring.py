"""Packets on their way up: what the programs put into the ring, and how it becomes a `Frame` again.

A record is a header of `HEADER` bytes and the packet. Records have a few sizes (the verifier wants to know
them), the largest for a GSO packet of 64 KB. A port has a quota of the ring's bytes: `sent` minus `taken`,
both in its element of the mapped array `ports`; beyond it its packets are lost, and counted there. So
whoever floods the ring loses nobody's packets but its own.

What the device said of a packet's checksum is in `struct sk_buff` only, and read from there where BTF says
that it is.
"""

from __future__ import annotations

import functools
import struct
from typing import Final, NamedTuple

from vswitch.base.records import dataclass
from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.frame import KEY, SCRATCH
from vswitch.dpif.ebpf.key import K_HASH, K_MARK, K_RECIRC
from vswitch.dpif.ebpf.lookup import count
from vswitch.dpif.ebpf.tables import Counter, Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.btf import VmlinuxBtf
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, U8, U16, U32, U64, Helper, Reg
from vswitch.ebpf.map import MMAPABLE, NO_PREALLOC, Map, MapType
from vswitch.ebpf.ring import Ring
from vswitch.netdev.frame import GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VNET_NEEDS_CSUM, Frame
from vswitch.packet.numbers import IPPROTO_TCP

RING_SIZE: Final = 16 << 20
QUOTA: Final = 512 << 10
"""Bytes of the ring that one port may fill."""
LOCAL: Final = 1 << 31
"""In `UpRing.numbers`: the port is a tap. What the host sends to it and the kernel doesn't know goes to the
tap itself, as without a program."""
QUOTA_PORTS: Final = 4096
"""Ports with a number above share the quota of another."""
PORT_WORDS: Final = 8
P_SENT, P_LOST, P_TAKEN, P_PACKETS = range(4)
"""Words of a port's element: bytes sent and taken, packets lost and sent."""
HEADER: Final = 64 + 48
SIZES: Final = (192, 1984, 16384, 65536 + 256)
"""Sizes of records, without the header."""
MISS: Final = 0
ACTION: Final = 1
TUNNEL_MISS: Final = 2
"""Kinds of records. The last has a `TunnelKey` behind the header's other fields, at TUNNEL_AT."""
TUNNEL_AT: Final = 64
_TUNNEL_KEY: Final = struct.Struct("=I16sBBHI16sI")
CHECKSUM_PARTIAL: Final = 3
"""`ip_summed` of <linux/skbuff.h>."""
_RECORD = struct.Struct("=11I5HBx")
TCP_CWR: Final = 0x80
TCP_CSUM: Final = 16
UDP_CSUM: Final = 6
"""Where the checksum stands in the header."""


@dataclass(frozen=True)
class SkbLayout:
    """Where `struct sk_buff` of the running kernel has what no context field tells."""

    head: int
    data: int
    csum_start: int
    csum_offset: int
    ip_summed: int
    ip_summed_shift: int


@functools.cache
def skb_layout() -> SkbLayout:
    """As the kernel's BTF has it. BtfError; OSError: it has none."""
    btf = VmlinuxBtf(("sk_buff",))
    summed = btf.member("sk_buff", "ip_summed")

    def offset(member: str) -> int:
        return btf.member("sk_buff", member).offset

    return SkbLayout(offset("head"), offset("data"), offset("csum_start"), offset("csum_offset"),
                     summed.offset, summed.bit % 8)


class TunnelKey(NamedTuple):
    """`struct bpf_tunnel_key`, and the version of the outer IP."""

    id: int
    remote: bytes
    tos: int
    ttl: int
    flags: int
    label: int
    local: bytes
    version: int


class Record(NamedTuple):
    """A record's header."""

    size: int
    """Of the packet in this record."""
    ifindex: int
    kind: int
    """MISS or ACTION."""
    recirc_id: int
    mark: int
    dp_hash: int
    argument: int
    """Of an ACTION: which."""
    slot: int
    skb_hash: int
    gso_size: int
    length: int
    """Of the whole packet."""
    csum_start: int
    csum_offset: int
    vlan_tci: int
    vlan_proto: int
    vlan_present: int
    summed: int
    tunnel: TunnelKey | None = None
    """Of a TUNNEL_MISS."""


class UpRing:
    """The ring with its quotas."""

    def __init__(self, layout: SkbLayout) -> None:
        self.layout = layout
        self.ring = Ring("vs_up", RING_SIZE)
        try:
            self.quotas = Map(MapType.ARRAY, 4, 8 * PORT_WORDS, QUOTA_PORTS, "vs_quotas", MMAPABLE)
            self.numbers = Map(MapType.HASH, 4, 4, 2 * QUOTA_PORTS, "vs_ports", NO_PREALLOC)
            self.words = self.quotas.mapped()
        except OSError:
            self.ring.close()
            raise

    def add_port(self, ifindex: int, number: int, local: bool) -> None:
        """Packets from interface `ifindex` go on the account of port `number`, which begins anew."""
        at = number % QUOTA_PORTS * PORT_WORDS
        for word in range(PORT_WORDS):
            self.words[at + word] = 0
        self.numbers.put(ifindex, number % QUOTA_PORTS | (LOCAL if local else 0))

    def remove_port(self, ifindex: int) -> None:
        """Packets of the interface go up no more."""
        self.numbers.delete(ifindex)

    def account(self, number: int) -> tuple[int, int, int]:
        """(packets sent up, bytes of the ring in use, packets lost) of port `number`."""
        at = number % QUOTA_PORTS * PORT_WORDS
        words = self.words
        return words[at + P_PACKETS], words[at + P_SENT] - words[at + P_TAKEN], words[at + P_LOST]

    def take(self, max_records: int) -> list[tuple[Record, bytes]]:
        """Up to `max_records` records, with their packets."""
        got: list[tuple[Record, bytes]] = []
        for view in self.ring.take(max_records):
            record = Record(*_RECORD.unpack_from(view))
            if record.kind == TUNNEL_MISS:
                record = record._replace(tunnel=TunnelKey._make(_TUNNEL_KEY.unpack_from(view, TUNNEL_AT)))
            got.append((record, bytes(view[HEADER : HEADER + record.size])))
        if got:
            self.ring.done()
        return got

    def taken(self, number: int, size: int) -> None:
        """A record of port `number` for a packet of `size` bytes has been taken."""
        self.words[number % QUOTA_PORTS * PORT_WORDS + P_TAKEN] += room(size)

    def close(self) -> None:
        self.ring.close()
        self.quotas.close()
        self.numbers.close()


def room(size: int) -> int:
    """Bytes of the ring that a packet of `size` takes."""
    return next(n for n in SIZES if size <= n) + HEADER


def emit(a: Asm, t: Tables, up: UpRing, kind: int, done: str, local: str = "") -> None:
    """Send the packet up whole, on the account of its port, and go on at `done`; at `local`, if given, with
    what came from a tap or a port that is none any more.

    A MISS takes its metadata from the classifier's key, an ACTION from `skb->cb`, its argument from
    SCRATCH + 40. Uses R7 to R9.
    """
    layout = up.layout

    def name(text: str) -> str:
        return f"up.{text}"

    a.note("up the ring")
    a.load(U32, R1, R6, f.C_IFINDEX)
    a.store(U32, R10, SCRATCH, R1)
    a.map(R1, up.numbers)
    a.frame(R2, SCRATCH)
    a.call(Helper.map_lookup_elem)
    a.jump_if(R0, "==", 0, local or done)
    a.load(U32, R1, R0, 0)
    if local:
        a.jump_if(R1, "&", LOCAL, local, wide=False)
    a.and_(R1, QUOTA_PORTS - 1)
    a.store(U32, R10, SCRATCH, R1)
    a.map(R1, up.quotas)
    a.frame(R2, SCRATCH)
    a.call(Helper.map_lookup_elem)
    a.jump_if(R0, "==", 0, done)
    a.mov(R7, R0)
    a.load(U64, R1, R7, 8 * P_SENT)
    a.load(U64, R2, R7, 8 * P_TAKEN)
    a.sub(R1, R2)
    a.jump_if(R1, ">", QUOTA, name("lost"))

    def read(where: int, size: int, offset: int) -> None:
        a.frame(R1, where)
        a.mov(R2, size)
        a.mov(R3, R6)
        a.add(R3, offset)
        a.call(Helper.probe_read_kernel)

    read(SCRATCH, 8, layout.head)
    read(SCRATCH + 8, 8, layout.data)
    read(SCRATCH + 16, 2, layout.csum_start)
    read(SCRATCH + 18, 2, layout.csum_offset)
    read(SCRATCH + 20, 1, layout.ip_summed)
    a.load(U32, R8, R6, f.C_LEN)
    for n in SIZES:
        a.jump_if(R8, "<=", n, name(f"size.{n}"))
    a.jump(name("lost"))
    for n in SIZES:
        a.label(name(f"size.{n}"))
        a.map(R1, up.ring.map)
        a.mov(R2, n + HEADER)
        a.mov(R3, 0)
        a.call(Helper.ringbuf_reserve)
        a.jump_if(R0, "==", 0, name("lost"))
        a.mov(R9, R0)
        _header(a, kind, layout)
        a.mov(R4, R8)
        # "== 0" would tell older verifiers nothing of the least that R4 is then.
        a.jump_if(R4, "<", 1, name(f"empty.{n}"))
        a.jump_if(R4, ">", n, name(f"empty.{n}"))
        a.mov(R1, R6)
        a.mov(R2, 0)
        a.mov(R3, R9)
        a.add(R3, HEADER)
        a.call(Helper.skb_load_bytes)
        a.label(name(f"empty.{n}"))
        a.mov(R1, R9)
        a.mov(R2, 0)
        a.call(Helper.ringbuf_submit)
        a.mov(R1, n + HEADER)
        a.atomic_add(R7, 8 * P_SENT, R1)
        a.mov(R1, 1)
        a.atomic_add(R7, 8 * P_PACKETS, R1)
        a.jump(name("sent"))
    a.label(name("lost"))
    a.mov(R1, 1)
    a.atomic_add(R7, 8 * P_LOST, R1)
    count(a, t, Counter.LOST)
    a.jump(done)
    a.label(name("sent"))
    count(a, t, Counter.UP)
    a.jump(done)


def _header(a: Asm, kind: int, layout: SkbLayout) -> None:
    """Fill the record's header at R9; R8 is the size."""

    def copy(size: int, base: Reg, offset: int, to: int) -> None:
        a.load(size, R1, base, offset)
        a.store(size, R9, to, R1)

    a.store(U32, R9, 0, R8)
    copy(U32, R6, f.C_IFINDEX, 4)
    a.store(U32, R9, 8, kind)
    if kind == TUNNEL_MISS:
        for n in range(0, _TUNNEL_KEY.size, 8):
            copy(U64, R10, f.TUNNEL + n, TUNNEL_AT + n)
    if kind != ACTION:
        copy(U32, R10, KEY + K_RECIRC, 12)
        copy(U32, R10, KEY + K_MARK, 16)
        copy(U32, R10, KEY + K_HASH, 20)
        a.store(U64, R9, 24, 0)
    else:
        a.store(U32, R9, 12, 0)
        copy(U32, R6, f.CB_MARK, 16)
        copy(U32, R6, f.CB_DP_HASH, 20)
        copy(U32, R10, SCRATCH + 40, 24)
        copy(U32, R6, f.CB_SLOT, 28)
    copy(U32, R6, f.C_HASH, 32)
    copy(U32, R6, f.C_GSO_SIZE, 36)
    copy(U32, R6, f.C_LEN, 40)
    a.load(U64, R1, R10, SCRATCH)
    a.load(U64, R2, R10, SCRATCH + 8)
    a.sub(R2, R1)
    a.load(U16, R1, R10, SCRATCH + 16)
    a.sub(R1, R2)
    a.store(U16, R9, 44, R1)
    copy(U16, R10, SCRATCH + 18, 46)
    copy(U32, R6, f.C_VLAN_TCI, 48)
    a.load(U32, R1, R6, f.C_VLAN_PROTO)
    a.be(R1, 16)
    a.store(U16, R9, 50, R1)
    a.load(U32, R1, R6, f.C_VLAN_PRESENT)
    a.store(U16, R9, 52, R1)
    a.load(U8, R1, R10, SCRATCH + 20)
    a.shr(R1, layout.ip_summed_shift)
    a.and_(R1, 3)
    a.store(U8, R9, 54, R1)


def up_and_out(a: Asm, t: Tables, up: UpRing, again: bool, tunnel: bool) -> None:
    """Label "odd": the packet goes up, and is gone here. What the host sends goes on to the tap, unless it
    has been recirculated, of which the tap would know nothing."""
    a.label("odd")
    emit(a, t, up, TUNNEL_MISS if tunnel else MISS, "shot", "" if again or tunnel else "pass")
    if not again and not tunnel:
        a.label("pass")
        a.ret(f.TC_UNSPEC)


def frame_of(record: Record, data: bytes) -> Frame:
    """The packet as a device would have handed it over: tag in place, offload state as virtio_net has it."""
    shift = 0
    if record.vlan_present:
        tag = record.vlan_proto.to_bytes(2, "big") + record.vlan_tci.to_bytes(2, "big")
        data = data[:12] + tag + data[12:]
        shift = 4
    if record.summed != CHECKSUM_PARTIAL:
        return Frame(data)
    start = record.csum_start + shift
    gso, header = GSO_NONE, 0
    if record.gso_size and record.size == record.length and start + 20 <= len(data):
        if record.csum_offset == TCP_CSUM:
            gso = GSO_TCPV4 if _ip_version(data, start, IPPROTO_TCP) == 4 else GSO_TCPV6
            header = start + (data[start + 12] >> 4) * 4
            if data[start + 13] & TCP_CWR:
                gso |= GSO_ECN
        elif record.csum_offset == UDP_CSUM:
            gso, header = GSO_UDP_L4, start + 8
    return Frame(data, VNET_NEEDS_CSUM, gso, header, record.gso_size if gso else 0, start, record.csum_offset)


def _ip_version(data: bytes, l4: int, protocol: int) -> int:
    """Of the IP header in front of `l4`, which in a tunnel that the host made isn't the frame's first one."""
    at = l4 - 40
    return 6 if at >= 14 and data[at] >> 4 == 6 and data[at + 6] == protocol else 4
