"""Which flows `dpctl/dump-flows` shows: `filter=`, `type=` and `pmd=`, as ovs-vswitchd understands them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from vswitch.base.unixctl import CommandError
from vswitch.dpif.ops import DpifFlow
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.flow.match_text import FLAGS, PROTOCOLS, field_by_text_name, parse_match_word
from vswitch.flow.prereq import prereqs_ok
from vswitch.flow.syntax import FlowSyntaxError, Word, split_words
from vswitch.flow.values import parse_value

OURS: Final = ("all", "ovs", "non-offloaded")
"""Types that flows which the datapath itself forwards by are of."""
OFFLOADED: Final = ("tc", "dpdk", "offloaded", "partially-offloaded", "fully-offloaded")
MAIN_THREAD: Final = -1
"""The number of the thread that forwards here."""


@final
class DumpFilter:
    """What `parse` made of the words."""

    def __init__(self, match: Match, types: list[str]) -> None:
        self.match = match
        self.types = types

    def fits(self, flow: DpifFlow) -> bool:
        """Whether `flow` may be about packets that the filter asks for: where it has a wildcard it is
        taken to fit."""
        own = OURS if flow.offloaded not in ("yes", "partial") else ("all", *OFFLOADED)
        if not any(kind in own for kind in self.types):
            return False
        both: Flow = self.match.mask.masked(flow.mask)
        return flow.key.equal_in(self.match.flow, both)


def parse(ports: Mapping[str, int], filter: str, types: str | None, pmd: str) -> DumpFilter:
    """The filter for flows of a datapath whose `ports` are these. CommandError in ovs-vswitchd's
    words."""
    match = Match()
    try:
        for word in split_words(filter):
            _add(match, word, ports)
    except FlowSyntaxError as error:
        raise CommandError(f"ovs-vswitchd: Failed to parse filter ({filter}: {error.message})") from error
    wanted = ["all"] if types is None else types.split(",") if types else []
    for kind in wanted:
        if kind not in OURS and kind not in OFFLOADED:
            raise CommandError(f"ovs-vswitchd: Failed to parse type ({types}) (Invalid argument)")
    if pmd:
        try:
            if int(pmd) != MAIN_THREAD:
                wanted = []
        except ValueError:
            raise CommandError(f"ovs-vswitchd: Invalid PMD ID ({pmd})") from None
    return DumpFilter(match, wanted)


def _add(match: Match, word: Word, ports: Mapping[str, int]) -> None:
    """One word of the filter. Unlike in a flow's match, what it needs must be in front of it."""
    shorthand = PROTOCOLS.get(word.key)
    if shorthand is not None:
        if match.flow.dl_type:
            raise FlowSyntaxError("Ethernet type set multiple times", word.key)
        if shorthand[1] is not None and match.flow.nw_proto:
            raise FlowSyntaxError("network protocol set multiple times", word.key)
        parse_match_word(match, word, ports)
        return
    field = field_by_text_name(word.key)
    if field is None:
        raise FlowSyntaxError(f"unknown field {word.key}", word.key)
    if not prereqs_ok(field, match.flow):
        raise FlowSyntaxError(f"prerequisites not met for setting {word.key}", word.key)
    if match.flow.bits(field):
        raise FlowSyntaxError(f"field {word.key} set multiple times", word.key)
    try:
        if not word.value and field.fmt not in FLAGS:
            parse_value(field, "", ports, optional=False)
        parse_match_word(match, word, ports)
    except FlowSyntaxError as error:
        raise FlowSyntaxError(f"bad value for {word.key} ({error.message})", error.word) from None
