"""What the switch logs, beside the real one."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.bridge.pair import Side

pytestmark = pytest.mark.system

BRIDGE = (
    "add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure"
    " -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1"
)
PACKET = "02000000000202000000000188b5" + "00" * 46
HEADER = re.compile(r"^[0-9T:Z-]{20}\|\d{5}\|", re.MULTILINE)


def messages(text: str, module: str) -> list[str]:
    """The messages of a module among `text`, without times and numbers, and those of the thread."""
    told = [re.sub(r"^(\w+)\(\w+\)", r"\1", message) for message in HEADER.split(text)]
    return [message for message in told if message.startswith(f"{module}|")]


@pytest.mark.stopped_clock
def test_a_translation_that_goes_round_in_circles_is_logged_in_full(real: Side, ours: Side) -> None:
    wide = [f"table={n},actions={','.join([f'resubmit(,{n + 1})'] * 8)}" for n in range(5)]

    def logged(side: Side) -> list[list[str]]:
        side.vsctl(BRIDGE)
        side.appctl("time/stop")
        found = []
        for flows in (["actions=resubmit(1,0)"], wide):
            side.appctl("time/warp", "61000")
            before = len(side.log("ovs-vswitchd"))
            for flow in flows:
                side.run("ovs-ofctl", "add-flow", "br0", flow)
            side.appctl("netdev-dummy/receive", "p1", PACKET)

            def new(before: int = before) -> list[str]:
                return messages(side.log("ovs-vswitchd")[before:], "ofproto_dpif_upcall")

            side.wait(new, "the log")
            found.append(new())
        return found

    with ThreadPoolExecutor(2) as both:
        theirs, mine = both.map(logged, (real, ours))
    assert [len(found) for found in theirs] == [1, 1]
    assert mine == theirs
