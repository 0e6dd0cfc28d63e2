"""Columns of Open_vSwitch and Bridge that are plain settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.bridge.columns import boolean, integer
from vswitch.bridge.idl import Row
from vswitch.bridge.unsupported import Unsupported
from vswitch.dpif.types import DpifError
from vswitch.l2.mcast_snooping import DEFAULT_IDLE, DEFAULT_MAX
from vswitch.ofproto_dpif.backer import MAX_FLOW_LIMIT, Backer
from vswitch.ofproto_dpif.facets.expiration import DUMP_MS
from vswitch.ofproto_dpif.facets.revalidate import RevReason

if TYPE_CHECKING:
    from vswitch.bridge.view import BridgeView

MIN_MAC_AGING: Final = 15
MAX_MAC_AGING: Final = 3600
DEFAULT_MAX_IDLE: Final = 10_000
MIN_DUMP_MS: Final = 100
DEFAULT_VLAN_LIMIT: Final = 1
DEFAULT_BUNDLE_IDLE: Final = 10


def vlan_limit(root: Row | None) -> int:
    """`other_config:vlan-limit`; 0: any number of tags."""
    other = root.other_config if root is not None else {}
    return max(integer(other, "vlan-limit", DEFAULT_VLAN_LIMIT), 0)


def configure_backer(backer: Backer, root: Row | None, unsupported: Unsupported) -> None:
    """Settings of the whole switch that belong to datapaths."""
    other = root.other_config if root is not None else {}
    backer.max_idle = integer(other, "max-idle", DEFAULT_MAX_IDLE, 500)
    backer.set_vlan_limit(vlan_limit(root))
    backer.set_explicit_sampled_drops(boolean(other, "explicit-sampled-drops"))
    backer.max_flow_limit = integer(other, "flow-limit", MAX_FLOW_LIMIT, 1)
    interval = integer(other, "max-revalidator", DUMP_MS, MIN_DUMP_MS)
    backer.expiration.dump_interval = min(interval, backer.max_idle)
    datapath = root.datapaths.get(backer.type) if root is not None else None
    zones: dict[int, dict[str, int]] = {}
    if datapath is not None:
        for number, zone in datapath.ct_zones.items():
            for policy in zone.timeout_policy:
                zones[int(number)] = {key: int(value) for key, value in policy.timeouts.items()}
    try:
        if backer.ct_timeouts.set(zones):
            backer.need(RevReason.RECONFIGURE)
    except DpifError as e:
        unsupported.warn_all(f"datapath {backer.type}", {"ct_zones:timeout_policy": e.strerror or "refused"})


def configure_bridge(bridge: BridgeView, root: Row | None, unsupported: Unsupported) -> None:
    """Settings of one bridge."""
    row = bridge.row
    ofproto = bridge.ofproto
    other = row.other_config
    switch_wide = root.other_config if root is not None else {}
    ofproto.dp_desc = other.get("dp-desc") or "None"
    ofproto.serial_desc = other.get("dp-sn") or "None"
    ofproto.bundle_idle_timeout = integer(switch_wide, "bundle-idle-timeout", DEFAULT_BUNDLE_IDLE, 1)
    ofproto.accept_unsupported_flows(boolean(switch_wide, "accept-unsupported-flows"))
    forward_bpdu = boolean(other, "forward-bpdu")
    if forward_bpdu != ofproto.forward_bpdu:
        ofproto.forward_bpdu = forward_bpdu
        ofproto.backer.need(RevReason.RECONFIGURE)
    _configure_mac_table(bridge)
    unsupported.look_at(f"bridge {bridge.name}", "Bridge", row)


def configure_multicast(bridge: BridgeView) -> bool:
    """Multicast snooping of one bridge. Whether it has just begun: then what ports ask of it has yet to
    come, with their bundles."""
    row = bridge.row
    ofproto = bridge.ofproto
    was = ofproto.mcast_snooping
    ofproto.set_multicast_snooping(bool(row.mcast_snooping_enable))
    table = ofproto.mcast_snooping
    if table is None:
        return False
    other = row.other_config
    table.idle = min(max(integer(other, "mcast-snooping-aging-time", DEFAULT_IDLE, 1), 15), 3600)
    size = min(max(integer(other, "mcast-snooping-table-size", DEFAULT_MAX, 1), 10), 1_000_000)
    flood = not boolean(other, "mcast-snooping-disable-flood-unregistered")
    if table.set_max_entries(size) or flood != table.flood_unregistered:
        table.flood_unregistered = flood
        ofproto.multicast_changed()
    return was is None


def _configure_mac_table(bridge: BridgeView) -> None:
    other = bridge.row.other_config
    ofproto = bridge.ofproto
    learning = ofproto.mac_learning
    aging = integer(other, "mac-aging-time", 300, 0)
    learning.set_idle_time(min(max(aging, MIN_MAC_AGING), MAX_MAC_AGING) * 1000)
    size = integer(other, "mac-table-size", 8192, 1)
    ofproto.revalidate_set.update(learning.set_max_entries(size))
    if learning.set_flood_vlans(bridge.row.flood_vlans):
        ofproto.revalidate_set.update(learning.flush(ofproto.now()))
        ofproto.backer.need(RevReason.RECONFIGURE)
