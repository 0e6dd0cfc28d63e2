"""Monitors: what a client wants to hear of, and the updates that tell it (RFC 7047 section 4.1.5).

Three dialects share one `Monitor`: "monitor" (the RFC: old and new values), "monitor_cond" and
"monitor_cond_since" (ovsdb-server(7): initial, insert, modify as a difference, delete; a
condition on rows). Composing is pure: changes in, JSON out, None where there is nothing to tell.
"""

from __future__ import annotations

from ovs.db.data import Datum
from ovs.db.schema import TableSchema

from vswitch.base.records import dataclass, field
from vswitch.ovsdb.condition import Condition, column_value, parse_condition
from vswitch.ovsdb.database import Changes, Database, Row, differ
from vswitch.ovsdb.errors import Json, OvsdbError, member, no_others, syntax_error

KINDS = ("initial", "insert", "delete", "modify")


@dataclass
class Watch:
    """What of one table: `columns` -> the kinds of change it is reported for, and a condition."""

    columns: dict[str, frozenset[str]]
    condition: Condition
    _named: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def wants(self, kind: str) -> bool:
        """Whether any column is reported for `kind`."""
        return bool(self.named(kind))

    def named(self, kind: str) -> tuple[str, ...]:
        """The columns that are reported for `kind`."""
        found = self._named.get(kind)
        if found is None:
            found = tuple(name for name, kinds in self.columns.items() if kind in kinds)
            self._named[kind] = found
        return found


def difference(before: Datum, after: Datum) -> Json:
    """How to get from `before` to `after` (ovsdb-server(7), "update2").

    Sets: the elements in only one of them. Maps: pairs to set, and pairs to take away.
    A column for one value: the new value.
    """
    type = after.type
    if type.n_max == 1:
        return after.to_json()
    old, new = before.values, after.values
    values = {k: v for k, v in new.items() if k not in old or old[k] != v}
    values.update({k: v for k, v in old.items() if k not in new})
    return Datum(type, values).to_json()


def changed(before: Row | None, after: Row | None, column: str) -> bool:
    """Whether the row was there before and after, with another value in `column`."""
    return (
        before is not None
        and after is not None
        and differ(column_value(before, column), column_value(after, column))
    )


@dataclass
class Monitor:
    """One monitor of one client. `conditional` says which of the dialects it speaks."""

    db: Database
    id: Json
    watches: dict[str, list[Watch]]
    conditional: bool
    since: bool = False

    def initial(self) -> Json:
        """All rows, for the reply to the request."""
        tables: dict[str, Json] = {}
        for name, watches in self.watches.items():
            rows: dict[str, Json] = {}
            for row in self.db.tables[name].values():
                update = self._row(name, watches, None, row, "initial")
                if update is not None:
                    rows[str(row.uuid)] = update
            if rows:
                tables[name] = rows
        return tables

    def update(self, changes: Changes) -> Json | None:
        """What to tell of a commit."""
        tables: dict[str, Json] = {}
        for name, watches in self.watches.items():
            rows: dict[str, Json] = {}
            for row_uuid, (before, after) in changes.get(name, {}).items():
                update = self._row(name, watches, before, after)
                if update is not None:
                    rows[str(row_uuid)] = update
            if rows:
                tables[name] = rows
        return tables or None

    def change_conditions(self, changed: dict[str, list[Condition]]) -> Json | None:
        """Replace tables' conditions; returns the update for what comes into and out of view."""
        tables: dict[str, Json] = {}
        for name, conditions in changed.items():
            old = self.watches[name]
            new = [Watch(w.columns, c) for w, c in zip(old, conditions * len(old), strict=False)]
            rows: dict[str, Json] = {}
            for row in self.db.tables[name].values():
                saw = any(w.condition.holds_any(row) for w in old)
                sees = any(w.condition.holds_any(row) for w in new)
                if saw and not sees:
                    if any(w.wants("delete") or not w.columns for w in old):
                        rows[str(row.uuid)] = {"delete": None}
                elif sees and not saw:
                    made = self._conditional_row(name, new, None, row, "insert")
                    if made is not None:
                        rows[str(row.uuid)] = made
            self.watches[name] = new
            if rows:
                tables[name] = rows
        return tables or None

    def _row(
        self, name: str, watches: list[Watch], before: Row | None, after: Row | None, kind: str = ""
    ) -> Json | None:
        if not self.conditional:
            return self._rfc_row(watches, before, after, kind)
        return self._conditional_row(name, watches, before, after, kind)

    def _rfc_row(self, watches: list[Watch], before: Row | None, after: Row | None, kind: str) -> Json | None:
        kind = kind or ("insert" if before is None else "delete" if after is None else "modify")
        # A change of a column that is not reported for "modify" still reports the row, as the real
        # server does.
        old: dict[str, Json] = {}
        new: dict[str, Json] = {}
        told = False
        for watch in watches:
            for column in watch.named(kind):
                told = True
                if before is not None and (kind == "delete" or changed(before, after, column)):
                    old[column] = column_value(before, column).to_json()
                if after is not None:
                    new[column] = column_value(after, column).to_json()
        if not told and not any(w.wants(kind) or not w.columns for w in watches):
            return None
        if kind == "modify" and not any(changed(before, after, c) for w in watches for c in w.columns):
            return None
        made: dict[str, Json] = {}
        if kind in ("delete", "modify"):
            made["old"] = old
        if kind != "delete":
            made["new"] = new
        return made

    def _conditional_row(
        self, name: str, watches: list[Watch], before: Row | None, after: Row | None, kind: str = ""
    ) -> Json | None:
        seen = [w for w in watches if after is not None and w.condition.holds_any(after)]
        saw = any(before is not None and w.condition.holds_any(before) for w in watches)
        if not kind:
            if seen:
                kind = "modify" if saw else "insert"
            elif saw:
                kind = "delete"
            else:
                return None
        elif not seen:
            return None
        active = seen or watches
        if not any(w.wants(kind) or not w.columns for w in active):
            return None
        if kind == "delete":
            return {"delete": None}
        assert after is not None
        columns: dict[str, Json] = {}
        defaults = self.db.defaults[name]
        for watch in active:
            for column in watch.named(kind):
                now = column_value(after, column)
                if kind == "modify":
                    assert before is not None
                    was = column_value(before, column)
                    if differ(was, now):
                        columns[column] = difference(was, now)
                elif column not in defaults or differ(defaults[column], now):
                    columns[column] = now.to_json()
        if kind == "modify" and not columns:
            return None
        return {kind: columns}


