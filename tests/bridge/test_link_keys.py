"""Every key of the manual for spanning trees, bonds, LACP, BFD and CFM that shows in a command's text.

Set in both switches, it shows alike, and differently from without it. So do the status columns.
`test_every_key_of_the_manual_has_its_test` goes through ovs-vswitchd.conf.db(5) itself.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from uuid import UUID

import pytest

from tests.bridge.links import Links
from tests.bridge.pair import Side
from tests.bridge.test_bonds import Bonds
from tests.bridge.test_mcast import v4
from tests.l2.igmp_messages import v2
from vswitch.bridge.bonds import bond_settings
from vswitch.bridge.config import InterfaceConfig, PortConfig
from vswitch.bridge.spanning_tree import rstp_ports, rstp_settings

if TYPE_CHECKING:
    from vswitch.bridge.view import BridgeView

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]


@dataclass(frozen=True)
class Key:
    """A setting: the record that has it, "column" or "column:key", its value, and what shows once it is set
    ("!" before it: what no longer does)."""

    record: str
    name: str
    value: str
    shows: str

    def words(self) -> str:
        """For ovs-vsctl."""
        column, _, key = self.name.partition(":")
        value = self.value.replace(":", "\\:")
        return f"set {self.record} {column}:{key}={value}" if key else f"set {self.record} {column}={value}"


@dataclass(frozen=True)
class Scene:
    """Bridges b0 and b1 of one switch, what is set up in them, and where it is looked at."""

    setup: tuple[str, ...]
    looks: tuple[tuple[str, str], ...]
    keys: tuple[Key, ...]
    columns: tuple[tuple[str, str, str], ...]
    """(table, record, column): status that both write."""
    warp: int
    bonds: tuple[str, str] = ("", "")
    bounced: tuple[str, ...] = ()
    """Ports that go down and come up before each look."""
    step: int = 1000
    cables: tuple[tuple[str, str], ...] = (("b0-1", "b1-2"), ("b0-2", "b1-1"))


def port(name: str, key: str, value: str, shows: str) -> Key:
    return Key(f"port {name}", f"other_config:{key}", value, shows)


def bridge(key: str, value: str, shows: str) -> Key:
    return Key("bridge b0", f"other_config:{key}", value, shows)


def bfd(key: str, value: str, shows: str) -> Key:
    return Key("interface b0-1", f"bfd:{key}", value, shows)


def cfm(key: str, value: str, shows: str) -> Key:
    return Key("interface b0-1", f"other_config:{key}", value, shows)


def with_ports(tree: str, *numbers: int) -> tuple[str, ...]:
    """Commands that have ports of b0 with `numbers`, in the spanning tree as well."""
    return tuple(
        f"add-port b0 b0-{n} -- set interface b0-{n} type=dummy ofport_request={n} "
        f"-- set port b0-{n} other_config:{tree}-port-num={n}" for n in numbers
    )  # fmt: skip


def tree_scene(tree: str, address: str, priority: str, port_priority: str, status: str, warp: int,
               *more: Key) -> Scene:
    """A scene of `tree` ("stp", "rstp"), which calls the bridge's address `address`, shows its priority
    behind `priority`, has its state in columns `status` and comes to rest within `warp` ms; a port's priority
    is one that it takes."""
    return Scene(
        (f"set bridge b0 {tree}_enable=true", f"set bridge b1 {tree}_enable=true", *with_ports(tree, 3)),
        ((f"{tree}/show", "b0"), (f"{tree}/show", "b1")),
        (
            bridge(f"{tree}-{address}", "00:00:00:00:00:09", "stp-system-id   00:00:00:00:00:09"),
            bridge(f"{tree}-priority", "4096", f"{priority}4096"),
            bridge(f"{tree}-max-age", "10", "stp-max-age     10s"),
            bridge(f"{tree}-forward-delay", "6", "stp-fwd-delay   6s"),
            port("b0-3", f"{tree}-enable", "false", "!b0-3"),
            port("b0-1", f"{tree}-port-num", "7", "128.7"),
            port("b0-2", f"{tree}-port-priority", port_priority, f"{port_priority}.2"),
            port("b0-2", f"{tree}-path-cost", "77", " 77 "),
            *more,
        ),
        (("bridge", "b0", status), ("bridge", "b1", status), ("port", "b0-1", status),
         ("port", "b1-1", status), ("port", "b1-2", status)),
        warp,
    )  # fmt: skip


SCENES = {
    "stp": tree_scene("stp", "system-id", "stp-priority  ", "9", "status", 40_000, bridge(
        "stp-hello-time", "1", "stp-hello-time  1s")),
    "rstp": tree_scene("rstp", "address", "stp-priority    ", "16", "rstp_status", 12_000),
    "rstp-edges": Scene(
        ("set bridge b0 rstp_enable=true", "set bridge b1 rstp_enable=true", *with_ports("rstp", 3, 4, 5)),
        (("rstp/show", "b0"),),
        (
            port("b0-3", "rstp-port-admin-edge", "true", "b0-3       Designated Forwarding"),
            port("b0-4", "rstp-port-admin-edge", "true", "b0-4       Designated Forwarding"),
        ),
        (), 2000, bounced=("b0-3", "b0-4", "b0-5"),
    ),
    "rstp-without-edges": Scene(
        ("set bridge b0 rstp_enable=true", *with_ports("rstp", 3, 4)),
        (("rstp/show", "b0"),),
        (port("b0-4", "rstp-port-auto-edge", "false", "b0-4       Designated Discarding"),),
        (), 5000, bounced=("b0-3", "b0-4"),
    ),
    "rstp-slow": Scene(
        ("set bridge b0 rstp_enable=true", "set bridge b1 rstp_enable=true"),
        (("rstp/show", "b0"), ("rstp/show", "b1")),
        (bridge("rstp-force-protocol-version", "0", "b0-1       Designated Discarding"),),
        (), 6000, bounced=("b0-1",), cables=(("b0-1", "b1-2"),),
    ),
    "bond": Scene(
        (), (("bond/show", "bond0"),),
        (
            Key("port bond0", "bond_mode", "balance-slb", "bond_mode: balance-slb"),
            Key("port bond0", "bond_updelay", "1100", "updelay: 1100 ms"),
            Key("port bond0", "bond_downdelay", "1200", "downdelay: 1200 ms"),
            port("bond0", "bond-hash-basis", "17", "bond-hash-basis: 17"),
            port("bond0", "all-members-active", "true", "all members active: true"),
            port("bond0", "bond-rebalance-interval", "70000", "next rebalance: 6..."),
            port("bond0", "lacp-fallback-ab", "true", "lacp_fallback_ab: true"),
            port("bond0", "bond-primary", "m0-2", "primary: m0-2"),
        ),
        (), 2000, ("bond_mode=active-backup", "bond_mode=active-backup"), (),
    ),
    "lacp": Scene(
        (), (("lacp/show", "bond0"), ("lacp/show", "bond1")),
        (
            Key("port bond0", "lacp", "active", "---- bond0 ----\n  status: active negotiated"),
            port("bond0", "lacp-system-id", "00:00:00:00:00:09", "  sys_id: 00:00:00:00:00:09"),
            port("bond0", "lacp-system-priority", "11", "  sys_priority: 11"),
            port("bond0", "lacp-time", "fast", "sys_priority: 11\n  aggregation key: 41\n  lacp_time: fast"),
            Key("interface m0-1", "other_config:lacp-port-id", "21", "  port_id: 21"),
            Key("interface m0-1", "other_config:lacp-port-priority", "31", "  port_priority: 31"),
            Key("interface m0-1", "other_config:lacp-aggregation-key", "41", "aggregation key: 41"),
            Key("interface m0-2", "other_config:lacp-aggregation-key", "41", "actor key: 41"),
        ),
        (("interface", "m0-1", "lacp_current"), ("interface", "m1-2", "lacp_current")),
        8000, ("lacp=passive", "lacp=active other_config:lacp-time=fast"), (),
    ),
    "bfd": Scene(
        ("set interface b0-1 bfd:enable=true", "set interface b1-2 bfd:enable=true"),
        (("bfd/show", "b0-1"), ("bfd/show", "b1-2")),
        (
            bfd("min_rx", "700", "Remote Minimum RX Interval: 700ms"),
            bfd("min_tx", "800", "Local Minimum TX Interval: 800ms"),
            bfd("mult", "7", "Detect Multiplier: 7"),
            bfd("cpath_down", "true", "Concatenated Path Down: true"),
        ),
        (("interface", "b0-1", "bfd_status"), ("interface", "b1-2", "bfd_status")),
        8000, cables=(("b0-1", "b1-2"),),
    ),
    "decay": Scene(
        ("set interface b0-1 bfd:enable=true bfd:min_rx=700", "set interface b1-2 bfd:enable=true"),
        (("bfd/show", "b0-1"),), (bfd("decay_min_rx", "2000", "RX Interval: Approx 2000ms"),), (), 7000,
        cables=(("b0-1", "b1-2"),), step=500,
    ),
    "cfm": Scene(
        ("set interface b0-1 cfm_mpid=1", "set interface b1-2 cfm_mpid=2"),
        (("cfm/show", "b0-1"), ("cfm/show", "b1-2")),
        (
            Key("interface b0-1", "cfm_mpid", "5", "MPID 5"),
            cfm("cfm_interval", "700", "interval: 700ms"),
            cfm("cfm_extended", "true", "extended"),
            Key("interface b1-2", "other_config:cfm_extended", "true", "MPID 2: extended"),
            Key("interface b1-2", "other_config:cfm_interval", "700", "interval: 700ms"),
            cfm("cfm_opstate", "down", "opstate: down"),
        ),
        tuple(("interface", name, f"cfm_{column}") for name in ("b0-1", "b1-2") for column in
              ("fault", "fault_status", "flap_count", "health", "remote_mpids", "remote_opstate")),
        8000, cables=(("b0-1", "b1-2"),),
    ),
}  # fmt: skip


def play(side: Side, scene: Scene) -> tuple[str, str, dict[str, str]]:
    """What is shown before the keys are set and after, and the status columns then."""
    links = Bonds([side, side], scene.bonds) if scene.bonds[0] else Links([side, side], list(scene.cables))
    links.start()
    try:
        if scene.setup:
            assert side.vsctl(" -- ".join(scene.setup)) == ""

        def look() -> str:
            for state in ("down", "up"):
                for name in scene.bounced:
                    links.set_link(name, state)
                links.pause()
            if scene.bounced:
                links.warp(scene.warp, scene.step)
            return "".join(plain(side.appctl(*words)) for words in scene.looks)

        links.warp(scene.warp, scene.step)
        before = look()
        assert side.vsctl(" -- ".join(key.words().replace("\\:", ":") for key in scene.keys)) == ""
        links.warp(scene.warp, scene.step)
        after = look()
        links.warp(6000, scene.step)
        columns = {" ".join(words): plain(side.get(*words)) for words in scene.columns}
    finally:
        links.close()
    return before, after, columns


def plain(text: str) -> str:
    """Without what no two runs have in common."""
    names = r"Discriminator|Detect Time|Next TX Time|Last TX Time|next (?!reb)[\w ]*|since [\w ]*"
    text = re.sub(rf"({names}): .*", r"\1: X", text)
    text = re.sub(r"active member mac: [0-9a-f:]+\(", "active member mac: (", text)
    # Which port comes first is left to a hash table there.
    if "Designated" in text:
        text = "\n".join(sorted(text.splitlines()))
    text = re.sub(r"(next rebalance: \d)\d+ ms", r"\1...", text)
    return re.sub(r'stp_sec_in_state="\d+"', "stp_sec_in_state=N", text)


@pytest.mark.parametrize("name", SCENES)
def test_what_is_set_shows_as_in_the_real_switch(ours: Side, real: Side, name: str) -> None:
    scene = SCENES[name]
    with ThreadPoolExecutor(2) as pool:
        mine, theirs = pool.map(functools.partial(play, scene=scene), (ours, real))
    assert differences(mine[0], theirs[0]) == ""
    assert differences(mine[1], theirs[1]) == ""
    for what, value in theirs[2].items():
        assert mine[2][what] == value, what
    for key in scene.keys:
        if key.shows.startswith("!"):
            assert key.shows[1:] in mine[0], key
            assert key.shows[1:] not in mine[1], key
        else:
            assert key.shows in mine[1], key
            assert key.shows not in mine[0], key


def differences(mine: str, theirs: str) -> str:
    """Lines that only one of the texts has."""
    return "\n".join(unified_diff(mine.splitlines(), theirs.splitlines(), "ours", "real", lineterm="", n=1))


def groups(side: Side, keys: str) -> list[list[str]]:
    """mdb/show's groups after 12 joins, and 20 s later."""
    said = side.vsctl(
        "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=standalone "
        f"mcast_snooping_enable=true {keys} "
        "-- add-port br0 p1 -- set interface p1 type=dummy -- add-port br0 p2 -- set interface p2 type=dummy"
    )
    assert said == ""
    side.appctl("time/stop")
    shown = []
    try:
        for i in range(12):
            side.appctl("netdev-dummy/receive", "p1", v4(f"225.1.1.{i}", v2(0x16, f"225.1.1.{i}")))
            time.sleep(0.03)
            side.appctl("time/warp", "100")
        for _ in range(2):
            shown.append(re.findall(r"225\.1\.1\.\d+", side.appctl("mdb/show", "br0")))
            for _ in range(20):
                side.appctl("time/warp", "1000")
                time.sleep(0.01)
    finally:
        side.vsctl("del-br br0")
    return [sorted(found) for found in shown]


