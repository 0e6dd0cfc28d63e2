"""What runs a process: descriptors, timers and signals, one callback after the other.

`EventLoop` is what a daemon asks of it, in the words of asyncio, whose loops can be used as well. `PlainLoop`
is that much and no more: a switch is nothing but callbacks, and spares itself asyncio and the TLS library
that asyncio loads.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import select
import signal
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, final

from vswitch.base.vlog import Vlog

log: Final = Vlog("mainloop")

Callback = Callable[..., object]


class Handle(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """It shall not come. Idempotent."""


class EventLoop(Protocol):
    """As asyncio's, which has the documentation."""

    def call_soon(self, callback: Callback, /, *args: Any) -> Handle:
        """Call back in the next round."""

    def call_later(self, delay: float, callback: Callback, /, *args: Any) -> Handle:
        """Call back in `delay` seconds."""

    def add_reader(self, fd: int, callback: Callback, /, *args: Any) -> object:
        """Call back whenever `fd` is readable."""

    def remove_reader(self, fd: int, /) -> object:
        """No more."""

    def add_writer(self, fd: int, callback: Callback, /, *args: Any) -> object:
        """Call back whenever `fd` is writable."""

    def remove_writer(self, fd: int, /) -> object:
        """No more."""

    def add_signal_handler(self, sig: int, callback: Callback, /, *args: Any) -> object:
        """Call back when the process gets the signal."""

    def run_forever(self) -> None:
        """Run until `stop`."""

    def stop(self) -> None:
        """Let `run_forever` return after the present round."""


@final
class _Call:
    """A callback with its arguments."""

    def __init__(self, callback: Callback, args: tuple[Any, ...]) -> None:
        self._callback: Callback | None = callback
        self._args = args

    def cancel(self) -> None:
        self._callback = None
        self._args = ()

    def run(self) -> None:
        """Call, unless it was cancelled. What goes wrong is logged, and costs the others nothing."""
        callback = self._callback
        if callback is None:
            return
        try:
            callback(*self._args)
        except Exception:
            log.err("%s failed\n%s", getattr(callback, "__qualname__", callback), traceback.format_exc())


@final
class PlainLoop:
    """An `EventLoop` over one epoll set. `close` it when done."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, _Call] = {}
        self._writers: dict[int, _Call] = {}
        self._soon: deque[_Call] = deque()
        self._timers: list[tuple[float, int, _Call]] = []
        """A heap of when (s of `time.monotonic`), which in order, and what."""
        self._numbers = itertools.count()
        self._signals: dict[int, _Call] = {}
        self._wakeup: tuple[socket.socket, socket.socket] | None = None
        """Where the interpreter writes a byte for each signal, and where they are read."""
        self._stopping = False

    def call_soon(self, callback: Callback, /, *args: Any) -> _Call:
        call = _Call(callback, args)
        self._soon.append(call)
        return call

    def call_later(self, delay: float, callback: Callback, /, *args: Any) -> _Call:
        call = _Call(callback, args)
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._numbers), call))
        return call

    def add_reader(self, fd: int, callback: Callback, /, *args: Any) -> None:
        self._readers[fd] = _Call(callback, args)
        self._watch(fd)

    def remove_reader(self, fd: int, /) -> None:
        if self._readers.pop(fd, None) is not None:
            self._watch(fd)

    def add_writer(self, fd: int, callback: Callback, /, *args: Any) -> None:
        self._writers[fd] = _Call(callback, args)
        self._watch(fd)

    def remove_writer(self, fd: int, /) -> None:
        if self._writers.pop(fd, None) is not None:
            self._watch(fd)

    def _watch(self, fd: int) -> None:
        """Wait for what there are callbacks for."""
        events = select.EPOLLIN if fd in self._readers else 0
        if fd in self._writers:
            events |= select.EPOLLOUT
        if not events:
            # A closed descriptor has left the set by itself.
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)
            return
        try:
            self._epoll.register(fd, events)
        except FileExistsError:
            self._epoll.modify(fd, events)

    def add_signal_handler(self, sig: int, callback: Callback, /, *args: Any) -> None:
        if self._wakeup is None:
            self._wakeup = socket.socketpair()
            for end in self._wakeup:
                end.setblocking(False)
            signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
            self.add_reader(self._wakeup[0].fileno(), self._take_signals)
        self._signals[sig] = _Call(callback, args)
        signal.signal(sig, _nothing)
        signal.siginterrupt(sig, False)

    def _take_signals(self) -> None:
        assert self._wakeup is not None
        try:
            numbers = self._wakeup[0].recv(4096)
        except BlockingIOError:
            return
        for number in numbers:
            if number in self._signals:
                self._signals[number].run()

    def run_forever(self) -> None:
        while not self._stopping:
            self._round()
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True

    def _round(self) -> None:
        """Wait for something, and call whom it concerns."""
        if self._soon:
            timeout = 0.0
        elif self._timers:
            timeout = max(self._timers[0][0] - time.monotonic(), 0)
        else:
            timeout = -1
        for fd, events in self._epoll.poll(timeout):
            # An error concerns both. Whoever was called before may have taken the others' callbacks away.
            if events & ~select.EPOLLOUT and (call := self._readers.get(fd)) is not None:
                call.run()
            if events & ~select.EPOLLIN and (call := self._writers.get(fd)) is not None:
                call.run()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._soon.append(heapq.heappop(self._timers)[2])
        for _ in range(len(self._soon)):
            self._soon.popleft().run()

    def close(self) -> None:
        """Let go of descriptors and signals. Idempotent."""
        if self._wakeup is not None:
            signal.set_wakeup_fd(-1)
            for number in self._signals:
                usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, usual)
            for end in self._wakeup:
                end.close()
            self._wakeup = None
        self._epoll.close()


def _nothing(_number: int, _frame: object) -> None:
    """The interpreter's own handler: what there is to do is done in the loop."""
