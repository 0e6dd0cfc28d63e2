"""`Sample`: what a running switch is doing at one moment, read from its runtime commands.

Two samples make rates. The texts are those of `dpif/show`, `dpctl/show -s`, `dpctl/dump-flows` and
`dpif/show-channels`, so that any switch which answers these can be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.base.unixctl import CommandError

Ask = Callable[..., str]
"""Asks the switch: `ask(command, *args)`. CommandError, OSError."""

_BRIDGE: Final = re.compile(r"  (\S+):$")
_PORT: Final = re.compile(r"    (\S+) (\d+)/(\S+): \(([^:)]*)")
_DATAPATH: Final = re.compile(r"^(\S.*?):?$", re.MULTILINE)
_LOOKUPS: Final = re.compile(r"^  lookups: hit:(\d+) missed:(\d+) lost:(\d+)", re.MULTILINE)
_COUNTERS: Final = re.compile(
    r"^  port \d+: (\S+).*\n"
    r"    RX packets:(\S+) \S+ dropped:(\S+) .*\n"
    r"    TX packets:(\S+) \S+ dropped:(\S+) .*\n"
    r".*\n"
    r"    RX bytes:(\S+).* TX bytes:(\S+)",
    re.MULTILINE,
)
_USED: Final = re.compile(r", packets:(\d+), bytes:(\d+), used:([^,]+),.* actions:(.*)")
_CHANNEL: Final = re.compile(r"  (channel \d+|port \S+)[^:]*: .*?(?:received|messages) (\d+).*?lost (\d+)")


@dataclass
class PortSample:
    """A port's counters; `number` is the OpenFlow port."""

    name: str
    bridge: str = ""
    number: int = -1
    type: str = ""
    rx_packets: int = 0
    rx_bytes: int = 0
    rx_dropped: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    tx_dropped: int = 0


@dataclass
class FlowSample:
    """A flow of the datapath."""

    match: str
    actions: str
    packets: int
    bytes: int
    used: str


@dataclass
class Channel:
    """Where upcalls wait: what came that way, and what was lost."""

    name: str
    received: int
    lost: int


@dataclass
class Sample:
    """Everything at one moment, `at` seconds of any clock."""

    at: float
    hit: int = 0
    missed: int = 0
    lost: int = 0
    n_flows: int = 0
    datapaths: list[str] = field(default_factory=list)
    bridges: list[str] = field(default_factory=list)
    ports: dict[str, PortSample] = field(default_factory=dict)
    flows: dict[str, FlowSample] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def read_show(sample: Sample, text: str) -> None:
    """Take in `dpif/show`: which bridges and ports there are."""
    bridge = ""
    for line in text.splitlines():
        if m := _BRIDGE.match(line):
            bridge = m[1]
            sample.bridges.append(bridge)
        elif m := _PORT.match(line):
            kind = m[4].strip()
            sample.ports[m[1]] = PortSample(m[1], bridge, int(m[2]), kind)


def read_counters(sample: Sample, text: str) -> None:
    """Take in `dpctl/show -s`: lookups of the datapaths, counters of their ports."""
    sample.datapaths += _DATAPATH.findall(text)
    for hit, missed, lost in _LOOKUPS.findall(text):
        sample.hit += int(hit)
        sample.missed += int(missed)
        sample.lost += int(lost)
    for name, *counters in _COUNTERS.findall(text):
        port = sample.ports.get(name)
        if port is not None:
            rx, rx_dropped, tx, tx_dropped, rx_bytes, tx_bytes = map(_number, counters)
            port.rx_packets, port.rx_dropped, port.rx_bytes = rx, rx_dropped, rx_bytes
            port.tx_packets, port.tx_dropped, port.tx_bytes = tx, tx_dropped, tx_bytes


def read_flows(sample: Sample, text: str) -> None:
    """Take in `dpctl/dump-flows`."""
    for line in text.splitlines():
        m = _USED.search(line)
        if m is not None:
            match = line[: m.start()].removeprefix("recirc_id(0),").replace("packet_type(ns=0,id=0),", "")
            sample.flows[line[: m.start()]] = FlowSample(match, m[4], int(m[1]), int(m[2]), m[3])
    sample.n_flows += len(sample.flows)


def read_channels(sample: Sample, text: str) -> None:
    """Take in `dpif/show-channels`."""
    for line in text.splitlines():
        m = _CHANNEL.match(line)
        if m is not None:
            name = line.strip().partition(":")[0]
            sample.channels.append(Channel(name, int(m[2]), int(m[3])))


def take(ask: Ask, at: float) -> Sample:
    """Ask the switch for everything. CommandError, OSError; what a switch does not know stays empty."""
    sample = Sample(at)
    read_show(sample, ask("dpif/show"))
    read_counters(sample, ask("dpctl/show", "-s"))
    for datapath in sample.datapaths:
        read_flows(sample, ask("dpctl/dump-flows", "--names", datapath))
    try:
        read_channels(sample, ask("dpif/show-channels"))
    except CommandError:
        pass
    return sample


@dataclass(frozen=True)
class Rates:
    """What happened a second between two samples."""

    seconds: float
    packets: float
    missed: float
    lost: float
    ports: dict[str, tuple[float, float, float, float]]
    """Name -> packets and bits received a second, packets and bits sent."""
    flows: dict[str, tuple[float, float]]
    """Flow -> packets and bits a second."""


def rates(before: Sample, after: Sample) -> Rates:
    """The difference of two samples; counters that went backwards began anew."""
    seconds = max(after.at - before.at, 1e-6)

    def per_second(new: int, old: int) -> float:
        return max(new - old if new >= old else new, 0) / seconds

    ports: dict[str, tuple[float, float, float, float]] = {}
    for name, port in after.ports.items():
        old = before.ports.get(name, PortSample(name))
        ports[name] = (
            per_second(port.rx_packets, old.rx_packets),
            8 * per_second(port.rx_bytes, old.rx_bytes),
            per_second(port.tx_packets, old.tx_packets),
            8 * per_second(port.tx_bytes, old.tx_bytes),
        )
    flows: dict[str, tuple[float, float]] = {}
    for key, flow in after.flows.items():
        was = before.flows.get(key)
        flows[key] = (
            per_second(flow.packets, was.packets if was else 0),
            8 * per_second(flow.bytes, was.bytes if was else 0),
        )
    missed = per_second(after.missed, before.missed)
    return Rates(
        seconds, per_second(after.hit, before.hit) + missed, missed, per_second(after.lost, before.lost),
        ports, flows,
    )  # fmt: skip


def human(value: float) -> str:
    """A number in at most four digits and a unit: 1.2k, 34M."""
    for unit in ("", "k", "M", "G", "T"):
        if abs(value) < 999.5 or unit == "T":
            digits = 0 if not unit or abs(value) >= 99.5 else 1
            return f"{value:.{digits}f}{unit}"
        value /= 1000
    return ""
