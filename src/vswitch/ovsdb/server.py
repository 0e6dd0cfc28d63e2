"""The embedded database server: databases, their clients, and the sockets between.

`Server` is sans-I/O: `connect` makes a `Session`. `listen` is the asyncio shell around it, for
`punix:PATH`, `ptcp:PORT[:IP]` and `pssl:PORT[:IP]`. A client that sends nonsense loses its own
connection; one that does not read loses it when `MAX_BACKLOG` bytes wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import uuid
from typing import Final

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.json_framing import FramingError, JsonFramer
from vswitch.base.vlog import Vlog
from vswitch.ovsdb.about import About
from vswitch.ovsdb.convert import convert
from vswitch.ovsdb.database import Changes, Database
from vswitch.ovsdb.errors import Json, OvsdbError
from vswitch.ovsdb.locks import Locks
from vswitch.ovsdb.log import DatabaseFile
from vswitch.ovsdb.session import Session

log = Vlog("ovsdb_server")

MAX_BACKLOG: Final = 64 << 20
MAX_MESSAGE: Final = 256 << 20
PROBE_INTERVAL: Final = 5.0
"""Seconds of silence after which a network client is sent an echo, and then dropped."""

dropped_slow: Final = coverage.counter("ovsdb_drop_slow_client")
dropped_silent: Final = coverage.counter("ovsdb_drop_silent_client")
dropped_bad: Final = coverage.counter("ovsdb_drop_bad_client")


class Server:
    """Databases by name, and who is connected."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.id = uuid.uuid4()
        self.about = About()
        self.databases: dict[str, Database] = {}
        self.files: dict[str, DatabaseFile] = {}
        self.sessions: list[Session] = []
        self.locks: Locks[Session] = Locks()
        self._serve(self.about)

    # Databases.

    def add(self, file: DatabaseFile) -> None:
        """Serve the database in `file`."""
        self.files[file.db.name] = file
        self._attach(file)
        self._serve(file.db)
        self.about.describe(file.db)

    def _serve(self, db: Database) -> None:
        self.databases[db.name] = db
        db.listeners.append(lambda changes, db=db: self._committed(db, changes))  # type: ignore[misc]

    def _attach(self, file: DatabaseFile) -> None:
        def write(changes: Changes, comments: list[str], durable: bool) -> None:
            wall_ms = int(self.clock.wall() * 1000)
            if file.should_compact():
                file.compact(wall_ms)
            file.append(changes, comments, durable, wall_ms)

        file.db.writer = write

    def _committed(self, db: Database, changes: Changes) -> None:
        for session in list(self.sessions):
            session.committed(db, changes)

    def convert(self, name: str, schema: Json) -> None:
        """Give database `name` another schema, keeping what fits; clients that watch it are dropped
        unless they said that they expect that (`set_db_change_aware`), when they lose monitors."""
        file = self.files[name]
        new = convert(file.db, schema)
        file.db.listeners.clear()
        file.db.writer = None
        file.db = new
        file.compact(int(self.clock.wall() * 1000))
        self._attach(file)
        self._serve(new)
        for session in list(self.sessions):
            for key, monitor in list(session.monitors.items()):
                if monitor.db.name == name and monitor.db is not self.about:
                    del session.monitors[key]
                    session.notify("monitor_canceled", [monitor.id])
        self.about.describe(new)

    # Clients.

    def connect(self, name: str, send: object) -> Session:
        """A new client; `send(message)` queues a message for it."""
        assert callable(send)
        session = Session(self, name, send)
        self.sessions.append(session)
        return session

    def disconnect(self, session: Session) -> None:
        """A client is gone. Idempotent."""
        if session in self.sessions:
            self.sessions.remove(session)
            session.close()

    def run(self) -> int | None:
        """Retry waiting transactions until nothing moves; clock ms of the next timeout, if any."""
        moved = True
        while moved:
            before = sum(len(s.waiting) for s in self.sessions)
            for session in list(self.sessions):
                if session.waiting:
                    session.retry()
            after = sum(len(s.waiting) for s in self.sessions)
            moved = 0 < after < before
        return min((t for s in self.sessions if (t := s.wakeup()) is not None), default=None)

    def memory(self) -> dict[str, int]:
        """Numbers for `memory/show`."""
        return {
            "cells": sum(db.n_rows() * 1 for db in self.databases.values()),
            "monitors": sum(len(s.monitors) for s in self.sessions),
            "sessions": len(self.sessions),
            "triggers": sum(len(s.waiting) for s in self.sessions),
        }


class Listener:
    """The asyncio side: sockets, framing, back-pressure, probes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._servers: list[asyncio.Server] = []
        self._paths: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, target: str, tls: ssl.SSLContext | None = None) -> tuple[str, int] | str:
        """Accept clients at `target`; returns the address or path. ValueError, OSError."""
        kind, _, rest = target.partition(":")
        if kind == "punix" and rest:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(rest)
            old = os.umask(0o077)
            try:
                self._servers.append(await asyncio.start_unix_server(self._client, rest))
            finally:
                os.umask(old)
            self._paths.append(rest)
            return rest
        if kind in ("ptcp", "pssl"):
            port, _, host = rest.partition(":")
            if not port.isdigit():
                raise ValueError(f"{target}: {port!r} is not a port number")
            if kind == "pssl" and tls is None:
                raise ValueError(f"{target}: needs a private key and a certificate")
            made = await asyncio.start_server(
                self._client, host.strip("[]") or None, int(port), ssl=tls if kind == "pssl" else None
            )
            self._servers.append(made)
            address: tuple[str, int] = made.sockets[0].getsockname()[:2]
            return address
        raise ValueError(f"{target}: remotes are punix:PATH, ptcp:PORT[:IP] and pssl:PORT[:IP]")

    async def close(self) -> None:
        """Stop listening and end all connections."""
        for made in self._servers:
            made.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self) -> None:
        """Retry what waits, and come again when the next "wait" times out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.server.run()
        if deadline is not None:
            delay = max(0, deadline - self.server.clock.now()) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay, self._turn)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = writer.get_extra_info("peername")
        network = isinstance(peer, tuple) and len(peer) >= 2
        name = f"{peer[0]}:{peer[1]}" if network else "unix"
        transport = writer.transport

        def send(message: Json) -> None:
            if transport.is_closing():
                return
            writer.write(json.dumps(message, separators=(",", ":")).encode())
            if transport.get_write_buffer_size() > MAX_BACKLOG:
                dropped_slow.inc()
                log.warn("%s: %d bytes wait for it; dropping it", name, transport.get_write_buffer_size())
                transport.abort()

        session = self.server.connect(name, send)
        framer = JsonFramer(MAX_MESSAGE)
        probed = False
        try:
            while True:
                try:
                    data = await asyncio.wait_for(reader.read(1 << 18), PROBE_INTERVAL if network else None)
                except TimeoutError:
                    if probed:
                        dropped_silent.inc()
                        log.err(
                            "%s: no response to inactivity probe after %g seconds, disconnecting",
                            name,
                            PROBE_INTERVAL,
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
        finally:
            self.server.disconnect(session)
            self._turn()
            writer.close()
            self._tasks.discard(task)
