"""Words for reading columns, and which columns the switch itself writes: those are no configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

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


def integer(smap: Mapping[str, str], key: str, default: int, low: int = 0, high: int = 1 << 62) -> int:
    """The number at `key` of a map of strings; `default` if it is absent, no number or out of range."""
    try:
        value = int(smap[key], 0)
    except (KeyError, ValueError):
        return default
    return value if low <= value <= high else default


_UNSIGNED: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


def unsigned(smap: Mapping[str, str], key: str, default: int) -> int:
    """The number at `key`, decimal, as C's strtoull(3) has it: a negative one wraps at 2**64. `default` if it is
    absent, no number or does not fit."""
    found = _UNSIGNED.fullmatch(smap.get(key, ""))
    if found is None or int(found[2]) > ULLONG_MAX:
        return default
    return int(found[1] + found[2]) & ULLONG_MAX


def boolean(smap: Mapping[str, str], key: str, default: bool = False) -> bool:
    """The truth at `key`: anything but the default's opposite is the default."""
    text = smap.get(key, "")
    return text != "false" if default else text == "true"


def optional(row: Any, column: str) -> Any:
    """The value of an optional column; None if it is empty."""
    values = getattr(row, column)
    if isinstance(values, list):
        return values[0] if values else None
    return values
