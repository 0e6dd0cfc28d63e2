"""JSON from the runtime commands (`-f json`): what each text says, as values."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.cli.place import FRAME, Place
from tests.cli.sandbox import VSWITCH

BRIDGE = (
    "add-br br0 -- set bridge br0 datapath_type=dummy other_config:hwaddr=aa:55:aa:55:00:00 "
    "mcast_snooping_enable=true -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1 "
    "-- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2 -- add-br br1 "
    "-- set bridge br1 datapath_type=dummy -- add-port br0 a -- set interface a type=patch options:peer=b "
    "-- add-port br1 b -- set interface b type=patch options:peer=a"
)


def ask(place: Place, *args: str) -> Any:
    return json.loads(place.run("appctl", "-f", "json", *args))


@pytest.mark.system
def test_values_say_what_the_texts_say(place: Place) -> None:
    place.run("vsctl", *BRIDGE.split())
    place.run("appctl", "time/stop")
    place.run("appctl", "netdev-dummy/receive", "p1", FRAME)
    place.run("appctl", "fdb/add", "br0", "p2", "7", "0a:00:00:00:00:09")
    text = place.run("appctl", "fdb/show", "br0")
    assert ask(place, "fdb/show", "br0") == {
        "br0": [
            {"port": 1, "vlan": 0, "mac": "0a:00:00:00:00:01",
             "age": int(re.findall(r"0a:00:00:00:00:01 +(\d+)", text)[0])},
            {"port": 2, "vlan": 7, "mac": "0a:00:00:00:00:09", "static": True},
        ]
    }  # fmt: skip
    assert ask(place, "fdb/stats-show", "br0")["br0"] == {
        "entries": {"current": 2, "maximum": 8192, "static": 1},
        "events": {"learned": 1, "expired": 0, "evicted": 0, "moved": 0},
    }

    shown = ask(place, "dpif/show")["dummy@ovs-dummy"]
    assert shown["bridges"]["br0"]["ports"]["p1"] == {"ofport": 1, "port_no": 1, "type": "dummy"}
    patch = shown["bridges"]["br1"]["ports"]["b"]
    assert (patch["port_no"], patch["type"], patch["config"]) == (None, "patch", {"peer": "a"})
    text = place.run("appctl", "dpif/show")
    assert f"hit:{shown['stats']['n_hit']} missed:{shown['stats']['n_missed']}" in text
    for bridge in shown["bridges"].values():
        for name, port in bridge["ports"].items():
            number = "none" if port["port_no"] is None else port["port_no"]
            assert f"{name} {port['ofport']}/{number}: ({port['type']}" in text

    dp = ask(place, "dpctl/show", "-s")["ovs-dummy"]
    assert dp["ports"]["p1"]["port-number"] == 1
    assert dp["ports"]["p1"]["statistics"]["rx_packets"] == 1
    assert dp["flows"] == ask(place, "upcall/show")["dummy@ovs-dummy"]["flows"]["current"] == 1
    assert ask(place, "coverage/show")["dpif_flow_put"] >= 1
    assert ask(place, "memory/show")["ports"] == 6
    assert ask(place, "mdb/show", "br0") == {"br0": {"groups": [], "routers": []}}
    routes = ask(place, "ovs/route/show")
    assert len(routes) == len(place.run("appctl", "ovs/route/show").splitlines()) - 1
    assert {"dst", "prefix", "nexthops", "prefsrc", "priority", "local", "user"} <= routes[0].keys()

    usages = ask(place, "list-commands")
    assert usages["fdb/show"] == "bridge"
    assert len(usages) == len(place.run("appctl", "list-commands").splitlines()) - 1
    version = ask(place, "version")
    assert version["reply-format"] == "plain"
    assert f"{version['reply']}\n" == place.run("appctl", "version")
    pretty = place.run("appctl", "--format=json", "--pretty", "fdb/stats-show", "br0")
    assert pretty.splitlines()[:2] == ["{", '  "br0": {']


@pytest.mark.system
def test_what_is_wrong_is_said(place: Place) -> None:
    def fails(*args: str) -> tuple[int, str]:
        ran = subprocess.run([*VSWITCH, "appctl", *args], capture_output=True, text=True, timeout=30)
        assert ran.stdout == ""
        return ran.returncode, ran.stderr.partition("\n")[0]

    assert fails("-f", "json", "fdb/show", "nobr") == (2, "no such bridge")
    assert fails("-f", "xml", "version") == (
        1, "vswitch appctl: unsupported output format: xml (text, json)",
    )  # fmt: skip
    assert fails("--pretty", "version") == (
        1, "vswitch appctl: --pretty is supported with --format json only",
    )  # fmt: skip
    assert fails("set-options", "--format", "xml") == (2, "set-options: --format is json or text, not xml")
    assert fails("set-options", "--colour") == (2, "set-options: unknown option --colour")
    assert place.run("appctl", "set-options", "--format", "json") == "", "of this connection only"
    assert place.run("appctl", "version").startswith("ovs-vswitchd")


@pytest.mark.system
def test_answers_of_a_switch_are_values_as_well(place: Place) -> None:
    place.run("vsctl", *BRIDGE.split())
    flow = "table=3,priority=7,cookie=5,tcp,nw_dst=10.0.0.0/8,actions=output:2"
    place.run("ofctl", "add-flow", "br0", flow)
    place.run("ofctl", "-O", "OpenFlow13", "add-group", "br0", "group_id=4,type=all,bucket=output:1")

    def of(*words: str) -> Any:
        lines = place.run("ofctl", "--json", *words).splitlines()
        assert len(lines) == 1, lines
        return json.loads(lines[0])

    reply = of("-O", "OpenFlow13", "dump-flows", "br0", "table=3")
    assert (reply["message"], reply["version"]) == ("OFPST_FLOW reply", "OpenFlow13")
    (found,) = reply["flows"]
    assert (found["table_id"], found["priority"], found["cookie"]) == (3, 7, 5)
    assert (found["match"], found["actions"]) == ("tcp,nw_dst=10.0.0.0/8", "output:2")
    assert (found["packet_count"], found["idle_timeout"]) == (0, 0)
    ports = {port["name"]: port for port in of("-O", "OpenFlow13", "dump-ports-desc", "br0")["ports"]}
    assert ports["br0"]["hw_addr"] == "aa:55:aa:55:00:00"
    counted = {port["port_no"]: port for port in of("-O", "OpenFlow13", "dump-ports", "br0")["stats"]}
    assert counted[1]["rx_packets"] == 0
    (group,) = of("-O", "OpenFlow13", "dump-groups", "br0")["groups"]
    assert (group["group_id"], group["buckets"][0]["actions"]) == (4, "output:1")
    assert of("get-frags", "br0")["flags"] == 0
    for words in (("--sort", "dump-flows", "br0"), ("--no-stats", "dump-flows", "br0")):
        command = [*VSWITCH, "ofctl", "--json", *words]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert words[0] in ran.stderr