def test_groups_age_and_the_table_has_its_limit_as_in_the_real_switch(ours: Side, real: Side) -> None:
    all_of_them = sorted(f"225.1.1.{i}" for i in range(12))
    for keys, wanted in (
        ("", [all_of_them, all_of_them]),
        ("other_config:mcast-snooping-table-size=10", [sorted(all_of_them)] * 2),
        ("other_config:mcast-snooping-aging-time=15", [all_of_them, []]),
    ):
        mine = groups(ours, keys)
        assert mine == groups(real, keys), keys
        if "table-size" in keys:
            assert [len(found) for found in mine] == [10, 10]
        else:
            assert mine == wanted, keys


def counters(side: Side) -> tuple[list[str], list[str]]:
    """What is counted of RSTP, then of STP."""
    links = Links([side, side], [("b0-1", "b1-2")])
    links.start()
    try:
        bridges = ("set bridge b0", "set bridge b1")
        assert side.vsctl(" -- ".join(f"{words} rstp_enable=true" for words in bridges)) == ""
        links.warp(12_000, 1000)
        rapid = side.wait(lambda: counted(side, "rstp_statistics"), "counters of RSTP")
        changes = (f"{words} rstp_enable=false stp_enable=true" for words in bridges)
        assert side.vsctl(" -- ".join(changes)) == ""
        links.warp(12_000, 1000)
        return sorted(rapid), sorted(side.wait(lambda: counted(side, "statistics"), "counters of STP"))
    finally:
        links.close()


