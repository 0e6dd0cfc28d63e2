"""One client of the server: JSON-RPC messages in, messages out, no I/O (RFC 7047 section 4).

`Session.handle` takes one message and calls `send` with what it answers. What the session keeps
(monitors, waiting transactions, locks) goes with `close`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Final, Protocol

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.records import dataclass
from vswitch.ovsdb.about import About
from vswitch.ovsdb.database import Changes, Database
from vswitch.ovsdb.errors import Json, OvsdbError, syntax_error
from vswitch.ovsdb.locks import Locks
from vswitch.ovsdb.monitor import Monitor, parse_condition_changes, parse_monitor
from vswitch.ovsdb.operations import NotYet, execute

NO_HISTORY: Final = "00000000-0000-0000-0000-000000000000"
"""The transaction that "monitor_cond_since" is told of: like a standalone ovsdb-server, this one
keeps no history to resume from."""

transactions: Final = coverage.counter("ovsdb_transaction")
bad_messages: Final = coverage.counter("ovsdb_bad_message")


class PlainError(Exception):
    """An error that goes out as a bare string, where RFC 7047 section 4.1 has one."""


@dataclass
class Waiting:
    """A transaction whose "wait" does not hold yet; `deadline` is clock ms, None for ever."""

    id: Json
    db: Database
    ops: list[Json]
    deadline: int | None


def key_of(id: Json) -> str:
    """A JSON value as a dict's key."""
    import json

    return json.dumps(id, sort_keys=True)


class Owner(Protocol):
    """What a session sees of the `Server` that it is one of."""

    clock: Clock
    id: uuid.UUID
    about: About
    databases: dict[str, Database]
    locks: Locks[Session]

    def convert(self, name: str, schema: Json) -> None:
        """Convert database `name` to `schema`. OvsdbError."""


