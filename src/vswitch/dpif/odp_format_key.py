"""Datapath flow keys as text, exactly as `ovs-dpctl dump-flows` prints them.

The text follows the key's attributes, one word each. A mask says which bits matter: without
`verbose`, what it leaves out is not printed; with it, "/0" is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from vswitch.dpif.key_struct import struct_fields
from vswitch.flow import key_attr as key
from vswitch.flow.flags import (
    CT_STATE_NAMES,
    TCP_FLAG_NAMES,
    TUN_FLAG_NAMES,
    format_flags,
    format_flags_masked,
)
from vswitch.flow.values import c_hex, format_ipv4, format_ipv6, format_mac
from vswitch.netlink.attrs import NlAttrError, attributes, parse

PortNames = Mapping[int, str] | None
FRAG_TYPES = ("no", "first", "later")

ATTR_NAMES = {
    key.PRIORITY: "skb_priority", key.SKB_MARK: "skb_mark", key.CT_STATE: "ct_state", key.CT_ZONE: "ct_zone",
    key.CT_MARK: "ct_mark", key.CT_LABELS: "ct_label", key.CT_ORIG_TUPLE_IPV4: "ct_tuple4",
    key.CT_ORIG_TUPLE_IPV6: "ct_tuple6", key.RECIRC_ID: "recirc_id", key.DP_HASH: "dp_hash",
    key.IN_PORT: "in_port", key.PACKET_TYPE: "packet_type", key.ETHERNET: "eth", key.VLAN: "vlan",
    key.ETHERTYPE: "eth_type", key.ENCAP: "encap", key.MPLS: "mpls", key.IPV4: "ipv4", key.IPV6: "ipv6",
    key.TCP: "tcp", key.TCP_FLAGS: "tcp_flags", key.UDP: "udp", key.SCTP: "sctp", key.ICMP: "icmp",
    key.ICMPV6: "icmpv6", key.ARP: "arp", key.ND: "nd", key.ND_EXTENSIONS: "nd_ext", key.NSH: "nsh",
    key.TUNNEL: "tunnel",
}  # fmt: skip

# What each field of an attribute's struct is called, and how its values look, in printing order.
_LABELS: dict[int, tuple[tuple[str, str, str], ...]] = {
    key.ETHERNET: (("src", "eth_src", "mac"), ("dst", "eth_dst", "mac")),
    key.IPV4: (
        ("src", "ip_src", "ip"), ("dst", "ip_dst", "ip"), ("proto", "nw_proto", "dec"),
        ("tos", "nw_tos", "hex"), ("ttl", "nw_ttl", "dec"), ("frag", "ip_frag", "frag"),
    ),
    key.IPV6: (
        ("src", "ipv6_src", "ip6"), ("dst", "ipv6_dst", "ip6"), ("label", "ipv6_label", "hex"),
        ("proto", "nw_proto", "dec"), ("tclass", "nw_tos", "hex"), ("hlimit", "nw_ttl", "dec"),
        ("frag", "ip_frag", "frag"),
    ),
    key.TCP: (("src", "tcp_src", "dec"), ("dst", "tcp_dst", "dec")),
    key.UDP: (("src", "udp_src", "dec"), ("dst", "udp_dst", "dec")),
    key.SCTP: (("src", "sctp_src", "dec"), ("dst", "sctp_dst", "dec")),
    key.ICMP: (("type", "icmp_type", "dec"), ("code", "icmp_code", "dec")),
    key.ICMPV6: (("type", "icmpv6_type", "dec"), ("code", "icmpv6_code", "dec")),
    key.ARP: (
        ("sip", "arp_spa", "ip"), ("tip", "arp_tpa", "ip"), ("op", "arp_op", "dec"),
        ("sha", "arp_sha", "mac"), ("tha", "arp_tha", "mac"),
    ),
    key.ND: (("target", "nd_target", "ip6"), ("sll", "nd_sll", "mac"), ("tll", "nd_tll", "mac")),
    key.ND_EXTENSIONS: (("nd_reserved", "nd_reserved", "0x"), ("nd_options_type", "nd_options_type", "dec")),
    key.CT_ORIG_TUPLE_IPV4: (
        ("src", "ct_nw_src", "ip"), ("dst", "ct_nw_dst", "ip"), ("proto", "ct_nw_proto", "dec"),
        ("tp_src", "ct_tp_src", "dec"), ("tp_dst", "ct_tp_dst", "dec"),
    ),
    key.CT_ORIG_TUPLE_IPV6: (
        ("src", "ct_ipv6_src", "ip6"), ("dst", "ct_ipv6_dst", "ip6"), ("proto", "ct_nw_proto", "dec"),
        ("src_port", "ct_tp_src", "dec"), ("dst_port", "ct_tp_dst", "dec"),
    ),
}  # fmt: skip


def _places(attr: int, labels: tuple[tuple[str, str, str], ...]) -> tuple[tuple[str, int, int, str], ...]:
    found = {field.name: (offset, size) for offset, size, field in struct_fields(attr)}
    return tuple([(label, *found[name], how) for label, name, how in labels])


STRUCT_FIELDS: dict[int, tuple[tuple[str, int, int, str], ...]] = {
    attr: _places(attr, labels) for attr, labels in _LABELS.items()
}
"""Attribute -> (label, offset, size, format) of each field of its struct."""
STRUCT_FIELDS[key.PACKET_TYPE] = (("ns", 0, 2, "dec"), ("id", 2, 2, "hex"))


def host_int(data: bytes) -> int:
    """An integer in host order."""
    return int.from_bytes(data, sys.byteorder)


def _ones(size: int) -> bytes:
    return b"\xff" * size


def format_field(value: bytes, mask: bytes, how: str) -> str:
    """One struct field: "10.0.0.1/255.0.0.0", "80/0xff00", "0x4"."""
    v = int.from_bytes(value, "big")
    m = int.from_bytes(mask, "big")
    exact = mask == _ones(len(mask))
    if how == "mac":
        return format_mac(v) if exact else f"{format_mac(v)}/{format_mac(m)}"
    if how == "ip":
        return format_ipv4(v) if exact else f"{format_ipv4(v)}/{format_ipv4(m)}"
    if how == "ip6":
        return format_ipv6(v) if exact else f"{format_ipv6(v)}/{format_ipv6(m)}"
    if how == "frag":
        return FRAG_TYPES[v] if v < len(FRAG_TYPES) else "<error>"
    number = c_hex(v) if how == "hex" else f"0x{v:x}" if how == "0x" else str(v)
    return number if exact else f"{number}/{c_hex(m)}"


def _is_label_exact(name: str, mask: bytes) -> bytes:
    """An IPv6 label's mask of all its 20 bits is as good as one of 32."""
    if name == "label" and int.from_bytes(mask, "big") & 0xFFFFF == 0xFFFFF:
        return _ones(4)
    return mask


