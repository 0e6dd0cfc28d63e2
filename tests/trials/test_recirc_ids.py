"""Recirculation ids count up as the real switch's: a state that nobody holds any more gets a new one."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.oracle.real import RealSwitch
from tests.stack import until
from tests.trials.trial import PACKETS, Bench

pytestmark = pytest.mark.system

ID = re.compile(r"recirc(?:_id=|\(|_id\()(0x[0-9a-f]+|[1-9][0-9]*)")


def _receive(bench: Bench, port: str, n_flows: int) -> list[str]:
    """A packet comes in at `port`, after which the datapath has `n_flows` flows; these, sorted."""
    bench.appctl("netdev-dummy/receive", port, PACKETS["TCP"])
    found: list[str] = []

    def there() -> bool:
        found[:] = bench.appctl("dpctl/dump-flows").splitlines()[1:]
        return len(found) == n_flows

    until(f"{n_flows} datapath flows", there)
    return sorted(found)


def test_an_id_is_not_given_again_to_an_equal_state(switches: tuple[RealSwitch, RealSwitch]) -> None:
    def ids(switch: RealSwitch) -> list[list[int]]:
        bench = Bench(switch)
        bench.prepare()
        for flow in ("in_port=3,ip,actions=ct(table=1)", "table=1,ip,actions=controller",
                     "in_port=2,ip,actions=controller"):  # fmt: skip
            bench.tool("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "sw", flow)
        said = [bench.appctl("ofproto/trace", "sw", "in_port=3,tcp") for _ in range(3)]
        _receive(bench, "e33", 2)
        said += [bench.appctl("ofproto/trace", "sw", "in_port=3,tcp") for _ in range(2)]
        said.append("\n".join(_receive(bench, "e32", 3)))
        found = [[int(number, 0) for number in ID.findall(text)] for text in said]
        first = found[0][0]
        return [[number - first for number in numbers] for numbers in found]

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(ids, switches)
    assert len({numbers[0] for numbers in theirs[:3]}) == 3
    assert theirs[3] == theirs[4]
    assert ours == theirs
