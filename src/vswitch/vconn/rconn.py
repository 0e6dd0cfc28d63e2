"""`Rconn`: an OpenFlow connection that comes back: back-off, inactivity probes, and who listens in.

Reliable: `connect` to a target, and it is connected again whenever it fails, after 1, 2, 4... seconds up to
`max_backoff`. Unreliable: a connection that somebody else made, which is gone when it ends. Times are
clock ms; states are named as Open vSwitch shows them in Controller:status.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.clock import NEVER
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Level, Vlog
from vswitch.openflow.messages.session import EchoRequest
from vswitch.openflow.wire.codec import encode
from vswitch.vconn.open_stream import open_stream
from vswitch.vconn.poller import Poller
from vswitch.vconn.retval import EOF, error_of, retval_to_string
from vswitch.vconn.tls import Tls
from vswitch.vconn.vconn import Vconn

log: Final = Vlog("rconn")

MIN_BACKOFF: Final = 1000
MAX_MONITORS: Final = 8
MAX_MONITOR_QUEUE: Final = 100
"""Messages that may wait for one who listens in; more are dropped and counted."""
MAX_QUEUED_BYTES: Final = 64 << 20
"""A peer that reads nothing while this much waits for it is disconnected."""
PROBABLY_ADMITTED_MS: Final = 30_000
"""A controller that has kept a connection so long is taken for a working one."""

# What a controller says before it has decided to control the switch: hello, error, echo, features
# (OpenFlow 1.0 to 1.5, A.1), and the configuration messages.
_NOT_ADMITTING: Final = frozenset((0, 1, 2, 3, 5, 6, 7, 8, 9))

rconn_queued: Final = coverage.counter("rconn_queued")
rconn_discarded: Final = coverage.counter("rconn_discarded")
rconn_overflow: Final = coverage.counter("rconn_overflow")
rconn_probe_failed: Final = coverage.counter("rconn_no_response_to_probe")
monitor_dropped: Final = coverage.counter("drop_snoop_queue_full")


class State(enum.Enum):
    """Where a connection stands."""

    VOID = "VOID"
    """Nothing to connect to."""
    BACKOFF = "BACKOFF"
    """Waiting before the next attempt."""
    CONNECTING = "CONNECTING"
    """Connecting or negotiating the version."""
    ACTIVE = "ACTIVE"
    """Connected."""
    IDLE = "IDLE"
    """Connected, nothing heard for long, and asked whether anybody is there."""
    DISCONNECTED = "DISCONNECTED"
    """An unreliable connection that has ended."""


_UP: Final = (State.ACTIVE, State.IDLE)
_IDLE: Final = State.IDLE


@final
class Rconn:
    """One such connection; a `Peer` of an `OfConn` while it is up.

    `name`: such as "br0<->tcp:127.0.0.1:6653". `wake()` is called when it needs a `run`, `dirty()` when
    something waits to be written.
    """

    def __init__(
        self,
        name: str,
        poller: Poller,
        tls: Tls,
        wake: Callable[[], None],
        dirty: Callable[[], None],
        *,
        versions: tuple[int, ...],
        probe_interval: int,
        max_backoff: int = 0,
        dscp: int = 0,
    ) -> None:
        self.name: str = name
        self.state: State = State.VOID
        self.version: int = 0
        self.target: str = ""
        self.reliable: bool = False
        self.probe_interval: int = probe_interval
        """ms; 0: no probes."""
        self.max_backoff: int = max(max_backoff, MIN_BACKOFF)
        self.dscp: int = dscp
        self.versions: tuple[int, ...] = versions
        self.last_error: int = 0
        self.last_connected: int = -1
        """When it was last established, -1 never; so for `last_disconnected`."""
        self.last_disconnected: int = -1
        self.n_connected: int = 0
        """How often it was established."""
        self.monitors: list[Vconn] = []
        self.close_reason: str = ""
        """Why it must be disconnected in the next `run`, if it must."""
        self._poller = poller
        self._tls = tls
        self._wake = wake
        self._dirty = dirty
        self._vconn: Vconn | None = None
        self._watched: int = -1
        self._state_entered: int = 0
        self._last_activity: int = 0
        self._backoff: int = 0
        self._backoff_deadline: int = 0
        self._last_admitted: int = 0
        self._admitted: bool = False
        self._probe_xid: int = 0
        self._rl = RateLimit(60, 10)

    # What it is doing.

    @property
    def is_connected(self) -> bool:
        """Whether messages can be exchanged."""
        return self.state in _UP

    @property
    def is_alive(self) -> bool:
        """Whether it is connected or will try to be."""
        return self.state not in (State.VOID, State.DISCONNECTED)

    @property
    def is_admitted(self) -> bool:
        """Whether the controller at the other end has taken the switch in its charge."""
        return self.is_connected and self._admitted

    def failure_duration(self, now: int) -> int:
        """ms for which no working controller has been there; 0 while one is."""
        return 0 if self.is_admitted else now - self._last_admitted

    def _enter(self, state: State, now: int) -> None:
        log.dbg("%s: entering %s", self.name, state.value)
        self.state = state
        self._state_entered = now

    def _logs_attempts(self) -> bool:
        return self._backoff < self.max_backoff

    # Beginning and end.

    def connect(self, target: str, now: int) -> None:
        """Be connected to `target` from now on."""
        self.target = target
        self.reliable = True
        self._backoff = 0
        self._last_admitted = now
        self._reconnect(now)

    def connect_unreliably(self, vconn: Vconn, now: int) -> None:
        """Take over a connection that somebody else made."""
        self.target = vconn.name
        self._vconn = vconn
        self._last_admitted = now
        self._enter(State.CONNECTING, now)

    def disconnect(self, now: int) -> None:
        """End the connection, and connect no more."""
        self._drop()
        if self.is_alive:
            if self.is_connected:
                self.last_disconnected = now
            self._enter(State.VOID, now)

    def reconnect(self, now: int) -> None:
        """Try at once, whether connected or waiting (`ovs-appctl bridge/reconnect`)."""
        if self.is_connected or self.state is State.CONNECTING:
            log.info("%s: disconnecting", self.name)
            self._disconnected(0, now)
        elif self.state is State.BACKOFF:
            self._backoff_deadline = now
        self._wake()

    def _drop(self) -> None:
        vconn = self._vconn
        if vconn is None:
            return
        self._forget()
        if vconn.queued():
            rconn_discarded.inc(vconn.queued())
        vconn.close()
        self._vconn = None

    def _reconnect(self, now: int) -> None:
        if self._logs_attempts():
            log.info("%s: connecting...", self.name)
        self._backoff_deadline = now + self._backoff
        try:
            vconn = Vconn(open_stream(self.target, self._tls, self.dscp), self.versions, now)
        except OSError as e:
            self._failed_at_once(error_of(e), now)
            return
        self._vconn = vconn
        vconn.run(now)
        if vconn.error:
            error = vconn.error
            self._drop()
            self._failed_at_once(error, now)
        else:
            self._enter(State.CONNECTING, now)

    def _failed_at_once(self, error: int, now: int) -> None:
        log.warn("%s: connection failed (%s)", self.name, retval_to_string(error))
        self._disconnected(error, now)

    def _disconnected(self, error: int, now: int) -> None:
        """The connection is gone: wait for the next attempt, or be gone with it."""
        self.last_error = error
        if self.state in (State.CONNECTING, State.ACTIVE, State.IDLE):
            self.last_disconnected = now
        was_up = self.is_connected
        self._drop()
        self._admitted = False
        self.close_reason = ""
        if not self.reliable:
            self._enter(State.DISCONNECTED, now)
            return
        if was_up and now >= self.last_connected + self._backoff:
            # It worked for a while: no reason to hold back.
            self._backoff = MIN_BACKOFF
        elif self._backoff * 2 < self.max_backoff:
            self._backoff = max(MIN_BACKOFF, self._backoff * 2)
            log.info("%s: waiting %d seconds before reconnect", self.name, self._backoff // 1000)
        else:
            if self._logs_attempts():
                log.info(
                    "%s: continuing to retry connections in the background but suppressing further logging",
                    self.name,
                )
            self._backoff = self.max_backoff
        self._backoff_deadline = now + self._backoff
        self._enter(State.BACKOFF, now)

    # Turns.

    def ready(self) -> None:
        """The descriptor is ready (`Poller`)."""
        self._wake()

    def run(self, now: int) -> None:
        """Go on with what the state asks for. Then `update_watch`."""
        state = self.state
        if state is State.BACKOFF:
            if now >= self._backoff_deadline:
                self._reconnect(now)
        elif state is State.CONNECTING:
            self._run_connecting(now)
        if self.state in _UP:
            self._run_up(now)

    def _run_connecting(self, now: int) -> None:
        vconn = self._vconn
        assert vconn is not None
        vconn.run(now)
        if vconn.connected:
            self._connected(vconn, now)
        elif vconn.error:
            if not self.reliable:
                self._report(vconn.error, now)
            else:
                level = Level.INFO if self._logs_attempts() else Level.DBG
                log.log(level, "%s: connection failed (%s)", self.name, retval_to_string(vconn.error))
            self._disconnected(vconn.error, now)
        elif now >= self._state_entered + self._connect_timeout():
            level = Level.INFO if self.reliable and self._logs_attempts() else Level.DBG
            log.log(level, "%s: connection timed out", self.name)
            self._disconnected(errno.ETIMEDOUT, now)

    def _connect_timeout(self) -> int:
        """An attempt may take as long as the pause before it. Who connected to us gets as long as a
        probe does, so that silent clients do not pile up."""
        if self.reliable:
            return max(MIN_BACKOFF, self._backoff)
        return max(2 * self.probe_interval, 10_000)

    def _connected(self, vconn: Vconn, now: int) -> None:
        level = Level.INFO if self.reliable else Level.DBG
        log.log(level, "%s: connected", self.name)
        self.version = vconn.version
        self.last_connected = now
        self.n_connected += 1
        self._last_activity = now
        self._enter(State.ACTIVE, now)

    def _run_up(self, now: int) -> None:
        vconn = self._vconn
        assert vconn is not None
        vconn.run(now)
        if vconn.error:
            self._report(vconn.error, now)
            self._disconnected(vconn.error, now)
        elif self.close_reason:
            log.info("%s: disconnecting (%s)", self.name, self.close_reason)
            self._disconnected(0, now)
        elif vconn.queued_bytes() > MAX_QUEUED_BYTES:
            rconn_overflow.inc()
            log.warn("%s: peer does not read, %d bytes wait: disconnecting", self.name, vconn.queued_bytes())
            self._disconnected(errno.ENOBUFS, now)
        elif self.probe_interval:
            self._probe(vconn, now)
        if self.is_connected and not self._admitted and now - self.last_connected >= PROBABLY_ADMITTED_MS:
            self._admitted = True
        if self._admitted:
            self._last_admitted = now

    def _probe(self, vconn: Vconn, now: int) -> None:
        since = max(self._last_activity, self._state_entered)
        if now < since + self.probe_interval:
            return
        if self.state is State.ACTIVE:
            log.dbg(
                "%s: idle %d seconds, sending inactivity probe", self.name, (now - since) // 1000
            )
            self._enter(State.IDLE, now)
            self._probe_xid = (self._probe_xid + 1) & 0xFFFFFFFF
            vconn.send(encode(EchoRequest(), self.version, self._probe_xid))
            vconn.flush()
        else:
            rconn_probe_failed.inc()
            log.err(
                "%s: no response to inactivity probe after %d seconds, disconnecting",
                self.name, (now - self._state_entered) // 1000,
            )  # fmt: skip
            self._disconnected(errno.ETIMEDOUT, now)

    def _report(self, error: int, now: int) -> None:
        if error == EOF:
            log.log(Level.INFO if self.reliable else Level.DBG, "%s: connection closed by peer", self.name)
        else:
            log.warn_rl(self._rl, now, "%s: connection dropped (%s)", self.name, retval_to_string(error))

    def deadline(self) -> int:
        """Clock ms at which `run` has something to do though nothing happened."""
        state = self.state
        if state is State.BACKOFF:
            return self._backoff_deadline
        if state is State.CONNECTING:
            return self._state_entered + self._connect_timeout()
        if state in _UP:
            when = NEVER
            if self.probe_interval:
                when = max(self._last_activity, self._state_entered) + self.probe_interval
            if not self._admitted and self.reliable:
                when = min(when, self.last_connected + PROBABLY_ADMITTED_MS)
            return when
        return NEVER

    def update_watch(self, reading: bool) -> None:
        """Watch the descriptor for what is awaited: messages too, if `reading`."""
        vconn = self._vconn
        fd = -1 if vconn is None else vconn.stream.fd
        if self._watched not in (-1, fd):
            self._forget()
        if vconn is not None and fd >= 0:
            events = vconn.events(reading)
            if events:
                self._poller.watch(fd, events, self)
                self._watched = fd
            else:
                self._forget()

    def _forget(self) -> None:
        if self._watched >= 0:
            self._poller.forget(self._watched)
            self._watched = -1

    # Messages.

    def recv(self, now: int) -> bytes | None:
        """The next message from the peer, None if there is none now."""
        vconn = self._vconn
        if vconn is None or self.state not in _UP:
            return None
        data = vconn.recv(now)
        if data is None:
            if vconn.error:
                self._report(vconn.error, now)
                self._disconnected(vconn.error, now)
            return None
        self._last_activity = now
        if self.state is _IDLE:
            self._enter(State.ACTIVE, now)
        if not self._admitted and data[1] not in _NOT_ADMITTING:
            self._admitted = True
            self._last_admitted = now
        if self.monitors:
            self._copy(data)
        return data

    def has_input(self) -> bool:
        """Whether `recv` has something without any new event."""
        return self._vconn is not None and self.is_connected and self._vconn.has_input()

    def heard(self, now: int) -> None:
        """Count as activity of the peer that the switch itself keeps it waiting."""
        self._last_activity = now

    def send(self, data: bytes) -> None:
        """Queue one message (`Peer`). It goes out in the next `run`."""
        vconn = self._vconn
        if vconn is None or self.state not in _UP:
            rconn_discarded.inc()
            return
        rconn_queued.inc()
        if self.monitors:
            self._copy(data)
        if not vconn.queued():
            self._dirty()
        vconn.send(data)

    def queued(self) -> int:
        """How many messages are not yet on the wire (`Peer`)."""
        return 0 if self._vconn is None else self._vconn.queued()

    def queued_bytes(self) -> int:
        """How many bytes those have (`Peer`)."""
        return 0 if self._vconn is None else self._vconn.queued_bytes()

    def flush(self) -> None:
        """Write what waits, as far as there is room; `run` deals with errors."""
        if self._vconn is not None:
            self._poller.answers += 1
            self._vconn.flush()

    def close(self, reason: str) -> None:
        """Disconnect in the next `run` (`Peer`)."""
        if not self.close_reason:
            self.close_reason = reason
            self._wake()

    # Listening in.

    def add_monitor(self, monitor: Vconn) -> bool:
        """Copy all messages to `monitor` from now on. False: too many listen already."""
        if len(self.monitors) >= MAX_MONITORS:
            return False
        self.monitors.append(monitor)
        return True

    def _copy(self, data: bytes) -> None:
        for monitor in self.monitors:
            if not monitor.connected or monitor.queued() >= MAX_MONITOR_QUEUE:
                monitor_dropped.inc()
            else:
                monitor.send(data)
