"""Matches and flows as text, exactly as `ovs-ofctl` and `ofproto/trace` print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vswitch.flow import layout as at
from vswitch.flow.field import Field
from vswitch.flow.fields import FIELDS, N_REGS, PART_BY_NAME, by_name
from vswitch.flow.flags import (
    CT_STATE_NAMES,
    TCP_FLAG_NAMES,
    TUN_FLAG_NAMES,
    format_flags,
    format_flags_masked,
)
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match, TunOption, tun_option_size
from vswitch.flow.prereq import (
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
    effective_dl_type,
    is_nd,
)
from vswitch.flow.values import (
    c_hex,
    format_frag,
    format_masked_ipv4,
    format_masked_ipv6,
    format_masked_mac,
    format_packet_type,
    format_port,
)

DEFAULT_PRIORITY = 32768

_IP_NAMES = {IPPROTO_ICMP: "icmp", IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_SCTP: "sctp"}
_IPV6_NAMES = {IPPROTO_ICMPV6: "icmp6", IPPROTO_TCP: "tcp6", IPPROTO_UDP: "udp6", IPPROTO_SCTP: "sctp6"}
_TYPE_NAMES = {
    ETH_TYPE_ARP: "arp", ETH_TYPE_RARP: "rarp", ETH_TYPE_MPLS: "mpls", ETH_TYPE_MPLS_MCAST: "mplsm",
}  # fmt: skip
_ALL_TUN_FLAGS = PART_BY_NAME["tun_all_flags"]
_REGS = [by_name(f"reg{n}") for n in range(N_REGS)]


class _Printer:
    """The parts of one match's text, in order. Each method adds one field if the mask has bits of it."""

    def __init__(self, flow: Flow, mask: Flow, options: list[str]) -> None:
        self.flow = flow
        self.mask = mask
        self.options = options
        """The tunnel options, which only who called knows where to find."""
        self.out: list[str] = []

    def _get(self, name: str) -> tuple[int, int, int]:
        field = PART_BY_NAME.get(name) or by_name(name)
        return self.flow.bits(field), self.mask.bits(field), field.ones

    def hex(self, label: str, name: str = "") -> None:
        """0x5 or 0x5/0xff, with 0 as "0"."""
        value, mask, ones = self._get(name or label)
        if mask:
            self.out.append(f"{label}={c_hex(value)}" + ("" if mask == ones else f"/{c_hex(mask)}"))

    def wide_hex(self, label: str, digits: int) -> None:
        """A fixed number of hexadecimal digits."""
        value, mask, ones = self._get(label)
        if mask:
            tail = "" if mask == ones else f"/0x{mask:0{digits}x}"
            self.out.append(f"{label}=0x{value:0{digits}x}{tail}")

    def dec(self, label: str, name: str = "") -> None:
        """A decimal number, whatever the mask."""
        value, mask, _ = self._get(name or label)
        if mask:
            self.out.append(f"{label}={value}")

    def be16(self, label: str, name: str = "") -> None:
        """Decimal if exact, else 0x5/0xff."""
        value, mask, ones = self._get(name or label)
        if mask == ones:
            self.out.append(f"{label}={value}")
        elif mask:
            self.out.append(f"{label}=0x{value:x}/0x{mask:x}")

    def be32(self, label: str) -> None:
        """Decimal if exact, else eight hexadecimal digits each."""
        value, mask, ones = self._get(label)
        if mask == ones:
            self.out.append(f"{label}={value}")
        elif mask:
            self.out.append(f"{label}=0x{value:08x}/0x{mask:08x}")

    def nsh8(self, label: str) -> None:
        """Decimal if exact, else two hexadecimal digits each."""
        value, mask, ones = self._get(label)
        if mask == ones:
            self.out.append(f"{label}={value}")
        elif mask:
            self.out.append(f"{label}=0x{value:02x}/0x{mask:02x}")

    def lse(self, label: str) -> None:
        """A label stack entry: as `hex` if exact, else eight hexadecimal digits each."""
        value, mask, ones = self._get(label)
        if mask == ones:
            self.out.append(f"{label}={c_hex(value)}")
        elif mask:
            self.out.append(f"{label}=0x{value:08x}/0x{mask:08x}")

    def nsh32(self, label: str) -> None:
        value, mask, ones = self._get(label)
        if mask == ones:
            self.out.append(f"{label}=0x{value:x}")
        elif mask:
            self.out.append(f"{label}=0x{value:x}/0x{mask:x}")

    def ipv4(self, label: str, name: str = "") -> None:
        value, mask, _ = self._get(name or label)
        if mask:
            self.out.append(f"{label}={format_masked_ipv4(value, mask)}")

    def ipv6(self, label: str) -> None:
        value, mask, _ = self._get(label)
        if mask:
            self.out.append(f"{label}={format_masked_ipv6(value, mask)}")

    def mac(self, label: str, name: str = "") -> None:
        value, mask, _ = self._get(name or label)
        if mask:
            self.out.append(f"{label}={format_masked_mac(value, mask)}")

    def flags(self, label: str, name: str, names: dict[str, int], full: int) -> None:
        value, mask, _ = self._get(name)
        if mask & full == full:
            self.out.append(f"{label}={format_flags(names, value)}")
        elif mask:
            self.out.append(f"{label}={format_flags_masked(names, value, mask)}")

    def vlan(self, n: int) -> None:
        """The outer (0) or inner (1) tag."""
        value, mask, _ = self._get("vlan_tci1" if n else "vlan_tci")
        if not mask:
            return
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
        self.hex("tun_id")
        self.ipv4("tun_src")
        self.ipv4("tun_dst")
        self.ipv6("tun_ipv6_src")
        self.ipv6("tun_ipv6_dst")
        self.be16("tun_gbp_id")
        self.hex("tun_gbp_flags")
        tos, tos_mask, _ = self._get("tun_tos")
        if tos_mask:
            self.out.append(f"tun_tos={tos:x}")
        self.dec("tun_ttl")
        version = self.flow.get(by_name("tun_erspan_ver"))
        self.dec("tun_erspan_ver")
        if version == 1:
            self.hex("tun_erspan_idx")
        if version == 2:
            self.dec("tun_erspan_dir")
            self.hex("tun_erspan_hwid")
        self.hex("gtpu_flags", "tun_gtpu_flags")
        self.dec("gtpu_msgtype", "tun_gtpu_msgtype")
        self.flags("tun_flags", "tun_all_flags", TUN_FLAG_NAMES, at.TUN_F_ALL)
        self.out += self.options

    def nsh(self) -> None:
        """The NSH header."""
        for name in ("nsh_flags", "nsh_ttl", "nsh_mdtype", "nsh_np"):
            self.nsh8(name)
        self.nsh32("nsh_spi")
        self.nsh8("nsh_si")
        if self.flow.get(by_name("nsh_mdtype")) == 1:
            for n in range(1, 5):
                self.nsh32(f"nsh_c{n}")

    def mpls(self) -> None:
        """The outermost label by its parts, the others whole."""
        for name in ("mpls_label", "mpls_tc", "mpls_ttl", "mpls_bos"):
            self.dec(name)
        self.be32("mpls_lse1")
        self.be32("mpls_lse2")


