"""sFlow version 5: datagrams of flow and counter samples (sFlow.org, sFlow Version 5, section 5).

`SFlow` is one agent's sub-agent, that of a bridge. Samples gather until a datagram is full or `take` asks
for what there is. Extended records: sFlow Tunnel Structures (2012), OpenFlow Structures (2014), LACP
Structures (2012), Host Structures (2010).
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.records import dataclass

SFLOW_VERSION: Final = 5
SAMPLING_DEFAULT: Final = 400
POLLING_DEFAULT: Final = 30
"""Seconds."""
HEADER_DEFAULT: Final = 128
"""Bytes of a packet that a sample has."""
PORT_DEFAULT: Final = 6343
MAX_DATAGRAM: Final = 1400
"""A datagram longer than this holds one sample only."""
BRIDGE_INDEX: Final = 1000
"""The physical entity that stands for bridge n is 1000 + n."""
PHYSICAL_ENTITY: Final = 2
"""Class of data sources; 0 is an interface by its ifIndex (section 5.3)."""
UNKNOWN: Final = 0xFFFFFFFF
"""A 32-bit counter that there is no number for."""

# What `output` of a flow sample says in its upper two bits (section 5.3, struct flow_sample).
OUT_DROPPED: Final = 0x40000100
"""Discarded, for no known reason (code 256)."""
OUT_MULTIPLE: Final = 0x80000000
"""Several interfaces; the low bits say how many."""

FLOW_SAMPLE, COUNTERS_SAMPLE = 1, 2
# Records of flow samples.
RAW_HEADER, EXT_SWITCH, EXT_MPLS = 1, 1001, 1006
EXT_IPV4_TUNNEL_EGRESS, EXT_IPV4_TUNNEL_INGRESS = 1023, 1024
EXT_VNI_EGRESS, EXT_VNI_INGRESS = 1029, 1030
# Records of counter samples.
IF_COUNTERS, ETHERNET_COUNTERS, LACP_COUNTERS = 1, 2, 7
OPENFLOW_PORT, PORT_NAME, APP_RESOURCES, OVS_COUNTERS = 1004, 1005, 2203, 2207

ETHERNET: Final = 1
"""Protocol of sampled headers."""
ETHERNET_CSMACD: Final = 6
FCS: Final = 4
"""Bytes of the frame check sequence, which counts although the switch never sees it."""

_SAMPLE: Final = struct.Struct("!II")
_FLOW: Final = struct.Struct("!20I")
"""A flow sample's head, its extended switch record, and the head of its raw packet record."""
_TUNNEL: Final = struct.Struct("!IIIIIIIIII")
_IF: Final = struct.Struct("!IIQIIQIIIIIIQIIIIII")

sflow_flow_samples = coverage.counter("sflow_flow_samples")
sflow_counter_samples = coverage.counter("sflow_counter_samples")


@dataclass(frozen=True)
class SFlowSettings:
    """A row of sFlow. One of `sampling` packets is sampled, 0: none; `polling` in seconds, 0: no counters.
    `sub_id` tells the bridges of an agent apart."""

    targets: tuple[str, ...]
    agent: str
    sampling: int = SAMPLING_DEFAULT
    polling: int = POLLING_DEFAULT
    header: int = HEADER_DEFAULT
    sub_id: int = 0


@dataclass(frozen=True)
class TunnelEnd:
    """An outer header, addresses as 32-bit numbers. `vni` is -1 where there is none."""

    src: int
    dst: int
    proto: int
    tos: int = 0
    src_port: int = 0
    dst_port: int = 0
    vni: int = -1


@final
class SampledPacket:
    """What is known of a sampled packet. Interfaces are ifIndexes, 0 unknown; `output` as on the wire;
    TCIs without the VLAN-present bit mean the same. `labels` are pushed on it, outermost first."""

    def __init__(self, packet: bytes, input: int, output: int, in_tci: int = 0, out_tci: int = 0,
                 came_in: TunnelEnd | None = None, goes_out: TunnelEnd | None = None,
                 labels: tuple[int, ...] = ()) -> None:
        self.packet: bytes = packet
        self.input: int = input
        self.output: int = output
        self.in_tci: int = in_tci
        self.out_tci: int = out_tci
        self.came_in: TunnelEnd | None = came_in
        self.goes_out: TunnelEnd | None = goes_out
        self.labels: tuple[int, ...] = labels


