"""Real interfaces, in two namespaces that are alike: the database says the same of them for both switches."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bridge.pair import Ours, Real, Side
from tests.whole import datapaths

pytestmark = pytest.mark.system

MAC = "00:00:5e:00:53:01"
"""Of v0: an address that is not locally administered, so that the bridge takes it."""

OURS = {"tx_refused", "tx_ring_full", "rx_ring_full", "rx_truncated"}
"""Drops that only our switch counts, by reason."""


def _ip(namespace: str, *words: str) -> None:
    subprocess.run(["ip", "-n", namespace, *words], check=True)


class OnEbpf(Ours):
    """Ours with its bridges on the eBPF datapath."""

    def vsctl(self, command: str) -> str:
        return super().vsctl(command.replace("datapath_type=netdev", "datapath_type=ebpf"))


@pytest.fixture(params=datapaths())
def pair(
    request: pytest.FixtureRequest, require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Side]]:
    """The real switch and ours, each in a namespace with the ends v0 and v1 of a veth pair."""
    if request.param == "ebpf":
        require("ebpf")
    require("root", "netns", "tun", "packet-socket", "command:ovs-vswitchd", "command:ip")
    sides: list[Side] = [
        Real(tmp_path_factory.mktemp("real")),
        (OnEbpf if request.param == "ebpf" else Ours)(tmp_path_factory.mktemp("ours")),
    ]
    sides[0].options = ("--enable-dummy", "--disable-system")
    sides[1].options = ("--dummy",)
    try:
        for n, side in enumerate(sides):
            side.namespace = f"vsb{os.getpid()}-{n}"
            subprocess.run(["ip", "netns", "add", side.namespace], check=True)
            _ip(side.namespace, "link", "add", "v0", "address", MAC, "type", "veth", "peer", "name", "v1")
            for device in ("v0", "v1"):
                _ip(side.namespace, "link", "set", device, "up")
            side.start()
        yield sides
    finally:
        for side in sides:
            side.close()
            subprocess.run(["ip", "netns", "del", side.namespace], check=False)


def _interfaces(side: Side) -> dict[str, Any]:
    """What the database says of interfaces; of counters only which there are, but for those of our own."""
    contents = side.contents()
    for interface in contents["Interface"].values():
        interface["statistics"] = sorted(set(interface["statistics"]) - OURS)
        interface["ifindex"] = interface["ifindex"] != [] and interface["ifindex"] > 0
    ids = {name: bridge["datapath_id"] for name, bridge in contents["Bridge"].items()}
    # Those that no device gives follow from UUIDs.
    return contents["Interface"] | {n: id for n, id in ids.items() if not int(id, 16) >> 40 & 2}


def _alike(pair: list[Side], seconds: float = 8.0) -> None:
    """Both say the same within `seconds`."""
    end = time.monotonic() + seconds
    while (real := _interfaces(pair[0])) != (ours := _interfaces(pair[1])):
        different = {
            f"{name}.{column}": (ours[name].get(column), value)
            for name, row in real.items()
            if isinstance(row, dict)
            for column, value in row.items()
            if ours[name].get(column) != value
        }
        assert time.monotonic() < end, f"ours, the real one's: {different or (ours, real)}"
        time.sleep(0.1)


def _controllers_see(side: Side) -> str:
    """How OpenFlow and dpctl describe the ports, without their counts and the addresses of tap devices."""
    manager = f"unix:{side.directory}/br0.mgmt"
    text = "".join(
        side.run("ovs-ofctl", command, manager) for command in ("dump-ports-desc", "dump-ports")
    ) + side.appctl("dpctl/show", "-s")
    text = re.sub(r"((?:pkts|bytes|drop|packets|dropped)[=:])\d+( \(.*?\))?", r"\1N", text)
    text = re.sub(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}|lookups:.*|  flows:.*|xid=\w+|  paths:.*\n", "", text)
    text = text.replace("ebpf@ovs-ebpf", "netdev@ovs-netdev").replace("ovs-ebpf", "ovs-netdev")
    # Datapath numbers, and so their order, follow from the real one's hash tables.
    ports = re.split(r"\n(?= +(?:port )?\S+\(|  +port +\S+:)", text)
    return "\n".join(sorted(re.sub(r"port \d+: ", "", port).strip() for port in ports))


def _both(pair: list[Side], command: str) -> None:
    assert pair[1].vsctl(command) == pair[0].vsctl(command)


def test_devices_are_described_alike(pair: list[Side]) -> None:
    _both(
        pair,
        "add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0 -- set interface v0"
        " ofport_request=1 -- add-port br0 i1 -- set interface i1 type=internal ofport_request=2 --"
        " add-port br0 t1 -- set interface t1 type=tap ofport_request=3 -- add-port br0 late",
    )
    _alike(pair)
    assert "10GB-FD COPPER" in _controllers_see(pair[1])
    assert _controllers_see(pair[1]) == _controllers_see(pair[0])
    assert pair[1].get("Bridge", "br0", "datapath_id") == '"000000005e005301"'
    for side in pair:
        _ip(side.namespace, "link", "set", "br0", "up")
        _ip(side.namespace, "link", "set", "v1", "down")
    _alike(pair)
    assert pair[1].get("Interface", "v0", "link_state") == "down"
    for side in pair:
        _ip(side.namespace, "link", "set", "v0", "mtu", "1300")
    _alike(pair)
    assert pair[1].get("Interface", "i1", "mtu") == "1300"
    _both(pair, 'set interface v0 mtu_request=1350 -- set interface i1 mac="00:00:5e:00:53:07"')
    _alike(pair)
    for side in pair:
        _ip(side.namespace, "link", "add", "late", "type", "veth", "peer", "name", "later")
    _alike(pair)
    assert int(pair[1].get("Interface", "late", "ofport")) == 4
    for side in pair:
        _ip(side.namespace, "link", "del", "late")
    # The real one says so only over the kernel's datapath; over its own it goes on with a dead device.
    pair[1].wait(lambda: pair[1].get("Interface", "late", "ofport") == "-1", "the device's end")
    assert "No such device" in pair[1].get("Interface", "late", "error")
    _both(pair, "del-br br0")
    for side in pair:
        assert "br0" not in side.run("ip", "-n", side.namespace, "link")


def test_devices_that_can_t_be_ports(pair: list[Side]) -> None:
    for side in pair:
        _ip(side.namespace, "link", "set", "lo", "up")
    _both(pair, "add-br br0 -- set bridge br0 datapath_type=netdev")
    _both(pair, "add-port br0 lo")
    _both(pair, "add-port br0 a/b")
    _both(pair, "add-port br0 a/c -- set interface a/c type=internal")
    _both(pair, "add-port br0 none")
    _alike(pair)


def test_controllers_give_the_local_port_its_ip_address(pair: list[Side]) -> None:
    _both(pair, "add-br br0 -- set bridge br0 datapath_type=netdev -- set-controller br0 tcp:10.1.2.9:6653")

    def address(side: Side) -> tuple[list[str], list[str]]:
        device = side.run("ip", "-n", side.namespace, "-4", "-br", "addr", "show", "dev", "br0").split()
        routes = side.run("ip", "-n", side.namespace, "route").splitlines()
        return device, [route.strip() for route in routes]

    for asked, expected in {
        "local_ip=10.1.2.3 local_gateway=10.1.2.1": "10.1.2.3/8",
        "local_netmask=255.255.255.0": "10.1.2.3/24",
        "local_ip=192.168.7.7 local_netmask=255.0.255.0": "192.168.7.7/24",
        "local_ip=bogus": "192.168.7.7/24",
        "local_ip=172.16.7.9 local_netmask=0.0.0.0 local_gateway=172.16.0.1 connection_mode=out-of-band":
            "172.16.7.9/16",
        "local_ip=224.0.0.5": "172.16.7.9/16",
        "local_ip=[] target=\"tcp:10.1.2.8:6653\"": "172.16.7.9/16",
    }.items():  # fmt: skip
        _both(pair, f"set controller br0 {asked}")
        ours, real = address(pair[1]), address(pair[0])
        assert ours == real, asked
        assert expected in ours[0]
    log = pair[1].log("ovs-vswitchd")
    assert "bridge br0: configured IP address 10.1.2.3, netmask 255.0.0.0" in log
    assert "bridge br0: configured gateway 172.16.0.1" in log
    assert "local_netmask=255.0.255.0 is not a netmask" in log
    assert "local_ip=bogus is not an IPv4 address" in log
    assert "cannot configure IP address 224.0.0.5 (Invalid argument)" in log


def _qos(side: Side) -> str:
    """What is said of v0's QoS, without what the kernel itself sent."""
    return re.sub(r"(?<=tx_)(packets|bytes): +\d+", r"\1: N", side.appctl("qos/show", "v0"))