def format_struct(attr: int, value: bytes, mask: bytes, verbose: bool) -> str:
    """The fields of a struct with bits in `mask`, or all if `verbose`."""
    words = []
    for name, offset, size, how in STRUCT_FIELDS[attr]:
        m = _is_label_exact(name, mask[offset : offset + size])
        # What packets are of which a flow doesn't say that they are fragments is not shown.
        if any(m) or (verbose and how != "frag"):
            words.append(f"{name}={format_field(value[offset : offset + size], m, how)}")
    return ",".join(words)


def _format_number(value: bytes, mask: bytes) -> str:
    text = c_hex(host_int(value))
    return text if mask == _ones(len(mask)) else f"{text}/{c_hex(host_int(mask))}"


_TAGGED = b"\x10\x00"
"""The bit of a tag that says that there is one (VLAN_CFI)."""


def _format_vlan(value: bytes, mask: bytes, verbose: bool) -> str:
    tci, m = int.from_bytes(value, "big"), int.from_bytes(mask, "big")
    words = []
    vid_mask, pcp_mask = m & 0xFFF, m >> 13
    if verbose or vid_mask or tci & 0xFFF:
        words.append(f"vid={tci & 0xFFF}" + ("" if vid_mask == 0xFFF else f"/0x{vid_mask:x}"))
    if verbose or pcp_mask or tci >> 13:
        words.append(f"pcp={tci >> 13}" + ("" if pcp_mask == 7 else f"/0x{pcp_mask:x}"))
    if not tci & 0x1000:
        words.append("cfi=0")
    return ",".join(words)


