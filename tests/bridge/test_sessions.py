"""BFD, CFM and LLDP between ours and the real switch in stopped clocks' time, and two real ones beside them.

Sessions come up, fail and recover, and a trace says whose packets they are.
"""

from __future__ import annotations

import re

import pytest

from tests.bridge.links import Links
from tests.bridge.pair import Side
from tests.bridge.test_link_keys import differences, plain
from tests.whole import ALL

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]

SETTINGS = {
    "bfd": ("bfd:enable=true bfd:min_tx=200 bfd:min_rx=300", "bfd:enable=true bfd:min_tx=400 bfd:mult=5"),
    "cfm": ("cfm_mpid=1 other_config:cfm_interval=300 other_config:cfm_extended=true",
            "cfm_mpid=2 other_config:cfm_interval=300 other_config:cfm_extended=true"),
    "lldp": ("lldp:enable=true", "lldp:enable=true"),
}  # fmt: skip
SHOWS = {"bfd": "bfd/show", "cfm": "cfm/show", "lldp": "autoattach/status"}
FLOWS = [
    "udp,dl_dst=00:23:20:00:00:01,nw_ttl=255,udp_src=49152,udp_dst=3784",
    "udp,dl_dst=00:00:00:00:00:09,nw_ttl=255,udp_src=49152,udp_dst=3784",
    "udp,nw_ttl=255,udp_src=49152,udp_dst=3785",
    "udp,nw_dst=169.254.1.0,udp_dst=3784",
    "udp6,nw_ttl=255,udp_dst=3784",
    "dl_dst=01:23:20:00:00:30,dl_type=0x8902",
    "dl_dst=01:80:c2:00:00:30,dl_type=0x8902",
    "dl_dst=01:23:20:00:00:30,dl_vlan=5,dl_type=0x8902",
    "dl_dst=01:80:c2:00:00:0e,dl_type=0x88cc",
    "dl_dst=01:80:c2:00:00:03,dl_type=0x88cc",
    "dl_dst=00:00:00:00:00:09,dl_type=0x88cc",
    "dl_dst=01:80:c2:00:00:02,dl_type=0x8809",
    "dl_dst=01:80:c2:00:00:00,dl_type=0x05ff",
    "dl_dst=01:80:c2:00:00:21",
    "dl_dst=01:00:0c:cc:cc:cd",
]
"""Packets of the protocols, and such as are not quite."""


def story(sides: list[Side], protocol: str) -> dict[str, str]:
    """What both ends show, and how packets fare, while the session is up, cut, and up again."""
    links = Links(sides, [("b0-1", "b1-2")])
    shown: dict[str, str] = {}

    def note(when: str) -> None:
        for n, port in enumerate(("b0-1", "b1-2")):
            command = SHOWS[protocol]
            text = sides[n].appctl(command, f"b{n}" if protocol == "lldp" else port)
            if protocol == "lldp":
                # Of a process that has both ends, all ports are told.
                text = text[text.index(f"LLDP: {port}") :]
                text = text[: text.find("LLDP:", 5) if "LLDP:" in text[5:] else None]
            text = re.sub(r"(Server Descr|Id|health): \S+.*", r"\1: X", plain(text))
            shown[f"{when}, {command} of {port}"] = text.strip()

    links.start()
    try:
        for n, port in enumerate(("b0-1", "b1-2")):
            assert sides[n].vsctl(f"set interface {port} {SETTINGS[protocol][n]}") == ""
        links.warp(8000)
        note("up")
        for flow in FLOWS:
            for n, port in enumerate(("1", "2")):
                text = sides[n].appctl("ofproto/trace", f"b{n}", f"in_port={port},{flow}")
                shown[f"{flow} at b{n}"] = text.rpartition("Datapath actions: ")[0] + (
                    "somewhere" if text.rstrip()[-1].isdigit() else text.rpartition("Datapath actions: ")[2]
                )
        path = f"{links.directory.name}/c0"
        assert sides[0].vsctl(f"set interface b0-1 options:pstream=punix:{path}-") == ""
        links.warp(6000)
        note("cut")
        assert sides[0].vsctl(f"set interface b0-1 options:pstream=punix:{path}") == ""
        links.warp(9000)
        note("up again")
    finally:
        links.close()
    return shown


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, str]]:
    """The stories of two real switches, by protocol."""
    return {}


@pytest.mark.parametrize("protocol", SETTINGS)
@pytest.mark.parametrize("who", ["or", "ro", "oo"] if ALL else ["or"])
def test_a_session_with_a_real_switch_goes_as_between_real_ones(
    ours: Side, real: Side, who: str, protocol: str, known: dict[str, dict[str, str]]
) -> None:
    if protocol not in known:
        known[protocol] = story([real, real], protocol)
    mine = story([ours if kind == "o" else real for kind in who], protocol)
    for what, expected in known[protocol].items():
        assert differences(mine[what], expected) == "", what