@dataclass(frozen=True)
class IfCounters:
    """Counters of an interface, UNKNOWN where there are none. `direction`: 0 unknown, 1 full duplex, 2
    half. `status`: bit 0 administratively up, bit 1 operationally."""

    ifindex: int
    speed: int
    direction: int
    status: int
    rx_bytes: int = 0
    rx_packets: int = UNKNOWN
    rx_multicast: int = UNKNOWN
    rx_dropped: int = UNKNOWN
    rx_errors: int = UNKNOWN
    tx_bytes: int = 0
    tx_packets: int = UNKNOWN
    tx_dropped: int = UNKNOWN
    tx_errors: int = UNKNOWN
    promiscuous: int = 0

    def pack(self) -> bytes:
        """The record."""
        return record(IF_COUNTERS, _IF.pack(
            self.ifindex, ETHERNET_CSMACD, self.speed, self.direction, self.status,
            self.rx_bytes & 0xFFFFFFFFFFFFFFFF, self.rx_packets & UNKNOWN, self.rx_multicast & UNKNOWN,
            UNKNOWN, self.rx_dropped & UNKNOWN, self.rx_errors & UNKNOWN, UNKNOWN,
            self.tx_bytes & 0xFFFFFFFFFFFFFFFF, self.tx_packets & UNKNOWN, UNKNOWN, UNKNOWN,
            self.tx_dropped & UNKNOWN, self.tx_errors & UNKNOWN, self.promiscuous,
        ))  # fmt: skip


def record(kind: int, data: bytes) -> bytes:
    """A record, filled up to whole words."""
    padding = -len(data) % 4
    return _SAMPLE.pack(kind, len(data) + padding) + data + bytes(padding)


def string(text: str) -> bytes:
    """A string of XDR (RFC 4506 section 4.11)."""
    data = text.encode("utf-8", "replace")
    return struct.pack("!I", len(data)) + data + bytes(-len(data) % 4)


def port_records(datapath_id: int, ofp_port: int, name: str) -> bytes:
    """What OpenFlow calls an interface: its port of a datapath, and the port's name."""
    return (
        record(ETHERNET_COUNTERS, struct.pack("!13I", *(UNKNOWN,) * 13))
        + record(OPENFLOW_PORT, struct.pack("!QI", datapath_id, ofp_port))
        + record(PORT_NAME, string(name))
    )


def datapath_records(user_ms: int, system_ms: int, memory: tuple[int, int],
                     lookups: tuple[int, int, int, int, int, int]) -> bytes:
    """What the switch takes of its host (CPU times, bytes in use and at most), and what the datapath
    looked up: hits, misses, lost, masks looked at, flows, masks; UNKNOWN where it doesn't say."""
    return (
        record(APP_RESOURCES, struct.pack("!IIQQIIII", user_ms & UNKNOWN, system_ms & UNKNOWN, *memory,
                                          0, 0, 0, 0))
        + record(OVS_COUNTERS, struct.pack("!6I", *(n & UNKNOWN for n in lookups)))
    )  # fmt: skip


