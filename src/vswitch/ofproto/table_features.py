"""What a flow table can do, as OpenFlow 1.0 to 1.5 tell it: the same for every table of this switch.

Table statistics of 1.0 to 1.2 have bit maps; table features of 1.3 and later (OpenFlow 1.3, 7.3.5.5) lists
of instructions, actions and fields, which come from the registry of fields.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from vswitch.flow.field import Field
from vswitch.flow.fields import FIELDS
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import table as t
from vswitch.openflow.wire.oxm import oxm_entry
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP15

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vswitch.ofproto.table import Table

MAX_ENTRIES: Final = 1_000_000
"""What a table without a limit tells: it has none but memory."""
ALL64: Final = 0xFFFFFFFFFFFFFFFF

INSTRUCTIONS: Final = (1, 2, 3, 4, 5, 6)
"""Goto-table, write-metadata, write-actions, apply-actions, clear-actions, meter."""
METER: Final = 6
"""In 1.5 this is an action."""
ACTIONS: Final = (0, *range(15, 26))
"""Output, then from copy-TTL-out's neighbour set-MPLS-TTL on: those of 1.3 that a flow may have."""

# Table statistics of 1.0 to 1.2: OFPFW10_ALL; OFPFMF11_*; bits by number of OpenFlow's fields and actions.
WILDCARDS10: Final = 0x3FFFFF
FIELDS11: Final = 0xFBFF
ACTIONS11: Final = 0x1FFE7FF
FIELDS12: Final = 0x101FFFFFFFFD
ACTIONS12: Final = 0x3FF8001
SETFIELDS12: Final = 0xFFFFFFBDD
INSTRUCTIONS11: Final = 0x3E
"""Bits 1 to 5."""
GOTO_TABLE: Final = 1 << 1


def stats(table: Table, last: int, version: int, config: int) -> t.TableStats:
    """A table's counters and, up to 1.2, abilities; `last` is the highest table number of all."""
    instructions = INSTRUCTIONS11 if table.table_id < last else INSTRUCTIONS11 & ~GOTO_TABLE
    base = (table.table_id, table.n_active, table.n_lookup, table.n_matched, table.name, limit(table))
    if version == OFP10:
        return t.TableStats(*base, wildcards=WILDCARDS10)
    if version == OFP11:
        return t.TableStats(
            *base, match=FIELDS11, wildcards=FIELDS11, write_actions=ACTIONS11, apply_actions=ACTIONS11,
            instructions=instructions, config=config,
        )  # fmt: skip
    if version == OFP12:
        return t.TableStats(
            *base, match=FIELDS12, wildcards=FIELDS12, write_actions=ACTIONS12, apply_actions=ACTIONS12,
            write_setfields=SETFIELDS12, apply_setfields=SETFIELDS12, metadata_match=ALL64,
            metadata_write=ALL64, instructions=instructions, config=config,
        )  # fmt: skip
    return t.TableStats(table.table_id, table.n_active, table.n_lookup, table.n_matched)


def limit(table: Table) -> int:
    """How many flows the table takes, as messages tell it."""
    return MAX_ENTRIES if table.max_flows is None else table.max_flows


def features(table: Table, last: int, version: int) -> t.TableFeatures:
    """What a table can do; `last` is the highest table number that flows can go on to."""
    following = tuple(range(table.table_id + 1, last + 1))
    both: list[t.TableProperty] = []
    for miss in (0, 1):
        both.append(t.TableProperty(t.OFPTFPT_INSTRUCTIONS + miss, _instructions(version, bool(following))))
        both.append(t.TableProperty(t.OFPTFPT_NEXT_TABLES + miss, following))
        both.append(t.TableProperty(t.OFPTFPT_WRITE_ACTIONS + miss, ACTIONS))
        both.append(t.TableProperty(t.OFPTFPT_WRITE_SETFIELD + miss, _writable(version)))
        both.append(t.TableProperty(t.OFPTFPT_APPLY_ACTIONS + miss, ACTIONS))
        both.append(t.TableProperty(t.OFPTFPT_APPLY_SETFIELD + miss, _writable(version)))
    both.append(t.TableProperty(t.OFPTFPT_MATCH, _matched(version)))
    both.append(t.TableProperty(t.OFPTFPT_WILDCARDS, _wildcarded(version)))
    return t.TableFeatures(
        table.table_id, table.name, ALL64, ALL64, max_entries=limit(table), properties=tuple(both)
    )


def _instructions(version: int, more_tables: bool) -> tuple[int, ...]:
    found = INSTRUCTIONS if version < OFP15 else INSTRUCTIONS[:-1]
    return found if more_tables else found[1:]


def _header(field: Field, version: int, masked: bool) -> int | None:
    """The OXM header that names `field` in `version`, of 8 bytes if an experimenter's; None: none does."""
    try:
        entry = oxm_entry(field, version)
    except OfpError:
        return None
    size = field.n_bytes * (2 if masked else 1)
    bit = 0x100 if masked else 0
    if entry.experimenter:
        return (entry.head | bit | size + 4) << 32 | entry.experimenter
    return entry.head | bit | size


def _headers(fields: Iterable[tuple[Field, bool]], version: int) -> tuple[int, ...]:
    found = [_header(field, version, masked) for field, masked in fields]
    return tuple(h for h in found if h is not None)


@cache
def _matched(version: int) -> tuple[int, ...]:
    return _headers([(field, field.maskable) for field in FIELDS], version)


@cache
def _wildcarded(version: int) -> tuple[int, ...]:
    return _headers([(field, False) for field in FIELDS], version)


@cache
def _writable(version: int) -> tuple[int, ...]:
    return _headers([(field, False) for field in FIELDS if field.writable], version)
