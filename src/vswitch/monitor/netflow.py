"""NetFlow version 5: IPv4 flows counted, and exported (Cisco, NetFlow Export Datagram Format, version 5).

A flow is what came in at one port with the same addresses, protocol, ports and type of service. It is
exported when it ends, as the datapath has not seen it for a while or takes it elsewhere, and until then at
the end of every `active_timeout` in which it had packets. It is forgotten after one without. A datagram has
up to 30 flows; its sequence number is the number of flows exported before it.
"""

from __future__ import annotations

import struct
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.records import dataclass

NETFLOW_VERSION: Final = 5
ACTIVE_TIMEOUT_DEFAULT: Final = 600
"""Seconds."""
MAX_RECORDS: Final = 30
"""Flows a datagram: 1,464 bytes."""
MAX_FLOWS: Final = 65536
"""Flows that are counted at a time; more are exported at once, the longest known first."""
PORTS_WITH_ID: Final = 0x1FF
"""The bits that a port keeps when the engine's id is put before it."""

_HEADER: Final = struct.Struct("!HHIIIIBBH")
"""version, count, uptime (ms), seconds and nanoseconds of the time, sequence, engine type, id, sampling."""
_RECORD: Final = struct.Struct("!IIIHHIIIIHHxBBBHHBBxx")
"""source, destination, next hop, input, output, packets, bytes, first and last (ms of uptime), ports, TCP
flags, protocol, type of service, and what is of routers."""

netflow_records = coverage.counter("netflow_records")
netflow_flows_early = coverage.counter("netflow_flows_early")


@dataclass(frozen=True)
class NetFlowSettings:
    """A row of NetFlow. `active_timeout` in seconds; 0: never."""

    targets: tuple[str, ...]
    engine_type: int = 0
    engine_id: int = 0
    active_timeout: int = ACTIVE_TIMEOUT_DEFAULT
    add_id_to_interface: bool = False


@dataclass(frozen=True)
class FlowKey:
    """What makes packets one flow. `tp_dst` of ICMP is type and code."""

    in_port: int
    nw_src: int
    nw_dst: int
    nw_proto: int
    nw_tos: int
    tp_src: int
    tp_dst: int


@final
class CountedFlow:
    """A flow and what it counted since it was last exported. Times are clock ms."""

    __slots__ = ("exported", "first", "last", "n_bytes", "n_packets", "output", "tcp_flags")

    def __init__(self, output: int, now: int) -> None:
        self.output: int = output
        self.n_packets: int = 0
        self.n_bytes: int = 0
        self.tcp_flags: int = 0
        self.first: int = now
        self.last: int = now
        self.exported: int = now


@final
class NetFlow:
    """The flows of one bridge. `boot` is the clock ms that its uptime counts from."""

    def __init__(self, settings: NetFlowSettings, boot: int) -> None:
        self.settings: NetFlowSettings = settings
        self.flows: dict[FlowKey, CountedFlow] = {}
        """In the order in which they are due."""
        self._boot = boot
        self._sequence = 0
        self._ended: list[tuple[FlowKey, CountedFlow]] = []

    def configure(self, settings: NetFlowSettings) -> None:
        """Take new settings; what was counted stays."""
        self.settings = settings

    def count(self, key: FlowKey, output: int, n_packets: int, n_bytes: int, tcp_flags: int,
              now: int) -> None:
        """`n_packets` more of flow `key` left by port `output` (or what stands for none, several or a
        flood), the last one at `now`."""
        if not n_packets:
            return
        flow = self.flows.get(key)
        if flow is None:
            if len(self.flows) >= MAX_FLOWS:
                self.end(next(iter(self.flows)))
                netflow_flows_early.inc()
            flow = self.flows[key] = CountedFlow(output, now)
        elif not flow.n_packets:
            flow.first = now
        flow.output = output
        flow.n_packets += n_packets
        flow.n_bytes += n_bytes
        flow.tcp_flags |= tcp_flags
        flow.last = max(flow.last, now)

    def end(self, key: FlowKey) -> None:
        """Flow `key` has ended: what it counted is to be exported at the next turn."""
        flow = self.flows.pop(key, None)
        if flow is not None and flow.n_packets:
            self._ended.append((key, flow))

    def run(self, now: int, wall: float) -> list[bytes]:
        """The datagrams that are due. `wall` is seconds since the epoch."""
        due, self._ended = self._ended, []
        timeout = self.settings.active_timeout * 1000
        while timeout and self.flows:
            key, flow = next(iter(self.flows.items()))
            if now < flow.exported + timeout:
                break
            del self.flows[key]
            if flow.n_packets:
                due.append((key, flow))
                again = self.flows[key] = CountedFlow(flow.output, now)
                again.last = flow.last
        return self._datagrams([(k, f) for k, f in due if f.n_packets], now, wall)

    def finish(self, now: int, wall: float) -> list[bytes]:
        """Everything that has not been exported, because nothing more will be counted."""
        due = [(key, flow) for key, flow in (*self._ended, *self.flows.items()) if flow.n_packets]
        self._ended = []
        self.flows.clear()
        return self._datagrams(due, now, wall)

    def wakeup(self, now: int) -> int:
        """Clock ms of the next flow that is due."""
        if self._ended:
            return now
        if not self.flows or not self.settings.active_timeout:
            return 1 << 62
        return next(iter(self.flows.values())).exported + self.settings.active_timeout * 1000

    def _datagrams(self, due: list[tuple[FlowKey, CountedFlow]], now: int, wall: float) -> list[bytes]:
        made = []
        settings = self.settings
        for start in range(0, len(due), MAX_RECORDS):
            chunk = due[start : start + MAX_RECORDS]
            header = _HEADER.pack(
                NETFLOW_VERSION, len(chunk), (now - self._boot) & 0xFFFFFFFF, int(wall) & 0xFFFFFFFF,
                int(wall % 1 * 1_000_000_000), self._sequence, settings.engine_type, settings.engine_id, 0,
            )  # fmt: skip
            made.append(header + b"".join(self._record(key, flow) for key, flow in chunk))
            self._sequence = (self._sequence + len(chunk)) & 0xFFFFFFFF
            netflow_records.inc(len(chunk))
        return made

    def _record(self, key: FlowKey, flow: CountedFlow) -> bytes:
        return _RECORD.pack(
            key.nw_src, key.nw_dst, 0, self._interface(key.in_port), self._interface(flow.output),
            min(flow.n_packets, 0xFFFFFFFF), min(flow.n_bytes, 0xFFFFFFFF),
            (flow.first - self._boot) & 0xFFFFFFFF, (flow.last - self._boot) & 0xFFFFFFFF,
            key.tp_src, key.tp_dst, flow.tcp_flags & 0xFF, key.nw_proto, key.nw_tos, 0, 0, 0, 0,
        )  # fmt: skip

    def _interface(self, port: int) -> int:
        if self.settings.add_id_to_interface:
            return (self.settings.engine_id & 0x7F) << 9 | port & PORTS_WITH_ID
        return port & 0xFFFF
