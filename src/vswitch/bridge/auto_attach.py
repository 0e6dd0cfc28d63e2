"""Port.trunks as Auto Attach has it: a port carries the VLANs of its bridge's mappings.

Each mapping that comes or goes is one change of the database; what else stands in the column is whoever's who
wrote it. Open vSwitch does so as soon as the mapping is there, whatever a server says of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final
from uuid import UUID

from vswitch.base.clock import Clock
from vswitch.base.vlog import Vlog
from vswitch.bridge.idl import Idl, Transaction

log = Vlog("bridge")

RETRY_MS: Final = 100
"""How long after a lost transaction the next one is sent."""


@final
class AutoAttachTrunks:
    """Changes of Port.trunks on their way to the database."""

    def __init__(self, idl: Idl, clock: Clock) -> None:
        self._idl = idl
        self._clock = clock
        self._waiting: dict[UUID, dict[int, bool]] = {}
        """Row of Port -> VLANs, and whether its trunks are to have each."""
        self._transaction: Any = None
        self._retry_at = 0

    def change(self, changes: Iterable[tuple[UUID, int, bool]]) -> None:
        """Let the trunks of these rows of Port have, or not have, these VLANs."""
        for port, vlan, there in changes:
            self._waiting.setdefault(port, {})[vlan] = there

    def run(self, now: int) -> None:
        """Send what there is to send, and see what became of what was sent."""
        if self._transaction is not None:
            self._finish(now)
        ready = self._transaction is None and self._idl.is_connected and self._idl.has_lock
        if self._waiting and ready and now >= self._retry_at:
            self._send(now)

    def wakeup(self, now: int) -> int:
        """Clock ms when `run` has something to do even if the server says nothing."""
        waits = self._waiting and self._transaction is None and self._idl.is_connected and self._idl.has_lock
        return self._retry_at if waits else now + 3_600_000

    def _send(self, now: int) -> None:
        transaction = self._idl.transaction()
        for uuid, vlans in self._waiting.items():
            row = self._idl.row("Port", uuid)
            if row is None:
                continue
            trunks = set(row.trunks)
            wanted = trunks | {vlan for vlan, there in vlans.items() if there}
            wanted -= {vlan for vlan, there in vlans.items() if not there}
            if wanted == trunks:
                continue
            row.verify("trunks")
            row.trunks = sorted(wanted)
            row.vlan_mode = "trunk" if wanted else "access"
            log.info("port %s: Auto Attach changes its trunks to %s", row.name, sorted(wanted))
        self._transaction = transaction
        transaction.commit()
        self._finish(now)

    def _finish(self, now: int) -> None:
        status = self._transaction.commit()
        if status == Transaction.INCOMPLETE:
            return
        if status in (Transaction.SUCCESS, Transaction.UNCHANGED):
            self._waiting.clear()
        elif status == Transaction.ERROR:
            log.err("the database refused trunks of Auto Attach: %s", self._transaction.get_error())
            self._waiting.clear()
        else:
            # Lost to somebody else, or with the connection.
            self._retry_at = now + RETRY_MS
        self._transaction = None
