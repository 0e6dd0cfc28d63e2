"""The commands on any table's records: list, find, get, set, add, remove, clear, create, destroy,
wait-until (ovs-vsctl(8), "Database Commands")."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import ovs.db.types
from ovs.db.data import Atom, Datum
from ovs.db.schema import TableSchema
from ovs.db.types import BaseType, Type

from vswitch.cli.tables import Cell, Table
from vswitch.cli.vsctl import values
from vswitch.cli.vsctl.errors import TryLater, VsctlError
from vswitch.cli.vsctl.line import Context
from vswitch.cli.vsctl.replica import Edit, Record, column_named, table_named

FULL_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
PART_OF_UUID: Final = re.compile(r"[0-9a-fA-F-]{4,36}\Z")

OWN_NAME: Final = {
    "Bridge": "name", "Interface": "name", "Port": "name", "Mirror": "name", "Flow_Table": "name",
    "Manager": "target", "Flow_Sample_Collector_Set": "id",
}  # fmt: skip
"""The column by which a table's records are called."""
OWNERS: Final = {
    "AutoAttach": ("Bridge", "auto_attach"), "Controller": ("Bridge", "controller"),
    "IPFIX": ("Bridge", "ipfix"), "NetFlow": ("Bridge", "netflow"), "sFlow": ("Bridge", "sflow"),
    "QoS": ("Port", "qos"),
}  # fmt: skip
"""Records that are called by the name of the record that refers to them."""
UUID_TYPE: Final = Type(BaseType(ovs.db.types.UuidType))


# Which record.


def find_record(edit: Edit, table: TableSchema, name: str) -> Record | None:
    """The record that `name` stands for ("." is the only one there is). VsctlError if there are several."""
    if FULL_UUID.match(name):
        record = edit.find(table.name, UUID(name))
        if record is not None:
            return record
    found: list[Record] = []
    if table.name in OWN_NAME:
        column = OWN_NAME[table.name]
        found = [r for r in edit.rows(table.name) if _called(r, column) == name]
    elif table.name in OWNERS:
        owner, column = OWNERS[table.name]
        for record in edit.rows(owner):
            if record.text("name") == name:
                found += edit.referenced(record, column)
    if not found and PART_OF_UUID.match(name):
        found = [r for r in edit.rows(table.name) if str(r.uuid).startswith(name.lower())]
    if not found and name == ".":
        only = list(edit.rows(table.name))
        return only[0] if len(only) == 1 else None
    if len(found) > 1:
        raise VsctlError(f'multiple rows in {table.name} match "{name}"')
    return found[0] if found else None


def _called(record: Record, column: str) -> str:
    atoms = record.get(column).values
    return str(next(iter(atoms)).value) if atoms else ""


def the_record(context: Context, table: TableSchema, name: str) -> Record | None:
    """The record called `name`; None where --if-exists allows that there is none."""
    record = find_record(context.edit, table, name)
    if record is None and "if-exists" not in context.options:
        raise VsctlError(f'no row "{name}" in table {table.name}')
    return record


def the_table(context: Context) -> TableSchema:
    """The table that the first argument names."""
    return table_named(context.edit.schema, context.arg(0))


def value_of(record: Record, column: str) -> Datum:
    """A column's value, "_uuid" among them."""
    if column == "_uuid":
        return Datum(UUID_TYPE, {Atom(ovs.db.types.UuidType, record.uuid): None})
    return record.get(column)


def changeable(table: TableSchema, column: str) -> None:
    """VsctlError if the column can't be changed in a row that exists."""
    if not table.columns[column].mutable:
        raise VsctlError(f"cannot modify read-only column {column} in table {table.name}")


# Showing.


def chosen_columns(context: Context, table: TableSchema) -> list[str]:
    """What --columns asks for, else all."""
    wanted = context.options.get("columns")
    if wanted is None:
        return ["_uuid", *sorted(table.columns)]
    names = [name for name in re.split(r"[, ]+", wanted) if name]
    if not names:
        raise VsctlError("must specify at least one column name")
    return [column_named(table, name, uuid=True) for name in names]


