"""Writing status columns: batched into transactions that never wait, and written again until they stick.

`Report` keeps the value that each column should have. What differs from the database goes out in one
transaction at a time; one that loses (the server went away, a row was changed under it, another
process took the lock) is made anew from the values of then, so nothing is lost. After a new connection
everything is compared again: the server may have come back with an older file.
"""

from __future__ import annotations

from typing import Any, Final, final
from uuid import UUID

import ovs.db.error
from ovs.db.data import Datum

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import datum
from vswitch.bridge.idl import Idl, Row, Transaction

log = Vlog("bridge")

BATCH: Final = 2000
"""Rows that go into one transaction at most."""
LAST: Final = "Open_vSwitch"
"""The table whose row says how far the configuration is carried out: it is written after the others."""
KEPT: Final = 4096
"""Values that are kept as the library has them."""
RETRY_MS: Final = 100
"""How long after a lost transaction the next one is sent, unless the database changes sooner."""

again: Final = coverage.counter("bridge_report_again")
refused: Final = coverage.counter("bridge_report_refused")


def _uuid(value: Any) -> Any:
    """What stands for a row in a column: its UUID; anything else stands for itself."""
    return getattr(value, "uuid", value)


@final
class Report:
    """Status columns on their way to the database."""

    def __init__(self, idl: Idl, clock: Clock) -> None:
        self._idl = idl
        self._clock = clock
        self._wanted: dict[UUID, tuple[str, dict[str, Datum]]] = {}
        """Row -> its table, and what its columns should be."""
        self._values: dict[UUID, dict[str, Any]] = {}
        """The same as it was given: most of what is given is what was given before."""
        self._datums: dict[tuple[str, str, str | bool | None], Datum] = {}
        """(table, column, value) -> the value as the library has it."""
        self._dirty: dict[UUID, None] = {}
        """Rows to write, in this order."""
        self._sent: list[UUID] = []
        self._transaction: Any = None
        self._batch = BATCH
        self._retry_at = 0
        self._connections = -1

    def put(self, row: Row, **columns: Any) -> None:
        """Let these columns of `row` have these values: None or [] for none, a set, a map."""
        self._idl.respite.give()
        values = self._values.get(row.uuid)
        if values is None:
            values = self._values[row.uuid] = {}
            self._wanted[row.uuid] = (row._table.name, {})
        for name, value in columns.items():
            if name in values and values[name] == value:
                continue
            column = row._table.columns.get(name)
            if column is None or not self._idl.may_write(row._table.name, name):
                # An older database, which knows nothing of it.
                continue
            try:
                made = self._datum(row._table.name, name, column.type, value)
            except ovs.db.error.Error as e:
                log.err("%s.%s: %s", row._table.name, name, e)
                continue
            values[name] = value
            self._wanted[row.uuid][1][name] = made
            if row._table.name == LAST:
                self._dirty.pop(row.uuid, None)
            self._dirty[row.uuid] = None

    def _datum(self, table: str, column: str, type: Any, value: Any) -> Datum:
        """`value` as the library has it; many rows have a text or a truth in common."""
        if value is None or isinstance(value, (str, bool)):
            key = (table, column, value)
            known = self._datums.get(key)
            if known is None:
                if len(self._datums) >= KEPT:
                    self._datums.clear()
                known = self._datums[key] = Datum.from_python(type, [] if value is None else value, _uuid)
            return known
        return Datum.from_python(type, value, _uuid)

    def forget(self, gone: set[UUID]) -> None:
        """These rows may be gone; those that are need no status any more."""
        for uuid in gone:
            known = self._wanted.get(uuid)
            if known is not None and self._idl.row(known[0], uuid) is None:
                del self._wanted[uuid]
                del self._values[uuid]
                self._dirty.pop(uuid, None)

    def restore(self, changed: set[UUID]) -> None:
        """The status columns of these rows changed: whatever somebody else wrote is written over."""
        for uuid in changed:
            if uuid in self._wanted:
                self._dirty[uuid] = None

    @property
    def idle(self) -> bool:
        """Whether the database has everything."""
        return not self._dirty and self._transaction is None

    def run(self, now: int) -> None:
        """Send what there is to send, and see what became of what was sent."""
        if self._connections != self._idl.connections:
            self._connections = self._idl.connections
            self._dirty = dict.fromkeys(sorted(self._wanted, key=lambda uuid: self._wanted[uuid][0] == LAST))
        if self._transaction is not None and not self._finish(now):
            return
        if self._dirty and self._idl.is_connected and self._idl.has_lock and now >= self._retry_at:
            self._send(now)

    def wakeup(self, now: int) -> int:
        """Clock ms when `run` has something to do even if the server says nothing."""
        if self._dirty and self._transaction is None and self._idl.is_connected and self._idl.has_lock:
            return self._retry_at
        return now + 3_600_000

    def _send(self, now: int) -> None:
        transaction = self._idl.transaction()
        sent: list[UUID] = []
        for uuid in list(self._dirty):
            if len(sent) >= self._batch:
                break
            self._idl.respite.give()
            del self._dirty[uuid]
            table, columns = self._wanted[uuid]
            row = self._idl.row(table, uuid)
            if row is None:
                continue
            differing = {name: wanted for name, wanted in columns.items() if datum(row, name) != wanted}
            for name, wanted in differing.items():
                transaction._write(row, row._table.columns[name], wanted)
            if differing:
                sent.append(uuid)
        self._transaction = transaction
        self._sent = sent
        transaction.commit()
        self._finish(now)

    def _finish(self, now: int) -> bool:
        """Whether the transaction under way has come to an end."""
        transaction = self._transaction
        status = transaction.commit()
        if status == Transaction.INCOMPLETE:
            return False
        self._transaction = None
        sent, self._sent = self._sent, []
        if status in (Transaction.SUCCESS, Transaction.UNCHANGED):
            self._batch = min(self._batch * 2, BATCH)
            return True
        if status != Transaction.ERROR:
            # Lost to somebody else, or with the connection.
            again.inc()
            self._dirty = dict.fromkeys(sent) | self._dirty
            self._retry_at = now + RETRY_MS
        elif len(sent) > 1:
            # One row spoils it for all: find out which.
            self._dirty = dict.fromkeys(sent) | self._dirty
            self._batch = max(len(sent) // 2, 1)
        else:
            refused.inc()
            log.err("the database refused status of %s: %s", self._wanted.get(sent[0], ("?",))[0] if sent
                    else "no row", transaction.get_error())  # fmt: skip
        return True
