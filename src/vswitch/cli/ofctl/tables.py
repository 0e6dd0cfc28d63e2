"""The commands on flow tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from vswitch.cli.ofctl.switch import OfctlError, Switch
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow import constants as c
from vswitch.openflow.action_words import table_number
from vswitch.openflow.messages import table as t
from vswitch.openflow.print import format_message
from vswitch.openflow.table_text import parse_table_mod
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP11, OFP13, OFP14, OFP15, VERSION_NAMES

Args: TypeAlias = Sequence[str]


def dump_tables(switch: Switch, args: Args) -> None:
    """`dump-tables SWITCH`"""
    switch.show(t.TableStatsRequest())


def dump_table_features(switch: Switch, args: Args) -> None:
    """`dump-table-features SWITCH`"""
    switch.needs("dump-table-features", OFP13)
    replies = switch.ask(t.TableFeaturesRequest())
    tables = tuple(table for reply in replies for table in reply.body.tables)
    if switch.settings.json:
        switch.print_message(replace(replies[0], body=t.TableFeaturesReply(tables)))
        return
    whole = format_message(replace(replies[0], body=t.TableFeaturesReply(tables)))
    sys.stdout.write(whole.partition("\n")[2] + "\n")


def dump_table_desc(switch: Switch, args: Args) -> None:
    """`dump-table-desc SWITCH`"""
    switch.needs("dump-table-desc", OFP14)
    switch.show(t.TableDescRequest())


def mod_table(switch: Switch, args: Args) -> None:
    """`mod-table SWITCH TABLE MOD`"""
    table_text, mod = args
    number = c.OFPTT_ALL if table_text.lower() == "all" else table_number(table_text, switch.table_names)
    if number is None:
        raise OfctlError(f'unknown table "{table_text}"')
    table = number
    word, _, rest = mod.partition(":")
    if word == "name" and mod != word:
        _require_versions(switch, mod, (OFP13, OFP14, OFP15))
        _set_name(switch, table, rest)
        return
    try:
        body, wanted = parse_table_mod(table, mod)
    except FlowSyntaxError as error:
        raise OfctlError(error.message) from error
    _require_versions(switch, mod, wanted)
    bodies = [body] if OFP11 in wanted else _beside_the_rest(switch, body, mod)
    switch.do([(each, Form.OPENFLOW) for each in bodies])


def _beside_the_rest(switch: Switch, body: t.TableMod, mod: str) -> list[t.TableMod]:
    """What sets what `body` is about and leaves the rest of the configuration of its tables as it is: a
    modification says all of it (OpenFlow 1.4, 7.3.4.2)."""
    known = [each for reply in switch.ask(t.TableDescRequest()) for each in reply.body.tables]
    asked, found = body.table, []
    for one in known:
        if asked.table_id not in (one.table_id, c.OFPTT_ALL):
            continue
        if mod.endswith("evict"):
            config = asked.config | one.config & ~t.OFPTC_EVICTION
            vacant = one.vacancy if config & t.OFPTC_VACANCY_EVENTS else None
            vacancy = None if vacant is None else replace(vacant, now=0)
            found.append(t.TableMod(t.TableConfig(one.table_id, config, vacancy=vacancy)))
        else:
            config = asked.config | one.config & ~t.OFPTC_VACANCY_EVENTS
            found.append(t.TableMod(t.TableConfig(one.table_id, config, one.eviction, asked.vacancy)))
    return found or [body]


def _require_versions(switch: Switch, mod: str, wanted: Sequence[int]) -> None:
    if switch.version not in wanted:
        names = ", ".join(VERSION_NAMES[v] for v in wanted)
        raise OfctlError(f"table_mod '{mod}' requires one of the OpenFlow versions {names}")


def _set_name(switch: Switch, table: int, name: str) -> None:
    """Give a table a name: its features as they are but for that (OpenFlow 1.3, A.3.5.5)."""
    replies = switch.ask(t.TableFeaturesRequest())
    known = [each for reply in replies for each in reply.body.tables]
    if all(features.table_id != table for features in known):
        raise OfctlError(f"{switch.name}: no table {table}")
    if switch.version >= OFP15:
        wanted = [replace(f, name=name, command=t.OFPTFC_MODIFY) for f in known if f.table_id == table]
    else:
        # The request is about all tables. Their properties stay, and would not fit into a message.
        wanted = [replace(f, name=name if f.table_id == table else f.name, properties=()) for f in known]
    switch.ask(t.TableFeaturesRequest(tuple(wanted)))
