"""`TlvTable`: which tunnel option each tun_metadata field stands for (ovs-fields(7), "Tunnel Metadata").

A flow's first 256 bytes are 64 cells of 4. A mapping takes as many free ones as its option is long,
wherever they are; `fields` are the tun_metadata fields in them. What a controller says of options
(`Match.options`, fields that actions name) has no place until `bind_*` gives it one here. A place
is not given up while a flow uses it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, final

from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.flow.tun_option import tun_option_size
from vswitch.openflow import actions as a
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.messages import nicira as n

MAX_FIELDS: Final = 64
MAX_SPACE: Final = 256
"""Bytes that the options of all fields may have together."""
CELL: Final = 4
"""Bytes; an option's length is a multiple of it (RFC 8926 section 3.5)."""


@final
class TlvTable:
    """The mappings, by field number. A change is made whole or not at all."""

    def __init__(self) -> None:
        self.by_index: dict[int, n.TlvMap] = {}
        self.fields: dict[int, Field] = {}
        """The mapped fields, each with its place in the switch's flows, in order."""
        self.by_option: dict[tuple[int, int], Field] = {}
        """(class, type) of an option -> its field."""
        self.options: tuple[Field, ...] = ()
        """The values of `fields`."""
        self._plain: tuple[Any, ...] = ()
        """Some actions that name no option: many flows share theirs."""

    def mod(self, mod: n.TlvTableMod, in_use: Iterable[int] = ()) -> None:
        """Carry `mod` out; `in_use` are the fields that flows name.

        OfpError: NXTTMFC_BAD_FIELD_IDX, NXTTMFC_ALREADY_MAPPED, NXTTMFC_DUP_ENTRY, NXTTMFC_TABLE_FULL,
        NXTTMFC_INVALID_TLV_DEL.
        """
        used = frozenset(in_use)
        table = dict(self.by_index)
        fields = dict(self.fields)
        if mod.command == n.NXTTMC_CLEAR:
            for index in table:
                _unused(index, used)
            self._take({}, {})
            return
        for mapping in mod.mappings:
            index = mapping.index
            if index >= MAX_FIELDS:
                raise OfpError("NXTTMFC_BAD_FIELD_IDX", f"tun_metadata{index}")
            if mod.command == n.NXTTMC_DELETE:
                _unused(index, used)
                table.pop(index, None)
                fields.pop(index, None)
                continue
            if index in table:
                raise OfpError("NXTTMFC_ALREADY_MAPPED", f"tun_metadata{index}")
            option = (mapping.option_class, mapping.option_type)
            if any((m.option_class, m.option_type) == option for m in table.values()):
                raise OfpError("NXTTMFC_DUP_ENTRY", f"option {option}")
            taken = {cell for field in fields.values() for cell in field.cells}
            free = [cell for cell in range(MAX_SPACE // CELL) if cell not in taken]
            n_cells = mapping.option_len // CELL
            if n_cells > len(free):
                raise OfpError("NXTTMFC_TABLE_FULL", f"no room for {mapping.option_len} bytes")
            table[index] = mapping
            fields[index] = by_name(f"tun_metadata{index}").at_cells(_choose(free, n_cells))
        self._take(table, fields)

    def _take(self, table: dict[int, n.TlvMap], fields: dict[int, Field]) -> None:
        self.by_index = dict(sorted(table.items()))
        self.fields = dict(sorted(fields.items()))
        self.options = tuple(self.fields.values())
        self.by_option = {
            (m.option_class, m.option_type): self.fields[index] for index, m in self.by_index.items()
        }

    def reply(self) -> n.TlvTableReply:
        """What is mapped, by field number."""
        return n.TlvTableReply(MAX_SPACE, MAX_FIELDS, tuple(self.by_index.values()))

    def bound(self, field: Field) -> Field:
        """Tunnel option `field` in its place here. OfpError NXFMFC_INVALID_TLV_FIELD: it has none."""
        found = self.fields.get(int(field.option))
        if found is None:
            raise OfpError("NXFMFC_INVALID_TLV_FIELD", field.name)
        return found

    def bind_match(self, match: Match) -> None:
        """Give what `match` says of tunnel options its place. A value longer than the option loses its
        end, as in Open vSwitch. OfpError NXFMFC_INVALID_TLV_FIELD."""
        options = match.options
        if not options:
            return
        for index, (value, mask, size) in sorted(options.items()):
            if size >= 0:
                continue
            field = self.bound(by_name(f"tun_metadata{index}"))
            excess = _excess(tun_option_size(value, mask), field)
            match.set(field, value >> excess, None if mask < 0 else mask >> excess)

    def bind_flow_mod(self, fm: FlowMod) -> None:
        """Give the tunnel options in `fm` their places. OfpError: NXFMFC_INVALID_TLV_FIELD,
        OFPBAC_BAD_SET_LEN."""
        if fm.match.options:
            self.bind_match(fm.match)
        if fm.actions:
            fm.actions = self.bind_actions(fm.actions)

    def bind_actions(self, actions: Sequence[Any]) -> tuple[Any, ...]:
        """`actions`, with the tunnel options that they name in their places. OfpError as for a flow mod."""
        if actions is self._plain:
            return self._plain
        for action in actions:
            if type(action) in _PARTS and names_option(action):
                return tuple(self._bind(action) for action in actions)
        self._plain = actions if isinstance(actions, tuple) else tuple(actions)
        return self._plain

    def _bind(self, part: Any) -> Any:
        if isinstance(part, Field):
            return self.bound(part) if part.option >= 0 else part
        if isinstance(part, tuple):
            return tuple(self._bind(each) for each in part)
        names = _PARTS.get(type(part), ())
        if not names:
            return part
        changes = {}
        for name in names:
            old = getattr(part, name)
            new = self._bind(old)
            if new is not old and new != old:
                changes[name] = new
        if not changes:
            return part
        if isinstance(part, a.SetField):
            return bind_set_field(part, changes["field"])
        bound = dataclasses.replace(part, **changes)
        if isinstance(bound, a.MfSubfield) and bound.ofs + bound.n_bits > bound.field.n_bits:
            raise OfpError("OFPBAC_BAD_SET_LEN", f"{bound.field.name}[{bound.ofs}+{bound.n_bits}]")
        return bound


def _choose(free: list[int], n_cells: int) -> tuple[int, ...]:
    """`n_cells` of the `free` cells: the first run that is long enough, else the first of all."""
    for i in range(len(free) - n_cells + 1):
        if n_cells and free[i + n_cells - 1] - free[i] == n_cells - 1:
            return tuple(free[i : i + n_cells])
    return tuple(free[:n_cells])


def _unused(index: int, used: frozenset[int]) -> None:
    if index in used:
        raise OfpError("NXTTMFC_INVALID_TLV_DEL", f"tun_metadata{index} is in use")


def _excess(size: int, field: Field) -> int:
    """By how many bits a value of `size` bytes is longer than `field`."""
    return max(0, 8 * size - field.n_bits)


def bind_set_field(action: a.SetField, field: Field) -> a.SetField:
    """`action` on its field's place. A value longer than the option loses its end, as in Open vSwitch."""
    exact = action.mask == action.field.ones
    excess = _excess(tun_option_size(action.value, -1 if exact else action.mask), field)
    mask = field.ones if exact else action.mask >> excess & field.ones
    return dataclasses.replace(action, field=field, value=action.value >> excess, mask=mask)


_PARTS: Final[dict[type, tuple[str, ...]]] = {
    a.MfSubfield: ("field",),
    a.OutputReg: ("src",),
    a.Bundle: ("dst",),
    a.SetField: ("field",),
    a.RegMove: ("src", "dst"),
    a.StackPush: ("src",),
    a.StackPop: ("dst",),
    a.DeleteField: ("field",),
    a.CheckPktLarger: ("dst",),
    a.Multipath: ("dst",),
    a.Clone: ("actions",),
    a.LearnSpec: ("src", "dst"),
    a.Learn: ("specs", "result_dst"),
    a.Ct: ("zone_src", "actions"),
    a.Sample: ("obs_domain_src", "obs_point_src"),
    a.WriteActions: ("actions",),
}
"""What of an action can be a field, or hold one."""


def names_option(part: Any) -> bool:
    """Whether an action, or one of several, names a tunnel option."""
    if isinstance(part, Field):
        return part.option >= 0
    if isinstance(part, tuple):
        return any(names_option(each) for each in part)
    names = _PARTS.get(type(part))
    return names is not None and any(names_option(getattr(part, name)) for name in names)


def options_of(part: Any) -> Iterator[int]:
    """The numbers of the tunnel options that an action, or actions, name."""
    if isinstance(part, Field):
        if part.option >= 0:
            yield int(part.option)
    elif isinstance(part, tuple):
        for each in part:
            yield from options_of(each)
    else:
        for name in _PARTS.get(type(part), ()):
            yield from options_of(getattr(part, name))


def options_in_use(rules: Iterable[Any]) -> set[int]:
    """The numbers of the tunnel options that `rules` (`Rule`s) match or name in their actions."""
    found: set[int] = set()
    for rule in rules:
        if rule.match.options:
            found.update(rule.match.options)
        found.update(options_of(tuple(rule.actions)))
    return found
