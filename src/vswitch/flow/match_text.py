"""Flow text to `Match` and `Flow`, as `ovs-ofctl` and `ofproto/trace` read it.

`parse_match` reads a match. As in Open vSwitch, parts whose prerequisites the match doesn't state
("nw_src=1.2.3.4" without "ip") fall away; `normalize` says so to whoever wants to warn.
`parse_exact_flow` reads one packet's flow, and refuses such parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from vswitch.flow import layout as at
from vswitch.flow.field import Field, Format
from vswitch.flow.fields import BY_OXM_NAME, by_name
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.flow.port_numbers import OFPP_NONE
from vswitch.flow.prereq import (
    effective_dl_type,
    prereqs_ok,
)
from vswitch.flow.syntax import FlowSyntaxError, Word, split_words
from vswitch.flow.tun_option import tun_option_size
from vswitch.flow.values import parse_value
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_RARP,
    ETH_TYPE_VLAN_8021Q,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    ND_NEIGHBOR_ADVERT,
    ND_NEIGHBOR_SOLICIT,
)

PROTOCOLS: Final[dict[str, tuple[int, int | None]]] = {
    "ip": (ETH_TYPE_IP, None),
    "ipv4": (ETH_TYPE_IP, None),
    "ip4": (ETH_TYPE_IP, None),
    "arp": (ETH_TYPE_ARP, None),
    "rarp": (ETH_TYPE_RARP, None),
    "icmp": (ETH_TYPE_IP, IPPROTO_ICMP),
    "tcp": (ETH_TYPE_IP, IPPROTO_TCP),
    "udp": (ETH_TYPE_IP, IPPROTO_UDP),
    "sctp": (ETH_TYPE_IP, IPPROTO_SCTP),
    "ipv6": (ETH_TYPE_IPV6, None),
    "ip6": (ETH_TYPE_IPV6, None),
    "icmp6": (ETH_TYPE_IPV6, IPPROTO_ICMPV6),
    "tcp6": (ETH_TYPE_IPV6, IPPROTO_TCP),
    "udp6": (ETH_TYPE_IPV6, IPPROTO_UDP),
    "sctp6": (ETH_TYPE_IPV6, IPPROTO_SCTP),
    "mpls": (ETH_TYPE_MPLS, None),
    "mplsm": (ETH_TYPE_MPLS_MCAST, None),
}
"""Shorthand -> (Ethernet type, IP protocol)."""

MAX_TUN_METADATA_SPACE: Final = 256
"""Bytes of tunnel options that one match may speak of."""
_ETH_TYPE: Final = by_name("eth_type")
_NW_PROTO: Final = by_name("nw_proto")
_PACKET_TYPE: Final = by_name("packet_type")
_IN_PORT: Final = by_name("in_port")
FLAGS: Final = (Format.TCP_FLAGS, Format.CT_STATE, Format.TUN_FLAGS)
_ADDRESSES: Final = (Format.IPV4, Format.IPV6, Format.ETHERNET)
"""What is no flag at all if there is no value."""


def field_by_text_name(name: str) -> Field | None:
    """The field that flow text calls `name`; names of OXM headers are no words of flow text."""
    if name in BY_OXM_NAME:
        return None
    try:
        return by_name(name)
    except KeyError:
        return None


def parse_match_word(match: Match, word: Word, ports: Mapping[str, int] | None = None) -> bool:
    """Add one word of flow text to `match`: a shorthand or a field. False if it is neither.

    FlowSyntaxError points into the word's value.
    """
    shorthand = PROTOCOLS.get(word.key)
    if shorthand is not None:
        match.set(_ETH_TYPE, shorthand[0])
        if shorthand[1] is not None:
            match.set(_NW_PROTO, shorthand[1])
        match.say_ethernet()
        return True
    if word.key == "eth":
        match.set(_PACKET_TYPE, 0)
        return True
    field = field_by_text_name(word.key)
    if field is None:
        return False
    text = word.value
    if not text and field is _IN_PORT:
        raise FlowSyntaxError("0/0: invalid or unknown port for in_port", "")
    value, mask = parse_value(field, text, ports)
    if field.option >= 0:
        _check_option(match, field, value, mask)
    match.set(field, value, None if mask == field.ones else mask)
    match.imply_ethernet(field)
    return True


def _check_option(match: Match, field: Field, value: int, mask: int) -> None:
    """FlowSyntaxError: `match` can't say something of one more tunnel option."""
    options = match.options
    if options is None:
        return
    if int(field.option) in options:
        raise FlowSyntaxError(f"field {field.name} set multiple times", field.name)
    said_of = [(had[0], had[1]) for had in options.values()] + [(value, -1 if mask == field.ones else mask)]
    used = sum(tun_option_size(had, bits) for had, bits in said_of if bits)
    if used > MAX_TUN_METADATA_SPACE:
        message = f"exceeds maximum size for tunnel metadata (used {used}, max {MAX_TUN_METADATA_SPACE})"
        raise FlowSyntaxError(f"field {field.name} {message}", field.name)


def parse_match(text: str, ports: Mapping[str, int] | None = None) -> Match:
    """The match that `text` describes. `ports` maps port names to OpenFlow port numbers.

    FlowSyntaxError names and points at the bad word.
    """
    match = Match()
    for word in split_words(text):
        try:
            known = parse_match_word(match, word, ports)
        except FlowSyntaxError as error:
            raise error.within(text, word.value_at) from None
        if not known:
            missing = not word.delimiter and bool(word.key)
            message = f"field {word.key} missing value" if missing else f"unknown keyword {word.key}"
            raise FlowSyntaxError(message, word.key, text, word.position)
    normalize(match)
    return match