def _format_mpls(value: bytes, mask: bytes) -> str:
    exact = mask == _ones(len(mask))
    words = []
    for at in range(0, len(value) - 3, 4):
        lse = int.from_bytes(value[at : at + 4], "big")
        m = int.from_bytes(mask[at : at + 4], "big")
        words.append(format_lse(lse) if exact else _format_masked_lse(lse, m))
    return ",".join(words)


def format_lse(lse: int) -> str:
    """A label stack entry: "label=5,tc=0,ttl=64,bos=1"."""
    return f"label={lse >> 12},tc={lse >> 9 & 7},ttl={lse & 0xFF},bos={lse >> 8 & 1}"


def _format_masked_lse(lse: int, m: int) -> str:
    return (
        f"label={lse >> 12}/0x{m >> 12:x},tc={lse >> 9 & 7}/{m >> 9 & 7:x},"
        f"ttl={lse & 0xFF}/0x{m & 0xFF:x},bos={lse >> 8 & 1}/{m >> 8 & 1:x}"
    )


def format_nsh(value: bytes, mask: bytes | None) -> str:
    """The fields of nested NSH attributes with bits in `mask`; None makes all of them exact."""
    keys, masks = parse(value), parse(mask) if mask is not None else {}
    fields = [("flags", key.NSH_BASE, 0, 1, "dec"), ("ttl", key.NSH_BASE, 1, 1, "dec"),
              ("mdtype", key.NSH_BASE, 2, 1, "dec"), ("np", key.NSH_BASE, 3, 1, "dec"),
              ("spi", key.NSH_BASE, 4, 3, "spi"), ("si", key.NSH_BASE, 7, 1, "dec")]  # fmt: skip
    fields += [(f"c{n + 1}", key.NSH_MD1, 4 * n, 4, "spi") for n in range(4)]
    words = []
    for name, attr, offset, size, how in fields:
        part = keys.get(attr, b"")[offset : offset + size]
        if len(part) != size:
            continue
        m = _ones(size) if mask is None else masks.get(attr, bytes(offset + size))[offset : offset + size]
        if not any(m):
            continue
        v = int.from_bytes(part, "big")
        text = f"0x{v:x}" if how == "spi" else str(v)
        if m != _ones(size):
            text = f"0x{v:02x}/0x{m[0]:02x}" if how == "dec" else f"{text}/0x{int.from_bytes(m, 'big'):x}"
        words.append(f"{name}={text}")
    return ",".join(words)


_TUN_NUMBERS = {
    key.TUN_ID: ("tun_id", "0x"), key.TUN_IPV4_SRC: ("src", "ip"), key.TUN_IPV4_DST: ("dst", "ip"),
    key.TUN_IPV6_SRC: ("ipv6_src", "ip6"), key.TUN_IPV6_DST: ("ipv6_dst", "ip6"),
    key.TUN_TOS: ("tos", "hex"), key.TUN_TTL: ("ttl", "dec"), key.TUN_TP_SRC: ("tp_src", "dec"),
    key.TUN_TP_DST: ("tp_dst", "dec"),
}  # fmt: skip
_TUN_FLAGS = {key.TUN_ID: 8, key.TUN_DONT_FRAGMENT: 2, key.TUN_CSUM: 4, key.TUN_OAM: 1}


