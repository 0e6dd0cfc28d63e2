"""Which columns the switch itself writes: their changes are no changes of the configuration."""

from __future__ import annotations

from typing import Final

STATUS_COLUMNS: Final[dict[str, frozenset[str]]] = {
    "Open_vSwitch": frozenset(
        ("cur_cfg", "datapath_types", "db_version", "dpdk_initialized", "dpdk_version", "iface_types",
         "ovs_version", "statistics", "system_type", "system_version", "external_ids")
    ),
    "Bridge": frozenset(("datapath_id", "datapath_version", "rstp_status", "status", "external_ids")),
    "Port": frozenset(
        ("bond_active_slave", "rstp_statistics", "rstp_status", "statistics", "status", "external_ids")
    ),
    "Interface": frozenset(
        ("admin_state", "bfd_status", "cfm_fault", "cfm_fault_status", "cfm_flap_count", "cfm_health",
         "cfm_mpids", "cfm_remote_mpids", "cfm_remote_opstate", "duplex", "error", "ifindex",
         "lacp_current", "link_resets", "link_speed", "link_state", "mac_in_use", "mtu", "ofport",
         "statistics", "status")
    ),
    "Controller": frozenset(("is_connected", "role", "status", "external_ids")),
    "Manager": frozenset(("is_connected", "status", "external_ids")),
    "Mirror": frozenset(("statistics", "external_ids")),
    "Datapath": frozenset(("capabilities", "datapath_version")),
    "QoS": frozenset(("external_ids",)),
    "Queue": frozenset(("external_ids",)),
    "SSL": frozenset(("external_ids",)),
}  # fmt: skip
