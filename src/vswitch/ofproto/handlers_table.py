"""Requests about flow tables: configuration, description, statistics, features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.ofproto import table_features
from vswitch.ofproto.multipart import Multipart
from vswitch.ofproto.table import EVICTION_OPENFLOW, MISS_DEFAULT, NAMED_BY_CONTROLLER, Table
from vswitch.openflow.constants import OFPTT_ALL
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import table as t
from vswitch.openflow.wire.version import OFP11, OFP13, OFP14

if TYPE_CHECKING:
    from vswitch.ofproto.ofconn import Handler, OfConn, Replies
    from vswitch.ofproto.ofproto import Ofproto
    from vswitch.openflow.wire.codec import Message

EVICTION_FLAGS: Final = t.OFPTMPEF_OTHER | t.OFPTMPEF_IMPORTANCE | t.OFPTMPEF_LIFETIME
"""How this switch evicts: by importance, then by lifetime, within groups of its own choice."""


def _visible(ofproto: Ofproto) -> list[Table]:
    return [table for table in ofproto.tables if not table.hidden]


def config_of(table: Table, version: int) -> int:
    """The OFPTC_* of a table as `version` tells them."""
    if version < OFP14:
        if table.miss_config == MISS_DEFAULT or version >= OFP13:
            return 0
        # Open vSwitch tells 1.1 its own numbers, in which 0 is what nobody has configured.
        # By 1.1's text "drop" is 2; for the 3 ovs-ofctl warns and shows "controller", whoever sent it.
        return table.miss_config + 1 if version == OFP11 else table.miss_config
    config = t.OFPTC_EVICTION if table.eviction & EVICTION_OPENFLOW else 0
    return config | (t.OFPTC_VACANCY_EVENTS if table.vacancy_event else 0)


def describe(table: Table, version: int) -> t.TableConfig:
    """A table's configuration."""
    vacancy = None
    if table.vacancy_event:
        vacancy = t.Vacancy(table.vacancy_down, table.vacancy_up, table.vacancy())
    return t.TableConfig(table.table_id, config_of(table, version), EVICTION_FLAGS, vacancy)


def table_mod(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Configure a table or all of them: misses up to 1.2, eviction and vacancy events from 1.4 on."""
    config: t.TableConfig = message.body.table
    ofproto = ofconn.ofproto
    if config.table_id != OFPTT_ALL and config.table_id >= len(ofproto.tables):
        raise OfpError("OFPTMFC_BAD_TABLE", f"table {config.table_id}")
    if config.eviction is not None and config.eviction != EVICTION_FLAGS:
        return ()  # passed over, as Open vSwitch does: the flags only inform
    if config.table_id == OFPTT_ALL:
        for table in _visible(ofproto):
            _configure(ofproto, table, config, message.version)
    else:
        table = ofproto.tables[config.table_id]
        if table.readonly:
            raise OfpError("OFPTMFC_EPERM", f"table {config.table_id}")
        _configure(ofproto, table, config, message.version)
    return ()


def _configure(ofproto: Ofproto, table: Table, config: t.TableConfig, version: int) -> None:
    if version < OFP13:
        miss = config.config & t.OFPTC_TABLE_MISS_MASK
        if miss != t.OFPTC_TABLE_MISS_MASK and miss != table.miss_config:
            table.miss_config = miss
            ofproto.tables_reconfigured()
        return
    if version < OFP14:
        return
    eviction = table.eviction & ~EVICTION_OPENFLOW
    if config.config & t.OFPTC_EVICTION:
        eviction |= EVICTION_OPENFLOW
    table.configure_eviction(eviction, table.eviction_fields)
    if not config.config & t.OFPTC_VACANCY_EVENTS:
        table.vacancy_event = 0
        return
    if config.vacancy is not None:
        table.vacancy_down = config.vacancy.down
        table.vacancy_up = config.vacancy.up
    table.vacancy_event = (
        t.OFPTR_VACANCY_UP if table.vacancy() < table.vacancy_up else t.OFPTR_VACANCY_DOWN
    )


def table_desc(ofconn: OfConn, message: Message, now: int) -> Replies:
    """How the tables are configured."""
    tables = _visible(ofconn.ofproto)
    version = message.version
    return (Multipart(tables, t.TableDescReply, lambda table: describe(table, version)),)


def table_stats(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What the tables counted."""
    ofproto = ofconn.ofproto
    ofproto.push_stats()
    version = message.version
    last = len(_visible(ofproto)) - 1
    return (Multipart(
        _visible(ofproto), t.TableStatsReply,
        lambda table: table_features.stats(table, last, version, config_of(table, version)),
    ),)  # fmt: skip


def _rename(tables: list[Table], wanted: tuple[t.TableFeatures, ...]) -> None:
    """Give tables the names that `wanted` has for them.

    OfpError: the request is to enable or disable tables, or does not speak of all while it is to replace
    what is there (the only thing to do before 1.5), asks for another number of flows, or for
    another name than the database gave.
    """
    numbers = {table.table_id for table in wanted}
    for table in wanted:
        if table.table_id == OFPTT_ALL:
            raise OfpError("OFPTFFC_BAD_TABLE", "every table")
        if table.command > t.OFPTFC_DISABLE:
            raise OfpError("OFPTFFC_BAD_COMMAND", f"command {table.command}")
    if len(numbers) < len(wanted):
        raise OfpError("NXTFFC_DUP_TABLE", "a table twice")
    command = wanted[0].command
    if command > t.OFPTFC_MODIFY or (command == t.OFPTFC_REPLACE and len(numbers) < len(tables)):
        raise OfpError("OFPTFFC_EPERM", "tables are not taken away")
    for table in wanted:
        if table.table_id >= len(tables):
            raise OfpError("OFPTFFC_EPERM", f"no table {table.table_id}")
        there = tables[table.table_id]
        if table.max_entries != table_features.limit(there):
            raise OfpError("OFPTFFC_EPERM", f"table {table.table_id} is as large as it is")
        if not there.may_set_name(table.name, NAMED_BY_CONTROLLER):
            raise OfpError("OFPTFFC_EPERM", f"the database named table {table.table_id}")
    for table in wanted:
        tables[table.table_id].set_name(table.name, NAMED_BY_CONTROLLER)


def features(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What the tables can do. A request may rename them; other changes that it asks for are passed over,
    as in Open vSwitch."""
    wanted: tuple[t.TableFeatures, ...] = message.body.tables
    tables = _visible(ofconn.ofproto)
    if wanted:
        _rename(tables, wanted)
    version = message.version
    last = len(tables) - 1

    def entry(table: Table) -> t.TableFeatures:
        return table_features.features(table, last, version)

    return (Multipart(tables, t.TableFeaturesReply, entry),)


HANDLERS: Final[dict[type, Handler]] = {
    t.TableMod: table_mod,
    t.TableDescRequest: table_desc,
    t.TableStatsRequest: table_stats,
    t.TableFeaturesRequest: features,
}
SECONDARY_REFUSED: Final[tuple[type, ...]] = (t.TableMod,)
