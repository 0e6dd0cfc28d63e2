"""Action lists as the kernel's interpreter reads them, and which actions it can do.

A list is a sequence of items of 8 bytes: operation, flag, where the next operation begins (in bytes from the
list's start), and a 32-bit argument; `Op` says what each takes, and SET has more items behind it. Whether an
action fits depends on what came before it: tags are counted, and nothing may change a packet that a later
copy still wants as it was. What doesn't fit is refused with `Unfit`, and the flow stays in userspace.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.dpif import actions as act
from vswitch.dpif.drop_reasons import DROP_REASONS
from vswitch.dpif.ebpf.frame import net16, net32
from vswitch.dpif.ebpf.key import Unfit, exact_type
from vswitch.dpif.ebpf.tables import LIST_SIZE, OTHER_REASON
from vswitch.dpif.ebpf.walk import MPLS, any_of, labels
from vswitch.dpif.odp_nested import tunnel_into
from vswitch.flow import key_attr as attr
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
    ETH_TYPE_RARP,
)

MAX_OPS: Final = 32
"""Operations that one packet can go through."""
GROUP: Final = 8
"""Outputs of one OUTPUTS."""
MAX_TAGS: Final = 2
"""VLAN tags that a packet can be given."""
ITEM: Final = struct.Struct("=BBHI")
SET_REST: Final = struct.Struct("=BBBx4x16s16s")


SET_TUNNEL_KEY: Final = struct.Struct("=II12xBB6xI12x4x")
"""struct bpf_tunnel_key, filled up to whole items."""
ZERO_CSUM_TX, DONT_FRAGMENT = 2, 4
"""BPF_F_ZERO_CSUM_TX, BPF_F_DONT_FRAGMENT."""


class Op(IntEnum):
    """Operations, with their flag and argument."""

    END = 0
    OUTPUT = 1
    """To interface `argument`; flag: into the host's stack. A copy."""
    OUTPUT_LAST = 2
    """The same, with the packet itself: nothing follows."""
    PUSH_VLAN = 3
    """Argument: TPID in network order, TCI in the upper half."""
    POP_VLAN = 4
    SET_VLAN = 5
    """Argument: bits of the TCI that stay, bits that are set in the upper half."""
    SET = 6
    """Bytes of the packet (`SET_REST`: `Base`, offset, length, value, mask). Argument: `Fix` bits."""
    UP = 7
    """A copy goes up as an action's; argument: the number by which the provider knows it."""
    SET_MARK = 8
    """Argument: the bits; the mask is the next item's argument."""
    SET_PRIORITY = 9
    """Argument: the class."""
    RECIRC = 10
    """Look up again as `argument`. Nothing follows."""
    SAMPLE = 11
    """Go on with probability argument/2**32, else at the next item's argument."""
    IF_LONGER = 12
    """Go on if the frame is longer than argument, else at the next item's argument."""
    TRUNC = 13
    """Cut the packet to `argument` bytes."""
    DEC_TTL = 14
    """Argument: `Fix` bits. What has none left goes up, to have its exception in userspace."""
    METER = 15
    """Go on unless meter `argument` is exceeded. Flag: `Fix.IPV4`, `Fix.IPV6` or 0, for bands that remark."""
    HASH = 16
    """Make `skb->cb`'s dp_hash from basis `argument`. Flag: `HASH_SYMMETRIC` and so on."""
    WHOLE = 17
    """What is a GSO packet goes up, to have all of its actions in userspace."""
    PUSH_MPLS = 18
    """Argument: the label stack entry in network order; the next item's the Ethernet type, likewise."""
    POP_MPLS = 19
    """Argument: the Ethernet type of what is below, in network order. Flag: the label is part of what the
    device summed up, for it came with the packet."""
    SET_DP_HASH = 20
    """Argument: the bits; the mask is the next item's argument."""
    DROP = 22
    """The packet ends here; argument: the number of the reason that counts it."""
    OUTPUTS = 21
    """Copies to up to GROUP interfaces, whose numbers follow, 0 behind the last; bit n of the flag: the n-th
    is into the host's stack."""
    SET_TUNNEL = 23
    """The tunnel's key (`SET_TUNNEL_KEY`) follows. Argument: flags of bpf_skb_set_tunnel_key."""


