"""The database as this process sees it: a client of an OVSDB server that keeps a copy and reconnects.

The replica, the protocol (`monitor_cond_since` and what came before) and the reconnecting are the
official `ovs` library's; here it becomes a `Part` of the main loop: nothing blocks, and
descriptors and times are told instead of waited for. `run` says whether the *configuration* changed:
columns that only the switch writes (`STATUS_COLUMNS`) don't count.
"""

from __future__ import annotations

import errno
import os
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, final
from uuid import UUID

from vswitch.base.clock import Clock
from vswitch.base.json_framing import FramingError, JsonFramer
from vswitch.base.respite import Respite
from vswitch.base.sparing import absent
from vswitch.base.vlog import Level, Vlog
from vswitch.bridge.columns import STATUS_COLUMNS
from vswitch.ovsdb.datum import datum_from_json
from vswitch.ovsdb.vswitch_schema import VSWITCH

# The library asks whether eventlet has patched select(). It has not, and looking would load all of it. It can
# do without TLS, which is given to it (`daemon/database_tls.py`) when it is wanted.
with absent("eventlet", "ssl"):
    import ovs.db.data
    import ovs.db.error
    import ovs.db.idl
    import ovs.jsonrpc
    import ovs.poller
    import ovs.reconnect
    import ovs.stream
    import ovs.timeval

Row: TypeAlias = Any
"""An `ovs.db.idl.Row`: one attribute a column; a reference is a Row."""

log = Vlog("ovsdb_idl")
jsonrpc_log = Vlog("jsonrpc")

MAX_MESSAGE: Final = 256 << 20
READ_SIZE: Final = 1 << 16
DATABASE: Final = "Open_vSwitch"
ATTEMPT: Final = "connection attempt failed"
LOCK: Final = "ovs_open_vswitch"
SOCKET_MS: Final = 2000
"""How long a server's socket that isn't there yet is looked for before an attempt to connect fails, after
which it takes a second until the next..."""
LOOK_MS: Final = 10
"""...and how often."""


@final
class _LibraryLog:
    """A log module of the library's, in this process's log."""

    def __init__(self, module: str) -> None:
        log = Vlog(module)
        self.emer = lambda text, **_: log.emer("%s", text)
        self.err = lambda text, **_: log.err("%s", text)
        # What is told again and again while a server is away is no warning, as in Open vSwitch.
        self.warn = lambda text, **_: (log.info if ATTEMPT in text else log.warn)("%s", text)
        self.info = lambda text, **_: log.info("%s", text)
        self.dbg = lambda text, **_: log.dbg("%s", text)
        self.exception = self.err
        self.dbg_is_enabled = lambda: log.enabled(Level.DBG)


for _module, _name in ((ovs.db.idl, "ovsdb_idl"), (ovs.jsonrpc, "jsonrpc"), (ovs.reconnect, "reconnect"),
                       (ovs.stream, "stream")):  # fmt: skip
    _module.vlog = _LibraryLog(_name)


