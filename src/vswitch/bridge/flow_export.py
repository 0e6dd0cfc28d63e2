"""Rows of NetFlow as settings."""

from __future__ import annotations

from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import optional
from vswitch.bridge.idl import Idl, Row
from vswitch.monitor.netflow import ACTIVE_TIMEOUT_DEFAULT, NetFlowSettings
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif

log = Vlog("bridge")


def configure_netflow(ofproto: OfprotoDpif, idl: Idl, bridge: Row) -> None:
    """Have the bridge export flows as its row of NetFlow asks, if it has one."""
    row = next(iter(idl.refs(bridge, "netflow")), None)
    if row is None:
        ofproto.set_netflow(None)
        return
    engine_id = optional(row, "engine_id")
    settings = NetFlowSettings(
        targets=tuple(sorted(row.targets)),
        engine_type=optional(row, "engine_type") or 0,
        engine_id=engine_id or 0,
        active_timeout={0: ACTIVE_TIMEOUT_DEFAULT, -1: 0}.get(row.active_timeout, row.active_timeout),
        add_id_to_interface=row.add_id_to_interface,
    )
    export = ofproto.netflow
    if export is not None and export.netflow.settings == settings:
        return
    if settings.add_id_to_interface:
        if settings.engine_id > 0x7F:
            log.warn("bridge %s: NetFlow port mangling may conflict with another vswitch, choose an engine "
                     "id less than 128", ofproto.name)  # fmt: skip
        if len(ofproto.ports) > 508:
            log.warn("bridge %s: NetFlow port mangling will conflict with another port when more than 508 "
                     "ports are used", ofproto.name)  # fmt: skip
    ofproto.set_netflow(settings)
