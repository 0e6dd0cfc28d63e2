"""Faucet, a controller for production networks, on our switch and on the real one: routing between VLANs, an
access list, a mirror, and a new configuration while hosts talk."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack import OURS, REAL, Stack, until
from tests.whole import datapaths

pytestmark = [pytest.mark.system, pytest.mark.slow]

FAUCET = Path(__file__).parents[2] / ".venv-faucet" / "bin" / "faucet"
DATAPATH_ID = 0xA1
CONFIG = """
vlans:
  red:
    vid: 100
    faucet_vips: ["10.0.1.254/24"]
    faucet_mac: "0e:00:00:00:01:01"
  blue:
    vid: 200
    faucet_vips: ["10.0.2.254/24"]
    faucet_mac: "0e:00:00:00:02:02"
routers:
  between:
    vlans: [red, blue]
acls:
  no-web:
    - rule: {dl_type: 0x800, nw_proto: 6, tcp_dst: 80, actions: {allow: 0}}
    - rule: {actions: {allow: 1}}
dps:
  sw1:
    dp_id: 0xa1
    hardware: "Open vSwitch"
    interfaces:
      1: {native_vlan: red, acls_in: [no-web]}
      2: {native_vlan: red}
      3: {native_vlan: blue}
"""
MIRRORED = CONFIG + "      4: {output_only: true, mirror: 1}\n"
HOSTS = {1: "10.0.1.1/24", 2: "10.0.1.2/24", 3: "10.0.2.3/24"}


def requires(require: Callable[..., None]) -> None:
    require("root", "netns", "command:ovsdb-server", "command:ovs-vswitchd", "command:tcpdump")
    require(f"command:{FAUCET}")


@pytest.fixture(params=[*datapaths(), "real"])
def network(request: pytest.FixtureRequest, require: Callable[..., None], tmp_path: Path) -> Iterator[Stack]:
    """Bridge br0 under Faucet, which has hosts in two VLANs and a fourth port for the mirror."""
    requires(require)
    real = request.param == "real"
    if request.param == "ebpf":
        require("ebpf")
    stack = Stack(tmp_path, REAL if real else OURS)
    try:
        stack.start()
        stack.run(
            "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0",
            f"datapath_type={'netdev' if real else request.param}",
            "fail_mode=secure", f"other_config:datapath-id={DATAPATH_ID:016x}",
            "other_config:disable-in-band=true", "protocols=OpenFlow13",
        )  # fmt: skip
        for number in (*HOSTS, 4):
            host = stack.host(number, HOSTS.get(number, "10.9.9.9/24"))
            stack.run("ethtool", "-K", f"h{number}", "tx", "off")
            stack.inside(host, "ethtool", "-K", "eth0", "tx", "off")
            gateway = HOSTS.get(number, "10.9.9.9/24").rpartition(".")[0] + ".254"
            stack.inside(host, "ip", "route", "add", "default", "via", gateway)
            stack.run("ovs-vsctl", "add-port", "br0", f"h{number}", "--", "set", "interface", f"h{number}",
                      f"ofport_request={number}")  # fmt: skip
        (tmp_path / "faucet.yaml").write_text(CONFIG)
        stack.environment.update(
            PATH=f"{FAUCET.parent}:{stack.environment['PATH']}",
            FAUCET_CONFIG=str(tmp_path / "faucet.yaml"), FAUCET_LOG=str(tmp_path / "faucet.log"),
            FAUCET_EXCEPTION_LOG=str(tmp_path / "faucet.exceptions"), FAUCET_PROMETHEUS_ADDR="127.0.0.1",
        )  # fmt: skip
        stack.spawn(str(FAUCET), "--ryu-ofp-tcp-listen-port=6653", name="faucet")
        stack.run("ovs-vsctl", "set-controller", "br0", "tcp:127.0.0.1:6653")
        stack.run("ovs-vsctl", "set", "controller", "br0", "max_backoff=1000")
        until("Faucet's flows", lambda: "Configuring VLAN blue" in log(stack) and flows(stack) > 10, 40)
        yield stack
    finally:
        stack.close()


def log(stack: Stack) -> str:
    path = stack.directory / "faucet.log"
    return path.read_text() if path.exists() else ""


def flows(stack: Stack) -> int:
    return len(stack.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br0").splitlines())


def connects(stack: Stack, port: int) -> bool:
    """Whether host 1 gets a TCP connection to host 2 (its refusal is an answer, too)."""
    ran = stack.inside(stack.hosts[0], "timeout", "3", "bash", "-c", f"</dev/tcp/10.0.1.2/{port}")
    return "refused" in ran.stderr


def test_faucet_routes_filters_mirrors_and_reloads(network: Stack) -> None:
    stack = network
    one, _, three, four = stack.hosts
    until("a ping within the VLAN", lambda: stack.pings(one, "10.0.1.2") == 3, 30)
    until("a ping to the router", lambda: stack.pings(one, "10.0.1.254") == 3, 30)
    until("a ping between the VLANs", lambda: stack.pings(one, "10.0.2.3") == 3, 30)
    assert stack.pings(three, "10.0.1.2") == 3
    assert connects(stack, 81)
    assert not connects(stack, 80)
    (stack.directory / "faucet.yaml").write_text(MIRRORED)
    stack.processes[-1].send_signal(signal.SIGHUP)
    until("the new configuration", lambda: "output:4" in stack.run(
        "ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br0"), 30)  # fmt: skip
    seen = subprocess.Popen(
        ["ip", "netns", "exec", four, "timeout", "10", "tcpdump", "-nl", "-c", "1", "-i", "eth0", "icmp"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert seen.stderr is not None
    seen.stderr.readline()
    until("a ping after the reload", lambda: stack.pings(one, "10.0.1.2") == 3, 30)
    out, _ = seen.communicate(timeout=20)
    assert "10.0.1.1 > 10.0.1.2: ICMP echo request" in out
    assert not (stack.directory / "faucet.exceptions").read_text()
