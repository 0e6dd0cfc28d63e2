"""OXM and NXM: a match as a list of TLVs (OpenFlow 1.3, 7.2.3; Nicira's NXM has the same form).

A TLV's header is class (16 bits), field (7), has-mask (1), length (8), and for class 0xffff an
experimenter follows. Which header names a field in a version comes from the registry
(`flow/fields.py`); which fields a match has, and in which order, are Open vSwitch's: outside in,
only those that its Ethernet type and protocol allow. Compiled by mypyc.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from vswitch.flow import layout as at
from vswitch.flow.field import Field, Prereq
from vswitch.flow.fields import BY_OXM, FIELDS, N_TUN_METADATA, by_name
from vswitch.flow.flow import Flow, port_from_oxm
from vswitch.flow.match import Match
from vswitch.flow.prereq import (
    effective_dl_type,
    prereqs_ok,
)
from vswitch.flow.tun_option import tun_option_size
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.version import OFP10, OFP15
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_RARP,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

NXM: Final = 0
"""The version to encode NXM for: Nicira's headers before OpenFlow's."""
EXPERIMENTER_CLASS: Final = 0xFFFF
OFPMT_OXM: Final = 1
NXM_NX_COOKIE: Final = 0x00013C08
"""The flow's cookie, in a request of the Nicira kind. Its number is NXM_NX_MPLS_TTL's too, its size not."""
NXM_NX_COOKIE_W: Final = 0x00013D10
MAX_TUN_METADATA: Final = 124
MAX_NSH_TTL: Final = 63
"""The NSH TTL has 6 bits (RFC 8300, 2.2), although the field has 8."""

_PACKET_TYPE: Final = by_name("packet_type")
_VLAN_VID: Final = by_name("vlan_vid")
_VLAN_PCP: Final = by_name("vlan_pcp")
_NSH_TTL: Final = by_name("nsh_ttl")
_NSH_MDTYPE: Final = by_name("nsh_mdtype")
_NSH: Final = Prereq.NSH


def is_tun_metadata(field: Field) -> bool:
    """Whether `field` is one of tun_metadata0..63, whose length varies."""
    return field.option >= 0


@final
class OxmEntry:
    """A field with its TLV header in one version: `head` without mask bit and length."""

    def __init__(self, field: Field, class_: int, number: int, experimenter: int) -> None:
        self.field = field
        self.word: i64 = field.word
        self.n_words: i64 = field.n_words
        self.in_place: i64 = field.in_place
        self.head: i64 = class_ << 16 | number << 9
        self.experimenter: i64 = experimenter
        self.size: i64 = field.n_bytes
        self.maskable = field.maskable
        self.variable = is_tun_metadata(field)
        self.wire_ones: int = field.ones
        """The mask that means all of the field, where it is compared in its width on the wire."""
        if field.name in ("ct_state", "tun_flags"):
            self.wire_ones = (1 << 8 * field.n_bytes) - 1


def _since(text: str) -> int:
    """ "1.3" as a version number; 0 for what belongs to no OpenFlow version."""
    return OFP10 + int(text[2:]) if text else NXM


def _entry(field: Field, version: int) -> OxmEntry | None:
    """How `version` names `field`: by the newest header that it knows, else by the oldest."""
    best = None
    best_since = -1
    for header in sorted(field.oxm, key=lambda h: _since(h.of_version)):
        since = _since(header.of_version)
        if best is None or best_since < since <= version:
            best, best_since = header, since
    if best is None:
        return None
    return OxmEntry(field, best.class_, best.number, best.experimenter)


_ENTRIES: Final[list[list[OxmEntry | None]]] = [
    [_entry(field, version) for field in FIELDS] for version in range(NXM, OFP15 + 1)
]
"""Version (0 is NXM) -> field's index -> its header. 1.0 and 1.1 name fields as NXM if it can."""


