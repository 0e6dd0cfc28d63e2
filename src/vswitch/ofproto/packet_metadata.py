"""What a packet-in tells of a packet beside its bytes: the pipeline fields that are not 0 (OpenFlow 1.3,
7.4.1: in_port, metadata, tunnel; Open vSwitch adds registers, marks and connection tracking)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vswitch.flow.field import Field, Prereq
from vswitch.flow.fields import FIELDS, by_name
from vswitch.flow.flow import Flow
from vswitch.flow.layout import W_TUN_METADATA_PRESENT
from vswitch.flow.match import Match

IN_PORT: Final = by_name("in_port")
_PACKET_TYPE: Final = by_name("packet_type")
_ETH_TYPE: Final = by_name("eth_type")
_CT_TUPLE: Final = tuple(field for field in FIELDS if field.prereq is Prereq.CT)
_CT_NW_PROTO: Final = by_name("ct_nw_proto")


def _by_word() -> dict[int, tuple[Field, ...]]:
    found: dict[int, list[Field]] = {}
    for field in FIELDS:
        if field.pipeline:
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
    if flow.ct_state:
        # What is told of the connection can't be read without it.
        match.set(_ETH_TYPE, flow.dl_type)
    if flow.get(_CT_NW_PROTO):
        for field in _CT_TUPLE:
            value = flow.get(field)
            if value:
                match.set(field, value)
    packet_type = flow.packet_type
    if packet_type:
        match.set(_PACKET_TYPE, packet_type)
    return match
