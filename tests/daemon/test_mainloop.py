"""The main loop: descriptors, times, failing parts."""

import asyncio
import os
from collections.abc import Callable

from vswitch.base.clock import Clock
from vswitch.daemon.mainloop import MainLoop, handler_errors


class Pipe:
    """A part that reads a pipe."""

    def __init__(self) -> None:
        self.r, self.w = os.pipe()
        os.set_blocking(self.r, False)
        self.got = b""
        self.runs = 0
        self.period = 1 << 60
        self.writing = False
        self.fail: Callable[[], bool] = lambda: False

    def run(self, now: int) -> bool:
        self.runs += 1
        if self.fail():
            raise RuntimeError("broken on purpose")
        try:
            self.got += os.read(self.r, 1)
        except BlockingIOError:
            return False
        return True

    def wakeup(self, now: int) -> int:
        return now + self.period

    def fds(self) -> list[int]:
        return [self.r]

    def write_fds(self) -> list[int]:
        return [self.w] if self.writing else []

    def close(self) -> None:
        os.close(self.r)
        os.close(self.w)


def _run(test: Callable[[MainLoop, Clock], object], clock: Clock | None = None) -> None:
    """Run the coroutine function `test` with a main loop."""

    async def main() -> None:
        c = clock or Clock()
        mainloop = MainLoop(c, asyncio.get_running_loop())
        try:
            await test(mainloop, c)  # type: ignore[misc]
        finally:
            mainloop.close()
            mainloop.close()

    with asyncio.Runner() as runner:
        runner.run(main())


async def _until(condition: Callable[[], bool], seconds: float = 2.0) -> None:
    for _ in range(int(seconds / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("nothing happened in time")


def test_a_readable_descriptor_runs_the_part_until_it_is_done() -> None:
    async def test(mainloop: MainLoop, _clock: Clock) -> None:
        part = Pipe()
        mainloop.add(part)
        await asyncio.sleep(0.02)
        os.write(part.w, b"hello")
        await _until(lambda: part.got == b"hello")
        runs = part.runs
        await asyncio.sleep(0.05)
        assert part.runs <= runs + 1, "an idle loop sleeps"
        part.close()

    _run(test)


def test_a_time_runs_the_part() -> None:
    async def test(mainloop: MainLoop, _clock: Clock) -> None:
        part = Pipe()
        part.period = 10
        mainloop.add(part)
        await _until(lambda: part.runs >= 4)
        part.close()

    _run(test)


def test_a_descriptor_that_comes_back_with_its_number_is_noticed() -> None:
    async def test(mainloop: MainLoop, _clock: Clock) -> None:
        part = Pipe()
        mainloop.add(part)
        await asyncio.sleep(0.02)
        old = part.r
        part.close()
        part.r, part.w = os.pipe()
        os.set_blocking(part.r, False)
        assert part.r == old
        os.write(part.w, b"x")
        await _until(lambda: part.got == b"x")
        part.close()

    _run(test)


def test_a_failing_part_is_counted_and_costs_the_others_nothing() -> None:
    async def test(mainloop: MainLoop, _clock: Clock) -> None:
        bad, good = Pipe(), Pipe()
        left = [2]

        def fail() -> bool:
            left[0] -= 1
            return left[0] >= 0

        bad.fail = fail
        before = handler_errors.total
        mainloop.add(bad)
        mainloop.add(good)
        os.write(good.w, b"ab")
        os.write(bad.w, b"c")
        await _until(lambda: good.got == b"ab" and bad.got == b"c")
        assert handler_errors.total == before + 2
        bad.close()
        good.close()

    _run(test)


def test_a_part_that_always_fails_does_not_spin() -> None:
    async def test(mainloop: MainLoop, _clock: Clock) -> None:
        bad = Pipe()
        bad.fail = lambda: True
        os.write(bad.w, b"x")
        mainloop.add(bad)
        await asyncio.sleep(0.3)
        assert bad.runs <= 5
        bad.close()

    _run(test)


def test_a_writable_descriptor_runs_the_part_while_it_has_something_to_write() -> None:
    async def test(mainloop: MainLoop, _clock: Clock) -> None:
        part = Pipe()
        mainloop.add(part)
        await asyncio.sleep(0.02)
        runs = part.runs
        part.writing = True
        mainloop.wake()
        await _until(lambda: part.runs > runs + 3)
        part.writing = False
        mainloop.wake()
        await asyncio.sleep(0.02)
        runs = part.runs
        await asyncio.sleep(0.05)
        assert part.runs <= runs + 1
        part.close()

    _run(test)


def test_stopped_time_waits_for_descriptors_only() -> None:
    async def test(mainloop: MainLoop, clock: Clock) -> None:
        part = Pipe()
        part.period = 1
        mainloop.add(part)
        await asyncio.sleep(0.05)
        assert part.runs == 1
        clock.warp(1000)
        mainloop.wake()
        await _until(lambda: part.runs == 2)
        os.write(part.w, b"x")
        await _until(lambda: part.got == b"x")
        part.close()

    _run(test, Clock(virtual=True))


class PatientPipe(Pipe):
    """A pipe that is read only when it has something, or when every part must run."""

    def may_skip(self, now: int, ready: list[int]) -> bool:
        return self.r not in ready


def test_a_patient_part_lets_turns_go_by_in_which_others_have_something() -> None:
    async def test(mainloop: MainLoop, _clock: Clock) -> None:
        part, patient = Pipe(), PatientPipe()
        mainloop.add(part)
        mainloop.add(patient)
        mainloop.turn([part.r])
        assert (part.runs, patient.runs) == (1, 0)
        mainloop.turn([patient.r])
        assert (part.runs, patient.runs) == (2, 1)
        mainloop.turn()
        assert (part.runs, patient.runs) == (3, 2)
        os.write(patient.w, b"x")
        await _until(lambda: patient.got == b"x")
        part.close()
        patient.close()

    _run(test)


def test_a_stream_of_little_pieces_leaves_asyncio_its_turns() -> None:
    async def test(mainloop: MainLoop, _clock: Clock) -> None:
        part = Pipe()
        mainloop.add(part)
        await asyncio.sleep(0.02)
        done = asyncio.Event()

        class Endless(Pipe):
            def run(self, now: int) -> bool:
                self.runs += 1
                os.write(part.w, b"x")
                return False

            def fds(self) -> list[int]:
                return [part.r]

        endless = Endless()
        mainloop.add(endless)
        asyncio.get_running_loop().call_later(0.05, done.set)
        await asyncio.wait_for(done.wait(), 2)
        assert endless.runs > 2
        mainloop.close()
        endless.close()
        part.close()

    _run(test)