def oxm_entry(field: Field, version: int) -> OxmEntry:
    """How `version` (or NXM) names `field`. OfpError OFPBMC_BAD_FIELD: it has no name."""
    entry = _ENTRIES[min(version, OFP15)][field.index]
    if entry is None:
        raise OfpError("OFPBMC_BAD_FIELD", field.name)
    return entry


def _list(names: str, version: int) -> list[OxmEntry]:
    return [oxm_entry(by_name(name), version) for name in names.split()]


@final
class _Order:
    """The TLVs of a match in one version, in order, by what they depend on."""

    def __init__(self, version: int) -> None:
        oxm = version != NXM
        dscp = "ip_dscp" if oxm else "nw_tos"
        ip = f"ip_frag {dscp} nw_ecn nw_ttl"
        self.oxm = oxm
        self.packet_type = oxm_entry(_PACKET_TYPE, version)
        self.vlan_vid = oxm_entry(_VLAN_VID, version)
        self.vlan_pcp = oxm_entry(_VLAN_PCP, version)
        self.metadata = _list(
            f"dp_hash recirc_id conj_id {'in_port_oxm' if oxm else 'in_port'} actset_output", version
        )
        self.ethernet = _list("eth_src eth_dst eth_type", version)
        self.vlan_tci = _list("vlan_tci", version)
        self.mpls = _list("mpls_tc mpls_bos mpls_ttl mpls_label", version)
        # A label without IPv6 is only in a match that was read with no look at prerequisites.
        self.ipv4 = _list(f"ip_src ip_dst {ip} ipv6_label nw_proto", version)
        self.ipv6 = _list(f"ipv6_src ipv6_dst {ip} ipv6_label nw_proto", version)
        self.arp = _list("arp_op arp_spa arp_tpa arp_sha arp_tha", version)
        self.nsh = _list(
            "nsh_flags nsh_ttl nsh_mdtype nsh_np nsh_spi nsh_si nsh_c1 nsh_c2 nsh_c3 nsh_c4", version
        )
        self.tcp = _list("tcp_src tcp_dst tcp_flags", version)
        self.udp = _list("udp_src udp_dst", version)
        self.sctp = _list("sctp_src sctp_dst", version)
        self.icmp = _list("icmp_type icmp_code", version)
        nd = "icmpv6_type icmpv6_code nd_reserved nd_target nd_options_type"
        self.icmpv6 = _list(f"{nd} nd_sll nd_tll", version)
        self.tunnel = _list(
            "tun_id tun_flags tun_src tun_dst tun_ipv6_src tun_ipv6_dst tun_gbp_id tun_gbp_flags", version
        )
        self.tunnel_end = _list(
            "tun_erspan_idx tun_erspan_ver tun_erspan_dir tun_erspan_hwid tun_gtpu_flags tun_gtpu_msgtype",
            version,
        )
        self.tun_metadata = _list(" ".join(f"tun_metadata{n}" for n in range(N_TUN_METADATA)), version)
        self.regs = _list(
            " ".join([f"xreg{n}" for n in range(8)] if version >= OFP15 else [f"reg{n}" for n in range(16)]),
            version,
        )
        self.rest = _list(
            "pkt_mark ct_state ct_zone ct_mark ct_label ct_nw_src ct_ipv6_src ct_nw_dst ct_ipv6_dst "
            "ct_nw_proto ct_tp_src ct_tp_dst metadata",
            version,
        )
        self._add_unlisted(version)

    def _add_unlisted(self, version: int) -> None:
        """Behind the fields whose order is Open vSwitch's put those that no list has, by prerequisite."""
        lists = {
            Prereq.ETHERNET: [self.ethernet], Prereq.MPLS: [self.mpls], Prereq.IPV4: [self.ipv4],
            Prereq.IPV6: [self.ipv6], Prereq.IP_ANY: [self.ipv4, self.ipv6], Prereq.ARP: [self.arp],
            Prereq.NSH: [self.nsh], Prereq.TCP: [self.tcp], Prereq.UDP: [self.udp], Prereq.SCTP: [self.sctp],
            Prereq.ICMPV4: [self.icmp], Prereq.ICMPV6: [self.icmpv6],
            Prereq.ND: [self.icmpv6], Prereq.ND_SOLICIT: [self.icmpv6], Prereq.ND_ADVERT: [self.icmpv6],
            Prereq.CT: [self.rest],
        }  # fmt: skip
        once = [self.packet_type, *self.vlan_tci, *self.metadata, *self.tunnel, *self.tunnel_end, *self.regs]
        for field in FIELDS:
            in_tunnel = at.W_TUNNEL <= field.word < at.W_TUNNEL_END
            wanted = lists.get(field.prereq, [self.tunnel if in_tunnel else self.rest])
            entry = _ENTRIES[version][field.index]
            if entry is None or entry.variable or field.prereq is Prereq.VLAN_VID:
                continue
            for entries in wanted:
                if not any(field.overlaps(other.field) for other in [*once, *entries]):
                    entries.append(entry)