class Session:
    """One connection. `name` is for people; `send` queues a message for the client."""

    def __init__(self, server: Owner, name: str, send: Callable[[Json], None]) -> None:
        self.server = server
        self.name = name
        self.send = send
        self.monitors: dict[str, Monitor] = {}
        self.waiting: list[Waiting] = []
        self.db_change_aware = False
        self.ended = False
        """Whether the server wants to be rid of the client."""
        self.drop: Callable[[], None] = lambda: None
        """Ends the connection once what was sent is out."""
        self.methods: dict[str, Callable[[Json, list[Json]], Json]] = {
            "echo": lambda id, params: params,
            "list_dbs": lambda id, params: sorted(self.server.databases),
            "get_schema": lambda id, params: self._db(params, 1, "get_schema").schema_json,
            "get_server_id": lambda id, params: str(self.server.id),
            "set_db_change_aware": self._set_db_change_aware,
            "monitor": lambda id, params: self._monitor(params, conditional=False),
            "monitor_cond": lambda id, params: self._monitor(params, conditional=True),
            "monitor_cond_since": lambda id, params: self._monitor(params, conditional=True, since=True),
            "monitor_cond_change": self._monitor_cond_change,
            "monitor_cancel": self._monitor_cancel,
            "lock": lambda id, params: self._lock(params, steal=False),
            "steal": lambda id, params: self._lock(params, steal=True),
            "unlock": self._unlock,
            "convert": self._convert,
        }

    # Messages.

    def handle(self, message: Json) -> None:
        """Take one message from the client. OvsdbError if it is no JSON-RPC: drop the client."""
        if not isinstance(message, dict):
            bad_messages.inc()
            raise syntax_error("a JSON-RPC message is an object", message)
        if "method" not in message:
            if "result" in message or "error" in message:
                return
            bad_messages.inc()
            raise syntax_error("a JSON-RPC message has a method or a result", message)
        method, params, id = message["method"], message.get("params"), message.get("id")
        if not isinstance(method, str) or not isinstance(params, list):
            bad_messages.inc()
            raise syntax_error("a JSON-RPC request has a method and an array of params", message)
        if id is None:
            if method == "cancel":
                self._cancel(params)
            return
        if method == "transact":
            self._transact(id, params)
            return
        handler = self.methods.get(method)
        try:
            if handler is None:
                raise PlainError("unknown method")
            result = handler(id, params)
        except OvsdbError as error:
            self.send({"id": id, "result": None, "error": error.to_json()})
            return
        except PlainError as error:
            self.send({"id": id, "result": None, "error": str(error)})
            return
        self.send({"id": id, "result": result, "error": None})

    def notify(self, method: str, params: list[Json]) -> None:
        """Send a notification."""
        self.send({"method": method, "params": params, "id": None})

    def close(self) -> None:
        """Forget what the client had; locks pass on."""
        self.monitors.clear()
        self.waiting.clear()
        for name, new in self.server.locks.leave(self):
            new.notify("locked", [name])

    def lose(self, db: Database) -> None:
        """`db` is gone, or has another schema now. A client that watches it is told so if it said that
        it expects that, else dropped: it comes again and looks anew (ovsdb-server(7), section 4.1.16)."""
        watched = [(key, monitor) for key, monitor in self.monitors.items() if monitor.db is db]
        for key, monitor in watched:
            del self.monitors[key]
            if self.db_change_aware:
                self.notify("monitor_canceled", [monitor.id])
        for request in [w for w in self.waiting if w.db is db]:
            self.waiting.remove(request)
            self.send({"id": request.id, "result": None, "error": {"error": "canceled"}})
        if watched and not self.db_change_aware:
            self.ended = True
            self.drop()

    def _db(self, params: list[Json], least: int, method: str) -> Database:
        if len(params) < least or not isinstance(params[0], str):
            raise syntax_error(f"{method} request params must begin with <db-name>", params)
        db = self.server.databases.get(params[0])
        if db is None:
            raise OvsdbError(
                "unknown database", f"{method} request specifies unknown database {params[0]}", params
            )
        return db

    # Transactions.

    def _transact(self, id: Json, params: list[Json]) -> None:
        try:
            db = self._db(params, 1, "transact")
        except OvsdbError as error:
            self.send({"id": id, "result": None, "error": error.to_json()})
            return
        self._run(Waiting(id, db, params[1:], None), first=True)

    def _run(self, request: Waiting, first: bool = False) -> bool:
        """Try a transaction; whether it is done with."""
        now = self.server.clock.now()
        patient = request.deadline is None or now < request.deadline
        try:
            outcome = execute(
                request.db, request.ops, lambda name: self.server.locks.owner(name) is self, patient
            )
        except NotYet as not_yet:
            if first:
                request.deadline = None if not_yet.timeout is None else now + not_yet.timeout
                self.waiting.append(request)
            return False
        transactions.inc()
        self.send({"id": request.id, "result": outcome.results, "error": None})
        return True

    def retry(self) -> None:
        """Try the waiting transactions again: something was committed, or time has passed."""
        for request in list(self.waiting):
            if request in self.waiting and self._run(request):
                self.waiting.remove(request)

    def wakeup(self) -> int | None:
        """Clock ms at which a waiting transaction times out."""
        return min((w.deadline for w in self.waiting if w.deadline is not None), default=None)

    def _cancel(self, params: list[Json]) -> None:
        for request in self.waiting:
            if params and request.id == params[0]:
                self.waiting.remove(request)
                self.send({"id": request.id, "result": None, "error": {"error": "canceled"}})
                return

    # Monitors.

    def _monitor(self, params: list[Json], conditional: bool, since: bool = False) -> Json:
        db = self._db(params, 4 if since else 3, "monitor")
        if len(params) != (4 if since else 3):
            raise syntax_error("a monitor request has a database, an id and requests", params)
        key = key_of(params[1])
        if key in self.monitors:
            raise syntax_error("duplicate monitor ID", params[1])
        monitor = parse_monitor(db, params[1], params[2], conditional, since)
        self.monitors[key] = monitor
        initial = monitor.initial()
        if not since:
            return initial
        return [False, NO_HISTORY, initial]

    def _monitor_cond_change(self, id: Json, params: list[Json]) -> Json:
        if len(params) != 3:
            raise syntax_error("monitor_cond_change has an id, a new id and conditions", params)
        monitor = self.monitors.get(key_of(params[0]))
        if monitor is None or not monitor.conditional:
            raise syntax_error("unknown monitor session", params[0])
        new_key = key_of(params[1])
        if params[1] != params[0] and new_key in self.monitors:
            raise syntax_error("duplicate monitor ID", params[1])
        changed = parse_condition_changes(monitor, params[2])
        update = monitor.change_conditions(changed)
        del self.monitors[key_of(params[0])]
        monitor.id = params[1]
        self.monitors[new_key] = monitor
        if update is not None:
            self._send_update(monitor, update)
        return {}

    def _monitor_cancel(self, id: Json, params: list[Json]) -> Json:
        if len(params) != 1:
            raise syntax_error("monitor_cancel has one parameter", params)
        if self.monitors.pop(key_of(params[0]), None) is None:
            raise PlainError("unknown monitor")
        return {}

    def committed(self, db: Database, changes: Changes) -> None:
        """Tell the client's monitors of a commit."""
        for monitor in self.monitors.values():
            if monitor.db is db:
                update = monitor.update(changes)
                if update is not None:
                    self._send_update(monitor, update)

    def _send_update(self, monitor: Monitor, update: Json) -> None:
        if monitor.since:
            self.notify("update3", [monitor.id, NO_HISTORY, update])
        else:
            self.notify("update2" if monitor.conditional else "update", [monitor.id, update])

    # Locks.

    def _lock_name(self, params: list[Json]) -> str:
        if len(params) != 1 or not isinstance(params[0], str) or not params[0].isidentifier():
            raise syntax_error("the parameter is a lock's name", params)
        return params[0]

    def _lock(self, params: list[Json], steal: bool) -> Json:
        name = self._lock_name(params)
        locks = self.server.locks
        if locks.wants(name, self):
            raise syntax_error('must issue "unlock" before new "lock" or "steal"', name)
        if not steal:
            return {"locked": locks.lock(name, self)}
        loser = locks.steal(name, self)
        if loser is not None:
            loser.notify("stolen", [name])
        return {"locked": True}

    def _unlock(self, id: Json, params: list[Json]) -> Json:
        name = self._lock_name(params)
        if not self.server.locks.wants(name, self):
            raise syntax_error('"unlock" without "lock" or "steal"', name)
        new = self.server.locks.unlock(name, self)
        if new is not None:
            new.notify("locked", [name])
        return {}

    # The server itself.

    def _set_db_change_aware(self, id: Json, params: list[Json]) -> Json:
        if len(params) != 1 or not isinstance(params[0], bool):
            raise syntax_error("the parameter is true or false", params)
        self.db_change_aware = params[0]
        return {}

    def _convert(self, id: Json, params: list[Json]) -> Json:
        db = self._db(params, 2, "convert")
        if db is self.server.about or len(params) != 2:
            raise OvsdbError("not allowed", "this database cannot be converted")
        self.server.convert(db.name, params[1])
        return {}