HASH_SYMMETRIC: Final = 1
HASH_IPV6: Final = 2
HASH_ARP: Final = 4
HASH_ETHERNET: Final = 8
HASH_NOTHING: Final = 16
"""Flags of HASH; without any, the fields of IPv4 count."""


class Base(IntEnum):
    """What an offset counts from."""

    L2 = 0
    L3 = 1
    L4 = 2


class Fix(IntEnum):
    """What else changes with bytes that are set."""

    IPV4 = 1
    """The IPv4 header's checksum."""
    L4 = 2
    """The checksum of TCP, UDP, ICMP or ICMPv6."""
    PSEUDO = 4
    """The bytes are part of L4's pseudo header, not of its own."""
    IPV6 = 8
    """It is an IPv6 packet."""
    WHOLE = 16
    """No checksum of IPv4 covers the bytes, so that the device's sum over all (CHECKSUM_COMPLETE) changes."""


@dataclass
class Code:
    """An action list under construction: `data` so far, and what is known of the packet there."""

    key: Flow
    mask: Flow
    output: Callable[[int], tuple[int, bool, int]]
    """Datapath port -> interface, whether output to it is into the host's stack, and the UDP port of a tunnel
    (else 0). Unfit."""
    cookie: Callable[[act.Userspace, int], int]
    """The number by which the provider knows an upcall action that wants so many bytes (0: all)."""
    meter: Callable[[int], tuple[int, bool]]
    """Datapath meter -> its number in the kernel, and whether it remarks. Unfit."""
    came_by_tunnel: bool = False
    """The packets' tunnel is known to the device only: nothing that goes up may want it."""
    data: bytearray = field(default_factory=bytearray)
    n_ops: int = 0
    eth_type: int = -1
    tags: int = -1
    """VLAN tags that the packet has; -1: not known."""
    labels: int = 0
    """Labels that were pushed."""
    emitted: bool = False
    """Something has left already, or the packet was changed."""
    cut: int = 0
    """To how many bytes the next output is truncated; 0: not at all."""
    tunnel_port: int = 0
    """The UDP port of the tunnel that was set; 0: none was."""

    def __post_init__(self) -> None:
        self.eth_type = exact_type(self.key, self.mask)
        if self.mask.vlan_tci & at.VLAN_CFI:
            self.tags = 1 if self.key.vlan_tci & at.VLAN_CFI else 0

    def add(self, op: Op, argument: int = 0, flag: int = 0, rest: bytes = b"") -> None:
        """Append an operation. Unfit if there is no room."""
        after = len(self.data) + ITEM.size + len(rest)
        self.n_ops += 1
        if after > LIST_SIZE or self.n_ops > MAX_OPS - 1:
            raise Unfit("it has too many actions")
        self.data += ITEM.pack(op, flag, after, argument & 0xFFFFFFFF) + rest


def compile_list(code: Code, actions: act.Actions) -> bytes:
    """The list of `actions`, ended. Unfit."""
    if code.came_by_tunnel and any_of(actions, _UP_BY_TUNNEL):
        raise Unfit("it sends up, or looks up again, what came out of a tunnel")
    n = 0
    while n < len(actions) - 1 and _polices(actions[n]):
        n += 1
    # What goes up whole has been policed, and is not again.
    _compile(code, actions[:n], last=False)
    if labels(actions):
        code.add(Op.WHOLE)
    _compile(code, actions[n:], last=True)
    return bytes(code.data) + bytes(ITEM.size)


_UP_BY_TUNNEL: Final = (*MPLS, act.Userspace, act.Recirc, act.DecTtl)


