"""Every key of every QoS type and its queues, right, at its limits and wrong, beside the real switch.

What the kernel was told is compared as its own tool shows it. `test_every_key_of_the_manual_is_tried` goes
through ovs-vswitchd.conf.db(5). The host's kernel has linux-htb; the other types are tried in user-mode Linux
(`tests/uml/inside/test_qos_keys.py`), those that the datapath polices by itself in `test_policers.py`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from difflib import unified_diff
from typing import Final

import pytest

from tests.bridge.pair import Side
from tests.bridge.test_devices import pair
from tests.whole import sample
from vswitch.bridge.qos_policer import POLICERS

__all__ = ["pair"]

pytestmark = pytest.mark.system

Keys = tuple[str, ...]
UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n?")
SLOW: Final = re.compile(r"\n?[^\n]*\|timeval\|WARN\|[^\n]*")
"""What ovs-vsctl says of a machine that is."""
KEYS: Final[Mapping[str, tuple[Keys, Keys]]] = {
    "linux-htb": (("max-rate",), ("min-rate", "max-rate", "burst", "priority")),
    "linux-hfsc": (("max-rate",), ("min-rate", "max-rate")),
    "linux-sfq": (("perturb", "quantum"), ()),
    "linux-codel": (("target", "limit", "interval"), ()),
    "linux-fq_codel": (("target", "limit", "interval", "flows", "quantum"), ()),
    "linux-netem": (("latency", "limit", "loss"), ()),
}
"""Type -> its own keys, those of its queues."""
VALUES: Final = ("0", "1", "7", "150", "3000", "2000000", "x", "12x", "0x10", "99999999999999999999", "")
"""What each key is given: ordinary, too little, too much, and no numbers."""
WIDE: Final = ("40000000000", "-1", "4294967296")
"""What the 32 bits of the real one's rates, bursts and latencies don't hold: ours has 64 for rates (as Open
vSwitch has since 3.2), and the longest time that the kernel takes for the others."""
TIMED: Final = ("burst", "latency")


def cases(types: Iterable[str] = KEYS, wide: bool = False) -> list[str]:
    """For ovs-vsctl: a row of QoS that has one key set, of itself or of its queue 1. `wide`: only what the
    real one has no room for."""
    found = []
    for type in types:
        for key in KEYS[type][0]:
            values = WIDE if wide else VALUES if "rate" in key or key in TIMED else VALUES + WIDE
            found += [f'{type} other_config:{key}="{value}"' for value in values]
        for key in KEYS[type][1]:
            values = WIDE if wide else VALUES if "rate" in key or key in TIMED else VALUES + WIDE
            found += [
                f'{type} other_config:max-rate=1000000 queues:1=@q1 -- --id=@q1 create queue'
                f' other_config:{key}="{value}"' for value in values
            ]  # fmt: skip
    return found


def tc(side: Side, *words: str) -> str:
    return side.run("ip", "netns", "exec", side.namespace, "tc", *words)


def shown(side: Side) -> str:
    """What the kernel has, classes in any order, and what the switch says of it."""
    said = re.sub(r"(?<=tx_)(packets|bytes): +\d+", r"\1: N", side.appctl("qos/show", "v0"))
    # Where the kernel refuses, the default discipline stays, which the real one names.
    said = said.replace("QoS: v0 linux-other", "QoS not configured on v0")
    # What 32 bits hold of the link's rate, if HFSC is to have that.
    said = said.replace("max-rate: 1410065408", "max-rate: 10000000000")
    classes = sorted(tc(side, "class", "show", "dev", "v0").replace("m2 1410Mbit", "m2 10Gbit").splitlines())
    return "\n".join([tc(side, "qdisc", "show", "dev", "v0"), *classes, said])


def compare(pair: list[Side], types: Iterable[str] = KEYS, n: int = 1000) -> None:
    """Every case on both, all that differ in one error."""

    def asked(side: Side, case: str) -> str:
        side.vsctl("clear port v0 qos")
        said = side.vsctl(f"-- set port v0 qos=@q -- --id=@q create qos type={case}")
        return SLOW.sub("", UUID.sub("", said)) + "\n" + shown(side)

    for side in pair:
        side.own_tools = False
        side.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0")
    different = []
    with ThreadPoolExecutor() as both:
        for case in sample(cases(types), n):
            real, ours = both.map(asked, pair, (case, case))
            if real != ours:
                changed = unified_diff(real.splitlines(), ours.splitlines(), "real", "ours", n=0, lineterm="")
                different.append("\n".join([case, *changed]))
    assert not different, "\n".join(different)


def test_each_key_tells_the_kernel_what_the_real_one_s_does(pair: list[Side]) -> None:
    compare(pair, ["linux-htb"], 30)


def test_what_is_wider_than_the_kernel_s_numbers_is_cut_to_them(pair: list[Side]) -> None:
    side = pair[1]
    side.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0")
    for case in cases(["linux-htb"], wide=True):
        side.vsctl("clear port v0 qos")
        assert "exit" not in side.vsctl(f"-- set port v0 qos=@q -- --id=@q create qos type={case}"), case
        assert "QoS: v0 linux-htb\n" in shown(side), case
    side.vsctl("clear port v0 qos")
    side.vsctl("-- set port v0 qos=@q -- --id=@q create qos type=linux-htb other_config:max-rate=80000000000")
    assert "rate 80Gbit ceil 80Gbit" in tc(side, "class", "show", "dev", "v0")


def test_a_value_that_is_no_good_holds_nothing_else_up(pair: list[Side]) -> None:
    side = pair[1]
    side.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0")
    for n, case in enumerate(("netem other_config:loss=150", "netem other_config:loss=-1",
                              "netem other_config:latency=-1", "sfq other_config:perturb=-1",
                              "sfq other_config:quantum=-1", "fq_codel other_config:flows=-1")):  # fmt: skip
        side.vsctl("clear port v0 qos")
        said = side.vsctl(f"-- set port v0 qos=@q -- --id=@q create qos type=linux-{case}"
                          f" -- set bridge br0 other_config:datapath-id=000000000000000{n + 1}")  # fmt: skip
        assert "exit" not in said, case
        assert side.get("bridge", "br0", "datapath_id") == f'"000000000000000{n + 1}"', case
    assert "could not set linux-netem QoS (Invalid argument: loss of 150 percent)" in side.log("ovs-vswitchd")


def keys_of_the_manual() -> set[tuple[str, str]]:
    """("QoS" or "Queue", key) in the manual's summaries."""
    wide = {**os.environ, "MANWIDTH": "120", "MAN_KEEP_FORMATTING": ""}
    text = subprocess.run(
        ["man", "ovs-vswitchd.conf.db"], capture_output=True, text=True, check=True, env=wide
    ).stdout
    found = set()
    table = ""
    for line in text.splitlines():
        if named := re.match(r"(\w+) TABLE$", line):
            table = named[1]
        elif table in ("QoS", "Queue") and (named := re.match(r" {7,14}other_config : ([\w-]+) ", line)):
            found.add((table, named[1]))
    return found


def test_every_key_of_the_manual_is_tried(require: Callable[..., None]) -> None:
    require("command:man")
    tried = {("QoS", key) for own, _ in KEYS.values() for key in own}
    tried |= {("Queue", key) for _, queues in KEYS.values() for key in queues}
    tried |= {("QoS", key) for keys in POLICERS.values() for key in keys}
    known = keys_of_the_manual()
    assert len(known) >= 14
    assert known - tried == set()
