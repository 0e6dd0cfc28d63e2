"""What the conformance suite needs of a datapath under test, and the packets it sends."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from vswitch.dpif.actions import Actions
from vswitch.dpif.ops import Execute, FlowDel, FlowGet, FlowPut, FlowStats, Upcall
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifError, PutFlags
from vswitch.flow.extract import extract
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.packet.checksum import csum
from vswitch.packet.parse import Parser

MAC_A = bytes.fromhex("02000000000a")
MAC_B = bytes.fromhex("02000000000b")


class Lab(ABC):
    """One datapath provider, with devices to attach. A case gets a fresh one."""

    port_type = "system"
    """The type that `device`s are attached as."""

    @abstractmethod
    def open(self) -> Dpif:
        """A newly made datapath with its local port and nothing else."""

    @abstractmethod
    def device(self) -> str:
        """Make a device that is up; its name. It is not attached to the datapath yet."""

    @abstractmethod
    def inject(self, device: str, packet: bytes) -> None:
        """`packet` arrives at `device` from outside."""

    @abstractmethod
    def transmitted(self, device: str) -> list[bytes]:
        """What the datapath sent out of `device` since the last call."""

    @abstractmethod
    def turn(self, dpif: Dpif) -> None:
        """Let the datapath do what it has to do: a turn of `run`, or a moment's sleep."""

    @abstractmethod
    def close(self) -> None:
        """Remove datapath and devices."""

    # What follows is the same for every provider.

    def attach(self, dpif: Dpif) -> tuple[str, int]:
        """A new device, attached: its name and port number."""
        name = self.device()
        return name, dpif.port_add(name, self.port_type)

    def settle(self, dpif: Dpif, turns: int = 5) -> None:
        for _ in range(turns):
            self.turn(dpif)

    def sent(self, dpif: Dpif, device: str, wanted: int = 1) -> list[bytes]:
        """Wait until `device` has sent `wanted` packets (or 3 s); those it sent."""
        got: list[bytes] = []
        deadline = time.monotonic() + 3
        while len(got) < wanted and time.monotonic() < deadline:
            self.turn(dpif)
            got += self.transmitted(device)
        return got

    def upcalls(self, dpif: Dpif, wanted: int = 1, limit: int = 50) -> list[Upcall]:
        """Wait until `wanted` upcalls came (or 3 s)."""
        got: list[Upcall] = []
        deadline = time.monotonic() + 3
        while len(got) < wanted and time.monotonic() < deadline:
            self.turn(dpif)
            got += dpif.recv(limit)
        return got


def udp(sport: int = 1000, dport: int = 2000, payload: bytes = b"payload", src: str = "10.0.0.1",
        dst: str = "10.0.0.2", ttl: int = 64, tos: int = 0) -> bytes:
    """An Ethernet frame with UDP over IPv4, no UDP checksum."""
    return _ip(17, sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + (8 + len(payload)).to_bytes(2, "big")
               + b"\0\0" + payload, src, dst, ttl, tos)


def tcp(flags: int, sport: int = 1000, dport: int = 80, src: str = "10.0.0.1",
        dst: str = "10.0.0.2") -> bytes:
    """An Ethernet frame with a TCP header over IPv4 and these flags."""
    header = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + bytes(8) + bytes((0x50, flags)) + b"\x10\0"
    return _ip(6, header + bytes(4), src, dst, 64, 0)


def _ip(proto: int, l4: bytes, src: str, dst: str, ttl: int, tos: int) -> bytes:
    addresses = bytes(map(int, src.split("."))) + bytes(map(int, dst.split(".")))
    head = bytes((0x45, tos)) + (20 + len(l4)).to_bytes(2, "big") + b"\0\1\0\0" + bytes((ttl, proto))
    check = int(csum(head + b"\0\0" + addresses)).to_bytes(2, "big")
    return MAC_B + MAC_A + b"\x08\x00" + head + check + addresses + l4


def key_of(packet: bytes, in_port: int) -> Flow:
    """The packet's flow at datapath port `in_port`."""
    flow = Flow()
    flow.in_port = in_port
    extract(packet, flow, Parser())
    return flow


def mask_of(*names: str) -> Flow:
    """The mask of a datapath flow over IPv4 that decides by the named fields too."""
    mask = Flow()
    for name in ("in_port", "packet_type", "recirc_id", "dl_type", "vlan_tci", "nw_frag", *names):
        if name == "vlan_tci":
            mask.vlan_tci = 0xFFFF
        elif name == "nw_frag":
            mask.nw_frag = 3
        else:
            mask.set_ones(by_name(name))
    return mask


def same_mask(a: Flow, b: Flow) -> bool:
    """Whether two masks decide by the same bits; not every datapath has a packet type in its key."""
    a, b = a.copy(), b.copy()
    a.packet_type = b.packet_type = 0
    return a == b


ALL_UDP = ("dl_src", "dl_dst", "nw_src", "nw_dst", "nw_proto", "udp_src", "udp_dst")


def ufid_of(n: int) -> bytes:
    return n.to_bytes(16, "big")


def flow_put(packet: bytes, in_port: int, actions: Actions, n: int = 1,
             fields: tuple[str, ...] = ("nw_proto",),
             flags: PutFlags = PutFlags.CREATE | PutFlags.MODIFY, want_stats: bool = False) -> FlowPut:
    """The flow that `packet` belongs to under the mask of `fields`; its ufid is number `n`."""
    key, mask = key_of(packet, in_port), mask_of(*fields)
    return FlowPut(key.masked(mask), mask, actions, ufid_of(n), flags, want_stats)


def put(dpif: Dpif, packet: bytes, in_port: int, actions: Actions, n: int = 1,
        fields: tuple[str, ...] = ("nw_proto",), flags: PutFlags = PutFlags.CREATE | PutFlags.MODIFY) -> None:
    """Put the flow, which must succeed."""
    op = flow_put(packet, in_port, actions, n, fields, flags)
    dpif.operate([op])
    assert op.error == 0, f"flow put: errno {op.error} {op.detail}"


def get(dpif: Dpif, packet: bytes, in_port: int, n: int = 1,
        fields: tuple[str, ...] = ("nw_proto",)) -> FlowGet:
    op = FlowGet(key_of(packet, in_port).masked(mask_of(*fields)), ufid_of(n))
    dpif.operate([op])
    return op


def stats_of(dpif: Dpif, packet: bytes, in_port: int, n: int = 1) -> FlowStats:
    op = get(dpif, packet, in_port, n)
    assert op.error == 0, f"flow get: errno {op.error}"
    assert op.flow is not None
    return op.flow.stats


def delete(dpif: Dpif, packet: bytes, in_port: int, n: int = 1) -> FlowDel:
    op = FlowDel(key_of(packet, in_port).masked(mask_of("nw_proto")), ufid_of(n))
    dpif.operate([op])
    return op


def execute(dpif: Dpif, packet: bytes, actions: Actions, in_port: int = 0) -> Execute:
    op = Execute(packet, key_of(packet, in_port), actions)
    dpif.operate([op])
    return op


def errno_of(call: object, *args: object) -> int:
    """The errno of the DpifError that `call(*args)` raises; 0 if it raises none."""
    assert callable(call)
    try:
        call(*args)
    except DpifError as e:
        return e.errno or 0
    return 0