def _compile(code: Code, actions: Sequence[act.Action], last: bool) -> None:
    n = 0
    while n < len(actions):
        action = actions[n]
        run = _outputs_from(actions, n)
        if last and n + len(run) == len(actions):
            run = run[:-1]
        if len(run) > 2 and not code.cut:
            _output_many(code, run[:GROUP])
            n += len(run[:GROUP])
            continue
        maker = _MAKERS.get(type(action))
        if maker is None:
            raise Unfit(_NOT_HERE.get(type(action), f"it has action {type(action).__name__.lower()}"))
        maker(code, action, last and n == len(actions) - 1)
        n += 1


def _outputs_from(actions: Sequence[act.Action], n: int) -> list[int]:
    """The ports of the outputs that follow each other from action n on."""
    ports: list[int] = []
    for action in actions[n:]:
        if not isinstance(action, act.Output):
            break
        ports.append(action.port)
    return ports


def _output_many(code: Code, ports: Sequence[int]) -> None:
    """Copies to all of `ports`, GROUP at most, by one operation."""
    interfaces, locals_ = [0] * GROUP, 0
    for n, port in enumerate(ports):
        interfaces[n], local = _target(code, port)
        locals_ |= int(local) << n
    code.add(Op.OUTPUTS, 0, locals_, struct.pack(f"={GROUP}I", *interfaces))
    code.emitted = True


def _output(code: Code, action: act.Output, last: bool) -> None:
    ifindex, local = _target(code, action.port)
    if code.cut:
        if not last:
            raise Unfit("it truncates a packet of which a copy goes on")
        code.add(Op.TRUNC, code.cut)
    code.cut = 0
    code.emitted = True
    code.add(Op.OUTPUT_LAST if last else Op.OUTPUT, ifindex, int(local))


def _target(code: Code, port: int) -> tuple[int, bool]:
    """Interface, and whether output to it is into the host's stack. Unfit."""
    ifindex, local, tunnel_port = code.output(port)
    if tunnel_port and tunnel_port != code.tunnel_port:
        raise Unfit("it outputs to a tunnel, and doesn't say which")
    return ifindex, local


def _push_vlan(code: Code, action: act.PushVlan, last: bool) -> None:
    if code.tags < 0 or code.tags == MAX_TAGS:
        raise Unfit("it pushes a third VLAN tag" if code.tags > 0 else "it pushes a tag onto who knows what")
    code.add(Op.PUSH_VLAN, net16(action.tpid) | (action.tci & 0xEFFF) << 16)
    code.tags += 1
    code.emitted = True


def _pop_vlan(code: Code, action: act.PopVlan, last: bool) -> None:
    if code.tags < 0:
        raise Unfit("it pops a tag that may not be there")
    if code.tags:
        code.add(Op.POP_VLAN)
        code.tags -= 1
        code.emitted = True


def _set_vlan(code: Code, value: bytes, mask: bytes) -> None:
    if code.tags < 1:
        raise Unfit("it changes a tag that may not be there")
    bits, ones = (int.from_bytes(b, "big") & 0xEFFF for b in (value, mask))
    code.add(Op.SET_VLAN, ~ones & 0xEFFF | (bits & ones) << 16)


def _bytes(code: Code, base: Base, offset: int, value: bytes, mask: bytes, fix: int) -> None:
    """Set bytes of a header, of which `value` is a multiple of four."""
    if any(mask):
        value = bytes(v & m for v, m in zip(value, mask, strict=True))
        code.add(Op.SET, fix, 0, SET_REST.pack(base, offset, len(value), value, mask))


def _need(code: Code, *eth_types: int) -> None:
    """The packet is of one of `eth_types`, and its headers are where the program looks for them."""
    if code.eth_type not in eth_types:
        raise Unfit("it sets a header that may not be there")
    if code.tags > 1:
        raise Unfit("it changes what is behind two VLAN tags")


def _set_ethernet(code: Code, value: bytes, mask: bytes) -> None:
    # struct ovs_key_ethernet has the source first, the header the destination.
    _bytes(code, Base.L2, 0, value[6:] + value[:6], mask[6:] + mask[:6], 0)