def _metadata(p: _Printer, actset_port: str) -> bool:
    """What precedes the protocol; whether the match is a megaflow's (it has recirc_id)."""
    p.hex("pkt_mark")
    p.hex("recirc_id")
    p.hex("dp_hash")
    p.dec("conj_id")
    p.hex("skb_priority")
    if p.mask.actset_output:
        p.out.append(f"actset_output={actset_port}")
    p.flags("ct_state", "ct_state", CT_STATE_NAMES, 0xFF)
    p.be16("ct_zone")
    p.hex("ct_mark")
    p.hex("ct_label")
    p.ipv4("ct_nw_src")
    p.ipv6("ct_ipv6_src")
    p.ipv4("ct_nw_dst")
    p.ipv6("ct_ipv6_dst")
    p.dec("ct_nw_proto")
    p.be16("ct_tp_src")
    p.be16("ct_tp_dst")
    megaflow = p.mask.recirc_id != 0
    if p.mask.packet_type and (p.flow.packet_type or megaflow):
        value = p.flow.packet_type
        p.out.append(f"packet_type={format_packet_type(value)}" if value else "eth")
    return megaflow


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
        p.be16("icmp_type")
        p.be16("icmp_code")
    elif dl_type == ETH_TYPE_IPV6 and proto == IPPROTO_ICMPV6:
        p.be16("icmp_type", "icmpv6_type")
        p.be16("icmp_code", "icmpv6_code")
        p.ipv6("nd_target")
        p.mac("nd_sll")
        p.mac("nd_tll")
        p.dec("nd_reserved")
        p.be16("nd_options_type")
    else:
        p.be16("tp_src", "tcp_src")
        p.be16("tp_dst", "tcp_dst")
    if dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6) and proto == IPPROTO_TCP:
        p.flags("tcp_flags", "tcp_flags", TCP_FLAG_NAMES, 0xFFF)


