"""STP and RSTP as rows of Bridge and Port ask for them, and the status columns that tell of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import boolean, c_integer, integer
from vswitch.bridge.config import PortConfig
from vswitch.flow.values import format_mac, parse_mac
from vswitch.l2 import rstp as rstp_machine
from vswitch.l2 import stp as stp_machine
from vswitch.l2.bpdu import format_id
from vswitch.ofproto_dpif.protocols.rstp import RstpPortSettings, RstpSettings
from vswitch.ofproto_dpif.protocols.stp import StpPortSettings, StpSettings

if TYPE_CHECKING:
    from vswitch.bridge.view import BridgeView

log = Vlog("bridge")

_MAC_BITS: Final = (1 << 48) - 1


def configure_trees(bridge: BridgeView, mac: int, mirror_outputs: set[str]) -> None:
    """Have the bridge speak what its row asks for; `mac` is the bridge's address. Of both, RSTP."""
    row = bridge.row
    stp, rstp = bool(row.stp_enable), bool(row.rstp_enable)
    if stp and rstp:
        log.warn(
            "%s: RSTP and STP are mutually exclusive but both are configured; enabling RSTP", bridge.name
        )
        stp = False
    other = row.other_config
    ofproto = bridge.ofproto
    # One leaves before the other comes: ports belong to one tree.
    if not stp:
        ofproto.set_stp(None, {})
    if not rstp:
        ofproto.set_rstp(None, {})
    if stp:
        ports = _stp_ports(bridge, mirror_outputs)
        ofproto.set_stp(None if ports is None else _stp_settings(bridge.name, other, mac), ports or {})
    if rstp:
        ofproto.set_rstp(rstp_settings(bridge.name, other, mac), rstp_ports(bridge, mirror_outputs))


def _takes_part(bridge: BridgeView, port: PortConfig, key: str, mirror_outputs: set[str]) -> bool:
    """Bonds, internal ports and outputs of mirrors have no part in a tree, nor who is told so."""
    if port.name == bridge.name or port.name in mirror_outputs:
        return False
    if len(port.interfaces) != 1:
        if boolean(port.other_config, key, True):
            tree = key.removesuffix("-enable").upper()
            log.err("port %s: cannot enable %s on bonds, disabling", port.name, tree)
        return False
    return port.interfaces[0].type != "internal" and boolean(port.other_config, key, True)


def _address(bridge: str, other: Mapping[str, str], key: str, mac: int) -> int:
    """The address at `key`, which is `mac`, the bridge's, where it is none."""
    if key not in other:
        return mac
    asked = parse_mac(other[key])
    if asked is None:
        log.err("bridge %s: invalid %s, defaulting to %s", bridge, key, format_mac(mac))
        return mac
    return asked


_HEXADECIMAL: Final = re.compile(r"0[xX][0-9a-fA-F]+")


def _decimal(other: Mapping[str, str], key: str) -> Mapping[str, str]:
    """`other` with the number at `key` in decimal, if hexadecimal: so is stp-priority in ovs-vsctl(8)."""
    text = other.get(key, "")
    return {**other, key: str(int(text, 16))} if _HEXADECIMAL.fullmatch(text) else other


def _stp_settings(bridge: str, other: Mapping[str, str], mac: int) -> StpSettings:
    return StpSettings(
        system_id=_address(bridge, other, "stp-system-id", mac),
        priority=integer(
            _decimal(other, "stp-priority"), "stp-priority", stp_machine.DEFAULT_PRIORITY, 0, 65535
        ),
        hello_time=integer(other, "stp-hello-time", 2, 1, 10) * 1000,
        max_age=integer(other, "stp-max-age", 20, 6, 40) * 1000,
        forward_delay=integer(other, "stp-forward-delay", 15, 4, 30) * 1000,
    )


