"""Looking up a host's name without waiting for it: a thread asks, a descriptor tells that it is done."""

from __future__ import annotations

import errno
import os
import socket
import threading
from typing import final


@final
class Lookup:
    """One look-up of `host`, begun at once. `address` is "" until found, and if `error` is set."""

    def __init__(self, host: str) -> None:
        self.address: str = ""
        self.error: int = 0
        self._host = host
        self._lock = threading.Lock()
        self.fd: int = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when the look-up is done."""
        self.done: bool = False
        # A resolver may take a minute, which must not hold up the end of the process.
        threading.Thread(target=self._ask, name="lookup", daemon=True).start()

    def _ask(self) -> None:
        address, error = "", 0
        try:
            found = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
            address = str(found[0][4][0])
        except (OSError, UnicodeError):
            # What Open vSwitch says of a name that leads nowhere.
            error = errno.ENOENT
        with self._lock:
            self.address, self.error, self.done = address, error, True
            if self.fd >= 0:
                os.eventfd_write(self.fd, 1)

    def close(self) -> None:
        """Not interested any more. Idempotent."""
        with self._lock:
            if self.fd >= 0:
                os.close(self.fd)
                self.fd = -1
