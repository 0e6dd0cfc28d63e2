"""Rows of NetFlow, sFlow, IPFIX and Flow_Sample_Collector_Set as settings."""

from __future__ import annotations

from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.bridge.agent_address import agent_address
from vswitch.bridge.columns import boolean, integer, one
from vswitch.bridge.idl import Idl, Row
from vswitch.monitor.ipfix import SAMPLING_DEFAULT as IPFIX_SAMPLING_DEFAULT
from vswitch.monitor.ipfix import TEMPLATE_INTERVAL_DEFAULT, IpfixSettings
from vswitch.monitor.local_sample import LocalSample
from vswitch.monitor.netflow import ACTIVE_TIMEOUT_DEFAULT, NetFlowSettings
from vswitch.monitor.sflow import (
    HEADER_DEFAULT,
    POLLING_DEFAULT,
    PORT_DEFAULT,
    SAMPLING_DEFAULT,
    SFlowSettings,
)
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif

log = Vlog("bridge")
_local_limit = RateLimit(1, 1)


def configure_netflow(ofproto: OfprotoDpif, idl: Idl, bridge: Row) -> None:
    """Have the bridge export flows as its row of NetFlow asks, if it has one."""
    row = next(iter(idl.refs(bridge, "netflow")), None)
    if row is None:
        ofproto.set_netflow(None)
        return
    engine_id = one(row, "engine_id")
    settings = NetFlowSettings(
        targets=tuple(sorted(row.targets)),
        engine_type=one(row, "engine_type") or 0,
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


def configure_sflow(ofproto: OfprotoDpif, idl: Idl, bridge: Row) -> None:
    """Have the bridge sample packets as its row of sFlow asks, if it has one."""
    row = next(iter(idl.refs(bridge, "sflow")), None)
    if row is None:
        ofproto.set_sflow(None)
        return
    targets = tuple(sorted(row.targets))
    addresses = ofproto.backer.dp.underlay.addresses
    agent = agent_address(one(row, "agent") or "", targets, PORT_DEFAULT, addresses)
    if agent is None and not one(row, "agent"):
        agent = next((one(c, "local_ip") for c in idl.refs(bridge, "controller") if c.local_ip), None)
    if agent is None:
        log.err("bridge %s: could not determine IP address for sFlow agent", ofproto.name)
        ofproto.set_sflow(None)
        return
    sampling, polling, header = (one(row, name) for name in ("sampling", "polling", "header"))
    # The bridges of an agent are told apart by their order.
    sampled = sorted(other.name for other in idl.rows("Bridge") if other.sflow)
    ofproto.set_sflow(SFlowSettings(
        targets, agent,
        SAMPLING_DEFAULT if sampling is None else sampling & 0xFFFFFFFF,
        POLLING_DEFAULT if polling is None else max(polling, 0),
        HEADER_DEFAULT if header is None else max(header, 0),
        sampled.index(bridge.name),
    ))  # fmt: skip


def configure_ipfix(ofproto: OfprotoDpif, idl: Idl, bridge: Row) -> None:
    """Have the bridge export packets by IPFIX as its own row asks, if it has one, and as those of its sets of
    collectors do."""
    row = next(iter(idl.refs(bridge, "ipfix")), None)
    flows = {}
    for collectors in idl.rows("Flow_Sample_Collector_Set"):
        if any(owner.name == bridge.name for owner in idl.refs(collectors, "bridge")):
            for one in idl.refs(collectors, "ipfix"):
                if one.targets:
                    flows[collectors.id] = _ipfix(one)
    own = None
    if row is not None and row.targets:
        own = _ipfix(row)
    ofproto.set_ipfix(own, flows)


def configure_local_sampling(ofproto: OfprotoDpif, idl: Idl, bridge: Row) -> None:
    """Have `sample` actions leave packets with the kernel's psample, as the bridge's sets of collectors ask;
    what the datapath can't do of that is logged."""
    groups: dict[int, int] = {}
    for collectors in idl.rows("Flow_Sample_Collector_Set"):
        group = one(collectors, "local_group_id")
        if group is not None and any(owner.name == bridge.name for owner in idl.refs(collectors, "bridge")):
            groups[collectors.id] = group
    if groups and not ofproto.backer.dp.support.psample:
        log.warn_rl(_local_limit, ofproto.now(), "bridge %s: the datapath can't sample locally "
                    "(no psample action); local_group_id of collector set %s has no effect",
                    ofproto.name, ", ".join(map(str, sorted(groups))))  # fmt: skip
        groups = {}
    had = ofproto.xbridge.local_groups
    if groups != {number: sample.group for number, sample in had.items()}:
        ofproto.xbridge.local_groups = {
            number: had[number] if number in had and had[number].group == group else LocalSample(group)
            for number, group in groups.items()
        }
        ofproto.backer.need(RevReason.RECONFIGURE)


def _ipfix(row: Row) -> IpfixSettings:
    other = row.other_config

    def number(column: str, default: int) -> int:
        value = one(row, column)
        return default if value is None else value

    return IpfixSettings(
        tuple(sorted(row.targets)),
        number("sampling", IPFIX_SAMPLING_DEFAULT),
        number("obs_domain_id", 0),
        number("obs_point_id", 0),
        number("cache_active_timeout", 0),
        number("cache_max_flows", 0),
        other.get("virtual_obs_id", ""),
        integer(other, "template_interval", TEMPLATE_INTERVAL_DEFAULT, 1, 3600),
        integer(other, "stats_interval", TEMPLATE_INTERVAL_DEFAULT, 1, 3600),
        boolean(other, "enable-input-sampling", True),
        boolean(other, "enable-output-sampling", True),
        boolean(other, "enable-tunnel-sampling", True),
    )
