"""Matches and flows as text, exactly as `ovs-ofctl` and `ofproto/trace` print them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, final

from vswitch.flow import layout as at
from vswitch.flow.field import Field, Format, Prereq
from vswitch.flow.fields import FIELDS, N_REGS, PART_BY_NAME, by_name
from vswitch.flow.flags import (
    CT_STATE_NAMES,
    TCP_FLAG_NAMES,
    TUN_FLAG_NAMES,
    format_flags,
    format_flags_masked,
)
from vswitch.flow.flow import Flow
from vswitch.flow.prereq import (
    effective_dl_type,
    is_nd,
)
from vswitch.flow.tun_option import TunOption, tun_option_size
from vswitch.flow.values import (
    c_hex,
    format_frag,
    format_masked_ipv4,
    format_masked_ipv6,
    format_masked_mac,
    format_packet_type,
    format_port,
)
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
    ETH_TYPE_RARP,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

DEFAULT_PRIORITY = 32768
MPLS_BOS = 0x100
"""In a label stack entry: the bottom of the stack (RFC 3032, 2.1)."""

Style = Callable[[str, int, int, int], str]
"""(label, value, mask, the field's mask of ones) -> the text of a field that the mask has bits of."""

_IP_NAMES = {IPPROTO_ICMP: "icmp", IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_SCTP: "sctp"}
_IPV6_NAMES = {IPPROTO_ICMPV6: "icmp6", IPPROTO_TCP: "tcp6", IPPROTO_UDP: "udp6", IPPROTO_SCTP: "sctp6"}
_TYPE_NAMES = {
    ETH_TYPE_ARP: "arp", ETH_TYPE_RARP: "rarp", ETH_TYPE_MPLS: "mpls", ETH_TYPE_MPLS_MCAST: "mplsm",
}  # fmt: skip
_ALL_TUN_FLAGS = PART_BY_NAME["tun_all_flags"]


# Styles.


def _hex(label: str, value: int, mask: int, ones: int) -> str:
    """0x5 or 0x5/0xff, with 0 as "0"."""
    return f"{label}={c_hex(value)}" + ("" if mask == ones else f"/{c_hex(mask)}")


def _hex_whole(label: str, value: int, mask: int, ones: int) -> str:
    """0x5, whatever the mask."""
    return f"{label}={c_hex(value)}"


def _hex_2(label: str, value: int, mask: int, ones: int) -> str:
    """Hexadecimal without a prefix, whatever the mask."""
    return f"{label}={value:x}"


def _hex_5(label: str, value: int, mask: int, ones: int) -> str:
    """Five hexadecimal digits."""
    return f"{label}=0x{value:05x}" + ("" if mask == ones else f"/0x{mask:05x}")


def _dec(label: str, value: int, mask: int, ones: int) -> str:
    """A decimal number, whatever the mask."""
    return f"{label}={value}"


def _be16(label: str, value: int, mask: int, ones: int) -> str:
    """Decimal if exact, else 0x5/0xff."""
    return f"{label}={value}" if mask == ones else f"{label}=0x{value:x}/0x{mask:x}"


def _be32(label: str, value: int, mask: int, ones: int) -> str:
    """Decimal if exact, else eight hexadecimal digits each."""
    return f"{label}={value}" if mask == ones else f"{label}=0x{value:08x}/0x{mask:08x}"


def _nsh8(label: str, value: int, mask: int, ones: int) -> str:
    """Decimal if exact, else two hexadecimal digits each."""
    return f"{label}={value}" if mask == ones else f"{label}=0x{value:02x}/0x{mask:02x}"


def _nsh32(label: str, value: int, mask: int, ones: int) -> str:
    return f"{label}=0x{value:x}" + ("" if mask == ones else f"/0x{mask:x}")


def _ipv4(label: str, value: int, mask: int, ones: int) -> str:
    return f"{label}={format_masked_ipv4(value, mask)}"


def _ipv6(label: str, value: int, mask: int, ones: int) -> str:
    return f"{label}={format_masked_ipv6(value, mask)}"


def _mac(label: str, value: int, mask: int, ones: int) -> str:
    return f"{label}={format_masked_mac(value, mask)}"


def _flags(label: str, names: dict[str, int], full: int, value: int, mask: int) -> str:
    if mask & full == full:
        return f"{label}={format_flags(names, value)}"
    return f"{label}={format_flags_masked(names, value, mask)}"


def _ct_state(label: str, value: int, mask: int, ones: int) -> str:
    return _flags(label, CT_STATE_NAMES, 0xFF, value, mask)


def _tun_flags(label: str, value: int, mask: int, ones: int) -> str:
    return _flags(label, TUN_FLAG_NAMES, at.TUN_F_ALL, value, mask)


def _tcp_flags(label: str, value: int, mask: int, ones: int) -> str:
    return _flags(label, TCP_FLAG_NAMES, 0xFFF, value, mask)


# The fields in the order in which they are printed, by what a packet must be to have them.


@final
class _Row:
    """A field of a table, with the name that it is printed under."""

    def __init__(self, label: str, field: Field, style: Style) -> None:
        self.label = label
        self.field = field
        self.style = style


def _rows(style: Style, names: str) -> list[_Row]:
    """`names` in `style`; "label=name" for a field that is printed under another name."""
    rows = []
    for word in names.split():
        label, _, name = word.rpartition("=")
        field = PART_BY_NAME.get(name) or by_name(name)
        rows.append(_Row(label or name, field, style))
    return rows


_PIPELINE = [
    *_rows(_hex, "pkt_mark recirc_id dp_hash"), *_rows(_dec, "conj_id"), *_rows(_hex_whole, "skb_priority"),
]  # fmt: skip
_CONNECTION = [
    *_rows(_ct_state, "ct_state"), *_rows(_be16, "ct_zone"), *_rows(_hex, "ct_mark ct_label"),
]  # fmt: skip
_CT_TUPLE = [
    *_rows(_ipv4, "ct_nw_src"), *_rows(_ipv6, "ct_ipv6_src"), *_rows(_ipv4, "ct_nw_dst"),
    *_rows(_ipv6, "ct_ipv6_dst"), *_rows(_dec, "ct_nw_proto"), *_rows(_be16, "ct_tp_src ct_tp_dst"),
]  # fmt: skip
_REGS = _rows(_hex, " ".join(f"reg{n}" for n in range(N_REGS)))
_METADATA = _rows(_hex, "metadata")
_TUNNEL = [
    *_rows(_hex, "tun_id"), *_rows(_ipv4, "tun_src tun_dst"), *_rows(_ipv6, "tun_ipv6_src tun_ipv6_dst"),
    *_rows(_be16, "tun_gbp_id"), *_rows(_hex, "tun_gbp_flags"), *_rows(_hex_2, "tun_tos"),
    *_rows(_dec, "tun_ttl tun_erspan_ver"),
]  # fmt: skip
_ERSPAN = {
    1: _rows(_hex, "tun_erspan_idx"),
    2: [*_rows(_dec, "tun_erspan_dir"), *_rows(_hex, "tun_erspan_hwid")],
}
"""What depends on the ERSPAN version."""
_GTPU = [*_rows(_hex, "gtpu_flags=tun_gtpu_flags"), *_rows(_dec, "gtpu_msgtype=tun_gtpu_msgtype")]
_TUN_FLAGS = _rows(_tun_flags, "tun_flags=tun_all_flags")
_ETHERNET = _rows(_mac, "dl_src=eth_src dl_dst=eth_dst")
_IPV4 = _rows(_ipv4, "nw_src=ip_src nw_dst=ip_dst")
_IPV6 = [*_rows(_ipv6, "ipv6_src ipv6_dst"), *_rows(_hex_5, "ipv6_label")]
_PROTO = _rows(_dec, "nw_proto")
_ARP_OP = _rows(_dec, "arp_op=nw_proto")
_ARP_IP = _rows(_ipv4, "arp_spa arp_tpa")
_ARP = _rows(_mac, "arp_sha arp_tha")
_NSH = [
    *_rows(_nsh8, "nsh_flags nsh_ttl nsh_mdtype nsh_np"), *_rows(_nsh32, "nsh_spi"), *_rows(_nsh8, "nsh_si"),
]  # fmt: skip
_NSH_CONTEXT = _rows(_nsh32, "nsh_c1 nsh_c2 nsh_c3 nsh_c4")
_IP = _rows(_dec, "nw_tos nw_ecn nw_ttl")
_MPLS = [*_rows(_dec, "mpls_label mpls_tc mpls_ttl mpls_bos"), *_rows(_be32, "mpls_lse1 mpls_lse2")]
_ICMP = _rows(_be16, "icmp_type icmp_code")
_ICMPV6 = [
    *_rows(_be16, "icmp_type=icmpv6_type icmp_code=icmpv6_code"), *_rows(_ipv6, "nd_target"),
    *_rows(_mac, "nd_sll nd_tll"), *_rows(_dec, "nd_reserved"), *_rows(_be16, "nd_options_type"),
]  # fmt: skip
_PORTS = _rows(_be16, "tp_src=tcp_src tp_dst=tcp_dst")
_TCP = _rows(_tcp_flags, "tcp_flags")
_BY_HAND = _rows(_hex, "actset_output packet_type in_port vlan_tci eth_type ip_frag")
"""Fields that are printed in a way of their own."""
_TABLES: dict[Prereq, list[_Row]] = {
    Prereq.NONE: _PIPELINE, Prereq.CT: _CT_TUPLE, Prereq.ETHERNET: _ETHERNET, Prereq.MPLS: _MPLS,
    Prereq.IPV4: _IPV4, Prereq.IPV6: _IPV6, Prereq.IP_ANY: _IP, Prereq.ARP: _ARP, Prereq.NSH: _NSH,
    Prereq.TCP: _TCP, Prereq.UDP: _PORTS, Prereq.SCTP: _PORTS, Prereq.ICMPV4: _ICMP,
    Prereq.ICMPV6: _ICMPV6, Prereq.ND: _ICMPV6, Prereq.ND_SOLICIT: _ICMPV6, Prereq.ND_ADVERT: _ICMPV6,
    Prereq.VLAN_VID: _ETHERNET,
}  # fmt: skip
"""Where a field of a prerequisite goes that no table names."""
_STYLES = {
    Format.DECIMAL: _dec, Format.ETHERNET: _mac, Format.IPV4: _ipv4, Format.IPV6: _ipv6,
}  # fmt: skip


def _add_unlisted() -> None:
    """Put the fields of the registry that no table names behind the others of their prerequisite."""
    there = [
        *_PIPELINE, *_CONNECTION, *_CT_TUPLE, *_REGS, *_METADATA, *_TUNNEL, *_ERSPAN[1], *_ERSPAN[2], *_GTPU,
        *_TUN_FLAGS, *_ETHERNET, *_IPV4, *_IPV6, *_PROTO, *_ARP_IP, *_ARP, *_NSH, *_NSH_CONTEXT, *_IP, *_MPLS,
        *_ICMP, *_ICMPV6, *_PORTS, *_TCP, *_BY_HAND,
    ]  # fmt: skip
    for field in FIELDS:
        if field.option < 0 and not any(field.overlaps(row.field) for row in there):
            in_tunnel = at.W_TUNNEL <= field.word < at.W_TUNNEL_END
            table = _TUNNEL if in_tunnel else _TABLES[field.prereq]
            table.append(_Row(field.name, field, _STYLES.get(field.fmt, _hex)))


_add_unlisted()


@final
class _Printer:
    """The parts of one match's text, in order. Each method adds fields that the mask has bits of."""

    def __init__(self, flow: Flow, mask: Flow, options: list[str]) -> None:
        self.flow = flow
        self.mask = mask
        self.options = options
        """The tunnel options, which only who called knows where to find."""
        self.out: list[str] = []

    def put(self, rows: list[_Row]) -> None:
        """The fields of a table."""
        for row in rows:
            mask = self.mask.bits(row.field)
            if mask:
                self.out.append(row.style(row.label, self.flow.bits(row.field), mask, row.field.ones))

    def vlan(self, n: int) -> None:
        """The outer (0) or inner (1) tag."""
        mask = self.mask.vlan_tci1 if n else self.mask.vlan_tci
        if not mask:
            return
        value = self.flow.vlan_tci1 if n else self.flow.vlan_tci
        number = str(n) if n else ""
        vid_mask = mask & at.VLAN_VID_MASK
        pcp_mask = mask & at.VLAN_PCP_MASK
        whole = vid_mask in (0, at.VLAN_VID_MASK) and pcp_mask in (0, at.VLAN_PCP_MASK)
        if mask & value & at.VLAN_CFI and whole and (vid_mask or pcp_mask):
            if vid_mask:
                self.out.append(f"dl_vlan{number}={value & at.VLAN_VID_MASK}")
            if pcp_mask:
                self.out.append(f"dl_vlan_pcp{number}={value >> at.VLAN_PCP_SHIFT}")
        elif mask == 0xFFFF:
            self.out.append(f"vlan_tci{number}=0x{value:04x}")
        else:
            self.out.append(f"vlan_tci{number}=0x{value:04x}/0x{mask:04x}")

    def tunnel(self) -> None:
        """All of the tunnel."""
        self.put(_TUNNEL)
        self.put(_ERSPAN.get(self.flow.get(_ERSPAN_VER), []))
        self.put(_GTPU)
        self.put(_TUN_FLAGS)
        self.out += self.options

    def nsh(self) -> None:
        """The NSH header."""
        self.put(_NSH)
        if self.flow.get(_NSH_MDTYPE) == 1:
            self.put(_NSH_CONTEXT)


_ERSPAN_VER = by_name("tun_erspan_ver")
_NSH_MDTYPE = by_name("nsh_mdtype")


def _metadata(p: _Printer, actset_port: str) -> None:
    """What precedes the protocol. A match with recirc_id is a megaflow's."""
    p.put(_PIPELINE)
    if p.mask.actset_output:
        p.out.append(f"actset_output={actset_port}")
    p.put(_CONNECTION)
    p.put(_CT_TUPLE)
    if p.mask.packet_type and (p.flow.packet_type or p.mask.recirc_id != 0):
        value = p.flow.packet_type
        p.out.append(f"packet_type={format_packet_type(value)}" if value else "eth")


def _protocol(p: _Printer, dl_type: int) -> tuple[bool, bool]:
    """The protocol's shorthand; whether it said the Ethernet type, and the IP protocol too."""
    if not p.mask.dl_type:
        return False, False
    if dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        names = _IP_NAMES if dl_type == ETH_TYPE_IP else _IPV6_NAMES
        name = names.get(p.flow.nw_proto) if p.mask.nw_proto else None
        p.out.append(name or ("ip" if dl_type == ETH_TYPE_IP else "ipv6"))
        return True, name is not None
    if dl_type in _TYPE_NAMES:
        p.out.append(_TYPE_NAMES[dl_type])
        return True, False
    return False, False


def _transport(p: _Printer, dl_type: int) -> None:
    proto = p.flow.nw_proto
    if dl_type == ETH_TYPE_IP and proto == IPPROTO_ICMP:
        p.put(_ICMP)
    elif dl_type == ETH_TYPE_IPV6 and proto == IPPROTO_ICMPV6:
        p.put(_ICMPV6)
    else:
        p.put(_PORTS)
    if dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6) and proto == IPPROTO_TCP:
        p.put(_TCP)


