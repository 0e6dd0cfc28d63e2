"""Rows as the switch's copy of the database takes them are the library's."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import ovs.db.idl
import pytest
from ovs.db.data import Atom

from vswitch.base.clock import Clock
from vswitch.base.respite import Respite
from vswitch.bridge.idl import Transaction, _helper, _Replica
from vswitch.ovsdb.vswitch_schema import VSWITCH

A, B, C = (f"00000000-0000-0000-0000-00000000000{n}" for n in range(3))
UPDATES: list[dict[str, Any]] = [
    {"Open_vSwitch": {A: {"initial": {}}}},
    {"Open_vSwitch": {A: {"initial": {"next_cfg": 3, "bridges": ["set", [["uuid", B], ["uuid", C]]]}}}},
    {"Open_vSwitch": {A: {"insert": {"next_cfg": 0, "external_ids": ["map", []], "bridges": ["set", []]}}}},
    {"Interface": {A: {"insert": {"name": "p1"}}, B: {"insert": {"name": "p2", "ofport": 5}}}},
    {"Interface": {A: {"insert": {"name": 5, "nonsense": 1, "options": ["map", [["a", "b"]]]}}}},
    {"Bridge": {A: {"insert": {"name": "br0", "ports": ["uuid", B], "fail_mode": "secure"}}}},
    {"Bridge": {A: {"insert": {"name": "br0", "fail_mode": "neither", "flood_vlans": ["set", [1, 2]]}}}},
    {"Port": {A: {"insert": {"name": "p", "tag": 5000, "trunks": ["set", [1, 2]]}}}},
]
CHANGES: list[dict[str, Any]] = [
    {"Interface": {A: {"modify": {"ofport": 7, "statistics": ["map", [["rx_bytes", 5]]]}}}},
    {"Interface": {A: {"delete": None}}},
    {"Bridge": {A: {"modify": {"ports": ["set", [["uuid", B], ["uuid", C]]]}}}},
    {"Port": {A: {"modify": {"interfaces": ["uuid", B]}}}},
]


class _Library(ovs.db.idl.Idl):  # type: ignore[misc]
    """The library's, which notes what it tells."""

    def __init__(self) -> None:
        super().__init__("unix:/nowhere", _helper(VSWITCH["tables"]))
        self.told: list[Any] = []

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        self.told.append((event, row.uuid, None if updates is None else sorted(updates._data)))


class _Ours(_Replica):
    def __init__(self) -> None:
        super().__init__("unix:/nowhere", _helper(VSWITCH["tables"]), Respite(Clock(virtual=True)))
        self.told: list[Any] = []

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        self.told.append((event, row.uuid, None if updates is None else sorted(updates._data)))


def _value(atom: Any) -> Any:
    """The value of an atom; the library's default of a column that can't be empty is an atom of an atom."""
    return None if atom is None else _value(atom.value) if isinstance(atom.value, Atom) else atom.value


def _outcome(idl: Any, updates: list[Any]) -> Any:
    """What is told, and all that rows then hold."""
    for update in updates:
        idl._Idl__parse_update(update, ovs.db.idl.OVSDB_UPDATE2)
    rows: dict[str, dict[UUID, Any]] = {}
    for name, table in idl.tables.items():
        for uuid in table.rows:
            row = table.rows[uuid]
            rows.setdefault(name, {})[uuid] = {
                column: sorted((_value(k), _value(v)) for k, v in row._data[column].values.items())
                for column in table.columns
            }
    return idl.told, rows


@pytest.mark.parametrize("n", range(len(UPDATES)))
def test_new_rows(n: int) -> None:
    assert _outcome(_Ours(), UPDATES[n : n + 1]) == _outcome(_Library(), UPDATES[n : n + 1])


@pytest.mark.parametrize("n", range(len(CHANGES)))
def test_changed_rows(n: int) -> None:
    first = [{"Interface": {A: {"insert": {"name": "p1"}}}, "Bridge": {A: {"insert": {"name": "br0"}}},
              "Port": {A: {"insert": {"name": "p1"}}, B: {"insert": {"name": "p2"}}}}]  # fmt: skip
    assert _outcome(_Ours(), [*first, CHANGES[n]]) == _outcome(_Library(), [*first, CHANGES[n]])


def test_the_library_has_what_is_replaced() -> None:
    library = ovs.db.idl.Idl
    assert _Replica._Idl__add_default is not library._Idl__add_default
    assert _Replica._Idl__row_update is not library._Idl__row_update


def test_packets_go_on_while_a_transaction_is_made() -> None:
    ours = _Ours()
    _outcome(ours, UPDATES[3:4])
    ours.state = ours.IDL_S_MONITORING
    transaction = Transaction(ours)
    for row in ours.tables["Interface"].rows.values():
        row.ofport = 7
    forwarded: list[int] = []
    ours.respite = Respite(Clock())
    ours.respite.forward.append(lambda: forwarded.append(1))
    transaction.commit()
    assert forwarded
