"""What tables can do and what they counted, as `ovs-ofctl dump-tables` and `dump-table-features` print it.

A table that is like the one before is "ditto"; of others, parts that are alike are said to be the same.
Lists of fields share what their names begin with: "eth_{src,dst}".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.flow.fields import BY_OXM, by_name
from vswitch.openflow.messages import table as t
from vswitch.openflow.print_group import action_names
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP14

Ports = Mapping[int, str] | None

INSTRUCTIONS: Final = {
    6: "meter", 4: "apply_actions", 5: "clear_actions", 3: "write_actions", 2: "write_metadata",
    1: "goto_table",
}  # fmt: skip
"""Instruction types in the order in which they are printed."""
MISSES: Final = ("controller", "continue", "drop")


def field_names(names: Iterable[str]) -> str:
    """A list of fields: "eth_{src,dst} reg0...reg15"."""
    ordered = sorted(set(names), key=lambda name: by_name(name).index)
    return " ".join(_shared(ordered))


def _split_number(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return (stem, int(name[len(stem) :])) if stem != name else (name, -1)


def _shared(names: Sequence[str]) -> list[str]:
    """Runs of names that begin alike, up to an underscore, and runs of numbers, as one word each."""
    words: list[str] = []
    i = 0
    while i < len(names):
        head, underscore, _ = names[i].partition("_")
        end = i + 1
        if underscore:
            while end < len(names) and names[end].startswith(head + "_"):
                end += 1
            if end - i > 1:
                inner = _shared([name[len(head) + 1 :] for name in names[i:end]])
                words.append(f"{head}_{{{','.join(inner)}}}")
                i = end
                continue
        stem, number = _split_number(names[i])
        if number >= 0:
            while end < len(names) and _split_number(names[end]) == (stem, number + end - i):
                end += 1
            if end - i > 1:
                words.append(f"{names[i]}...{names[end - 1]}")
                i = end
                continue
        words.append(names[i])
        i += 1
    return words


@dataclass(frozen=True)
class Actions:
    """Action types as a bitmap, and the fields that set_field takes."""

    types: int = 0
    fields: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Instructions:
    """What an entry may do: table numbers, instruction types, actions written and applied."""

    next: frozenset[int] = frozenset()
    types: frozenset[int] = frozenset()
    write: Actions = Actions()
    apply: Actions = Actions()


@dataclass(frozen=True)
class Abilities:
    """What a table can do, as one form for all versions. `evicts`, `tells_vacancy` None: not told."""

    metadata_match: int = 0
    metadata_write: int = 0
    config: str = ""
    evicts: bool | None = None
    tells_vacancy: bool | None = None
    max_entries: int = 0
    entries: Instructions = Instructions()
    miss: Instructions = Instructions()
    masked: frozenset[str] = frozenset()
    wild: frozenset[str] = frozenset()
    matched: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Described:
    """One table: number, name, what it counted (if known), what it can do."""

    table_id: int
    name: str
    counted: tuple[int, int, int] | None
    can: Abilities = field(default_factory=Abilities)


# From messages.


def _oxm_field(header: int) -> tuple[str, bool]:
    """The field of an OXM header (of 8 bytes for an experimenter's), "" if unknown, and whether it may have
    a mask."""
    experimenter = 0
    head = header
    if header >> 32:
        head, experimenter = header >> 32, header & 0xFFFFFFFF
    found = BY_OXM.get((head >> 16, experimenter, head >> 9 & 0x7F))
    return (found.name if found is not None else ""), bool(head & 0x100)


def of_features(table: t.TableFeatures, version: int) -> Described:
    """From table features (1.3 and later)."""
    items = {p.type: p.items for p in table.properties}

    def names(kind: int) -> frozenset[str]:
        return frozenset(name for name, _ in map(_oxm_field, items.get(kind, ())) if name)

    def instructions(miss: int) -> Instructions:
        def of_entries(kind: int) -> int:
            return kind + 1 if miss and kind + 1 in items else kind

        def actions(kind: int, fields: int) -> Actions:
            bitmap = sum(1 << n for n in items.get(of_entries(kind), ()) if n < 64)
            return Actions(bitmap, names(of_entries(fields)))

        return Instructions(
            frozenset(items.get(of_entries(t.OFPTFPT_NEXT_TABLES), ())),
            frozenset(items.get(of_entries(t.OFPTFPT_INSTRUCTIONS), ())),
            actions(t.OFPTFPT_WRITE_ACTIONS, t.OFPTFPT_WRITE_SETFIELD),
            actions(t.OFPTFPT_APPLY_ACTIONS, t.OFPTFPT_APPLY_SETFIELD),
        )

    matched = [_oxm_field(header) for header in items.get(t.OFPTFPT_MATCH, ())]
    later = version >= OFP14
    can = Abilities(
        table.metadata_match, table.metadata_write, "",
        bool(table.capabilities & t.OFPTC_EVICTION) if later else None,
        bool(table.capabilities & t.OFPTC_VACANCY_EVENTS) if later else None,
        table.max_entries, instructions(0), instructions(1),
        frozenset(name for name, masked in matched if name and masked),
        names(t.OFPTFPT_WILDCARDS), frozenset(name for name, _ in matched if name),
    )  # fmt: skip
    return Described(table.table_id, table.name, None, can)


_WILDCARDS10: Final = (
    (1 << 0, "in_port"), (1 << 1, "vlan_vid"), (1 << 2, "eth_src"), (1 << 3, "eth_dst"), (1 << 4, "eth_type"),
    (1 << 5, "nw_proto"), (1 << 6, "tcp_src"), (1 << 7, "tcp_dst"), (0x3F << 8, "ip_src"),
    (0x3F << 14, "ip_dst"), (1 << 20, "vlan_pcp"), (1 << 21, "nw_tos"),
)  # fmt: skip
"""Bits of OFPFW10_*, all of which stand for the field."""
_MATCH11: Final = (
    (1 << 0, ("in_port",)), (1 << 1, ("vlan_vid",)), (1 << 2, ("vlan_pcp",)), (1 << 3, ("eth_type",)),
    (1 << 4, ("nw_tos",)), (1 << 5, ("nw_proto",)), (1 << 6, ("tcp_src",)), (1 << 7, ("tcp_dst",)),
    (1 << 8, ("mpls_label",)), (1 << 9, ("mpls_tc",)), (1 << 11, ("eth_src",)), (1 << 12, ("eth_dst",)),
    (1 << 13, ("ip_src",)), (1 << 14, ("ip_dst",)), (1 << 15, ("metadata",)),
)  # fmt: skip
_OPENFLOW_BASIC: Final = 0x8000


def _bits12(bitmap: int) -> frozenset[str]:
    """1.2 has a bit for each OXM field of the basic class that it knows."""
    found = (BY_OXM.get((_OPENFLOW_BASIC, 0, n)) for n in range(36) if bitmap >> n & 1)
    return frozenset(f.name for f in found if f is not None)


def of_stats(table: t.TableStats, version: int) -> Described:
    """From table statistics, which tell before 1.3 what a table can do."""
    counted = (table.active_count, table.lookup_count, table.matched_count)
    if version == OFP10:
        wild = frozenset(name for bits, name in _WILDCARDS10 if table.wildcards & bits == bits)
        can = Abilities(max_entries=table.max_entries, wild=wild, matched=wild)
        return Described(table.table_id, table.name, counted, can)
    if version > OFP12:
        return Described(table.table_id, table.name, counted, Abilities(max_entries=table.max_entries))
    if version == OFP11:
        wild = frozenset(n for bit, names in _MATCH11 if table.wildcards & bit for n in names)
        matched = frozenset(n for bit, names in _MATCH11 if table.match & bit for n in names)
        write, apply = Actions(table.write_actions), Actions(table.apply_actions)
    else:
        wild, matched = _bits12(table.wildcards), _bits12(table.match)
        write = Actions(table.write_actions, _bits12(table.write_setfields))
        apply = Actions(table.apply_actions, _bits12(table.apply_setfields))
    types = frozenset(n for n in INSTRUCTIONS if table.instructions >> n & 1)
    rules = Instructions(frozenset(), types, write, apply)
    miss = table.config & t.OFPTC_TABLE_MISS_MASK
    can = Abilities(
        table.metadata_match, table.metadata_write, MISSES[miss if miss < len(MISSES) else 0],
        max_entries=table.max_entries, entries=rules, miss=rules, wild=wild, matched=matched,
    )  # fmt: skip
    return Described(table.table_id, table.name, counted, can)


# To text.


def _actions_text(actions: Actions, version: int) -> str:
    out = f"        actions: {action_names(actions.types, max(version, OFP11))}\n" if actions.types else ""
    if actions.fields:
        out += f"        supported on Set-Field: {field_names(actions.fields)}\n"
    return out


def _ranges(numbers: frozenset[int]) -> str:
    words = []
    for n in sorted(numbers):
        if n - 1 in numbers:
            continue
        end = n
        while end + 1 in numbers:
            end += 1
        words.append(str(n) if end == n else f"{n}-{end}")
    return ",".join(words)


def _instructions_text(can: Instructions, before: Instructions | None, version: int) -> str:
    out = f"      next tables: {_ranges(can.next)}\n" if can.next else ""
    if can.types:
        if before is not None and before.types == can.types:
            out += "      (same instructions)\n"
        else:
            names = " ".join(name for n, name in INSTRUCTIONS.items() if n in can.types)
            out += f"      instructions: {names}\n"
    same = before is not None and (before.write, before.apply) == (can.write, can.apply)
    if same and version != OFP11:  # ovs-ofctl repeats those of 1.1
        return out + "      (same actions)\n"
    if can.write != can.apply:
        out += f"      Write-Actions features:\n{_actions_text(can.write, version)}"
        return f"{out}      Apply-Actions features:\n{_actions_text(can.apply, version)}"
    if can.write != Actions():
        out += f"      Write-Actions and Apply-Actions features:\n{_actions_text(can.write, version)}"
    return out


def _abilities_text(can: Abilities, before: Abilities | None, version: int) -> str:
    out = ""
    if can.metadata_match or can.metadata_write:
        out += f"    metadata: match={can.metadata_match:#x} write={can.metadata_write:#x}\n"
    if can.config:
        out += f"    config={can.config}\n"
    for told, name in ((can.evicts, "eviction"), (can.tells_vacancy, "vacancy events")):
        if told is not None:
            out += f"    {name}: {'' if told else 'not '}supported\n"
    if can.max_entries:
        out += f"    max_entries={can.max_entries}\n"
    entries_before = None if before is None else before.entries
    miss_before = None if before is None else before.miss
    if (entries_before, miss_before) == (can.entries, can.miss):
        if can.entries != Instructions():
            out += "    (same instructions)\n"
    elif can.entries != can.miss:
        out += "    instructions (other than table miss):\n"
        out += _instructions_text(can.entries, entries_before, version)
        out += "    instructions (table miss):\n"
        out += _instructions_text(can.miss, miss_before, version)
    elif can.entries != Instructions():
        out += "    instructions (table miss and others):\n"
        out += _instructions_text(can.entries, entries_before, version)
    if can.matched or can.wild:
        if before is not None and _matching(before) == _matching(can):
            return out + "    (same matching)\n"
        out += "    matching:\n"
        for name, names in zip(_MATCHING, _matching(can), strict=True):
            if names:
                out += f"      {name}: {field_names(names)}\n"
    return out


_MATCHING: Final = ("arbitrary mask", "exact match or wildcard", "must exact match")


def _matching(can: Abilities) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Fields that may have any mask; that are matched whole or not at all; that are always matched."""
    return can.masked, can.wild - can.masked, can.matched - can.wild - can.masked


def format_tables(tables: Sequence[Described], version: int) -> str:
    """The tables one after another; runs of equal ones once."""
    out = ""
    i = 0
    before: Described | None = None
    while i < len(tables):
        table = tables[i]
        end = i
        while before is not None and end < len(tables) and _alike(tables[end], before):
            end += 1
        if end > i:
            last = tables[end - 1].table_id
            numbers = f"table {table.table_id}" if end - i == 1 else f"tables {table.table_id}...{last}"
            out += f"\n  {numbers}: ditto\n"
            before = tables[end - 1]
            i = end
        else:
            named = table.name and table.name != f"table{table.table_id}"
            name = f' ("{table.name}")' if named else ""
            out += f"\n  table {table.table_id}{name}:\n"
            if table.counted is not None:
                active, lookup, matched = table.counted
                out += f"    active={active}, lookup={lookup}, matched={matched}\n"
            if table.counted is not None and before is not None and table.can == before.can:
                out += "    (same features)\n" if table.can != Abilities() else ""
            else:
                out += _abilities_text(table.can, None if before is None else before.can, version)
            before = table
            i += 1
    return out or "\n"


def _alike(one: Described, other: Described) -> bool:
    """Whether `one`, which follows `other`, is like it. That it can't go on to itself is no difference."""

    def bare(table: Described) -> Described:
        later = frozenset(n for n in table.can.entries.next if n > one.table_id)
        miss = frozenset(n for n in table.can.miss.next if n > one.table_id)
        can = replace(table.can, entries=replace(table.can.entries, next=later),
                      miss=replace(table.can.miss, next=miss))  # fmt: skip
        return replace(table, table_id=0, name="", can=can)

    return bare(one) == bare(other)


def format_table_stats(m: t.TableStatsReply, version: int, ports: Ports) -> str:
    """A table statistics reply's text."""
    return format_tables([of_stats(table, version) for table in m.tables], version)


def format_table_features(
    m: t.TableFeaturesReply | t.TableFeaturesRequest, version: int, ports: Ports
) -> str:
    """A table features message's text."""
    return format_tables([of_features(table, version) for table in m.tables], version)