def format_tunnel(value: bytes, mask: bytes | None, verbose: bool = False) -> str:
    """The words of nested tunnel attributes, flags last; `mask` None makes all of them exact."""
    masks = parse(mask) if mask is not None else {}
    words = []
    flags = 0
    for attr, at, size in attributes(value):
        payload = value[at : at + size]
        flags |= _TUN_FLAGS.get(attr, 0)
        m = _ones(size) if mask is None else masks.get(attr, bytes(size)).ljust(size, b"\0")[:size]
        if attr in _TUN_NUMBERS:
            name, how = _TUN_NUMBERS[attr]
            if verbose or any(m):
                words.append(f"{name}={format_field(payload, m, how)}")
        elif attr in (key.TUN_VXLAN_OPTS, key.TUN_GENEVE_OPTS, key.TUN_ERSPAN_OPTS, key.TUN_GTPU_OPTS):
            words.append(_format_tunnel_options(attr, payload, m, verbose or mask is None))
    mask_flags = sum(bit for attr, bit in _TUN_FLAGS.items() if attr in masks) if mask is not None else 15
    if mask_flags == 15:
        words.append(f"flags({format_flags(TUN_FLAG_NAMES, flags)})")
    else:
        words.append(f"flags({format_flags_masked(TUN_FLAG_NAMES, flags, mask_flags)})")
    return ",".join(words)


def _format_tunnel_options(attr: int, value: bytes, mask: bytes, verbose: bool) -> str:
    if attr == key.TUN_VXLAN_OPTS:
        gbp = parse(value).get(key.VXLAN_EXT_GBP, bytes(4))
        m = parse(mask).get(key.VXLAN_EXT_GBP, bytes(4)) if mask != _ones(len(mask)) else _ones(4)
        v, n = host_int(gbp), host_int(m)
        group = format_field((v & 0xFFFF).to_bytes(2, "big"), (n & 0xFFFF).to_bytes(2, "big"), "dec")
        policy = format_field(bytes([v >> 16 & 0xFF]), bytes([n >> 16 & 0xFF]), "hex")
        return f"vxlan(gbp(id={group},flags={policy}))"
    if attr == key.TUN_GENEVE_OPTS:
        return f"geneve({format_geneve_options(value, mask)})"
    if attr == key.TUN_GTPU_OPTS:
        flags = format_field(value[0:1], mask[0:1], "hex")
        return f"gtpu(flags={flags},msgtype={format_field(value[1:2], mask[1:2], 'dec')})"
    return f"erspan({_format_erspan(value, mask, verbose)})"


def _format_erspan(value: bytes, mask: bytes, verbose: bool) -> str:
    version = host_int(value[:4])
    exact = mask == _ones(len(mask)) or host_int(mask[:4]) != 0
    if not (verbose or exact):
        return ""
    if version == 1:
        index = int.from_bytes(value[4:8], "big")
        n = 0xFFFFF if mask == _ones(len(mask)) else int.from_bytes(mask[4:8], "big")
        tail = "" if n == 0xFFFFF else f"/{c_hex(n)}"
        return f"ver=1{'' if exact else '/0'},idx={c_hex(index)}{tail}"
    direction = value[11] >> 3 & 1
    hwid = (value[10] & 3) << 4 | value[11] >> 4
    tail = "" if exact else "/0"
    return f"ver={version}{tail},dir={direction}{tail},hwid={c_hex(hwid)}{tail}"


def format_geneve_options(value: bytes, mask: bytes) -> str:
    """Geneve options, each in braces. All of `mask` set: no masks are shown."""
    words = []
    at = 0
    while len(value) - at >= 4:
        size = 4 * (value[at + 3] & 0x1F)
        data = value[at + 4 : at + 4 + size]
        m = mask[at + 4 : at + 4 + size]
        number = f"0x{int.from_bytes(data, 'big'):x}" if any(data) else "0"
        if m != _ones(size):
            number += f"/0x{int.from_bytes(m, 'big'):x}"
        class_ = c_hex(int.from_bytes(value[at : at + 2], "big"))
        head = f"class={class_},type={c_hex(value[at + 2])},len={size}"
        words.append(f"{{{head},{number}}}" if size else f"{{{head}}}")
        at += 4 + size
    return "".join(words)