def _set_ipv4(code: Code, value: bytes, mask: bytes) -> None:
    """struct ovs_key_ipv4: source, destination, protocol, TOS, TTL, fragment."""
    _need(code, ETH_TYPE_IP)
    _bytes(code, Base.L3, 12, value[:8], mask[:8], Fix.IPV4 | Fix.L4 | Fix.PSEUDO)
    _bytes(code, Base.L3, 0, bytes((0, value[9], 0, 0)), bytes((0, mask[9], 0, 0)), Fix.IPV4)
    _bytes(code, Base.L3, 8, bytes((value[10], 0, 0, 0)), bytes((mask[10], 0, 0, 0)), Fix.IPV4)


def _set_ipv6(code: Code, value: bytes, mask: bytes) -> None:
    """struct ovs_key_ipv6: source, destination, label, protocol, traffic class, hop limit, fragment."""
    _need(code, ETH_TYPE_IPV6)
    for n, offset in ((0, 8), (16, 24)):
        _bytes(code, Base.L3, offset, value[n : n + 16], mask[n : n + 16],
               Fix.IPV6 | Fix.L4 | Fix.PSEUDO | Fix.WHOLE)

    def first(data: bytes) -> bytes:
        return (int.from_bytes(data[32:36], "big") & 0xFFFFF | data[37] << 20).to_bytes(4, "big")

    _bytes(code, Base.L3, 0, first(value), first(mask), Fix.IPV6 | Fix.WHOLE)
    _bytes(code, Base.L3, 4, bytes((0, 0, 0, value[38])), bytes((0, 0, 0, mask[38])), Fix.IPV6 | Fix.WHOLE)


def _l4(code: Code, protocol: int) -> int:
    """The `Fix` bits for L4's own bytes, which must be there."""
    _need(code, ETH_TYPE_IP, ETH_TYPE_IPV6)
    if code.mask.words[at.W_NW_PROTO] & 0xFF != 0xFF or code.key.words[at.W_NW_PROTO] & 0xFF != protocol:
        raise Unfit("it sets a header that may not be there")
    if not code.mask.nw_frag & at.FRAG_LATER or code.key.nw_frag & at.FRAG_LATER:
        raise Unfit("it sets ports of what may be a later fragment")
    return Fix.L4 | (Fix.IPV6 if code.eth_type == ETH_TYPE_IPV6 else 0)


def _set_ports(protocol: int) -> Callable[[Code, bytes, bytes], None]:
    def ports(code: Code, value: bytes, mask: bytes) -> None:
        _bytes(code, Base.L4, 0, value, mask, _l4(code, protocol))

    return ports


def _set_tcp_flags(code: Code, value: bytes, mask: bytes) -> None:
    """Twelve bits, behind the header's length and in front of the window."""

    def word(data: bytes) -> bytes:
        return (int.from_bytes(data[:2], "big") & 0xFFF).to_bytes(2, "big") + bytes(2)

    _bytes(code, Base.L4, 12, word(value), word(mask), _l4(code, 6))


def _set_icmp(protocol: int) -> Callable[[Code, bytes, bytes], None]:
    def icmp(code: Code, value: bytes, mask: bytes) -> None:
        _bytes(code, Base.L4, 0, value + bytes(2), mask + bytes(2), _l4(code, protocol))

    return icmp


def _set_arp(code: Code, value: bytes, mask: bytes) -> None:
    """struct ovs_key_arp: protocol addresses, operation, hardware addresses."""
    _need(code, ETH_TYPE_ARP, ETH_TYPE_RARP)

    def body(data: bytes) -> bytes:
        spa, tpa, op, sha, tha = data[:4], data[4:8], data[8:10], data[10:16], data[16:22]
        return bytes(6) + op + sha + spa + tha + tpa

    whole, ones = body(value), body(mask)
    for offset, end in ((4, 16), (16, 28)):
        _bytes(code, Base.L3, offset, whole[offset:end], ones[offset:end], Fix.WHOLE)


def _set_mpls(code: Code, value: bytes, mask: bytes) -> None:
    """The outermost label stack entry."""
    _need(code, ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)
    _bytes(code, Base.L3, 0, value[:4], mask[:4], 0 if code.labels else Fix.WHOLE)