def test_queues_are_traffic_control_s_classes(pair: list[Side]) -> None:
    _both(pair, "add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0")
    for side in pair:
        side.vsctl(
            "-- set port v0 qos=@q -- --id=@q create qos type=linux-htb other_config:max-rate=1000000000"
            " queues:0=@q0 queues:1=@q1 -- --id=@q0 create queue other_config:min-rate=100000000"
            " other_config:max-rate=200000000 -- --id=@q1 create queue other_config:priority=3"
            " other_config:min-rate=50000000 other_config:burst=10000"
        )
    assert _qos(pair[1]) == _qos(pair[0])
    _both(pair, "clear port v0 qos")
    assert _qos(pair[1]) == _qos(pair[0])


def test_it_takes_the_place_of_the_real_switch(pair: list[Side]) -> None:
    real = pair[0]
    real.vsctl(
        "add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0 -- set interface v0"
        " ofport_request=9 -- add-port br0 i1 -- set interface i1 type=internal ofport_request=8"
    )
    # It leaves its internal ports behind.
    real.end("ovs-vswitchd")
    ours = Ours(real.directory)
    ours.namespace, ours.options, ours.control = real.namespace, ("--dummy",), "ours.ctl"
    try:
        ours.start_switch()
        assert ours.vsctl("add-port br0 v1") == ""
        ports = ours.run("ovs-ofctl", "show", "br0")
        assert all(f" {number}({name})" in ports for number, name in ((9, "v0"), (8, "i1")))
        assert "LOCAL(br0)" in ports
    finally:
        ours.close()
    assert "i1" not in ours.run("ip", "-n", real.namespace, "link")


