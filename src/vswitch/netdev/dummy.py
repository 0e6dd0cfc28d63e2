"""`dummy`: a device that tests feed and read; also stands in for real ones (`--enable-dummy`).

`receive` makes a packet arrive; what the switch transmits is kept until `transmitted` takes it.
It has no offloads: a GSO segment or partial checksum is finished in software first, unless the
option `offload=true` asks for frames as they are.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import select
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final

from vswitch.base.vlog import Vlog
from vswitch.netdev import gso
from vswitch.netdev.dummy_stream import DummyStream
from vswitch.netdev.frame import Frame
from vswitch.netdev.memory import MemoryNetdev
from vswitch.netdev.pcap import PcapFile
from vswitch.netdev.provider import NetdevError
from vswitch.netdev.scope import PROCESS, Scope

if TYPE_CHECKING:
    from vswitch.base.unixctl import Commands

MIN_PACKET = 14
"""A packet has an Ethernet header."""
TAG_LEN: Final = 4
VLAN_TYPES: Final = (b"\x81\x00", b"\x88\xa8")
MIN_LEN = 60
"""The shortest Ethernet frame, without its checksum (IEEE 802.3, 4A.4.2)."""
TX_KEPT = 10000
"""Transmitted frames that are kept for `transmitted`; older ones are forgotten."""

log: Final = Vlog("pcap")

_next_mac = count(0xAA55AA550000)

PMD: Final = "dummy-pmd"
"""The type of those that have several queues."""
NO_STREAM: Final = "unknown"
"""The state of the stream of a dummy that has none, or of no dummy at all."""


class DummyNetdev(MemoryNetdev):
    """A dummy; `frames` holds what was transmitted, oldest first."""

    counted = frozenset(("rx_packets", "tx_packets", "rx_bytes", "tx_bytes"))
    queues = 1

    def __init__(self, name: str, type: str = "dummy") -> None:
        super().__init__(name, type, next(_next_mac))
        self.n_rxq = 1
        """How many queues for reception it seems to have."""
        self._n_txq = 1
        self._rx_counts: dict[int, tuple[int, int]] = {}
        """Queue -> packets and bytes."""
        self._pcap_paths = ("", "")
        self._rx_pcap: PcapFile | None = None
        self._tx_pcap: PcapFile | None = None
        self.frames: deque[Frame] = deque(maxlen=TX_KEPT)
        self.on_transmit: Callable[[Frame], None] | None = None
        """Called, if set, with each transmitted frame instead of keeping it."""
        self.addresses: list[ipaddress.IPv4Interface | ipaddress.IPv6Interface] = []
        """IP addresses that `netdev-dummy/ip4addr` and `ip6addr` gave it."""
        self._offload = False
        self._ifindex = 0
        self._poll = select.epoll()
        self._poll.register(self._event, select.EPOLLIN)
        self._stream: DummyStream | None = None
        self._targets = ("", "")

    def close(self) -> None:
        self._close_pcap()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        super().close()
        self._poll.close()

    def fileno(self) -> int:
        return -1 if self._poll.closed else self._poll.fileno()

    def recv(self, max_frames: int) -> list[Frame]:
        if self._stream is not None:
            for packet in self._stream.run():
                self.receive(Frame(packet))
        return super().recv(max_frames)

    @property
    def stream_state(self) -> str:
        """How `options:stream` or `pstream` fares: connected, disconnected, or unknown if there is none."""
        if self._stream is None:
            return NO_STREAM
        return "connected" if self._stream.connected else "disconnected"

    def set_address(self, address: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> None:
        """Give it an IP address, in place of the one of that version that it had."""
        self.addresses = [a for a in self.addresses if a.version != address.version] + [address]

    def inject(self, packet: bytes, queue: int = 0) -> bool:
        """`packet` (from its Ethernet header on) arrives at the device, in one of its queues."""
        if not self.receive(Frame(packet)):
            return False
        n_packets, n_bytes = self._rx_counts.get(queue, (0, 0))
        self._rx_counts[queue] = (n_packets + 1, n_bytes + len(packet))
        return True

    def receive(self, frame: Frame) -> bool:
        if self._rx_pcap is not None:
            self._rx_pcap.write(frame.data)
        return super().receive(frame)

    def send(self, frames: list[Frame]) -> int:
        if not self._up:
            self.drop_tx("tx_down", len(frames))
            return 0
        for frame in frames:
            if not self._offload and gso.needs_software(frame):
                for data in gso.segments(frame):
                    self._transmit(Frame(data))
            else:
                self._transmit(frame)
        return len(frames)

    def _too_long(self, frame: Frame) -> bool:
        """Whether a frame that no offload is to cut is longer than the MTU allows; a tag doesn't count."""
        length = len(frame.data)
        if length <= MIN_PACKET + self._mtu or gso.needs_software(frame):
            return False
        tagged = frame.data[12:14] in VLAN_TYPES
        return length > MIN_PACKET + TAG_LEN * tagged + self._mtu

    def _transmit(self, frame: Frame) -> None:
        if self._too_long(frame):
            self.drop_tx("tx_mtu")
            return
        self._stats.tx_packets += 1
        self._stats.tx_bytes += len(frame.data)
        if self._tx_pcap is not None:
            self._tx_pcap.write(frame.data)
        if self.on_transmit is not None:
            self.on_transmit(frame)
        elif self._stream is not None:
            if not self._stream.send(frame.data):
                self.drop_tx("tx_stream")
        else:
            self.frames.append(frame)

    def transmitted(self) -> list[bytes]:
        """Take what was transmitted since the last call."""
        packets = [frame.data for frame in self.frames]
        self.frames.clear()
        return packets

    def set_config(self, options: dict[str, str]) -> None:
        """`offload=true|false`; `ifindex`, what `ifindex()` is to say; `stream` or `pstream`, to
        whom the device is joined (`dummy_stream.py`); `pcap`, or `rxq_pcap` and `tx_pcap`, files that get
        what comes in and goes out. A "dummy-pmd" has `n_rxq` and `n_txq` queues.
        Other options are ignored, as ovs-vswitchd's dummy ignores most. NetdevError: a bad target."""
        self._offload = options.get("offload", "false") == "true"
        number = options.get("ifindex", "")
        self._ifindex = int(number) if number.isdecimal() else 0
        if self.type == PMD:
            self.n_rxq = _number(options, "n_rxq")
            self._n_txq = _number(options, "n_txq")
        self._open_pcap(options)
        targets = (options.get("stream", ""), options.get("pstream", ""))
        if targets != self._targets:
            self._targets = targets
            if self._stream is not None:
                self._stream.close()
                self._stream = None
            if any(targets):
                self._stream = DummyStream(self.name, *targets, self._poll)

    def _open_pcap(self, options: dict[str, str]) -> None:
        both = options.get("pcap", "")
        paths = (both or options.get("rxq_pcap", ""), both or options.get("tx_pcap", ""))
        if paths == self._pcap_paths:
            return
        self._close_pcap()
        self._pcap_paths = paths
        self._rx_pcap = _pcap(paths[0])
        self._tx_pcap = self._rx_pcap if paths[0] == paths[1] else _pcap(paths[1])

    def _close_pcap(self) -> None:
        for pcap in (self._rx_pcap, self._tx_pcap):
            if pcap is not None:
                pcap.close()
        self._rx_pcap = self._tx_pcap = None

    def config(self) -> dict[str, str]:
        stream, pstream = self._targets
        streams = {"stream": stream} if stream else {}
        if pstream:
            streams["pstream"] = pstream
        if self.type != PMD:
            return streams
        queues = {"rx_queues": self.n_rxq, "tx_queues": self._n_txq}
        return {
            f"{how}_{name}": str(n) for how in ("configured", "requested") for name, n in queues.items()
        } | streams

    def ifindex(self) -> int:
        return self._ifindex

    def custom_stats(self) -> dict[str, int]:
        """Two counters of all that came in, and those of the queues. One is enough to transmit."""
        s = self._stats
        counts = {"rx_custom_packets_1": s.rx_packets, "rx_custom_packets_2": s.rx_packets}
        for queue in range(self.n_rxq):
            n_packets, n_bytes = self._rx_counts.get(queue, (0, 0)) if self.n_rxq > 1 else (
                s.rx_packets, s.rx_bytes)
            counts |= {f"rx_q{queue}_bytes": n_bytes, f"rx_q{queue}_packets": n_packets}
        for queue in range(self._n_txq):
            n_packets, n_bytes = (0, 0) if queue else (s.tx_packets, s.tx_bytes)
            counts |= {f"tx_q{queue}_bytes": n_bytes, f"tx_q{queue}_packets": n_packets}
        return counts


