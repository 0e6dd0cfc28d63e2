"""Requests that are wrong in any way: an error each, and nothing lost."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ovsdb.pair import Client, our_server
from tests.whole import ALL
from vswitch.base.clock import Clock
from vswitch.ovsdb.errors import OvsdbError
from vswitch.ovsdb.log import DatabaseFile
from vswitch.ovsdb.remotes import session_failed
from vswitch.ovsdb.server import Server
from vswitch.ovsdb.vswitch_schema import VSWITCH

ROW = "94b7eee6-3b3b-4260-bc95-fece1027d6b2"
DB = "Open_vSwitch"
SMALL = {
    "name": DB, "version": "1.0.0",
    "tables": {"T": {
        "columns": {"a": {"type": {"key": "string", "min": 0, "max": "unlimited"}}}, "indexes": [["a"]],
    }},
}  # fmt: skip
OPERATIONS: list[list[Any]] = [
    [
        {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {
            "name": "x", "ports": ["set", [["named-uuid", "p"]]], "other_config": ["map", [["a", "b"]]],
        }},
        {"op": "insert", "table": "Port", "uuid-name": "p", "row": {"name": "p", "trunks": ["set", [1, 2]]}},
    ],
    [{"op": "select", "table": "Bridge", "columns": ["name", "_uuid"], "where": [
        ["name", "==", "x"], ["flood_vlans", "includes", ["set", [1]]], ["_uuid", "!=", ["uuid", ROW]],
    ]}],
    [
        {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [
            ["next_cfg", "+=", 1], ["bridges", "insert", ["uuid", ROW]],
            ["other_config", "delete", ["map", [["a", "b"]]]],
        ]},
        {"op": "update", "table": "Port", "where": [["tag", "<", 3]], "row": {"tag": ["set", []]}},
    ],
    [
        {"op": "wait", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"], "until": "==",
         "rows": [{"next_cfg": 0}], "timeout": 0},
        {"op": "comment", "comment": "x"}, {"op": "commit", "durable": False}, {"op": "assert", "lock": "l"},
        {"op": "delete", "table": "Port", "where": []}, {"op": "abort"},
    ],
]  # fmt: skip
MONITORS: list[tuple[str, list[Any]]] = [
    ("monitor_cond", [DB, ["m"], {"Bridge": [
        {"columns": ["name"], "select": {"insert": False}, "where": [["name", "==", "x"]]},
    ]}]),
    ("monitor", [DB, "m2", {"Bridge": {"columns": ["name"]}, "Port": [{"columns": ["tag"]}]}]),
    ("monitor_cond_since", [DB, 3, {"Bridge": [{"columns": ["name"]}]}, ROW]),
    ("monitor_cond_change", [["m"], ["m"], {"Bridge": [{"where": [["name", "!=", "y"]]}]}]),
]  # fmt: skip
REQUESTS: list[dict[str, Any]] = [
    {"method": method, "id": 1, "params": params}
    for method, params in (
        *(("transact", [DB, *operations]) for operations in OPERATIONS),
        *MONITORS,
        ("monitor_cancel", ["m2"]), ("lock", ["l"]), ("unlock", ["l"]), ("steal", ["l"]), ("echo", [1]),
        ("get_schema", [DB]), ("list_dbs", []), ("set_db_change_aware", [True]), ("get_server_id", []),
        ("convert", [DB, SMALL]),
    )
]  # fmt: skip
JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 3.5, float("inf"), 2**63, 2**70, "", "x", "==", "includes", "set", "map",
    "uuid", "named-uuid", ROW, "_uuid", "_version", "name", "tag", "Bridge", DB, "\ud800", "a" * 70,
    [], {}, [[]], ["set", [[]]], ["set", [{}]], ["set", 5], ["map", [[]]], ["map", [["a"]]],
    ["map", [[[], {}]]], ["uuid", "x"], ["uuid", ROW], ["uuid", 5], ["named-uuid", []], ["named-uuid", "q"],
    {"a": {}}, [1, 2, 3],
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each part of a piece of JSON, its own (empty) first."""
    yield path
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places(part, (*path, name))
    elif isinstance(value, list):
        for n, part in enumerate(value):
            yield from places(part, (*path, n))


def spoiled(rng: random.Random, request: dict[str, Any]) -> dict[str, Any]:
    """`request` with one to three parts replaced, taken out or put in."""
    made = copy.deepcopy(request)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not made:
            break
        path = rng.choice([p for p in places(made) if p])
        inside: Any = made
        for step in path[:-1]:
            inside = inside[step]
        junk = copy.deepcopy(rng.choice(JUNK))
        way = rng.randrange(5)
        if way == 0 and isinstance(inside, list):
            inside.insert(path[-1], junk)
        elif way == 1:
            del inside[path[-1]]
        elif way == 2 and isinstance(inside, dict):
            inside[rng.choice(("x", "op", "where", "columns", "uuid", "uuid-name"))] = junk
        else:
            inside[path[-1]] = junk
    return made


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.whole) for n in range(2, 12))])
def test_no_request_is_more_than_an_error(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    server = Server(Clock())
    file = DatabaseFile.open(tmp_path / "x.db", VSWITCH)
    server.add(file)
    replies: list[Any] = []
    session = server.connect("client", replies.append)
    n_errors = 0
    for n in range(10_000 if ALL else 2_000):
        if n % 200 == 0:
            server.disconnect(session)
            session = server.connect("client", replies.append)
            for good in (REQUESTS[0], *REQUESTS[4:7]):
                session.handle(copy.deepcopy(good))
        replies.clear()
        try:
            session.handle(spoiled(rng, rng.choice(REQUESTS)))
        except OvsdbError:  # not even JSON-RPC: the connection ends
            n_errors += 1
        server.run()
        n_errors += any("error" in str(reply) for reply in replies)
    assert n_errors > 1_000
    file.close()


def test_a_request_that_meets_a_mistake_costs_its_client_and_not_the_others(tmp_path: Path) -> None:
    with our_server(tmp_path / "a.db", VSWITCH) as (sock, server):
        unlucky, other = Client(sock), Client(sock)
        assert other.call("echo", 1) == [1]

        def fails(*_: object) -> None:
            raise RuntimeError("a mistake")

        before = session_failed.total
        database = server.databases[DB]
        writer, database.writer = database.writer, fails
        insert = [DB, {"op": "insert", "table": "Open_vSwitch", "row": {"next_cfg": 1}}]
        with pytest.raises(ConnectionError):
            unlucky.call("transact", *insert)
        assert session_failed.total == before + 1
        database.writer = writer
        assert "uuid" in other.call("transact", *insert)[0]
        other.close()
        unlucky.close()