def test_counters_of_trees_are_those_of_the_real_switch(ours: Side, real: Side) -> None:
    assert counters(ours) == counters(real)


def counted(side: Side, column: str) -> dict[str, int]:
    """The counters of b1's port; {} before it has received anything."""
    found = {k: int(n) for k, n in re.findall(r"(\w+)=(\d+)", side.get("port", "b1-2", column))}
    return found if any(n for k, n in found.items() if "rx_count" in k) else {}


def test_what_shows_nowhere_is_read() -> None:
    interfaces = (InterfaceConfig(UUID(int=1), "a", "dummy"), InterfaceConfig(UUID(int=2), "b", "dummy"))
    other = {"bond-detect-mode": "miimon", "bond-miimon-interval": "700"}
    bond = bond_settings(PortConfig(UUID(int=3), "bond", interfaces, other_config=other))
    assert bond is not None
    assert bond.miimon_interval == 700
    other = {"rstp-ageing-time": "77", "rstp-transmit-hold-count": "9"}
    settings = rstp_settings("b0", other, 0x020000000001)
    assert (settings.ageing_time, settings.transmit_hold_count) == (77, 9)
    config = PortConfig(UUID(int=4), "a", interfaces[:1], other_config={"rstp-port-mcheck": "true"})
    view = cast("BridgeView", SimpleNamespace(name="br0", wanted={"a": config}))
    assert rstp_ports(view, set())["a"].mcheck


