"""`Offload`: what the kernel has of one userspace datapath, kept in step with it.

It hears of ports (`userspace.datapath.Accelerator`) and flows, puts those flows that fit into `Tables`, takes
packets from the ring into the datapath's core, and brings counters up.
"""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Sequence
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.records import dataclass
from vswitch.base.signed import high32
from vswitch.base.vlog import Vlog
from vswitch.dpif import actions as act
from vswitch.dpif.drop_reasons import DROP_REASONS, drop_reason
from vswitch.dpif.ebpf import walk
from vswitch.dpif.ebpf.attach import MAX_TCX, Attachment, attach
from vswitch.dpif.ebpf.code import Code, compile_list
from vswitch.dpif.ebpf.device import Counted, EbpfTap
from vswitch.dpif.ebpf.interpret import TTL_OVER
from vswitch.dpif.ebpf.key import K_RECIRC, Unfit, exact_type, fit
from vswitch.dpif.ebpf.programs import Programs
from vswitch.dpif.ebpf.ring import MISS, Record, UpRing, frame_of, skb_layout
from vswitch.dpif.ebpf.tables import (
    FIRST_REASON,
    OTHER_REASON,
    ActionList,
    Counter,
    Kind,
    Subtable,
    Tables,
)
from vswitch.dpif.ebpf.tunnels import Tunnels, set_outer
from vswitch.dpif.odp_compile import compile_actions
from vswitch.dpif.odp_execute import Packet
from vswitch.dpif.odp_step import Step
from vswitch.dpif.types import DpifError, MeterConfig, MeterStats
from vswitch.dpif.userspace.core import DROP_POLICER, new_flow
from vswitch.dpif.userspace.datapath import Datapath
from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.dpif.userspace.ports import Port
from vswitch.flow import layout as at
from vswitch.netdev.frame import Frame
from vswitch.netdev.tunnel import TunnelNetdev

log = Vlog("dpif_ebpf")
_ORDER: Final = sys.byteorder

MAX_LIMITS: Final = 2
"""Meters that police a port: one of bits and one of packets."""
RING_BATCH: Final = 64
"""Packets taken from the ring at a time."""
MAX_BATCHES: Final = 64
"""Batches in one `run`: all that a port's quota holds, for a packet of another port may be behind it. Those
that miss wait in their port's queue, where ports are served in turn."""
RANK_INTERVAL: Final = 1000
"""How often (ms) masks are ranked."""

offloaded_counter = coverage.counter("dpif_ebpf_offload")
unfit_counter = coverage.counter("dpif_ebpf_unfit")
stale_counter = coverage.counter("dpif_ebpf_stale_upcall")


@dataclass(eq=False)
class KernelPort:
    """A port with the program at it."""

    port: Port
    ifindex: int
    attachment: Attachment
    counted: Counted | None
    """Of a tap or a tunnel; None for other devices."""
    tunnel_port: int = 0
    """The UDP port of a tunnel."""

    @property
    def local(self) -> bool:
        """Whether it is a tap: output to it is into the host's own stack."""
        return self.counted is not None and not self.tunnel_port


@dataclass(eq=False)
class KernelFlow:
    """A flow that is in the kernel. `read` are the counters when last read: packets, bytes."""

    entry: FlowEntry
    actions: act.Actions
    slot: int
    key: bytes
    masked: tuple[int, ...]
    subtable: Subtable
    used: ActionList | None
    cookies: list[int]
    in_port: int
    outputs: tuple[int, ...]
    """Every port that it outputs to, in order; conditional ones too."""
    dropped: str
    """The reason for which all of its packets are dropped in the end; "" if none is."""
    packets: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """What the kernel is to do with a flow's packets."""

    kind: Kind
    argument: int
    code: bytes
    cookies: list[int]
    outputs: tuple[int, ...]
    dropped: str = ""


