"""What listens: `Service` makes a `Connection` of each client, `Snoop` lets one listen in."""

from __future__ import annotations

from typing import Final, Protocol, final

from vswitch.base import coverage
from vswitch.base.clock import NEVER
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.vconn.connection import Connection, Owner
from vswitch.vconn.listener import Listener
from vswitch.vconn.poller import READ
from vswitch.vconn.poller import Owner as PollerOwner
from vswitch.vconn.rconn import Rconn
from vswitch.vconn.retval import error_of, retval_to_string
from vswitch.vconn.settings import ControllerSettings
from vswitch.vconn.stream import Stream
from vswitch.vconn.vconn import Vconn

log: Final = Vlog("connmgr")

ACCEPTS_PER_RUN: Final = 16
RETRY_MS: Final = 1000
"""How long a listener rests that could not accept, as when all descriptors are taken."""
accept_failed: Final = coverage.counter("service_accept_failed")
_rl: Final = RateLimit(60, 5)


class Snooped(Owner, Protocol):
    """What listeners to a connection see of the `Controllers`."""

    def snooped(self) -> Rconn | None:
        """The connection that is worth listening in on."""

    def snoop_came(self, listener: SnoopListener) -> None:
        """One listens in."""

    def snoop_gone(self, listener: SnoopListener) -> None:
        """One does no longer."""


@final
class _Door:
    """A listener in the poller, with the rest that a failed accept needs."""

    def __init__(self, controllers: Owner, owner: PollerOwner, settings: ControllerSettings,
                 listener: Listener | None = None) -> None:
        self.controllers = controllers
        self.owner = owner
        if listener is None:
            listener = Listener(settings.target, controllers.tls, settings.dscp)
        self.listener = listener
        self.retry_at: int = NEVER
        controllers.poller.watch(self.listener.fd, READ, owner)

    def accept(self, now: int) -> tuple[list[Stream], bool]:
        """Those who connected, and whether there may be more."""
        self._resume(now)
        found: list[Stream] = []
        while len(found) < ACCEPTS_PER_RUN:
            try:
                stream = self.listener.accept()
            except OSError as e:
                accept_failed.inc()
                text = retval_to_string(error_of(e))
                log.warn_rl(_rl, now, "%s: accept failed (%s)", self.listener.target, text)
                self.controllers.poller.forget(self.listener.fd)
                self.retry_at = now + RETRY_MS
                return found, False
            if stream is None:
                return found, False
            found.append(stream)
        return found, True

    def _resume(self, now: int) -> None:
        if now >= self.retry_at:
            self.retry_at = NEVER
            self.controllers.poller.watch(self.listener.fd, READ, self.owner)

    def close(self) -> None:
        self.controllers.poller.forget(self.listener.fd)
        self.listener.close()


@final
class Service:
    """Takes clients in, and serves them as connections of one kind, at `listener` if that is open already.
    OSError or ValueError: it can't listen."""

    def __init__(self, controllers: Owner, settings: ControllerSettings,
                 listener: Listener | None = None) -> None:
        self.settings: ControllerSettings = settings
        self._controllers = controllers
        self._door = _Door(controllers, self, settings, listener)
        self.connections: dict[Connection, None] = {}

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return self._door.listener.port

    def ready(self) -> None:
        """Somebody connected (`Poller`)."""
        self._controllers.wake(self)

    def serve(self, now: int) -> bool:
        """Take in who waits. True if there may be more of them."""
        streams, more = self._door.accept(now)
        controllers = self._controllers
        for stream in streams:
            vconn = Vconn(stream, controllers.versions, now)
            connection = Connection(controllers, self.settings, stream.name)
            connection.accept(vconn, now)
            self.connections[connection] = None
            controllers.wake(connection)
        return more

    def deadline(self) -> int:
        """Clock ms at which it must be served in any case."""
        return self._door.retry_at

    def apply(self, settings: ControllerSettings, now: int) -> None:
        """Take over what can change; connections stay."""
        self.settings = settings
        for connection in self.connections:
            connection.apply(settings)

    def close(self, now: int) -> None:
        """Listen no more, and end the connections."""
        self._door.close()
        for connection in list(self.connections):
            connection.close(now)
        self.connections.clear()


@final
class SnoopListener:
    """One who listens in."""

    def __init__(self, controllers: Snooped, vconn: Vconn, rconn: Rconn) -> None:
        self.vconn = vconn
        self.rconn = rconn
        self._controllers = controllers
        self._watched = -1

    def ready(self) -> None:
        self._controllers.wake(self)

    def serve(self, now: int) -> bool:
        """Keep it going; what it says is of no interest."""
        vconn = self.vconn
        vconn.run(now)
        for _ in range(50):
            if vconn.recv(now) is None:
                break
        if vconn.error or not self.rconn.is_alive:
            self._controllers.snoop_gone(self)
            return False
        events = vconn.events()
        if events:
            self._controllers.poller.watch(vconn.stream.fd, events, self)
            self._watched = vconn.stream.fd
        elif self._watched >= 0:
            self._controllers.poller.forget(self._watched)
            self._watched = -1
        return vconn.has_input()

    def deadline(self) -> int:
        return NEVER

    def close(self) -> None:
        if self._watched >= 0:
            self._controllers.poller.forget(self._watched)
            self._watched = -1
        if self.vconn in self.rconn.monitors:
            self.rconn.monitors.remove(self.vconn)
        self.vconn.close()





@final
class Snoop:
    """Lets clients listen in on the connection to a controller (`ovs-ofctl snoop`). OSError or
    ValueError: it can't listen."""

    def __init__(self, controllers: Snooped, path: str) -> None:
        self.path: str = path
        self._controllers = controllers
        self._door = _Door(controllers, self, ControllerSettings(f"punix:{path}"))

    def ready(self) -> None:
        """Somebody connected (`Poller`)."""
        self._controllers.wake(self)

    def serve(self, now: int) -> bool:
        """Take in who waits. True if there may be more of them."""
        streams, more = self._door.accept(now)
        controllers = self._controllers
        for stream in streams:
            rconn = controllers.snooped()
            vconn = Vconn(stream, controllers.versions, now)
            if rconn is None or not rconn.add_monitor(vconn):
                log.info("%s: no controller connection to monitor", controllers.name)
                vconn.close()
                continue
            listener = SnoopListener(controllers, vconn, rconn)
            controllers.snoop_came(listener)
        return more

    def deadline(self) -> int:
        """Clock ms at which it must be served in any case."""
        return self._door.retry_at

    def close(self, now: int) -> None:
        """Listen no more."""
        self._door.close()
