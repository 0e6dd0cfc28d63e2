"""The "netdev" datapath behind the `Dpif` interface.

`UserspaceDpif` is an open `Datapath` (`datapath.py`). `run` does the forwarding: a few rounds over the
devices that have something, each round a batch a device, until nothing is left, upcalls wait, or the
round limit is reached.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator, Sequence

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from vswitch.base.blake2 import blake2b
from vswitch.base.clock import Clock
from vswitch.base.vlog import Level
from vswitch.dpif.key_mask import expressible
from vswitch.dpif.odp_compile import ActionError, compile_actions, single_output
from vswitch.dpif.ops import DpifFlow, Execute, FlowDel, FlowGet, FlowPut, FlowStats, Op, Upcall
from vswitch.dpif.provider import N_BUCKETS
from vswitch.dpif.types import (
    ODPP_NONE,
    DpifError,
    DpifPort,
    DpifStats,
    EgressPolicing,
    MeterConfig,
    MeterFeatures,
    MeterStats,
    Policing,
    PutFlags,
    QueueCounters,
)
from vswitch.dpif.userspace import flow_log, meter
from vswitch.dpif.userspace.bond import DatapathBond
from vswitch.dpif.userspace.ct import CtDpif
from vswitch.dpif.userspace.datapath import LOCAL_PORT, Datapath, port_open_type
from vswitch.dpif.userspace.egress_policer import EgressPolicer
from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.dpif.userspace.meter import Meter
from vswitch.dpif.userspace.policer import Policer
from vswitch.dpif.userspace.ports import Port
from vswitch.dpif.userspace.upcalls import QUEUE_LIMIT
from vswitch.flow.flow import Flow
from vswitch.netdev.frame import Frame
from vswitch.netdev.provider import Netdev, NetdevError
from vswitch.netdev.registry import DEFAULT_TYPE, netdev_close, netdev_open
from vswitch.netdev.scope import PROCESS, Scope

BATCH = 32
"""Frames taken from a device at a time."""
MAX_ROUNDS = 16
"""Rounds over the devices in one `run`."""
MAX_FLOWS = 200_000
MAX_PORTS = 0xFF00
RANK_INTERVAL = 1000
"""How often (ms) the classifier's subtables are ranked."""

CREATE, MODIFY, ZERO_STATS = int(PutFlags.CREATE), int(PutFlags.MODIFY), int(PutFlags.ZERO_STATS)


