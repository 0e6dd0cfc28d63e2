"""`LoggedDpif`: a provider's datapath with every operation counted and logged.

Messages have Open vSwitch's shape ("system@ovs-system: failed to put[create] (File
exists) ..."); success is logged at debug, failure rate-limited at warning with its errno's text.
"""

from __future__ import annotations

import errno as errnos
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Level, Vlog
from vswitch.dpif.odp_format_key import format_key_attrs
from vswitch.dpif.odp_key import KEY_USERSPACE, encode_key
from vswitch.dpif.odp_text import format_actions, format_key, format_stats, format_ufid
from vswitch.dpif.ops import DpifFlow, Execute, FlowDel, FlowGet, FlowPut, FlowStats, Op, Upcall
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import (
    CtEntry,
    CtLimit,
    CtSettings,
    CtTimeoutNames,
    DpifError,
    DpifPort,
    DpifStats,
    EgressPolicing,
    IpfStatus,
    MeterConfig,
    MeterFeatures,
    MeterStats,
    Policing,
    PutFlags,
    QueueCounters,
)
from vswitch.flow import key_attr as attr
from vswitch.flow.flow import Flow
from vswitch.flow.packet_text import format_as
from vswitch.netlink.attrs import attributes

log = Vlog("dpif")
error_rl = RateLimit(60, 5)
T = TypeVar("T")

destroy_counter = coverage.counter("dpif_destroy")
port_add_counter = coverage.counter("dpif_port_add")
port_del_counter = coverage.counter("dpif_port_del")
flow_flush_counter = coverage.counter("dpif_flow_flush")
flow_put_counter = coverage.counter("dpif_flow_put")
flow_del_counter = coverage.counter("dpif_flow_del")
flow_get_counter = coverage.counter("dpif_flow_get")
execute_counter = coverage.counter("dpif_execute")
purge_counter = coverage.counter("dpif_purge")
meter_set_counter = coverage.counter("dpif_meter_set")
meter_get_counter = coverage.counter("dpif_meter_get")
meter_del_counter = coverage.counter("dpif_meter_del")


def log_operation(dpif: LoggedDpif, operation: str, error: DpifError | None, quiet: bool = False) -> None:
    """Log that `operation` succeeded (debug) or failed (warning; debug if `quiet`)."""
    if error is None:
        log.dbg("%s: %s success", dpif.full_name, operation)
    elif quiet:
        log.dbg("%s: %s failed (%s)", dpif.full_name, operation, _why(error))
    else:
        text = _why(error)
        log.warn_rl(error_rl, dpif.clock.now(), "%s: %s failed (%s)", dpif.full_name, operation, text)


def _why(error: DpifError) -> str:
    text = os.strerror(error.errno or 0)
    return f"{text}: {error.detail}" if error.detail else text


