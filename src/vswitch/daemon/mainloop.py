"""The main loop: parts are run when one of their descriptors is readable or their time has come.

A part (all bridges of a process are one, `Ofprotos`) is synchronous: `run(now)` does what
there is to do without waiting. All descriptors sit in one epoll set, and the event loop waits on that
set's own descriptor, so that a turn costs it one callback however many devices there are. Where
much comes in little pieces, as from a client that waits for each answer, even that is too dear: after a
turn the loop waits for the next by itself, for a moment, and awake where that pays (`spin.py`).
"""

from __future__ import annotations

import contextlib
import os
import select
import time
import traceback
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, final

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.histogram import histogram
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.daemon.eventloop import EventLoop, Handle
from vswitch.daemon.spin import LONGEST, Spin

log: Final = Vlog("mainloop")

SPIN_S: Final = 0.004
"""One turn may follow the other for this long before signals and runtime commands get a look in."""
LINGER_S: Final = 0.001
"""How long the next turn's descriptors are waited for without the event loop; `epoll` counts whole ms."""
RESYNC_MS: Final = 1000
"""How often every descriptor is registered anew, for those that were closed and opened again
with the same number."""
_BACKOFF_S: Final = (0.01, 0.1, 1.0)

turns: Final = coverage.counter("mainloop_turn")
turn_times: Final = histogram("main-loop", "the main loop's turns, from waking to waiting")
handler_errors: Final = coverage.counter("mainloop_handler_error")
found_awake: Final = coverage.counter("mainloop_spin")
awake_in_vain: Final = coverage.counter("mainloop_spin_in_vain")


class Part(Protocol):
    """Something that the main loop runs. Times are clock ms."""

    def run(self, now: int) -> bool:
        """Do what there is to do, without waiting. True if there is more to do at once."""

    def wakeup(self, now: int) -> int:
        """When `run` must be called even if no descriptor is readable."""

    def fds(self) -> list[int]:
        """Descriptors whose readability means that `run` has work."""

    def write_fds(self) -> list[int]:
        """Descriptors whose writability means that `run` has work; they may be in `fds` too."""


MaySkip: TypeAlias = Callable[[int, list[int]], bool]
"""`may_skip(now, ready)` of a part that has it: whether a turn may go by without its `run` in which only the
descriptors `ready` have something. `wakeup` then tells when it has to come."""
Answers: TypeAlias = Callable[[], int]
"""`answers()` of a part that has it: how often it has sent what the next question may follow at once."""


