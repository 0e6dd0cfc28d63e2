"""The process that stands in for ovs-vswitchd: bridges that follow a database, and what is around them.

`serve.py` runs it; the command line is `cli/vswitchd.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from vswitch.base.clock import Clock
from vswitch.base.records import dataclass, field
from vswitch.base.vlog import Vlog
from vswitch.bridge.bridges import Bridges
from vswitch.bridge.idl import Idl
from vswitch.daemon import database_tls
from vswitch.daemon.daemon import Daemon
from vswitch.daemon.mainloop import Part
from vswitch.daemon.memory_log import MemoryLog
from vswitch.dpif import open as dpif_open
from vswitch.dpif.odp_text import parse_key
from vswitch.dpif.userspace import dummy_commands
from vswitch.flow.compose import DEFAULT_PAYLOAD, flow_compose, flow_compose_sized
from vswitch.netdev import dummy, registry
from vswitch.ofproto_dpif.commands.usage import usage
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.openflow.wire.actions import enable_debug_actions
from vswitch.vconn.tls import TlsSettings

log: Final = Vlog("bridge")

PATIENCE_MS: Final = 5
"""How long the database and what is written to it may wait for what came by other descriptors, packets above
all."""


@dataclass(frozen=True)
class Settings:
    """What the command line settled."""

    version: str
    """What `ovs-appctl version` prints; its first line goes to the log."""
    remote: str
    """The database: "unix:FILE", "tcp:IP:PORT", "ssl:IP:PORT"."""
    dummy: str | None = None
    """How far dummies stand in: None for no dummies, else "", "system" or "override"."""
    disable_system: bool = False
    system_routes: bool = True
    """Whether tunnels follow the host's routes."""
    tls: TlsSettings = field(default_factory=TlsSettings)


def _compose(text: str, size: int | None) -> bytes:
    """A packet of a datapath flow, as `netdev-dummy/receive` takes it; of just `size` bytes if given. A dummy
    receives frames: to a packet without Ethernet header comes one without addresses."""
    flow = parse_key(text, packet=True, frame=True)[0]
    return flow_compose(flow, DEFAULT_PAYLOAD) if size is None else flow_compose_sized(flow, size)


@final
class Vswitchd:
    """One such process. `serving` is called once, when the first configuration has been carried out."""

    def __init__(self, settings: Settings, clock: Clock, serving: Callable[[], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._serving: Callable[[], None] | None = serving
        self._bridges: Bridges | None = None
        self._daemon: Daemon | None = None
        self._skipped_at = -1
        """Since when the database waits; -1: it doesn't."""

    def start(self, daemon: Daemon) -> Part:
        """Make what the process consists of."""
        settings = self._settings
        self._daemon = daemon
        if settings.disable_system:
            dpif_open.disable("system")
        if settings.dummy is not None:
            registry.enable_dummy(settings.dummy)
            dpif_open.enable_dummy(settings.dummy)
            enable_debug_actions()
            dummy.register_commands(daemon.commands, _compose)
            dummy_commands.register_commands(daemon.commands)
        ofprotos = Ofprotos(self._clock, daemon.commands)
        if settings.system_routes:
            ofprotos.underlay.follow_kernel(ofprotos.poller)
        daemon.memory.register(lambda: usage(ofprotos))
        ofprotos.tls.configure(settings.tls)
        database_tls.use(ofprotos.tls)
        idl = Idl(settings.remote, self._clock)
        self._bridges = Bridges(ofprotos, idl, self._clock, daemon.commands)
        assert daemon.mainloop is not None
        daemon.mainloop.add(self)
        daemon.mainloop.add(ofprotos)
        return MemoryLog(daemon.memory, self._clock)

    def close(self) -> None:
        """Let go of bridges and database; what is in the kernel stays unless `exit --cleanup` was given."""
        bridges, self._bridges = self._bridges, None
        if bridges is not None and self._daemon is not None:
            bridges.exit(self._daemon.cleanup)

    # The main loop.

    def run(self, now: int) -> bool:
        """Follow the database."""
        bridges = self._bridges
        if bridges is None:
            return False
        self._skipped_at = -1
        more = bridges.run(now)
        if bridges.configured and self._serving is not None:
            serving, self._serving = self._serving, None
            serving()
            log.info("%s", self._settings.version.partition("\n")[0])
        return more

    def may_skip(self, now: int, ready: list[int]) -> bool:
        """Whether the database may wait: it says nothing, and has not waited long."""
        since = now if self._skipped_at < 0 else self._skipped_at
        if self._serving is not None or now - since >= PATIENCE_MS:
            return False
        if not set(ready).isdisjoint(self.fds()) or not set(ready).isdisjoint(self.write_fds()):
            return False
        self._skipped_at = since
        return True

    def wakeup(self, now: int) -> int:
        """Clock ms of the next timer."""
        if self._bridges is None:
            return now + 3_600_000
        when = self._bridges.wakeup(now)
        return when if self._skipped_at < 0 else min(when, self._skipped_at + PATIENCE_MS)

    def fds(self) -> list[int]:
        """Descriptors whose readability means that `run` has work."""
        return self._bridges.fds() if self._bridges is not None else []

    def write_fds(self) -> list[int]:
        """Descriptors whose writability means that `run` has work."""
        return self._bridges.write_fds() if self._bridges is not None else []
