"""The connections of a bridge: fail modes, in-band flows, services, status, listening in."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.oracle.real import RealSwitch
from tests.vconn.peer import ECHO_REQUEST, HELLO, Controller, Peer, message
from tests.vconn.running import Running
from vswitch.base.clock import Clock
from vswitch.ofproto.ofconn import ConnKind
from vswitch.openflow.action_text import format_actions
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages.session import ROLE_PRIMARY, RoleRequest
from vswitch.openflow.wire.codec import encode
from vswitch.switch import Switch
from vswitch.vconn.in_band import HostNeighbours
from vswitch.vconn.settings import ControllerSettings

NORMAL = "priority=0 actions=NORMAL"


@pytest.fixture
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """In virtual time."""
    clock = Clock(virtual=True)
    clock.warp(100_000)
    running = Running(tmp_path_factory.mktemp("vconn"), ("p1",), clock=clock)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def controller() -> Iterator[Controller]:
    c = Controller()
    yield c
    c.close()


def flows(switch: Running, hidden: bool = False) -> list[str]:
    """The flows of table 0 as "priority=N,MATCH actions=..."."""

    def dump() -> list[str]:
        found = []
        for rule in switch.bridge.tables.rules(hidden):
            if rule.table_id == 0:
                match = str(rule.match)
                text = f"priority={rule.priority}" + (f",{match}" if match else "")
                found.append(f"{text} actions={format_actions(rule.actions)}")
        return sorted(found)

    return switch.do(dump)


def set_controllers(switch: Running, *settings: ControllerSettings) -> None:
    switch.do(lambda: switch.bridge.controllers.set_controllers(settings))


def out_of_band(controller: Controller, **more: object) -> ControllerSettings:
    return ControllerSettings(controller.target, in_band=False, **more)  # type: ignore[arg-type]


def warp(switch: Running, ms: int) -> None:
    """Let time pass a second at a time, as it does."""
    while ms > 0:
        switch.do(lambda ms=ms: switch.clock.warp(min(ms, 1000)))
        turn = switch.turns
        switch.until(lambda turn=turn: switch.turns > turn + 1)
        ms -= 1000


# Fail modes.


def test_a_new_bridge_does_nothing(switch: Running) -> None:
    assert flows(switch) == []


def test_standalone_without_controllers_is_a_learning_switch(switch: Running) -> None:
    controllers = switch.bridge.controllers
    switch.do(lambda: controllers.set_fail_mode("standalone"))
    assert flows(switch) == [NORMAL]
    switch.do(lambda: controllers.set_fail_mode("secure"))
    assert flows(switch) == []
    with pytest.raises(ValueError, match="sideways"):
        controllers.set_fail_mode("sideways")


def test_the_first_controller_gets_empty_tables(switch: Running, controller: Controller) -> None:
    switch.do(lambda: switch.bridge.controllers.set_fail_mode("standalone"))
    switch.do(lambda: switch.bridge.flow_mod(parse_flow("priority=7,ip,actions=drop")))
    set_controllers(switch, out_of_band(controller))
    assert flows(switch, hidden=True) == []
    set_controllers(switch)
    assert flows(switch) == [NORMAL]


def test_without_a_controller_for_three_probe_intervals_the_bridge_fails_open(
    switch: Running, controller: Controller
) -> None:
    switch.do(lambda: switch.bridge.controllers.set_fail_mode("standalone"))
    set_controllers(switch, out_of_band(controller, inactivity_probe=2000))
    controller.close()
    switch.do(lambda: switch.bridge.flow_mod(parse_flow("priority=7,ip,actions=drop")))
    warp(switch, 5000)
    assert flows(switch) == ["priority=7,ip actions=drop"]
    warp(switch, 1000)
    switch.until(lambda: switch.bridge.controllers._fail_open.active)
    assert flows(switch) == [], "the flow that does it is hidden"
    assert flows(switch, hidden=True) == ["priority=15790320 actions=NORMAL"]


def test_a_controller_that_controls_ends_fail_open(switch: Running, controller: Controller) -> None:
    switch.do(lambda: switch.bridge.controllers.set_fail_mode("standalone"))
    set_controllers(switch, out_of_band(controller, inactivity_probe=2000, max_backoff=1000))
    deaf = controller.accept()
    warp(switch, 7000)
    assert flows(switch, hidden=True) == ["priority=15790320 actions=NORMAL"]
    deaf.close()
    controller.sock.settimeout(0.05)
    for _ in range(100):
        warp(switch, 1000)
        try:
            peer = controller.accept()
        except TimeoutError:
            continue
        peer.hello_later(1)
        try:
            switch.until(lambda: switch.bridge.controllers.any_connected(), 0.5)
        except AssertionError:
            continue
        break
    warp(switch, 1000)
    assert peer.echo(b"alive, but no more", version=1)
    assert flows(switch, hidden=True) == [
        "priority=15790320 actions=NORMAL,controller(reason=no_match)"
    ], "now packets are for the controller too"
    warp(switch, 1500)
    assert peer.recv_kind(10)[18 + 12 :][:2] == b"\x80\x35", "a packet is made up, so that it does something"
    peer.send(encode(parse_flow("priority=9,ip,actions=drop"), 1, 5))
    switch.until(lambda: not switch.bridge.controllers._fail_open.active)
    assert flows(switch, hidden=True) == ["priority=9,ip actions=drop"]
    peer.close()


def test_secure_never_fails_open(switch: Running, controller: Controller) -> None:
    set_controllers(switch, out_of_band(controller, inactivity_probe=1000))
    controller.close()
    warp(switch, 30_000)
    assert flows(switch, hidden=True) == []


# In-band control.


class OneRouter:
    """Every address is behind the router with this address."""

    def next_hop(self, address: str) -> str:
        if address.startswith("127."):
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        return "02:00:00:00:00:fe"


def test_in_band_flows(tmp_path: Path) -> None:
    switch = Running(tmp_path)
    try:
        switch.bridge.controllers.in_band._neighbours = OneRouter()
        mac = switch.do(switch.bridge.controllers.local_mac)
        set_controllers(switch, ControllerSettings("tcp:192.0.2.1"), ControllerSettings("ssl:192.0.2.1:6640"))
        assert flows(switch) == []
        assert flows(switch, hidden=True) == sorted(
            f"priority={match} actions=NORMAL"
            for match in (
                f"180000,udp,in_port=LOCAL,dl_src={mac},tp_src=68,tp_dst=67",
                f"180001,arp,dl_dst={mac},arp_op=2",
                f"180002,arp,dl_src={mac},arp_op=1",
                "180003,arp,dl_dst=02:00:00:00:00:fe,arp_op=2",
                "180004,arp,dl_src=02:00:00:00:00:fe,arp_op=1",
                "180005,arp,arp_tpa=192.0.2.1,arp_op=2",
                "180006,arp,arp_spa=192.0.2.1,arp_op=1",
                "180007,tcp,nw_dst=192.0.2.1,tp_dst=6653",
                "180007,tcp,nw_dst=192.0.2.1,tp_dst=6640",
                "180008,tcp,nw_src=192.0.2.1,tp_src=6653",
                "180008,tcp,nw_src=192.0.2.1,tp_src=6640",
            )
        )
        switch.do(lambda: switch.bridge.controllers.set_in_band(queue=3))
        assert {f.partition(" ")[2] for f in flows(switch, hidden=True)} == {"actions=set_queue:3,NORMAL"}
        switch.do(lambda: switch.bridge.controllers.set_in_band(enabled=False))
        assert flows(switch, hidden=True) == []
        switch.do(lambda: switch.bridge.controllers.set_in_band())
        assert len(flows(switch, hidden=True)) == 11
        set_controllers(switch, ControllerSettings("tcp:192.0.2.1", in_band=False))
        assert flows(switch, hidden=True) == []
    finally:
        switch.close()


def test_dhcp_replies_reach_the_bridges_own_port_in_band() -> None:
    """As `ofproto/trace` of ovs-vswitchd 3.1 has it; the port where other packets differ is matched too,
    so that no reply is taken for one of them."""
    with Switch(ports=["p1"]) as switch:
        wanted = {
            "udp,in_port=1,udp_src=67,udp_dst=68": ("tp_src=67,tp_dst=68", "1"),
            "udp,in_port=1,udp_src=67,udp_dst=69": ("tp_dst=0x1/0x1", "drop"),
            "udp,in_port=1,udp_src=1024,udp_dst=68": ("tp_src=0x400/0x400,tp_dst=68", "drop"),
            "udp,in_port=1,udp_src=50000,udp_dst=68": ("tp_src=0x8000/0x8000,tp_dst=68", "drop"),
            "tcp,in_port=1": ("nw_frag=no", "drop"),
        }
        assert "Datapath actions: drop" in switch.trace(next(iter(wanted)))
        switch.ofproto.controllers.set_controllers([ControllerSettings("tcp:127.0.0.1:1")])
        for flow, (mask, actions) in wanted.items():
            said = switch.trace(flow)
            assert f"{mask}\nDatapath actions: {actions}\n" in said + "\n", said
        switch.ofproto.controllers.set_controllers([])
        assert "Datapath actions: drop" in switch.trace(next(iter(wanted)))


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0000A8C0\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0
"""
ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.1         0x1         0x2         02:00:00:00:00:01     *        eth0
10.0.0.7         0x1         0x2         02:00:00:00:00:07     *        eth0
10.0.0.8         0x1         0x0         00:00:00:00:00:00     *        eth0
"""


@pytest.mark.skipif(sys.byteorder == "big", reason="the tables are those of a little-endian host")
def test_the_way_to_an_address_is_the_hosts(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(ROUTES)
    (tmp_path / "arp").write_text(ARP)
    host = HostNeighbours(str(tmp_path / "route"), str(tmp_path / "arp"))
    assert host.next_hop("10.0.0.7") == "02:00:00:00:00:07"
    assert host.next_hop("198.51.100.9") == "02:00:00:00:00:01", "behind the gateway"
    assert host.next_hop("10.0.0.8") == "", "asked for, not answered"
    assert host.next_hop("192.168.1.1") == "02:00:00:00:00:01", "the link is down"
    (tmp_path / "route").write_text(ROUTES.splitlines()[0] + "\n")
    with pytest.raises(OSError, match="No such device or address"):
        host.next_hop("10.0.0.7")


@pytest.mark.system
def test_in_band_and_fail_open_flows_are_the_real_ones(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    require("command:ovs-vswitchd", "command:ovsdb-server")
    ours = Running(tmp_path_factory.mktemp("ours"))
    ours.bridge.controllers.in_band._neighbours = OneRouter()
    real = RealSwitch(tmp_path_factory.mktemp("real"))
    targets = ("tcp:127.0.0.1:1", "tcp:127.0.0.2:7", "ptcp:0:127.0.0.1", "unix:/nosuch")
    try:
        real.start()
        real.run("ovs-vsctl", "add-br", "inband", "--", "set", "bridge", "inband", "datapath_type=dummy")
        assert _table_0(real.appctl("bridge/dump-flows", "inband")) == [NORMAL.replace(" ", ",")]
        real.run("ovs-vsctl", "set-controller", "inband", *targets)
        ours.do(lambda: ours.bridge.controllers.set_fail_mode("standalone"))
        assert flows(ours) == [NORMAL]
        set_controllers(ours, *(ControllerSettings(t, inactivity_probe=500) for t in targets[:3]))
        real.run("ovs-vsctl", *" -- ".join(
            f"set controller {u} inactivity_probe=1000"
            for u in real.run("ovs-vsctl", "--bare", "get", "bridge", "inband", "controller")
            .strip("[]\n").split(", ")
        ).split())  # fmt: skip

        def both() -> tuple[list[str], list[str]]:
            mac = ours.do(ours.bridge.controllers.local_mac)
            theirs = re.sub(
                r"dl_(src|dst)=[0-9a-f:]+", rf"dl_\1={mac}", real.appctl("bridge/dump-flows", "inband")
            )
            mine = [line.replace(" ", ",") for line in flows(ours, hidden=True)]
            return sorted(_table_0(theirs)), sorted(mine)

        ours.until(lambda: ours.bridge.controllers._fail_open.active)
        theirs: list[str] = []
        mine = [""]
        for _ in range(200):
            theirs, mine = both()
            if theirs == mine:
                break
            ours.until(lambda turn=ours.turns: ours.turns > turn)
        assert mine == theirs
        assert "priority=15790320,actions=NORMAL" in mine
    finally:
        ours.close()
        real.close()


def _table_0(dump: str) -> list[str]:
    """Priority, match and actions of the flows of table 0."""
    return [
        re.sub(r"^duration=\d+s, n_packets=\d+, n_bytes=\d+, ", "", line)
        for line in dump.splitlines()
        if "table_id=" not in line
    ]


# Who is connected.


def test_several_controllers_and_their_status(switch: Running, controller: Controller) -> None:
    second, refusing = Controller(), Controller()
    refusing.close()
    set_controllers(switch, *(out_of_band(c) for c in (controller, second, refusing)))
    peers = [controller.accept().hello(), second.accept().hello()]
    switch.until(lambda: len(switch.bridge.connmgr.conns) == 2)
    peers[0].send(encode(RoleRequest(ROLE_PRIMARY, 1), 4, 1))
    peers[0].recv_kind(25)
    switch.do(lambda: switch.clock.warp(3000))
    status = switch.do(lambda: switch.bridge.controllers.status())
    assert [s.is_connected for s in status.values()] == [True, True, False]
    assert [s.role for s in status.values()] == ["master", "other", ""]
    assert status[controller.target].status == {"state": "ACTIVE", "sec_since_connect": "3"}
    assert status[refusing.target].status["last_error"] == "Connection refused"
    assert status[refusing.target].status["state"] == "BACKOFF"
    # One goes, the other stays.
    set_controllers(switch, out_of_band(second))
    assert peers[0].recv() is None
    assert peers[1].echo(b"x")[8:] == b"x"
    second.close()


def test_settings_that_change_do_not_disconnect(switch: Running, controller: Controller) -> None:
    set_controllers(switch, out_of_band(controller))
    peer = controller.accept().hello()
    switch.until(lambda: switch.bridge.connmgr.conns)
    set_controllers(switch, out_of_band(controller, inactivity_probe=0, rate_limit=100, burst_limit=25))
    assert peer.echo(b"1")[8:] == b"1"
    switch.do(lambda: switch.bridge.controllers.set_protocols((1,)))
    assert peer.recv() is None, "other versions do"
    again = controller.accept().hello(1)
    assert again.echo(b"2", version=1)[8:] == b"2"
    again.close()


def test_reconnect(switch: Running, controller: Controller) -> None:
    set_controllers(switch, out_of_band(controller))
    peer = controller.accept().hello()
    switch.until(lambda: switch.bridge.connmgr.conns)
    switch.do(lambda: switch.bridge.controllers.reconnect())
    assert peer.recv() is None
    warp(switch, 2000)
    controller.accept().hello().close()


def test_a_controller_is_served_only_what_it_may_ask(switch: Running, controller: Controller) -> None:
    """A primary controller gets flow-removed and the like from the start; a service client does not."""
    set_controllers(switch, out_of_band(controller))
    peer = controller.accept().hello()
    client = Peer.unix(switch.mgmt).hello()
    switch.until(lambda: len(switch.bridge.connmgr.conns) == 2)
    kinds = switch.do(lambda: {conn.kind for conn in switch.bridge.connmgr.conns})
    assert kinds == {ConnKind.PRIMARY, ConnKind.SERVICE}
    peer.close()
    client.close()


def test_a_port_to_listen_on(switch: Running) -> None:
    target = "ptcp:0:127.0.0.1"
    set_controllers(switch, ControllerSettings(target))
    port = switch.do(lambda: switch.bridge.controllers.listening_port(target))
    peer = Peer.tcp(port).hello()
    assert peer.echo(b"hello")[8:] == b"hello"
    name = switch.do(lambda: switch.bridge.connmgr.conns[0].peer.name)
    assert re.fullmatch(r"br0<->tcp:127\.0\.0\.1:\d+", name)
    set_controllers(switch)
    assert peer.recv() is None
    with pytest.raises(ConnectionRefusedError):
        Peer.tcp(port)


def test_a_port_that_is_taken_is_tried_again(switch: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        target = f"ptcp:{port}:127.0.0.1"
        set_controllers(switch, ControllerSettings(target), ControllerSettings("ptcp:nonsense"))
        assert not switch.do(lambda: switch.bridge.controllers.is_listening(target))
    warp(switch, 11_000)
    switch.until(lambda: switch.bridge.controllers.is_listening(target))
    assert Peer.tcp(port).hello().echo(b"now")[8:] == b"now"


def test_ipv6(switch: Running, require: Callable[..., None]) -> None:
    require("ipv6")
    target = "ptcp:0:[::1]"
    set_controllers(switch, ControllerSettings(target))
    port = switch.do(lambda: switch.bridge.controllers.listening_port(target))
    itself = ControllerSettings(f"tcp:[::1]:{port}", in_band=False)
    set_controllers(switch, ControllerSettings(target), itself)
    # The bridge is its own controller, which says no more than hello.
    switch.until(lambda: len(switch.bridge.connmgr.conns) == 2)
    status = switch.do(lambda: switch.bridge.controllers.status())
    assert status[itself.target].is_connected


# Sockets as files.


def test_sockets_are_made_over_what_was_left_and_removed_at_the_end(tmp_path: Path) -> None:
    stale = tmp_path / "br0.mgmt"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(stale))
    switch = Running(tmp_path)
    try:
        assert sorted(p.name for p in tmp_path.iterdir()) == ["br0.mgmt", "br0.snoop"]
        assert stat.S_IMODE(os.stat(stale).st_mode) & 0o007 == 0, "not for everybody"
        assert Peer.unix(str(stale)).hello().echo(b"x")[8:] == b"x"
    finally:
        switch.close()
    assert list(tmp_path.iterdir()) == []


def test_a_socket_that_another_has_replaced_is_left_alone(tmp_path: Path) -> None:
    first = Running(tmp_path)
    second = Running(tmp_path)
    try:
        first.close()
        assert Peer.unix(second.mgmt).hello().echo(b"x")[8:] == b"x"
    finally:
        second.close()
    assert list(tmp_path.iterdir()) == []


def test_a_long_path(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    switch = Running(directory)
    try:
        target = f"unix:{switch.mgmt}"
        set_controllers(switch, ControllerSettings(target))
        switch.until(lambda: switch.bridge.controllers.status()[target].is_connected)
        assert switch.do(lambda: len(switch.bridge.connmgr.conns)) == 2
    finally:
        switch.close()
    assert list(directory.iterdir()) == []


# Listening in.


def test_who_listens_in_sees_both_directions(switch: Running, controller: Controller) -> None:
    set_controllers(switch, out_of_band(controller))
    peer = controller.accept().hello()
    switch.until(lambda: switch.bridge.connmgr.conns)
    spy = Peer.unix(switch.snoop).hello()
    switch.until(lambda: any(x.vconn.connected for x in switch.bridge.controllers._listeners))
    peer.echo(b"secret", xid=42)
    assert spy.recv() == message(4, ECHO_REQUEST, b"secret", 42)
    assert spy.recv() == message(4, 3, b"secret", 42)
    spy.close()
    switch.until(lambda: not switch.bridge.controllers._listeners)
    assert peer.echo(b"on")[8:] == b"on"
    deaf = Peer.unix(switch.snoop).hello()
    for _ in range(300):
        peer.echo(bytes(3000))
    assert switch.do(lambda: max(x.vconn.queued() for x in switch.bridge.controllers._listeners)) <= 100
    deaf.close()


def test_who_listens_in_goes_with_the_connection(switch: Running, controller: Controller) -> None:
    set_controllers(switch, out_of_band(controller))
    peer = controller.accept().hello()
    for _ in range(3):
        spy = Peer.unix(switch.snoop).hello()
        switch.until(lambda: any(x.vconn.connected for x in switch.bridge.controllers._listeners))
        set_controllers(switch)
        assert spy.recv() is None
        assert peer.recv() is None
        assert switch.do(lambda: len(switch.ofprotos.poller)) == 2, "mgmt and snoop"
        set_controllers(switch, out_of_band(controller))
        peer = controller.accept().hello()
        switch.until(lambda: switch.bridge.connmgr.conns)
    peer.close()


def test_with_no_controller_there_is_nothing_to_listen_in_on(switch: Running) -> None:
    spy = Peer.unix(switch.snoop)
    assert spy.recv() is None


def test_closing_leaves_no_connection(tmp_path: Path, controller: Controller) -> None:
    before = len(os.listdir("/proc/self/fd"))
    switch = Running(tmp_path)
    set_controllers(switch, out_of_band(controller))
    peer = controller.accept().hello()
    client = Peer.unix(switch.mgmt).hello()
    switch.until(lambda: len(switch.bridge.connmgr.conns) == 2)
    spy = Peer.unix(switch.snoop)
    spy.send(message(4, HELLO))
    spy.recv_kind(HELLO)
    switch.close()
    assert peer.recv() is None
    assert client.recv() is None
    for p in (peer, client, spy):
        p.close()
    assert len(os.listdir("/proc/self/fd")) <= before, "earlier tests may have left some to close"