def _number(options: dict[str, str], key: str) -> int:
    """How many queues an option asks for: 1 if it makes no sense."""
    text = options.get(key, "")
    return max(int(text), 1) if text.isdecimal() else 1


def _pcap(path: str) -> PcapFile | None:
    """The file at `path`, None for "". What goes wrong is logged."""
    if not path:
        return None
    try:
        return PcapFile(path)
    except OSError as e:
        log.warn("%s: failed to open pcap file for appending (%s)", path, e.strerror)
        return None


def find(name: str, scope: Scope = PROCESS) -> DummyNetdev:
    """The open dummy `name` of `scope`; NetdevError(ENODEV)."""
    netdev = scope.find(name)
    if not isinstance(netdev, DummyNetdev):
        raise NetdevError(errno.ENODEV, f"{name}: no such dummy netdev")
    return netdev


def _is_packet(text: str) -> bool:
    """Whether `text` is a packet in hexadecimal."""
    try:
        return len(bytes.fromhex(text)) >= MIN_PACKET
    except ValueError:
        return False


def _wrong_address(text: str, family: str, name: str) -> str:
    """What is wrong with an address that may have a prefix."""
    address, slash, prefix = text.partition("/")
    most = 32 if family == "IPv4" else 128
    parse = ipaddress.IPv4Address if family == "IPv4" else ipaddress.IPv6Address
    with contextlib.suppress(ValueError):
        parse(address)
        if slash and prefix.isdecimal():
            return f"{family} network prefix bits not between 0 and {most}, inclusive"
    return f"invalid {name} address"


