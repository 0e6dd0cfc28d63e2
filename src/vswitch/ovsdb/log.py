"""The database on disk: a log of JSON records (ovsdb(5), "Standalone Format").

A record is a line `OVSDB JSON <bytes> <SHA-1>` and that many bytes of JSON. The first is the
schema, each other a transaction: table -> row -> the columns that it set, null for a deletion.
With "_is_diff" a changed row has differences instead (`monitor.difference`). A torn tail, as a
crash leaves it, is cut off at the last whole record, and said.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final
from uuid import UUID

from ovs.db.data import Datum

from vswitch.base.vlog import Vlog
from vswitch.ovsdb.database import Changes, Database, Row, differ
from vswitch.ovsdb.datum import datum_from_json
from vswitch.ovsdb.errors import Json, OvsdbError, library_errors
from vswitch.ovsdb.mutation import any_number

log = Vlog("ovsdb_log")

HEADER: Final = re.compile(rb"OVSDB JSON (\d{1,15}) ([0-9a-f]{40})\n")
LONGEST_HEADER: Final = 80
COMPACT_BYTES: Final = 10 << 20
"""The file is compacted when it is larger than this and has grown to `COMPACT_FACTOR` times its
size after the last compaction (ovsdb-server(1))."""
COMPACT_FACTOR: Final = 4


class OvsdbFileError(OvsdbError):
    """The file is not what it should be: `path` and the byte offset are in the text."""

    def __init__(self, path: Path, details: str) -> None:
        super().__init__("ovsdb file error", f"{path}: {details}")


def record(value: Json) -> bytes:
    """`value` as one record."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    return b"OVSDB JSON %d %s\n%s" % (len(body), hashlib.sha1(body).hexdigest().encode(), body)


def read_records(data: bytes) -> Iterator[tuple[Json, int]]:
    """(value, offset behind it) of every whole record; OvsdbError says what is wrong with the next."""
    at = 0
    while at < len(data):
        header = HEADER.match(data, at, at + LONGEST_HEADER)
        if header is None:
            raise OvsdbError("syntax error", f"{len(data) - at} bytes at offset {at} are no record header")
        end = header.end() + int(header[1])
        body = data[header.end() : end]
        if len(body) != int(header[1]):
            raise OvsdbError(
                "i/o error", f"the record at offset {at} ends after {len(body)} of {int(header[1])} bytes"
            )
        if hashlib.sha1(body).hexdigest().encode() != header[2]:
            raise OvsdbError("syntax error", f"the record at offset {at} has the wrong checksum")
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise OvsdbError("syntax error", f"the record at offset {at} is no JSON ({error})") from error
        yield value, end
        at = end


def row_to_json(db: Database, table: str, before: Row | None, after: Row | None) -> Json:
    """What a transaction record says of one row; {} if nothing that is kept on disk changed."""
    if after is None:
        return None
    made: dict[str, Json] = {}
    was = db.defaults[table] if before is None else before.columns
    for name, column in db.schema.tables[table].columns.items():
        now = after.columns[name]
        if column.persistent and differ(was[name], now):
            made[name] = now.to_json()
    return made


def transaction_record(db: Database, changes: Changes, comments: list[str], wall_ms: int) -> Json | None:
    """The record for `changes`; None if none of them is kept on disk."""
    made: dict[str, Json] = {}
    for table, rows in changes.items():
        told: dict[str, Json] = {}
        for row_uuid, (before, after) in rows.items():
            columns = row_to_json(db, table, before, after)
            if columns != {} or before is None:
                told[str(row_uuid)] = columns
        if told:
            made[table] = told
    if not made:
        return None
    made["_date"] = wall_ms
    if comments:
        made["_comment"] = "\n".join(comments)
    return made


def apply_difference(before: Datum, change: Datum) -> Datum:
    """The value that a difference (`monitor.difference`) makes of `before`."""
    if before.type.n_max == 1:
        return change
    values = dict(before.values)
    for key, value in change.values.items():
        if key in values and values[key] == value:
            del values[key]
        else:
            values[key] = value
    return Datum(before.type, values)


