"""Give a database another schema ("convert", ovsdb-server(7)): what fits is kept, the rest goes."""

from __future__ import annotations

from ovs.db.data import Datum

from vswitch.ovsdb.condition import Condition
from vswitch.ovsdb.database import Database, Row, default_columns
from vswitch.ovsdb.errors import Json, OvsdbError, library_errors
from vswitch.ovsdb.transaction import Transaction


def convert(db: Database, schema: Json) -> Database:
    """A new database of `schema` with the content of `db`. OvsdbError if it breaks a constraint."""
    new = Database(schema)
    if new.name != db.name:
        raise OvsdbError("syntax error", f"the schema is for database {new.name}, not {db.name}")
    transaction = Transaction(new)
    for name, table in new.schema.tables.items():
        old = db.schema.tables.get(name)
        if old is None:
            continue
        for row in Transaction(db).rows(name, Condition(())):
            values = default_columns(table)
            for column_name, column in table.columns.items():
                if column_name in old.columns:
                    with library_errors():
                        values[column_name] = Datum.from_json(column.type, row.columns[column_name].to_json())
            transaction.put(name, Row(row.uuid, values))
    transaction.commit()
    return new