def parse_select(json: Json) -> frozenset[str]:
    """A <monitor-select>: the kinds that are wanted; all of them by default."""
    if json is None:
        return frozenset(KINDS)
    no_others(json, *KINDS)
    return frozenset(kind for kind in KINDS if member(json, kind, bool, default=True))


def parse_watch(table: TableSchema, json: Json, conditional: bool, taken: set[str]) -> Watch:
    """One <monitor-request>."""
    if not isinstance(json, dict):
        raise syntax_error("a monitor request is an object", json)
    no_others(json, "columns", "select", *(("where",) if conditional else ()))
    kinds = parse_select(member(json, "select", dict, default=None))
    names = member(json, "columns", list, default=None)
    columns: dict[str, frozenset[str]] = {}
    for name in ["_version", *sorted(table.columns)] if names is None else names:
        if not isinstance(name, str):
            raise syntax_error("a column's name is a string", json)
        if name not in table.columns and name not in ("_uuid", "_version"):
            raise syntax_error(f"{name} is not a valid column name", json)
        if name in taken:
            raise syntax_error(f"column {name} mentioned more than once", json)
        taken.add(name)
        columns[name] = kinds
    condition = parse_condition(table, json["where"]) if "where" in json else Condition(())
    return Watch(columns, condition)


def parse_monitor(db: Database, id: Json, requests: Json, conditional: bool, since: bool = False) -> Monitor:
    """The monitor that a request asks for; OvsdbError names what is wrong with it."""
    if not isinstance(requests, dict):
        raise syntax_error("monitor requests are an object", requests)
    watches: dict[str, list[Watch]] = {}
    for name, json in requests.items():
        table = db.schema.tables.get(name)
        if table is None:
            raise syntax_error(f"no table named {name}", requests)
        taken: set[str] = set()
        each = json if isinstance(json, list) else [json]
        watches[name] = [parse_watch(table, one, conditional, taken) for one in each]
    return Monitor(db, id, watches, conditional, since)


def parse_condition_changes(monitor: Monitor, json: Json) -> dict[str, list[Condition]]:
    """The tables' new conditions in a "monitor_cond_change" request."""
    if not isinstance(json, dict):
        raise syntax_error("condition changes are an object", json)
    changed: dict[str, list[Condition]] = {}
    for name, requests in json.items():
        if name not in monitor.watches:
            raise OvsdbError("syntax error", f"no table named {name} in the monitor", json)
        each = requests if isinstance(requests, list) else [requests]
        conditions: list[Condition] = []
        for request in each:
            if not isinstance(request, dict):
                raise syntax_error("a condition change is an object", request)
            no_others(request, "where", "columns")
            where = member(request, "where", list, bool, default=[])
            conditions.append(
                parse_condition(monitor.db.schema.tables[name], [where] if isinstance(where, bool) else where)
            )
        changed[name] = conditions
    return changed