class _Connection(ovs.jsonrpc.Connection):  # type: ignore[misc]
    """The library's connection, which parses what it receives with the standard library's JSON instead
    of character by character: what hundreds of ports send is read in milliseconds."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._framer = JsonFramer(MAX_MESSAGE)
        self._complete: deque[Any] = deque()

    def recv(self) -> tuple[int, Any]:
        """(0, message), or (errno or EOF, None)."""
        while not self._complete:
            if self.status:
                return self.status, None
            error, data = self.stream.recv(READ_SIZE)
            if error == errno.EAGAIN:
                return error, None
            if error:
                jsonrpc_log.warn("%s: receive error: %s", self.name, os.strerror(error))
                self.error(error)
            elif not data:
                self.error(ovs.jsonrpc.EOF)
            else:
                self.received_bytes += len(data)
                self._take(data)
        return 0, self._complete.popleft()

    def _take(self, data: bytes) -> None:
        try:
            for value in self._framer.feed(data):
                message = ovs.jsonrpc.Message.from_json(value)
                if not isinstance(message, ovs.jsonrpc.Message):
                    raise FramingError(f"received bad JSON-RPC message: {message}")
                self._complete.append(message)
        except FramingError as e:
            jsonrpc_log.warn("%s: %s", self.name, e)
            self.error(errno.EPROTO)

    def recv_wait(self, poller: _Wanted) -> None:
        """Wait for what comes, or not at all if something is here."""
        if self.status or self._complete:
            poller.immediate_wake()
        else:
            self.stream.recv_wait(poller)


ovs.jsonrpc.Connection = _Connection
ovs.db.data.Datum.from_json = staticmethod(datum_from_json)


@final
class _Wanted:
    """Stands where the library expects its poller, and only notes what it would wait for."""

    def __init__(self) -> None:
        self.reading: list[int] = []
        self.writing: list[int] = []
        self.delay: float | None = None
        """In ms; None for no timer."""

    def fd_wait(self, fd: Any, events: int) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        if number < 0:
            self.immediate_wake()
            return
        if events & ovs.poller.POLLIN:
            self.reading.append(number)
        if events & ovs.poller.POLLOUT:
            self.writing.append(number)

    def timer_wait(self, ms: float) -> None:
        self.delay = max(ms, 0) if self.delay is None else min(self.delay, max(ms, 0))

    def timer_wait_until(self, at: float) -> None:
        self.timer_wait(at - ovs.timeval.msec())

    def immediate_wake(self) -> None:
        self.delay = 0


@final
class Transaction(ovs.db.idl.Transaction):  # type: ignore[misc]
    """The library's transaction, which lets packets through while it is made of many rows."""

    def _substitute_uuids(self, json: Any) -> Any:
        """What a column is written as; the library asks for each."""
        self.idl.respite.give()
        return super()._substitute_uuids(json)


def _default(type_: Any) -> Any:
    """The datum of a column that nobody has set (RFC 7047, 5.2.1)."""
    if type_.n_min == 0 or type_.is_map():
        return ovs.db.data.Datum(type_, {})
    return ovs.db.data.Datum(type_, {ovs.db.data.Atom(type_.key.type, type_.key.type.default): None})


class _Replica(ovs.db.idl.Idl):  # type: ignore[misc]
    """The library's IDL, which also tells configuration from status, and remembers which rows changed."""

    config_seqno = 0

    def __init__(self, remote: str, schema: Any, respite: Respite) -> None:
        self.respite = respite
        self.configured: set[UUID] = set()
        """Rows whose configuration changed, came or went."""
        self.reported: set[UUID] = set()
        """Rows whose status changed."""
        self._defaults: dict[str, dict[str, Any]] = {}
        """By tables and columns."""
        super().__init__(remote, schema, leader_only=False)
        for table in self.tables.values():
            # The library has the schema's table and columns within its own, and finds what is asked of the
            # ones only after it has looked in vain in the others: for each column of each row that comes.
            vars(table)["name"] = table.name
            for column in table.columns.values():
                vars(column).update(vars(column._column))
                if column.type.n_max > 1:
                    # What changes of a set is told as what goes and what comes (ovsdb-server(7), "update2"),
                    # which may be more than a set can have; the library would refuse it and keep the old set.
                    column.type.n_max = sys.maxsize

    # How the library takes a row, in its own names: there, each column is compared with a default made for
    # that, and what was not told is made and parsed first.

    def _Idl__add_default(self, table: Any, row_json: Any) -> None:
        """`_Idl__row_update` has the defaults."""

    def _Idl__row_update(self, table: Any, row: Row, row_json: Any) -> bool:
        """Take what is told of `row`; whether that changes something that matters."""
        data = row._data
        defaults = self._defaults.get(table.name)
        if defaults is None:
            defaults = self._defaults[table.name] = {c.name: _default(c.type) for c in table.columns.values()}
        changed = False
        for name, json in row_json.items():
            column = table.columns.get(name)
            if column is None:
                ovs.db.idl.vlog.warn(f"unknown column {name} updating table {table.name}")
                continue
            try:
                datum = datum_from_json(column.type, json)
            except ovs.db.error.Error as e:
                ovs.db.idl.vlog.warn(f"error parsing column {name} in table {table.name}: {e}")
                continue
            before = dict.get(data, name) or defaults[name]
            if datum.values != before.values:
                data[name] = datum
                changed = changed or column.alert
        if row.uuid not in table.rows:
            # The library's own default of a column that can't be empty is none that can be read.
            lacking = self.readonly.get(table.name, ())
            for name, default in defaults.items():
                if default.values and name not in lacking and dict.get(data, name) is None:
                    data[name] = default.copy()  # Changes of sets are made in place.
                    changed = changed or table.columns[name].alert
        return changed

    def cooperative_yield(self) -> None:
        """The library's hook between two rows of an update."""
        self.respite.give()

    def notify(self, event: str, row: Row, updates: Row = None) -> None:
        self.respite.give()
        if event == ovs.db.idl.ROW_UPDATE and updates is not None:
            columns = updates._data
            status = STATUS_COLUMNS.get(row._table.name)
            if status is not None and not status.isdisjoint(columns):
                self.reported.add(row.uuid)
                if status.issuperset(columns):
                    return
            if columns.keys() == {"external_ids"}:
                return
        self.configured.add(row.uuid)
        self.config_seqno += 1


