"""Time that stops and warps."""

import time

import pytest

from vswitch.base.clock import Clock


def test_virtual_clock_stands_until_warped() -> None:
    clock = Clock(virtual=True)
    assert (clock.now(), clock.wall()) == (0, 0.0)
    clock.warp(1500)
    assert (clock.now(), clock.wall()) == (1500, 1.5)


def test_real_clock_runs_and_a_warp_moves_both_times() -> None:
    clock = Clock()
    before, wall = clock.now(), clock.wall()
    assert abs(wall - time.time()) < 1
    clock.warp(60_000)
    assert 60_000 <= clock.now() - before < 61_000
    assert 60 <= clock.wall() - wall < 61


def test_stop_keeps_both_times_where_they_are() -> None:
    clock = Clock()
    clock.warp(5000)
    wall = clock.wall()
    clock.stop()
    stopped = clock.now()
    time.sleep(0.01)
    clock.stop()
    assert clock.now() == stopped
    assert abs(clock.wall() - wall) < 0.5
    clock.warp(2000)
    assert clock.now() == stopped + 2000
    assert abs(clock.wall() - wall - 2) < 0.5


def test_time_never_goes_back() -> None:
    with pytest.raises(ValueError, match="go back"):
        Clock(virtual=True).warp(-1)
