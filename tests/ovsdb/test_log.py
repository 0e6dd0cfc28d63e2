"""The database file: what was committed is there again, whatever happened to the process."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pytest

from tests.ovsdb.pair import Client, our_server, real_server
from vswitch.ovsdb.database import Database
from vswitch.ovsdb.errors import OvsdbError
from vswitch.ovsdb.log import DatabaseFile, read_records, record
from vswitch.ovsdb.operations import execute

SCHEMA: Any = {
    "name": "Log", "version": "1.0.0",
    "tables": {"T": {"isRoot": True, "columns": {
        "n": {"type": "integer"},
        "words": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
        "gone": {"type": "string", "ephemeral": True},
    }}},
}  # fmt: skip
STORMS = 200


def rows(db: Database) -> list[tuple[int, list[str]]]:
    return sorted(
        (r.columns["n"].as_scalar(), sorted(r.columns["words"].as_list())) for r in db.tables["T"].values()
    )


def put(file: DatabaseFile, n: int, *words: str) -> None:
    def write(changes: Any, comments: list[str], durable: bool) -> None:
        file.append(changes, comments, durable, 0)

    file.db.writer = write
    row = {"n": n, "words": ["set", list(words)], "gone": "x"}
    outcome = execute(
        file.db, [{"op": "insert", "table": "T", "row": row}, {"op": "comment", "comment": "hi"}]
    )
    assert "error" not in json.dumps(outcome.results)


def test_rows_are_there_after_reopening_except_ephemeral_columns(tmp_path: Path) -> None:
    file = DatabaseFile.open(tmp_path / "db", SCHEMA)
    put(file, 1, "a", "b")
    execute(file.db, [{"op": "mutate", "table": "T", "where": [], "mutations": [["words", "delete", "a"]]}])
    file.close()
    again = DatabaseFile.open(tmp_path / "db")
    assert rows(again.db) == [(1, ["b"])]
    assert [r.columns["gone"].as_scalar() for r in again.db.tables["T"].values()] == [""]
    again.close()


def test_compaction_keeps_the_rows_and_shrinks_the_file(tmp_path: Path) -> None:
    file = DatabaseFile.open(tmp_path / "db", SCHEMA)
    put(file, 0)
    for n in range(100):
        execute(file.db, [{"op": "update", "table": "T", "where": [], "row": {"n": n}}])
    size = file.size
    file.compact(0)
    assert file.size < size / 5
    put(file, 1000)
    file.close()
    again = DatabaseFile.open(tmp_path / "db")
    assert rows(again.db) == [(99, []), (1000, [])]
    again.close()


@pytest.mark.parametrize("cut", [1, 10, 60, 90])
def test_a_torn_tail_is_cut_at_the_last_whole_record(tmp_path: Path, cut: int) -> None:
    file = DatabaseFile.open(tmp_path / "db", SCHEMA)
    put(file, 1)
    whole = file.size
    put(file, 2)
    file.close()
    data = (tmp_path / "db").read_bytes()
    (tmp_path / "db").write_bytes(data[: len(data) - cut])
    again = DatabaseFile.open(tmp_path / "db")
    assert rows(again.db) == [(1, [])]
    assert again.size == whole
    put(again, 3)
    again.close()
    last = DatabaseFile.open(tmp_path / "db")
    assert rows(last.db) == [(1, []), (3, [])]
    last.close()


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    file = DatabaseFile.open(tmp_path / "db", SCHEMA)
    code = (
        "import sys; from pathlib import Path; from vswitch.ovsdb.log import DatabaseFile;"
        "DatabaseFile.open(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "db")],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    file.close()
    assert "another process has the database open" in done.stderr


def test_arbitrary_bytes_are_an_error_and_never_a_crash() -> None:
    rng = random.Random(3)
    good = record(SCHEMA) + record({"T": {"00000000-0000-4000-8000-000000000001": {"n": 5}}})
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        cut = bytes(data[: rng.randrange(len(data) + 1)])
        ends = [0]
        with contextlib.suppress(OvsdbError):
            for _, end in read_records(cut):
                ends.append(end)
        assert ends == sorted(ends)
        assert ends[-1] <= len(cut)
    assert next(value for value, _ in read_records(good)) == SCHEMA


def storm(path: Path, first: int, out: int) -> NoReturn:
    """Commit rows from number `first` on, and write each number to `out` when it is durable; for ever."""
    file = DatabaseFile.open(path)
    file.db.writer = lambda changes, comments, durable: file.append(changes, comments, durable, 0)
    n = first
    while True:
        ops = [{"op": "insert", "table": "T", "row": {"n": n, "words": ["set", ["w" * (n % 500)]]}},
               {"op": "commit", "durable": True}]  # fmt: skip
        assert "error" not in str(execute(file.db, ops).results)
        os.write(out, b"%d\n" % n)
        n += 1


def storm_in_a_process(path: Path, first: int) -> tuple[int, BinaryIO]:
    """(its pid, what it writes). A copy of this process, as two hundred interpreters take long to start."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            storm(path, first, write)
        finally:
            os._exit(1)
    os.close(write)
    return pid, os.fdopen(read, "rb")


