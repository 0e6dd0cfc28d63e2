"""What a packet-in tells of a packet beside its bytes: the pipeline fields that are not 0 (OpenFlow 1.3,
7.4.1: in_port, metadata, tunnel; Open vSwitch adds registers, marks and connection tracking)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.layout import W_TUN_METADATA_PRESENT
from vswitch.flow.match import Match

IN_PORT: Final = by_name("in_port")
_PACKET_TYPE: Final = by_name("packet_type")
_NAMES: Final = (
    "tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "tun_flags",
    "tun_gbp_id", "tun_gbp_flags", "tun_erspan_ver", "tun_erspan_idx", "tun_erspan_dir", "tun_erspan_hwid",
    *(f"reg{i}" for i in range(16)),
    "metadata", "pkt_mark", "ct_state", "ct_zone", "ct_mark", "ct_label",
)  # fmt: skip
_CT_TUPLE: Final = tuple(
    by_name(name)
    for name in (
        "ct_nw_proto", "ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst", "ct_tp_src", "ct_tp_dst",
    )
)
_CT_NW_PROTO: Final = _CT_TUPLE[0]


def _by_word() -> dict[int, tuple[Field, ...]]:
    found: dict[int, list[Field]] = {}
    for name in _NAMES:
        field = by_name(name)
        for word in range(field.word, field.word + field.n_words):
            found.setdefault(word, []).append(field)
    return {word: tuple(fields) for word, fields in found.items()}


_FIELDS: Final = _by_word()
_WORDS: Final = tuple(sorted(_FIELDS))


def metadata_of(flow: Flow, options: Sequence[Field] = ()) -> Match:
    """The pipeline fields of `flow`, as a match; in_port is always in it. `options` are the tunnel options
    that the switch knows (`TlvTable.options`)."""
    match = Match()
    match.set(IN_PORT, flow.in_port)
    words = flow.words
    if words[W_TUN_METADATA_PRESENT]:
        for field in options:
            if flow.has_option(field.option):
                match.set(field, flow.get(field))
    for word in _WORDS:
        if words[word]:
            for field in _FIELDS[word]:
                value = flow.get(field)
                if value:
                    match.set(field, value)
    if flow.get(_CT_NW_PROTO):
        for field in _CT_TUPLE:
            value = flow.get(field)
            if value:
                match.set(field, value)
    packet_type = flow.packet_type
    if packet_type:
        match.set(_PACKET_TYPE, packet_type)
    return match