ELSEWHERE = {
    key: test
    for test, keys in {
        ("tests/bridge/test_trees.py",
         "test_a_ring_of_ours_and_real_ones_shows_what_real_ones_show"): (
            "Bridge stp_enable",
            "Bridge rstp_enable",
        ),
        ("tests/bridge/test_mcast.py",
         "test_messages_make_the_same_table_and_the_same_translations"): (
            "Bridge mcast_snooping_enable",
            "Bridge other_config:mcast-snooping-disable-flood-unregistered",
            "Port other_config:mcast-snooping-flood",
            "Port other_config:mcast-snooping-flood-reports",
        ),
        ("tests/bridge/test_link_keys.py",
         "test_groups_age_and_the_table_has_its_limit_as_in_the_real_switch"): (
            "Bridge other_config:mcast-snooping-aging-time",
            "Bridge other_config:mcast-snooping-table-size",
        ),
        ("tests/bridge/test_link_keys.py",
         "test_what_shows_nowhere_is_read"): (
            "Bridge other_config:rstp-ageing-time",
            "Port other_config:rstp-port-mcheck",
        ),
        ("tests/l2/test_rstp.py",
         "test_no_port_sends_more_than_the_hold_count_a_second"): (
            "Bridge other_config:rstp-transmit-hold-count",
        ),
        ("tests/ofproto_dpif/test_bonds.py",
         "test_miimon_looks_at_links_at_its_interval"): (
            "Port other_config:bond-detect-mode",
            "Port other_config:bond-miimon-interval",
        ),
        ("tests/bridge/test_bonds.py",
         "test_lacp_with_a_real_switch_goes_as_between_real_ones"): (
            "Port other_config:lb-output-action",
        ),
        ("tests/bridge/test_bonds.py",
         "test_a_fake_interface_is_there_as_long_as_it_is_wanted_and_forwards_nothing"): (
            "Port bond_fake_iface",
        ),
        ("tests/bridge/test_bonds.py",
         "test_the_database_hears_of_the_active_member_and_of_lacp"): (
            "Port bond_active_slave",
        ),
        ("tests/monitor/test_peers.py",
         "test_bfd_comes_up_fails_and_recovers_with_open_vswitch"): (
            "Interface bfd:enable",
        ),
        ("tests/monitor/test_bfd.py",
         "test_received_traffic_speaks_for_the_interface_while_control_packets_are_lost"): (
            "Interface bfd:forwarding_if_rx",
        ),
        ("tests/monitor/test_bfd.py",
         "test_a_packet_is_ours_by_its_addresses"): (
            "Interface bfd:check_tnl_key",
            "Interface bfd:bfd_remote_dst_mac",
        ),
        ("tests/monitor/test_peers.py",
         "test_frrs_bfdd_keeps_a_session_with_us"): (
            "Interface bfd:bfd_local_src_mac",
            "Interface bfd:bfd_local_dst_mac",
            "Interface bfd:bfd_src_ip",
            "Interface bfd:bfd_dst_ip",
        ),
        ("tests/tunnels/test_against_real.py",
         "test_bfd_in_a_tunnel_says_in_the_outer_header_that_it_is_of_operation"): (
            "Interface bfd:oam",
        ),
        ("tests/monitor/test_cfm.py",
         "test_traffic_stands_for_heartbeats_in_demand_mode_but_not_for_ever"): (
            "Interface other_config:cfm_demand",
        ),
        ("tests/monitor/test_cfm.py",
         "test_heartbeats_carry_the_tag_that_is_configured"): (
            "Interface other_config:cfm_ccm_vlan",
            "Interface other_config:cfm_ccm_pcp",
        ),
        ("tests/monitor/test_peers.py",
         "test_lldp_and_auto_attach_are_as_the_real_ones"): (
            "Interface lldp:enable",
            "Bridge auto_attach",
            "AutoAttach mappings",
        ),
        ("tests/monitor/test_lldp.py",
         "test_the_frame_is_the_real_ones"): (
            "AutoAttach system_name",
            "AutoAttach system_description",
        ),
        ("tests/bridge/test_link_keys.py",
         "test_counters_of_trees_are_those_of_the_real_switch"): (
            "Port statistics:stp",
            "Port rstp_statistics",
        ),
    }.items()
    for key in keys
}  # fmt: skip
"""Table, column and key -> the test that shows it, for those that no scene has."""
ABOUT_LINKS = re.compile(
    r"(stp|rstp|mcast|bond|lacp|lb-output|all-members|bfd|cfm|lldp|auto_attach)|.*:(stp_|rstp_|mcast|bond-|lacp-|stp-|"
    r"rstp-|cfm|lb-|all-members)|(system_name|system_description|mappings)$"
)