def _matched_options(options: dict[int, TunOption]) -> list[str]:
    """What a match says of tunnel options. A mask counts as an exact value of its width as long as nobody
    said how long the option is."""
    out = []
    for n in sorted(options):
        value, mask, size = options[n]
        if mask == 0 or size == 0:
            out.append(f"tun_metadata{n}")
            continue
        width = size if size >= 0 else tun_option_size(value, mask)
        exact = mask < 0 or mask == (1 << 8 * width) - 1
        out.append(f"tun_metadata{n}={c_hex(value)}" + ("" if exact else f"/{c_hex(mask)}"))
    return out


def _packet_options(flow: Flow, mask: Flow, options: Sequence[Field]) -> list[str]:
    """The bits of a packet's tunnel options that `mask` has; NP is an option that is not present."""
    out = []
    for field in options:
        if not mask.has_option(field.option):
            continue
        if not flow.has_option(field.option):
            out.append(f"{field.name}=NP")
            continue
        bits = mask.bits(field)
        text = f"={c_hex(flow.bits(field) & bits)}" if bits else ""
        out.append(field.name + text + ("" if bits in (0, field.ones) else f"/{c_hex(bits)}"))
    return out


def _format(flow: Flow, mask: Flow, ports: Mapping[int, str] | None, options: list[str]) -> list[str]:
    p = _Printer(flow, mask, options)
    _metadata(p, format_port(flow.actset_output, ports))
    dl_type = effective_dl_type(flow) if mask.packet_type else flow.dl_type
    type_said, proto_said = _protocol(p, dl_type)
    p.put(_REGS)
    p.tunnel()
    p.put(_METADATA)
    if mask.in_port:
        p.out.append(f"in_port={format_port(flow.in_port, ports)}")
    p.vlan(0)
    p.vlan(1)
    p.put(_ETHERNET)
    if mask.dl_type and not type_said:
        p.out.append(f"dl_type=0x{dl_type:04x}")
    arp = dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP)
    p.put(_IPV6 if dl_type == ETH_TYPE_IPV6 else _ARP_IP if arp else _IPV4)
    if flow.dl_type == ETH_TYPE_NSH or dl_type == ETH_TYPE_NSH:
        p.nsh()
    if not proto_said:
        p.put(_ARP_OP if arp else _PROTO)
    if arp:
        p.put(_ARP)
    p.put(_IP)
    p.put(_MPLS)
    frag_mask = mask.nw_frag
    if frag_mask:
        p.out.append(f"nw_frag={format_frag(flow.nw_frag, frag_mask)}")
    _transport(p, dl_type)
    return p.out