def _set_dp_hash(code: Code, value: bytes, mask: bytes) -> None:
    bits, ones = (struct.unpack("=I", b)[0] for b in (value, mask))
    code.add(Op.SET_DP_HASH, bits & ones, 0, ITEM.pack(0, 0, 0, ones))


def _set_mark(code: Code, value: bytes, mask: bytes) -> None:
    bits, ones = (struct.unpack("=I", b)[0] for b in (value, mask))
    code.add(Op.SET_MARK, bits & ones, 0, ITEM.pack(0, 0, 0, ones))


def _set_priority(code: Code, value: bytes, mask: bytes) -> None:
    if mask != b"\xff" * 4:
        raise Unfit("it sets part of the priority")
    code.add(Op.SET_PRIORITY, struct.unpack("=I", value)[0])


_SETTERS: Final[dict[int, tuple[int, Callable[[Code, bytes, bytes], None]]]] = {
    attr.ETHERNET: (12, _set_ethernet),
    attr.VLAN: (2, _set_vlan),
    attr.IPV4: (12, _set_ipv4),
    attr.IPV6: (40, _set_ipv6),
    attr.TCP: (4, _set_ports(6)),
    attr.UDP: (4, _set_ports(17)),
    attr.TCP_FLAGS: (2, _set_tcp_flags),
    attr.ICMP: (2, _set_icmp(1)),
    attr.ICMPV6: (2, _set_icmp(58)),
    attr.ARP: (22, _set_arp),
    attr.MPLS: (4, _set_mpls),
    attr.DP_HASH: (4, _set_dp_hash),
    attr.SKB_MARK: (4, _set_mark),
    attr.PRIORITY: (4, _set_priority),
}
"""Key attribute -> (least size of its struct, what makes a set of it)."""
_UNSET: Final = {
    attr.SCTP: "ports of SCTP", attr.ND: "neighbour discovery", attr.ND_EXTENSIONS: "neighbour discovery",
    attr.TUNNEL: "a tunnel", attr.NSH: "NSH",
}  # fmt: skip


def _set_tunnel(code: Code, value: bytes) -> None:
    """The tunnel that the packet goes into, by outer IPv4 and without options."""
    flow = Flow()
    if not tunnel_into(value, flow):
        raise Unfit("it sets a malformed tunnel")
    words = flow.words
    addresses, rest = int(words[at.W_TUN_SRC]), int(words[at.W_TUN_FLAGS])
    more = {*range(at.W_TUN_METADATA_PRESENT + 1), *range(at.W_TUNNEL, at.W_TUNNEL_END)}
    if any(words[word] for word in more - {at.W_TUN_ID, at.W_TUN_SRC, at.W_TUN_FLAGS}):
        raise Unfit("it sets a tunnel of IPv6, or one with options")
    flags = rest >> at.S_TUN_FLAGS & 0xFFFF
    if flags & at.TUN_F_OAM or int(words[at.W_TUN_ID]) >> 24:
        raise Unfit("it sets what no VXLAN tunnel has")
    code.tunnel_port = rest & 0xFFFF
    helper = 0 if flags & at.TUN_F_CSUM else ZERO_CSUM_TX
    helper |= DONT_FRAGMENT if flags & at.TUN_F_DF else 0
    key = SET_TUNNEL_KEY.pack(words[at.W_TUN_ID], addresses & 0xFFFFFFFF, rest >> at.S_TUN_TOS & 0xFF,
                              rest >> at.S_TUN_TTL & 0xFF, addresses >> 32 & 0xFFFFFFFF)
    code.add(Op.SET_TUNNEL, helper, 0, key)
    code.emitted = True


def _set(code: Code, action: act.Set, last: bool) -> None:
    if action.attr == attr.TUNNEL:
        _set_tunnel(code, action.value)
        return
    _set_any(code, action.attr, action.value, b"\xff" * len(action.value))