def keys_of_the_manual() -> set[str]:
    """Everything about links in the manual's summaries, as "Table column" or "Table column:key"."""
    wide = {**os.environ, "MANWIDTH": "120", "MAN_KEEP_FORMATTING": ""}
    text = subprocess.run(
        ["man", "ovs-vswitchd.conf.db"], capture_output=True, text=True, check=True, env=wide
    ).stdout
    found: set[str] = set()
    table = ""
    summary = False
    for line in text.splitlines():
        if named := re.match(r"(\w+) TABLE$", line):
            table = named[1]
        elif re.match(r"   \w+:$", line):
            summary = line.strip() == "Summary:"
        elif summary and (named := re.match(r" {7,14}([a-z_]+)(?: : ([\w-]+))?(?: |$)", line)):
            name = f"{named[1]}:{named[2]}" if named[2] else named[1]
            if table in ("Bridge", "Port", "Interface", "AutoAttach") and ABOUT_LINKS.match(name):
                found.add(f"{table} {name}")
    return found


def test_every_key_of_the_manual_has_its_test(require: Callable[..., None]) -> None:
    require("command:man")
    tables = {"bridge": "Bridge", "port": "Port", "interface": "Interface"}
    shown = {
        f"{tables[key.record.split()[0]]} {key.name}" for scene in SCENES.values() for key in scene.keys
    } | {f"{tables[table]} {column}" for scene in SCENES.values() for table, _, column in scene.columns}
    shown |= set(ELSEWHERE)
    known = keys_of_the_manual()
    assert len(known) > 100
    without = [key for key in sorted(known) if key not in shown and key.split(":")[0] not in shown
               and not key.startswith("Port statistics:stp_")]  # fmt: skip
    assert without == []
    gone = [key for key in shown if key not in known and not any(name.startswith(key) for name in known)]
    assert gone == []


def test_the_tests_that_are_named_exist() -> None:
    for file, function in set(ELSEWHERE.values()):
        tree = ast.parse((Path(__file__).parents[2] / file).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in names
