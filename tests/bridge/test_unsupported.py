"""What the database can ask for is done, a status, or a row of the table of gaps; nothing is silent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vswitch.bridge.columns import STATUS_COLUMNS
from vswitch.bridge.unsupported import (
    ACTED_ON,
    GAPS,
    KEYED,
    MEANINGLESS,
    Unsupported,
    asked_in_vain,
    unknown,
)
from vswitch.netdev.registry import kind, types
from vswitch.ovsdb.vswitch_schema import VSWITCH

TABLES: dict[str, dict[str, Any]] = {name: table["columns"] for name, table in VSWITCH["tables"].items()}


def referred_to(column: dict[str, Any]) -> set[str]:
    """The tables that a column's values are rows of."""
    kinds = column["type"] if isinstance(column["type"], dict) else {}
    parts = [kinds.get("key"), kinds.get("value")]
    return {part["refTable"] for part in parts if isinstance(part, dict) and "refTable" in part}


def behind_gaps() -> set[str]:
    """Tables that nothing but gaps leads to: what stands there can't be asked for."""
    gaps = {(gap.table, gap.column) for gap in GAPS}
    behind = {gap.table for gap in GAPS if gap.table not in ACTED_ON}
    roots = {"Open_vSwitch", "QoS", "Queue", "Flow_Sample_Collector_Set"}
    while True:
        more = {
            table
            for table in TABLES.keys() - behind - roots
            if all(
                (name, column) in gaps or name in behind
                for name, columns in TABLES.items()
                for column, kinds in columns.items()
                if table in referred_to(kinds)
            )
        }
        if not more:
            return behind
        behind |= more


def test_tables_behind_gaps() -> None:
    assert behind_gaps() == set()


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_column_is_done_or_a_status_or_a_gap(table: str) -> None:
    gaps = {gap.column for gap in GAPS if gap.table == table}
    known = ACTED_ON.get(table, frozenset()) | STATUS_COLUMNS.get(table, frozenset()) | gaps
    columns = set(TABLES[table]) - {"external_ids", KEYED}
    if table not in behind_gaps():
        assert columns - known == set()
    assert {name for name in known if ":" not in name} - set(TABLES[table]) == set()


def test_no_column_is_both_done_and_a_gap() -> None:
    for gap in GAPS:
        assert gap.done or gap.column not in ACTED_ON.get(gap.table, ()), gap
    for table, columns in [*ACTED_ON.items(), *MEANINGLESS.items()]:
        assert KEYED in TABLES[table] or not any(column.startswith(KEYED) for column in columns)


def row(table: str, **columns: Any) -> SimpleNamespace:
    """A row with nothing in it but `columns`."""
    empty = {name: {} if name == KEYED else [] for name in TABLES[table]}
    return SimpleNamespace(**{**empty, **columns})


def asked(table: str, **columns: Any) -> dict[str, str]:
    """What a row of `table` with these columns asks for in vain."""
    made = row(table, **columns)
    return asked_in_vain(table, made, getattr(made, KEYED, {}))


def test_a_row_that_asks_for_nothing_more_is_silent() -> None:
    assert asked("Bridge", stp_enable=False, name="br0") == {}
    assert asked("Interface", cfm_mpid=[]) == {}
    assert asked("Port", lacp=["off"], bond_updelay=0) == {}


def test_columns_are_written_as_the_tools_write_them() -> None:
    assert asked("QoS", type=["linux-fifo"]) == {"type": "linux-fifo"}


def test_a_key_that_nobody_knows_is_no_reason_for_a_warning() -> None:
    other = {"hwaddr": "02:00:00:00:00:01", "mac-agin-time": "5", "dp-desc": ""}
    assert asked("Bridge", other_config=other) == {}
    assert unknown("Bridge", row("Bridge", other_config=other)) == {"other_config:mac-agin-time": "5"}
    known = row("Open_vSwitch", other_config={"dpdk-init": "true", "max-idle": "7"})
    assert asked("Open_vSwitch", other_config=known.other_config) == {"other_config:dpdk-init": "true"}
    assert unknown("Open_vSwitch", known) == {}


def test_a_gap_may_be_of_some_values_only() -> None:
    assert asked("QoS", type="linux-htb", other_config={"max-rate": "1000"}) == {}
    assert asked("QoS", type="linux-fifo", other_config={"bands": "3"}) == {"type": "linux-fifo"}


def test_a_warning_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    log = SimpleNamespace(warn=lambda text, *args: said.append(text % args), enabled=lambda level: False)
    monkeypatch.setattr("vswitch.bridge.unsupported.log", log)
    unsupported = Unsupported()
    for type in ("linux-fifo", "linux-fifo", "linux-prio"):
        unsupported.look_at("qos of p1", "QoS", row("QoS", type=type))
    assert said == [f"qos of p1: type=linux-{name} is not supported" for name in ("fifo", "prio")]


def test_every_port_type_says_which_options_it_has() -> None:
    assert {"system", "tap"} <= {type for type in types() if kind(type).options == set()}
    assert kind("patch").options == {"peer"}
    assert kind("dummy").options is None