class Matching(Protocol):
    """What there is to print of a `Match`."""

    flow: Flow
    mask: Flow
    options: dict[int, TunOption] | None


def format_match(match: Matching, priority: int | None = None, ports: Mapping[int, str] | None = None) -> str:
    """The match as `ovs-ofctl dump-flows` prints it; "" for one that matches everything.

    `priority` is printed unless it is None or the default; `ports` names OpenFlow ports.
    """
    out = [] if priority is None or priority == DEFAULT_PRIORITY else [f"priority={priority}"]
    options = _matched_options(match.options) if match.options else []
    return ",".join(out + _format(match.flow, match.mask, ports, options))


def format_megaflow(
    flow: Flow, mask: Flow, ports: Mapping[int, str] | None = None, options: Sequence[Field] = ()
) -> str:
    """The bits of `flow` that `mask` has, as `ofproto/trace` prints its "Megaflow:" line.

    `options` are the tunnel options of the flow's switch, by number.
    """
    return ",".join(_format(flow.masked(mask), mask, ports, _packet_options(flow, mask, options)))


_SHOWN_IF_NONZERO = [
    row.field for row in (*_PIPELINE, *_CONNECTION, *_METADATA, *_REGS) if row.label != "conj_id"
]
_TUNNEL_FIELDS = [
    row.field for row in (*_TUNNEL, *_ERSPAN[1], *_ERSPAN[2], *_GTPU) if row.label != "tun_id"
]  # fmt: skip
_TUN_ID = by_name("tun_id")
_TUN_IPV6_DST = by_name("tun_ipv6_dst")
_CT_NW_PROTO = by_name("ct_nw_proto")


