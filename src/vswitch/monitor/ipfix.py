"""IPFIX: sampled packets gathered to flows, and exported (RFC 7011; elements of IANA's registry).

`Ipfix` is one exporter: of a bridge, or of a set of collectors that `sample` actions name. A flow is what has
the same key (`ipfix_record.py`); it is exported `cache_active_timeout` after its first packet, at once
without a cache, or when there are more of them than the cache may have. Counters called "total" are those
of the exporter's whole life, as they were at the flow's last packet: so does Open vSwitch.
"""

from __future__ import annotations

import struct
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.records import dataclass
from vswitch.monitor.ipfix_record import (
    IPFIX_OPTIONS_TEMPLATE,
    IpfixPacket,
    key_of,
    options_template,
    template_id,
    template_sets,
)
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6

IPFIX_VERSION: Final = 10
PORT_DEFAULT: Final = 4739
SAMPLING_DEFAULT: Final = 400
TEMPLATE_INTERVAL_DEFAULT: Final = 600
"""Seconds between two transmissions of the templates (RFC 7011 section 8.4), and of the statistics."""
MAX_MESSAGE: Final = 1400

# Why a flow was exported (RFC 5102 section 5.11.3).
ACTIVE_TIMEOUT, FORCED_END, LACK_OF_RESOURCES = 2, 4, 5

_MESSAGE: Final = struct.Struct("!HHIII")
_SET: Final = struct.Struct("!HH")
_COMMON: Final = struct.Struct("!II13QB")
_IP: Final = struct.Struct("!10Q")
_TCP: Final = struct.Struct("!6Q")
BROADCAST: Final = 0xFFFFFFFFFFFF
MULTICAST: Final = 1 << 40
MASK64: Final = 0xFFFFFFFFFFFFFFFF

ipfix_records = coverage.counter("ipfix_records")
ipfix_flows_early = coverage.counter("ipfix_flows_early")


@dataclass(frozen=True)
class IpfixSettings:
    """A row of IPFIX. Times in seconds; `sampling` and the three flags count for a bridge's exporter."""

    targets: tuple[str, ...]
    sampling: int = SAMPLING_DEFAULT
    obs_domain_id: int = 0
    obs_point_id: int = 0
    cache_active_timeout: int = 0
    cache_max_flows: int = 0
    virtual_obs_id: str = ""
    template_interval: int = TEMPLATE_INTERVAL_DEFAULT
    stats_interval: int = TEMPLATE_INTERVAL_DEFAULT
    input_sampling: bool = True
    output_sampling: bool = True
    tunnel_sampling: bool = True


@dataclass(frozen=True)
class IpfixSampling:
    """What translation needs: of 2^32 - 1 the chance that the bridge samples a packet (0: it doesn't), and
    where."""

    probability: int = 0
    input: bool = False
    output: bool = False
    tunnels: bool = False


@dataclass
class IpfixCounts:
    """What an exporter did, as `dump-ipfix-bridge` and `dump-ipfix-flow` show it."""

    flows: int = 0
    packets: int = 0
    ipv4: int = 0
    ipv6: int = 0
    errors: int = 0
    ipv4_errors: int = 0
    ipv6_errors: int = 0
    messages: int = 0
    message_errors: int = 0


@dataclass
class _Totals:
    """Counters of an exporter's life."""

    packets: int = 0
    octets: int = 0
    octets_squared: int = 0
    layer2: int = 0
    dropped: int = 0
    dropped_octets: int = 0
    in_unicast: int = 0
    in_multicast: int = 0
    in_broadcast: int = 0
    out_unicast: int = 0
    out_broadcast: int = 0
    multicast: int = 0
    multicast_octets: int = 0
    ack: int = 0
    fin: int = 0
    psh: int = 0
    rst: int = 0
    syn: int = 0
    urg: int = 0


@final
class _Flow:
    """What was sampled of one flow. Times are clock ms; `common`, `ip` and `tcp` are totals as they were at
    its last packet."""

    __slots__ = ("dropped", "dropped_octets", "first", "has_ip", "has_tcp", "largest", "last", "layer2",
                 "multicast", "multicast_octets", "octets", "octets_squared", "packets", "smallest",
                 "totals")  # fmt: skip

    def __init__(self, now: int, has_ip: bool, has_tcp: bool) -> None:
        self.first: int = now
        self.last: int = now
        self.has_ip: bool = has_ip
        self.has_tcp: bool = has_tcp
        self.packets: int = 0
        self.layer2: int = 0
        self.octets: int = 0
        self.octets_squared: int = 0
        self.smallest: int = MASK64
        self.largest: int = 0
        self.dropped: int = 0
        self.dropped_octets: int = 0
        self.multicast: int = 0
        self.multicast_octets: int = 0
        self.totals: tuple[int, ...] = ()


