"""The 17 Netlink channels over which the kernel sends packets up, under one epoll.

A channel is one Generic Netlink socket. Channel 0 takes what belongs to no port; ports are spread
over the other 16 by number. When a channel's queue is full the kernel drops what should have gone
in, sets ENOBUFS, and tells nothing of whose packets those were: so each channel keeps a sketch of
the ports that it heard most from, which is what a loss report names. How many were dropped the
socket does tell (SO_MEMINFO).

Service is round robin, one message a channel in turn, from where the last `recv` stopped: a
flooded channel takes no more than its turn. The seed's `epoll_ctl(ADD, EPOLLIN, data.u32 = index)`
gives the index back with each event; Python's `select.epoll` gives the descriptor instead, so
`_index_of_fd` turns it into the index.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable
from typing import Final

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.dpif.kernel.packet import UpcallParser
from vswitch.dpif.kernel.sketch import SpaceSaving
from vswitch.dpif.ops import Upcall
from vswitch.dpif.provider import RECV_BATCH
from vswitch.dpif.types import ODPP_NONE, DpifError
from vswitch.netlink.errors import NlError, NlOverrun
from vswitch.netlink.socket import NETLINK_GENERIC, NlSocket

N_CHANNELS: Final = 17
"""Channels of a datapath: one for what belongs to no port, 16 for ports."""
N_SKETCHES: Final = 8
"""Ports that a channel's sketch keeps track of."""
SCALE_INTERVAL: Final = 60_000
"""ms between halvings of the sketches' counts."""
CHANNEL_RCVBUF: Final = 1 << 20
"""Receive buffer of a channel, in bytes as SO_RCVBUF takes them."""

log = Vlog("dpif_linux")
_loss_counter = coverage.counter("dpif_channel_loss")
_malformed_counter = coverage.counter("dpif_upcall_malformed")
_purged_counter = coverage.counter("dpif_recv_purged")

NameOfPort = Callable[[int], str]


def channel_of(port_no: int) -> int:
    """The index of the channel that port `port_no` sends to: 0 for ODPP_NONE, else 1 to 16."""
    return 0 if port_no == ODPP_NONE else 1 + port_no % (N_CHANNELS - 1)