_ORDERS: Final = [_Order(version) for version in range(NXM, OFP15 + 1)]


def put_oxm_header(w: Writer, entry: OxmEntry, size: i64, masked: bool) -> None:
    """A TLV's header for a value of `size` bytes, experimenter included."""
    length = 2 * size if masked else size
    head = entry.head | (256 if masked else 0)
    if entry.experimenter:
        w.u32(head | (length + 4))
        w.u32(entry.experimenter)
    else:
        w.u32(head | length)


def put_oxm_field(w: Writer, field: Field, value: int, mask: int | None, version: int) -> None:
    """One TLV; `mask` None is an exact value. OfpError OFPBMC_BAD_FIELD: no header names the field.

    A tunnel option is as short as its value (and mask) allow.
    """
    entry = oxm_entry(field, version)
    size: i64 = entry.size
    if entry.variable:
        size = tun_option_size(value, -1 if mask is None else mask)
    _put_tlv(w, entry, size, value, mask)


def _put_tlv(w: Writer, entry: OxmEntry, size: i64, value: int, mask: int | None) -> None:
    put_oxm_header(w, entry, size, mask is not None)
    w.uint(value, size)
    if mask is not None:
        w.uint(mask, size)


def _put_list(w: Writer, entries: list[OxmEntry], flow: Flow, wc: Flow) -> None:
    """The TLVs of those of `entries` that the match is about."""
    words = wc.words
    for entry in entries:
        if entry.n_words == 1:
            if words[entry.word] & entry.in_place == 0:
                continue
        elif words[entry.word] == 0 and words[entry.word + 1] == 0:
            continue
        _put_matched(w, entry, flow, wc)


def _put_matched(w: Writer, entry: OxmEntry, flow: Flow, wc: Flow) -> None:
    field = entry.field
    value = flow.get(field)
    size: i64 = entry.size
    if not entry.maskable:
        _put_tlv(w, entry, size, value, None)
        return
    mask = wc.bits(field)
    exact = mask == entry.wire_ones
    _put_tlv(w, entry, size, value, None if exact else mask)


def _put_vlan(w: Writer, order: _Order, flow: Flow, wc: Flow) -> None:
    """The VLAN tag: VLAN_VID and VLAN_PCP, or NXM's TCI in one."""
    tci_mask = wc.vlan_tci
    if tci_mask == 0:
        return
    if not order.oxm:
        _put_list(w, order.vlan_tci, flow, wc)
        return
    tci = flow.vlan_tci
    vid_cfi = at.VLAN_VID_MASK | at.VLAN_CFI
    vid = tci & vid_cfi
    vid_mask = tci_mask & vid_cfi
    if vid_mask:
        _put_tlv(w, order.vlan_vid, 2, vid, None if vid_mask == vid_cfi else vid_mask)
    if vid and tci_mask & at.VLAN_PCP_MASK:
        _put_tlv(w, order.vlan_pcp, 1, tci >> at.VLAN_PCP_SHIFT, None)


