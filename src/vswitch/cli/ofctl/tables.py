"""The commands on flow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from vswitch.cli.ofctl.switch import OfctlError, Switch
from vswitch.openflow import constants as c
from vswitch.openflow.messages import table as t
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP11, OFP12, OFP13, OFP14, VERSION_NAMES

Args: TypeAlias = Sequence[str]

MISS: Final = {
    "controller": t.OFPTC_TABLE_MISS_CONTROLLER, "continue": t.OFPTC_TABLE_MISS_CONTINUE,
    "drop": t.OFPTC_TABLE_MISS_DROP,
}  # fmt: skip


def dump_tables(switch: Switch, args: Args) -> None:
    """`dump-tables SWITCH`"""
    switch.show(t.TableStatsRequest())


def dump_table_features(switch: Switch, args: Args) -> None:
    """`dump-table-features SWITCH`"""
    switch.needs("dump-table-features", OFP13)
    switch.show(t.TableFeaturesRequest())


def dump_table_desc(switch: Switch, args: Args) -> None:
    """`dump-table-desc SWITCH`"""
    switch.needs("dump-table-desc", OFP14)
    switch.show(t.TableDescRequest())


def mod_table(switch: Switch, args: Args) -> None:
    """`mod-table SWITCH TABLE MOD`"""
    table_text, mod = args
    if table_text.upper() == "ALL":
        table = c.OFPTT_ALL
    elif table_text.isdigit() and int(table_text) < c.OFPTT_ALL:
        table = int(table_text)
    else:
        raise OfctlError(f"{table_text}: not a valid table number")
    word, _, rest = mod.partition(":")
    if mod in MISS:
        wanted, config = (OFP11, OFP12), t.TableConfig(table, MISS[mod])
    elif mod in ("evict", "noevict"):
        wanted = (OFP14, OFP14 + 1)
        config = t.TableConfig(table, t.OFPTC_EVICTION if mod == "evict" else 0)
    elif word in ("vacancy", "novacancy"):
        wanted = (OFP14, OFP14 + 1)
        low, _, high = rest.partition(",")
        vacancy = None
        if word == "vacancy":
            if not (low.isdigit() and high.isdigit() and int(low) <= int(high) <= 100):
                raise OfctlError(f"invalid vacancy thresholds in {mod!r}: vacancy:LOW,HIGH in percent")
            vacancy = t.Vacancy(int(low), int(high))
        config = t.TableConfig(table, t.OFPTC_VACANCY_EVENTS if vacancy else 0, vacancy=vacancy)
    else:
        raise OfctlError(f"invalid table_mod `{mod}'")
    if switch.version not in wanted:
        names = ", ".join(VERSION_NAMES[v] for v in wanted)
        raise OfctlError(f"table_mod '{mod}' requires one of the OpenFlow versions {names}")
    switch.do([(t.TableMod(config), Form.OPENFLOW)])
