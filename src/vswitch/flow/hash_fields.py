"""Hashing the part of a flow that spreads packets over links: the `fields` of ovs-actions(7).

Of the kinds with "symmetric" in their name the hash is the same with sources and destinations
exchanged. The numbers are this module's own: other switches spread packets in other ways.
"""

from __future__ import annotations

from typing import Final

from vswitch.flow.flow import Flow, unsigned64
from vswitch.flow.layout import VLAN_CFI, W_IPV6_DST, W_IPV6_SRC
from vswitch.flow.prereq import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    effective_dl_type,
)

_M64: Final = 0xFFFFFFFFFFFFFFFF
_VID: Final = VLAN_CFI | 0xFFF


def _get128(flow: Flow, word: int) -> int:
    return unsigned64(flow.words[word]) << 64 | unsigned64(flow.words[word + 1])


def _look_at128(wc: Flow, word: int) -> None:
    wc.words[word] = -1
    wc.words[word + 1] = -1


def _has_ports(flow: Flow, fields: str) -> bool:
    proto = flow.nw_proto
    return proto in (IPPROTO_TCP, IPPROTO_SCTP) or (proto == IPPROTO_UDP and fields == "symmetric_l3l4+udp")


def mask_hash_fields(flow: Flow, wc: Flow, fields: str) -> None:
    """Add to `wc` the bits of `flow` that `hash_fields` reads."""
    if fields == "eth_src":
        wc.dl_src = 0xFFFFFFFFFFFF
        return
    if fields == "symmetric_l4":
        wc.dl_src = 0xFFFFFFFFFFFF
        wc.dl_dst = 0xFFFFFFFFFFFF
        wc.dl_type = 0xFFFF
        wc.vlan_tci |= _VID
        wc.vlan_tci1 |= _VID
    dl_type = effective_dl_type(flow)
    if dl_type == ETH_TYPE_IP:
        if fields != "nw_dst":
            wc.nw_src = 0xFFFFFFFF
        if fields != "nw_src":
            wc.nw_dst = 0xFFFFFFFF
    elif dl_type == ETH_TYPE_IPV6:
        if fields != "nw_dst":
            _look_at128(wc, W_IPV6_SRC)
        if fields != "nw_src":
            _look_at128(wc, W_IPV6_DST)
    else:
        return
    if "l4" in fields:
        wc.nw_proto = 0xFF
        if _has_ports(flow, fields):
            wc.tp_src = 0xFFFF
            wc.tp_dst = 0xFFFF


def hash_fields(flow: Flow, fields: str, basis: int) -> int:
    """The 64-bit hash of what `fields` ("eth_src", "symmetric_l4"...) names; `basis` chooses among hashes.

    Where the packet lacks a field, as a non-IP packet lacks `nw_src`, it hashes as 0.
    """
    h = mix(0, basis)
    if fields == "eth_src":
        return mix(h, flow.dl_src)
    if fields == "symmetric_l4":
        h = mix(_pair(h, flow.dl_src, flow.dl_dst), flow.dl_type)
        for tci in (flow.vlan_tci, flow.vlan_tci1):
            h = mix(h, tci & _VID if tci & VLAN_CFI else 0)
    dl_type = effective_dl_type(flow)
    src = dst = 0
    if dl_type == ETH_TYPE_IP:
        src, dst = flow.nw_src, flow.nw_dst
    elif dl_type == ETH_TYPE_IPV6:
        src, dst = _get128(flow, W_IPV6_SRC), _get128(flow, W_IPV6_DST)
    if fields == "nw_src":
        return _mix128(h, src)
    if fields == "nw_dst":
        return _mix128(h, dst)
    h = _pair(h, src, dst)
    if "l4" in fields and dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        h = mix(h, flow.nw_proto)
        if _has_ports(flow, fields):
            h = _pair(h, flow.tp_src, flow.tp_dst)
    return h


def mix(h: int, value: int) -> int:
    """The 64-bit hash `h` with `value` of up to 64 bits added to what it depends on."""
    h = ((h ^ value) + 0x9E3779B97F4A7C15) & _M64
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & _M64
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & _M64
    return h ^ (h >> 31)


def _mix128(h: int, value: int) -> int:
    return mix(mix(h, value >> 64), value & _M64)


def _pair(h: int, a: int, b: int) -> int:
    """`mix` of two values, whichever comes first."""
    return _mix128(_mix128(h, min(a, b)), max(a, b))