def packet_mask(flow: Flow, options: Sequence[Field] = ()) -> Flow:
    """The mask of every field that a packet with `flow` has, apart from metadata that is zero."""
    mask = Flow()
    for field in _SHOWN_IF_NONZERO:
        if flow.bits(field):
            mask.set_ones(field)
    if flow.in_port:
        mask.in_port = 0xFFFF
    mask.packet_type = 0xFFFFFFFF
    if flow.tun_dst or flow.get(_TUN_IPV6_DST):
        for field in _TUNNEL_FIELDS:
            mask.set_ones(field)
        mask.set(_ALL_TUN_FLAGS, at.TUN_F_ALL)
        if flow.get(_ALL_TUN_FLAGS) & at.TUN_F_KEY:
            mask.set_ones(_TUN_ID)
        for field in options:
            if flow.has_option(field.option):
                mask.set_ones(field)
                mask.set_option(field.option)
    elif flow.tun_id:
        mask.set_ones(_TUN_ID)
    if flow.packet_type == 0:
        mask.dl_src = mask.dl_dst = 0xFFFFFFFFFFFF
        mask.dl_type = 0xFFFF
        mask.vlan_tci = 0xFFFF
        if flow.vlan_tci:
            mask.vlan_tci1 = 0xFFFF
    _mask_network(flow, mask)
    return mask


