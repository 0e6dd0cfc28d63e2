"""`Controllers`: all OpenFlow connections of one bridge: controllers, services, snoops, fail-open, in-band.

An idle connection costs a turn nothing: `run` looks at those whose descriptor was ready, whose time
has come, or that have something to write. None can hold up another: each is served a bounded number
of messages a turn, none is waited for, and who does not read is not read from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, final

from vswitch.base.clock import NEVER, Clock
from vswitch.base.vlog import Vlog
from vswitch.flow.match import Match
from vswitch.ofproto.ofconn import MAX_ASYNC, ConnKind
from vswitch.ofproto.ofproto import Ofproto
from vswitch.ofproto.rule import Rule
from vswitch.openflow.actions import Output
from vswitch.openflow.constants import OFPP_LOCAL, OFPP_NORMAL
from vswitch.openflow.messages.group import OFPG_ALL, OFPGC_DELETE, GroupMod
from vswitch.openflow.messages.meter import OFPM_ALL, OFPMC_DELETE, MeterConfig, MeterMod
from vswitch.openflow.messages.session import ROLE_EQUAL, ROLE_PRIMARY, ROLE_SECONDARY
from vswitch.openflow.wire.version import VERSIONS
from vswitch.vconn.connection import Connection, Served
from vswitch.vconn.fail_open import FailOpen
from vswitch.vconn.in_band import InBand, Neighbours
from vswitch.vconn.listener import Listener
from vswitch.vconn.poller import Poller
from vswitch.vconn.rconn import Rconn
from vswitch.vconn.retval import error_of, retval_to_string
from vswitch.vconn.service import Service, Snoop, SnoopListener
from vswitch.vconn.settings import ControllerSettings, ControllerStatus
from vswitch.vconn.tls import Tls

log: Final = Vlog("connmgr")

ROLE_NAMES: Final = {ROLE_EQUAL: "other", ROLE_PRIMARY: "master", ROLE_SECONDARY: "slave"}
RETRY_LISTEN_MS: Final = 10_000
"""How long until a target that could not be listened on is tried again."""


@final
class Controllers:
    """The connections of `ofproto`. `poller` and `tls` are shared by all bridges of a process."""

    def __init__(
        self,
        ofproto: Ofproto,
        clock: Clock,
        poller: Poller | None = None,
        tls: Tls | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self.ofproto: Ofproto = ofproto
        self.name: str = ofproto.name
        self.clock: Clock = clock
        self.poller: Poller = Poller() if poller is None else poller
        self.tls: Tls = Tls(clock) if tls is None else tls
        self.versions: tuple[int, ...] = VERSIONS
        self.fail_mode: str = "secure"
        self._owns_poller = poller is None
        self._settings: dict[str, ControllerSettings] = {}
        self._connections: dict[str, Connection] = {}
        """Target -> connection that we make."""
        self._services: dict[str, Service] = {}
        """Target -> place where clients connect."""
        self._untold: str = ""
        """The target that is served, of which the log doesn't know."""
        self._mgmt: ControllerSettings | None = None
        self._snoops: dict[str, Snoop] = {}
        self._snoop_paths: tuple[str, ...] = ()
        self._listeners: dict[SnoopListener, None] = {}
        self._fail_open: FailOpen | None = None
        self.in_band: InBand = InBand(self, neighbours)
        self._ready: dict[Served, None] = {}
        self._dirty: dict[Connection, None] = {}
        self._paused: dict[Connection, None] = {}
        self._deadline: int = 0
        self._retry_at: int = NEVER

    # Configuration.

    def set_protocols(self, versions: Iterable[int]) -> None:
        """The OpenFlow versions that connections may speak; none means all. A change ends those that
        there are."""
        wanted = tuple(sorted(versions)) or VERSIONS
        if wanted == self.versions:
            return
        self.versions = wanted
        now = self.clock.now()
        for target in (*self._connections, *self._services):
            log.info(
                '%s: Changes to controller "%s" expects re-initialization: Re-initializing now.',
                self.name, target,
            )  # fmt: skip
            self._close(target, now)
        self._open_missing(now)

    def set_controllers(self, controllers: Sequence[ControllerSettings]) -> None:
        """Have just these. What only changes in settings stays connected. A target that nobody can
        reach or listen on is logged and tried again."""
        now = self.clock.now()
        had = self.has_controllers()
        wanted: dict[str, ControllerSettings] = {}
        for settings in controllers:
            if not settings.supported:
                log.warn('%s: unsupported controller "%s"', self.name, settings.target)
            elif settings.target not in wanted:
                wanted[settings.target] = settings
        for target, old in list(self._settings.items()):
            new = wanted.get(target)
            if new is None:
                log.info('%s: removed %s controller "%s"', self.name, old.conn_kind.value, target)
                self._close(target, now)
            elif (new.conn_kind, new.dscp) != (old.conn_kind, old.dscp):
                self._close(target, now)
            elif target in self._connections:
                self._connections[target].apply(new)
            elif target in self._services:
                self._services[target].apply(new, now)
        self._settings = wanted
        self._open_missing(now)
        self.in_band.update(now)
        self._update_fail_open(now)
        if had != self.has_controllers():
            self.flush_flows()
        self._deadline = 0
        self.poller.ring()

    def set_mgmt(self, path: str, queue_size: int = MAX_ASYNC, listener: Listener | None = None) -> None:
        """Serve management clients such as ovs-ofctl on the Unix socket `path`, which `listener` is if it is
        open already (which is told when it is asked for again, after the bridge's ports); "" on none.
        `queue_size` is as that of `ControllerSettings`."""
        now = self.clock.now()
        old = self._mgmt
        new = None
        if path:
            new = ControllerSettings(
                f"punix:{path}", ConnKind.SERVICE, inactivity_probe=0, queue_size=queue_size
            )
        if new is not None and listener is None and self._untold == new.target:
            log.info('%s: added %s controller "%s"', self.name, new.conn_kind.value, new.target)
            self._untold = ""
        if new == old:
            return
        if old is not None and new is not None and old.target == new.target and old.target in self._services:
            self._mgmt = new
            self._services[new.target].apply(new, now)
            return
        if old is not None:
            self._close(old.target, now)
        self._mgmt = new
        if new is not None and listener is not None:
            self._services[new.target] = Service(self, new, listener)
            self._untold = new.target
        self._open_missing(now)
        self.poller.ring()

    def set_snoops(self, paths: Sequence[str]) -> None:
        """Let clients listen in on the connection to the controller at the Unix sockets `paths`."""
        self._snoop_paths = tuple(paths)
        for path in list(self._snoops):
            if path not in paths:
                self._snoops.pop(path).close(self.clock.now())
        self._open_missing(self.clock.now())
        self.poller.ring()

    def set_fail_mode(self, mode: str) -> None:
        """What to do without a controller: "secure" nothing, "standalone" forward as NORMAL does."""
        if mode not in ("secure", "standalone"):
            raise ValueError(f"{mode}: neither secure nor standalone")
        if mode == self.fail_mode:
            return
        self.fail_mode = mode
        self._update_fail_open(self.clock.now())
        if not self.has_controllers():
            self.flush_flows()
        self._deadline = 0

    def set_in_band(self, enabled: bool = True, queue: int | None = None) -> None:
        """Whether controllers with `in_band` settings get in-band rules at all (`disable-in-band`), and
        the queue of their packets (`in-band-queue`)."""
        self.in_band.configure(enabled, queue, self.clock.now())
        self._deadline = 0

    def _update_fail_open(self, now: int) -> None:
        if self.fail_mode == "standalone" and self.has_controllers():
            if self._fail_open is None:
                self._fail_open = FailOpen(self)
        elif self._fail_open is not None:
            self._fail_open.recover(now)
            self._fail_open = None

    def _all_settings(self) -> Iterator[ControllerSettings]:
        yield from self._settings.values()
        if self._mgmt is not None:
            yield self._mgmt

    def _open_missing(self, now: int) -> None:
        """Open what is configured and not open."""
        self._retry_at = NEVER
        for settings in self._all_settings():
            target = settings.target
            if target in self._connections or target in self._services:
                continue
            if settings.passive:
                try:
                    self._services[target] = Service(self, settings)
                except (OSError, ValueError) as e:
                    self._cannot_listen(target, e, now)
                    continue
            else:
                connection = self._connections[target] = Connection(self, settings, target)
                connection.connect(now)
                self.wake(connection)
            log.info('%s: added %s controller "%s"', self.name, settings.conn_kind.value, target)
        for path in self._snoop_paths:
            if path not in self._snoops:
                try:
                    self._snoops[path] = Snoop(self, path)
                except (OSError, ValueError) as e:
                    self._cannot_listen(f"punix:{path}", e, now)
        self._deadline = 0

    def _cannot_listen(self, target: str, error: OSError | ValueError, now: int) -> None:
        text = str(error)
        if isinstance(error, OSError):
            text = retval_to_string(error_of(error))
            self._retry_at = now + RETRY_LISTEN_MS
        log.err('%s: failed to listen on "%s": %s', self.name, target, text)

    def _close(self, target: str, now: int) -> None:
        connection = self._connections.pop(target, None)
        if connection is not None:
            self._forget(connection)
            connection.close(now)
        service = self._services.pop(target, None)
        if service is not None:
            for client in service.connections:
                self._forget(client)
            self._ready.pop(service, None)
            service.close(now)

    def close(self) -> None:
        """End all connections and remove the sockets' files. Idempotent."""
        now = self.clock.now()
        self.in_band.close()
        self._fail_open = None
        for listener in list(self._listeners):
            self.snoop_gone(listener)
        for target in (*self._connections, *self._services):
            self._close(target, now)
        for path in list(self._snoops):
            self._snoops.pop(path).close(now)
        self._settings = {}
        self._mgmt = None
        self._snoop_paths = ()
        self._ready.clear()
        if self._owns_poller:
            self.poller.close()

    # State.

    def has_controllers(self) -> bool:
        """Whether a primary controller is configured."""
        return any(settings.conn_kind is ConnKind.PRIMARY for settings in self._settings.values())

    def primaries(self) -> list[Connection]:
        """The connections to primary controllers, connected or not."""
        return [c for c in self._clients() if c.settings.conn_kind is ConnKind.PRIMARY]

    def _clients(self) -> Iterator[Connection]:
        yield from self._connections.values()
        for service in self._services.values():
            yield from service.connections

    def _doors(self) -> list[Service | Snoop]:
        return [*self._services.values(), *self._snoops.values()]

    def any_connected(self) -> bool:
        """Whether a primary controller is connected."""
        return any(c.rconn.is_connected for c in self.primaries())

    def failure_duration(self, now: int) -> int:
        """ms for which no primary controller has worked; 0 while one does, or none is there."""
        return min((c.rconn.failure_duration(now) for c in self.primaries()), default=0)

    def status(self) -> dict[str, ControllerStatus]:
        """By target, how the controllers that we connect to fare."""
        now = self.clock.now()
        found = {}
        for target, connection in self._connections.items():
            rconn = connection.rconn
            pairs = {"state": rconn.state.value}
            if rconn.last_error:
                pairs["last_error"] = retval_to_string(rconn.last_error)
            if rconn.last_connected >= 0:
                pairs["sec_since_connect"] = str((now - rconn.last_connected) // 1000)
            if rconn.last_disconnected >= 0:
                pairs["sec_since_disconnect"] = str((now - rconn.last_disconnected) // 1000)
            ofconn = connection.ofconn
            if ofconn is not None:
                pairs |= {key: str(n) for key, n in ofconn.rate_limit_status().items()}
            role = "" if ofconn is None else ROLE_NAMES[ofconn.role]
            found[target] = ControllerStatus(rconn.is_connected, role, pairs)
        return found

    def is_listening(self, target: str) -> bool:
        """Whether clients can connect at a passive target."""
        return target in self._services

    def listening_port(self, target: str) -> int:
        """The TCP port of a service, which the kernel chose if the target has port 0. KeyError."""
        return self._services[target].port

    def reconnect(self) -> None:
        """Disconnect and connect again, at once (`bridge/reconnect`)."""
        now = self.clock.now()
        for connection in self._connections.values():
            connection.rconn.reconnect(now)
        self.poller.ring()

    def snooped(self) -> Rconn | None:
        """The connection that is worth listening in on: connected, the primary's before others."""
        ranks = {ROLE_SECONDARY: 0, ROLE_EQUAL: 1, ROLE_PRIMARY: 2}
        best: tuple[int, int] = (-1, -1)
        found: Rconn | None = None
        for connection in self.primaries():
            ofconn = connection.ofconn
            rank = (int(ofconn is not None), -1 if ofconn is None else ranks[ofconn.role])
            if rank > best:
                best, found = rank, connection.rconn
        return found

    # Flows.

    def local_mac(self) -> str:
        """The address of the bridge's own port, "" if it has none."""
        for port in self.ofproto.ofp_ports():
            if port.port_no == OFPP_LOCAL:
                return ":".join(f"{byte:02x}" for byte in port.hw_addr.to_bytes(6, "big"))
        return ""

    def flush_flows(self) -> None:
        """Remove all flows but the switch's own, groups and meters; then NORMAL, if the bridge is to
        forward by itself."""
        tables = self.ofproto.tables
        for rule in list(tables.rules()):
            tables.remove(rule)
            tables.respite.give()
        self.ofproto.groups.mod(GroupMod(OFPGC_DELETE, 0, OFPG_ALL), self.clock.now())
        self.ofproto.meters.mod(MeterMod(OFPMC_DELETE, MeterConfig(OFPM_ALL)), self.clock.now())
        if self.fail_mode == "standalone" and not self.has_controllers():
            tables.insert(Rule(Match(), 0, 0, (Output(OFPP_NORMAL),), now=self.clock.now()))

    # Turns.

    def wake(self, served: Served) -> None:
        """Serve `served` in the next `run`."""
        self._ready[served] = None
        self.poller.ring()

    def mark_dirty(self, connection: Connection) -> None:
        """Write what waits in `connection` at the end of the turn."""
        self._dirty[connection] = None
        self.poller.ring()

    def snoop_came(self, listener: SnoopListener) -> None:
        """One more listens in."""
        self._listeners[listener] = None
        self.wake(listener)

    def snoop_gone(self, listener: SnoopListener) -> None:
        """One less does."""
        self._listeners.pop(listener, None)
        self._ready.pop(listener, None)
        listener.close()

    def _forget(self, connection: Connection) -> None:
        """Stop serving it, and whoever listens in on it."""
        self._ready.pop(connection, None)
        self._dirty.pop(connection, None)
        self._paused.pop(connection, None)
        for listener in [x for x in self._listeners if x.rconn is connection.rconn]:
            self.snoop_gone(listener)

    def run(self, now: int) -> bool:
        """Serve whoever needs it; the poller has been asked. True if there is more to do at once."""
        if self._owns_poller:
            self.poller.poll()
        timed = now >= self._deadline
        if timed:
            self._on_time(now)
        elif not self._ready and not self._dirty and not self._paused:
            return False
        if self._paused:
            for connection in [c for c in self._paused if not c.paused]:
                del self._paused[connection]
                self._ready[connection] = None
        served, self._ready = self._ready, {}
        if served:
            for each in served:
                self._serve(each, now)
            self._deadline = 0 if self._fail_open is not None and self._fail_open.active else self._deadline
        flushed = self._flush(now)
        # The deadlines of all others were counted in when they were served.
        waiting: list[Served] = [*self._clients(), *self._doors()] if timed else [*served, *flushed]
        self._deadline = min(self._deadline, self._next_deadline(waiting, now))
        return bool(self._ready)

    def _serve(self, served: Served, now: int) -> None:
        if served.serve(now):
            self._ready[served] = None
        if isinstance(served, Connection):
            if served.gone:
                self._remove(served, now)
            elif served.paused:
                self._paused[served] = None

    def _remove(self, connection: Connection, now: int) -> None:
        """A client has gone."""
        self._forget(connection)
        connection.close(now)
        service = self._services.get(connection.settings.target)
        if service is not None:
            service.connections.pop(connection, None)

    def _flush(self, now: int) -> dict[Connection, None]:
        """Write what waits; on whose connections some was asked to."""
        dirty = self._dirty
        if dirty:
            self._dirty = {}
            for connection in dirty:
                if connection.rconn.queued() and connection.flush(now):
                    self._ready[connection] = None
        for listener in list(self._listeners):
            if listener.vconn.queued():
                listener.serve(now)
        return dirty

    def _on_time(self, now: int) -> None:
        """Serve everything whose time has come."""
        for connection in list(self._clients()):
            if connection.deadline() <= now:
                self._ready[connection] = None
        for door in self._doors():
            if door.deadline() <= now:
                self._ready[door] = None
        if now >= self._retry_at:
            self._open_missing(now)
        self.in_band.run(now)
        if self._fail_open is not None:
            self._fail_open.run(now)
        self._deadline = NEVER

    def _next_deadline(self, waiting: list[Served], now: int) -> int:
        """The first deadline among those `waiting` and the bridge's own."""
        when = min(self._retry_at, self.in_band.deadline())
        for each in waiting:
            when = min(when, each.deadline())
        if self._fail_open is not None:
            when = min(when, self._fail_open.deadline(now))
        return when

    def wakeup(self, now: int) -> int:
        """Clock ms at which `run` has something to do though no descriptor is ready."""
        return now if self._ready or self._dirty else self._deadline

    def fds(self) -> list[int]:
        """Descriptors whose readability means that `run` has work: none if the poller is another's."""
        return self.poller.fds() if self._owns_poller else []

    def write_fds(self) -> list[int]:
        """Descriptors whose writability means so: none, the poller waits for that."""
        return []