def _stp_ports(bridge: BridgeView, mirror_outputs: set[str]) -> dict[str, StpPortSettings] | None:
    """By interface. Those whose number can't be have no part; None: the bridge has no tree, as some of its
    ports have numbers and others are to be counted."""
    found: dict[str, StpPortSettings] = {}
    given: set[int] = set()
    counted = 0
    for port in bridge.wanted.values():
        if not _takes_part(bridge, port, "stp-enable", mirror_outputs):
            continue
        other = port.other_config
        if "stp-port-num" in other:
            number = integer(other, "stp-port-num", 0)
            if not 1 <= number <= stp_machine.MAX_PORTS:
                log.err("port %s: invalid stp-port-num", port.name)
                continue
            if number in given:
                log.err("port %s: duplicate stp-port-num %d, disabling", port.name, number)
                continue
            given.add(number)
        else:
            if counted >= stp_machine.MAX_PORTS:
                log.err("port %s: too many STP ports, disabling", port.name)
                continue
            counted += 1
            number = counted
        cost = integer(other, "stp-path-cost", -1, 0, 65535)
        found[port.interfaces[0].name] = StpPortSettings(
            number=number,
            priority=c_integer(other, "stp-port-priority", stp_machine.DEFAULT_PORT_PRIORITY, 0, 255),
            path_cost=None if cost < 0 else cost,
        )
    if given and counted:
        log.err("bridge %s: must manually configure all STP port IDs or none, disabling", bridge.name)
        return None
    return found


def _fit(max_age: int, forward_delay: int) -> bool:
    """Whether messages have aged before a port forwards (IEEE 802.1D-2004, 17.14); in seconds."""
    return 2 * (forward_delay - 1) >= max_age


def rstp_settings(bridge: str, other: Mapping[str, str], mac: int) -> RstpSettings:
    """What Bridge.other_config asks of RSTP of a bridge; `mac` is its address."""
    priority = integer(other, "rstp-priority", rstp_machine.DEFAULT_PRIORITY, 0, 61440)
    max_age = integer(other, "rstp-max-age", rstp_machine.DEFAULT_MAX_AGE, 6, 40)
    delay = integer(other, "rstp-forward-delay", rstp_machine.DEFAULT_FORWARD_DELAY, 4, 30)
    if not _fit(max_age, delay):
        # One of both goes, if possible the age.
        log.warn("bridge %s: rstp-max-age=%d is too long for rstp-forward-delay=%d", bridge, max_age, delay)
        if _fit(rstp_machine.DEFAULT_MAX_AGE, delay):
            max_age = rstp_machine.DEFAULT_MAX_AGE
        else:
            delay = rstp_machine.DEFAULT_FORWARD_DELAY
            if not _fit(max_age, delay):
                max_age = rstp_machine.DEFAULT_MAX_AGE
    return RstpSettings(
        address=_address(bridge, other, "rstp-address", mac),
        # The upper four bits of 16 are the priority.
        priority=priority // 4096 * 4096,
        ageing_time=integer(other, "rstp-ageing-time", rstp_machine.DEFAULT_AGEING_TIME, 10, 1_000_000),
        rapid=integer(other, "rstp-force-protocol-version", 2, 0, 2) != 0,
        max_age=max_age,
        forward_delay=delay,
        transmit_hold_count=integer(
            other, "rstp-transmit-hold-count", rstp_machine.DEFAULT_TX_HOLD_COUNT, 1, 10
        ),
    )


def rstp_ports(bridge: BridgeView, mirror_outputs: set[str]) -> dict[str, RstpPortSettings]:
    """By interface: what Port.other_config asks of those that take part."""
    found: dict[str, RstpPortSettings] = {}
    for port in bridge.wanted.values():
        if not _takes_part(bridge, port, "rstp-enable", mirror_outputs):
            continue
        other = port.other_config
        number = integer(other, "rstp-port-num", 0)
        if "rstp-port-num" in other and not 1 <= number <= rstp_machine.MAX_PORTS:
            log.err("port %s: invalid rstp-port-num", port.name)
            continue
        priority = integer(other, "rstp-port-priority", rstp_machine.DEFAULT_PORT_PRIORITY, 0, 240)
        found[port.interfaces[0].name] = RstpPortSettings(
            number=number,
            # The upper four bits of eight are the priority.
            priority=priority // 16 * 16,
            path_cost=integer(other, "rstp-path-cost", 0, 1, 200_000_000) or None,
            admin_edge=boolean(other, "rstp-port-admin-edge"),
            auto_edge=boolean(other, "rstp-port-auto-edge", True),
            mcheck=boolean(other, "rstp-port-mcheck"),
        )
    return found


