"""Carrying out a change of a packet twice, in two ways, and telling when they disagree.

`odp_execute.py` edits bytes and updates checksums by differences. The other way knows nothing of that: what a
set action is to change is changed in the packet's flow, field by field; tags, labels and Ethernet headers are
put in and cut out of the plain bytes; and checksums are added up from the start. So a packet that the first
way makes must extract to the flow, or be the bytes, that the second way makes, with checksums as good as they
were. The packet goes on as the first way made it. Open vSwitch's action autovalidator, in the same manner,
compares its implementations with the scalar one.
"""

from __future__ import annotations

from typing import Final

from vswitch.base import coverage
from vswitch.base.vlog import Vlog
from vswitch.dpif import odp_step as op
from vswitch.dpif.autovalidator_bytes import made_of
from vswitch.dpif.odp_execute import Executor, Packet
from vswitch.dpif.odp_step import Step
from vswitch.flow import layout as at
from vswitch.flow.extract import extract
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.prereq import is_nd, prereqs_ok
from vswitch.netdev.frame import GSO_NONE, VNET_NEEDS_CSUM
from vswitch.packet.checksum import csum, fold, partial_sum, pseudo_sum4, pseudo_sum6
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
)
from vswitch.packet.parse import Parser

log = Vlog("odp_execute")

compared = coverage.counter("autovalidator_compared")
differed = coverage.counter("autovalidator_differed")

SETS: Final[dict[int, tuple[tuple[str, int], ...]]] = {
    op.STEP_SET_ETHERNET: (("eth_src", 0), ("eth_dst", 2)),
    op.STEP_SET_IPV4: (("ip_src", 0), ("ip_dst", 2), ("nw_tos", 4), ("nw_ttl", 6)),
    op.STEP_SET_IPV6: (("ipv6_src", 0), ("ipv6_dst", 4), ("ipv6_label", 8), ("nw_tos", 10), ("nw_ttl", 12)),
    op.STEP_SET_ICMP: (("icmp_type", 0), ("icmp_code", 2), ("icmpv6_type", 0), ("icmpv6_code", 2)),
    op.STEP_SET_TCP_FLAGS: (("tcp_flags", 0),),
    op.STEP_SET_ARP: (("arp_op", 0), ("arp_spa", 2), ("arp_tpa", 4), ("arp_sha", 6), ("arp_tha", 8)),
    op.STEP_SET_ND: (("nd_target", 0), ("nd_sll", 4), ("nd_tll", 6)),
    op.STEP_SET_ND_EXT: (("nd_reserved", 0), ("nd_options_type", 2)),
}
"""Step -> the fields that it sets, and where in its arguments their value is, followed by the mask."""
IP: Final = {op.STEP_SET_IPV4: ETH_TYPE_IP, op.STEP_SET_IPV6: ETH_TYPE_IPV6}
"""Steps whose fields packets of another type have, too, and leave as they are."""
PORTS: Final = {6: ("tcp_src", "tcp_dst"), 17: ("udp_src", "udp_dst"), 132: ("sctp_src", "sctp_dst")}
"""IP protocol -> its ports."""
SUMMED: Final = (IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6)
"""Protocols with the Internet checksum, RFC 1071."""
ND_OPTIONS: Final = ("nd_target", "nd_sll", "nd_tll", "nd_options_type")
"""Fields that may not be there, or that a malformed message hides."""


def run_validated(executor: Executor, step: Step, packet: Packet) -> bool:
    """Carry `step` out, and log what the other way makes of it if that is something else. False if there is
    no packet any more, as `Executor.push_pop`."""
    executor.settle(packet)
    before, flow = packet.frame, packet.flow.copy()
    if op.is_set(step.op):
        executor.set_field(step.op, step.args, packet)
    elif not executor.push_pop(step.op, step, packet):
        return False
    executor.settle(packet)
    after = packet.frame
    if not (before.gso_type != GSO_NONE or before.flags & VNET_NEEDS_CSUM):
        wrong = difference(step, before.data, after.data, flow)
        if wrong:
            differed.inc()
            log.err("action %d made of %s: %s (%s)", step.op, before.data.hex(), after.data.hex(), wrong)
    return True


