"""Words for reading columns, and which columns the switch itself writes: those are no configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from vswitch.base.vlog import Vlog

if TYPE_CHECKING:
    from ovs.db.data import Datum

log = Vlog("bridge")

STATUS_COLUMNS: Final[dict[str, frozenset[str]]] = {
    "Open_vSwitch": frozenset(
        ("cur_cfg", "datapath_types", "db_version", "dpdk_initialized", "dpdk_version", "iface_types",
         "ovs_version", "statistics", "system_type", "system_version")
    ),
    "Bridge": frozenset(("datapath_id", "datapath_version", "rstp_status", "status")),
    "Port": frozenset(
        ("bond_active_slave", "rstp_statistics", "rstp_status", "statistics", "status")
    ),
    "Interface": frozenset(
        ("admin_state", "bfd_status", "cfm_fault", "cfm_fault_status", "cfm_flap_count", "cfm_health",
         "cfm_remote_mpids", "cfm_remote_opstate", "duplex", "error", "ifindex",
         "lacp_current", "link_resets", "link_speed", "link_state", "mac_in_use", "mtu", "ofport",
         "statistics", "status")
    ),
    "Controller": frozenset(("is_connected", "role", "status")),
    "Manager": frozenset(("is_connected", "status")),
    "Mirror": frozenset(("statistics",)),
    "Datapath": frozenset(("capabilities", "datapath_version")),
}  # fmt: skip


ULLONG_MAX: Final = (1 << 64) - 1


_INTEGER: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_said: Final[set[tuple[str, str]]] = set()


def warn_once(about: tuple[str, str], text: str) -> None:
    """Log a warning, unless there was one `about` the same: settings are read again at each change of the
    configuration."""
    if about not in _said:
        _said.add(about)
        log.warn("%s", text)


def integer(
    smap: Mapping[str, str], key: str, default: int, low: int = -(1 << 31), high: int = (1 << 31) - 1
) -> int:
    """The decimal number at `key` of a map of strings; `default` if it is absent, and, with a warning, if it
    is no number or out of range."""
    text = smap.get(key)
    if text is None:
        return default
    found = _INTEGER.fullmatch(text)
    if found is not None and low <= int(found[1]) <= high:
        return int(found[1])
    warn_once((key, text), f'{key}="{text}" is no number from {low} to {high}; it is taken as {default}')
    return default


_C_INTEGER: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))")


def c_integer(smap: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
    """The number at `key`, decimal, octal after "0" or hexadecimal after "0x", as in C; otherwise as
    `integer`."""
    text = smap.get(key)
    if text is None:
        return default
    found = _C_INTEGER.fullmatch(text)
    if found is not None:
        value = int(found[2], 16) if found[2] else int(found[4]) if found[4] else int(found[3] or "0", 8)
        value = -value if found[1] == "-" else value
        if low <= value <= high:
            return value
    warn_once((key, text), f'{key}="{text}" is no number from {low} to {high}; it is taken as {default}')
    return default


_UNSIGNED: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


def unsigned(smap: Mapping[str, str], key: str, default: int) -> int:
    """The number at `key`, decimal, as C's strtoull(3) has it: a negative one wraps at 2**64. `default` if it
    is absent, no number or does not fit."""
    found = _UNSIGNED.fullmatch(smap.get(key, ""))
    if found is None or int(found[2]) > ULLONG_MAX:
        return default
    return int(found[1] + found[2]) & ULLONG_MAX


def boolean(smap: Mapping[str, str], key: str, default: bool = False) -> bool:
    """The truth at `key`: anything but the default's opposite is the default."""
    text = smap.get(key, "").lower()
    return text != "false" if default else text == "true"


# What a row's attributes say, without what a transaction that is not committed would change: quicker, for
# what is read of hundreds of rows.


_defaults: Final[dict[tuple[Any, str], Datum]] = {}
"""By table and column."""


def datum(row: Any, column: str) -> Datum:
    """A column's value as the library has it, to look at only. Of what nobody ever set the library makes one
    each time that it is asked; here rows share it."""
    found: Datum | None = row._data.get(column)
    if found is None:
        key = (row._table, column)
        found = _defaults.get(key)
        if found is None:
            found = _defaults[key] = row._data[column]
    return found


def one(row: Any, column: str) -> Any:
    """The value of a column that has at most one, no reference; None if it is empty."""
    for atom in datum(row, column).values:
        return atom.value
    return None


def many(row: Any, column: str) -> list[Any]:
    """The values of a set of anything but references, in no order."""
    return [atom.value for atom in datum(row, column).values]


def pairs(row: Any, column: str) -> dict[Any, Any]:
    """A map's keys and values, none of them references."""
    return {key.value: value.value for key, value in datum(row, column).values.items()}
