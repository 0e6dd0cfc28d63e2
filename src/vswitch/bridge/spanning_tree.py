"""STP and RSTP as rows of Bridge and Port ask for them, and the status columns that tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import boolean, integer
from vswitch.bridge.config import PortConfig
from vswitch.flow.values import parse_mac
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
        ofproto.set_stp(_stp_settings(other, mac), _stp_ports(bridge, mirror_outputs))
    if rstp:
        ofproto.set_rstp(rstp_settings(other, mac), rstp_ports(bridge, mirror_outputs))


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


def _address(other: Mapping[str, str], key: str, mac: int) -> int:
    asked = parse_mac(other[key]) if key in other else None
    if key in other and asked is None:
        log.warn("%s=%s is no Ethernet address", key, other[key])
    return mac if asked is None else asked


def _stp_settings(other: Mapping[str, str], mac: int) -> StpSettings:
    return StpSettings(
        system_id=_address(other, "stp-system-id", mac),
        priority=integer(other, "stp-priority", stp_machine.DEFAULT_PRIORITY, 0, 65535),
        hello_time=integer(other, "stp-hello-time", 2) * 1000,
        max_age=integer(other, "stp-max-age", 20) * 1000,
        forward_delay=integer(other, "stp-forward-delay", 15) * 1000,
    )


def _stp_ports(bridge: BridgeView, mirror_outputs: set[str]) -> dict[str, StpPortSettings]:
    """By interface. Port numbers are given to all ports or to none: else they are counted."""
    ports = [p for p in bridge.wanted.values() if _takes_part(bridge, p, "stp-enable", mirror_outputs)]
    asked = {p.name: integer(p.other_config, "stp-port-num", 0, 1, stp_machine.MAX_PORTS) for p in ports}
    numbered = [n for n in asked.values() if n]
    if numbered and (len(numbered) != len(ports) or len(set(numbered)) != len(numbered)):
        log.err(
            "bridge %s: STP port numbers (other_config:stp-port-num) must be given to all ports or to "
            "none, and each once; counting the ports",
            bridge.name,
        )
        numbered = []
    found: dict[str, StpPortSettings] = {}
    for counted, port in enumerate(ports, 1):
        number = asked[port.name] if numbered else counted
        if number > stp_machine.MAX_PORTS:
            log.err("port %s: STP has no more than %d ports", port.name, stp_machine.MAX_PORTS)
            continue
        cost = integer(port.other_config, "stp-path-cost", -1, 0, 65535)
        found[port.interfaces[0].name] = StpPortSettings(
            number=number,
            priority=integer(
                port.other_config, "stp-port-priority", stp_machine.DEFAULT_PORT_PRIORITY, 0, 255
            ),
            path_cost=None if cost < 0 else cost,
        )
    return found


def rstp_settings(other: Mapping[str, str], mac: int) -> RstpSettings:
    """What Bridge.other_config asks of RSTP; `mac` is the bridge's address."""
    priority = integer(other, "rstp-priority", rstp_machine.DEFAULT_PRIORITY, 0, 61440)
    if priority % 4096:
        log.warn("rstp-priority=%d is no multiple of 4096", priority)
        priority = rstp_machine.DEFAULT_PRIORITY
    max_age = integer(other, "rstp-max-age", rstp_machine.DEFAULT_MAX_AGE, 6, 40)
    delay = integer(other, "rstp-forward-delay", rstp_machine.DEFAULT_FORWARD_DELAY, 4, 30)
    if 2 * (delay - 1) < max_age:
        # IEEE 802.1D-2004, 17.14
        log.warn("rstp-max-age=%d is too long for rstp-forward-delay=%d", max_age, delay)
        max_age = max(2 * (delay - 1), 6)
    return RstpSettings(
        address=_address(other, "rstp-address", mac),
        priority=priority,
        ageing_time=integer(other, "rstp-ageing-time", rstp_machine.DEFAULT_AGEING_TIME, 10, 1_000_000),
        rapid=integer(other, "rstp-force-protocol-version", 2, 0, 2) == 2,
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
        priority = integer(other, "rstp-port-priority", rstp_machine.DEFAULT_PORT_PRIORITY, 0, 240)
        if priority % 16:
            log.warn("port %s: rstp-port-priority=%d is no multiple of 16", port.name, priority)
            priority = rstp_machine.DEFAULT_PORT_PRIORITY
        found[port.interfaces[0].name] = RstpPortSettings(
            number=integer(other, "rstp-port-num", 0, 1, rstp_machine.MAX_PORTS),
            priority=priority,
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
