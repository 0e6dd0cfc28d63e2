"""`Match`: which flows a rule is for, as a value and a mask.

Text is in `match_text.py` (parse) and `text.py` (print). Compiled by mypyc.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from vswitch.flow import layout as at
from vswitch.flow.field import Field, Prereq
from vswitch.flow.flow import Flow
from vswitch.flow.mask_words import picked
from vswitch.flow.text import format_match
from vswitch.flow.tun_option import TunOption

_VLAN_EXISTS = at.VLAN_CFI
_NO_PREREQ = Prereq.NONE


@mypyc_attr(free_list_len=1)
@final
class Match:
    """The flows that agree with `flow` in the bits of `mask`. `flow` has no bit that `mask` lacks.

    `options` has what is said of tunnel options, by number of tun_metadata field; None for nothing. What a
    switch matches is in `flow` and `mask` too, the rest waits to be bound by its TLV table.

    A flow is long and mostly zero, so a match can be made of the mask's words only (`packed_match`): then
    there is a flow once somebody asks for it.
    """

    def __init__(self, flow: Flow | None = None, mask: Flow | None = None, packed: bool = False) -> None:
        self.mask: Flow = Flow() if mask is None else mask
        self._flow: Flow | None = None
        self._numbers: vec[i64] = vec[i64]()
        self._values: vec[i64] = vec[i64]()
        self.options: dict[int, TunOption] | None = None
        if flow is not None:
            flow.and_(self.mask)
            self._flow = flow
        elif not packed:
            self._flow = Flow()

    @property
    def flow(self) -> Flow:
        """The bits that flows agree in. What is changed in it is changed in the match."""
        flow = self._flow
        if flow is None:
            flow = Flow()
            words = flow.words
            numbers = self._numbers
            values = self._values
            n: i64 = len(numbers)
            i: i64 = 0
            while i < n:
                words[numbers[i]] = values[i]
                i += 1
            self._flow = flow
        return flow

    @flow.setter
    def flow(self, flow: Flow) -> None:
        self._flow = flow

    def take(self, numbers: vec[i64], values: vec[i64]) -> None:
        """Be of these `values` in the words of these `numbers`, all in which `mask` has bits."""
        self._numbers = numbers
        self._values = values
        self._flow = None

    def values(self, numbers: vec[i64]) -> vec[i64]:
        """The words of these `numbers`, all in which `mask` has bits. They are not to be changed."""
        flow = self._flow
        return self._values if flow is None else picked(flow.words, numbers)

    def copy(self) -> Match:
        """Another match of the same value."""
        other = Match(None, self.mask.copy(), True)
        if self._flow is None:
            other.take(self._numbers, self._values)
        else:
            other._flow = self._flow.copy()
        other.options = self.options
        return other

    def set(self, field: Field, value: int, mask: int | None = None) -> None:
        """Match `field` on `value` in the bits of `mask`, instead of what it matched before.

        `mask` None is an exact match, 0 none at all. dl_vlan 0xffff matches "no tag"; another
        dl_vlan, or a priority, also says that there is a tag.
        """
        if field.option >= 0:
            self._set_option(field, value, mask)
            return
        flow = self.flow
        wc = self.mask
        special = field.special
        if special >= 2:
            keep = at.VLAN_PCP_MASK if special == 2 else at.VLAN_VID_MASK
            tci = flow.vlan_tci & keep
            tci_mask = wc.vlan_tci & keep
            if mask is None or mask != 0:
                if special == 2 and value & 0xFFFF == 0xFFFF:
                    tci = 0
                    tci_mask = 0xFFFF
                elif special == 2:
                    tci |= (value & at.VLAN_VID_MASK) | _VLAN_EXISTS
                    tci_mask |= at.VLAN_VID_MASK | _VLAN_EXISTS
                else:
                    tci |= ((value & 7) << at.VLAN_PCP_SHIFT) | _VLAN_EXISTS
                    tci_mask |= at.VLAN_PCP_MASK | _VLAN_EXISTS
            flow.vlan_tci = tci
            wc.vlan_tci = tci_mask
            return
        ones = field.ones
        bits = ones if mask is None else mask & ones
        wc.set(field, bits)
        flow.set(field, value & bits)

    def imply_ethernet(self, field: Field) -> None:
        """Say that packets have an Ethernet header if `field` has prerequisites and nothing is said of that.

        What names a field to match calls it, be there a bit of it in the mask or not (ovs-fields(7),
        packet_type: the default in the presence of Ethernet prerequisites). Text and OXM leave it unsaid.
        """
        if field.prereq is not _NO_PREREQ:
            self.say_ethernet()

    def say_ethernet(self) -> None:
        """Match packets with an Ethernet header, unless another packet type is matched."""
        mask = self.mask
        if mask.packet_type == 0:
            mask.packet_type = 0xFFFFFFFF

    def _set_option(self, field: Field, value: int, mask: int | None) -> None:
        """Match a tunnel option; with mask 0, match that the packet has it."""
        options = {} if self.options is None else self.options.copy()
        bits = field.ones if mask is None else mask & field.ones
        value &= bits
        exact = bits == field.ones
        options[int(field.option)] = (value, -1 if exact else bits, field.n_bytes if field.placed else -1)
        self.options = options
        if field.placed:
            self.mask.set(field, bits)
            self.flow.set(field, value)
            self.mask.set_option(field.option)
            self.flow.set_option(field.option)

    def wildcard(self, field: Field) -> None:
        """Match any value of `field`."""
        if field.option < 0:
            self.set(field, 0, 0)
        elif self.options is not None:
            self.options = {n: said for n, said in self.options.items() if n != int(field.option)}
            for part in (self.mask, self.flow):
                part.set(field, 0)
                part.set_option(field.option, False)

    def matches(self, flow: Flow) -> bool:
        """Whether `flow` is one of the flows."""
        return self.flow.equal_in(flow, self.mask)

    def is_catchall(self) -> bool:
        """Whether every flow matches."""
        return self.mask.is_zero()

    def is_looser_than(self, other: Match) -> bool:
        """Whether every flow that `other` matches is matched here: OpenFlow's loose comparison."""
        return other.mask.covers(self.mask) and self.flow.equal_in(other.flow, self.mask)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Match):
            return NotImplemented
        same = self.mask == other.mask and self.flow == other.flow
        return same and (self.options or None) == (other.options or None)

    def __hash__(self) -> int:
        return (self.flow.hash() * 31 + self.mask.hash()) & 0x7FFFFFFF

    def key(self) -> bytes:
        """Value and mask as bytes, to be a dict's key."""
        return self.flow.key() + self.mask.key()

    def format(self, priority: int | None = None, ports: Mapping[int, str] | None = None) -> str:
        """As `ovs-ofctl` prints it; `priority` is printed unless None or 32768."""
        return format_match(self, priority, ports)

    def __str__(self) -> str:
        return self.format()

    def __repr__(self) -> str:
        return f"<Match {self.format()}>"


def packed_match(mask: Flow, numbers: vec[i64], values: vec[i64]) -> Match:
    """The match of `mask` and of these `values` in the words of these `numbers`, all in which it has bits. It
    shares all three."""
    match = Match(None, mask, True)
    match.take(numbers, values)
    return match
