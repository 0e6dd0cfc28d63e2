"""Samples wait while packets are forwarded; what needs an answer gets its turn at once."""

from __future__ import annotations

from vswitch.dpif.cookie import IpfixCookie, SflowCookie, SlowPathCookie
from vswitch.dpif.ops import Upcall
from vswitch.dpif.types import UpcallType
from vswitch.dpif.userspace.upcalls import SAMPLES_LIMIT, UpcallQueues
from vswitch.flow.flow import Flow


def action(userdata: bytes) -> Upcall:
    return Upcall(UpcallType.ACTION, b"", Flow(), userdata=userdata)


SAMPLES = [action(SflowCookie(0, 0, bytes(16)).pack()), action(IpfixCookie(1, bytes(16)).pack())]
PRESSING = [Upcall(UpcallType.MISS, b"", Flow()), action(SlowPathCookie(1).pack()), action(b"")]


def test_many_samples_want_a_turn_and_few_do_not() -> None:
    queues = UpcallQueues()
    queues.enable()
    for n in range(SAMPLES_LIMIT):
        assert not queues.want_a_turn()
        assert queues.push(1, SAMPLES[n % 2])
    assert queues.want_a_turn()
    queues.take(1)
    assert not queues.want_a_turn()
    queues.disable()


def test_everything_else_wants_one_at_once() -> None:
    for pressing in PRESSING:
        queues = UpcallQueues()
        queues.enable()
        queues.push(1, SAMPLES[0])
        queues.push(2, pressing)
        assert queues.want_a_turn()
        taken = queues.take(1)
        assert queues.want_a_turn() == (taken == SAMPLES[:1])
        queues.take(5)
        assert not queues.want_a_turn()
        queues.push(2, pressing)
        queues.forget(2)
        assert not queues.want_a_turn()
        queues.push(2, pressing)
        queues.purge()
        assert not queues.want_a_turn()
        queues.disable()
