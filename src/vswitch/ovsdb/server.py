"""The embedded database server: databases and their clients.

`Server` is sans-I/O: `connect` makes a `Session` of something that can send messages.
`remotes.py` has the sockets.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from vswitch.base.clock import Clock
from vswitch.ovsdb.about import About
from vswitch.ovsdb.convert import convert
from vswitch.ovsdb.database import Changes, Database
from vswitch.ovsdb.errors import Json
from vswitch.ovsdb.locks import Locks
from vswitch.ovsdb.log import DatabaseFile
from vswitch.ovsdb.session import Session


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
        self.on_commit: Callable[[], None] = lambda: None
        """Called after every commit, and when the databases change: something may wait for that."""
        self._serve(self.about)

    # Databases.

    def add(self, file: DatabaseFile) -> None:
        """Serve the database in `file`."""
        self.files[file.db.name] = file
        self._attach(file)
        self._serve(file.db)
        self.about.describe(file.db)
        self.on_commit()

    def open(self, path: Path, schema: Json | None = None) -> None:
        """Serve the database in the file `path`, made from `schema` if it is not there.

        ValueError: it is served already, or another of its name is; OvsdbError: it is no database.
        """
        if any(file.path == path.resolve() for file in self.files.values()):
            raise ValueError(f"{path}: already open")
        file = DatabaseFile.open(path, schema)
        if file.db.name in self.databases:
            file.close()
            raise ValueError(f"{path}: duplicate database name {file.db.name}")
        self.add(file)

    def remove(self, name: str) -> None:
        """Serve database `name` no more. KeyError."""
        file = self.files.pop(name)
        db = self.databases.pop(name)
        db.listeners.clear()
        db.writer = None
        for session in list(self.sessions):
            session.lose(db)
        self.about.forget(db)
        file.close()
        self.on_commit()

    def compact(self, name: str = "") -> None:
        """Compact the file of database `name`, or of all. KeyError; OSError."""
        files = [self.files[name]] if name else list(self.files.values())
        for file in files:
            file.compact(int(self.clock.wall() * 1000))

    def close(self) -> None:
        """Let go of all files. Idempotent."""
        for file in self.files.values():
            file.close()
        self.files.clear()

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
        self.on_commit()

    def convert(self, name: str, schema: Json) -> None:
        """Give database `name` another schema, keeping what fits; clients that watch it are dropped
        unless they said that they expect that (`set_db_change_aware`), when they lose monitors."""
        file = self.files[name]
        old = file.db
        new = convert(old, schema)
        old.listeners.clear()
        old.writer = None
        file.db = new
        file.compact(int(self.clock.wall() * 1000))
        self._attach(file)
        self._serve(new)
        for session in list(self.sessions):
            session.lose(old)
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