# Status.


def _rstp_id(identifier: int) -> str:
    """Priority, system ID extension and address (ovs-vswitchd.conf.db(5), rstp_bridge_id)."""
    return f"{identifier >> 60:x}.{identifier >> 48 & 0xFFF:03x}.{identifier & _MAC_BITS:012x}"


def bridge_status(bridge: BridgeView) -> dict[str, str]:
    """What STP adds to Bridge.status."""
    if bridge.ofproto.stp is None:
        return {}
    stp = bridge.ofproto.stp.stp
    return {
        "stp_bridge_id": format_id(stp.bridge_id),
        "stp_designated_root": format_id(stp.designated_root),
        "stp_root_path_cost": str(stp.root_path_cost),
    }


def bridge_rstp_status(bridge: BridgeView) -> dict[str, str]:
    """Bridge.rstp_status."""
    if bridge.ofproto.rstp is None:
        return {}
    rstp = bridge.ofproto.rstp.rstp
    root, cost, designated, port, _ = rstp.root_priority
    return {
        "rstp_bridge_id": _rstp_id(rstp.bridge_id),
        "rstp_root_id": _rstp_id(root),
        "rstp_root_path_cost": str(cost),
        "rstp_designated_id": _rstp_id(designated),
        "rstp_designated_port_id": f"{port:04x}",
        "rstp_bridge_port_id": f"{rstp.root_port_id:04x}",
    }


def port_status(bridge: BridgeView, port: PortConfig, now: int) -> dict[str, Any]:
    """The columns status and rstp_status of Port."""
    status: dict[str, str] = {}
    rapid: dict[str, str] = {}
    name = port.interfaces[0].name if port.interfaces else ""
    stp = bridge.ofproto.stp
    if stp is not None and name in stp.ports:
        mine = stp.ports[name]
        status = {
            "stp_port_id": str(mine.port_id),
            "stp_state": mine.state,
            "stp_sec_in_state": str((now - mine.since) // 1000),
            "stp_role": stp.stp.role(mine),
        }
    rstp = bridge.ofproto.rstp
    if rstp is not None and name in rstp.ports:
        its = rstp.ports[name]
        _, cost, designated, sender, _ = its.port_priority if its.port_enabled else its.designated_priority
        rapid = {
            "rstp_port_id": f"{its.port_id:04x}",
            "rstp_port_role": its.role,
            "rstp_port_state": its.state,
            "rstp_designated_bridge_id": _rstp_id(designated),
            "rstp_designated_port_id": f"{sender:04x}",
            "rstp_designated_path_cost": str(cost),
        }
    return {"status": status, "rstp_status": rapid}


def port_statistics(bridge: BridgeView, port: PortConfig, now: int) -> dict[str, Any]:
    """The columns statistics and rstp_statistics of Port."""
    counters: dict[str, int] = {}
    rapid: dict[str, int] = {}
    name = port.interfaces[0].name if port.interfaces else ""
    stp = bridge.ofproto.stp
    if stp is not None and name in stp.ports:
        mine = stp.ports[name]
        counters = {"stp_tx_count": mine.tx_count, "stp_rx_count": mine.rx_count,
                    "stp_error_count": mine.error_count}  # fmt: skip
    rstp = bridge.ofproto.rstp
    if rstp is not None and name in rstp.ports:
        its = rstp.ports[name]
        rapid = {"rstp_tx_count": its.tx_count, "rstp_rx_count": its.rx_count,
                 "rstp_error_count": its.error_count, "rstp_uptime": (now - its.added) // 1000}  # fmt: skip
    return {"statistics": counters, "rstp_statistics": rapid}