@final
class SFlow:
    """The samples of one bridge. `boot` is the clock ms that its uptime counts from."""

    def __init__(self, settings: SFlowSettings, boot: int) -> None:
        self.settings: SFlowSettings = settings
        self.ifindexes: dict[int, int] = {}
        """Datapath port -> ifIndex, of the ports that have one."""
        self.probability: int = 0
        """Of 2^32 - 1, the datapath's chance to sample a packet."""
        self._boot = boot
        self._agent = b""
        self._sequence = 0
        self._flow_sequence = 0
        self._pool = 0
        self._counter_sequences: dict[tuple[int, int], int] = {}
        self._samples: list[bytes] = []
        self._size = 0
        self._full: list[tuple[int, list[bytes]]] = []
        self.configure(settings)

    def configure(self, settings: SFlowSettings) -> None:
        """Take new settings; sequence numbers go on."""
        self.settings = settings
        self.probability = 0xFFFFFFFF // settings.sampling if settings.sampling else 0
        address = ipaddress.ip_address(settings.agent)
        self._agent = struct.pack("!I", 1 if address.version == 4 else 2) + address.packed

    def sample(self, sampled: SampledPacket) -> None:
        """Take a sampled packet in."""
        settings = self.settings
        packet = sampled.packet
        header = packet[: settings.header]
        pad = -len(header) % 4
        self._flow_sequence += 1
        self._pool = (self._pool + settings.sampling) & 0xFFFFFFFF
        in_tci, out_tci = sampled.in_tci, sampled.out_tci
        parts: list[bytes] = [header, bytes(pad)]
        n_records = 2
        for end, outer, inner in ((sampled.came_in, EXT_IPV4_TUNNEL_INGRESS, EXT_VNI_INGRESS),
                                  (sampled.goes_out, EXT_IPV4_TUNNEL_EGRESS, EXT_VNI_EGRESS)):
            if end is None:
                continue
            parts.append(_TUNNEL.pack(outer, 32, 0, end.proto, end.src, end.dst, end.src_port, end.dst_port,
                                      0, end.tos))
            n_records += 1
            if end.vni >= 0:
                parts.append(record(inner, struct.pack("!I", end.vni & 0xFFFFFFFF)))
                n_records += 1
        labels = sampled.labels
        if labels:
            # The next hop is unknown: an IPv4 address of zeros; no labels came in.
            parts.append(record(EXT_MPLS, struct.pack(f"!IIII{len(labels)}I", 1, 0, 0, len(labels), *labels)))
            n_records += 1
        head = _FLOW.pack(
            self._flow_sequence & 0xFFFFFFFF, PHYSICAL_ENTITY << 24 | BRIDGE_INDEX + settings.sub_id,
            settings.sampling, self._pool, 0, sampled.input, sampled.output, n_records,
            EXT_SWITCH, 16, in_tci & 0xFFF, in_tci >> 13 & 7, out_tci & 0xFFF, out_tci >> 13 & 7,
            RAW_HEADER, 16 + len(header) + pad, ETHERNET, len(packet) + FCS, FCS, len(header),
        )  # fmt: skip
        sflow_flow_samples.inc()
        self._add(FLOW_SAMPLE, head + b"".join(parts))

    def count(self, ifindex: int, n_records: int, records: bytes) -> None:
        """Take the counters of an interface in."""
        self._count((0, ifindex), n_records, records)

    def count_bridge(self, n_records: int, records: bytes) -> None:
        """Take the counters of the bridge itself in."""
        self._count((PHYSICAL_ENTITY, BRIDGE_INDEX + self.settings.sub_id), n_records, records)

    def _count(self, source: tuple[int, int], n_records: int, records: bytes) -> None:
        sequence = self._counter_sequences.get(source, 0) + 1
        self._counter_sequences[source] = sequence
        head = struct.pack("!III", sequence & 0xFFFFFFFF, source[0] << 24 | source[1] & 0xFFFFFF, n_records)
        sflow_counter_samples.inc()
        self._add(COUNTERS_SAMPLE, head + records)

    def _add(self, kind: int, body: bytes) -> None:
        size = len(body) + _SAMPLE.size
        head = 24 + len(self._agent)
        if self._samples and head + self._size + size > MAX_DATAGRAM:
            self._close_datagram()
        self._samples.append(_SAMPLE.pack(kind, len(body)) + body)
        self._size += size

    def _close_datagram(self) -> None:
        self._sequence += 1
        self._full.append((self._sequence, self._samples))
        self._samples = []
        self._size = 0

    @property
    def has_full(self) -> bool:
        """Whether a datagram is full."""
        return bool(self._full)

    def take(self, now: int, all_of_it: bool) -> list[bytes]:
        """The datagrams that are full, or everything that was sampled."""
        if all_of_it and self._samples:
            self._close_datagram()
        if not self._full:
            return []
        settings = self.settings
        full, self._full = self._full, []
        uptime = (now - self._boot) & 0xFFFFFFFF
        return [
            struct.pack("!I", SFLOW_VERSION) + self._agent
            + struct.pack("!IIII", settings.sub_id, sequence & 0xFFFFFFFF, uptime, len(samples))
            + b"".join(samples)
            for sequence, samples in full
        ]  # fmt: skip
