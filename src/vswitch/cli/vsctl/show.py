"""`show`: the configuration at a glance (ovs-vsctl(8))."""

from __future__ import annotations

from typing import Final

from vswitch.cli.vsctl.line import Context
from vswitch.cli.vsctl.replica import Record
from vswitch.cli.vsctl.values import datum_text, empty

SHOWN: Final = {
    "Open_vSwitch": ("", ("manager_options", "bridges", "ovs_version")),
    "Bridge": ("name", ("controller", "fail_mode", "datapath_type", "ports")),
    "Port": ("name", ("tag", "trunks", "interfaces")),
    "Interface": ("name", ("type", "options", "error")),
    "Controller": ("target", ("is_connected",)),
    "Manager": ("target", ("is_connected",)),
}
"""Table -> (the column that names a record, the columns to show)."""


def show(context: Context) -> None:
    """`show`"""
    _show(context, context.edit.root, 0)


def _show(context: Context, record: Record, level: int) -> None:
    name, columns = SHOWN[record.table.name]
    if name:
        context.say(f"{'    ' * level}{record.table.name} {datum_text(record.get(name))}")
    else:
        context.say(str(record.uuid))
    for column in columns:
        type = record.table.columns[column].type
        if type.key.ref_table_name in SHOWN:
            for child in context.edit.referenced(record, column):
                _show(context, child, level + 1)
            continue
        datum = record.get(column)
        if datum != empty(type):
            context.say(f"{'    ' * (level + 1)}{column}: {datum_text(datum)}")