def _put_network(w: Writer, order: _Order, flow: Flow, wc: Flow, dl_type: int) -> None:
    """What the Ethernet type brings: MPLS, IP and transport, or ARP."""
    if dl_type == ETH_TYPE_IP:
        _put_list(w, order.ipv4, flow, wc)
    elif dl_type == ETH_TYPE_IPV6:
        _put_list(w, order.ipv6, flow, wc)
    else:
        if dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
            _put_list(w, order.arp, flow, wc)
        elif dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
            _put_list(w, order.mpls, flow, wc)
        return
    proto = flow.nw_proto
    if proto == IPPROTO_TCP:
        _put_list(w, order.tcp, flow, wc)
    elif proto == IPPROTO_UDP:
        _put_list(w, order.udp, flow, wc)
    elif proto == IPPROTO_SCTP:
        _put_list(w, order.sctp, flow, wc)
    elif proto == IPPROTO_ICMP and dl_type == ETH_TYPE_IP:
        _put_list(w, order.icmp, flow, wc)
    elif proto == IPPROTO_ICMPV6 and dl_type == ETH_TYPE_IPV6:
        _put_list(w, order.icmpv6, flow, wc)


def _put_tunnel(w: Writer, order: _Order, match: Match) -> None:
    flow = match.flow
    wc = match.mask
    words = wc.words
    i: i64 = at.W_TUNNEL
    seen = False
    while i < at.W_TUNNEL_END:
        if words[i] != 0:
            seen = True
        i += 1
    if seen:
        _put_list(w, order.tunnel, flow, wc)
    options = match.options
    if options is not None:
        for n in sorted(options):
            value, mask, mapped = options[n]
            # All of an option that is mapped, be it long; of another what there is to say.
            size: i64 = mapped if mapped >= 0 else tun_option_size(value, mask)
            said = None if mask < 0 and mapped != 0 else max(mask, 0)
            _put_tlv(w, order.tun_metadata[n], size, value, said)
    if seen:
        _put_list(w, order.tunnel_end, flow, wc)


def put_oxm_raw(w: Writer, match: Match, version: int) -> None:
    """The TLVs of `match` in `version` (or NXM), without container and padding."""
    order = _ORDERS[version]
    flow = match.flow
    wc = match.mask
    typed = wc.packet_type != 0
    if typed and flow.packet_type:
        _put_tlv(w, order.packet_type, 4, flow.packet_type, None)
    start = w.position()
    words = wc.words
    i: i64 = at.W_METADATA
    seen = False
    while i < at.W_PACKET:
        if words[i] != 0:
            seen = True
        i += 1
    if seen:
        _put_list(w, order.metadata, flow, wc)
    before = w.position()
    _put_list(w, order.ethernet, flow, wc)
    _put_vlan(w, order, flow, wc)
    implied = w.position() != before
    dl_type = effective_dl_type(flow)
    if dl_type:
        _put_network(w, order, flow, wc, dl_type)
    _put_tunnel(w, order, match)
    if words[at.W_NSH] | words[at.W_NSH + 1] | words[at.W_NSH + 2]:  # also without its prerequisite
        _put_list(w, order.nsh, flow, wc)
        implied = True
    _put_list(w, order.regs, flow, wc)
    i = at.W_CT_ADDRESSES
    while i < at.W_CT_ADDRESSES_END:
        if words[i] != 0:
            seen = implied = True
        i += 1
    if seen or words[at.W_CT_TP_SRC]:
        _put_list(w, order.rest, flow, wc)
    if typed and not flow.packet_type and not implied:  # nothing else says "Ethernet"
        kept = w.getvalue()[start:]
        w.truncate(start)
        _put_tlv(w, order.packet_type, 4, 0, None)
        w.raw(kept)


def put_oxm_match(w: Writer, match: Match, version: int) -> None:
    """The ofp_match of OpenFlow 1.2 and later: a container, padded with zeros to 8 bytes."""
    start = w.position()
    w.u16(OFPMT_OXM)
    w.u16(0)
    put_oxm_raw(w, match, version)
    w.patch_u16(start + 2, w.position() - start)
    w.pad_to(8, start)


