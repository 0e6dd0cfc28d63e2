"""Bonds and LACP as rows of Port and Interface ask for them, and the columns that tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import boolean, integer, warn_once
from vswitch.bridge.config import PortConfig
from vswitch.flow.values import format_mac, parse_mac
from vswitch.l2.bond import ACTIVE_BACKUP, MODES, BondSettings
from vswitch.l2.lacp import DEFAULTED
from vswitch.ofproto_dpif.settings import LacpSettings

if TYPE_CHECKING:
    from vswitch.bridge.view import BridgeView

log = Vlog("bridge")

DEFAULT_REBALANCE: Final = 10_000
DEFAULT_MIIMON: Final = 200
LONGEST: Final = (1 << 31) - 1
"""ms of a delay."""


def bond_settings(port: PortConfig) -> BondSettings | None:
    """What a port with several interfaces asks for; None for others."""
    if len(port.interfaces) < 2:
        return None
    other = port.other_config
    mode = port.bond_mode
    if not mode:
        mode = ACTIVE_BACKUP
        warn_once((port.name, "bond_mode"),
                  f"port {port.name}: Using the default bond_mode {mode}. Note that "
                  "in previous versions, the default bond_mode was balance-slb")  # fmt: skip
    if mode not in MODES:
        log.warn("port %s: unknown bond_mode %s, using active-backup", port.name, mode)
        mode = ACTIVE_BACKUP
    detect = other.get("bond-detect-mode", "carrier")
    if detect not in ("carrier", "miimon"):
        log.warn("port %s: unsupported bond-detect-mode %s, defaulting to carrier", port.name, detect)
        detect = "carrier"
    fallback = boolean(other, "lacp-fallback-ab")
    one_at_a_time = mode == ACTIVE_BACKUP or fallback
    miimon = integer(other, "bond-miimon-interval", 0, 0) or DEFAULT_MIIMON
    return BondSettings(
        mode=mode,
        basis=integer(other, "bond-hash-basis", 0) & 0xFFFFFFFF,
        updelay=min(max(port.bond_updelay, 0), LONGEST),
        downdelay=min(max(port.bond_downdelay, 0), LONGEST),
        rebalance_interval=integer(other, "bond-rebalance-interval", DEFAULT_REBALANCE, 0, (1 << 31) - 1),
        primary=other.get("bond-primary", "") if one_at_a_time else "",
        all_members_active=boolean(other, "all-members-active"),
        lb_output=boolean(other, "lb-output-action"),
        lacp_fallback_ab=fallback,
        active_mac=parse_mac(port.bond_active) or 0,
        miimon_interval=max(miimon, 100) if detect == "miimon" else 0,
    )


def lacp_settings(port: PortConfig, mac: int) -> LacpSettings | None:
    """What a port asks of LACP; None: nothing, or with a system ID that can't be. `mac` is the bridge's
    address."""
    if port.lacp not in ("active", "passive"):
        return None
    other = port.other_config
    sys_id = mac
    if "lacp-system-id" in other:
        text = other["lacp-system-id"]
        asked = parse_mac(text)
        if asked is None:
            log.warn("port %s: LACP system ID (%s) must be an Ethernet address.", port.name, text)
            return None
        if not asked:
            log.warn("port %s: Invalid zero LACP system ID.", port.name)
            return None
        sys_id = asked
    time = other.get("lacp-time", "slow")
    if time not in ("fast", "slow"):
        log.warn("port %s: unknown lacp-time %s, using slow", port.name, time)
    members = tuple(
        (
            config.name,
            (
                integer(config.other_config, "lacp-port-id", 0, 1, 65535),
                integer(config.other_config, "lacp-port-priority", 65535, 1, 65535),
                integer(config.other_config, "lacp-aggregation-key", 0, 1, 65535),
            ),
        )
        for config in port.interfaces
    )
    return LacpSettings(
        active=port.lacp == "active",
        fast=time == "fast",
        sys_id=sys_id,
        sys_priority=integer(other, "lacp-system-priority", 65534, 1, 65535),
        fallback_ab=boolean(other, "lacp-fallback-ab"),
        members=members,
    )


def active_member(bridge: BridgeView, port: PortConfig) -> str | None:
    """Port.bond_active_slave: the address of the active member; None if the port is no bond."""
    bonds = bridge.ofproto.bonds
    bundle = bonds.bundles.get(port.name) if bonds is not None else None
    if bundle is None or bundle.bond is None:
        return None
    active = bundle.bond.active
    return format_mac(active.mac if active is not None else 0)


def lacp_current(bridge: BridgeView, port: PortConfig) -> dict[str, bool]:
    """Interface -> Interface.lacp_current, for those that speak LACP."""
    bonds = bridge.ofproto.bonds
    bundle = bonds.bundles.get(port.name) if bonds is not None else None
    if bundle is None or bundle.lacp is None:
        return {}
    return {name: member.status != DEFAULTED for name, member in bundle.lacp.members.items()}