def _format_attr(attr: int, value: bytes, mask: bytes | None, verbose: bool, ports: PortNames) -> str:
    """What stands in the brackets of one attribute."""
    m = _ones(len(value)) if mask is None else mask.ljust(len(value), b"\0")[: len(value)]
    if attr == key.ENCAP:
        return format_key_attrs(value, mask, verbose, ports, outer=False)
    if attr == key.TUNNEL:
        return format_tunnel(value, mask, verbose)
    if attr == key.NSH:
        return format_nsh(value, mask)
    if attr in STRUCT_FIELDS:
        return format_struct(attr, value, m, verbose or mask is None)
    if attr == key.VLAN:
        return _format_vlan(value, m, verbose)
    if attr == key.MPLS:
        return _format_mpls(value, m)
    if attr == key.ETHERTYPE:
        return f"0x{value.hex()}" + ("" if m == b"\xff\xff" else f"/0x{m.hex()}")
    if attr == key.CT_LABELS:
        text = c_hex(int.from_bytes(value, "big"))
        return text if m == _ones(16) else f"{text}/{c_hex(int.from_bytes(m, 'big'))}"
    if attr == key.TCP_FLAGS:
        flags, n = int.from_bytes(value, "big"), int.from_bytes(m, "big")
        if n & 0xFFF == 0xFFF:
            return format_flags(TCP_FLAG_NAMES, flags)
        return format_flags_masked(TCP_FLAG_NAMES, flags, n)
    if attr == key.CT_STATE and not verbose:
        state = host_int(value)
        return format_flags(CT_STATE_NAMES, state) if mask is None else format_flags_masked(
            CT_STATE_NAMES, state, host_int(m) & 0xFF
        )
    if attr == key.CT_STATE and mask is not None:
        return f"{c_hex(host_int(value))}/{c_hex(host_int(m))}"
    if attr == key.IN_PORT and ports is not None and m == _ones(4):
        number = host_int(value)
        return ports.get(number, str(number))
    if attr == key.IN_PORT:
        decimal = str(host_int(value))
        return decimal if m == _ones(4) else f"{decimal}/{c_hex(host_int(m))}"
    if attr in key.HOST_ORDER:
        return _format_number(value, m)
    return value.hex()


def _shown_though_wild(attr: int, value: bytes, masks: dict[int, bytes], verbose: bool) -> bool:
    """Whether an attribute that the mask leaves out is printed, be it as "eth()"."""
    if attr == key.TCP_FLAGS:
        return verbose and any(value)
    if attr == key.ETHERNET and not verbose:
        # "eth()" says that it is an Ethernet packet, unless the packet type does.
        return not any(masks.get(key.PACKET_TYPE, b""))
    return verbose or attr == key.ENCAP


def format_key_attrs(
    data: bytes, mask: bytes | None = None, verbose: bool = False, ports: PortNames = None, outer: bool = True
) -> str:
    """Key attributes (and their mask's) as text; `outer` False for what a VLAN tag encapsulates.

    NlAttrError if they are malformed.
    """
    masks = parse(mask) if mask is not None else {}
    words = []
    seen = set()
    for attr, at, size in attributes(data):
        seen.add(attr)
        value = data[at : at + size]
        m = masks.get(attr, bytes(size)) if mask is not None else None
        wild = m is not None and not any(m)
        if attr == key.VLAN and not outer and m == _TAGGED:
            wild = True  # that there is a second tag is what the type before it says
        if wild and not _shown_though_wild(attr, value, masks, verbose):
            continue
        name = ATTR_NAMES.get(attr, f"key{attr}")
        try:
            words.append(f"{name}({_format_attr(attr, value, m, verbose, ports)})")
        except (IndexError, NlAttrError):
            words.append(f"{name}(bad length {size})")
    if outer and key.ETHERTYPE in masks and key.ETHERTYPE not in seen and any(masks[key.ETHERTYPE]):
        words.append("eth_type(0/0xffff)")
    return ",".join(words)
