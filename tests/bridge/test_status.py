"""When and what the switch writes into the database's status columns, beside the real one."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.bridge.pair import Side

pytestmark = pytest.mark.system

BRIDGE = (
    "add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure"
    " -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1"
    " -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2"
)
PACKET = "0200000000010200000000028899" + "00" * 46


def on_both(real: Side, ours: Side, of: Callable[[Side], object]) -> None:
    """`of` says the same of both."""
    with ThreadPoolExecutor(2) as both:
        theirs, mine = both.map(of, (real, ours))
    assert mine == theirs


def _rx(side: Side) -> int:
    found = re.search(r"rx_packets=(\d+)", side.get("interface", "p1", "statistics"))
    return int(found.group(1)) if found else -1


@pytest.mark.stopped_clock
def test_another_interval_of_statistics_has_effect_at_once(real: Side, ours: Side) -> None:
    def counts(side: Side) -> list[int]:
        side.vsctl(BRIDGE)
        side.vsctl("set open . other_config:stats-update-interval=100000")
        side.appctl("time/stop")
        side.appctl("time/warp", "12000", "1000")
        for _ in range(3):
            side.appctl("netdev-dummy/receive", "p1", PACKET)
        side.appctl("time/warp", "12000", "1000")
        before = _rx(side)
        side.vsctl("set open . other_config:stats-update-interval=6000")
        side.wait(lambda: _rx(side) == 3, "the counts")
        return [before, _rx(side)]

    on_both(real, ours, counts)


def _counted(side: Side) -> dict[str, int]:
    found = re.findall(r'packet-in-(\S+?)="(\d+)"', side.get("controller", "br0", "status"))
    return {name: int(n) for name, n in found}


def test_a_rate_limit_of_packet_ins_shows_what_became_of_them(real: Side, ours: Side) -> None:
    def status(side: Side) -> dict[str, int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(15)
            target = f"tcp:127.0.0.1:{server.getsockname()[1]}"
            side.vsctl(f"{BRIDGE} -- set bridge br0 protocols=OpenFlow13 -- set-controller br0 {target}"
                       " -- set controller br0 connection_mode=out-of-band controller_rate_limit=100"
                       " controller_burst_limit=25 inactivity_probe=0")  # fmt: skip
            peer, _ = server.accept()
            with peer:
                peer.sendall(bytes.fromhex("0400000800000001"))  # Hello.
                side.wait(lambda: side.get("controller", "br0", "is_connected") == "true", "the connection")
                side.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0",
                         "priority=0,actions=controller")  # fmt: skip
                side.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0", "in_port=2,actions=controller")
                for _ in range(3):
                    side.appctl("netdev-dummy/receive", "p1", PACKET)
                side.appctl("netdev-dummy/receive", "p2", *[PACKET] * 40)
                side.wait(lambda: _counted(side).get("action-queued", 0) > 0, "the counts")
                counted = _counted(side)
                side.vsctl("clear controller br0 controller_rate_limit")
                side.wait(lambda: "packet-in" not in side.get("controller", "br0", "status"), "their end")
        # How many of the 40 had to wait depends on how long they took.
        counted["action"] = counted.pop("action-queued") + counted.pop("action-bypassed")
        return counted

    on_both(real, ours, status)


def test_a_device_that_is_down_has_no_link(real: Side, ours: Side) -> None:
    def seen(side: Side) -> list[str]:
        side.vsctl(BRIDGE)
        found = []
        down, up = ("down", "down"), ("up", "up")

        def states() -> tuple[str, str]:
            return side.get("interface", "p1", "link_state"), side.get("interface", "p1", "admin_state")

        for word, wanted in (("down", down), ("up", up)):
            side.appctl("netdev-dummy/set-admin-state", "p1", word)
            side.wait(lambda wanted=wanted: states() == wanted, f"p1 {word} by its owner")
            found.append(side.run("ovs-ofctl", "show", f"unix:{side.directory}/br0.mgmt").count("LINK_DOWN"))
        for word, wanted in (("down", down), ("up", up)):
            side.run("ovs-ofctl", "mod-port", f"unix:{side.directory}/br0.mgmt", "p1", word)
            side.wait(lambda wanted=wanted: states() == wanted, f"p1 {word} by OpenFlow")
        return [*found, side.get("interface", "p1", "link_resets")]

    on_both(real, ours, seen)