def _ones(mask: Flow, rows: list[_Row]) -> None:
    for row in rows:
        mask.set_ones(row.field)


def _mask_network(flow: Flow, mask: Flow) -> None:
    """What the packet's Ethernet type brings with it."""
    dl_type = effective_dl_type(flow)
    if dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        _ones(mask, _ARP_OP)
        _ones(mask, _ARP_IP)
        _ones(mask, _ARP)
    elif dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        _mask_mpls(flow, mask)
    elif dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        _mask_ip(flow, mask, dl_type)
    elif flow.dl_type == ETH_TYPE_NSH:
        _ones(mask, _NSH)
        _ones(mask, _NSH_CONTEXT)
        _mask_ip_header(mask)


def _mask_mpls(flow: Flow, mask: Flow) -> None:
    """The label stack, down to its bottom."""
    for name in ("mpls_lse", "mpls_lse1", "mpls_lse2"):
        mask.set_ones(PART_BY_NAME[name])
        if flow.get(PART_BY_NAME[name]) & MPLS_BOS:
            break


def _mask_ip(flow: Flow, mask: Flow, dl_type: int) -> None:
    _ones(mask, _IPV4 if dl_type == ETH_TYPE_IP else _IPV6)
    # Of a packet without Ethernet header Open vSwitch shows a connection's addresses even if there is none.
    state = flow.ct_state
    has_tuple = state != 0 and not state & at.CS_INVALID and flow.get(_CT_NW_PROTO) != 0
    if has_tuple or flow.dl_type not in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        for name in _CT_ADDRESSES[dl_type]:
            mask.set_ones(by_name(name))
    if has_tuple:
        for name in ("ct_nw_proto", "ct_tp_src", "ct_tp_dst"):
            mask.set_ones(by_name(name))
    _mask_ip_header(mask)
    if not flow.nw_frag & at.FRAG_LATER or (dl_type == ETH_TYPE_IPV6 and flow.nw_proto == IPPROTO_ICMPV6):
        _mask_transport(flow, mask)


