"""Hashing the part of a flow that spreads packets over links: the `fields` of ovs-actions(7).

Of the kinds with "symmetric" in their name the hash is the same with sources and destinations
exchanged. The numbers are those of Open vSwitch on a little-endian machine: what is read there
as a native word is read here from the bytes in network order, lowest first.
"""

from __future__ import annotations

from typing import Final

from vswitch.flow.flow import Flow, unsigned64
from vswitch.flow.hash import hash_add, hash_bytes, hash_finish, word_at
from vswitch.flow.layout import VLAN_CFI, W_IPV6_DST, W_IPV6_SRC
from vswitch.flow.prereq import effective_dl_type
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_ICMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

_VID: Final = VLAN_CFI | 0xFFF


def _get128(flow: Flow, word: int) -> int:
    return unsigned64(flow.words[word]) << 64 | unsigned64(flow.words[word + 1])


def _look_at128(wc: Flow, word: int) -> None:
    wc.words[word] = -1
    wc.words[word + 1] = -1


def _has_ports(flow: Flow, udp: bool) -> bool:
    """Whether the ports count for symmetric_l3l4: those of UDP, not always symmetric, only if `udp`."""
    proto = flow.nw_proto
    return flow.nw_frag == 0 and (proto in (IPPROTO_TCP, IPPROTO_SCTP) or (proto == IPPROTO_UDP and udp))


def _addresses(flow: Flow) -> bytes:
    """The two IP addresses, each bit of one xor that of the other; nothing without any."""
    dl_type = flow.dl_type
    if dl_type == ETH_TYPE_IP:
        return (flow.nw_src ^ flow.nw_dst).to_bytes(4, "big")
    if dl_type == ETH_TYPE_IPV6:
        return (_get128(flow, W_IPV6_SRC) ^ _get128(flow, W_IPV6_DST)).to_bytes(16, "big")
    return b""


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
    if "l4" not in fields:
        return
    wc.nw_proto = 0xFF
    if fields == "symmetric_l4":
        ports = flow.nw_proto != IPPROTO_UDP
    else:
        ports = _has_ports(flow, fields == "symmetric_l3l4+udp")
    if ports:
        # Type and code of ICMP are a byte each.
        bits = 0xFF if flow.nw_proto == IPPROTO_ICMP else 0xFFFF
        wc.tp_src |= bits
        wc.tp_dst |= bits


def hash_fields(flow: Flow, fields: str, basis: int) -> int:
    """The 32-bit hash of what `fields` ("eth_src", "symmetric_l4"...) names, from `basis`.

    A packet that isn't IP has no `nw_src` and hashes to `basis`.
    """
    if fields == "eth_src":
        return hash_bytes(flow.dl_src.to_bytes(6, "big"), basis)
    if fields == "symmetric_l4":
        return hash_symmetric_l4(flow, basis)
    if fields == "symmetric_l3l4":
        return hash_symmetric_l3l4(flow, basis, False)
    if fields == "symmetric_l3l4+udp":
        return hash_symmetric_l3l4(flow, basis, True)
    if fields == "symmetric_l3":
        return hash_symmetric_l3(flow, basis)
    dl_type = effective_dl_type(flow)
    source = fields == "nw_src"
    if dl_type == ETH_TYPE_IP:
        return hash_bytes((flow.nw_src if source else flow.nw_dst).to_bytes(4, "big"), basis)
    if dl_type == ETH_TYPE_IPV6:
        return hash_bytes(_get128(flow, W_IPV6_SRC if source else W_IPV6_DST).to_bytes(16, "big"), basis)
    return basis


def hash_symmetric_l4(flow: Flow, basis: int) -> int:
    """A hash of addresses, VLANs, protocol and, of TCP and SCTP, ports. Of UDP the ports are left
    out, for those of the two directions need not correspond."""
    proto = port = 0
    address = _addresses(flow)
    if address:
        proto = flow.nw_proto
        if proto in (IPPROTO_TCP, IPPROTO_SCTP):
            port = flow.tp_src ^ flow.tp_dst
    vid = (flow.vlan_tci ^ flow.vlan_tci1) & 0xFFF
    data = (
        address.ljust(16, b"\0") + flow.dl_type.to_bytes(2, "big") + vid.to_bytes(2, "big")
        + port.to_bytes(2, "big") + (flow.dl_src ^ flow.dl_dst).to_bytes(6, "big") + bytes((proto,))
    )  # fmt: skip
    return hash_bytes(data.ljust(32, b"\0"), basis)


def hash_symmetric_l2(flow: Flow, basis: int) -> int:
    """A hash of Ethernet type, VLANs and Ethernet addresses."""
    vid = (flow.vlan_tci ^ flow.vlan_tci1) & 0xFFF
    addresses = flow.dl_src ^ flow.dl_dst
    data = flow.dl_type.to_bytes(2, "big") + vid.to_bytes(2, "big") + addresses.to_bytes(6, "big")
    h = basis
    for at in range(0, 12, 4):
        h = hash_add(h, word_at(data, at))
    return hash_finish(h, basis)


def hash_symmetric_l3l4(flow: Flow, basis: int, udp: bool) -> int:
    """A hash of IP addresses, protocol and ports (not of fragments, of UDP only if `udp`); of
    Ethernet alone for packets that aren't IP."""
    address = _addresses(flow)
    if not address:
        return hash_symmetric_l2(flow, basis)
    h = basis
    for at in range(0, len(address), 4):
        h = hash_add(h, word_at(address, at))
    proto = flow.nw_proto
    h = hash_add(h, proto)
    if _has_ports(flow, udp):
        h = hash_add(h, word_at((flow.tp_src ^ flow.tp_dst).to_bytes(2, "big"), 0))
    return hash_finish(h, basis)


def hash_symmetric_l3(flow: Flow, basis: int) -> int:
    """A hash of Ethernet type and IP addresses."""
    data = _addresses(flow).ljust(16, b"\0") + flow.dl_type.to_bytes(2, "big") + bytes(2)
    return hash_bytes(data, basis)
