"""Random transactions and monitors, given to our server and to the real one: same replies, rows, updates."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.ovsdb.pair import Client, our_server, real_server

pytestmark = pytest.mark.system

Json = Any
TRANSACTIONS = 2000
SCHEMA: Json = {
    "name": "Fuzz", "version": "1.0.0",
    "tables": {
        "Root": {"isRoot": True, "indexes": [["name"]], "maxRows": 12, "columns": {
            "name": {"type": "string"},
            "number": {"type": {"key": {"type": "integer", "minInteger": -50, "maxInteger": 50}}},
            "real": {"type": "real"},
            "flag": {"type": "boolean"},
            "maybe": {"type": {"key": "integer", "min": 0, "max": 1}},
            "numbers": {"type": {"key": "integer", "min": 0, "max": 4}},
            "words": {"type": {"key": {"type": "string", "enum": ["set", ["a", "b", "c", "d"]]}, "min": 0,
                               "max": "unlimited"}},
            "map": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            "fixed": {"type": "string", "mutable": False},
            "leaves": {"type": {"key": {"type": "uuid", "refTable": "Leaf"}, "min": 0, "max": "unlimited"}},
            "friend": {"type": {"key": {"type": "uuid", "refTable": "Root", "refType": "weak"}, "min": 0,
                                "max": "unlimited"}},
            "short": {"type": {"key": {"type": "string", "maxLength": 3}}, "ephemeral": True},
        }},
        "Leaf": {"columns": {
            "label": {"type": "string"},
            "next": {"type": {"key": {"type": "uuid", "refTable": "Leaf"}, "min": 0, "max": 1}},
            "owner": {"type": {"key": {"type": "uuid", "refTable": "Root", "refType": "weak"}, "min": 0,
                               "max": 1}},
        }},
    },
}  # fmt: skip


class Generator:
    """Seeded transactions over `SCHEMA`; about one in four operations has something wrong."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.rows: list[str] = []
        self.next_uuid = 1

    def new_uuid(self) -> str:
        self.next_uuid += 1
        made = f"00000000-0000-4000-8000-{self.next_uuid:012x}"
        self.rows.append(made)
        self.rows = self.rows[-60:]
        return made

    def pick(self, *choices: Json) -> Json:
        return self.rng.choice(choices)

    def reference(self) -> Json:
        if self.rows and self.rng.random() < 0.8:
            return ["uuid", self.rng.choice(self.rows)]
        return ["named-uuid", self.pick("n1", "n2", "n3")]

    def value(self, column: str) -> Json:
        rng = self.rng
        match column:
            case "name" | "label" | "fixed":
                return self.pick("x", "y", "z", f"r{rng.randrange(20)}", 7 if rng.random() < 0.1 else "w")
            case "number":
                return rng.randrange(-60, 60)
            case "real":
                return self.pick(1, 0.5, -2.25, 1e10)
            case "flag":
                return self.pick(True, False, 1 if rng.random() < 0.2 else True)
            case "maybe":
                return self.pick(["set", []], 3, ["set", [4]], ["set", [1, 2]])
            case "numbers":
                return ["set", rng.sample(range(8), rng.randrange(6))]
            case "words":
                return [
                    "set",
                    rng.sample(["a", "b", "c", "d", "e"][: self.pick(4, 4, 4, 5)], rng.randrange(4)),
                ]
            case "map":
                return ["map", [[k, self.pick("1", "2")] for k in rng.sample("pqrs", rng.randrange(4))]]
            case "leaves" | "friend":
                return ["set", [self.reference() for _ in range(rng.randrange(3))]]
            case "next" | "owner":
                return self.pick(["set", []], self.reference(), self.reference())
            case "short":
                return self.pick("ab", "abc", "abcd")
        raise AssertionError(column)

    def columns(self, table: str) -> list[str]:
        return list(SCHEMA["tables"][table]["columns"])

    def row(self, table: str) -> Json:
        """A few columns. Where two are wrong the real server names either: so at most one is."""
        if self.rng.random() < 0.03:
            return {"nothing": 1}
        if self.rng.random() < 0.2:
            name = self.rng.choice(self.columns(table))
            return {name: self.value(name)}
        names = self.rng.sample(self.columns(table), self.rng.randrange(1, 4))
        return {n: self.good(n) for n in names}

    def good(self, column: str) -> Json:
        """A value that the column takes."""
        bad = {"name": (7,), "label": (7,), "fixed": (7,), "flag": (1,), "short": ("abcd",)}
        while True:
            value = self.value(column)
            if column in bad and value in bad[column] and type(value) is type(bad[column][0]):
                continue
            if column == "number" and not -50 <= value <= 50:
                continue
            if column == "maybe" and value == ["set", [1, 2]]:
                continue
            if column == "numbers" and len(value[1]) > 4:
                continue
            if column == "words" and "e" in value[1]:
                continue
            if column in ("leaves", "friend") and len({repr(v) for v in value[1]}) < len(value[1]):
                continue
            return value

    def where(self, table: str) -> Json:
        rng = self.rng
        clauses = []
        for _ in range(self.pick(0, 1, 1, 1, 2)):
            if rng.random() < 0.4 and self.rows:
                clauses.append(["_uuid", self.pick("==", "!=", "includes"), ["uuid", rng.choice(self.rows)]])
                continue
            column = rng.choice(self.columns(table))
            value = self.value(column)
            function = self.pick("==", "!=", "includes", "excludes", "<", ">", "<=", ">=")
            clauses.append([column, function, value])
        return clauses

    def mutation(self, table: str) -> Json:
        column = self.rng.choice(self.columns(table))
        if column in ("number", "real", "numbers", "maybe") and self.rng.random() < 0.7:
            return [column, self.pick("+=", "-=", "*=", "/=", "%="), self.pick(0, 1, 2, 3, -7)]
        return [column, self.pick("insert", "delete"), self.value(column)]

    def operation(self) -> Json:
        table = self.pick("Root", "Root", "Leaf", "Leaf" if self.rng.random() < 0.9 else "Nowhere")
        if table == "Nowhere":
            return {"op": "select", "table": table, "where": []}
        match self.rng.randrange(12):
            case 0 | 1 | 2 | 3:
                made = {"op": "insert", "table": table, "row": self.row(table)}
                if self.rng.random() < 0.4:
                    return {**made, "uuid-name": self.pick("n1", "n2", "n3")}
                return {**made, "uuid": self.new_uuid()}
            case 4 | 5:
                return {"op": "update", "table": table, "where": self.where(table), "row": self.row(table)}
            case 6 | 7:
                return {
                    "op": "mutate",
                    "table": table,
                    "where": self.where(table),
                    "mutations": [self.mutation(table) for _ in range(self.pick(1, 1, 2))],
                }
            case 8:
                return {"op": "delete", "table": table, "where": self.where(table)}
            case 9:
                return {
                    "op": "select",
                    "table": table,
                    "where": self.where(table),
                    "columns": self.rng.sample(self.columns(table), 2),
                }
            case 10:
                return {
                    "op": "wait",
                    "table": table,
                    "timeout": 0,
                    "where": self.where(table),
                    "columns": ["name" if table == "Root" else "label"],
                    "until": self.pick("==", "!="),
                    "rows": [{("name" if table == "Root" else "label"): "x"}],
                }
            case _:
                return self.pick(
                    {"op": "comment", "comment": "hello"},
                    {"op": "commit", "durable": False},
                    {"op": "abort"},
                    {"op": "assert", "lock": "mine"},
                    {"op": "frob"},
                    {"op": "comment"},
                )

    def transaction(self) -> list[Json]:
        ops = [self.operation() for _ in range(self.pick(1, 1, 2, 3, 4))]
        leaves = [op for op in ops if op.get("op") == "insert" and op["table"] == "Leaf"]
        if leaves and self.rng.random() < 0.8:
            refs = [
                ["named-uuid", op["uuid-name"]] if "uuid-name" in op else ["uuid", op["uuid"]]
                for op in leaves
            ]
            ops.append(
                {
                    "op": "mutate",
                    "table": "Root",
                    "where": [],
                    "mutations": [["leaves", "insert", ["set", refs]]],
                }
            )
        return ops