@pytest.mark.slow
def test_killed_in_the_middle_of_commit_storms_no_durable_commit_is_lost(tmp_path: Path) -> None:
    rng = random.Random(5)
    path = tmp_path / "db"
    DatabaseFile.open(path, SCHEMA).close()
    promised: set[int] = set()
    for number in range(STORMS):
        pid, said = storm_in_a_process(path, number * 100_000)
        with said:
            first = said.readline()
            time.sleep(rng.random() * 0.03)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            rest = said.read()
        assert first, "the process died before its first commit"
        lines = (first + rest).splitlines(keepends=True)
        promised.update(int(line) for line in lines if line.endswith(b"\n"))
        if number % 20 == 19:
            file = DatabaseFile.open(path)
            have = {n for n, _ in rows(file.db)}
            assert promised <= have
            file.compact(0)
            file.close()
            promised &= have
    assert len(promised) > STORMS


@pytest.mark.system
def test_the_real_tools_read_check_and_compact_our_file_and_we_read_theirs(
    require: Any, tmp_path: Path
) -> None:
    require("command:ovsdb-tool")
    path = tmp_path / "db"
    with our_server(path, SCHEMA) as (sock, _):
        client = Client(sock)
        for n in range(20):
            client.call("transact", "Log", {"op": "insert", "table": "T", "row": {"n": n}})
        client.call("transact", "Log", {"op": "delete", "table": "T", "where": [["n", "<", 15]]})
        client.close()
    tool = ["ovsdb-tool"]
    assert subprocess.check_output([*tool, "db-name", str(path)], text=True) == "Log\n"
    assert "record 21" in subprocess.check_output([*tool, "show-log", str(path)], text=True)
    subprocess.run([*tool, "compact", str(path)], check=True)
    select = {"op": "select", "table": "T", "where": [], "columns": ["n"]}
    with real_server(path, SCHEMA) as sock:
        client = Client(sock)
        theirs = client.call("transact", "Log", select)
        client.call(
            "transact",
            "Log",
            {
                "op": "mutate",
                "table": "T",
                "where": [["n", "==", 16]],
                "mutations": [["words", "insert", "from the real one"]],
            },
        )
        client.call(
            "transact",
            "Log",
            {
                "op": "mutate",
                "table": "T",
                "where": [["n", "==", 16]],
                "mutations": [["words", "insert", ["set", ["more", "words"]]]],
            },
        )
        client.close()
    assert sorted(r["n"] for r in theirs[0]["rows"]) == [15, 16, 17, 18, 19]
    file = DatabaseFile.open(path)
    assert rows(file.db)[1] == (16, ["from the real one", "more", "words"])
    file.close()