class LoggedDpif(Dpif):
    """A provider's datapath, with every operation counted and logged."""

    def __init__(self, provider: Dpif, clock: Clock) -> None:
        self.provider = provider
        self.clock = clock
        self.type = provider.type
        self.name = provider.name
        self.full_name = f"{self.type}@{self.name}"

    def _do(self, operation: str, fn: Callable[..., T], *args: object, quiet: tuple[int, ...] = ()) -> T:
        """`fn(*args)`, logged; errnos in `quiet` are an answer rather than a failure."""
        try:
            result = fn(*args)
        except DpifError as e:
            log_operation(self, operation, e, e.errno in quiet)
            raise
        if log.enabled(Level.DBG):
            log_operation(self, operation, None)
        return result

    def _ask(self, failed: str, quiet: tuple[int, ...], fn: Callable[..., T], *args: object) -> T:
        """`fn(*args)`; a failure is logged as what `failed`, at debug level with an errno in `quiet`."""
        try:
            return fn(*args)
        except DpifError as e:
            if e.errno in quiet:
                log.dbg("%s: %s: %s", self.full_name, failed, _why(e))
            else:
                log.warn_rl(error_rl, self.clock.now(), "%s: %s: %s", self.full_name, failed, _why(e))
            raise

    # The datapath as a whole.

    def close(self) -> None:
        self.provider.close()

    def destroy(self) -> None:
        destroy_counter.inc()
        self._do("delete", self.provider.destroy)

    def run(self) -> bool:
        return self.provider.run()

    def forward(self) -> None:
        self.provider.forward()

    def run_fds(self) -> list[int]:
        return self.provider.run_fds()

    def stats(self) -> DpifStats:
        return self._do("get_stats", self.provider.stats)

    # Ports.

    def port_add(
        self, name: str, type: str, port_no: int | None = None, options: dict[str, str] | None = None
    ) -> int:
        port_add_counter.inc()
        try:
            number = self.provider.port_add(name, type, port_no, options)
        except DpifError as e:
            now = self.clock.now()
            log.warn_rl(error_rl, now, "%s: failed to add %s as port: %s", self.full_name, name, _why(e))
            raise
        log.dbg("%s: added %s as port %d", self.full_name, name, number)
        return number

    def port_del(self, port_no: int) -> None:
        port_del_counter.inc()
        try:
            self.provider.port_del(port_no)
        except DpifError as e:
            log_operation(self, "port_del", e)
            raise
        log.dbg("%s: port_del(%d)", self.full_name, port_no)

    def port_query_by_number(self, port_no: int) -> DpifPort:
        what = f"failed to query port {port_no}"
        port = self._ask(what, (errnos.ENODEV,), self.provider.port_query_by_number, port_no)
        log.dbg("%s: port %d is device %s", self.full_name, port_no, port.name)
        return port

    def port_query_by_name(self, name: str) -> DpifPort:
        what = f"failed to query port {name}"
        port = self._ask(what, (errnos.ENODEV,), self.provider.port_query_by_name, name)
        log.dbg("%s: device %s is on port %d", self.full_name, name, port.port_no)
        return port

    def port_dump(self) -> list[DpifPort]:
        try:
            ports = self.provider.port_dump()
        except DpifError as e:
            log_operation(self, "port_dump_start", e)
            raise
        if log.enabled(Level.DBG):
            for step in ("port_dump_start", *["port_dump_next"] * len(ports)):
                log_operation(self, step, None)
            log.dbg("%s: dumped all ports", self.full_name)
        return ports

    def port_poll(self) -> set[str] | None:
        return self.provider.port_poll()

    def port_poll_fd(self) -> int:
        return self.provider.port_poll_fd()

    def get_max_ports(self) -> int:
        return self.provider.get_max_ports()

    def port_get_pid(self, port_no: int) -> int:
        return self.provider.port_get_pid(port_no)

    def port_stats(self, port_no: int) -> dict[str, int]:
        return self._do(f"port_stats({port_no})", self.provider.port_stats, port_no, quiet=(errnos.ENODEV,))

    # Flows.

    def flow_flush(self) -> None:
        flow_flush_counter.inc()
        self._do("flow_flush", self.provider.flow_flush)

    def flow_dump(self, terse: bool = False) -> Iterator[DpifFlow]:
        debug = log.enabled(Level.DBG)
        try:
            for flow in self.provider.flow_dump(terse):
                if debug:
                    log.dbg("%s: flow_dump %s", self.full_name, _dumped(flow, terse, self.clock.now()))
                yield flow
        except DpifError as e:
            log_operation(self, "flow_dump", e)
            raise
        if debug:
            log.dbg("%s: dumped all flows", self.full_name)
            log.dbg("%s: flow_dump_destroy success", self.full_name)

    def operate(self, ops: Sequence[Op]) -> None:
        self._operate(ops, log.enabled(Level.DBG))

    def answer(self, ops: Sequence[Op]) -> None:
        # A datapath of this process has no such operations in Open vSwitch; it tells of its flows itself.
        self._operate(ops, log.enabled(Level.DBG) and not self.provider.logs_upcalls)

    def _operate(self, ops: Sequence[Op], debug: bool) -> None:
        self.provider.operate(ops)
        puts = executes = 0
        for op in ops:
            kind = type(op)
            if kind is FlowPut:
                puts += 1
            elif kind is Execute:
                executes += 1
            elif kind is FlowDel:
                flow_del_counter.inc()
            else:
                flow_get_counter.inc()
            if op.error or debug:
                self._log_op(op)
        flow_put_counter.inc(puts)
        execute_counter.inc(executes)

    def _log_op(self, op: Op) -> None:
        level = _level_of(op)
        if log.enabled(level):
            if level == Level.DBG:
                log.dbg("%s", describe(self.full_name, op, self.clock.now()))
            elif error_rl.allow(self.clock.now()):
                log.warn("%s", describe(self.full_name, op, self.clock.now()))

    # Upcalls.

    def recv_set(self, enable: bool) -> None:
        self._do("recv_set", self.provider.recv_set, enable)

    def recv_purge(self) -> None:
        purge_counter.inc()
        self._do("recv_purge", self.provider.recv_purge)

    def recv(self, max_upcalls: int) -> list[Upcall]:
        upcalls = self.provider.recv(max_upcalls)
        if upcalls and log.enabled(Level.DBG) and not self.provider.logs_upcalls:
            for upcall in upcalls:
                kind, key = upcall.type.name.lower(), format_key(upcall.key, verbose=True)
                packet = format_as(upcall.packet, upcall.key)
                log.dbg("%s: %s upcall:\n%s\n%s", self.full_name, kind, key, packet)
        return upcalls

    def recv_fd(self) -> int:
        return self.provider.recv_fd()

    # Extras.

    def queue_to_priority(self, queue_id: int) -> int:
        return self.provider.queue_to_priority(queue_id)

    def tunnel_fits(self, name: str, type: str, options: Mapping[str, str]) -> bool:
        return self.provider.tunnel_fits(name, type, options)

    def reaches_alone(self, port_no: int) -> bool:
        return self.provider.reaches_alone(port_no)

    def why_not_alone(self, port_no: int) -> str:
        return self.provider.why_not_alone(port_no)

    def set_policing(self, port_no: int, policing: Policing) -> None:
        self._do(f"set_policing({port_no})", self.provider.set_policing, port_no, policing)

    def polices_egress(self) -> bool:
        return self.provider.polices_egress()

    def set_egress_policing(self, port_no: int, policing: EgressPolicing | None) -> None:
        what = f"set_egress_policing({port_no})"
        self._do(what, self.provider.set_egress_policing, port_no, policing)

    def egress_queues(self, port_no: int) -> dict[int, QueueCounters]:
        return self.provider.egress_queues(port_no)

    def set_tunnel_source_ports(self, low: int, high: int) -> None:
        self.provider.set_tunnel_source_ports(low, high)

    def set_vlan_limit(self, limit: int) -> None:
        self.provider.set_vlan_limit(limit)

    def cache_sizes(self) -> dict[str, int]:
        return self._do("cache_get_size", self.provider.cache_sizes)

    def cache_set_size(self, name: str, size: int) -> None:
        self._do(f"cache_set_size({name})", self.provider.cache_set_size, name, size)

    def bond_set(self, bond_id: int, members: Sequence[int]) -> None:
        self._do(f"bond_set({bond_id})", self.provider.bond_set, bond_id, members, quiet=(errnos.EOPNOTSUPP,))

    def bond_del(self, bond_id: int) -> None:
        self._do(f"bond_del({bond_id})", self.provider.bond_del, bond_id)

    def bond_stats(self, bond_id: int) -> Sequence[int]:
        return self._do(f"bond_stats({bond_id})", self.provider.bond_stats, bond_id)

    def bonds(self) -> dict[int, Sequence[int]]:
        return self.provider.bonds()

    def meter_features(self) -> MeterFeatures:
        return self.provider.meter_features()

    def meter_set(self, meter_id: int, config: MeterConfig) -> None:
        meter_set_counter.inc()
        self._ask(f"failed to set DPIF meter {meter_id}", (), self.provider.meter_set, meter_id, config)
        log.dbg("%s: DPIF meter %d set", self.full_name, meter_id)

    def meter_get(self, meter_id: int) -> MeterStats:
        meter_get_counter.inc()
        what = f"failed to get DPIF meter {meter_id} stats"
        stats = self._ask(what, (errnos.ENOENT,), self.provider.meter_get, meter_id)
        log.dbg("%s: DPIF meter %d get stats", self.full_name, meter_id)
        return stats

    def meter_del(self, meter_id: int) -> MeterStats:
        meter_del_counter.inc()
        what = f"failed to delete DPIF meter {meter_id}"
        stats = self._ask(what, (errnos.ENOENT,), self.provider.meter_del, meter_id)
        log.dbg("%s: DPIF meter %d deleted", self.full_name, meter_id)
        return stats

    def ct_dump(self, zone: int | None = None) -> Iterator[CtEntry]:
        return self._do("ct_dump", self.provider.ct_dump, zone)

    def ct_flush(
        self, zone: int | None = None, wanted: Callable[[CtEntry], bool] | None = None
    ) -> None:
        operation = "ct_flush" if zone is None else f"ct_flush(zone={zone})"
        self._do(operation, self.provider.ct_flush, zone, wanted)

    def ct_set_limits(self, limits: Sequence[CtLimit]) -> None:
        self._do("ct_set_limits", self.provider.ct_set_limits, limits)

    def ct_get_limits(self, zones: Sequence[int]) -> list[CtLimit]:
        return self._do("ct_get_limits", self.provider.ct_get_limits, zones)

    def ct_del_limits(self, zones: Sequence[int]) -> None:
        self._do("ct_del_limits", self.provider.ct_del_limits, zones)

    def ct_count(self) -> int:
        return self._do("ct_count", self.provider.ct_count)

    def ct_settings(self) -> CtSettings:
        return self._do("ct_settings", self.provider.ct_settings)

    def ct_configure(self, settings: CtSettings) -> None:
        self._do("ct_configure", self.provider.ct_configure, settings)

    def ct_set_timeouts(self, number: int, timeouts: Mapping[str, int]) -> CtTimeoutNames:
        return self._do("ct_set_timeouts", self.provider.ct_set_timeouts, number, timeouts)

    def ct_del_timeouts(self, number: int) -> None:
        self._do("ct_del_timeouts", self.provider.ct_del_timeouts, number)

    def ct_dump_timeouts(self) -> set[int]:
        return self._do("ct_dump_timeouts", self.provider.ct_dump_timeouts)

    def ipf_enable(self, family: int, enabled: bool) -> None:
        self._do("ipf_enable", self.provider.ipf_enable, family, enabled)

    def ipf_set_min_size(self, family: int, size: int) -> None:
        self._do("ipf_set_min_size", self.provider.ipf_set_min_size, family, size)

    def ipf_set_max_fragments(self, n: int) -> None:
        self._do("ipf_set_max_fragments", self.provider.ipf_set_max_fragments, n)

    def ipf_status(self) -> IpfStatus:
        return self._do("ipf_status", self.provider.ipf_status)

    # Introspection.

    def paths(self) -> dict[str, int]:
        return self.provider.paths()

    def show_channels(self) -> str:
        return self.provider.show_channels()

    def cached(self) -> dict[str, int]:
        return self.provider.cached()


