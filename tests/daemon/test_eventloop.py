"""The switch's event loop does what asyncio's does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from vswitch.daemon.eventloop import EventLoop, PlainLoop


@pytest.fixture(params=[PlainLoop, asyncio.new_event_loop])
def loop(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


def run(loop: EventLoop, seconds: float = 5) -> None:
    """Run until somebody stops it. AssertionError: nobody does."""
    late: list[bool] = []

    def give_up() -> None:
        late.append(True)
        loop.stop()

    timer = loop.call_later(seconds, give_up)
    loop.run_forever()
    timer.cancel()
    assert not late


def test_calls_come_in_order_and_timers_in_time(loop: EventLoop) -> None:
    seen: list[str] = []
    began = time.monotonic()
    loop.call_later(0.03, loop.stop)
    loop.call_later(0.02, seen.append, "later")
    loop.call_later(0.01, seen.append, "sooner")
    loop.call_later(0, seen.append, "at once")
    for word in ("one", "two"):
        loop.call_soon(seen.append, word)
    run(loop)
    assert seen == ["one", "two", "at once", "sooner", "later"]
    assert 0.03 <= time.monotonic() - began < 3


def test_what_is_called_in_a_round_has_to_wait_for_the_next(loop: EventLoop) -> None:
    seen: list[int] = []

    def again(n: int) -> None:
        seen.append(n)
        if n == 3:
            loop.stop()
        loop.call_soon(again, n + 1)

    loop.call_soon(again, 0)
    run(loop)
    assert seen == [0, 1, 2, 3]
    loop.call_later(0.01, loop.stop)
    run(loop)
    assert len(seen) > 10, "what was left is called when it runs again"


def test_what_is_cancelled_does_not_come(loop: EventLoop) -> None:
    seen: list[str] = []
    for handle in (loop.call_soon(seen.append, "soon"), loop.call_later(0.001, seen.append, "later")):
        handle.cancel()
        handle.cancel()
    loop.call_later(0.01, loop.stop)
    run(loop)
    assert seen == []


def test_descriptors_are_told_until_nobody_wants_to_know(loop: EventLoop, pair: Any) -> None:
    near, far = pair
    seen: list[str] = []

    def readable(word: str) -> None:
        seen.append(f"{word} {near.recv(1).decode()}")
        if len(seen) == 3:
            loop.remove_reader(near.fileno())
            loop.add_writer(near.fileno(), writable)

    def writable() -> None:
        seen.append("writable")
        if len(seen) == 6:
            loop.remove_writer(near.fileno())
            loop.call_later(0.01, loop.stop)

    loop.add_reader(near.fileno(), readable, "first")
    loop.add_reader(near.fileno(), readable, "got")
    far.send(b"abcd")
    run(loop)
    assert seen == ["got a", "got b", "got c", "writable", "writable", "writable"]
    loop.remove_reader(near.fileno())
    loop.remove_writer(near.fileno())


def test_both_directions_of_one_descriptor(loop: EventLoop, pair: Any) -> None:
    near, far = pair
    seen: set[str] = set()

    def note(word: str) -> None:
        seen.add(word)
        if len(seen) == 2:
            loop.stop()

    loop.add_writer(near.fileno(), note, "write")
    loop.add_reader(near.fileno(), note, "read")
    loop.call_later(0.01, far.send, b"x")
    run(loop)
    assert seen == {"read", "write"}
    loop.remove_writer(near.fileno())
    seen.clear()
    loop.call_later(0.01, loop.stop)
    run(loop)
    assert seen == {"read"}


def test_a_hangup_is_readable(loop: EventLoop, pair: Any) -> None:
    near, far = pair
    loop.add_reader(near.fileno(), loop.stop)
    far.close()
    run(loop)
    assert near.recv(1) == b""


def test_who_is_taken_away_by_another_in_the_same_round_is_not_called(loop: EventLoop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    seen: list[int] = []

    def only(n: int) -> None:
        seen.append(n)
        for near, _ in pairs:
            loop.remove_reader(near.fileno())
        loop.call_later(0.01, loop.stop)

    for n, (near, far) in enumerate(pairs):
        loop.add_reader(near.fileno(), only, n)
        far.send(b"x")
    run(loop)
    assert len(seen) == 1
    for end in (end for both in pairs for end in both):
        end.close()


def test_a_closed_descriptor_can_be_taken_away(loop: EventLoop) -> None:
    near, far = socket.socketpair()
    fd = near.fileno()
    loop.add_reader(fd, loop.stop)
    near.close()
    loop.remove_reader(fd)
    far.close()
    loop.call_soon(loop.stop)
    run(loop)


def test_a_mistake_costs_the_others_nothing(loop: EventLoop) -> None:
    def wrong() -> None:
        raise KeyError("oops")

    if isinstance(loop, asyncio.AbstractEventLoop):
        loop.set_exception_handler(lambda _loop, _context: None)
    loop.call_soon(wrong)
    loop.call_later(0, wrong)
    loop.call_later(0.01, loop.stop)
    run(loop)


def test_signals_come_in_the_loop_while_it_waits_and_while_it_works(loop: EventLoop) -> None:
    seen: list[str] = []

    def signalled(word: str) -> None:
        seen.append(word)
        if len(seen) == 2:
            loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, seen.append, "replaced")
    loop.add_signal_handler(signal.SIGUSR1, signalled, "one")
    loop.add_signal_handler(signal.SIGUSR2, signalled, "two")

    def work() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert seen == []

    loop.call_soon(work)
    pid = os.fork()
    if pid == 0:
        time.sleep(0.05)
        os.kill(os.getppid(), signal.SIGUSR2)
        os._exit(0)
    run(loop)
    os.waitpid(pid, 0)
    assert seen == ["one", "two"]


def test_signals_are_as_they_were_after_the_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        loop = PlainLoop()
        loop.add_signal_handler(signal.SIGTERM, loop.stop)
        loop.add_signal_handler(signal.SIGINT, loop.stop)
        loop.close()
        loop.close()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGINT, before)
