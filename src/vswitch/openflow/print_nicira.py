"""Nicira's statistics and connection flushing as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vswitch.flow.values import format_ipv4, format_ipv6
from vswitch.openflow.messages import nicira as n

Ports = Mapping[int, str] | None
ICMP: Final = (1, 58)
"""Protocols whose tuples have no ports."""
MAPPED: Final = 0xFFFF
"""What stands before the 32 bits of an IPv4 address in one of IPv6 (RFC 4291 section 2.5.5.2)."""


def _counters(head: str, s: n.IpfixStats) -> str:
    rest = " " * len(head)
    return (
        f"  {head}: flows={s.total_flows}, current flows={s.current_flows}, sampled pkts={s.total_pkts}, "
        f"ipv4 ok={s.ipv4_pkts}, ipv6 ok={s.ipv6_pkts}, tx pkts={s.tx_pkts}\n"
        f"  {rest}  pkts errs={s.error_pkts}, ipv4 errs={s.ipv4_error_pkts}, ipv6 errs={s.ipv6_error_pkts}, "
        f"tx errs={s.tx_errors}\n"
    )


def format_ipfix_bridge(m: n.IpfixBridgeStatsReply, version: int, ports: Ports) -> str:
    """The bridge's exporter."""
    return "\n" + _counters("bridge ipfix", m.stats)


def format_ipfix_flow(m: n.IpfixFlowStatsReply, version: int, ports: Ports) -> str:
    """Each collector set's exporter."""
    out = f" {len(m.stats)} ids\n"
    return out + "".join(_counters(f"id {s.collector_set_id:3d}", s) for s in m.stats)


def _is_ipv4(address: int | None) -> bool:
    return address is not None and address >> 32 == MAPPED


def _address(address: int | None) -> str:
    value = address or 0
    return format_ipv4(value & 0xFFFFFFFF) if _is_ipv4(address) else format_ipv6(value)


def format_ct_flush(m: n.CtFlush, version: int, ports: Ports) -> str:
    """Which connections are to be forgotten."""
    both = (m.orig.src, m.orig.dst, m.reply.src, m.reply.dst)
    family = "nw" if any(map(_is_ipv4, both)) else "ipv6"

    def text(tuple_: n.CtTuple) -> str:
        words = f"ct_{family}_src={_address(tuple_.src)},ct_{family}_dst={_address(tuple_.dst)},"
        if m.nw_proto in ICMP:
            words += f"icmp_id={tuple_.icmp_id or 0},icmp_type={tuple_.icmp_type or 0},"
            return words + f"icmp_code={tuple_.icmp_code or 0}"
        return words + f"ct_tp_src={tuple_.src_port or 0},ct_tp_dst={tuple_.dst_port or 0}"

    return f" zone={m.zone_id or 0} '{text(m.orig)},ct_nw_proto={m.nw_proto}' '{text(m.reply)}'"