def _queues(side: Side, version: str) -> list[str]:
    """What ovs-ofctl says of queues, without times, transaction numbers and what the kernel itself sent."""
    said = [
        side.run("ovs-ofctl", "-O", version, command, "br0")
        for command in ("queue-stats", "queue-get-config")
    ]
    return sorted(
        re.sub(r"xid=0x[0-9a-f]+|duration=[0-9.]+s|(?:bytes|pkts)=[0-9]+", "", "".join(said)).splitlines()
    )


def test_queues_are_told_to_controllers_alike(pair: list[Side]) -> None:
    for side in pair:
        side.vsctl(
            "add-br br0 -- set bridge br0 datapath_type=netdev"
            " protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"
            " -- add-port br0 v0 -- set interface v0 ofport_request=1 -- set port v0 qos=@q"
            " -- --id=@q create qos type=linux-htb other_config:max-rate=100000000 queues:0=@a queues:7=@b"
            " -- --id=@a create queue other_config:max-rate=1000000"
            " -- --id=@b create queue other_config:min-rate=2000000"
        )
    for version in ("OpenFlow10", "OpenFlow13", "OpenFlow14"):
        real, ours = (_queues(side, version) for side in pair)
        assert ours == real, version
        assert any("queue 7" in line for line in ours), ours