def put_nxm(w: Writer, match: Match, cookie: int = 0, cookie_mask: int = 0) -> int:
    """An NXM match with the flow's cookie as a field of it if `cookie_mask` is not 0, padded to 8.

    The length without padding, which the message has in a field of its own.
    """
    start = w.position()
    put_oxm_raw(w, match, NXM)
    if cookie_mask:
        exact = cookie_mask == 0xFFFFFFFFFFFFFFFF
        w.u32(NXM_NX_COOKIE if exact else NXM_NX_COOKIE_W)
        w.u64(cookie & cookie_mask)
        if not exact:
            w.u64(cookie_mask)
    length = w.position() - start
    w.pad_to(8, start)
    return length


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class OxmTlv:
    """A TLV as it was read: `field` None is one that nobody knows, or Nicira's cookie."""

    def __init__(self) -> None:
        self.field: Field | None = None
        self.value: int = 0
        self.mask: int = 0
        self.exact = True
        self.cookie = False
        self.size: i64 = 0


_FIELD_BY_HEAD: Final[dict[int, Field]] = {
    class_ << 7 | number: field
    for (class_, experimenter, number), field in BY_OXM.items()
    if not experimenter
}
"""The upper 23 bits of a header -> field, where there is no experimenter."""


def get_oxm_header(r: Reader, tlv: OxmTlv) -> Field | None:
    """A TLV's header into `tlv` (`exact`, `size` in bytes of what follows); its field, None if unknown.

    OfpError OFPBMC_BAD_LEN: no room for it.
    """
    head = r.u32()
    tlv.exact = head & 256 == 0
    tlv.size = head & 255
    tlv.cookie = head in (NXM_NX_COOKIE, NXM_NX_COOKIE_W)
    if tlv.cookie:  # an mpls_ttl has the same number; the size tells them apart
        tlv.field = None
        return None
    if head >> 16 != EXPERIMENTER_CLASS:
        tlv.field = _FIELD_BY_HEAD.get(head >> 9)
        return tlv.field
    if tlv.size < 4:
        raise OfpError("OFPBMC_BAD_LEN", "OXM experimenter")
    experimenter = r.u32()
    tlv.size -= 4
    tlv.field = BY_OXM.get((EXPERIMENTER_CLASS, experimenter, (head >> 9) & 127))
    return tlv.field


def get_oxm_tlv(r: Reader, tlv: OxmTlv) -> None:
    """A whole TLV into `tlv`. The reader passes it even if `tlv.field` is None (an unknown field).

    OfpError: OFPBMC_BAD_LEN, OFPBMC_BAD_WILDCARDS.
    """
    field = get_oxm_header(r, tlv)
    size = tlv.size
    half = size if tlv.exact else size >> 1
    width: i64 = 8 if field is None else field.n_bytes
    if field is not None and is_tun_metadata(field):
        if half > MAX_TUN_METADATA:
            raise OfpError("OFPBMC_BAD_LEN", field.name)
    elif size != (width if tlv.exact else 2 * width):
        tlv.field = field = None  # known by another length only: unknown
        width = half
    value = r.uint(half) if half else 0
    tlv.value = value
    if tlv.exact:
        return
    mask = r.uint(half) if half else 0
    r.skip(size & 1)
    tlv.mask = mask
    if value & ~mask:
        raise OfpError("OFPBMC_BAD_WILDCARDS", "unknown field" if field is None else field.name)
    n_bits: int = 8 * half
    if half and half == width and mask >> n_bits - 1 and mask & (mask + 1) == 0:
        tlv.exact = True


def _fits_nsh(field: Field, value: int) -> bool:
    """Whether a Network Service Header can have it: metadata is of type 1 or 2 (RFC 8300, 2.2)."""
    if field is _NSH_TTL:
        return value <= MAX_NSH_TTL
    return field is not _NSH_MDTYPE or value in (1, 2)