def _helper(served: Mapping[str, Any]) -> Any:
    """What to ask a server for whose schema has the tables `served`. Columns that it lacks are there, with
    their defaults, but not asked for; tables that it lacks are not."""
    helper = ovs.db.idl.SchemaHelper(schema_json=VSWITCH)
    for name, table in VSWITCH["tables"].items():
        if name in served:
            known = served[name].get("columns", {})
            lacking = [column for column in table["columns"] if column not in known]
            helper.register_columns(name, list(table["columns"]), lacking)
    return helper


class _SchemaRequest:
    """A connection that asks a server for the schema of its database, which may be older than ours."""

    def __init__(self, remote: str) -> None:
        self.session = ovs.jsonrpc.Session.open_multiple(_remotes(remote))
        self._seqno = -1
        self._id: Any = None

    def run(self) -> Mapping[str, Any] | None:
        """The schema's tables, once they have come."""
        session = self.session
        session.run()
        if session.is_connected() and session.get_seqno() != self._seqno:
            self._seqno = session.get_seqno()
            request = ovs.jsonrpc.Message.create_request("get_schema", [DATABASE])
            self._id = request.id
            session.send(request)
        message = session.recv()
        if message is None or message.id != self._id:
            return None
        if message.type == ovs.jsonrpc.Message.T_REPLY and isinstance(message.result, dict):
            tables = message.result.get("tables")
            return tables if isinstance(tables, dict) else {}
        log.warn("%s: server has no %s database (%s)", session.get_name(), DATABASE, message.error)
        session.force_reconnect()
        return None

    def wait(self, wanted: _Wanted) -> None:
        """Note what to wait for."""
        self.session.wait(wanted)
        self.session.recv_wait(wanted)


def _remotes(remote: str) -> list[str]:
    """The remotes that commas separate; a comma may also be part of a file's name."""
    found: list[str] = []
    for part in remote.split(","):
        if found and ":" not in part:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _socket_files(remote: str) -> list[str]:
    """The sockets of `remote` if all of it is on this machine, else none."""
    remotes = _remotes(remote)
    files = [one.removeprefix("unix:") for one in remotes if one.startswith("unix:")]
    return files if len(files) == len(remotes) else []