def normal(value: Json, names: dict[str, str]) -> Json:
    """Without what may differ: error details, order, and UUIDs that a server chose."""
    if isinstance(value, dict):
        if "error" in value:
            return value["error"]
        return {k: normal(v, names) for k, v in sorted(value.items()) if k != "_version"}
    if isinstance(value, list):
        if len(value) == 2 and value[0] == "uuid":
            return ["uuid", names.get(value[1], value[1] if value[1].startswith("00000000") else "dangling")]
        made = [normal(v, names) for v in value]
        if len(value) == 2 and value[0] in ("set", "map"):
            return [value[0], sorted(made[1], key=repr)]
        return made
    return int(value) if isinstance(value, float) and value.is_integer() else value


def normal_reply(reply: Json, ops: list[Json], names: dict[str, str], number: int) -> Json:
    """`reply` with the UUIDs of named inserts replaced by the number of the insert."""
    if isinstance(reply, list):
        for n, result in enumerate(reply):
            if isinstance(result, dict) and "uuid" in result:
                names.setdefault(
                    result["uuid"][1], result["uuid"][1] if "uuid" in ops[n] else f"row {number}.{n}"
                )
    made = normal(reply, names)
    if isinstance(made, list):
        return [
            dict(r, rows=sorted(r["rows"], key=repr)) if isinstance(r, dict) and "rows" in r else r
            for r in made
        ]
    return made


