"""The configuration cookbook of ovs-vsctl(8), as a new user types it, on the real switch and on ours: the
same answers, database, queues in the kernel, and datapath actions."""

from __future__ import annotations

import re
import subprocess
import time
from difflib import unified_diff
from pprint import pformat
from typing import Any

import pytest

from tests.bridge.pair import Side
from tests.bridge.settings_cases import VOLATILE, database
from tests.bridge.test_devices import pair
from tests.bridge.test_qos_keys import UUID

__all__ = ["pair"]

pytestmark = pytest.mark.system

COOKBOOK = """
add-br br0 -- set Bridge br0 datapath_type=netdev
add-port br0 eth0
add-port br0 eth1
add-port br0 eth2
-- set port eth0 qos=@newqos -- --id=@newqos create qos type=linux-htb other-config:max-rate=1000000 \
 queues:0=@newqueue -- --id=@newqueue create queue other-config:min-rate=1000000 other-config:max-rate=1000000
clear port eth0 qos
-- --all destroy QoS -- --all destroy Queue
add-port br0 vlan10 tag=10 -- set Interface vlan10 type=internal
-- set Bridge br0 mirrors=@m -- --id=@eth0 get Port eth0 -- --id=@eth1 get Port eth1 \
 -- --id=@eth2 get Port eth2 -- --id=@m create Mirror name=mymirror select-dst-port=@eth0,@eth1 \
 select-src-port=@eth0,@eth1 output-port=@eth2
-- --id=@rec get Mirror mymirror -- remove Bridge br0 mirrors @rec
-- set Port eth0 qos=@newqos -- set Port eth1 qos=@newqos -- --id=@newqos create QoS type=linux-htb \
 other-config:max-rate=1000000000 queues=0=@q0,1=@q1 -- --id=@q0 create Queue \
 other-config:min-rate=100000000 other-config:max-rate=100000000 \
 -- --id=@q1 create Queue other-config:min-rate=500000000
clear Port eth1 qos
-- destroy QoS eth0 -- clear Port eth0 qos -- clear Port eth1 qos
-- --all destroy Queue
set Interface eth0 cfm_mpid=1
clear Interface eth0 cfm_mpid
-- set Bridge br0 netflow=@nf -- --id=@nf create NetFlow targets="192.168.0.34:5566" active-timeout=30
set NetFlow br0 active_timeout=60
clear Bridge br0 netflow
-- --id=@s create sFlow agent=eth1 target="10.0.0.1:6343" header=128 sampling=64 polling=10 \
 -- set Bridge br0 sflow=@s
-- clear Bridge br0 sflow
-- set Bridge br0 ipfix=@i -- --id=@i create IPFIX targets="192.168.0.34:4739" obs_domain_id=123 \
 obs_point_id=456 cache_active_timeout=60 cache_max_flows=13
clear Bridge br0 ipfix
set Bridge br0 stp_enable=true
set Bridge br0 other_config:stp-priority=30720
set Port eth0 other_config:stp-path-cost=10
set Bridge br0 stp_enable=false
set Bridge br0 mcast_snooping_enable=true
set Bridge br0 other_config:mcast-snooping-aging-time=300
set Bridge br0 other_config:mcast-snooping-table-size=2048
set Bridge br0 other_config:mcast-snooping-disable-flood-unregistered=true
set Port eth1 other_config:mcast-snooping-flood=true
set Port eth1 other_config:mcast-snooping-flood-reports=true
set Bridge br0 mcast_snooping_enable=false
set Bridge br0 other_config:rstp-address=00:aa:aa:aa:aa:aa
set Bridge br0 rstp_enable=true
set Bridge br0 other_config:rstp-priority=28672
set Bridge br0 other_config:rstp-ageing-time=1000
set Bridge br0 other_config:rstp-max-age=10
set Bridge br0 other_config:rstp-forward-delay=15
set Bridge br0 other_config:rstp-transmit-hold-count=10
set Port eth0 other_config:rstp-enable=false
set Port eth0 other_config:rstp-port-priority=32
set Port eth0 other_config:rstp-port-num=15
set Port eth0 other_config:rstp-path-cost=150
set Port eth0 other_config:rstp-port-admin-edge=true
set Port eth0 other_config:rstp-port-auto-edge=true
set Bridge br0 rstp_enable=false
del-br br0
--if-exists del-br br0
""".replace("\\\n", "")
TRACE = "in_port=eth0,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:03,udp"
CHANGING = ("link_resets", "ifindex", "mac_in_use", "status", "datapath_id")
SECONDS = 8


def seen(side: Side) -> dict[str, Any]:
    """What the switch and the kernel have come to."""
    contents = database(side)
    for row in (*contents.get("Interface", {}).values(), *contents.get("Bridge", {}).values()):
        for column in CHANGING:
            row.pop(column, None)
    for port in contents.get("Port", {}).values():
        # Which number a tree gives a port follows from nothing that one sees.
        port["rstp_status"] = port["status"] = "..."
    queues = [
        side.run("ip", "netns", "exec", side.namespace, "tc", what, "show", "dev", f"eth{n}")
        for what in ("qdisc", "class") for n in (0, 1)
    ]  # fmt: skip
    return {"database": contents, "queues": [sorted(text.splitlines()) for text in queues],
            "actions": actions(side)}  # fmt: skip


def actions(side: Side) -> list[str]:
    """Where a packet goes that came in at eth0."""
    if "br0" not in side.run("ovs-vsctl", "list-br"):
        return []
    if "eth0" not in side.run("ovs-vsctl", "list-ports", "br0"):
        return []
    said = side.appctl("ofproto/trace", "br0", TRACE).rpartition("Datapath actions: ")[2]
    numbers = dict(re.findall(r"port (\d+): (\S+)", side.appctl("dpctl/show", "netdev@ovs-netdev")))
    named = re.sub(
        r"(?<![\w.:/=])\d+(?![\w.:/%])", lambda n: numbers.get(n[0], n[0]), VOLATILE.sub("~", said)
    )
    return sorted(re.split(r",(?![^(]*\))", named.strip()))


@pytest.fixture
def devices(pair: list[Side]) -> list[Side]:
    """The real switch and ours, which know the host's addresses, each with eth0, eth1 and eth2."""
    pair[1].end("ovs-vswitchd")
    pair[1].options = ("--dummy", "--routes")
    pair[1].start_switch()
    for side in pair:
        for n in range(3):
            subprocess.run(
                [
                    "ip",
                    "-n",
                    side.namespace,
                    "link",
                    "add",
                    f"eth{n}",
                    "type",
                    "veth",
                    "peer",
                    "name",
                    f"far{n}",
                ],
                check=True,
            )
            for device in (f"eth{n}", f"far{n}"):
                subprocess.run(["ip", "-n", side.namespace, "link", "set", device, "up"], check=True)
        subprocess.run(["ip", "-n", side.namespace, "addr", "add", "10.0.0.9/24", "dev", "eth1"], check=True)
    return pair


def test_the_cookbook_does_the_same(devices: list[Side]) -> None:
    for command in COOKBOOK.splitlines():
        if not command:
            continue
        said = [UUID.sub("", side.vsctl(command)) for side in devices]
        assert said[0] == said[1], command
        end = time.monotonic() + SECONDS
        while (real := seen(devices[0])) != (ours := seen(devices[1])):
            if time.monotonic() > end:
                found = [pformat(shown, width=150).splitlines() for shown in (real, ours)]
                raise AssertionError("\n".join([command, *unified_diff(*found, "real", "ours", n=0)]))
            time.sleep(0.1)
