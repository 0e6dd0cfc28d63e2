"""`Connection`: an `Rconn` with the `OfConn` that answers it, served a bounded number of messages a turn."""

from __future__ import annotations

import traceback
from typing import Final, Protocol, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.ofproto.connmgr import connmgr_of
from vswitch.ofproto.ofconn import OfConn
from vswitch.ofproto.ofproto import Ofproto
from vswitch.vconn.poller import Poller
from vswitch.vconn.rconn import Rconn
from vswitch.vconn.settings import ControllerSettings
from vswitch.vconn.tls import Tls
from vswitch.vconn.vconn import Vconn

log: Final = Vlog("connmgr")

MESSAGES_PER_RUN: Final = 50
"""What one connection may ask in a turn, before the others and the packets have theirs."""
handler_failed: Final = coverage.counter("ofconn_handler_failed")
_failed_rl: Final = RateLimit(60, 10)


class Served(Protocol):
    """What `Controllers.run` serves."""

    def serve(self, now: int) -> bool:
        """Do what there is to do; True if there is more at once."""

    def deadline(self) -> int:
        """Clock ms at which it must be served in any case."""


class Owner(Protocol):
    """What a connection sees of the `Controllers` that it is one of."""

    ofproto: Ofproto
    name: str
    poller: Poller
    tls: Tls
    versions: tuple[int, ...]

    def wake(self, served: Served) -> None:
        """Serve it in the next turn."""

    def mark_dirty(self, connection: Connection) -> None:
        """It has bytes to be written at the end of the turn."""


@final
class Connection:
    """One of a bridge's connections. `serve` runs it; `gone` tells that it will not come back."""

    def __init__(self, controllers: Owner, settings: ControllerSettings, name: str) -> None:
        self.controllers = controllers
        self.settings: ControllerSettings = settings
        self.ofconn: OfConn | None = None
        self.rconn: Rconn = Rconn(
            f"{controllers.name}<->{name}",
            controllers.poller,
            controllers.tls,
            self._wake,
            self._dirty,
            versions=controllers.versions,
            probe_interval=settings.inactivity_probe,
            max_backoff=settings.max_backoff,
            dscp=settings.dscp,
        )
        self._generation = 0

    def connect(self, now: int) -> None:
        """Connect to the target of the settings."""
        self.rconn.connect(self.settings.target, now)

    def accept(self, vconn: Vconn, now: int) -> None:
        """Serve one who connected to us."""
        self.rconn.connect_unreliably(vconn, now)

    def _wake(self) -> None:
        self.controllers.wake(self)

    def _dirty(self) -> None:
        self.controllers.mark_dirty(self)

    @property
    def gone(self) -> bool:
        """Whether it has ended for good."""
        return not self.rconn.is_alive

    @property
    def paused(self) -> bool:
        """Whether nothing is read because the switch, or the peer's own slowness, holds it up."""
        return self.ofconn is not None and not self.ofconn.may_receive()

    def apply(self, settings: ControllerSettings) -> None:
        """Take over what can change while connected."""
        self.settings = settings
        self.rconn.probe_interval = settings.inactivity_probe
        self.rconn.max_backoff = max(settings.max_backoff, 1000)
        if self.ofconn is not None:
            self._configure(self.ofconn)

    def _configure(self, ofconn: OfConn) -> None:
        ofconn.set_rate_limit(self.settings.rate_limit, self.settings.burst_limit)
        ofconn.max_packet_ins = self.settings.queue_size
        ofconn.enable_async = self.settings.enable_async

    def serve(self, now: int) -> bool:
        """Run it and answer what it asks. True if there is more to read at once."""
        rconn = self.rconn
        rconn.run(now)
        self._follow(now)
        ofconn = self.ofconn
        if ofconn is None:
            rconn.update_watch(True)
            return False
        left = MESSAGES_PER_RUN
        more = False
        while ofconn.may_receive():
            if left == 0:
                more = True
                break
            left -= 1
            data = rconn.recv(now)
            if data is None:
                # Whoever waits for each answer asks again the moment it is on the wire.
                if not rconn.queued():
                    break
                rconn.flush()
                data = None if rconn.queued() else rconn.recv(now)
                if data is None:
                    break
            try:
                ofconn.receive(data, now)
            except Exception as e:
                # A mistake in here costs the connection that met it, not the others.
                handler_failed.inc()
                text = traceback.format_exc()
                log.err_rl(_failed_rl, now, "%s: message failed: %s\n%s", rconn.name, e, text)
                rconn.close("internal error")
                break
        if rconn.queued():
            rconn.flush()
        if ofconn.blocked:
            rconn.heard(now)
        if not rconn.is_connected:
            self._follow(now)
        else:
            more = more or (rconn.has_input() and ofconn.may_receive())
        rconn.update_watch(not self.paused)
        return more or bool(rconn.close_reason)

    def flush(self, now: int) -> bool:
        """Write what waits. True if `serve` must see to an error."""
        rconn = self.rconn
        rconn.flush()
        rconn.update_watch(not self.paused)
        return rconn.has_input()

    def _follow(self, now: int) -> None:
        """Have an `OfConn` while and only while connected."""
        rconn = self.rconn
        connmgr = connmgr_of(self.controllers.ofproto)
        if self.ofconn is not None and (not rconn.is_connected or rconn.n_connected != self._generation):
            connmgr.detach(self.ofconn, now)
            self.ofconn = None
        if self.ofconn is None and rconn.is_connected:
            self._generation = rconn.n_connected
            self.ofconn = connmgr.attach(rconn, self.settings.conn_kind, now)
            self._configure(self.ofconn)

    def close(self, now: int) -> None:
        """End it."""
        self.rconn.disconnect(now)
        self._follow(now)

    def deadline(self) -> int:
        """Clock ms at which it must be served in any case."""
        return self.rconn.deadline()