@final
class Offload:
    """The kernel's part of datapath `dp`."""

    def __init__(self, dp: Datapath) -> None:
        """DpifError where the kernel refuses maps or programs; nothing stays behind then."""
        self.dp = dp
        self.tables = Tables()
        try:
            self.up = UpRing(skb_layout())
        except OSError:
            self.tables.close()
            raise
        try:
            self.programs = Programs(self.tables, self.up)
        except OSError:
            self.up.close()
            self.tables.close()
            raise
        self.tunnels = Tunnels()
        self.ports: dict[int, KernelPort] = {}
        """By interface index."""
        self.by_number: dict[int, KernelPort] = {}
        self.flows: dict[bytes, KernelFlow] = {}
        self.by_slot: dict[int, KernelFlow] = {}
        self.reasons: dict[bytes, str] = {}
        """UFID -> why the flow is in userspace only."""
        self._policers: dict[int, tuple[act.Meter, ...]] = {}
        """Port -> the meters that its packets go through first. They are the kernel's only, so their numbers
        are negative."""
        self._n_policed: dict[int, int] = {}
        """Port -> packets that they dropped, as far as that was counted."""
        self._n_dropped: dict[int, int] = {}
        """Number of a reason -> packets, as far as they were counted."""
        self._cookies: dict[int, tuple[Step, int]] = {}
        self._next_cookie = 1
        self.n_hit = 0
        self._ranked = 0
        dp.epoll.register(self.up.ring.map.fd, select.EPOLLIN)

    # Ports.

    def port_attached(self, port: Port) -> None:
        """Put the program at the port's device, if that is one of the kernel's."""
        if port.name in self.tunnels.devices:
            self._tunnel_attached(port)
            return
        ifindex = port.netdev.ifindex()
        if not ifindex:
            return
        counted = None
        if isinstance(port.netdev, EbpfTap):
            counted = port.netdev.in_kernel
            port.netdev.sync = self.sync_all
        local = counted is not None
        number = int(port.number)
        self.up.add_port(ifindex, number, local)
        try:
            tcx = sum(not p.local for p in self.ports.values()) < MAX_TCX
            attachment = attach(self.programs.classify, ifindex, local, tcx)
        except OSError:
            self.up.remove_port(ifindex)
            raise
        kernel_port = KernelPort(port, ifindex, attachment, counted)
        self.ports[ifindex] = self.by_number[number] = kernel_port
        self._again(number)

    def receives_for(self, port: Port, tunnel: TunnelNetdev) -> bool:
        """Whether the kernel has a device for the tunnel."""
        if not self.tunnels.make(port.name, tunnel):
            return False
        device = self.tunnels.devices[port.name]

        def elsewhere() -> dict[str, int]:
            self.sync_all()
            return device.counters()

        tunnel.counted_elsewhere = elsewhere
        return True

    def _tunnel_attached(self, port: Port) -> None:
        device = self.tunnels.devices[port.name]
        number = int(port.number)
        self.up.add_port(device.ifindex, number, local=False)
        try:
            attachment = attach(self.programs.tunnel, device.ifindex, local=False)
        except OSError:
            self.up.remove_port(device.ifindex)
            self.tunnels.delete(port.name)
            raise
        kernel_port = KernelPort(port, device.ifindex, attachment, device.counted, device.udp_port)
        self.ports[device.ifindex] = self.by_number[number] = kernel_port
        self._again(number)

    def port_moved(self, port: Port) -> None:
        """A tap has gone into another namespace, where no program reaches it, or has come back from there."""
        if port.netdev.gone or not isinstance(port.netdev, EbpfTap):
            return
        there = self.by_number.get(int(port.number))
        ifindex = port.netdev.ifindex()
        if there is not None and there.port is port and there.ifindex != ifindex:
            self.port_detached(port)
            there = None
        if there is None and ifindex and self.dp.ports.get(int(port.number)) is port:
            try:
                self.port_attached(port)
            except OSError as e:
                log.warn("%s: its packets stay in userspace: %s", port.name, e.strerror or e)

    def port_detached(self, port: Port) -> None:
        """Take the program away, and flows from and to the port out of the kernel."""
        kernel_port = self.by_number.get(int(port.number))
        if kernel_port is None or kernel_port.port is not port:
            return
        kernel_port.attachment.close()
        self.up.remove_port(kernel_port.ifindex)
        del self.ports[kernel_port.ifindex]
        del self.by_number[int(port.number)]
        if kernel_port.tunnel_port:
            self.tunnels.delete(port.name)
        self._unpolice(int(port.number))
        self._put_again_from_kernel(int(port.number))

    def police(self, number: int, limits: Sequence[MeterConfig]) -> None:
        """Have what comes in at port `number` go through meters of `limits` before anything else."""
        self._unpolice(number)
        meters = tuple(act.Meter(-1 - MAX_LIMITS * number - i) for i in range(len(limits)))
        for meter, config in zip(meters, limits, strict=True):
            self.tables.meters.set(meter.meter_id, config, time.monotonic_ns())
        if meters:
            self._policers[number] = meters
        self._again(number)

    def _unpolice(self, number: int) -> None:
        self._count_policed()
        self._n_policed.pop(number, None)
        for meter in self._policers.pop(number, ()):
            self.tables.meters.delete(meter.meter_id)

    def _exceeded(self, meter: act.Meter) -> int:
        return self.tables.meters.stats(meter.meter_id, MeterStats(0, 0, [(0, 0)])).bands[0][0]

    def _count_policed(self) -> None:
        """Bring up how many packets the kernel's policers have dropped."""
        for number, meters in self._policers.items():
            dropped = sum(self._exceeded(meter) for meter in meters)
            self.dp.core.drop(DROP_POLICER, dropped - self._n_policed.get(number, 0))
            self._n_policed[number] = dropped

    def _count_dropped(self) -> None:
        """Bring up what action lists dropped with a reason, as far as no flow's own counter tells."""
        for number in (*range(len(DROP_REASONS)), OTHER_REASON):
            n = self.tables.counter(FIRST_REASON + number)
            before = self._n_dropped.get(number, 0)
            if n != before:
                self.dp.core.drop(drop_reason(number), n - before)
                self._n_dropped[number] = n

    def _put_again_from_kernel(self, number: int) -> None:
        """Flows in the kernel that name port `number` mean another device now, or none."""
        for flow in list(self.flows.values()):
            if flow.in_port == number or number in flow.outputs:
                self.put(flow.entry)

    def _again(self, number: int) -> None:
        """The same of all flows: those in userspace only may fit now."""
        self._put_again_from_kernel(number)
        for ufid in list(self.reasons):
            entry = self.dp.flows.get(ufid)
            if entry is not None and (entry.key.in_port == number or number in walk.outputs(entry.actions)):
                self.put(entry)

    # Flows.

    def put(self, entry: FlowEntry) -> None:
        """The datapath has this flow with these actions: so has the kernel, if it can."""
        ufid = entry.ufid
        now = self.dp.clock.now()
        try:
            self._put(entry, now)
        except Unfit as e:
            self.remove(ufid)
            self.reasons[ufid] = str(e)
            unfit_counter.inc()

    def _put(self, entry: FlowEntry, now: int) -> None:
        number = int(entry.key.in_port)
        port = self.by_number.get(number)
        if port is None:
            raise Unfit("its packets come from no device of the kernel")
        key, mask = fit(entry.key, entry.mask, port.ifindex, port.tunnel_port)
        flow = self.flows.get(entry.ufid)
        if flow is not None and flow.key != key:
            self.remove(entry.ufid)
            flow = None
        plan = self._plan(entry)
        used: ActionList | None = None
        try:
            if plan.kind == Kind.LIST:
                used = self.tables.use_list(plan.code, now)
            if flow is None:
                flow = self._insert(entry, key, mask, number, plan, used, now)
            else:
                self._sync(flow)
                old = flow.used, flow.cookies
                flow.used, flow.cookies = used, plan.cookies
                flow.actions, flow.outputs, flow.dropped = entry.actions, plan.outputs, plan.dropped
                self.tables.set_actions(flow.slot, plan.kind, used.number if used else plan.argument)
                self._leave(*old, now)
        except Unfit:
            self._leave(used, plan.cookies, now)
            raise
        self.reasons.pop(entry.ufid, None)

    def _insert(self, entry: FlowEntry, key: bytes, mask: bytes, number: int, plan: Plan,
                used: ActionList | None, now: int) -> KernelFlow:
        again = key[K_RECIRC : K_RECIRC + 4] != bytes(4)
        subtable = self.tables.subtable(mask, exact_type(entry.key, entry.mask), again)
        masked = subtable.masked(key)
        slot = -1
        try:
            slot = self.tables.add_slot(subtable, masked, now)
            self.tables.set_actions(slot, plan.kind, used.number if used else plan.argument)
            self.tables.insert(subtable, masked, slot)
        except Unfit:
            if slot >= 0:
                self.tables.drop_slot(slot, now)
            self.tables.drop_unused(subtable)
            raise
        flow = KernelFlow(entry, entry.actions, slot, key, masked, subtable, used, plan.cookies, number,
                          plan.outputs, plan.dropped)
        self.flows[entry.ufid] = self.by_slot[slot] = flow
        offloaded_counter.inc()
        return flow

    def _leave(self, used: ActionList | None, cookies: Sequence[int], now: int) -> None:
        if used is not None:
            self.tables.leave_list(used, now)
        for cookie in cookies:
            self._cookies.pop(cookie, None)

    def _plan(self, entry: FlowEntry) -> Plan:
        """Unfit says what the kernel can't do."""
        actions = entry.actions
        outputs = tuple(walk.outputs(actions))
        if self._policers and not entry.key.recirc_id:
            actions = self._policers.get(int(entry.key.in_port), ()) + actions
        actions, dropped = walk.until_drop(actions)
        if not actions:
            return Plan(Kind.DROP, 0, b"", [], outputs, dropped)
        if len(actions) == 1 and isinstance(actions[0], act.Output):
            ifindex, local, tunnel_port = self._output(actions[0].port)
            if tunnel_port:
                raise Unfit("it outputs to a tunnel, and doesn't say which")
            return Plan(Kind.LOCAL if local else Kind.OUTPUT, ifindex, b"", [], outputs, dropped)
        cookies: list[int] = []

        def cookie(action: act.Userspace, limit: int) -> int:
            step = compile_actions((action,))[0]
            step.whole = entry.actions
            number = self._next_cookie
            self._next_cookie = self._next_cookie % 0xFFFFFFF0 + 1
            self._cookies[number] = (step, limit)
            cookies.append(number)
            return number

        try:
            meter = self.tables.meters.number
            came = self.by_number[int(entry.key.in_port)].tunnel_port != 0
            code = compile_list(Code(entry.key, entry.mask, self._output, cookie, meter, came), actions)
        except Unfit:
            self._leave(None, cookies, 0)
            raise
        return Plan(Kind.LIST, 0, code, cookies, outputs, dropped)

    def _output(self, number: int) -> tuple[int, bool, int]:
        port = self.by_number.get(number)
        if port is None:
            raise Unfit(f"port {number} has no device of the kernel")
        return port.ifindex, port.local, port.tunnel_port

    def meter_set(self, meter_id: int, config: MeterConfig) -> None:
        """The datapath has this meter now."""
        self.tables.meters.set(meter_id, config, time.monotonic_ns())
        self._meter_changed(meter_id)

    def meter_deleted(self, meter_id: int) -> None:
        """The datapath has it no more."""
        self.tables.meters.delete(meter_id)
        self._meter_changed(meter_id)

    def _meter_changed(self, meter_id: int) -> None:
        for ufid in (*self.flows, *self.reasons):
            entry = self.dp.flows.get(ufid)
            if entry is not None and meter_id in walk.meters(entry.actions):
                self.put(entry)

    def remove(self, ufid: bytes) -> None:
        """The flow is not to be in the kernel any more; its counters are up to date then."""
        self.reasons.pop(ufid, None)
        flow = self.flows.pop(ufid, None)
        if flow is None:
            return
        now = self.dp.clock.now()
        self.tables.remove(flow.subtable, flow.masked)
        self._sync(flow)
        del self.by_slot[flow.slot]
        self.tables.drop_slot(flow.slot, now)
        self._leave(flow.used, flow.cookies, now)

    def clear(self) -> None:
        """All flows are gone."""
        for ufid in list(self.flows):
            self.remove(ufid)
        self.reasons.clear()

    # Counters.

    def sync(self, ufid: bytes) -> None:
        """Bring what the kernel counted for a flow into it."""
        flow = self.flows.get(ufid)
        if flow is not None:
            self._sync(flow)

    def sync_all(self) -> None:
        """The same for all flows."""
        for flow in self.flows.values():
            self._sync(flow)
        self._count_policed()
        self._count_dropped()
        now = self.dp.clock.now()
        if now - self._ranked >= RANK_INTERVAL:
            self._ranked = now
            self.tables.age()

    def _sync(self, flow: KernelFlow) -> None:
        tables = self.tables
        if tables.packets(flow.slot) == flow.packets:
            return
        packets, size, used, flags = tables.read_stats(flow.slot)
        n, n_bytes = packets - flow.packets, size - flow.bytes
        flow.packets, flow.bytes = packets, size
        flow.subtable.hits += n
        flow.subtable.lately += n
        self.n_hit += n
        core = self.dp.core
        core.n_hit += n
        if flow.dropped:
            core.drop(flow.dropped, n)
        entry = flow.entry
        entry.n_packets += n
        entry.n_bytes += n_bytes
        ago = max(0, (time.monotonic_ns() - used) // 1_000_000)
        entry.used = max(int(entry.used), self.dp.clock.now() - ago, 1)
        entry.tcp_flags |= int.from_bytes(flags.to_bytes(8, _ORDER)[:2], "big") & 0xFFF
        source = self.by_number.get(flow.in_port)
        if source is not None and source.counted is not None:
            source.counted.rx_packets += n
            source.counted.rx_bytes += n_bytes
        for number in flow.outputs:
            target = self.by_number.get(number)
            if target is not None and target.counted is not None:
                target.counted.tx_packets += n
                target.counted.tx_bytes += n_bytes

    # The turn of the main loop.

    def run(self) -> bool:
        """Take what came up the ring into the datapath. True if there is more to do at once."""
        dp = self.dp
        for _ in range(MAX_BATCHES):
            records = self.up.take(RING_BATCH)
            if not records:
                return False
            self._process(records)
            dp.core.flush()
        return self.up.ring.waiting() > 0

    def _process(self, records: Sequence[tuple[Record, bytes]]) -> None:
        """Hand packets to the datapath's core, those of a port that follow each other at once."""
        core = self.dp.core
        now = self.dp.clock.now()
        core.now = now
        together: list[Frame] = []
        number = -1
        for record, data in records:
            port = self.ports.get(record.ifindex)
            if port is None:
                stale_counter.inc()
                continue
            self.up.taken(int(port.port.number), record.length)
            frame = frame_of(record, data)
            plain = record.kind == MISS and not record.recirc_id
            if together and (not plain or number != int(port.port.number)):
                self._process_of_port(number, together, now)
                together = []
            number = int(port.port.number)
            if plain:
                together.append(frame)
            else:
                self._one(record, frame, number, now)
        if together:
            self._process_of_port(number, together, now)

    def _process_of_port(self, number: int, frames: list[Frame], now: int) -> None:
        core = self.dp.core
        port = self.dp.ports.get(number)
        core.process(number, frames if port is None else core.police(port, frames, now), now)

    def _one(self, record: Record, frame: Frame, number: int, now: int) -> None:
        """A packet that is on its way through a flow's actions already."""
        core = self.dp.core
        packet = Packet(frame, new_flow(number), number)
        words = packet.flow.words
        if record.tunnel is not None:
            set_outer(packet.flow, record.tunnel, self.ports[record.ifindex].tunnel_port)
            core.executor.extract(packet)
            core.look_up(packet)
            return
        words[at.W_PKT_MARK] = record.mark
        words[at.W_DP_HASH] = high32(record.dp_hash, 0)
        if record.kind == MISS:
            core.recirculate(record.recirc_id, packet)
            return
        flow = self.by_slot.get(record.slot)
        if record.argument == TTL_OVER:
            if flow is not None:
                core.run(flow.entry.program, packet)
            return
        step, limit = self._cookies.get(record.argument, (None, 0))
        if step is None:
            stale_counter.inc()
            return
        if flow is not None:
            packet.ufid = flow.entry.ufid
        packet.max_len = limit
        core.userspace(step, packet)

    # Asked from outside.

    def counters(self) -> dict[str, int]:
        """Packets by where they went, after `sync_all`."""
        t = self.tables
        looked_up = t.counter(Counter.LOOKUP)
        return {
            "kernel cache": max(0, self.n_hit - looked_up),
            "kernel lookup": looked_up,
            "userspace flow": int(self.dp.core.n_hit) - self.n_hit,
            "upcall": int(self.dp.core.n_missed),
            "sent up": t.counter(Counter.UP),
            "lost on the way up": t.counter(Counter.LOST),
            "dropped by a failed action": t.counter(Counter.ACTION_FAILED),
            "dropped by a meter": t.counter(Counter.METERED),
        }

    def close(self) -> None:
        """Take everything out of the kernel."""
        for port in list(self.ports.values()):
            port.attachment.close()
            if isinstance(port.port.netdev, EbpfTap):
                port.port.netdev.sync = None
        self.ports.clear()
        self.by_number.clear()
        self.flows.clear()
        self.programs.close()
        self.up.close()
        self.tables.close()
        self.tunnels.close()


def open_offload(dp: Datapath) -> Offload:
    """The kernel's part of `dp`. DpifError says what the kernel lacks."""
    try:
        return Offload(dp)
    except OSError as e:
        why = str(e.strerror or e).partition("\n")[0]
        raise DpifError(e.errno or 22, "open", f"ebpf@{dp.name}", why) from e
