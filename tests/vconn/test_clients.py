"""The real clients over real sockets: ovs-ofctl in every version, monitor and snoop; ovs-testcontroller."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vconn.running import Running
from vswitch.base.unixctl import Commands
from vswitch.netdev import dummy
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages.flow import FlowStatsRequest
from vswitch.openflow.messages.session import EchoReply, EchoRequest, FeaturesRequest
from vswitch.openflow.wire.version import VERSIONS, version_name
from vswitch.vconn.client import Client, ClientError, Refused, target_of
from vswitch.vconn.settings import ControllerSettings

pytestmark = pytest.mark.system

PTCP = "ptcp:0:127.0.0.1"
PACKET = "ffffffffffff02000000000108004500001c00000000401166cf0a0000010a0000020001000200080000"


@pytest.fixture
def switch(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    require("command:ovs-ofctl")
    running = Running(tmp_path_factory.mktemp("clients"), ("p1", "p2"))
    running.do(lambda: running.bridge.controllers.set_controllers([ControllerSettings(PTCP)]))
    try:
        yield running
    finally:
        running.close()


def receive(switch: Running, port: str, packet: str) -> None:
    """Let a packet come in at a dummy port; between two turns."""
    commands = Commands()
    dummy.register_commands(commands, scope=switch.scope)
    ok, text = commands.run("netdev-dummy/receive", [port, packet])
    assert ok, text


class Program:
    """A program that runs until the test ends, and what it has said."""

    def __init__(self, switch: Running, *args: str) -> None:
        self.path = switch.directory / f"{args[0]}.out"
        self._out = self.path.open("wb")
        self.process = subprocess.Popen(
            args, env=switch.environment, stdout=self._out, stderr=self._out, stdin=subprocess.DEVNULL
        )

    def said(self) -> str:
        """Standard output and error so far."""
        return self.path.read_text(errors="replace")

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            self._out.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_ovs_ofctl_over_a_unix_socket_and_tcp(switch: Running, version: int) -> None:
    port = switch.do(lambda: switch.bridge.controllers.listening_port(PTCP))
    dialect = version_name(version)
    other_words = (switch.mgmt, f"unix:{switch.mgmt}") if version == 1 else ()
    for target in ("br0", f"tcp:127.0.0.1:{port}", *other_words):
        switch.ofctl("-O", dialect, "add-flow", target, "priority=5,in_port=1,actions=output:2")
        dumped = switch.ofctl("-O", dialect, "dump-flows", target).stdout
        assert "priority=5,in_port=1 actions=output:2" in dumped
        assert "(p1): addr:" in switch.ofctl("-O", dialect, "show", target).stdout
        switch.ofctl("-O", dialect, "del-flows", target)
        assert "priority" not in switch.ofctl("-O", dialect, "dump-flows", target).stdout


def test_ovs_ofctl_with_a_version_that_is_not_allowed(switch: Running) -> None:
    switch.do(lambda: switch.bridge.controllers.set_protocols((4,)))
    assert switch.ofctl("-O", "OpenFlow13", "dump-flows", "br0").returncode == 0
    refused = switch.ofctl("-O", "OpenFlow10", "dump-flows", "br0", check=False)
    assert refused.returncode == 1
    assert "(we support version 0x01, peer supports version 0x04)" in refused.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_ovs_ofctl_monitor_sees_packets(switch: Running, version: int) -> None:
    dialect = version_name(version)
    switch.ofctl("-O", dialect, "add-flow", "br0", "in_port=1,actions=controller")
    monitor = Program(switch, "ovs-ofctl", "-O", dialect, "monitor", "br0", "65534")
    try:
        switch.until(lambda: any(c.miss_send_len == 65534 for c in switch.bridge.connmgr.conns))

        def seen() -> bool:
            # One that comes while the monitor waits for another answer, it throws away.
            receive(switch, "p1", PACKET)
            return "nw_src=10.0.0.1" in monitor.said()

        switch.until(seen)
    finally:
        monitor.end()
    assert re.search(r"PACKET_IN.*total_len=42 in_port=1 \(via action\)", monitor.said())


def test_ovs_ofctl_snoop_sees_both_directions(switch: Running, require: Callable[..., None]) -> None:
    """`ovs-testcontroller` is the controller; what it and the switch say to each other is seen."""
    require("command:ovs-testcontroller")
    socket = switch.directory / "tc.sock"
    ctl = switch.directory / "tc.ctl"
    tester = Program(switch, "ovs-testcontroller", f"punix:{socket}", f"--unixctl={ctl}")
    snoop = None
    try:
        switch.until(socket.exists)
        settings = ControllerSettings(f"unix:{socket}", inactivity_probe=1000, max_backoff=1000)
        switch.do(lambda: switch.bridge.controllers.set_controllers([settings]))
        switch.until(lambda: switch.bridge.controllers.any_connected())
        version = version_name(switch.do(lambda: switch.bridge.connmgr.conns[0].version))
        snoop = Program(switch, "ovs-ofctl", "-O", version, "snoop", "br0")
        switch.until(lambda: any(x.vconn.connected for x in switch.bridge.controllers._listeners))

        def seen() -> bool:
            receive(switch, "p1", PACKET)
            return "PACKET_IN" in snoop.said() and "PACKET_OUT" in snoop.said()

        switch.until(seen)
    finally:
        if snoop is not None:
            snoop.end()
        tester.end()
    assert "nw_src=10.0.0.1" in snoop.said()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("direction", ["switch connects", "controller connects"])
def test_ovs_testcontroller_makes_a_learning_switch(
    switch: Running, version: int, direction: str, require: Callable[..., None]
) -> None:
    require("command:ovs-testcontroller")
    dialect = version_name(version)
    if direction == "switch connects":
        where = f"punix:{switch.directory}/tc.sock"
        settings = [ControllerSettings(f"unix:{switch.directory}/tc.sock", max_backoff=1000)]
    else:
        where, settings = f"tcp:127.0.0.1:{switch.do(lambda: _port(switch))}", [ControllerSettings(PTCP)]
    tester = Program(
        switch, "ovs-testcontroller", "-O", dialect, where, f"--unixctl={switch.directory}/tc.ctl"
    )
    try:
        switch.do(lambda: switch.bridge.controllers.set_controllers(settings))
        switch.until(lambda: [c for c in switch.bridge.connmgr.conns if c.version == version])
        reply = PACKET[12:24] + "020000000002" + PACKET[24:52] + "0a0000020a000001" + PACKET[68:]

        def learned() -> bool:
            receive(switch, "p1", PACKET)
            receive(switch, "p2", reply)
            return any("dl_dst=02:00:00:00:00:01" in str(rule.match) for rule in switch.bridge.tables.rules())

        switch.until(learned)
        dumped = switch.ofctl("-O", dialect, "dump-flows", "br0").stdout
        assert re.search(r"dl_dst=02:00:00:00:00:01.* actions=output:1", dumped)
    finally:
        tester.end()


def _port(switch: Running) -> int:
    return switch.bridge.controllers.listening_port(PTCP)


# Our own client.


@pytest.mark.parametrize("version", VERSIONS)
def test_our_client_with_our_switch(switch: Running, version: int) -> None:
    with Client(f"unix:{switch.mgmt}", [version], timeout=10) as client:
        assert client.version == version
        assert client.transact(EchoRequest(b"hi")) == [EchoReply(b"hi")]
        assert client.transact(FeaturesRequest())[0].n_tables == 254
        client.execute(parse_flow("priority=9,in_port=1,actions=output:2"))
        client.barrier()
        flows = [flow for part in client.transact(FlowStatsRequest()) for flow in part.flows]
        assert [flow.priority for flow in flows] == [9]
        with pytest.raises(Refused, match="OFPFMFC_OVERLAP"):
            client.execute(parse_flow("check_overlap,priority=9,actions=drop"))
        assert client.recv(timeout=0.01) is None


def test_our_client_with_the_real_switch(require: Callable[..., None], tmp_path: Path) -> None:
    from tests.oracle.real import RealSwitch

    require("command:ovs-vswitchd", "command:ovsdb-server")
    real = RealSwitch(tmp_path)
    try:
        real.start()
        real.run("ovs-vsctl", "add-br", "cl", "--", "set", "bridge", "cl", "datapath_type=dummy")
        real.run("ovs-vsctl", "set-fail-mode", "cl", "secure")
        for version in VERSIONS:
            with Client(target_of("cl", str(tmp_path)), [version], timeout=10) as client:
                assert client.transact(EchoRequest(b"hi")) == [EchoReply(b"hi")]
                client.execute(parse_flow(f"priority={version},actions=drop"))
                flows = [flow for part in client.transact(FlowStatsRequest()) for flow in part.flows]
                assert sorted(flow.priority for flow in flows) == list(range(1, version + 1))
    finally:
        real.close()


def test_where_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="No such file or directory"):
        Client(target_of("br9", str(tmp_path)))
    with pytest.raises(ClientError, match="Connection refused"):
        Client("tcp:127.0.0.1:1")
    with pytest.raises(ClientError, match="Address family not supported"):
        Client("carrier-pigeon:coop")


def test_names_of_switches() -> None:
    assert target_of("br0", "/run/ovs") == "unix:/run/ovs/br0.mgmt"
    assert target_of("br0", "/run/ovs", "snoop") == "unix:/run/ovs/br0.snoop"
    assert target_of("./x.sock", "/run/ovs") == "unix:./x.sock"
    assert target_of("tcp:192.0.2.1", "/run/ovs") == "tcp:192.0.2.1"
