"""The "ebpf" datapath behind the `Dpif` interface: a userspace datapath with an `Offload`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vswitch.base.clock import Clock
from vswitch.dpif.ebpf.device import open_device
from vswitch.dpif.ebpf.offload import Offload, open_offload
from vswitch.dpif.ops import DpifFlow, Execute, FlowDel, FlowGet, FlowPut, Op
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifStats, EgressPolicing, MeterConfig, MeterStats, Policing, PutFlags
from vswitch.dpif.userspace.datapath import Datapath, port_open_type
from vswitch.dpif.userspace.provider import UserspaceDpif, ufid_of
from vswitch.netdev.provider import Netdev
from vswitch.netdev.registry import DEFAULT_TYPE, open_type
from vswitch.netdev.scope import PROCESS, Scope

TYPE = "ebpf"


class EbpfDpif(UserspaceDpif):
    """An open datapath whose busy flows are in the kernel."""

    def __init__(self, name: str, clock: Clock, create: bool = True, scope: Scope = PROCESS) -> None:
        """DpifError as `UserspaceDpif`, and where the kernel refuses maps or programs."""
        super().__init__(name, clock, create, type=TYPE, scope=scope)

    def _make(self, name: str, type: str, clock: Clock, dummy: bool, scope: Scope) -> Datapath:
        dp = super()._make(name, type, clock, dummy, scope)
        try:
            dp.accelerator = open_offload(dp)
        except OSError:
            dp.close()
            raise
        return dp

    def _open_device(self, name: str, type: str) -> Netdev:
        opened_as = open_type(port_open_type(type, False), self._dp.scope)
        if opened_as not in (DEFAULT_TYPE, "tap"):
            return super()._open_device(name, type)
        return open_device(name, self._dp.scope, internal=opened_as == "tap")

    @property
    def offload(self) -> Offload:
        """The kernel's part."""
        found = self._dp.accelerator
        assert isinstance(found, Offload)
        return found

    def run(self) -> bool:
        more = self.offload.run()
        return super().run() or more

    def set_policing(self, port_no: int, policing: Policing) -> None:
        """What the kernel forwards is policed there, what comes up from there is here: each has buckets of
        its own."""
        super().set_policing(port_no, policing)
        policer = self._dp.ports[port_no].policer
        self.offload.police(port_no, [] if policer is None else [m.config for m in policer.meters])

    def polices_egress(self) -> bool:
        """Not here: the kernel forwards past what would police."""
        return False

    def set_egress_policing(self, port_no: int, policing: EgressPolicing | None) -> None:
        if policing is not None:
            raise self.lacks("set egress policing", str(port_no))

    # Flows.

    def operate(self, ops: Sequence[Op]) -> None:
        """Counters come up before a flow is read, changed or deleted; the kernel follows what was done."""
        offload = self.offload
        waiting: list[Op] = []
        for op in ops:
            if isinstance(op, Execute):
                waiting.append(op)
                continue
            if waiting:
                super().operate(waiting)
                waiting = []
            self._operate_flow(op, offload)
        if waiting:
            super().operate(waiting)

    def _operate_flow(self, op: Op, offload: Offload) -> None:
        assert isinstance(op, FlowPut | FlowGet | FlowDel)
        ufid = self._ufid_of_put(op) if isinstance(op, FlowPut) else op.ufid or ufid_of(op.key)
        if isinstance(op, FlowDel):
            offload.remove(ufid)
        else:
            offload.sync(ufid)
        super().operate([op])
        if op.error:
            return
        if isinstance(op, FlowPut) and not op.flags & PutFlags.PROBE:
            offload.put(self._dp.flows[ufid])
        elif isinstance(op, FlowGet) and op.flow is not None:
            self._say(op.flow)

    def flow_flush(self) -> None:
        self.offload.clear()
        super().flow_flush()

    def flow_dump(self, terse: bool = False) -> Iterator[DpifFlow]:
        self.offload.sync_all()
        for flow in super().flow_dump(terse):
            self._say(flow)
            yield flow

    def _say(self, flow: DpifFlow) -> None:
        """Where the flow is, and why."""
        if flow.ufid in self.offload.flows:
            flow.offloaded, flow.dp_layer = "yes", TYPE
        else:
            flow.offloaded = f"no ({self.offload.reasons.get(flow.ufid, 'not yet')})"

    def recv_purge(self) -> None:
        self.offload.run()
        super().recv_purge()

    # Meters.

    def meter_set(self, meter_id: int, config: MeterConfig) -> None:
        super().meter_set(meter_id, config)
        self.offload.meter_set(meter_id, config)

    def meter_get(self, meter_id: int) -> MeterStats:
        return self.offload.tables.meters.stats(meter_id, super().meter_get(meter_id))

    def meter_del(self, meter_id: int) -> MeterStats:
        stats = self.offload.tables.meters.stats(meter_id, super().meter_del(meter_id))
        self.offload.meter_deleted(meter_id)
        return stats

    # Counters.

    def stats(self) -> DpifStats:
        self.offload.sync_all()
        stats = super().stats()
        stats.n_cache_hit += self.offload.counters()["kernel cache"]
        return stats

    def drops(self) -> dict[str, int]:
        self.offload.sync_all()
        counts = super().drops()
        for port in self.offload.by_number.values():
            lost = self.offload.up.account(int(port.port.number))[2]
            if lost:
                counts[f"packets lost on the way up from port {port.port.number}"] = lost
        return counts

    def paths(self) -> dict[str, int]:
        self.offload.sync_all()
        return self.offload.counters()

    def show_channels(self) -> str:
        offload = self.offload
        lines = [super().show_channels().rstrip("\n"),
                 f"the ring: {offload.up.ring.size} bytes, {offload.up.ring.waiting()} waiting"]
        for number, port in sorted(offload.by_number.items()):
            sent, waiting, lost = offload.up.account(number)
            name = port.port.name
            lines.append(f"  port {number} ({name}): sent up {sent}, {waiting} bytes waiting, lost {lost}")
        return "\n".join(lines) + "\n"

    def cached(self) -> dict[str, int]:
        return {**super().cached(), "kernel flows": len(self.offload.flows),
                "kernel masks": len(self.offload.tables.subtables)}

    def queue_to_priority(self, queue_id: int) -> int:
        """A TC handle: the program sets it, and the port's qdisc obeys."""
        return Dpif.queue_to_priority(self, queue_id)
