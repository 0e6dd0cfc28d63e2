"""Where exports go: several collectors of both IP versions, and those that are not there."""

from __future__ import annotations

import socket
import time

from vswitch.base import coverage
from vswitch.ofproto_dpif.protocols.collectors import Collectors


def listener(family: socket.AddressFamily, address: str) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(2)
    return sock


def test_every_target_gets_every_datagram() -> None:
    with listener(socket.AF_INET, "127.0.0.1") as four, listener(socket.AF_INET6, "::1") as six:
        targets = (f"127.0.0.1:{four.getsockname()[1]}", f"[::1]:{six.getsockname()[1]}")
        collectors = Collectors(targets)
        assert [collectors.send(data, 0) for data in (b"one", b"two")] == [(2, 0)] * 2
        assert [sock.recv(100) for sock in (four, six) for _ in range(2)] == [b"one", b"two"] * 2
        collectors.close()


def test_a_target_that_is_wrong_leaves_the_others() -> None:
    with listener(socket.AF_INET, "127.0.0.1") as there:
        collectors = Collectors(("nowhere:1", f"127.0.0.1:{there.getsockname()[1]}", "127.0.0.1:0"))
        assert collectors.send(b"x", 0) == (1, 0)
        assert there.recv(100) == b"x"
        collectors.close()


def test_a_collector_that_is_not_there_costs_its_datagrams_only() -> None:
    with listener(socket.AF_INET, "127.0.0.1") as gone:
        address = gone.getsockname()[1]
    dropped = coverage.counter("collector_dropped")
    with listener(socket.AF_INET, "127.0.0.1") as there:
        collectors = Collectors((f"127.0.0.1:{address}", f"127.0.0.1:{there.getsockname()[1]}"))
        before, start = dropped.total, time.monotonic()
        told = [collectors.send(bytes([n]), 0) for n in range(200)]
        assert time.monotonic() - start < 1, "nothing waits"
        failed = sum(n for _, n in told)
        # The host says only with the next datagram that nobody took one.
        assert 50 <= failed <= 200
        assert dropped.total - before == failed
        assert [there.recv(10) for _ in range(200)] == [bytes([n]) for n in range(200)]
        collectors.close()
