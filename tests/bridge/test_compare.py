"""The same ovs-vsctl commands to the real ovs-vswitchd and to ours: the same answers, the same database."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.bridge.pair import Side

pytestmark = pytest.mark.system

BR0 = "add-br br0 -- set bridge br0 datapath_type=dummy"
PORT = "add-port {0} {1} -- set interface {1} type=dummy ofport_request={2}"


def _ports(bridge: str, *names: str) -> str:
    return " -- ".join(PORT.format(bridge, name, n) for n, name in enumerate(names, 1))


CASES = {
    "a bridge": [BR0],
    "ports of several types": [
        f"{BR0} -- {_ports('br0', 'p1', 'p2')} -- add-port br0 i1 -- set interface i1 type=internal"
        " ofport_request=7 -- add-port br0 t1 -- set interface t1 type=tap ofport_request=8",
    ],
    "unknown types and options": [
        f"{BR0} -- add-port br0 bad -- set interface bad type=foo",
        "add-port br0 pt -- set interface pt type=patch",
        "add-port br0 self -- set interface self type=patch options:peer=self",
        "add-port br0 more -- set interface more type=patch options:peer=x options:remote_ip=1.2.3.4",
        "set interface pt options:peer=pu ofport_request=4",
        "add-port br0 pu -- set interface pu type=patch options:peer=pt ofport_request=5",
    ],
    "a type that is absent": ["add-br br0 -- set bridge br0 datapath_type=bogus", "list interface br0"],
    "a type that becomes absent": [
        BR0,
        "set bridge br0 datapath_type=bogus",
        "set bridge br0 datapath_type=dummy",
    ],
    "names and numbers": [
        f"{BR0} -- {_ports('br0', 'p1', 'p2')}",
        "set interface p1 ofport_request=11",
        PORT.format("br0", "p3", 2),
        "set interface p3 ofport_request=5",
        "add-port br0 p4 -- set interface p4 type=dummy",
        "set interface p4 ofport_request=77",
        "del-port br0 p1",
        "add-port br0 p1 -- set interface p1 type=dummy",
        "add-port br0 p1 -- set interface p1 type=dummy",
        "add-br br0",
        "add-br p1",
        "del-br nothing",
        "--if-exists del-br nothing",
        "--may-exist add-br br0",
    ],
    "VLANs": [
        f"{BR0} -- {_ports('br0', 'p1', 'p2', 'p3', 'p4')}",
        "set port p1 tag=10 -- set port p2 trunks=10,20 -- set port p3 vlan_mode=native-untagged tag=10",
        "set port p4 vlan_mode=dot1q-tunnel tag=100 cvlans=1,2 other_config:qinq-ethtype=802.1q",
        "set port p1 other_config:priority-tags=always",
        "set port p1 tag=5000",
        "set port p1 vlan_mode=bogus",
    ],
    "fake bridges": [BR0, "add-br fake br0 10 -- set interface fake type=internal", "add-port fake p1 -- set "
                     "interface p1 type=dummy", "list-ports fake", "del-br br0"],
    "identity": [
        BR0,
        "set bridge br0 other_config:datapath-id=123",
        "set bridge br0 other_config:datapath-id=0000000000000abc",
        "set bridge br0 other_config:datapath-id=0xdef",
        "set bridge br0 other_config:hwaddr=00:00:00:00:00:07",
        "clear bridge br0 other_config -- set bridge br0 other_config:hwaddr=00:00:00:00:00:08",
        "set bridge br0 other_config:hwaddr=01:00:00:00:00:08",
        "set bridge br0 other_config:hwaddr=nonsense",
        "set bridge br0 other_config:dp-desc=mine",
    ],
    "devices": [
        f"{BR0} -- {_ports('br0', 'p1')}",
        "set interface p1 mtu_request=1400",
        "set interface p1 mtu_request=9000",
        "clear interface p1 mtu_request",
        "set interface br0 mtu_request=1300",
    ],
    "mirrors": [
        f"{BR0} -- {_ports('br0', 'p1', 'p2', 'p3')}",
        "-- --id=@m create mirror name=m1 select_all=true output_vlan=5 -- set bridge br0 mirrors=@m",
        "-- --id=@p get port p3 -- set mirror m1 output_port=@p",
        "clear bridge br0 mirrors",
    ],
    "flow tables": [
        BR0,
        "-- --id=@t create flow_table name=main flow_limit=2 overflow_policy=evict prefixes=ip_dst"
        " -- set bridge br0 flow_tables=0=@t",
        "clear bridge br0 flow_tables",
    ],
    "moving a port": [
        f"{BR0} -- add-br br1 -- set bridge br1 datapath_type=dummy -- {_ports('br0', 'p1')}",
        f"del-port br0 p1 -- {_ports('br1', 'p1')}",
    ],
    "two bridges and a patch": [
        f"{BR0} -- add-br br1 -- set bridge br1 datapath_type=dummy"
        " -- add-port br0 a -- set interface a type=patch options:peer=b ofport_request=1"
        " -- add-port br1 b -- set interface b type=patch options:peer=a ofport_request=1",
        "del-br br1",
    ],
    "bad columns": [BR0, "set bridge br0 nonsense=1", "set interface br0 ofport_request=70000",
                    "set bridge br0 protocols=OpenFlow99", "set bridge br0 fail_mode=open"],
}  # fmt: skip


def _comparable(contents: dict[str, Any]) -> dict[str, Any]:
    """Without counters that only tests of the real one have, and ids that follow from UUIDs."""
    for bridge in contents.get("Bridge", {}).values():
        if bridge["datapath_id"] and int(bridge["datapath_id"], 16) >> 40 & 2:
            bridge["datapath_id"] = "from a UUID"
        bridge["status"] = {k: v for k, v in bridge["status"].items() if k != "error"}
    for mirror in contents.get("Mirror", {}).values():
        # Both write them every five seconds, but not the same five.
        mirror["statistics"] = {}
    for interface in contents.get("Interface", {}).values():
        if str(interface["error"]).startswith("No usable peer"):
            # The real one says so, and takes it back, whenever it next looks at the port.
            interface["error"] = []
        interface["statistics"] = {
            k: v for k, v in interface["statistics"].items() if "custom" not in k and "q0" not in k
        }
    return contents


def _differences(ours: Any, real: Any, path: str = "") -> list[str]:
    """Where two contents differ, a line each."""
    if isinstance(ours, dict) and isinstance(real, dict):
        keys = sorted(ours.keys() | real.keys())
        return [d for k in keys for d in _differences(ours.get(k), real.get(k), f"{path}/{k}")]
    return [] if ours == real else [f"{path}: {ours!r}, the real one {real!r}"]


@pytest.mark.parametrize("name", CASES)
def test_same_commands_same_database(name: str, real: Side, ours: Side) -> None:
    for command in CASES[name]:
        assert _without_uuids(ours.vsctl(command)) == _without_uuids(real.vsctl(command)), command
        # The real one writes some status a moment after ovs-vsctl has returned.
        end = time.monotonic() + 3
        while different := _differences(_comparable(ours.contents()), _comparable(real.contents())):
            assert time.monotonic() < end, f"{command}: {different}"
            time.sleep(0.05)


def _without_uuids(text: str) -> str:
    lines = [line for line in text.splitlines() if "_uuid" not in line]
    return "\n".join(line for line in lines if len(line) != 36)
