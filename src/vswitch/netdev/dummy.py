"""`dummy`: a device that tests feed and read; also stands in for real ones (`--enable-dummy`).

`receive` makes a packet arrive; what the switch transmits is kept until `transmitted` takes it.
It has no offloads: a GSO segment or partial checksum is finished in software first, unless the
option `offload=true` asks for frames as they are.
"""

from __future__ import annotations

import errno
import ipaddress
import select
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final

from vswitch.netdev import gso
from vswitch.netdev.dummy_stream import DummyStream
from vswitch.netdev.frame import Frame
from vswitch.netdev.memory import MemoryNetdev
from vswitch.netdev.provider import NetdevError
from vswitch.netdev.scope import PROCESS, Scope

if TYPE_CHECKING:
    from vswitch.base.unixctl import Commands

MIN_PACKET = 14
"""A packet has an Ethernet header."""
TX_KEPT = 10000
"""Transmitted frames that are kept for `transmitted`; older ones are forgotten."""

_next_mac = count(0xAA55AA550000)

NO_STREAM: Final = "unknown"
"""The state of the stream of a dummy that has none, or of no dummy at all."""


class DummyNetdev(MemoryNetdev):
    """A dummy; `frames` holds what was transmitted, oldest first."""

    counted = frozenset(("rx_packets", "tx_packets", "rx_bytes", "tx_bytes"))
    queues = 1

    def __init__(self, name: str, type: str = "dummy") -> None:
        super().__init__(name, type, next(_next_mac))
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

    def inject(self, packet: bytes) -> bool:
        """`packet` (from its Ethernet header on) arrives at the device."""
        return self.receive(Frame(packet))

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

    def _transmit(self, frame: Frame) -> None:
        self._stats.tx_packets += 1
        self._stats.tx_bytes += len(frame.data)
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
        whom the device is joined (`dummy_stream.py`).
        Other options are ignored, as ovs-vswitchd's dummy ignores most. NetdevError: a bad target."""
        self._offload = options.get("offload", "false") == "true"
        number = options.get("ifindex", "")
        self._ifindex = int(number) if number.isdecimal() else 0
        targets = (options.get("stream", ""), options.get("pstream", ""))
        if targets != self._targets:
            self._targets = targets
            if self._stream is not None:
                self._stream.close()
                self._stream = None
            if any(targets):
                self._stream = DummyStream(self.name, *targets, self._poll)

    def ifindex(self) -> int:
        return self._ifindex

    def custom_stats(self) -> dict[str, int]:
        """Two counters for tests, and those of the one queue each way."""
        s = self._stats
        return {
            "rx_custom_packets_1": 0, "rx_custom_packets_2": 0,
            "rx_q0_bytes": s.rx_bytes, "rx_q0_packets": s.rx_packets,
            "tx_q0_bytes": s.tx_bytes, "tx_q0_packets": s.tx_packets,
        }  # fmt: skip


def find(name: str, scope: Scope = PROCESS) -> DummyNetdev:
    """The open dummy `name` of `scope`; NetdevError(ENODEV)."""
    netdev = scope.find(name)
    if not isinstance(netdev, DummyNetdev):
        raise NetdevError(errno.ENODEV, f"{name}: no such dummy netdev")
    return netdev


def register_commands(commands: Commands, compose: Callable[[str], bytes] | None = None,
                      scope: Scope = PROCESS) -> None:
    """Register `netdev-dummy/...` for the dummies of `scope`; `compose` makes a packet of flow text
    (ValueError if it is bad)."""
    from vswitch.base.unixctl import CommandError

    def dummy(name: str) -> DummyNetdev:
        try:
            return find(name, scope)
        except NetdevError:
            raise CommandError("no such dummy netdev") from None

    def packet(text: str) -> bytes:
        try:
            data = bytes.fromhex(text)
        except ValueError:
            data = b""
        if len(data) >= MIN_PACKET:
            return data
        if compose is None:
            raise CommandError(f"{text}: bad packet or flow syntax")
        try:
            return compose(text)
        except ValueError as e:
            raise CommandError(str(e)) from None

    def dummies() -> list[DummyNetdev]:
        return [netdev for netdev in scope.devices() if isinstance(netdev, DummyNetdev)]

    def receive(args: list[str]) -> str:
        netdev = dummy(args[0])
        rest = args[1:]
        if rest[:1] == ["--qid"]:
            if rest[1:2] != ["0"]:
                raise CommandError("bad rx queue id.")
            rest = rest[2:]
        packets: list[bytes] = []
        while rest:
            text, *rest = rest
            data = packet(text)
            if rest[:1] == ["--len"] and len(rest) >= 2:
                wanted = int(rest[1]) if rest[1].isdigit() else 0
                if wanted < 64:
                    raise CommandError("too small packet len")
                data += bytes(max(0, wanted - len(data)))
                rest = rest[2:]
            packets.append(data)
        for data in packets:
            netdev.inject(data)
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
            raise CommandError(f"{args[1]}: invalid IP address") from None
        return "OK"

    def ip6addr(args: list[str]) -> str:
        netdev = known(args[0])
        try:
            netdev.set_address(ipaddress.IPv6Interface(args[1]))
        except ValueError:
            raise CommandError(f"{args[1]}: invalid IPv6 address") from None
        return "OK"

    commands.register("netdev-dummy/receive", "name [--qid queue_id] packet|flow [--len packet_len]",
                      2, 1000, receive)
    commands.register("netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2, set_admin_state)
    commands.register("netdev-dummy/conn-state", "[netdev]", 0, 1, conn_state)
    commands.register("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", 2, 2, ip4addr)
    commands.register("netdev-dummy/ip6addr", "[netdev] ip6addr", 2, 2, ip6addr)