_CT_ADDRESSES = {
    ETH_TYPE_IP: ("ct_nw_src", "ct_nw_dst"),
    ETH_TYPE_IPV6: ("ct_ipv6_src", "ct_ipv6_dst"),
}


def _mask_ip_header(mask: Flow) -> None:
    mask.nw_frag = 3
    mask.nw_tos = mask.nw_ttl = mask.nw_proto = 0xFF


def _mask_transport(flow: Flow, mask: Flow) -> None:
    proto = flow.nw_proto
    if proto in (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_IGMP):
        mask.tp_src = mask.tp_dst = 0xFFFF
    if proto == IPPROTO_TCP:
        mask.tcp_flags = 0xFFF
    elif is_nd(flow):
        for name in ("nd_target", "arp_sha", "arp_tha"):
            mask.set_ones(by_name(name))
    elif proto == IPPROTO_IGMP:
        mask.set_ones(PART_BY_NAME["igmp_group_ip4"])


def format_flow(
    flow: Flow, ports: Mapping[int, str] | None = None, options: Sequence[Field] = ()
) -> str:
    """One packet's flow, as `ofproto/trace` prints it after "Flow: ".

    `options` are the tunnel options of the flow's switch, by number.
    """
    mask = packet_mask(flow, options)
    return ",".join(_format(flow, mask, ports, _packet_options(flow, mask, options)))
