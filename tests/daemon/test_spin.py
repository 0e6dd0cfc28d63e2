"""Waiting awake for the next message: when it begins, when it ends, and that nobody else pays for it."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from vswitch.base.clock import Clock
from vswitch.daemon.mainloop import MainLoop, awake_in_vain, found_awake
from vswitch.daemon.spin import FIRST_TRIAL, LAST_TRIAL, LONGEST, TAKEN, Spin

SOON = LONGEST // 2
LATE = LONGEST + 1


def ask(spin: Spin, times: int, waited: int = SOON) -> None:
    for _ in range(times):
        spin.came(waited)


def needed(spin: Spin) -> int:
    """How many questions that come soon it takes until `spin` waits awake."""
    count = 0
    while not spin.awake:
        spin.came(SOON)
        count += 1
    return count


def test_it_waits_awake_once_questions_come_soon() -> None:
    spin = Spin()
    assert needed(spin) == FIRST_TRIAL
    ask(spin, 1000)
    assert spin.awake


@pytest.mark.parametrize("end", [lambda s: s.came(LATE), lambda s: s.lapse()])
def test_one_that_is_late_ends_it(end: Callable[[Spin], None]) -> None:
    spin = Spin()
    needed(spin)
    end(spin)
    assert not spin.awake


def test_who_asks_slowly_never_makes_it_begin() -> None:
    spin = Spin()
    for n in range(10_000):
        spin.came(SOON if n % FIRST_TRIAL else LATE)
        assert not spin.awake


def test_trials_in_vain_become_rare_and_those_that_pay_frequent_again() -> None:
    spin = Spin()
    waits = []
    for _ in range(14):
        waits.append(needed(spin))
        spin.lapse()
    assert waits == sorted(waits)
    assert waits[0] == FIRST_TRIAL
    assert waits[-1] == LAST_TRIAL
    needed(spin)
    ask(spin, LAST_TRIAL)
    spin.lapse()
    assert needed(spin) == 2 * FIRST_TRIAL


def test_where_others_want_the_cpu_trials_are_rare() -> None:
    spin = Spin()
    needed(spin)
    spin.was_awake(LONGEST)
    assert spin.awake
    waits = []
    for _ in range(4):
        spin.was_awake(TAKEN + 1)
        waits.append(needed(spin))
    assert waits == [32, 256, 2048, LAST_TRIAL]


class Answerer:
    """A part that answers each byte of a socket with one."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.count = 0

    def run(self, now: int) -> bool:
        try:
            data = os.read(self.fd, 1)
        except BlockingIOError:
            return False
        if data:
            self.count += 1
            os.write(self.fd, data)
        return False

    def answers(self) -> int:
        return self.count

    def wakeup(self, now: int) -> int:
        return now + 1000

    def fds(self) -> list[int]:
        return [self.fd]

    def write_fds(self) -> list[int]:
        return []


CLIENT = """
import socket, sys, time
client = socket.socket(fileno=int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    time.sleep(float(sys.argv[3]))
    client.send(b"?")
    client.recv(1)
"""


def _waited_awake(questions: int, pause: float) -> int:
    """How often the loop waited awake for a client that asks `pause` seconds after each answer."""
    here, there = socket.socketpair()
    here.setblocking(False)
    before = found_awake.total + awake_in_vain.total
    part = Answerer(here.fileno())

    async def main() -> None:
        mainloop = MainLoop(Clock(), asyncio.get_running_loop())
        mainloop.add(part)
        while part.count < questions:
            await asyncio.sleep(0.002)
        mainloop.close()

    words = [sys.executable, "-c", CLIENT, str(there.fileno()), str(questions), str(pause)]
    with subprocess.Popen(words, pass_fds=[there.fileno()]):
        there.close()
        with asyncio.Runner() as runner:
            runner.run(asyncio.wait_for(main(), 30))
        here.close()
    return found_awake.total + awake_in_vain.total - before


def test_the_loop_waits_awake_for_who_asks_at_once_if_there_are_two_cpus() -> None:
    assert (_waited_awake(5_000, 0) > 0) == (len(os.sched_getaffinity(0)) > 1)


def test_nobody_waits_awake_for_who_asks_slowly() -> None:
    assert _waited_awake(100, 0.002) == 0


def test_nobody_waits_awake_where_there_is_no_other_cpu() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert _waited_awake(2_000, 0) == 0
    finally:
        os.sched_setaffinity(0, allowed)