def contents(client: Client, names: dict[str, str]) -> Json:
    """All rows of all tables."""
    ops = [{"op": "select", "table": t, "where": []} for t in SCHEMA["tables"]]
    reply = client.call("transact", "Fuzz", *ops)
    return normal_reply(reply, ops, names, -1)


def test_random_transactions_have_the_real_servers_results(require: Any, tmp_path: Path) -> None:
    require("command:ovsdb-server")
    generator = Generator(20)
    with (
        our_server(tmp_path / "ours.db", SCHEMA) as (ours, _),
        real_server(tmp_path / "real.db", SCHEMA) as real,
    ):
        us, them = Client(ours), Client(real)
        our_names: dict[str, str] = {}
        their_names: dict[str, str] = {}
        committed = 0
        for number in range(TRANSACTIONS):
            ops = generator.transaction()
            mine = normal_reply(us.call("transact", "Fuzz", *ops), ops, our_names, number)
            theirs = normal_reply(them.call("transact", "Fuzz", *ops), ops, their_names, number)
            assert mine == theirs, (number, ops)
            committed += all(not isinstance(r, str) and r is not None for r in mine)
            if number % 50 == 0:
                assert contents(us, our_names) == contents(them, their_names), (number, ops)
        assert contents(us, our_names) == contents(them, their_names)
        assert committed > TRANSACTIONS / 10


KINDS = ("initial", "insert", "delete", "modify")
METHODS = ("monitor", "monitor_cond", "monitor_cond_since")


def monitor(generator: Generator) -> tuple[str, Json]:
    """A method and its requests: any columns, those that every table has too, and any kinds of change."""
    rng = generator.rng
    method = rng.choice(METHODS)
    requests: dict[str, Json] = {}
    for table in rng.sample(["Root", "Leaf"], rng.choice((1, 1, 2))):
        names = [*generator.columns(table), "_uuid", "_version"]
        rng.shuffle(names)
        each: list[Json] = []
        for _ in range(rng.choice((1, 1, 2))):
            n = rng.randrange(1, 5)
            request: dict[str, Json] = {"columns": names[:n]}
            del names[:n]
            if rng.random() < 0.5:
                request["select"] = {kind: rng.random() < 0.6 for kind in KINDS if rng.random() < 0.7}
            each.append(request)
        if rng.random() < 0.15:
            each = [{"select": each[0]["select"]} if "select" in each[0] else {}]
        elif rng.random() < 0.1:
            each[0]["columns"] = [*each[0]["columns"], rng.choice(("nosuch", each[0]["columns"][0]))]
        if method != "monitor" and rng.random() < 0.4:
            each = each[:1]
            each[0]["where"] = [["number", "!=", 3] if table == "Root" else ["label", "!=", "x"]]
        requests[table] = each if len(each) > 1 or rng.random() < 0.5 else each[0]
    return method, requests


