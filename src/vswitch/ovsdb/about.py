"""The `_Server` database: what databases a server has (ovsdb-server(5))."""

from __future__ import annotations

import uuid
from typing import final
from uuid import UUID

import ovs.json

from vswitch.ovsdb.columns import BOOLEAN, INTEGER, STRING, one_of, optional, schema, table
from vswitch.ovsdb.columns import UUID as UUID_COLUMN
from vswitch.ovsdb.database import Changes, Database, Row, default_columns
from vswitch.ovsdb.datum import datum_from_json

SERVER = schema(
    "_Server",
    "1.2.0",
    table(
        "Database",
        root=True,
        name=STRING,
        model=one_of("standalone", "clustered", "relay"),
        connected=BOOLEAN,
        leader=BOOLEAN,
        schema=optional(STRING),
        cid=optional(UUID_COLUMN),
        sid=optional(UUID_COLUMN),
        index=optional(INTEGER),
    ),
)


@final
class About(Database):
    """The `_Server` database, with a row for each database that is served."""

    def __init__(self) -> None:
        super().__init__(SERVER)
        self.read_only = True
        self._rows: dict[str, UUID] = {}
        self.describe(self)

    def describe(self, db: Database) -> None:
        """Say that `db` is served, or what its schema is now."""
        table = self.schema.tables["Database"]
        row_uuid = self._rows.setdefault(db.name, uuid.uuid4())
        values = default_columns(table)
        for name, value in (
            ("name", db.name),
            ("model", "standalone"),
            ("connected", True),
            ("leader", True),
            ("schema", ovs.json.to_string(db.schema_json)),
        ):
            values[name] = datum_from_json(table.columns[name].type, value)
        changes: Changes = {
            "Database": {row_uuid: (self.tables["Database"].get(row_uuid), Row(row_uuid, values))}
        }
        self.apply(changes)

    def forget(self, db: Database) -> None:
        """Say that `db` is no longer served."""
        row_uuid = self._rows.pop(db.name)
        self.apply({"Database": {row_uuid: (self.tables["Database"][row_uuid], None)}})