def _set_field(match: Match, field: Field, tlv: OxmTlv, strict: bool) -> None:
    """Add a TLV that is known to `match`; unless `strict` also one without its prerequisites."""
    value = tlv.value
    ones = field.ones
    if field.special == 1:
        if port_from_oxm(value) < 0:
            raise OfpError("OFPBMC_BAD_VALUE", f"{field.name} {value}")
    elif value & ~ones or (field.prereq is _NSH and not _fits_nsh(field, value)):
        raise OfpError("OFPBMC_BAD_VALUE", f"{field.name} {value}")
    if strict and not prereqs_ok(field, match.flow, match.mask):
        raise OfpError("OFPBMC_BAD_PREREQ", field.name)
    if not tlv.exact and not field.maskable:
        raise OfpError("OFPBMC_BAD_MASK", field.name)
    options = match.options
    known = match.mask.bits(field) != 0
    if options is not None and field.option >= 0:
        known = int(field.option) in options
    if known:
        raise OfpError("OFPBMC_DUP_FIELD", field.name)
    if tlv.size < 2 and not tlv.exact and field.option >= 0:
        match.set(field, 0, 0)
        return
    match.set(field, value, None if tlv.exact else tlv.mask & ones)
    match.imply_ethernet(field)


def get_oxm_raw(r: Reader, strict: bool = True) -> Match:
    """The match whose TLVs are all that `r` has left.

    OfpError: OFPBMC_BAD_FIELD (unknown, unless not `strict`), and those of `get_oxm_tlv`;
    OFPBMC_BAD_PREREQ, OFPBMC_DUP_FIELD, OFPBMC_BAD_MASK, OFPBMC_BAD_VALUE.
    """
    match = Match()
    tlv = OxmTlv()
    while r.pos < r.end:
        get_oxm_tlv(r, tlv)
        field = tlv.field
        if field is not None:
            _set_field(match, field, tlv, strict)
        elif strict:
            raise OfpError("OFPBMC_BAD_FIELD")
    return match


def get_oxm_match(r: Reader, strict: bool = True) -> Match:
    """The ofp_match of OpenFlow 1.2 and later, padding included. OfpError: OFPBMC_*."""
    kind = r.u16()
    length = r.u16()
    if kind != OFPMT_OXM:
        raise OfpError("OFPBMC_BAD_TYPE", f"match type {kind}")
    padded = (length + 7) & ~7
    if length < 4 or padded - 4 > r.end - r.pos:
        raise OfpError("OFPBMC_BAD_LEN", f"match of {length} bytes")
    match = get_oxm_raw(r.sub(length - 4, "OFPBMC_BAD_LEN"), strict)
    r.skip(padded - length)  # whatever is in it, as Open vSwitch takes it
    return match


def get_nxm(r: Reader, length: int, strict: bool = True) -> tuple[Match, int, int]:
    """An NXM match of `length` bytes and its padding to 8: (match, cookie, cookie mask).

    OfpError: those of `get_oxm_raw`.
    """
    padded = (length + 7) & ~7
    if padded > r.end - r.pos:
        raise OfpError("OFPBMC_BAD_LEN", f"match of {length} bytes")
    body = r.sub(length, "OFPBMC_BAD_LEN")
    r.skip(padded - length)
    match = Match()
    tlv = OxmTlv()
    cookie = 0
    cookie_mask = 0
    while body.pos < body.end:
        get_oxm_tlv(body, tlv)
        field = tlv.field
        if field is not None:
            _set_field(match, field, tlv, strict)
        elif tlv.cookie:
            if cookie_mask:
                raise OfpError("OFPBMC_DUP_FIELD", "cookie")
            cookie = tlv.value
            cookie_mask = 0xFFFFFFFFFFFFFFFF if tlv.exact else tlv.mask
        elif strict:
            raise OfpError("OFPBMC_BAD_FIELD")
    return match, cookie, cookie_mask
