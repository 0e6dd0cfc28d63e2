"""BFD, CFM, LLDP and Auto Attach of the database: columns to settings, and status back to columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from vswitch.base.version import VERSION
from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import boolean
from vswitch.bridge.config import InterfaceConfig
from vswitch.bridge.idl import Idl, Row
from vswitch.monitor import bfd, cfm
from vswitch.monitor.cfm import fault_names
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.protocols.monitors import Watch

if TYPE_CHECKING:
    from vswitch.bridge.report import Report
    from vswitch.bridge.view import BridgeView

log = Vlog("bridge")

NO_CFM: dict[str, Any] = {
    "cfm_fault": None, "cfm_fault_status": [], "cfm_flap_count": None, "cfm_health": None,
    "cfm_remote_mpids": [], "cfm_remote_opstate": None,
}  # fmt: skip


@final
class MonitorConfig:
    """What the ports of one bridge are to be watched by."""

    def __init__(self, ofproto: OfprotoDpif) -> None:
        self._ofproto = ofproto
        self._said: dict[str, list[str]] = {}
        self._vlans: list[tuple[str, int, bool]] = []

    def take_vlans(self) -> list[tuple[str, int, bool]]:
        """(interface, VLAN, whether it came or went) of Auto Attach mappings, since the last call."""
        found, self._vlans = self._vlans, []
        return found

    def configure(self, config: InterfaceConfig, auto_attach: Row | None) -> None:
        """Have the interface's port watched as its columns ask; what is wrong in them is logged once."""
        monitors = self._ofproto.monitors
        known = monitors.watches.get(config.name)
        if known is None and not config.bfd and config.cfm_mpid is None and not config.lldp:
            self._said.pop(config.name, None)
            return
        session, errors = bfd.parse_settings(config.bfd)
        monitors.set_bfd(config.name, session)
        point, more = cfm.parse_settings(config.cfm_mpid, config.other_config, _any_key(config))
        monitors.set_cfm(config.name, point)
        self._lldp(config, auto_attach)
        self._say(config.name, errors + more)

    def _lldp(self, config: InterfaceConfig, auto_attach: Row | None) -> None:
        if not config.lldp:
            self._ofproto.monitors.end_lldp(config.name)
            return
        enabled = boolean(config.lldp, "enable")
        name, description, mappings = "", "", {}
        if auto_attach is not None:
            name, description = auto_attach.system_name, auto_attach.system_description
            mappings = dict(auto_attach.mappings)
        gained, lost = self._ofproto.monitors.set_lldp(
            config.name, enabled, name, description or f"vswitch {VERSION}", mappings
        )
        self._vlans += [(config.name, vlan, True) for vlan in sorted(gained)]
        self._vlans += [(config.name, vlan, False) for vlan in sorted(lost)]

    def _say(self, name: str, errors: list[str]) -> None:
        if errors != self._said.get(name, []):
            for error in errors:
                log.warn("interface %s: %s", name, error)
        self._said[name] = errors


def _any_key(config: InterfaceConfig) -> bool:
    """Whether the interface is a tunnel that takes packets of any key: then CFM's own have key 0
    (ovs-vswitchd.conf.db(5), Connectivity Fault Management)."""
    options = config.options
    key = options.get("in_key", options.get("key", "" if "remote_ip" in options else "0"))
    return key in ("", "flow")


def auto_attach_of(idl: Idl, row: Row) -> Row | None:
    """The AutoAttach row of a bridge."""
    return next(iter(idl.refs(row, "auto_attach")), None)


@final
class MonitorStatus:
    """Writes `bfd_status` and the `cfm_*` columns when sessions say something new."""

    def __init__(self, idl: Idl, report: Report) -> None:
        self._idl = idl
        self._report = report
        self._seen: dict[str, int] = {}
        """Bridge -> the `PortMonitors.changes` that was written."""
        self._written: dict[str, set[str]] = {}
        """Bridge -> interfaces that have something in these columns."""

    def run(self, bridge: BridgeView, now: int) -> None:
        """Look at the bridge's sessions, if anything is new with them."""
        monitors = bridge.ofproto.monitors
        if self._seen.get(bridge.name, 0) == monitors.changes:
            return
        self._seen[bridge.name] = monitors.changes
        before = self._written.get(bridge.name, set())
        for name in before | monitors.watches.keys():
            interface = bridge.interfaces.get(name)
            row = self._idl.row("Interface", interface.config.uuid) if interface is not None else None
            if row is not None:
                self._report.put(row, **columns(monitors.watches.get(name), now))
        self._written[bridge.name] = set(monitors.watches)

    def forget(self, bridges: set[str]) -> None:
        """Only `bridges` are left."""
        for known in (self._seen, self._written):
            for name in known.keys() - bridges:
                del known[name]


def columns(watch: Watch | None, now: int) -> dict[str, Any]:
    """The columns of Interface that tell of what watches it."""
    found: dict[str, Any] = {"bfd_status": {}, **NO_CFM}
    if watch is not None and watch.bfd is not None:
        found["bfd_status"] = watch.bfd.status(now)
    point = watch.cfm if watch is not None else None
    if point is not None:
        found.update(
            cfm_fault=bool(point.faults),
            cfm_fault_status=fault_names(point.faults),
            cfm_flap_count=point.flap_count,
            cfm_health=point.health,
            cfm_remote_mpids=point.remote_mpids,
            cfm_remote_opstate=("up" if point.remote_opup else "down") if point.settings.extended else None,
        )
    return found
