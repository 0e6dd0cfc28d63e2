"""Columns of Open_vSwitch and Bridge that are plain settings, and those for what is not done yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import boolean, integer
from vswitch.bridge.idl import Row
from vswitch.bridge.unsupported import Unsupported
from vswitch.ofproto_dpif.backer import FLOW_EVICTION_THRESHOLD, Backer
from vswitch.ofproto_dpif.facets.revalidate import RevReason

if TYPE_CHECKING:
    from vswitch.bridge.bridge import Bridge

log = Vlog("bridge")

MIN_MAC_AGING: Final = 15
MAX_MAC_AGING: Final = 3600
DEFAULT_MAX_IDLE: Final = 10_000
DEFAULT_FLOW_LIMIT: Final = 200_000
DEFAULT_BUNDLE_IDLE: Final = 10

NO_EFFECT: Final = frozenset(
    (
        # Threads: there is one.
        "n-handler-threads", "n-revalidator-threads", "n-offload-threads",
        # How often and how long flows are revalidated follows from what it takes.
        "max-revalidator", "min-revalidate-pps",
        # Read elsewhere, or by other programs.
        "stats-update-interval", "flow-restore-wait", "enable-statistics", "max-idle", "flow-limit",
        "bundle-idle-timeout", "private_key", "certificate", "ca_cert",
    )
)  # fmt: skip
"""Keys of Open_vSwitch.other_config that are acted on, or that change nothing that one could see."""
OFF: Final = frozenset(("false", "0", ""))


def configure_switch(root: Row | None, unsupported: Unsupported) -> None:
    """Warn of the columns of Open_vSwitch that nothing comes of."""
    if root is None:
        return
    for key, value in sorted(root.other_config.items()):
        if key not in NO_EFFECT and value not in OFF:
            unsupported.warn("Open_vSwitch", f"other_config:{key}", value)


def configure_backer(backer: Backer, root: Row | None, unsupported: Unsupported) -> None:
    """Settings of the whole switch that belong to datapaths."""
    other = root.other_config if root is not None else {}
    backer.max_idle = integer(other, "max-idle", DEFAULT_MAX_IDLE, 500)
    limit = integer(other, "flow-limit", DEFAULT_FLOW_LIMIT, 1)
    # Until the limit is near, flows are not idled out early.
    backer.flow_eviction_threshold = min(FLOW_EVICTION_THRESHOLD, limit)
    datapath = root.datapaths.get(backer.type) if root is not None else None
    if datapath is not None:
        for zone in datapath.ct_zones:
            unsupported.warn(f"datapath {backer.type}", f"ct_zones:{zone}", "timeout_policy")


def configure_bridge(bridge: Bridge, root: Row | None, unsupported: Unsupported) -> None:
    """Settings of one bridge."""
    row = bridge.row
    ofproto = bridge.ofproto
    other = row.other_config
    switch_wide = root.other_config if root is not None else {}
    ofproto.dp_desc = other.get("dp-desc") or "None"
    ofproto.serial_desc = other.get("dp-sn") or "None"
    ofproto.bundle_idle_timeout = integer(switch_wide, "bundle-idle-timeout", DEFAULT_BUNDLE_IDLE, 1)
    forward_bpdu = boolean(other, "forward-bpdu")
    if forward_bpdu != ofproto.forward_bpdu:
        ofproto.forward_bpdu = forward_bpdu
        ofproto.backer.need(RevReason.RECONFIGURE)
    _configure_mac_table(bridge)
    _warn(bridge, unsupported)


def _configure_mac_table(bridge: Bridge) -> None:
    other = bridge.row.other_config
    ofproto = bridge.ofproto
    learning = ofproto.mac_learning
    aging = integer(other, "mac-aging-time", 300, 0)
    learning.set_idle_time(min(max(aging, MIN_MAC_AGING), MAX_MAC_AGING) * 1000)
    size = integer(other, "mac-table-size", 8192, 1)
    ofproto.revalidate_set.update(learning.set_max_entries(size))
    if learning.set_flood_vlans(bridge.row.flood_vlans):
        ofproto.revalidate_set.update(learning.flush())
        ofproto.backer.need(RevReason.RECONFIGURE)


_BRIDGE_KEYS: Final = frozenset(
    ("datapath-id", "hwaddr", "forward-bpdu", "mac-aging-time", "mac-table-size", "dp-desc", "dp-sn",
     "disable-in-band", "in-band-queue", "controller-queue-size")
)  # fmt: skip


def _warn(bridge: Bridge, unsupported: Unsupported) -> None:
    row = bridge.row
    name = f"bridge {bridge.name}"
    for column in ("mcast_snooping_enable", "stp_enable", "rstp_enable"):
        if getattr(row, column):
            unsupported.warn(name, column, "true")
    for column, what in (("netflow", "targets"), ("sflow", "targets"), ("ipfix", "targets"),
                         ("auto_attach", "system_name")):  # fmt: skip
        for ref in getattr(row, column):
            value = getattr(ref, what)
            text = ", ".join(value) if isinstance(value, list) else value
            unsupported.warn(name, f"{column}:{what}", text or "(empty)")
    for key, value in sorted(row.other_config.items()):
        if key.startswith(("stp-", "rstp-", "mcast-snooping-")) and not _enabled(row, key):
            continue
        if key not in _BRIDGE_KEYS and value not in OFF:
            unsupported.warn(name, f"other_config:{key}", value)


def _enabled(row: Row, key: str) -> bool:
    """Whether the feature that `key` belongs to is on; its settings don't matter otherwise."""
    if key.startswith("mcast-"):
        return bool(row.mcast_snooping_enable)
    return bool(row.rstp_enable if key.startswith("rstp-") else row.stp_enable)