def normalize(match: Match) -> Match | None:
    """Drop from `match` what its Ethernet type and protocol rule out. The match as it was; None if it is as
    it was.

    What Open vSwitch does to every flow ("normalization changed ofp_match").
    """
    mask = match.mask
    before = mask.copy()
    dl_type = effective_dl_type(match.flow)
    proto = match.flow.nw_proto
    nw_addr = nw_proto = ip_fields = tp = sha = tha = ipv6 = nd_target = mpls = False
    if dl_type == ETH_TYPE_IP:
        nw_addr = nw_proto = ip_fields = True
        tp = proto in (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP)
    elif dl_type == ETH_TYPE_IPV6:
        nw_proto = ip_fields = ipv6 = True
        tp = proto in (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMPV6)
        if proto == IPPROTO_ICMPV6:
            sha = match.flow.tp_src == ND_NEIGHBOR_SOLICIT
            tha = match.flow.tp_src == ND_NEIGHBOR_ADVERT
            nd_target = sha or tha
    elif dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        nw_addr = nw_proto = sha = tha = True
    elif dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        mpls = True
    words = mask.words
    if not nw_addr:
        words[at.W_NW_SRC] = 0
    if not tp:
        mask.tp_src = 0
        mask.tp_dst = 0
    if not nw_proto:
        mask.nw_proto = 0
    if not ip_fields:
        mask.nw_tos = 0
        mask.nw_ttl = 0
        mask.nw_frag = 0
    if not (tp and proto == IPPROTO_TCP) and not nd_target:
        mask.tcp_flags = 0
    if not sha:
        words[at.W_ARP_SHA] &= 0xFFFF
    if not tha:
        words[at.W_ARP_THA] &= 0xFFFF
    if not ipv6:
        for w in (*range(at.W_IPV6_SRC, at.W_IPV6_SRC + 4), at.W_IPV6_LABEL):
            words[w] &= 0xFFFFFFFF if w == at.W_IPV6_LABEL else 0
    if not nd_target:
        words[at.W_ND_TARGET] = words[at.W_ND_TARGET + 1] = 0
        words[at.W_IGMP_GROUP] &= 0xFFFFFFFF
    if not mpls:
        words[at.W_MPLS_LSE] = words[at.W_MPLS_LSE + 1] = 0
    if match.flow.packet_type:
        words[at.W_ETH_DST] &= 0xFFFF
        words[at.W_ETH_SRC] &= 0xFFFF
    if mask == before:
        return None
    said = Match(match.flow.copy(), before)
    said.options = match.options
    match.flow.and_(mask)
    return said


def parse_exact_flow(
    text: str, ports: Mapping[str, int] | None = None, options: Sequence[Field] = ()
) -> Flow:
    """One packet's flow, as `ofproto/trace` reads it: no masks, prerequisites before dependents.

    `options` are the tunnel options that the switch knows; others are ignored, as in Open vSwitch.
    Without in_port it is `port_numbers.OFPP_NONE`. FlowSyntaxError points at the bad word; its message
    is what Open vSwitch puts after the text.
    """
    flow = Flow()
    for word in split_words(text):
        shorthand = PROTOCOLS.get(word.key)
        if shorthand is not None:
            if flow.dl_type:
                raise FlowSyntaxError("Ethernet type set multiple times", word.key, text, word.position)
            flow.dl_type = shorthand[0]
            if shorthand[1] is not None:
                if flow.nw_proto:
                    message = "network protocol set multiple times"
                    raise FlowSyntaxError(message, word.key, text, word.position)
                flow.nw_proto = shorthand[1]
            continue
        _set_exact(flow, word, text, ports, options)
    if flow.in_port == 0:
        flow.in_port = OFPP_NONE
    if flow.vlan_tci and not flow.vlan_tpid:
        flow.vlan_tpid = ETH_TYPE_VLAN_8021Q
    return flow


def _set_exact(
    flow: Flow, word: Word, text: str, ports: Mapping[str, int] | None, options: Sequence[Field]
) -> None:
    key = word.key
    field = field_by_text_name(key)
    if field is None:
        raise FlowSyntaxError(f"unknown field {key}", key, text, word.position)
    if not prereqs_ok(field, flow):
        raise FlowSyntaxError(f"prerequisites not met for setting {key}", key, text, word.position)
    if flow.bits(field) or (field.option >= 0 and flow.has_option(field.option)):
        raise FlowSyntaxError(f"field {key} set multiple times", key, text, word.position)
    try:
        if not word.value and field.fmt in FLAGS:
            value, mask = 0, field.ones
        else:
            value, mask = parse_value(field, word.value, ports, optional=False)
    except FlowSyntaxError as error:
        at_word = error.within(text, word.value_at).position
        raise FlowSyntaxError(f"bad value for {key} ({error.message})", error.word, text, at_word) from None
    # A mask of a field whose bytes have more bits is one, even of all its bits.
    masked = ("/" in word.value and field.n_bits % 8) or word.value[:1] in ("+", "-")
    if mask != field.ones or (masked and field.fmt not in _ADDRESSES):
        raise FlowSyntaxError(
            f"bad value for {key} ({word.value}: wildcards not allowed here)", word.value, text, word.value_at
        )
    if field.option >= 0:
        for known in options:
            if known.option == field.option:
                flow.set(known, value)
                flow.set_option(known.option)
        return
    flow.set(field, value)
