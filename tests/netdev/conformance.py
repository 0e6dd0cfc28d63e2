"""What every device type must do, case by case; a case is a function of an open device.

Run as a program in a network namespace (`python -m tests.netdev.conformance TYPE NAME`) it checks
the types that need one.
"""

from __future__ import annotations

import errno
import select
import sys
import traceback
from collections.abc import Callable

from vswitch.netdev.frame import Frame
from vswitch.netdev.provider import Netdev, NetdevError
from vswitch.netdev.registry import netdev_close, netdev_open

Case = Callable[[Netdev], None]
CASES: list[Case] = []
PACKET = bytes.fromhex("ffffffffffff02000000000a88b5") + bytes(50)


def case(fn: Case) -> Case:
    CASES.append(fn)
    return fn


@case
def nothing_received_is_an_empty_list(netdev: Netdev) -> None:
    while netdev.recv(32):
        pass
    assert netdev.recv(32) == []
    assert netdev.fileno() >= 0
    assert not select.select([netdev.fileno()], [], [], 0)[0]


@case
def sending_counts_frames_and_bytes(netdev: Netdev) -> None:
    before = netdev.stats()
    assert netdev.send([]) == 0
    assert netdev.send([Frame(PACKET)] * 5) == 5
    netdev.flush()
    netdev.flush()
    after = netdev.stats()
    assert after.tx_packets - before.tx_packets == 5
    assert after.tx_bytes - before.tx_bytes == 5 * len(PACKET)


@case
def address_and_mtu_are_what_they_were_set_to(netdev: Netdev) -> None:
    seq = netdev.change_seq()
    netdev.set_mac(0x020000000123)
    assert netdev.mac() == 0x020000000123
    netdev.set_mtu(1400)
    assert netdev.mtu() == 1400
    assert netdev.change_seq() != seq


@case
def a_bad_mtu_is_refused_and_changes_nothing(netdev: Netdev) -> None:
    for bad in (10, 1 << 20):
        refused: NetdevError | None = None
        try:
            netdev.set_mtu(bad)
        except NetdevError as e:
            refused = e
        assert refused is not None
        assert refused.errno == errno.EINVAL
        assert netdev.name in str(refused)
    assert netdev.mtu() == 1500


@case
def a_downed_device_drops_what_is_sent_and_comes_back(netdev: Netdev) -> None:
    told: list[bool] = []
    netdev.on_change = lambda: told.append(netdev.up())
    dropped = netdev.stats().tx_dropped
    netdev.set_up(False)
    assert told.pop() is False
    netdev.send([Frame(PACKET)] * 2)
    netdev.flush()
    assert netdev.stats().tx_dropped == dropped + 2
    netdev.set_up(True)
    assert told.pop() is True
    assert netdev.up()
    assert netdev.send([Frame(PACKET)]) == 1
    netdev.flush()
    assert netdev.stats().tx_dropped == dropped + 2


@case
def it_says_what_it_is(netdev: Netdev) -> None:
    assert set(netdev.features()) == {"current", "advertised", "supported", "peer"}
    assert netdev.ifindex() >= 0
    assert netdev.carrier()
    assert netdev.carrier_resets() >= 0
    assert isinstance(netdev.config(), dict)


@case
def closing_twice_is_closing_once(netdev: Netdev) -> None:
    netdev.close()
    netdev.close()


def run(type: str, name: str) -> dict[str, str]:
    """Run all cases on fresh devices; what failed, with its traceback."""
    failed: dict[str, str] = {}
    for one in CASES:
        netdev = netdev_open(name, type)
        try:
            netdev.set_up(True)
            netdev.set_mtu(1500)
            one(netdev)
        except Exception:
            failed[one.__name__] = traceback.format_exc()
        finally:
            netdev_close(netdev)
    return failed


if __name__ == "__main__":
    print(*run(*sys.argv[1:]).values(), sep="\n", end="")