def _matched_options(options: dict[int, TunOption]) -> list[str]:
    """What a match says of tunnel options. A mask is not told from an exact value of its width as long
    as nobody said how long the option is."""
    out = []
    for n in sorted(options):
        value, mask, size = options[n]
        if mask == 0:
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
    for field in _REGS:
        p.hex(field.name)
    p.tunnel()
    p.hex("metadata")
    if mask.in_port:
        p.out.append(f"in_port={format_port(flow.in_port, ports)}")
    p.vlan(0)
    p.vlan(1)
    p.mac("dl_src", "eth_src")
    p.mac("dl_dst", "eth_dst")
    if mask.dl_type and not type_said:
        p.out.append(f"dl_type=0x{dl_type:04x}")
    arp = dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP)
    if dl_type == ETH_TYPE_IPV6:
        p.ipv6("ipv6_src")
        p.ipv6("ipv6_dst")
        p.wide_hex("ipv6_label", 5)
    elif arp:
        p.ipv4("arp_spa")
        p.ipv4("arp_tpa")
    else:
        p.ipv4("nw_src", "ip_src")
        p.ipv4("nw_dst", "ip_dst")
    if flow.dl_type == ETH_TYPE_NSH or dl_type == ETH_TYPE_NSH:
        p.nsh()
    if not proto_said:
        p.dec("arp_op" if arp else "nw_proto", "nw_proto")
    if arp:
        p.mac("arp_sha")
        p.mac("arp_tha")
    p.dec("nw_tos")
    p.dec("nw_ecn")
    p.dec("nw_ttl")
    p.mpls()
    frag_mask = mask.nw_frag
    if frag_mask:
        p.out.append(f"nw_frag={format_frag(flow.nw_frag, frag_mask)}")
    _transport(p, dl_type)
    return p.out


def format_match(match: Match, priority: int | None = None, ports: Mapping[int, str] | None = None) -> str:
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
    by_name(name)
    for name in ("pkt_mark", "recirc_id", "dp_hash", "skb_priority", "ct_state", "ct_zone", "ct_mark",
                 "ct_label", "metadata", *[f"reg{n}" for n in range(N_REGS)])
]  # fmt: skip
_TUNNEL_FIELDS = [
    by_name(name)
    for name in ("tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "tun_gbp_id", "tun_gbp_flags",
                 "tun_erspan_ver", "tun_erspan_idx", "tun_erspan_dir", "tun_erspan_hwid", "tun_gtpu_flags",
                 "tun_gtpu_msgtype", "tun_tos", "tun_ttl")
]  # fmt: skip


def packet_mask(flow: Flow, options: Sequence[Field] = ()) -> Flow:
    """The mask of every field that a packet with `flow` has, apart from metadata that is zero."""
    mask = Flow()
    for field in _SHOWN_IF_NONZERO:
        if flow.bits(field):
            mask.set_ones(field)
    if flow.in_port:
        mask.in_port = 0xFFFF
    mask.packet_type = 0xFFFFFFFF
    if flow.tun_dst or flow.get(by_name("tun_ipv6_dst")):
        for field in _TUNNEL_FIELDS:
            mask.set_ones(field)
        mask.set(_ALL_TUN_FLAGS, at.TUN_F_ALL)
        if flow.get(_ALL_TUN_FLAGS) & at.TUN_F_KEY:
            mask.set_ones(by_name("tun_id"))
        for field in options:
            if flow.has_option(field.option):
                mask.set_ones(field)
                mask.set_option(field.option)
    elif flow.tun_id:
        mask.set_ones(by_name("tun_id"))
    if flow.packet_type == 0:
        mask.dl_src = mask.dl_dst = 0xFFFFFFFFFFFF
        mask.dl_type = 0xFFFF
        mask.vlan_tci = 0xFFFF
        if flow.vlan_tci:
            mask.vlan_tci1 = 0xFFFF
    _mask_network(flow, mask)
    return mask


def _mask_network(flow: Flow, mask: Flow) -> None:
    dl_type = effective_dl_type(flow)
    if dl_type == ETH_TYPE_IP:
        names = ["ip_src", "ip_dst", "ct_nw_src", "ct_nw_dst"]
    elif dl_type == ETH_TYPE_IPV6:
        names = ["ipv6_src", "ipv6_dst", "ipv6_label", "ct_ipv6_src", "ct_ipv6_dst"]
    elif dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        for name in ("arp_spa", "arp_tpa", "arp_op", "arp_sha", "arp_tha"):
            mask.set_ones(by_name(name))
        return
    elif dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        for name in ("mpls_lse", "mpls_lse1", "mpls_lse2"):
            mask.set_ones(PART_BY_NAME[name])
            if flow.get(PART_BY_NAME[name]) & 0x100:
                break
        return
    elif flow.dl_type == ETH_TYPE_NSH:
        names = [field.name for field in FIELDS if field.name.startswith("nsh_")]
    else:
        return
    for name in names:
        mask.set_ones(by_name(name))
    if flow.get(by_name("ct_nw_proto")):
        for name in ("ct_nw_proto", "ct_tp_src", "ct_tp_dst"):
            mask.set_ones(by_name(name))
    elif flow.dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        for name in names:
            if name.startswith("ct_"):
                mask.set(by_name(name), 0)
    mask.nw_frag = 3
    mask.nw_tos = mask.nw_ttl = mask.nw_proto = 0xFF
    if flow.nw_frag & at.FRAG_LATER and not (dl_type == ETH_TYPE_IPV6 and flow.nw_proto == IPPROTO_ICMPV6):
        return
    if dl_type == ETH_TYPE_NSH:
        return
    _mask_transport(flow, mask)


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