def register_commands(commands: Commands, compose: Callable[[str, int | None], bytes] | None = None,
                      scope: Scope = PROCESS) -> None:
    """Register `netdev-dummy/...` for the dummies of `scope`; `compose` makes a packet of flow text,
    of just so many bytes if told (ValueError if it is bad)."""
    from vswitch.base.unixctl import CommandError

    def dummy(name: str) -> DummyNetdev:
        try:
            return find(name, scope)
        except NetdevError:
            raise CommandError("no such dummy netdev") from None

    def packet(text: str, size: int | None) -> bytes:
        if _is_packet(text):
            return bytes.fromhex(text)
        if compose is None:
            raise CommandError(f"{text}: bad packet or flow syntax")
        try:
            return compose(text, size)
        except ValueError as e:
            raise CommandError(str(e)) from None

    def dummies() -> list[DummyNetdev]:
        return [netdev for netdev in scope.devices() if isinstance(netdev, DummyNetdev)]

    def receive(args: list[str]) -> str:
        netdev = dummy(args[0])
        rest = args[1:]
        queue = 0
        if rest[:1] == ["--qid"] and len(rest) > 1:
            queue = int(rest[1]) if rest[1].isdecimal() else -1
            if not 0 <= queue < netdev.n_rxq:
                raise CommandError("bad rx queue id.")
            rest = rest[2:]
        while rest:
            text, *rest = rest
            size = None
            if rest[:1] == ["--len"] and not _is_packet(text):
                if len(rest) < 2:
                    raise CommandError("--len: missing packet length")
                size = int(rest[1]) if rest[1].isdecimal() else 0
                if size < MIN_LEN:
                    raise CommandError("too small packet len")
                rest = rest[2:]
            netdev.inject(packet(text, size), queue)
        return ""

    def set_admin_state(args: list[str]) -> str:
        state = args[-1]
        if state not in ("up", "down"):
            raise CommandError("Invalid Admin State")
        targets = [known(args[0])] if len(args) == 2 else dummies()
        for netdev in targets:
            netdev.set_up(state == "up")
        return "OK"

    def conn_state(args: list[str]) -> str:
        states = {netdev.name: netdev.stream_state for netdev in dummies()}
        if args:
            return f"{args[0]}: {states.get(args[0], NO_STREAM)}\n"
        return "".join(f"{name}: {state}\n" for name, state in states.items() if state != NO_STREAM)

    def known(name: str) -> DummyNetdev:
        try:
            return find(name, scope)
        except NetdevError:
            raise CommandError("Unknown Dummy Interface") from None

    def ip4addr(args: list[str]) -> str:
        netdev = known(args[0])
        try:
            netdev.set_address(ipaddress.IPv4Interface(args[1]))
        except ValueError:
            raise CommandError(f"{args[1]}: {_wrong_address(args[1], 'IPv4', 'IP')}") from None
        return "OK"

    def ip6addr(args: list[str]) -> str:
        netdev = known(args[0])
        try:
            netdev.set_address(ipaddress.IPv6Interface(args[1]))
        except ValueError:
            raise CommandError(f"{args[1]}: {_wrong_address(args[1], 'IPv6', 'IPv6')}") from None
        return "OK"

    commands.register("netdev-dummy/receive", "name [--qid queue_id] packet|flow [--len packet_len]",
                      2, 1000, receive)
    commands.register("netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2, set_admin_state)
    commands.register("netdev-dummy/conn-state", "[netdev]", 0, 1, conn_state)
    commands.register("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", 2, 2, ip4addr)
    commands.register("netdev-dummy/ip6addr", "[netdev] ip6addr", 2, 2, ip6addr)