def _row(record: Record, columns: Sequence[str]) -> list[Cell]:
    cells = []
    for column in columns:
        datum = value_of(record, column)
        cells.append(Cell(values.datum_text(datum), values.datum_bare(datum), datum.to_json()))
    return cells


def list_records(context: Context) -> None:
    """`list TABLE [RECORD]...`"""
    table = the_table(context)
    columns = chosen_columns(context, table)
    context.table = Table(columns)
    names = context.args[1:]
    if not names:
        found = sorted(context.edit.rows(table.name), key=lambda r: r.uuid)
    else:
        found = [r for name in names if (r := the_record(context, table, name)) is not None]
    context.table.rows += [_row(record, columns) for record in found]


def find_records(context: Context) -> None:
    """`find TABLE [CONDITION]...`"""
    table = the_table(context)
    columns = chosen_columns(context, table)
    context.table = Table(columns)
    if not list(context.edit.rows(table.name)):
        # A condition that can't be is reported even where there is nothing to compare.
        return
    for record in sorted(context.edit.rows(table.name), key=lambda r: r.uuid):
        if _satisfies(context, table, record, context.args[1:]):
            context.table.rows.append(_row(record, columns))


def _satisfies(context: Context, table: TableSchema, record: Record, conditions: Sequence[str]) -> bool:
    return all(values.matches(record.get, table, c, context.symbols.mention) for c in conditions)


def get_columns(context: Context) -> None:
    """`get TABLE RECORD [COLUMN[:KEY]]...`"""
    table = the_table(context)
    name = context.options.get("id")
    if name is not None and "if-exists" in context.options:
        raise VsctlError('"--if-exists" and "--id" may not be specified together')
    record = the_record(context, table, context.arg(1))
    if record is None:
        return
    if name is not None:
        context.symbols.define(name, table.name, record.uuid)
    for text in context.args[2:]:
        argument = values.split_argument(table, text, (), uuid=True)
        datum = value_of(record, argument.column)
        if argument.key is None:
            context.say(values.datum_text(datum))
            continue
        if not datum.type.is_map():
            raise VsctlError(f"cannot specify key to get for non-map column {argument.column}")
        key = values.atom_from(datum.type.key, argument.key, context.symbols.mention)
        value = datum.values.get(key)
        if value is not None:
            context.say(values.atom_text(value))
        elif "if-exists" in context.options:
            context.say("")
        else:
            raise VsctlError(
                f'no key "{argument.key}" in {table.name} record "{context.arg(1)}" column {argument.column}'
            )


# Changing.


def assign(context: Context, record: Record, text: str) -> None:
    """Carry out COLUMN[:KEY]=VALUE."""
    table = record.table
    argument = values.split_argument(table, text, ("=",))
    column, value = argument.column, argument.value or ""
    type = table.columns[column].type
    if record.told is not None:
        changeable(table, column)
    if argument.key is None:
        record.set(column, values.datum_from(type, value, context.symbols.mention))
        return
    if not type.is_map():
        raise VsctlError(f"cannot specify key to set for non-map column {column}")
    key = values.atom_from(type.key, argument.key, context.symbols.mention)
    new = values.atom_from(type.value, value, context.symbols.mention)
    record.set(column, Datum(type, {**record.get(column).values, key: new}))


def set_columns(context: Context) -> None:
    """`set TABLE RECORD COLUMN[:KEY]=VALUE...`"""
    table = the_table(context)
    record = the_record(context, table, context.arg(1))
    if record is None:
        return
    for text in context.args[2:]:
        assign(context, record, text)


def _any_number(type: Type, values_too: bool = True) -> Type:
    """`type` without a limit to the number of elements."""
    return Type(type.key, type.value if values_too else None, 0, sys.maxsize)