class Channel:
    """One socket, who fills it, and what was lost on it."""

    def __init__(self, sock: NlSocket, now: int) -> None:
        self.sock = sock
        self.sketch = SpaceSaving(N_SKETCHES)
        self.last_poll = now
        """Clock ms when the socket was last asked for a message."""
        self.n_received = 0
        self.n_overruns = 0
        """Times that the queue was found to have overflowed (ENOBUFS)."""
        self.n_lost = 0
        """Upcalls that did not fit into the queue, as the socket counted them."""
        self.lost_by_port: dict[int, int] = {}
        """Of those, how many each port lost, in proportion to the sketch."""

    def take_drops(self) -> int:
        """Upcalls dropped since the last call."""
        drops = self.sock.drops()
        new = (drops - self.n_lost) & 0xFFFFFFFF
        self.n_lost += new
        return new

    def blame(self, n: int) -> None:
        """Share out `n` lost upcalls among the ports of the sketch, in proportion to their hits."""
        ports = self.sketch.top()
        total = sum(hits for _, hits, _ in ports)
        left = n
        for i, (port, hits, _) in enumerate(ports):
            share = left if i == len(ports) - 1 else min(left, n * hits // total)
            left -= share
            if share:
                self.lost_by_port[port] = self.lost_by_port.get(port, 0) + share


class Channels:
    """The channels of one datapath, all open or none.

    `obj` names the datapath in errors and reports; `name_of_port` gives a port's name for
    reports. `recv` never blocks; `fileno` is what the main loop waits on.
    """

    def __init__(self, obj: str, clock: Clock, parser: UpcallParser, name_of_port: NameOfPort) -> None:
        self._obj = obj
        self._clock = clock
        self._parser = parser
        self._name_of_port = name_of_port
        self._channels: list[Channel] = []
        self._index_of_fd: dict[int, int] = {}
        self._epoll: select.epoll | None = None
        self._next = 0
        self.ready_mask = 0
        """Bit i: channel i had messages when it was last looked at."""
        self.next_scale = 0
        """Clock ms when the sketches are halved next."""
        self._loss_rl = RateLimit(10, 5)
        self._bad_rl = RateLimit(10, 5)

    @property
    def enabled(self) -> bool:
        """Whether the channels are open."""
        return self._epoll is not None

    def open(self) -> None:
        """Open all channels, unless they are. DpifError with nothing open if one fails."""
        if self._epoll is not None:
            return
        now = self._clock.now()
        channels: list[Channel] = []
        index_of_fd: dict[int, int] = {}
        epoll: select.epoll | None = None
        try:
            epoll = select.epoll(N_CHANNELS, select.EPOLL_CLOEXEC)
            for i in range(N_CHANNELS):
                sock = NlSocket(NETLINK_GENERIC, CHANNEL_RCVBUF)
                channels.append(Channel(sock, now))
                epoll.register(sock.fileno(), select.EPOLLIN)
                index_of_fd[sock.fileno()] = i
        except OSError as e:
            for channel in channels:
                channel.sock.close()
            if epoll is not None:
                epoll.close()
            what = f"opened {len(channels)} of {N_CHANNELS} channels"
            raise DpifError(e.errno or errno.EIO, "recv set", self._obj, what) from e
        self._channels, self._index_of_fd, self._epoll = channels, index_of_fd, epoll
        self._next = 0
        self.ready_mask = 0
        self.next_scale = now + SCALE_INTERVAL

    def close(self) -> None:
        """Tear all channels down, unless they are."""
        if self._epoll is None:
            return
        self._epoll.close()
        self._epoll = None
        for channel in self._channels:
            channel.sock.close()
        self._channels = []
        self._index_of_fd = {}
        self.ready_mask = 0

    def fileno(self) -> int:
        """The epoll descriptor, readable when an upcall waits; -1 while closed."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def pid_of(self, port_no: int) -> int:
        """The Netlink pid that port `port_no` sends to; 0 while closed."""
        return self._channels[channel_of(port_no)].sock.pid if self._channels else 0

    def pids(self) -> list[int]:
        """The channels' Netlink pids, in order; [] while closed."""
        return [channel.sock.pid for channel in self._channels]

    def _find_ready(self) -> int:
        """Ask the kernel which channels have messages."""
        ready = 0
        if self._epoll is not None:
            for fd, _ in self._epoll.poll(0, N_CHANNELS):
                ready |= 1 << self._index_of_fd[fd]
        return ready

    def recv(self, max_upcalls: int) -> list[Upcall]:
        """Up to `max_upcalls` upcalls, a message from each ready channel in turn.

        Reads at most RECV_BATCH messages before it gives way, whatever becomes of them.
        """
        upcalls: list[Upcall] = []
        now = self._clock.now()
        if now >= self.next_scale and self._channels:
            self._scale(now)
        # Every time, not just when the mask is empty: a flooded channel's bit never clears, and
        # the others must not wait for it.
        ready = self._find_ready()
        following = self._next
        tries = RECV_BATCH
        parser = self._parser
        while ready and tries and len(upcalls) < max_upcalls:
            rest = ready >> following
            if not rest:
                following, rest = 0, ready
            index = following + (rest & -rest).bit_length() - 1
            following = index + 1
            channel = self._channels[index]
            last_poll, channel.last_poll = channel.last_poll, now
            try:
                data = channel.sock.recv()
            except NlOverrun:
                # What was queued before the loss is still there, so the channel stays ready.
                tries -= 1
                self._report_loss(index, channel, now - last_poll)
                continue
            except NlError as e:
                log.warn_rl(self._bad_rl, now, "%s: error receiving on channel %d (%s)", self._obj, index, e)
                ready &= ~(1 << index)
                continue
            if not data:
                ready &= ~(1 << index)
                continue
            tries -= 1
            upcall = parser.parse(data)
            if upcall is not None:
                channel.n_received += 1
                channel.sketch.update(upcall.key.in_port)
                upcalls.append(upcall)
            elif parser.malformed:
                _malformed_counter.inc()
                log.warn_rl(self._bad_rl, now, "%s: malformed upcall on channel %d", self._obj, index)
        self._next = following
        self.ready_mask = ready
        return upcalls

    def purge(self) -> int:
        """Throw away all queued messages; how many there were."""
        n = 0
        for channel in self._channels:
            n += channel.sock.drain()
        self.ready_mask = 0
        _purged_counter.inc(n)
        return n

    def _scale(self, now: int) -> None:
        self.next_scale = now + SCALE_INTERVAL
        for channel in self._channels:
            channel.sketch.halve()

    def _report_loss(self, index: int, channel: Channel, idle: int) -> None:
        """Count what was lost, and say on whose account it most likely was."""
        _loss_counter.inc()
        lost = channel.take_drops()
        channel.n_overruns += 1
        channel.blame(lost)
        now = self._clock.now()
        sources = ", ".join(
            f"port {port} ({self._name_of_port(port)}: {hits - error} to {hits} upcalls)"
            for port, hits, error in channel.sketch.top()
        )
        log.warn_rl(
            self._loss_rl,
            now,
            "%s: lost %s on channel %d (last polled %d ms ago)%s",
            self._obj,
            f"{lost} packets" if lost else "packets",
            index,
            idle,
            f", most frequent sources are {sources}" if sources else "",
        )

    def loss_of(self, port_no: int) -> int:
        """Upcalls that port `port_no` is held to have lost since the channels were opened."""
        if not self._channels:
            return 0
        return self._channels[channel_of(port_no)].lost_by_port.get(port_no, 0)

    def show(self) -> str:
        """The text of `dpif/show-channels`: each channel, what it got, lost, and from whom."""
        if not self._channels:
            return f"{self._obj}: not receiving\n"
        now = self._clock.now()
        lines = [
            f"{self._obj}: {N_CHANNELS} channels, epoll fd {self.fileno()}, "
            f"counts halved in {max(0, self.next_scale - now) / 1000:.1f} s"
        ]
        for i, channel in enumerate(self._channels):
            new = channel.take_drops()
            channel.blame(new)
            lines.append(
                f"  channel {i}: pid {channel.sock.pid}, received {channel.n_received}, "
                f"lost {channel.n_lost}, overruns {channel.n_overruns}, "
                f"last polled {now - channel.last_poll} ms ago"
            )
            for port, hits, error in channel.sketch.top():
                lost = channel.lost_by_port.get(port, 0)
                lines.append(
                    f"    port {port} ({self._name_of_port(port)}): {hits - error} to {hits} upcalls"
                    + (f", lost about {lost}" if lost else "")
                )
        return "\n".join(lines) + "\n"