def _set_masked(code: Code, action: act.SetMasked, last: bool) -> None:
    _set_any(code, action.attr, action.value, action.mask)


def _set_any(code: Code, key_attr: int, value: bytes, mask: bytes) -> None:
    size, setter = _SETTERS.get(key_attr, (0, None))
    if setter is None or len(value) < size or len(mask) < size:
        what = _UNSET.get(key_attr, f"key attribute {key_attr}")
        raise Unfit(f"it sets {what}, which the kernel's program can't")
    code.emitted = True
    setter(code, value, mask)


def _userspace(code: Code, action: act.Userspace, last: bool) -> None:
    if code.tunnel_port:
        raise Unfit("it sends up what goes into a tunnel")
    limit, code.cut = code.cut, 0
    code.emitted = True
    code.add(Op.UP, code.cookie(action, limit))


def _recirc(code: Code, action: act.Recirc, last: bool) -> None:
    if not last:
        raise Unfit("it recirculates a copy")
    if code.tunnel_port:
        raise Unfit("it recirculates what goes into a tunnel")
    code.add(Op.RECIRC, action.recirc_id)


def _pure(actions: Sequence[act.Action]) -> bool:
    """Whether a copy that has these actions done to it needs to be none: the packet stays as it is."""
    return all(isinstance(a, act.Output | act.Userspace) for a in actions)


def _clone(code: Code, action: act.Clone, last: bool) -> None:
    if not last and not _pure(action.actions):
        raise Unfit("it changes a copy of the packet")
    _compile(code, action.actions, last)


def _branch(code: Code, op: Op, argument: int, then: act.Actions, other: act.Actions, last: bool) -> None:
    """`then` if the operation says so, else `other`, both on the packet itself; and on behind them."""
    if not last and not (_pure(then) and _pure(other)):
        raise Unfit("it changes a copy of the packet")
    if code.cut:
        raise Unfit("it truncates a packet of which a copy goes on")
    where = len(code.data)
    if code.tags > 1:
        raise Unfit("it measures what is behind two VLAN tags")
    code.add(op, argument, 0, ITEM.pack(0, 0, 0, 0))
    before = code.tags, code.eth_type
    _compile(code, then, last)
    after = code.tags, code.eth_type
    jump = len(code.data)
    code.add(Op.SAMPLE, 0xFFFFFFFF, 0, ITEM.pack(0, 0, 0, 0))
    _patch_other(code, where)
    code.tags, code.eth_type = before
    _compile(code, other, last)
    if (code.tags, code.eth_type) != after:
        code.tags = code.eth_type = -1
    # The first branch goes on behind the second.
    struct.pack_into("=H", code.data, jump + 2, len(code.data))
    code.emitted = True


def _patch_other(code: Code, where: int) -> None:
    """The operation at `where` goes on here if it doesn't go on at its next."""
    struct.pack_into("=I", code.data, where + ITEM.size + 4, len(code.data))


def _sample(code: Code, action: act.Sample, last: bool) -> None:
    _branch(code, Op.SAMPLE, action.probability, action.actions, (), last)


def _check_pkt_len(code: Code, action: act.CheckPktLen, last: bool) -> None:
    _branch(code, Op.IF_LONGER, action.pkt_len, action.greater, action.less_equal, last)


def _trunc(code: Code, action: act.Trunc, last: bool) -> None:
    code.cut = action.max_len


def _dec_ttl(code: Code, action: act.DecTtl, last: bool) -> None:
    _need(code, ETH_TYPE_IP, ETH_TYPE_IPV6)
    if code.emitted:
        raise Unfit("it decrements the TTL after other actions")
    code.add(Op.DEC_TTL, Fix.IPV4 if code.eth_type == ETH_TYPE_IP else Fix.IPV6 | Fix.WHOLE)
    code.emitted = True


def _polices(action: act.Action) -> bool:
    """Whether it is a meter of the port's, in front of the flow's own actions (`Offload.police`)."""
    return isinstance(action, act.Meter) and action.meter_id < 0


