"""Rows of Flow_Table as settings of a bridge's tables (ovs-vswitchd.conf.db(5), table Flow_Table)."""

from __future__ import annotations

from typing import Final, final

from vswitch.base.records import dataclass
from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import one
from vswitch.bridge.idl import Idl, Row
from vswitch.classifier.classifier import prefix_contexts
from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.ofproto.table import EVICTION_CLIENT, NAMED_BY_CLIENT
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.openflow.subfield import parse_subfield

log = Vlog("bridge")

DEFAULT_PREFIXES: Final = ("ip_dst", "ip_src")
MAX_PREFIXES: Final = 3


@dataclass(frozen=True)
class TableSettings:
    """How one table is set up. `max_flows` None: no limit."""

    name: str = ""
    max_flows: int | None = None
    evicts: bool = False
    groups: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = DEFAULT_PREFIXES


def table_settings(row: Row) -> TableSettings:
    """What a row asks for."""
    prefixes = tuple(sorted(row.prefixes)) if row.prefixes else DEFAULT_PREFIXES
    return TableSettings(
        name=one(row, "name") or "",
        max_flows=one(row, "flow_limit"),
        evicts=one(row, "overflow_policy") == "evict",
        groups=tuple(sorted(row.groups)),
        prefixes=() if "none" in prefixes else prefixes,
    )


def _is_field(name: str) -> bool:
    try:
        by_name(name)
    except KeyError:
        return False
    return True


@final
class FlowTables:
    """The tables of one bridge as they were last set up."""

    def __init__(self, ofproto: OfprotoDpif) -> None:
        self._ofproto = ofproto
        self._set: dict[int, TableSettings] = {}

    def configure(self, idl: Idl, bridge: Row) -> None:
        """Set up the tables that the bridge's row names, and those no longer named as tables are at first."""
        n_tables = len(self._ofproto.tables) - 1
        wanted: dict[int, TableSettings] = {}
        for number, row in bridge.flow_tables.items():
            if number >= n_tables:
                log.warn("bridge %s: configuration specified for out-of-range table %d (there are %d tables)",
                         self._ofproto.name, number, n_tables)  # fmt: skip
            elif row is not None:
                wanted[number] = table_settings(row)
        for number in self._set.keys() | wanted.keys():
            settings = wanted.get(number, TableSettings())
            if self._set.get(number, TableSettings()) != settings:
                self._apply(number, settings)
        self._set = wanted

    def _apply(self, number: int, settings: TableSettings) -> None:
        ofproto = self._ofproto
        table = ofproto.tables[number]
        table.set_name(settings.name, NAMED_BY_CLIENT)
        table.max_flows = settings.max_flows
        eviction = table.eviction & ~EVICTION_CLIENT | (EVICTION_CLIENT if settings.evicts else 0)
        table.configure_eviction(eviction, self._fields(number, settings.groups) if eviction else ())
        ofproto.tables.shrink(table)
        prefixes = self._prefixes(settings.prefixes)
        if table.cls.set_prefix_fields(prefixes or (DEFAULT_PREFIXES if settings.prefixes else ())):
            if prefixes and settings.prefixes != DEFAULT_PREFIXES:
                log.info("bridge %s table %d: Prefix lookup with: %s.", self._ofproto.name, number,
                         ",".join(prefixes))  # fmt: skip
            ofproto.backer.need(RevReason.RECONFIGURE)

    def _prefixes(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `wanted` that can be looked up by prefix."""
        usable: list[str] = []
        for name in wanted:
            try:
                prefix_contexts((name,))
            except ValueError:
                what = "incompatible" if _is_field(name) else "unknown"
                log.warn("bridge %s: 'prefixes' with %s field: %s", self._ofproto.name, what, name)
            else:
                usable.append(name)
        if len(usable) > MAX_PREFIXES:
            log.warn("bridge %s: 'prefixes' with more than %d fields: %s", self._ofproto.name, MAX_PREFIXES,
                     ", ".join(usable[MAX_PREFIXES:]))  # fmt: skip
        return tuple(usable[:MAX_PREFIXES])

    def _fields(self, number: int, groups: tuple[str, ...]) -> tuple[Field, ...]:
        fields: list[Field] = []
        for group in groups:
            try:
                subfield = parse_subfield(group)
            except FlowSyntaxError as e:
                log.warn("bridge %s table %d: error parsing 'groups' (%s)", self._ofproto.name, number, e)
            else:
                fields.append(subfield.field)
        return tuple(fields)
