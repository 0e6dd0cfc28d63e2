"""A tap whose interface is moved into another network namespace and back, or ends there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.dpif_ebpf.lab import own_namespace, sh
from tests.stack import until
from vswitch.netdev import links
from vswitch.netdev.frame import Frame
from vswitch.netdev.tap import TapNetdev

pytestmark = pytest.mark.system
FRAME = bytes.fromhex("ffffffffffff02000000000a88b5").ljust(60, b"\0")


@pytest.fixture
def elsewhere(require: Callable[..., None]) -> Iterator[str]:
    """Another namespace, by name; this thread is in one of its own."""
    require("root", "netns", "tun")
    name = f"moved{os.getpid()}"
    with own_namespace():
        sh(f"ip netns add {name}")
        try:
            yield name
        finally:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture
def tap(elsewhere: str) -> Iterator[TapNetdev]:
    made = TapNetdev("moves0")
    try:
        yield made
    finally:
        made.close()


def received_there(namespace: str) -> int:
    path = "/sys/class/net/moves0/statistics/rx_packets"
    return int(subprocess.check_output(["ip", "netns", "exec", namespace, "cat", path]))


def test_it_works_on_in_another_namespace_and_back(tap: TapNetdev, elsewhere: str) -> None:
    told: list[tuple[bool, int]] = []
    tap.on_change = lambda: told.append((tap.gone, tap.ifindex()))
    index = tap.ifindex()
    sh(f"ip link set moves0 netns {elsewhere}", f"ip -n {elsewhere} link set moves0 up")
    links.watch().run()
    assert told[-1] == (False, 0)
    assert tap.carrier()
    assert tap.up()
    before = tap.stats()
    assert tap.send([Frame(FRAME)] * 3) == 3
    until("the frames", lambda: received_there(elsewhere) >= 3)
    sh(f"ip -n {elsewhere} addr add 10.3.3.1/24 dev moves0")
    subprocess.run(["ip", "netns", "exec", elsewhere, "ping", "-c", "1", "-W", "1", "10.3.3.2"],
                   capture_output=True, check=False)
    got: list[Frame] = []
    until("a question of the host there", lambda: got.extend(tap.recv(10)) or got)
    after = tap.stats()
    assert after.tx_packets - before.tx_packets == 3
    assert after.tx_bytes - before.tx_bytes == 180
    assert after.rx_packets - before.rx_packets == len(got)
    # One of its name that is another's is not it.
    sh("ip link add moves0 type veth peer name moves1")
    links.watch().run()
    assert tap.ifindex() == 0
    sh("ip link del moves0", f"ip -n {elsewhere} link set moves0 netns {os.getpid()}")
    links.watch().run()
    assert told[-1] == (False, index)
    assert not tap.up()


def test_it_is_gone_when_it_is_deleted_there(tap: TapNetdev, elsewhere: str) -> None:
    told: list[bool] = []
    tap.on_change = lambda: told.append(tap.gone)
    sh(f"ip link set moves0 netns {elsewhere}")
    links.watch().run()
    assert told == [False]
    sh(f"ip netns del {elsewhere}")
    until("its end", lambda: tap.recv(1) or tap.gone)
    assert told == [False, True]


def test_it_is_gone_when_it_is_deleted_here(tap: TapNetdev) -> None:
    sh("ip link del moves0")
    links.watch().run()
    assert tap.gone