def difference(step: Step, before: bytes, after: bytes, metadata: Flow) -> str:
    """What is wrong with the frame `after`, which `step` made of the frame `before`; "" is nothing."""
    expected = made_of(step, before, metadata.packet_type)
    if expected is not None:
        compared.inc()
        return "" if expected == after else f"it should be {expected.hex()}"
    fields = _fields(step)
    if fields is None or metadata.packet_type != 0:
        return ""
    compared.inc()
    flow, made = metadata.copy(), metadata.copy()
    extract(before, flow, Parser())
    extract(after, made, Parser())
    if step.op == op.STEP_SET_ICMP and is_nd(flow) != is_nd(made):
        return _worse_checksum(before, after)  # of another type, it has other fields
    for name, value, mask in fields:
        field = by_name(name)
        # An option of neighbor discovery is set in whichever message it stands.
        there = is_nd(flow) if step.op == op.STEP_SET_ND else prereqs_ok(field, flow)
        if IP.get(step.op, flow.dl_type) == flow.dl_type and there:
            if name in ND_OPTIONS and flow.get(field) == 0:
                flow.set(field, made.get(field))
                continue
            ones = (1 << field.n_bits) - 1
            flow.set(field, flow.get(field) & ~mask & ones | value & mask & ones)
    if made != flow:
        return f"its flow should be {flow!r}, not {made!r}"
    if len(before) != len(after):
        return f"it should have {len(before)} bytes"
    return _worse_checksum(before, after)


def _fields(step: Step) -> list[tuple[str, int, int]] | None:
    """(field, value, mask) of what a set step sets; None: this is for the first way alone."""
    args = [int(arg) for arg in step.args]
    if step.op == op.STEP_SET_PORTS:
        src, dst = PORTS[args[0]]
        return [(src, args[1], args[2]), (dst, args[3], args[4])]
    if step.op not in SETS:
        return None
    found = []
    for name, place in SETS[step.op]:
        if by_name(name).n_bits == 128:
            value, mask = _wide(args[place], args[place + 1]), _wide(args[place + 2], args[place + 3])
        else:
            value, mask = args[place], args[place + 1]
        found.append((name, value, mask))
    return found


def _wide(high: int, low: int) -> int:
    """Two signed words as one number of 128 bits."""
    return (high & 0xFFFFFFFFFFFFFFFF) << 64 | low & 0xFFFFFFFFFFFFFFFF


def _worse_checksum(before: bytes, after: bytes) -> str:
    """Which checksum is wrong after, and was right before; "" if none is."""
    good, now = _checksums(before), _checksums(after)
    return ", ".join(f"its {name} checksum is wrong" for name in good if good[name] and not now[name])


def _checksums(frame: bytes) -> dict[str, bool]:
    """Whether the checksums that a frame has are right."""
    p = Parser()
    p.parse(frame)
    found = {}
    if p.dl_type == ETH_TYPE_IP and p.l3_ofs >= 0:
        found["IP"] = csum(frame[p.l3_ofs : p.l3_ofs + (frame[p.l3_ofs] & 0xF) * 4]) == 0
    elif p.dl_type != ETH_TYPE_IPV6:
        return found
    if p.l4_ofs < 0 or p.nw_frag & at.FRAG_ANY or p.nw_proto not in SUMMED:
        return found
    length = p.l3_end - p.l4_ofs
    if p.nw_proto == IPPROTO_ICMP:
        start = 0
    elif p.dl_type == ETH_TYPE_IP:
        start = pseudo_sum4(p.nw_src, p.nw_dst, p.nw_proto, length)
    else:
        addresses = frame[p.l3_ofs + 8 : p.l3_ofs + 40]
        start = pseudo_sum6(addresses[:16], addresses[16:], p.nw_proto, length)
    none = p.nw_proto == IPPROTO_UDP and frame[p.l4_ofs + 6 : p.l4_ofs + 8] == b"\0\0"
    found["transport"] = none or fold(start + partial_sum(frame, p.l4_ofs, p.l3_end)) == 0xFFFF
    return found