@final
class MainLoop:
    """Runs parts inside an event loop."""

    def __init__(self, clock: Clock, loop: EventLoop) -> None:
        self._clock = clock
        self._loop = loop
        self._parts: list[Part] = []
        self._patient: dict[int, MaySkip] = {}
        """Of the parts that need not run in every turn, by their place in `_parts`."""
        self._answers: list[Answers] = []
        self._answered = 0
        """How many answers there were before the present turn."""
        self._spin = Spin()
        self._waited = -1
        """How long, in ns, the present turn was in coming after an answer; -1: after none, or too long."""
        self._has_two_cpus = False
        self._epoll = select.epoll()
        self._fds: list[int] = []
        self._write_fds: list[int] = []
        self._registered: dict[int, int] = {}
        """Descriptor -> the events that the epoll set waits for on it."""
        self._next_resync = 0
        self._timer: Handle | None = None
        self._timer_at = 0
        self._soon: Handle | None = None
        self._reading = False
        self._failures = 0
        self._error_rl = RateLimit(60, 10)
        self._closed = False

    def add(self, part: Part) -> None:
        """Run `part` from now on."""
        may_skip = getattr(part, "may_skip", None)
        if may_skip is not None:
            self._patient[len(self._parts)] = may_skip
        answers = getattr(part, "answers", None)
        if answers is not None:
            self._answers.append(answers)
        self._parts.append(part)
        self.wake()

    def wake(self) -> None:
        """Take a turn as soon as possible: something changed behind the loop's back."""
        if self._soon is None and not self._closed:
            self._soon = self._loop.call_soon(self._turn_from_loop)

    def close(self) -> None:
        """Run no part any more. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        self._set_reading(False)
        self._epoll.close()

    def turn(self, ready: list[int] | None = None) -> bool:
        """Run every part once; those that may skip it when there is nothing but the descriptors `ready`, only
        if they want to. True if one has more to do at once.

        An exception in a part is logged with its traceback and counted, and costs the others
        nothing; a part that keeps failing makes the loop slower, up to a turn a second.
        """
        turns.inc()
        now = self._clock.now()
        coverage.run(now)
        more = False
        failed = False
        for place, part in enumerate(self._parts):
            if ready is not None:
                may_skip = self._patient.get(place)
                if may_skip is not None and may_skip(now, ready):
                    continue
            try:
                if part.run(now):
                    more = True
            except Exception as e:
                failed = True
                self._log_error(type(part).__name__, e)
        self._failures = self._failures + 1 if failed else 0
        return more and not failed

    def _log_error(self, what: str, error: BaseException) -> None:
        handler_errors.inc()
        text = "".join(traceback.format_exception(error))
        log.err_rl(self._error_rl, self._clock.now(), "%s: %s\n%s", what, error, text)

    def _readable(self) -> None:
        """Descriptors have something; which they are says what need not be looked at now."""
        self._take_turns(None if self._clock.stopped else [fd for fd, _ in self._epoll.poll(0)])

    def _turn_from_loop(self) -> None:
        self._take_turns(None)

    def _take_turns(self, ready: list[int] | None) -> None:
        self._soon = None
        if self._closed:
            return
        started = time.perf_counter_ns()
        more = self.turn(ready)
        self._sync_fds()
        end = time.monotonic() + SPIN_S
        while not self._failures and not self._closed and self._soon is None:
            ready = None
            if not more:
                if self._clock.stopped:
                    break
                turn_times.observe(time.perf_counter_ns() - started)
                ready = self._next_ready()
                started = time.perf_counter_ns()
                if not ready:
                    self._wait(more)
                    return
            if time.monotonic() >= end:
                more = True
                break
            more = self.turn(ready)
        turn_times.observe(time.perf_counter_ns() - started)
        self._wait(more)

    def _next_ready(self) -> list[int]:
        """The descriptors that have something, as soon as one has; none if that takes too long."""
        answered = 0
        for answers in self._answers:
            answered += answers()
        spin = self._spin
        asked = answered != self._answered
        self._answered = answered
        if self._waited >= 0:
            if asked:
                spin.came(self._waited)
            else:
                spin.lapse()
        self._waited = -1
        if not asked:
            return [fd for fd, _ in self._epoll.poll(LINGER_S)]
        began = time.perf_counter_ns()
        found: list[tuple[int, int]] = []
        if spin.awake and self._has_two_cpus:
            spent = 0
            while not found and spent < LONGEST:
                found = self._epoll.poll(0)
                spent = time.perf_counter_ns() - began
            if found:
                found_awake.inc()
            else:
                awake_in_vain.inc()
            spin.was_awake(spent)
        if not found:
            found = self._epoll.poll(LINGER_S)
        if found:
            self._waited = time.perf_counter_ns() - began
        else:
            spin.lapse()
        return [fd for fd, _ in found]

    def _wait(self, more: bool) -> None:
        """Arrange for the next turn."""
        if self._closed:
            return
        now = self._clock.now()
        if self._failures:
            self._set_reading(False)
            delay = _BACKOFF_S[min(self._failures, len(_BACKOFF_S)) - 1]
            self._set_timer(now, int(delay * 1000))
            return
        self._sync_fds()
        self._set_reading(True)
        if more:
            self.wake()
            return
        if self._clock.stopped:
            return
        when = now + RESYNC_MS
        for part in self._parts:
            when = min(when, part.wakeup(now))
        self._set_timer(now, max(when - now, 0))

    def _set_timer(self, now: int, delay_ms: int) -> None:
        """Take a turn in `delay_ms` at the latest. One that is set for earlier may stay: timers
        are cheap to leave and expensive to change."""
        if self._timer is not None:
            if self._timer_at <= now + delay_ms:
                return
            self._timer.cancel()
        self._timer_at = now + delay_ms
        self._timer = self._loop.call_later(delay_ms / 1000, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._turn_from_loop()

    def _set_reading(self, on: bool) -> None:
        if on != self._reading:
            self._reading = on
            if on:
                self._loop.add_reader(self._epoll.fileno(), self._readable)
            else:
                self._loop.remove_reader(self._epoll.fileno())

    def _sync_fds(self) -> None:
        """Make the epoll set hold exactly the parts' descriptors."""
        fds: list[int] = []
        write_fds: list[int] = []
        for part in self._parts:
            fds += part.fds()
            write_fds += part.write_fds()
        now = self._clock.now()
        if fds == self._fds and write_fds == self._write_fds and now < self._next_resync:
            return
        self._next_resync = now + RESYNC_MS
        self._has_two_cpus = len(os.sched_getaffinity(0)) > 1
        wanted = dict.fromkeys(fds, select.EPOLLIN)
        for fd in write_fds:
            wanted[fd] = wanted.get(fd, 0) | select.EPOLLOUT
        for fd in self._registered.keys() - wanted.keys():
            # A closed descriptor has left the set by itself.
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)
            del self._registered[fd]
        for fd, events in wanted.items():
            try:
                try:
                    self._epoll.register(fd, events)
                except FileExistsError:
                    if self._registered.get(fd) != events:
                        self._epoll.modify(fd, events)
            except OSError as e:
                log.err_rl(self._error_rl, now, "can't wait on descriptor %d: %s", fd, e.strerror)
                self._registered.pop(fd, None)
                continue
            self._registered[fd] = events
        self._fds = fds
        self._write_fds = write_fds