@final
class Idl:
    """A client of the database server at `remote` ("unix:FILE", "tcp:IP:PORT", "ssl:IP:PORT", or
    several of them with commas). It connects, and connects again, for as long as `run` is called."""

    def __init__(self, remote: str, clock: Clock, lock: str = LOCK) -> None:
        self.remote: str = remote
        self._clock = clock
        self._lock = lock
        self._awaited: list[str] = _socket_files(remote)
        """The sockets one of which the first attempt to connect waits for."""
        self._attempt_at = clock.now() + SOCKET_MS
        self._request: _SchemaRequest | None = None
        self._idl: Any = None
        self._seen: tuple[int, bool, bool] = (-1, False, False)
        self._loaded = False
        self._wanted: _Wanted | None = None
        self.respite: Respite = Respite(clock)
        """Taken between the rows of an update."""

    # The main loop.

    def run(self, now: int) -> bool:
        """Talk with the server, without waiting. Whether the configuration, or who holds the lock,
        may have changed."""
        self._wanted = None
        if self._idl is None and self._request is None:
            if self._awaited and now < self._attempt_at and not any(map(os.path.exists, self._awaited)):
                return False
            self._request = _SchemaRequest(self.remote)
        if self._request is not None:
            tables = self._request.run()
            if tables is None:
                return False
            self._begin(tables)
        self._idl.run()
        # The library says that it has connected as soon as it has the lock.
        self._loaded = self._loaded or self._idl.state == self._idl.IDL_S_MONITORING
        seen = (self._idl.config_seqno, self._idl.has_lock, self._loaded)
        changed = seen != self._seen
        self._seen = seen
        return changed

    def _begin(self, tables: Mapping[str, Any]) -> None:
        """The server's schema has come: have a copy of the database from now on, over the same connection."""
        assert self._request is not None
        session, self._request = self._request.session, None
        self._idl = _Replica(self.remote, _helper(tables), self.respite)
        self._idl.set_lock(self._lock)
        self._idl._session.close()
        self._idl._session = session

    def _want(self) -> _Wanted:
        if self._wanted is None:
            self._wanted = _Wanted()
            waiting = self._request or self._idl
            if waiting is None:
                self._wanted.timer_wait(LOOK_MS)
            else:
                waiting.wait(self._wanted)
        return self._wanted

    def wakeup(self, now: int) -> int:
        """Clock ms of the next probe or attempt to connect."""
        delay = self._want().delay
        return now + 3_600_000 if delay is None else now + int(delay) + (delay > int(delay))

    def fds(self) -> list[int]:
        """Descriptors whose readability means that `run` has work."""
        return self._want().reading

    def write_fds(self) -> list[int]:
        """Descriptors whose writability means that `run` has work."""
        return self._want().writing

    def close(self) -> None:
        """Let go of the connection, and with it of the lock."""
        if self._request is not None:
            self._request.session.close()
        if self._idl is not None:
            self._idl.close()

    # What is known.

    @property
    def has_lock(self) -> bool:
        """Whether this process is the one that may act on the database."""
        return self._idl is not None and bool(self._idl.has_lock)

    @property
    def is_lock_contended(self) -> bool:
        """Whether another process is."""
        return self._idl is not None and bool(self._idl.is_lock_contended)

    @property
    def has_ever_connected(self) -> bool:
        """Whether the copy has been filled at least once; it may be old if the connection is down."""
        return self._loaded

    @property
    def is_connected(self) -> bool:
        """Whether the copy is up to date, as far as one can know."""
        return bool(self._idl.state == self._idl.IDL_S_MONITORING and self._idl._session.is_connected())

    def rows(self, table: str) -> list[Row]:
        """The rows of `table`."""
        found = self._idl.tables.get(table)
        return [] if found is None else list(found.rows.values())

    def root(self) -> Row | None:
        """The one row of table Open_vSwitch; None as long as there is none."""
        rows = self.rows(DATABASE)
        return rows[0] if rows else None

    def row(self, table: str, uuid: UUID) -> Row | None:
        """The row of `table` with this UUID."""
        found = self._idl.tables.get(table)
        return None if found is None else found.rows.get(uuid)

    def refs(self, row: Row, column: str) -> list[Row]:
        """The rows that a set of references names; quicker than the attribute."""
        uuids = [atom.value for atom in row._data[column].values]
        if not uuids:
            return []
        found = self._idl.tables[row._table.columns[column].type.key.ref_table.name].rows
        return [found[uuid] for uuid in uuids if uuid in found]

    def take_configured(self) -> set[UUID]:
        """The rows whose configuration changed, came or went since the last call."""
        taken: set[UUID] = self._idl.configured
        self._idl.configured = set()
        return taken

    def take_reported(self) -> set[UUID]:
        """The rows whose status columns changed since the last call."""
        taken: set[UUID] = self._idl.reported
        self._idl.reported = set()
        return taken

    @property
    def schema_version(self) -> str:
        """The version of the schema that this copy follows."""
        return str(VSWITCH["version"])

    @property
    def connections(self) -> int:
        """Changes whenever a connection is made or lost: what was written may not have arrived."""
        return int(self._idl._session.get_seqno())

    def may_write(self, table: str, column: str) -> bool:
        """Whether the server's database has the column."""
        return column not in self._idl.readonly.get(table, ())

    def transaction(self) -> Any:
        """A new transaction; commit it before the next `run`."""
        self._wanted = None
        return Transaction(self._idl)