def replay(db: Database, value: Json) -> None:
    """Carry out a transaction record; OvsdbError if it does not fit the schema."""
    if not isinstance(value, dict):
        raise OvsdbError("syntax error", "a transaction record is an object")
    is_diff = value.get("_is_diff") is True
    changes: Changes = {}
    for table, rows in value.items():
        if table.startswith("_"):
            continue
        schema = db.schema.tables.get(table)
        if schema is None or not isinstance(rows, dict):
            raise OvsdbError("syntax error", f"the record has no table {table} of the schema")
        for name, columns in rows.items():
            with library_errors():
                row_uuid: UUID = ovs_uuid(name)
            before = db.tables[table].get(row_uuid)
            if columns is None:
                changes.setdefault(table, {})[row_uuid] = (before, None)
                continue
            if not isinstance(columns, dict):
                raise OvsdbError("syntax error", f"row {name} of table {table} is no object")
            values = dict(db.defaults[table] if before is None else before.columns)
            for column, json_value in columns.items():
                if column not in schema.columns:
                    raise OvsdbError("syntax error", f"table {table} has no column {column}")
                type = schema.columns[column].type
                diff = is_diff and before is not None and type.n_max != 1
                if diff:
                    type = any_number(type)
                with library_errors():
                    datum = datum_from_json(type, json_value)
                values[column] = apply_difference(values[column], datum) if diff else datum
            changes.setdefault(table, {})[row_uuid] = (before, Row(row_uuid, values))
    db.apply(changes)


def ovs_uuid(text: str) -> UUID:
    """A UUID from its text."""
    import ovs.ovsuuid

    found: UUID = ovs.ovsuuid.from_string(text)
    return found


class DatabaseFile:
    """A database and the file that it lives in. One process has it open at a time."""

    def __init__(self, path: Path, db: Database, file: IO[bytes], lock: IO[bytes], size: int) -> None:
        self.path = path
        self.db = db
        self._file = file
        self._lock = lock
        self.size = size
        self.compacted_size = size

    @classmethod
    def open(cls, path: Path, schema: Json | None = None) -> DatabaseFile:
        """Open `path`, made from `schema` if it is not there. OvsdbFileError, OSError.

        A symbolic link stays one: the file that it names is meant.
        """
        path = Path(os.path.realpath(path))
        lock = _lock(path)
        try:
            if not path.exists():
                if schema is None:
                    raise OvsdbFileError(path, "there is no such file")
                _write_whole(path, [schema])
            data = path.read_bytes()
            db: Database | None = None
            end = 0
            try:
                for value, after in read_records(data):
                    if db is None:
                        db = Database(value)
                    else:
                        replay(db, value)
                    end = after
            except OvsdbError as error:
                if db is None:
                    raise OvsdbFileError(path, error.details) from error
                log.warn("%s: %s; keeping the %d bytes before it", path, error.details, end)
            if db is None:
                raise OvsdbFileError(path, "the file is empty")
            file = path.open("r+b")
            file.truncate(end)
            file.seek(end)
            return cls(path, db, file, lock, end)
        except BaseException:
            lock.close()
            raise

    def append(self, changes: Changes, comments: list[str], durable: bool, wall_ms: int) -> None:
        """Write what a transaction changed, to the disk itself if `durable`."""
        value = transaction_record(self.db, changes, comments, wall_ms)
        if value is not None:
            data = record(value)
            self._file.write(data)
            self._file.flush()
            self.size += len(data)
        if durable:
            os.fdatasync(self._file.fileno())

    def should_compact(self) -> bool:
        """Whether the log is so much larger than its content that it is time to compact it."""
        return self.size > COMPACT_BYTES and self.size > COMPACT_FACTOR * self.compacted_size

    def compact(self, wall_ms: int) -> None:
        """Replace the file by the schema and one transaction that inserts everything."""
        content: Changes = {
            table: {row_uuid: (None, row) for row_uuid, row in rows.items()}
            for table, rows in self.db.tables.items()
            if rows
        }
        values = [self.db.schema_json]
        everything = transaction_record(self.db, content, ["compacting database"], wall_ms)
        if everything is not None:
            values.append(everything)
        _write_whole(self.path, values)
        self._file.close()
        self._file = self.path.open("r+b")
        self.size = self.compacted_size = self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        self._file.close()
        self._lock.close()


def _lock(path: Path) -> IO[bytes]:
    """Lock `.NAME.~lock~` beside the file, the one that the other tools lock (ovsdb(7))."""
    lock = (path.parent / f".{path.name}.~lock~").open("ab")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise OvsdbFileError(path, "another process has the database open") from error
    return lock


def _write_whole(path: Path, values: list[Json]) -> None:
    """Write a new file beside `path`, to the disk itself, and put it in its place."""
    scratch = path.parent / f"{path.name}.tmp"
    with scratch.open("wb") as out:
        for value in values:
            out.write(record(value))
        out.flush()
        os.fsync(out.fileno())
    os.replace(scratch, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
