"""Bonds and LACP between ours and the real switch, and two real ones beside them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bridge.links import Links
from tests.bridge.pair import Side

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]


class Bonds(Links):
    """Bridges b0 and b1, two cables between their ports bond0 (m0-1, m0-2) and bond1 (m1-1, m1-2), and a port
    p0, p1 beside."""

    def __init__(self, sides: list[Side], settings: tuple[str, str]) -> None:
        super().__init__(sides, [])
        self.settings = settings

    def start(self) -> None:
        super().start()
        cables = self.cables = tempfile.mkdtemp(dir=self.directory.name)
        for n, side in enumerate(self.sides):
            commands = [
                f"add-bond b{n} bond{n} m{n}-1 m{n}-2 -- set port bond{n} other_config:bond-primary=m{n}-1 "
                f"{self.settings[n]} -- add-port b{n} p{n} -- set interface p{n} type=dummy ofport_request=3"
            ]
            for i in (1, 2):
                path = Path(cables) / str(i)
                cable = f"stream=unix:{path}" if n else f"pstream=punix:{path}"
                commands.append(
                    f"set interface m{n}-{i} type=dummy ofport_request={i} options:{cable} "
                    f"other_config:lacp-aggregation-key={n + 5}"
                )
            said = side.vsctl(" -- ".join(commands))
            assert said == "", said
        self.pause()

    def activate(self) -> None:
        """Make the first members the active ones, also of what is traced: the real switch starts with any."""
        for n, side in enumerate(self.sides):
            side.appctl("bond/set-active-member", f"bond{n}", f"m{n}-1")
            if "balance-slb" in self.settings[n]:
                value = side.appctl("bond/hash", "00:00:00:00:00:07").strip()
                side.appctl("bond/migrate", f"bond{n}", value, f"m{n}-1")
        self.pause()

    def cut(self, cut: bool) -> None:
        """Let the second cable lead nowhere, or where it did."""
        where = f"{self.cables}/{'nowhere' if cut else 2}"
        assert self.sides[0].vsctl(f"set interface m0-2 options:pstream=punix:{where}") == ""

    def shown(self, command: str) -> list[str]:
        """What a command says of both ends, without what numbers devices and ids."""
        text = [side.appctl(command, f"bond{n}") for n, side in enumerate(self.sides)]
        return [
            re.sub(r"active member mac: [0-9a-f:]+\(", "active member mac: (",
                   re.sub(r"(Recirc-ID |bond-id): [1-9]\d*", r"\1: N", re.sub(r"next rebalance: \d+", "", t)))
            for t in text
        ]  # fmt: skip

    def trace(self, node: int, flow: str) -> str:
        """How a packet fares, by the names of ports in the place of the datapath's numbers."""
        side = self.sides[node]
        text = side.appctl("ofproto/trace", f"b{node}", flow)
        numbers = {
            number: name
            for name, number in re.findall(r"^    (\S+) \S+/(\d+):", side.appctl("dpif/show"), re.MULTILINE)
        }
        head, _, actions = text.partition("Datapath actions: ")
        actions = re.sub(r"(recirc|lb_output)\((0x)?[0-9a-f]+\)", r"\1(N)", actions)
        return head + ",".join(sorted(numbers.get(a, a) for a in re.split(r",(?![^(]*\))", actions.strip())))


LACP_SETTINGS = [
    ("bond_mode=balance-tcp lacp=active other_config:lacp-time=fast",
     "bond_mode=balance-slb lacp=passive other_config:lacp-time=fast"),
    ("bond_mode=active-backup lacp=active other_config:lacp-system-priority=7",
     "bond_mode=balance-tcp lacp=active other_config:lacp-time=fast "
     "other_config:lacp-system-id=02:00:00:00:00:77"),
    ("bond_mode=balance-tcp lacp=active other_config:lacp-time=fast other_config:lb-output-action=true",
     "bond_mode=balance-tcp lacp=passive other_config:lacp-time=fast other_config:bond-hash-basis=9"),
]  # fmt: skip


def lacp_story(sides: list[Side], settings: tuple[str, str]) -> dict[str, object]:
    """What both ends show after negotiation, after a cable is cut, and with it again."""
    bonds = Bonds(sides, settings)
    shown: dict[str, object] = {}

    def note(what: str) -> None:
        shown[what] = [bonds.shown(command) for command in ("lacp/show", "bond/show")]
        flow = "in_port=3,dl_src=00:00:00:00:00:07,dl_dst=00:00:00:00:00:09"
        shown[what + ", traced"] = [bonds.trace(n, flow) for n in (0, 1)]
        flow = "in_port=1,dl_src=00:00:00:00:00:17,dl_dst=ff:ff:ff:ff:ff:ff"
        shown[what + ", traced in"] = [bonds.trace(n, flow) for n in (0, 1)]

    try:
        bonds.start()
        bonds.warp(8000)
        bonds.activate()
        note("negotiated")
        bonds.cut(True)
        bonds.warp(9000)
        note("cut")
        bonds.cut(False)
        bonds.warp(12_000)
        note("healed")
    finally:
        bonds.close()
    return shown


@pytest.mark.parametrize("settings", LACP_SETTINGS)
@pytest.mark.parametrize("who", ["or", "ro", "oo"])
def test_lacp_with_a_real_switch_goes_as_between_real_ones(
    ours: Side, real: Side, who: str, settings: tuple[str, str], beside: Callable[..., dict[str, object]]
) -> None:
    sides = [ours if kind == "o" else real for kind in who]
    story = lacp_story(sides, settings)
    expected = beside(settings)
    for what, shown in expected.items():
        assert story[what] == shown, what


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, str], dict[str, object]]:
    return {}