@mypyc_attr(allow_interpreted_subclasses=True)
class UserspaceDpif(CtDpif):
    """An open userspace datapath."""

    logs_upcalls = True

    def _make(self, name: str, type: str, clock: Clock, dummy: bool, scope: Scope) -> Datapath:
        """The state of a new datapath."""
        return Datapath(name, type, clock, dummy, scope)

    def _open_device(self, name: str, type: str) -> Netdev:
        """The device `name` of a port of `type`. NetdevError."""
        return netdev_open(name, port_open_type(type, self._dp.dummy), self._dp.scope)

    def __init__(
        self, name: str, clock: Clock, create: bool = True, dummy: bool = False, type: str = "netdev",
        number_by_name: bool = False, scope: Scope = PROCESS,
    ) -> None:
        """Open datapath `name`, making it with its local port if it is absent and `create`.

        `dummy`: its internal ports are dummies, not taps; `type` is what it is called then.
        `number_by_name`: port p3 gets number 3 where that is free, br3 103.
        DpifError: ENODEV if absent; EINVAL if it is of another type; what the local port's device says
        (EPERM without the right to make a tap).
        """
        self.name = name
        self.type: str = type
        found: Datapath | None = scope.datapaths.get(name)
        if found is not None and found.type != type:
            raise DpifError(errno.EINVAL, "open", f"{type}@{name}", f"that is of type {found.type}")
        if found is None:
            if not create:
                raise DpifError(errno.ENODEV, "open", f"{self.type}@{name}")
            found = self._make(name, type, clock, dummy, scope)
            found.number_by_name = number_by_name
            self._dp = found
            try:
                self.port_add(name, "internal", LOCAL_PORT)
            except DpifError:
                found.close()
                raise
            scope.datapaths[name] = found
        self._dp = found
        self._core = found.core
        self.tracker = found.core.tracker
        self.clock = found.clock

    def _error(self, code: int, operation: str, obj: str = "", detail: str = "") -> DpifError:
        name = f"{self.type}@{self.name}"
        return DpifError(code, operation, f"{name}: {obj}" if obj else name, detail)

    # The datapath as a whole.

    def close(self) -> None:
        """The datapath stays, and forwards whenever another opening runs it."""

    def destroy(self) -> None:
        known = self._dp.scope.datapaths
        if known.get(self.name) is self._dp:
            del known[self.name]
            self._dp.close()

    def run(self) -> bool:
        busy = self._forward()
        if self._core.tracker.busy() and self._core.tracker.run(self._dp.clock.now()):
            busy = True
        if self._dp.vanished:
            self._core.flush()
            self._dp.remove_vanished()
        return busy

    def forward(self) -> None:
        self._forward()

    def _forward(self) -> bool:
        """Rounds over the devices that have something, until none has or the upcalls need a turn."""
        dp = self._dp
        core = self._core
        now = dp.clock.now()
        if now - dp.ranked_at >= RANK_INTERVAL:
            dp.ranked_at = now
            core.dpcls.rank()
        by_fd = dp.by_fd
        queues = dp.queues
        for _ in range(MAX_ROUNDS):
            busy = False
            for fd, events in dp.epoll.poll(0):
                port = by_fd.get(fd)
                if port is None:
                    if dp.links is not None:
                        dp.links.run()
                    continue
                if port.host is not None:
                    if core.receive_by_host(port, now, BATCH):
                        busy = True
                        core.flush()
                    continue
                frames = port.netdev.recv(BATCH)
                if frames:
                    busy = True
                    if port.policer is not None:
                        frames = core.police(port, frames, now)
                    core.process(port.number, frames, now)
                    core.flush()
                elif events & ~select.EPOLLIN:
                    dp.note_error(port)
            if not busy:
                return False
            if queues.want_a_turn():
                break
        return True

    def run_fds(self) -> list[int]:
        return [self._dp.epoll.fileno()]

    def stats(self) -> DpifStats:
        core = self._core
        cls = core.dpcls
        return DpifStats(
            n_hit=int(core.n_hit), n_missed=int(core.n_missed), n_lost=int(core.n_lost),
            n_flows=len(self._dp.flows), n_mask_hit=int(cls.subtables_tried),
            n_masks=len(cls.subtables), n_cache_hit=int(core.n_emc_hit),
        )

    def drops(self) -> dict[str, int]:
        """Packets dropped so far, by reason; and the upcalls lost, by port."""
        counts = dict(self._core.drops)
        for number, n in self._dp.queues.lost_by_port.items():
            counts[f"upcalls lost on port {number}"] = n
        return counts

    def show_channels(self) -> str:
        names = {port.port_no: port.name for port in self.port_dump()}
        queues = self._dp.queues
        state = f"a queue of {QUEUE_LIMIT} upcalls a port" if queues.fd >= 0 else "not receiving"
        head = f"{self.type}@{self.name}: {state}, lost {queues.lost}"
        return "\n".join([head, *queues.show(names)]) + "\n"

    # Ports.

    def port_add(self, name: str, type: str, port_no: int | None = None,
                 options: dict[str, str] | None = None) -> int:
        dp = self._dp
        if name in dp.by_name:
            raise self._error(errno.EEXIST, "port add", name)
        if port_no is not None and port_no != ODPP_NONE:
            if port_no in dp.ports:
                raise self._error(errno.EBUSY, "port add", name, f"port {port_no} is taken")
            if not 0 <= port_no < MAX_PORTS:
                raise self._error(errno.EFBIG, "port add", name)
            number = port_no
        else:
            number = self._free_port(name)
            if number < 0:
                raise self._error(errno.EFBIG, "port add", name)
        try:
            netdev = self._open_device(name, type)
        except NetdevError as e:
            raise self._error(e.errno or errno.EIO, "port add", name, e.strerror or "") from e
        try:
            if options:
                netdev.set_config(options)
            dp.attach(number, name, type or DEFAULT_TYPE, netdev)
        except OSError as e:
            netdev_close(netdev, dp.scope)
            raise self._error(e.errno or errno.EIO, "port add", name, e.strerror or "") from e
        return number

    def _free_port(self, name: str) -> int:
        """The number that the name suggests where names do, else the lowest free one above the local
        port; -1 if there is none."""
        ports = self._dp.ports
        if self._dp.number_by_name:
            number = _number_in(name)
            if 0 < number < MAX_PORTS and number not in ports:
                return number
        for number in range(1, MAX_PORTS):
            if number not in ports:
                return number
        return -1

    def _port(self, port_no: int, operation: str, code: int = errno.ENODEV) -> Port:
        port = self._dp.ports.get(port_no)
        if port is None:
            raise self._error(code, operation, f"port {port_no}")
        return port

    def port_del(self, port_no: int) -> None:
        if port_no == LOCAL_PORT:
            raise self._error(errno.EINVAL, "port del", "the local port")
        port = self._port(port_no, "port del", errno.ENOENT)
        self._core.flush()
        self._dp.detach(port)
        self._dp.note_change(port.name)

    def port_query_by_number(self, port_no: int) -> DpifPort:
        port = self._port(port_no, "port query")
        return DpifPort(port.name, port.type, int(port.number))

    def port_query_by_name(self, name: str) -> DpifPort:
        port = self._dp.by_name.get(name)
        if port is None:
            raise self._error(errno.ENODEV, "port query", name)
        return DpifPort(port.name, port.type, int(port.number))

    def port_dump(self) -> list[DpifPort]:
        ports = self._dp.ports
        return [DpifPort(ports[n].name, ports[n].type, n) for n in sorted(ports)]

    def port_poll(self) -> set[str] | None:
        dp = self._dp
        names = dp.changed
        if names:
            os.eventfd_read(dp.changed_fd)
            dp.changed = set()
        return names

    def port_poll_fd(self) -> int:
        return self._dp.changed_fd

    def get_max_ports(self) -> int:
        return MAX_PORTS

    def port_get_pid(self, port_no: int) -> int:
        """There is no Netlink here: a packet joins the queue of the port where it came in."""
        return 0

    def port_stats(self, port_no: int) -> dict[str, int]:
        return self._port(port_no, "port stats").netdev.stats().of_port()

    def netdev(self, port_no: int) -> Netdev:
        """The device behind a port; ENODEV."""
        return self._port(port_no, "port query").netdev

    # Flows.

    def flow_flush(self) -> None:
        for entry in self._dp.flows.values():
            entry.dead = True
        self._dp.flows.clear()
        self._core.dpcls.clear()
        self._core.emc.clear()

    def flow_dump(self, terse: bool = False) -> Iterator[DpifFlow]:
        nothing = Flow()
        for entry in list(self._dp.flows.values()):
            if entry.dead:
                continue
            if terse:
                yield DpifFlow(nothing, nothing, (), _flow_stats(entry), entry.ufid)
            else:
                yield _dpif_flow(entry)

    def operate(self, ops: Sequence[Op]) -> None:
        for op in ops:
            op.error = 0
            op.detail = ""
            if isinstance(op, FlowPut):
                self._flow_put(op)
            elif isinstance(op, Execute):
                self._execute(op)
            elif isinstance(op, FlowDel):
                self._flow_del(op)
            elif isinstance(op, FlowGet):
                entry = self._dp.flows.get(op.ufid or ufid_of(op.key))
                if entry is None:
                    op.error = errno.ENOENT
                else:
                    op.flow = _dpif_flow(entry)
            else:
                op.error = errno.EINVAL
        self._core.flush()

    def _ufid_of_put(self, op: FlowPut) -> bytes:
        """The UFID that `op` has; if it has none, that of the flow that has such packets, or a new one."""
        if op.ufid:
            return op.ufid
        entry = self._core.dpcls.find(op.key.words)
        return ufid_of(op.key) if entry is None else entry.ufid

    def _flow_put(self, op: FlowPut) -> None:
        dp = self._dp
        mask = op.mask if op.mask.vlan_tci else expressible(op.mask, op.key)
        ufid = self._ufid_of_put(op)
        entry = dp.flows.get(ufid)
        flags = int(op.flags)
        if entry is None and not flags & CREATE:
            op.error = errno.ENOENT
            return
        if entry is not None and not flags & MODIFY:
            op.error = errno.EEXIST
            return
        try:
            program = compile_actions(op.actions)
        except ActionError as e:
            op.error, op.detail = e.errno, str(e)
            return
        added = entry is None
        if entry is None:
            if len(dp.flows) >= MAX_FLOWS:
                op.error = errno.EFBIG
                return
            entry = self._core.dpcls.add(op.key, mask, ufid)
            if entry is None:
                op.error, op.detail = errno.EEXIST, "a flow of this key and mask has another ufid"
                return
            dp.flows[ufid] = entry
        elif op.ufid and (mask != entry.mask or not op.key.equal_in(entry.key, mask)):
            op.error, op.detail = errno.EINVAL, "the flow of this ufid has another key or mask"
            return
        if flow_log.log.most >= Level.DBG:
            flow_log.log_flow(op.key, mask, ufid, None if added else entry.actions, op.actions)
        entry.program = program
        entry.actions = op.actions
        entry.out_port = single_output(op.actions)
        if op.want_stats:
            op.stats = _flow_stats(entry)
        if flags & ZERO_STATS:
            entry.n_packets = 0
            entry.n_bytes = 0
            entry.used = 0
            entry.tcp_flags = 0

    def _flow_del(self, op: FlowDel) -> None:
        entry = self._dp.flows.pop(op.ufid or ufid_of(op.key), None)
        if entry is None:
            op.error = errno.ENOENT
            return
        self._core.dpcls.remove(entry)
        entry.dead = True
        op.stats = _flow_stats(entry)

    def _execute(self, op: Execute) -> None:
        try:
            program = compile_actions(op.actions)
        except ActionError as e:
            op.error, op.detail = e.errno, str(e)
            return
        if op.key.packet_type == 0 and len(op.packet) < 14:
            op.error, op.detail = errno.EINVAL, "the packet is shorter than an Ethernet header"
            return
        frame = op.offload
        if not isinstance(frame, Frame) or frame.data is not op.packet:
            frame = Frame(op.packet)
        self._core.execute(frame, op.key, program, self._dp.clock.now())

    # Upcalls.

    def recv_set(self, enable: bool) -> None:
        if enable:
            self._dp.queues.enable()
        else:
            self._dp.queues.disable()

    def recv_purge(self) -> None:
        self._dp.queues.purge()

    def recv(self, max_upcalls: int) -> list[Upcall]:
        upcalls = self._dp.queues.take(max_upcalls)
        if upcalls and flow_log.log.most >= Level.DBG:
            flow_log.log_upcalls(self.name, upcalls)
        return upcalls

    def recv_fd(self) -> int:
        return self._dp.queues.fd

    # Queues.

    def queue_to_priority(self, queue_id: int) -> int:
        """The queue's own number: there are no TC handles here."""
        return queue_id

    def reaches_alone(self, port_no: int) -> bool:
        port = self._dp.ports.get(port_no)
        return port is not None and port.host is not None

    def why_not_alone(self, port_no: int) -> str:
        port = self._dp.ports.get(port_no)
        return port.host_refused if port is not None else ""

    def set_policing(self, port_no: int, policing: Policing) -> None:
        port = self._core.port(port_no)
        if port is None:
            raise self._error(errno.ENODEV, "set policing", str(port_no))
        limits = policing.kbits or policing.kpkts
        port.policer = Policer(policing, self.clock.now()) if limits else None

    def polices_egress(self) -> bool:
        return True

    def set_egress_policing(self, port_no: int, policing: EgressPolicing | None) -> None:
        port = self._core.port(port_no)
        if port is None:
            raise self._error(errno.ENODEV, "set egress policing", str(port_no))
        port.egress = None if policing is None else EgressPolicer(policing, self.clock.now())

    def egress_queues(self, port_no: int) -> dict[int, QueueCounters]:
        port = self._core.port(port_no)
        return {} if port is None or port.egress is None else port.egress.counters()

    def set_tunnel_source_ports(self, low: int, high: int) -> None:
        self._core.tunnel_port_min = low
        self._core.tunnel_port_max = high

    def set_vlan_limit(self, limit: int) -> None:
        self._core.executor.vlan_limit = limit

    # Bonds.

    def bond_set(self, bond_id: int, members: Sequence[int]) -> None:
        if len(members) != N_BUCKETS:
            raise self._error(errno.EINVAL, "bond set", str(bond_id), f"{len(members)} members")
        known = self._core.bonds.get(bond_id)
        if known is None:
            self._core.bonds[bond_id] = DatapathBond(vec[i64](members))
        else:
            known.members = vec[i64](members)

    def _bond(self, bond_id: int, operation: str) -> DatapathBond:
        found = self._core.bonds.get(bond_id)
        if found is None:
            raise self._error(errno.ENOENT, operation, str(bond_id))
        return found

    def bond_del(self, bond_id: int) -> None:
        self._bond(bond_id, "bond del")
        del self._core.bonds[bond_id]

    def bond_stats(self, bond_id: int) -> Sequence[int]:
        return [int(n) for n in self._bond(bond_id, "bond stats").n_bytes]

    def bonds(self) -> dict[int, Sequence[int]]:
        return {bond_id: [int(n) for n in bond.members] for bond_id, bond in self._core.bonds.items()}

    # Meters.

    def meter_features(self) -> MeterFeatures:
        return meter.FEATURES

    def meter_set(self, meter_id: int, config: MeterConfig) -> None:
        if not 0 <= meter_id < meter.MAX_METERS:
            raise self._error(errno.EFBIG, "meter set", f"meter {meter_id}")
        if not meter.is_valid(config):
            raise self._error(errno.EINVAL, "meter set", f"meter {meter_id}")
        self._core.meters[meter_id] = Meter(config, self._dp.clock.now())

    def _meter(self, meter_id: int, operation: str) -> Meter:
        found = self._core.meters.get(meter_id)
        if found is None:
            raise self._error(errno.ENOENT, operation, f"meter {meter_id}")
        return found

    def meter_get(self, meter_id: int) -> MeterStats:
        return self._meter(meter_id, "meter get").stats()

    def meter_del(self, meter_id: int) -> MeterStats:
        stats = self._meter(meter_id, "meter del").stats()
        del self._core.meters[meter_id]
        return stats

    def cached(self) -> dict[str, int]:
        core = self._core
        core.emc.sweep()
        return {"masks": len(core.dpcls.subtables), "emc entries": int(core.emc.count),
                "flows": len(self._dp.flows), "meters": len(core.meters)}


def _number_in(name: str) -> int:
    """The number that a port's name has in it, 100 more for a bridge's; 0 if it has none."""
    digits = ""
    for c in name:
        if "0" <= c <= "9":
            digits += c
        elif digits:
            break
    if not digits or len(digits) > 9:
        return 0
    return int(digits) + (100 if name.startswith("br") else 0)


def ufid_of(key: Flow) -> bytes:
    """A ufid for a flow that came without one: a digest of its key."""
    return blake2b(key.key(), digest_size=16).digest()


def _flow_stats(entry: FlowEntry) -> FlowStats:
    return FlowStats(int(entry.n_packets), int(entry.n_bytes), int(entry.used), int(entry.tcp_flags))


def _dpif_flow(entry: FlowEntry) -> DpifFlow:
    return DpifFlow(entry.key.copy(), entry.mask.copy(), entry.actions, _flow_stats(entry), entry.ufid)
