"""The database server's sockets: where it listens, whom it connects to, and who is connected.

A remote is `punix:PATH`, `ptcp:PORT[:IP]` or `pssl:PORT[:IP]` to listen, `unix:`, `tcp:` or `ssl:`
to connect out and keep trying, or `db:DATABASE,TABLE,COLUMN`: the targets that the column holds,
followed as it changes (ovsdb-server(1), "--remote"). A client that sends nonsense loses its own
connection; one that does not read loses it when `MAX_BACKLOG` bytes wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import traceback
from collections.abc import Callable
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.json_framing import FramingError, JsonFramer
from vswitch.base.records import dataclass, field
from vswitch.base.vlog import Vlog
from vswitch.ovsdb.client import split_address
from vswitch.ovsdb.configured import Configured, Target, parse_column
from vswitch.ovsdb.errors import Json, OvsdbError
from vswitch.ovsdb.server import Server
from vswitch.vconn.tls import Tls, TlsError, TlsSettings

log: Final = Vlog("ovsdb_server")

MAX_BACKLOG: Final = 64 << 20
MAX_MESSAGE: Final = 256 << 20
PROBE_MS: Final = 5000
"""Silence after which a network client is sent an echo, and after as much again dropped."""
BACKOFF_MS: Final = 1000
MAX_BACKOFF_MS: Final = 8000
REFRESH_S: Final = 2.5
"""How often the status of remotes from a database is written back to it."""

dropped_slow: Final = coverage.counter("ovsdb_drop_slow_client")
dropped_silent: Final = coverage.counter("ovsdb_drop_silent_client")
dropped_bad: Final = coverage.counter("ovsdb_drop_bad_client")
session_failed: Final = coverage.counter("ovsdb_drop_failed_request")

PASSIVE: Final = ("punix", "ptcp", "pssl")
ACTIVE: Final = ("unix", "tcp", "ssl")


def bind(target: str) -> socket.socket:
    """The listening socket of a passive target. ValueError: it is none; OSError."""
    kind, _, rest = target.partition(":")
    if kind == "punix" and rest:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o077)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(rest)
            sock.bind(rest)
            sock.listen(64)
        except OSError:
            sock.close()
            raise
        finally:
            os.umask(mask)
    elif kind in ("ptcp", "pssl"):
        port, _, host = rest.partition(":")
        if (port or "6640").isdigit() and int(port or "6640") < 65536:
            host = host.strip("[]")
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = socket.create_server((host, int(port or "6640")), family=family, backlog=64)
        else:
            raise ValueError(f"{target}: {port!r} is not a port number")
    else:
        raise ValueError(f"{target}: remotes are punix:PATH, ptcp:PORT[:IP] and pssl:PORT[:IP]")
    sock.setblocking(False)
    return sock


@dataclass(eq=False)
class Remote:
    """One target at work."""

    target: Target
    listener: socket.socket | None = None
    task: asyncio.Task[None] | None = None
    clients: set[asyncio.Task[None]] = field(default_factory=set)
    state: str = "BACKOFF"
    connected_at: int | None = None
    """Clock ms of the last connection, and of its end."""
    gone_at: int | None = None

    def status(self, now: int) -> dict[str, str]:
        """The "status" column of a Manager record (ovs-vswitchd.conf.db(5))."""
        told: dict[str, str] = {}
        if self.listener is None:
            told["state"] = self.state
        elif self.listener.family != socket.AF_UNIX:
            told["bound_port"] = str(self.listener.getsockname()[1])
        if len(self.clients) > 1:
            told["n_connections"] = str(len(self.clients))
        for name, at in (
            ("sec_since_connect", self.connected_at),
            ("sec_since_disconnect", self.gone_at),
        ):
            if at is not None:
                told[name] = str((now - at) // 1000)
        return told


@final
class Remotes:
    """All remotes of a server. To be used inside a running asyncio loop."""

    def __init__(self, server: Server, tls: Callable[[], TlsSettings] = TlsSettings) -> None:
        """`tls` tells the keys of the moment: a database may hold their files' names."""
        self.server = server
        self._tls_settings = tls
        self._tls = Tls(server.clock)
        self._remotes: dict[str, Remote] = {}
        self._configured: dict[str, Configured] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._refresh_timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._closed = False
        server.on_commit = self._committed

    # Which there are.

    def names(self) -> list[str]:
        """The remotes as they were added."""
        return sorted([name for name, r in self._remotes.items() if r.target.record is None]
                      + list(self._configured))  # fmt: skip

    def add(self, name: str) -> None:
        """Add a remote. ValueError: it is none; OSError: can't listen there. Idempotent."""
        if name in self._configured or name in self._remotes:
            return
        if name.startswith("db:"):
            self._configured[name] = parse_column(self.server, name)
            self.refresh()
        else:
            self._start(name, Target(name))

    def remove(self, name: str) -> None:
        """Remove a remote and its connections. KeyError if it is not there."""
        if name in self._configured:
            del self._configured[name]
            self.refresh()
        else:
            self._stop(name)

    def bound(self, name: str) -> tuple[str, int]:
        """Address and port of a listening TCP remote."""
        listener = self._remotes[name].listener
        assert listener is not None
        address: tuple[str, int] = listener.getsockname()[:2]
        return address

    def reconnect(self) -> None:
        """End all connections; those of ours come again."""
        for remote in self._remotes.values():
            for task in list(remote.clients):
                task.cancel()

    def refresh(self) -> None:
        """Make the remotes match what the databases say, and say there how they are."""
        wanted: dict[str, Target] = {}
        for column in self._configured.values():
            for target in column.targets():
                wanted.setdefault(target.name, target)
        for name, remote in list(self._remotes.items()):
            if remote.target.record is not None and remote.target != wanted.get(name):
                self._stop(name)
        for name, target in wanted.items():
            if name not in self._remotes:
                try:
                    self._start(name, target)
                except (OSError, ValueError) as error:
                    log.warn("%s: listen failed: %s", name, getattr(error, "strerror", None) or error)
        self._write_status()

    def _write_status(self) -> None:
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
            self._refresh_timer = None
        if self._closed:
            return
        now = self.server.clock.now()
        known = {}
        for name, remote in self._remotes.items():
            if remote.target.record is not None:
                known[name] = (bool(remote.clients), remote.status(now))
        for column in self._configured.values():
            column.report(known)
        if known:
            self._refresh_timer = self._loop.call_later(REFRESH_S, self._write_status)

    def _committed(self) -> None:
        """Something was committed: waiting transactions and remotes may be concerned."""
        if self._soon is None and not self._closed:
            self._soon = self._loop.call_soon(self._after_commit)

    def _after_commit(self) -> None:
        self._soon = None
        self._turn()
        if any(column.changed() for column in self._configured.values()):
            self.refresh()

    # Starting and stopping.

    def _start(self, name: str, target: Target) -> None:
        kind = name.partition(":")[0]
        remote = Remote(target)
        if kind in ACTIVE:
            self._remotes[name] = remote
            remote.task = self._loop.create_task(self._keep_connected(remote))
            return
        remote.listener = bind(name)
        self._remotes[name] = remote
        self._loop.add_reader(remote.listener.fileno(), self._accept, remote)

    def _stop(self, name: str) -> None:
        remote = self._remotes.pop(name)
        if remote.listener is not None:
            self._loop.remove_reader(remote.listener.fileno())
            remote.listener.close()
            if name.startswith("punix:"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name.removeprefix("punix:"))
        for task in (remote.task, *remote.clients):
            if task is not None:
                task.cancel()

    def close(self) -> None:
        """Stop listening and end all connections. Idempotent."""
        self._closed = True
        for name in list(self._remotes):
            self._stop(name)
        self._configured.clear()
        for handle in (self._timer, self._refresh_timer, self._soon):
            if handle is not None:
                handle.cancel()

    def _context(self, server: bool) -> ssl.SSLContext:
        self._tls.configure(self._tls_settings())
        if self._tls.bootstrapping:
            raise ValueError("there is no CA certificate yet, and who connects here can't bring one")
        try:
            return self._tls.context(server)
        except TlsError as error:
            raise ValueError(str(error)) from error

    # Connections.

    def _accept(self, remote: Remote) -> None:
        assert remote.listener is not None
        for _ in range(10):
            try:
                sock, peer = remote.listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            name = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "unix"
            task = self._loop.create_task(self._accepted(remote, sock, name))
            remote.clients.add(task)
            task.add_done_callback(lambda done, remote=remote: self._gone(remote, done))  # type: ignore[misc]

    async def _accepted(self, remote: Remote, sock: socket.socket, name: str) -> None:
        tls: ssl.SSLContext | None = None
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            if remote.target.name.startswith("pssl:"):
                tls = self._context(server=True)
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, sock, ssl=tls)
        except (OSError, ValueError) as error:
            dropped_bad.inc()
            log.warn("%s: dropping the connection: %s", name, error)
            sock.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        await self._serve(remote, reader, writer, name, network=name != "unix")

    def _gone(self, remote: Remote, task: asyncio.Task[None]) -> None:
        remote.clients.discard(task)
        remote.gone_at = self.server.clock.now()
        if remote.target.record is not None:
            self._write_status()

    async def _keep_connected(self, remote: Remote) -> None:
        """Connect out, serve, and come again."""
        name = remote.target.name
        kind, _, rest = name.partition(":")
        backoff = BACKOFF_MS
        while True:
            try:
                remote.state = "CONNECTING"
                if kind == "unix":
                    reader, writer = await asyncio.open_unix_connection(rest)
                else:
                    host, port = split_address(rest)
                    tls = self._context(server=False) if kind == "ssl" else None
                    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
            except (OSError, ValueError) as error:
                log.info(
                    "%s: connection attempt failed (%s)", name, getattr(error, "strerror", None) or error
                )
            else:
                backoff = BACKOFF_MS
                remote.state = "ACTIVE"
                serving = self._loop.create_task(
                    self._serve(remote, reader, writer, name, network=kind != "unix")
                )
                remote.clients.add(serving)
                try:
                    await asyncio.wait([serving])
                finally:
                    serving.cancel()
                    self._gone(remote, serving)
            remote.state = "BACKOFF"
            self._write_status()
            await asyncio.sleep(backoff / 1000)
            backoff = min(2 * backoff, remote.target.max_backoff or MAX_BACKOFF_MS)

    def _turn(self) -> None:
        """Retry what waits, and come again when the next "wait" times out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.server.run()
        if deadline is not None and not self._closed:
            delay = max(0, deadline - self.server.clock.now()) / 1000
            self._timer = self._loop.call_later(delay, self._turn)

    async def _serve(
        self,
        remote: Remote,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        name: str,
        network: bool,
    ) -> None:
        transport = writer.transport
        remote.connected_at = self.server.clock.now()
        if remote.target.record is not None:
            self._write_status()

        def send(message: Json) -> None:
            if transport.is_closing():
                return
            writer.write(json.dumps(message, separators=(",", ":")).encode())
            if transport.get_write_buffer_size() > MAX_BACKLOG:
                dropped_slow.inc()
                log.warn("%s: %d bytes wait for it; dropping it", name, transport.get_write_buffer_size())
                transport.abort()

        probe_ms = remote.target.probe_ms
        if probe_ms is None:
            probe_ms = PROBE_MS if network else 0
        session = self.server.connect(name, send)
        session.drop = lambda: transport.close()
        framer = JsonFramer(MAX_MESSAGE)
        probed = False
        try:
            while not session.ended:
                try:
                    data = await asyncio.wait_for(reader.read(1 << 18), probe_ms / 1000 or None)
                except TimeoutError:
                    if probed:
                        dropped_silent.inc()
                        log.err(
                            "%s: no response to inactivity probe after %g seconds, disconnecting",
                            name,
                            probe_ms / 1000,
                        )
                        break
                    probed = True
                    session.send({"method": "echo", "params": [], "id": "echo"})
                    continue
                if not data:
                    break
                probed = False
                for message in framer.feed(data):
                    session.handle(message)
                self._turn()
                await writer.drain()
        except (FramingError, OvsdbError) as error:
            dropped_bad.inc()
            log.warn("%s: dropping the connection: %s", name, error)
        except (ConnectionError, asyncio.CancelledError):
            pass
        except Exception:
            # A mistake in here costs the client that met it, not the others.
            session_failed.inc()
            log.err("%s: dropping the connection: request failed\n%s", name, traceback.format_exc())
        finally:
            self.server.disconnect(session)
            if not self._closed:
                self._turn()
            writer.close()