def condition(generator: Generator, requests: Json) -> Json:
    """New conditions for a table of a monitor. Of two the real server would take one that is right though the
    other is wrong."""
    rng = generator.rng
    table = rng.choice(sorted(requests))
    return {table: [{"where": rng.choice(([], [True], [False], generator.where(table)))}]}


def normal_update(tables: Json, names: dict[str, str]) -> Json:
    """Updates by table and row, the rows' UUIDs as `normal` has them, without those of a new version only:
    the real server gives one for a weak reference to nothing, which it takes out again; ours does not."""
    if "rpc-error" in tables:
        return normal(tables["rpc-error"], names)
    found: dict[str, Json] = {}
    for table, rows in tables.items():
        told = {names.get(row, row): normal(update, names) for row, update in rows.items()}
        told = {row: u for row, u in told.items() if u.get("old", 1) != {} and u.get("modify", 1) != {}}
        if told:
            found[table] = told
    return found


class Watcher:
    """A client that changes and watches; what it hears is in a form in which two can be compared."""

    def __init__(self, path: str) -> None:
        self.client = Client(path)
        self.names: dict[str, str] = {}

    def watch(self, number: int, method: str, requests: Json) -> Json:
        since = ["00000000-0000-0000-0000-000000000000"] if method.endswith("since") else []
        reply = self.client.call(method, "Fuzz", number, requests, *since)
        if isinstance(reply, list):
            reply = reply[2]
        return normal_update(reply, self.names)

    def change(self, ops: list[Json], number: int) -> Json:
        reply = self.client.call("transact", "Fuzz", *ops)
        said = normal_reply(reply, ops, self.names, number)
        self.client.call("echo")
        heard = [
            (m["params"][0], m["method"], update)
            for m in self.client.notified
            if (update := normal_update(m["params"][-1], self.names))
        ]
        self.client.notified.clear()
        return said, sorted(heard, key=repr)


def test_random_monitors_hear_what_the_real_servers_do(require: Any, tmp_path: Path) -> None:
    require("command:ovsdb-server")
    generator = Generator(1)  # with some others the real server crashes
    with (
        our_server(tmp_path / "ours.db", SCHEMA) as (ours, _),
        real_server(tmp_path / "real.db", SCHEMA) as real,
    ):
        us, them = Watcher(ours), Watcher(real)
        watched: dict[int, tuple[str, Json]] = {}
        heard = 0
        for number in range(TRANSACTIONS // 4):
            if number % 5 == 0:
                watched[number] = monitor(generator)
                asked = number, *watched[number]
                assert us.watch(*asked) == them.watch(*asked), asked
            if number % 5 == 2 and number > 20:
                changing = generator.rng.choice([n for n in watched if watched[n][0] != "monitor"])
                changes = condition(generator, watched[changing][1])
                mine, theirs = (
                    normal(w.client.call("monitor_cond_change", changing, changing, changes), w.names)
                    for w in (us, them)
                )
                assert mine == theirs, (changing, changes)
            if number % 5 == 4 and number > 60:
                gone = generator.rng.randrange(number // 5) * 5
                assert us.client.call("monitor_cancel", gone) == them.client.call("monitor_cancel", gone)
            ops = generator.transaction()
            mine, theirs = us.change(ops, number), them.change(ops, number)
            assert mine == theirs, (number, ops)
            heard += len(mine[1])
        assert heard > TRANSACTIONS // 5