def add_values(context: Context) -> None:
    """`add TABLE RECORD COLUMN [KEY=]VALUE...`"""
    table = the_table(context)
    column = column_named(table, context.arg(2))
    record = the_record(context, table, context.arg(1))
    if record is None:
        return
    changeable(table, column)
    type = table.columns[column].type
    made = dict(record.get(column).values)
    for text in context.args[3:]:
        for key, value in values.datum_from(_any_number(type), text, context.symbols.mention).values.items():
            made.setdefault(key, value) if value is None else made.__setitem__(key, value)
    if len(made) > type.n_max:
        raise _too_many(type, len(made))
    record.set(column, Datum(type, made))


def _too_many(type: Type, n: int) -> VsctlError:
    what = f"set of up to {type.n_max} {values.base_english(type.key, plural=True)}"
    return VsctlError(
        f'transaction error: {{"details":"Attempted to store {n} elements in {what}.",'
        '"error":"constraint violation"}'
    )


def remove_values(context: Context) -> None:
    """`remove TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...`"""
    table = the_table(context)
    column = column_named(table, context.arg(2))
    record = the_record(context, table, context.arg(1))
    if record is None:
        return
    changeable(table, column)
    type = table.columns[column].type
    made = dict(record.get(column).values)
    for text in context.args[3:]:
        try:
            unwanted = values.datum_from(_any_number(type), text, context.symbols.mention).values
        except VsctlError:
            if not type.is_map():
                raise
            unwanted = values.datum_from(_any_number(type, False), text, context.symbols.mention).values
        for key, value in unwanted.items():
            if value is None or made.get(key) == value:
                made.pop(key, None)
    if len(made) < type.n_min:
        what = values.type_english(type)
        raise VsctlError(
            f'"remove" operation would put {len(made)} values in column {column} of table {table.name}'
            f" but the minimum number is {type.n_min} ({what})"
        )
    record.set(column, Datum(type, made))


def clear_columns(context: Context) -> None:
    """`clear TABLE RECORD COLUMN...`"""
    table = the_table(context)
    record = the_record(context, table, context.arg(1))
    if record is None:
        return
    for text in context.args[2:]:
        column = column_named(table, text)
        type = table.columns[column].type
        changeable(table, column)
        if type.n_min > 0:
            raise VsctlError(
                f'"clear" operation cannot be applied to column {column} of table {table.name},'
                " which is not allowed to be empty"
            )
        record.set(column, Datum(type, {}))


def create_record(context: Context) -> None:
    """`create TABLE COLUMN[:KEY]=VALUE...`"""
    table = the_table(context)
    name = context.options.get("id")
    uuid: UUID | None = None
    chosen = False
    if name is None:
        if not table.is_root:
            context.warn(
                f'applying "create" command to table {table.name} without --id option will have no effect'
            )
    elif FULL_UUID.match(name):
        uuid, chosen = UUID(name), True
    else:
        uuid = context.symbols.define(name, table.name)
    record = context.edit.insert(table.name, uuid)
    record.chosen = chosen
    for text in context.args[1:]:
        assign(context, record, text)
    own = record.uuid

    def told(uuids: Mapping[str, UUID]) -> str:
        return f"{uuids.get(str(own), own)}\n"

    context.late = told


def destroy_records(context: Context) -> None:
    """`destroy TABLE RECORD...`, `--all destroy TABLE`"""
    table = the_table(context)
    names = context.args[1:]
    if "all" in context.options:
        if names:
            raise VsctlError("--all and records argument should not be specified together")
        for record in list(context.edit.rows(table.name)):
            context.edit.delete(record)
        return
    if not names:
        context.warn("either --all or records argument should be specified")
    for name in names:
        found = the_record(context, table, name)
        if found is not None:
            context.edit.delete(found)


def wait_until(context: Context) -> None:
    """`wait-until TABLE RECORD [CONDITION]...`"""
    table = the_table(context)
    for condition in context.args[2:]:
        values.split_argument(table, condition, values.RELATIONS)  # before waiting for another one
    record = find_record(context.edit, table, context.arg(1))
    if record is None or not _satisfies(context, table, record, context.args[2:]):
        raise TryLater


def comment(context: Context) -> None:
    """`comment [WORD]...`: only the transaction's comment, which every line has."""