@pytest.fixture
def beside(
    real: Side, known: dict[tuple[str, str], dict[str, object]]
) -> Callable[[tuple[str, str]], dict[str, object]]:
    """The story of two real switches; it is run once."""

    def story(settings: tuple[str, str]) -> dict[str, object]:
        if settings not in known:
            known[settings] = lacp_story([real, real], settings)
        return known[settings]

    return story


MODES = [
    ("bond_mode=active-backup", "bond_mode=active-backup"),
    ("bond_mode=balance-slb", "bond_mode=balance-slb other_config:all-members-active=true"),
    ("bond_mode=active-backup bond_updelay=3000 bond_downdelay=2000", "bond_mode=balance-slb"),
]
"""Settings of both ends, one of which is looked at beside its like in the other switch."""


def modes_story(side: Side, settings: tuple[str, str]) -> dict[str, object]:
    """What a switch says of two bonds that are joined to each other."""
    bonds = Bonds([side, side], settings)
    shown: dict[str, object] = {}

    def note(what: str) -> None:
        shown[what] = bonds.shown("bond/show")
        for in_port in (1, 2):
            for dst in ("00:00:00:00:00:09", "ff:ff:ff:ff:ff:ff"):
                flow = f"in_port={in_port},dl_src=00:00:00:00:00:17,dl_dst={dst}"
                shown[f"{what}, {flow}"] = [bonds.trace(n, flow) for n in (0, 1)]

    try:
        bonds.start()
        bonds.warp(5000)
        bonds.activate()
        note("at first")
        side.appctl("netdev-dummy/set-admin-state", "m0-1", "down")
        side.appctl("netdev-dummy/set-admin-state", "m1-1", "down")
        bonds.warp(1000)
        note("down for a second")
        bonds.warp(2000)
        note("down")
        side.appctl("netdev-dummy/set-admin-state", "m0-1", "up")
        side.appctl("netdev-dummy/set-admin-state", "m1-1", "up")
        bonds.warp(1000)
        note("up for a second")
        bonds.warp(3000)
        note("up")
        for command in ("set-active-member", "disable-member", "enable-member"):
            shown[command] = [side.appctl(f"bond/{command}", "bond0", "m0-2")]
        for command in (("bond/hash", "aa:bb:cc:dd:ee:ff", "5", "7"), ("bond/hash", "02:00:00:00:00:01")):
            shown[" ".join(command)] = side.appctl(*command)
    finally:
        bonds.close()
    return shown


@pytest.mark.parametrize("settings", MODES)
def test_bonds_without_lacp_go_as_the_real_ones(ours: Side, real: Side, settings: tuple[str, str]) -> None:
    story = modes_story(ours, settings)
    for what, shown in modes_story(real, settings).items():
        assert story[what] == shown, what


def test_the_database_hears_of_the_active_member_and_of_lacp(ours: Side) -> None:
    bonds = Bonds([ours, ours], ("lacp=active", "lacp=active"))
    try:
        bonds.start()
        bonds.warp(6000)
        mac = re.search(r"active member mac: (\S+)\(m0-1\)", ours.appctl("bond/show", "bond0"))
        assert mac is not None
        ours.wait(
            lambda: mac[1] in ours.get("Port", "bond0", "bond_active_slave"), "the active member's address"
        )
        ours.wait(lambda: ours.get("Interface", "m1-2", "lacp_current") == "true", "lacp_current")
    finally:
        bonds.close()


def ports_of(side: Side) -> dict[str, str]:
    """The OpenFlow numbers of b0's ports."""
    return dict(re.findall(r"^    (\S+) (\d+)/", side.appctl("dpif/show"), re.MULTILINE))


def test_a_fake_interface_is_there_as_long_as_it_is_wanted_and_forwards_nothing(
    ours: Side, real: Side
) -> None:
    traced: list[str] = []
    for side in (ours, real):
        said = side.vsctl(
            "add-br b0 -- set bridge b0 datapath_type=dummy fail-mode=standalone -- add-bond b0 fake m1 m2 "
            "-- set port fake bond_fake_iface=true -- set interface m1 type=dummy ofport_request=1 "
            "-- set interface m2 type=dummy ofport_request=2"
        )
        assert said == ""
        try:
            assert ports_of(side) == {"b0": "65534", "m1": "1", "m2": "2", "fake": "3"}
            traced.append(side.appctl("ofproto/trace", "b0", "in_port=3"))
            side.appctl("netdev-dummy/receive", "m1", "ff" * 6 + "020000000001" + "1234" + "00" * 46)
            # A member's packets are none of the fake interface's.
            manager = f"unix:{side.directory}/b0.mgmt"
            counted = side.run("ovs-ofctl", "dump-ports", manager, "3")
            traced.append(counted.partition(":")[2])  # behind the transaction's id
            assert "rx pkts=1," in side.run("ovs-ofctl", "dump-ports", manager, "1")
            assert side.try_run("ovs-vsctl", "--no-wait", "get", "interface", "fake", "ofport")[0] == 1
            if side is ours:
                # The real one makes it together with the members only.
                assert side.vsctl("set port fake bond_fake_iface=false") == ""
                assert "fake" not in ports_of(side)
                assert side.vsctl("set port fake bond_fake_iface=true") == ""
                assert ports_of(side)["fake"] in ("3", "4")
            number = ports_of(side)["fake"]
            said = side.vsctl(f"add-port b0 p -- set interface p type=dummy ofport_request={number}")
            assert said == ""
            assert side.vsctl("del-port b0 fake") == ""
            assert set(ports_of(side)) == {"b0", "p"}
        finally:
            side.vsctl("del-br b0")
    assert traced[:2] == traced[2:]
