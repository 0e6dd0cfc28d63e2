"""Flow dumps that the kernel interrupts: begun again, no flow twice."""

from __future__ import annotations

import errno

import pytest

from tests.dpif.lab import ALL_UDP, key_of, mask_of, udp, ufid_of
from tests.dpif_kernel.test_messages import DP
from tests.netlink.test_dump import Scripted, done, message
from vswitch.base.clock import Clock
from vswitch.base.ratelimit import RateLimit
from vswitch.dpif.actions import Output
from vswitch.dpif.kernel.family import Families
from vswitch.dpif.kernel.flow import compose_put
from vswitch.dpif.kernel.provider import DpifKernel
from vswitch.dpif.types import DpifError
from vswitch.netlink.attrs import Builder
from vswitch.netlink.message import NLM_F_DUMP_INTR, NLM_F_MULTI
from vswitch.netlink.socket import MAX_TRIES, NETLINK_GENERIC, NlSocket, SocketPool

FLOW = 22


def flow(n: int, ufid: bool = True) -> bytes:
    """An ovs_flow message: flow number n."""
    b = Builder()
    key, mask = key_of(udp(sport=n), 3), mask_of(*ALL_UDP)
    compose_put(b, 1, DP, key.masked(mask), mask, (Output(9),), ufid_of(n) if ufid else b"", False, False)
    return b.getvalue()


def parts(*numbers: int, interrupted: bool = False, ufid: bool = True, end: bool = True):  # type: ignore[no-untyped-def]
    """The answer to one dump request."""

    def answer(seq: int) -> list[bytes | OSError]:
        flags = NLM_F_MULTI | (NLM_F_DUMP_INTR if interrupted else 0)
        sent: list[bytes | OSError] = [message(seq, flow(n, ufid), FLOW, flags) for n in numbers]
        return [*sent, done(seq)] if end else sent

    return answer


def make(*answers) -> tuple[DpifKernel, Scripted]:  # type: ignore[no-untyped-def]
    """A datapath whose dump socket is answered by `answers`."""
    dpif = DpifKernel.__new__(DpifKernel)
    dpif.name = "test"
    dpif._obj = "system@test"
    dpif._clock = Clock()
    dpif._rl = RateLimit(60, 5)
    dpif._families = Families(20, 21, FLOW, 23, 0, 0, 1)
    dpif.dp_ifindex = DP
    dpif._pool = SocketPool(NETLINK_GENERIC)
    sock = NlSocket(NETLINK_GENERIC)
    sock.close()
    kernel = Scripted(*answers)
    sock._socket = kernel  # type: ignore[assignment]
    dpif._pool._free.append(sock)
    return dpif, kernel


def test_an_interrupted_dump_goes_on_without_repeats() -> None:
    dpif, kernel = make(parts(1, 2, 3, interrupted=True), parts(3, 2, 4, interrupted=True), parts(1, 4, 5))
    assert [f.ufid for f in dpif.flow_dump()] == [ufid_of(n) for n in (1, 2, 3, 4, 5)]
    assert kernel.requests == 3


def test_flows_without_a_ufid_are_told_apart_by_their_match() -> None:
    dpif, _ = make(parts(1, 2, interrupted=True, ufid=False), parts(2, 1, 3, ufid=False))
    assert [f.key.tp_src for f in dpif.flow_dump()] == [1, 2, 3]


def test_a_dump_that_never_settles_ends() -> None:
    dpif, kernel = make(*[parts(1, interrupted=True)] * MAX_TRIES)
    assert len(list(dpif.flow_dump())) == 1
    assert kernel.requests == MAX_TRIES


def test_a_malformed_flow_costs_only_itself() -> None:
    def answer(seq: int) -> list[bytes | OSError]:
        good, bad = message(seq, flow(1), FLOW), message(seq, flow(2)[:-2], FLOW)
        return [bad + good, done(seq)]

    dpif, _ = make(answer)
    assert [f.ufid for f in dpif.flow_dump()] == [ufid_of(1)]


def test_a_dump_that_breaks_off_says_so_and_its_socket_is_not_used_again() -> None:
    dpif, _ = make(parts(1, 2, end=False))
    with pytest.raises(DpifError, match="system@test: flow dump failed") as e:
        list(dpif.flow_dump())
    assert e.value.errno == errno.EPROTO
    assert dpif._pool._free == []


def test_a_dump_left_half_way_gives_its_socket_up() -> None:
    dpif, _ = make(parts(1, 2, 3))
    dump = dpif.flow_dump()
    next(dump)
    dump.close()  # type: ignore[attr-defined]
    assert dpif._pool._free == []
