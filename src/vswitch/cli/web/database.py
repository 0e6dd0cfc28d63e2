"""`DatabaseWatch`: the configuration database as it is now, kept up to date by a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Final, final

from vswitch.cli.vsctl.replica import Edit, Replica
from vswitch.daemon.process import rundir
from vswitch.ovsdb.client import Client
from vswitch.ovsdb.errors import OvsdbError

RETRY_S: Final = 1.0
WANTED: Final[Mapping[str, Iterable[str]]] = {
    "Open_vSwitch": ("bridges",),
    "Bridge": ("name", "ports", "controller", "datapath_type", "fail_mode"),
    "Port": ("name", "interfaces", "tag", "trunks", "vlan_mode", "bond_mode", "bond_active_slave", "lacp",
             "status"),
    "Interface": ("name", "type", "options", "ofport", "admin_state", "link_state", "error", "mac_in_use"),
    "Controller": ("target", "is_connected", "role", "status"),
}  # fmt: skip
"""What the page shows. Statistics are not among it: they change every few seconds."""


@final
class DatabaseWatch:
    """The rows of `WANTED`. `changes` counts the updates seen; `error` says why there are none."""

    def __init__(self) -> None:
        self.changes = 0
        self.error = "not connected yet"
        self._replica: Replica | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="database")
        self._thread.start()

    def edit(self) -> Edit | None:
        """The rows as they are now; None if the database does not answer."""
        with self._lock:
            return Edit(self._replica) if self._replica is not None else None

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join(2 * RETRY_S)

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                client = Client(f"unix:{rundir()}/db.sock")
            except OSError as error:
                self._lost(error)
                continue
            try:
                replica = Replica(client, lambda schema: WANTED)
                with self._lock:
                    self._replica, self.error = replica, ""
                    self.changes += 1
                while not self._over.is_set():
                    if told := client.notifications(RETRY_S):
                        with self._lock:
                            replica.follow(told)
                            self.changes += 1
            except (OSError, OvsdbError) as error:
                self._lost(error)
            finally:
                client.close()

    def _lost(self, error: Exception) -> None:
        with self._lock:
            self._replica = None
            self.error = f"the database does not answer: {getattr(error, 'strerror', None) or error}"
            self.changes += 1
        self._over.wait(RETRY_S)