def _level_of(op: Op) -> Level:
    """At which level an operation's outcome is logged.

    A probe's failure is an answer. EEXIST happens where misses of one batch overlap once their
    wildcards apply; ENOENT where a flow went away by itself.
    """
    if not op.error:
        return Level.DBG
    if isinstance(op, FlowPut):
        # The kernel says ENOENT of such an overlap if the flow may be there already.
        overlaps = op.error == errnos.ENOENT and bool(op.flags & PutFlags.CREATE)
        expected = op.error == errnos.EEXIST or overlaps or bool(op.flags & PutFlags.PROBE)
    elif isinstance(op, Execute):
        expected = op.probe
    elif isinstance(op, FlowDel | FlowGet):
        expected = op.error == errnos.ENOENT and not op.asked
    else:
        expected = False
    return Level.DBG if expected else Level.WARN


def _operation(op: Op) -> str:
    if isinstance(op, FlowPut):
        flags = ((PutFlags.CREATE, "create"), (PutFlags.MODIFY, "modify"), (PutFlags.ZERO_STATS, "zero"))
        return "put" + "".join(f"[{name}]" for flag, name in flags if op.flags & flag)
    return {FlowDel: "flow_del", FlowGet: "flow_get"}.get(type(op), "execute")


def _dumped(flow: DpifFlow, terse: bool, now: int) -> str:
    ufid = f"{format_ufid(flow.ufid)} " if flow.ufid else ""
    if terse:
        return f"{ufid}<empty>, {format_stats(flow.stats, now)}"
    key = format_key(flow.key, flow.mask, verbose=True)
    return f"{ufid}{key}, {format_stats(flow.stats, now)}, actions:{format_actions(flow.actions)}"