FlowKey = tuple[int, int, bytes]
"""Observation domain, template, the record's key."""


@final
class Ipfix:
    """The flows of one exporter; `process` is its number among the exporters of the switch."""

    def __init__(self, settings: IpfixSettings, process: int) -> None:
        self.settings: IpfixSettings = settings
        self.counts: IpfixCounts = IpfixCounts()
        self.flows: dict[FlowKey, _Flow] = {}
        """In the order of their first packets."""
        self._process = process
        self._totals = _Totals()
        self._sequence = 1
        self._templates_sent: dict[int, int] = {}
        """Observation domain -> clock ms."""
        self._stats_sent: int | None = None
        self._due: list[tuple[FlowKey, _Flow, int]] = []
        self._virtual_id = settings.virtual_obs_id.encode()[:254]

    def sample(self, packet: IpfixPacket, n: int, domain: int, point: int, now: int) -> None:
        """A packet that stands for `n` was sampled at observation point `point`."""
        counts = self.counts
        parser = packet.parser
        is_v4, is_v6 = parser.dl_type == ETH_TYPE_IP, parser.dl_type == ETH_TYPE_IPV6
        counts.packets += 1
        broken = (is_v4 or is_v6) and parser.l4_ofs < 0
        if broken:
            # Neither ports nor flags: a later fragment, or a header cut short.
            counts.errors += 1
            counts.ipv4_errors += is_v4
            counts.ipv6_errors += is_v6
        else:
            counts.ipv4 += is_v4
            counts.ipv6 += is_v6
        identity = template_id(packet)
        key = (domain, identity, key_of(packet, point, self._virtual_id))
        flow = self.flows.get(key)
        if flow is None:
            counts.flows += 1
            flow = self.flows[key] = _Flow(now, is_v4 or is_v6, packet.is_tcp)
        self._count(flow, packet, n, now)
        settings = self.settings
        if not settings.cache_active_timeout:
            self._due.append((key, self.flows.pop(key), ACTIVE_TIMEOUT))
        elif len(self.flows) > settings.cache_max_flows:
            oldest = next(iter(self.flows))
            self._due.append((oldest, self.flows.pop(oldest), LACK_OF_RESOURCES))
            ipfix_flows_early.inc()

    def _count(self, flow: _Flow, packet: IpfixPacket, n: int, now: int) -> None:
        t = self._totals
        parser = packet.parser
        size = len(packet.packet) * n
        flow.last = now
        flow.packets += n
        flow.layer2 += size
        t.packets += n
        t.layer2 += size
        octets = 0
        if flow.has_ip:
            octets = int(parser.l3_end - parser.l3_ofs)
            flow.smallest = min(flow.smallest, octets)
            flow.largest = max(flow.largest, octets)
            flow.octets += octets * n
            flow.octets_squared += octets * octets * n
            t.octets += octets * n
            t.octets_squared += octets * octets * n
        if packet.dropped:
            flow.dropped += n
            flow.dropped_octets += octets * n
            t.dropped += n
            t.dropped_octets += octets * n
        dst = parser.dl_dst
        if dst == BROADCAST:
            if packet.egress:
                t.out_broadcast += n
            else:
                t.in_broadcast += n
        elif dst & MULTICAST:
            if packet.egress:
                flow.multicast += n
                flow.multicast_octets += octets * n
                t.multicast += n
                t.multicast_octets += octets * n
            else:
                t.in_multicast += n
        elif packet.egress:
            t.out_unicast += n
        else:
            t.in_unicast += n
        if flow.has_tcp:
            flags = int(parser.tcp_flags)
            t.fin += flags & 1
            t.syn += flags >> 1 & 1
            t.rst += flags >> 2 & 1
            t.psh += flags >> 3 & 1
            t.ack += flags >> 4 & 1
            t.urg += flags >> 5 & 1
        flow.totals = (
            t.dropped, t.packets, t.in_unicast, t.in_multicast, t.in_broadcast, t.out_unicast,
            t.out_broadcast, t.multicast, t.layer2, t.dropped_octets, t.octets, t.octets_squared,
            t.multicast_octets, t.ack, t.fin, t.psh, t.rst, t.syn, t.urg,
        )  # fmt: skip

    # Time.

    def run(self, now: int, wall: float) -> list[bytes]:
        """The messages that are due. `wall` is seconds since the epoch."""
        timeout = self.settings.cache_active_timeout * 1000
        while self.flows:
            key, flow = next(iter(self.flows.items()))
            if now < flow.first + timeout:
                break
            del self.flows[key]
            self._due.append((key, flow, ACTIVE_TIMEOUT))
        return self._messages(now, wall)

    def finish(self, now: int, wall: float) -> list[bytes]:
        """Everything that was not exported yet, because nothing more will be sampled."""
        self._due += [(key, flow, FORCED_END) for key, flow in self.flows.items()]
        self.flows.clear()
        return self._messages(now, wall)

    def wakeup(self, now: int) -> int:
        """Clock ms of the next flow that is due."""
        if self._due:
            return now
        if not self.flows:
            return 1 << 62
        return next(iter(self.flows.values())).first + self.settings.cache_active_timeout * 1000

    # Messages.

    def _messages(self, now: int, wall: float) -> list[bytes]:
        due, self._due = self._due, []
        messages: list[bytes] = []
        at = 0
        while at < len(due):
            domain = due[at][0][0]
            self._introduce(messages, domain, now, wall)
            sets: list[bytes] = []
            size = _MESSAGE.size
            n = 0
            while at < len(due) and due[at][0][0] == domain:
                key, flow, reason = due[at]
                record = _record(key[2], flow, reason, now)
                if sets and size + len(record) + _SET.size > MAX_MESSAGE:
                    break
                sets.append(_SET.pack(key[1], len(record) + _SET.size) + record)
                size += len(record) + _SET.size
                n += 1
                at += 1
            messages.append(self._message(domain, b"".join(sets), wall))
            self._sequence = (self._sequence + n) & 0xFFFFFFFF
            ipfix_records.inc(n)
        return messages

    def _introduce(self, messages: list[bytes], domain: int, now: int, wall: float) -> None:
        """Templates before the first record of a domain and in intervals after, and the statistics."""
        settings = self.settings
        sent = self._templates_sent.get(domain)
        if sent is None or now >= sent + settings.template_interval * 1000:
            self._templates_sent[domain] = now
            chunks = template_sets(bool(self._virtual_id), MAX_MESSAGE - _MESSAGE.size)
            messages += [self._message(domain, chunk, wall) for chunk in chunks]
        if self._stats_sent is None or now >= self._stats_sent + settings.stats_interval * 1000:
            self._stats_sent = now
            messages.append(self._message(0, options_template(), wall))
            record = struct.pack("!HHIQ", IPFIX_OPTIONS_TEMPLATE, 16, self._process,
                                 self.counts.message_errors)
            messages.append(self._message(0, record, wall))
            self._sequence = (self._sequence + 1) & 0xFFFFFFFF

    def _message(self, domain: int, sets: bytes, wall: float) -> bytes:
        return _MESSAGE.pack(IPFIX_VERSION, _MESSAGE.size + len(sets), int(wall) & 0xFFFFFFFF,
                             self._sequence, domain) + sets  # fmt: skip


def _record(key: bytes, flow: _Flow, reason: int, now: int) -> bytes:
    (dropped, packets, in_unicast, in_multicast, in_broadcast, out_unicast, out_broadcast, multicast, layer2,
     dropped_octets, octets, octets_squared, multicast_octets, *tcp) = flow.totals  # fmt: skip
    ack, fin, psh, rst, syn, urg = tcp
    data = key + _COMMON.pack(
        (now - flow.first) * 1000 & 0xFFFFFFFF, (now - flow.last) * 1000 & 0xFFFFFFFF,
        flow.dropped, dropped, flow.packets, packets, in_unicast, in_multicast, in_broadcast, out_unicast,
        out_broadcast, flow.multicast, multicast, flow.layer2, layer2, reason,
    )  # fmt: skip
    if flow.has_ip:
        data += _IP.pack(
            flow.dropped_octets, dropped_octets, flow.octets, octets, flow.octets_squared & MASK64,
            octets_squared & MASK64, flow.smallest, flow.largest, flow.multicast_octets, multicast_octets,
        )  # fmt: skip
    if flow.has_tcp:
        data += _TCP.pack(ack, fin, psh, rst, syn, urg)
    return data