def _meter(code: Code, action: act.Meter, last: bool) -> None:
    number, remarks = code.meter(action.meter_id)
    kind = 0
    if remarks:
        if code.eth_type < 0 or code.tags > 1:
            raise Unfit("its meter remarks what may be no IP")
        kind = {ETH_TYPE_IP: Fix.IPV4, ETH_TYPE_IPV6: Fix.IPV6}.get(code.eth_type, 0)
    code.add(Op.METER, number, kind)
    if not _polices(action):
        code.emitted = True


def _hash(code: Code, action: act.Hash, last: bool) -> None:
    eth_type = code.eth_type
    if code.tags > 1 or eth_type in (-1, ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST, ETH_TYPE_NSH):
        raise Unfit("it hashes what may be behind other headers")
    code.emitted = True
    if eth_type in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        kind = HASH_IPV6 if eth_type == ETH_TYPE_IPV6 else 0
        code.add(Op.HASH, action.basis, kind | (HASH_SYMMETRIC if action.algorithm else 0))
    elif action.algorithm:
        code.add(Op.HASH, action.basis, HASH_ETHERNET)
    else:
        # Of what is neither IP nor ARP no field counts.
        arp = eth_type in (ETH_TYPE_ARP, ETH_TYPE_RARP)
        code.add(Op.HASH, action.basis, HASH_ARP if arp else HASH_NOTHING)


def _push_mpls(code: Code, action: act.PushMpls, last: bool) -> None:
    if code.tags > 1:
        raise Unfit("it pushes a label behind two VLAN tags")
    code.add(Op.PUSH_MPLS, net32(action.lse), 0, ITEM.pack(0, 0, 0, net16(action.ethertype)))
    code.eth_type = action.ethertype
    code.labels += 1
    code.emitted = True


def _pop_mpls(code: Code, action: act.PopMpls, last: bool) -> None:
    _need(code, ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)
    code.add(Op.POP_MPLS, net16(action.ethertype), int(not code.labels))
    code.labels = max(0, code.labels - 1)
    # Where the headers below are isn't known before the packet is looked up again.
    code.eth_type = action.ethertype if action.ethertype in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST) else -1
    code.emitted = True


def _add_mpls(code: Code, action: act.AddMpls, last: bool) -> None:
    if not action.tun_flags & 1:
        raise Unfit("it pushes a label in front of the Ethernet header")
    _push_mpls(code, act.PushMpls(action.lse, action.ethertype), last)


def _drop(code: Code, action: act.Drop, last: bool) -> None:
    code.add(Op.DROP, action.reason if 0 <= action.reason < len(DROP_REASONS) else OTHER_REASON)


def _ct_clear(code: Code, action: act.CtClear, last: bool) -> None:
    """No packet has a connection's state here."""


_MAKERS: Final[dict[type, Callable[..., None]]] = {
    act.Output: _output,
    act.PushVlan: _push_vlan,
    act.PopVlan: _pop_vlan,
    act.Set: _set,
    act.SetMasked: _set_masked,
    act.Userspace: _userspace,
    act.Recirc: _recirc,
    act.Clone: _clone,
    act.Sample: _sample,
    act.CheckPktLen: _check_pkt_len,
    act.Trunc: _trunc,
    act.DecTtl: _dec_ttl,
    act.Meter: _meter,
    act.Hash: _hash,
    act.PushMpls: _push_mpls,
    act.PopMpls: _pop_mpls,
    act.AddMpls: _add_mpls,
    act.Drop: _drop,
    act.CtClear: _ct_clear,
}
_NOT_HERE: Final[dict[type, str]] = {
    act.Ct: "it tracks connections",
    act.TnlPush: "it puts a tunnel's headers around the packet",
    act.TnlPop: "it takes a tunnel's headers off",
    act.LbOutput: "a bond's member is chosen in userspace",
    act.PushNsh: "it pushes an NSH header",
    act.PopNsh: "it pops an NSH header",
    act.PushEth: "it pushes an Ethernet header",
    act.PopEth: "it pops the Ethernet header",
}
"""Action -> why flows with it stay in userspace."""