def _metadata(key: Flow) -> str:
    """What of a packet's key the packet itself doesn't say."""
    wanted = {attr.PRIORITY, attr.TUNNEL, attr.SKB_MARK, attr.IN_PORT}
    if key.ct_state:
        wanted |= {attr.CT_STATE, attr.CT_ZONE, attr.CT_MARK, attr.CT_LABELS,
                   attr.CT_ORIG_TUPLE_IPV4, attr.CT_ORIG_TUPLE_IPV6}
    if key.packet_type:
        wanted.add(attr.ETHERTYPE)
    data = encode_key(key, KEY_USERSPACE)
    shown = [data[at - 4 : at + (size + 3 & ~3)] for number, at, size in attributes(data) if number in wanted]
    return format_key_attrs(b"".join(shown), verbose=True)


def describe(dp: str, op: Op, now: int) -> str:
    """One line about an operation that `operate` carried out on datapath `dp`; `now` is the clock's ms."""
    why = os.strerror(op.error) if op.error else ""
    if op.detail:
        why += f": {op.detail}"
    if isinstance(op, Execute):
        said = f"failed to execute {format_actions(op.actions)} ({why})" if op.error else (
            f"execute {format_actions(op.actions)}"
        )
        packet = format_as(op.packet, op.key)
        return f"{dp}: {said} on packet {packet} with metadata {_metadata(op.key)} mtu {op.mtu}"
    words = [f"{dp}:", "failed to", _operation(op), f"({why})"] if op.error else [f"{dp}:", _operation(op)]
    if isinstance(op, FlowPut | FlowDel | FlowGet) and op.ufid:
        words.append(format_ufid(op.ufid))
    if isinstance(op, FlowPut):
        key = format_key(op.key, op.mask, verbose=True)
        words.append(f"{key}, actions:{format_actions(op.actions)}")
    elif isinstance(op, FlowDel):
        key = format_key(op.key, verbose=True)
        words.append(key if op.stats is None else f"{key}, {format_stats(op.stats, now)}")
    elif isinstance(op, FlowGet):
        got = op.flow
        key = "<empty>" if op.ufid else format_key(op.key, verbose=True)
        words.append(f"{key}, {format_stats(got.stats if got is not None else FlowStats(), now)}")
        if got is not None:
            words[-1] += f", actions:{format_actions(got.actions)}"
    return " ".join(words)
