"""Our switch follows its database: also when that dies, is another's, or changes by hundreds of rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bridge.pair import Ours, Side
from tests.oracle.real import SCHEMA

pytestmark = pytest.mark.system

BR0 = "add-br br0 -- set bridge br0 datapath_type=dummy"
BR1 = "add-br br1 -- set bridge br1 datapath_type=dummy"
FRAME = "020000000001020000000002" + "0800" + "00" * 46


def _ports(bridge: str, *names: str) -> str:
    return " -- ".join(f"add-port {bridge} {name}" for name in names)


def _counter(side: Side, interface: str, name: str) -> int:
    found = re.search(rf"\b{name}=(\d+)", side.get("Interface", interface, "statistics"))
    return int(found.group(1)) if found else 0


def _sent(side: Side, bridge: str, number: int) -> int:
    """Packets that left by an OpenFlow port, as ovs-ofctl has it."""
    text = side.run("ovs-ofctl", "dump-ports", bridge, str(number))
    found = re.search(r"tx pkts=(\d+)", text)
    assert found is not None, text
    return int(found.group(1))


def _turns(side: Side) -> int:
    """How often the main loop has turned."""
    found = re.search(r"^mainloop_turn .*total: (\d+)", side.appctl("coverage/show"), re.MULTILINE)
    assert found is not None
    return int(found.group(1))


@pytest.fixture
def own(require: Callable[..., None], tmp_path: Path) -> Iterator[Ours]:
    """A switch of the test's own, to be ill-treated; it is not started yet."""
    require("command:ovsdb-server", "command:ovs-vsctl")
    side = Ours(tmp_path)
    try:
        yield side
    finally:
        side.close()


def test_two_hundred_ports_come_and_go_in_one_transaction(ours: Side) -> None:
    names = [f"p{n}" for n in range(200)]
    assert ours.vsctl(f"{BR0} -- {_ports('br0', *names)}") == ""
    ofports = ours.run("ovs-vsctl", "--columns=ofport", "--bare", "list", "Interface").split()
    assert sorted(map(int, ofports)) == [*range(1, 201), 65534]
    assert ours.vsctl(" -- ".join(f"del-port {name}" for name in names)) == ""
    assert len(ours.run("ovs-ofctl", "show", "br0").split("addr:")) == 2


def test_a_packet_crosses_from_bridge_to_bridge(ours: Side) -> None:
    ours.vsctl(f"{BR0} -- {BR1} -- {_ports('br0', 'p1')} -- {_ports('br1', 'p2')}")
    ours.vsctl("add-port br0 a -- set interface a type=patch options:peer=b")
    ours.vsctl("add-port br1 b -- set interface b type=patch options:peer=a")
    ours.appctl("netdev-dummy/receive", "p1", FRAME)
    ours.wait(lambda: _sent(ours, "br1", 1) == 1, "the packet at p2")
    ours.wait(lambda: _counter(ours, "p2", "tx_packets") == 1, "the packet in the database")


def test_packets_flow_while_the_database_is_away(own: Ours) -> None:
    own.start()
    own.vsctl(f"{BR0} -- {_ports('br0', 'p1', 'p2')}")
    own.end("ovsdb-server", kill=True)
    own.appctl("netdev-dummy/receive", "p1", FRAME)
    own.wait(lambda: _sent(own, "br0", 2) == 1, "the packet at p2")
    own.start_server()
    assert own.vsctl(_ports("br0", "p3")) == ""
    own.appctl("netdev-dummy/receive", "p1", FRAME)
    own.wait(lambda: _sent(own, "br0", 3) == 1, "the packet at p3")


def test_what_the_database_lost_is_written_again(own: Ours) -> None:
    own.start()
    own.vsctl(f"{BR0} -- {_ports('br0', 'p1')}")
    own.end("ovsdb-server")
    # An older file: without what the switch wrote.
    change = ["Open_vSwitch", {"op": "update", "table": "Interface", "where": [],
                               "row": {"ofport": ["set", []], "mac_in_use": ["set", []]}}]  # fmt: skip
    own.run("ovsdb-tool", "transact", str(own.directory / "conf.db"), json.dumps(change))
    own.start_server()
    own.wait(lambda: own.get("Interface", "p1", "ofport") == "1", "the port's number")
    assert own.get("Interface", "br0", "mac_in_use") != "[]"


def test_what_somebody_else_writes_into_status_is_written_over(ours: Side) -> None:
    ours.vsctl(f"{BR0} -- {_ports('br0', 'p1')}")
    ours.vsctl("set interface p1 ofport=99 mtu=7 -- clear interface br0 mac_in_use")
    ours.wait(lambda: ours.get("Interface", "p1", "ofport") == "1", "the port's number")
    assert ours.get("Interface", "p1", "mtu") == "1500"
    ours.wait(lambda: ours.get("Interface", "br0", "mac_in_use") != "[]", "the address")


def test_an_older_database_will_do(own: Ours) -> None:
    schema = json.loads(Path(SCHEMA).read_text())
    del schema["cksum"]
    tables = schema["tables"]
    del tables["Datapath"], tables["CT_Zone"], tables["CT_Timeout_Policy"]
    del tables["Open_vSwitch"]["columns"]["datapaths"], tables["Open_vSwitch"]["columns"]["iface_types"]
    del tables["Interface"]["columns"]["mtu_request"], tables["Interface"]["columns"]["link_resets"]
    del tables["Controller"]["columns"]["type"]
    older = own.directory / "older.ovsschema"
    older.write_text(json.dumps(schema))
    own.run("ovsdb-tool", "create", str(own.directory / "conf.db"), str(older))
    own.start_server()
    own.run("ovs-vsctl", "--no-wait", "init")
    own.start_switch()
    assert own.vsctl(f"{BR0} -- {_ports('br0', 'p1')} -- set-controller br0 punix:/no/where") == ""
    assert own.get("Interface", "p1", "ofport") == "1"


def test_a_second_switch_waits_for_the_first_to_end(own: Ours) -> None:
    own.start()
    own.vsctl(BR0)
    first = own.processes.pop("ovs-vswitchd")
    own.processes["first"] = first
    own.control = "second.ctl"
    own.start_switch()
    said = "another ovs-vswitchd process is running, disabling this process"
    own.wait(lambda: said in own.log("ovs-vswitchd"), "the second's complaint")
    assert own.appctl("ofproto/list") == ""
    before = _turns(own)
    assert _turns(own) < before + 50, "it is busy with waiting"
    own.end("first")
    own.wait(lambda: "br0" in own.appctl("ofproto/list"), "the second's bridge")
    assert own.vsctl(_ports("br0", "p1")) == ""


def test_flows_can_be_restored_before_packets_come(own: Ours) -> None:
    own.run("ovsdb-tool", "create", str(own.directory / "conf.db"), SCHEMA)
    own.start_server()
    own.run("ovs-vsctl", "--no-wait", "init")
    own.run("ovs-vsctl", "--no-wait", *f"set open_vswitch . other_config:flow-restore-wait=true -- {BR0} -- "
            f"set-fail-mode br0 secure -- {_ports('br0', 'p1', 'p2')}".split())  # fmt: skip
    own.start_switch()
    own.wait(lambda: (own.directory / "br0.mgmt").exists(), "the bridge's socket")
    own.run("ovs-ofctl", "add-flow", "br0", "in_port=p1,actions=p2")
    own.appctl("netdev-dummy/receive", "p1", FRAME)
    assert _sent(own, "br0", 2) == 0
    own.vsctl("remove open_vswitch . other_config flow-restore-wait")
    own.appctl("netdev-dummy/receive", "p1", FRAME)
    own.wait(lambda: _sent(own, "br0", 2) == 1, "the packet at p2")


def test_a_device_that_goes_down_is_told(ours: Side) -> None:
    ours.vsctl(f"{BR0} -- {_ports('br0', 'p1')}")
    ours.appctl("netdev-dummy/set-admin-state", "p1", "down")
    ours.wait(lambda: ours.get("Interface", "p1", "admin_state") == "down", "p1 down")
    ours.appctl("netdev-dummy/set-admin-state", "p1", "up")
    ours.wait(lambda: ours.get("Interface", "p1", "admin_state") == "up", "p1 up")


def test_a_mirror_counts_what_it_sends(ours: Side) -> None:
    ours.vsctl(f"{BR0} -- {_ports('br0', 'p1', 'p2', 'p3')}")
    ours.vsctl("-- --id=@p get port p3 -- --id=@m create mirror name=m1 select_all=true output_port=@p "
               "-- set bridge br0 mirrors=@m")  # fmt: skip
    ours.appctl("netdev-dummy/receive", "p1", FRAME)
    ours.wait(lambda: "tx_packets=1" in ours.get("Mirror", "m1", "statistics"), "the mirror's count")


def test_a_table_s_limit_and_name(ours: Side) -> None:
    ours.vsctl(BR0)
    ours.vsctl("-- --id=@t create flow_table name=main flow_limit=1 -- set bridge br0 flow_tables:0=@t")
    ours.run("ovs-ofctl", "del-flows", "br0")
    ours.run("ovs-ofctl", "add-flow", "br0", "tcp,actions=drop")
    code, _, err = ours.try_run("ovs-ofctl", "add-flow", "br0", "udp,actions=drop")
    assert code == 1
    assert "OFPFMFC_TABLE_FULL" in err or "OFPFMFC_ALL_TABLES_FULL" in err
    assert '"main"' in ours.run("ovs-ofctl", "dump-tables", "br0")


def test_fail_modes_and_controllers(ours: Side) -> None:
    ours.vsctl(f"{BR0} -- {_ports('br0', 'p1')}")
    assert "actions=NORMAL" in ours.run("ovs-ofctl", "dump-flows", "br0")
    ours.vsctl("set-fail-mode br0 secure")
    assert "actions=NORMAL" not in ours.run("ovs-ofctl", "dump-flows", "br0")
    ours.vsctl("set-controller br0 tcp:127.0.0.1:1 -- set controller br0 connection_mode=out-of-band")
    ours.wait(lambda: "state=BACKOFF" in ours.get("Controller", "br0", "status"), "the back-off")
    assert 'last_error="Connection refused"' in ours.get("Controller", "br0", "status")
    assert ours.vsctl("set bridge br0 protocols=OpenFlow13") == ""
    code, _, err = ours.try_run("ovs-ofctl", "-O", "OpenFlow10", "show", "br0")
    assert (code, "version negotiation failed" in err) == (1, True)


def test_a_controller_that_comes_and_goes(ours: Side, require: Callable[..., None], tmp_path: Path) -> None:
    require("command:ovs-testcontroller")
    socket = ours.directory / "controller"
    ours.vsctl(f"{BR0} -- set-controller br0 unix:{socket}")
    try:
        ours.spawn("controller", "ovs-testcontroller", f"punix:{socket}", f"--unixctl={tmp_path}/ctl")
        ours.wait(lambda: ours.get("Controller", "br0", "is_connected") == "true", "the controller")
        assert "state=ACTIVE" in ours.get("Controller", "br0", "status")
        assert ours.get("Controller", "br0", "role") == "other"
    finally:
        ours.end("controller")
    ours.wait(lambda: ours.get("Controller", "br0", "is_connected") == "false", "its end")


@pytest.mark.parametrize("target", ["unix:/tmp/x", "punix:/tmp/x", "punix:br0.x"])
def test_the_database_can_t_reach_sockets_elsewhere(ours: Side, target: str) -> None:
    ours.vsctl(f"{BR0} -- set-controller br0 {target}")
    said = f'controller "{target}" due to possibility'
    ours.wait(lambda: said in ours.log("ovs-vswitchd"), "the complaint")
    assert not Path("/tmp/x").exists()


def test_what_is_not_done_is_said_once(ours: Side) -> None:
    ours.vsctl(f"{BR0} -- {_ports('br0', 'p1')}")
    ours.vsctl("set interface p1 other_config:emc-enable=true")
    ours.vsctl("set interface p1 other_config:tx-steering=hash")
    ours.vsctl("set port p1 tag=3")
    log = ours.log("ovs-vswitchd")
    for said in ("interface p1: other_config:emc-enable=true is not supported",
                 "interface p1: other_config:tx-steering=hash is not supported"):  # fmt: skip
        assert log.count(said) == 1


def test_statistics_of_the_machine(ours: Side) -> None:
    ours.vsctl("set open_vswitch . other_config:enable-statistics=true")
    ours.wait(lambda: "load_average" in ours.get("open_vswitch", ".", "statistics"), "statistics")
    ours.vsctl("set open_vswitch . other_config:enable-statistics=false")
    ours.wait(lambda: ours.get("open_vswitch", ".", "statistics") == "{}", "no statistics")


def test_bridge_commands(ours: Side) -> None:
    ours.vsctl(f"{BR0} -- set-fail-mode br0 secure")
    assert ours.run("ovs-ofctl", "add-flow", "br0", "table=3,priority=9,tcp,tp_dst=80,actions=LOCAL") == ""
    flows = re.sub(r"duration=\d+s", "duration=0s", ours.appctl("bridge/dump-flows", "br0"))
    counters = "duration=0s, n_packets=0, n_bytes=0"
    assert f"table_id=3, {counters}, priority=9,tcp,tp_dst=80,actions=LOCAL\n" in flows
    assert f"table_id=254, {counters}, priority=0,reg0=0x2,actions=drop\n" in flows
    offloaded = ours.appctl("bridge/dump-flows", "--offload-stats", "br0")
    assert "n_offload_packets=0, n_offload_bytes=0" in offloaded
    assert ours.appctl("bridge/reconnect") == ""
    assert ours.appctl("qos/show", "br0") == "QoS not configured on br0\n"


def test_ingress_policing_follows_the_database(ours: Side) -> None:
    ours.vsctl(f"{BR0} -- {_ports('br0', 'p1', 'p2')}")
    ours.run("ovs-ofctl", "add-flow", "br0", "in_port=1,actions=output:2")
    ours.vsctl("set interface p1 ofport_request=1 ingress_policing_rate=8 ingress_policing_burst=8")
    packet = "ff" * 6 + "02" * 6 + "0800" + "00" * 986

    def sent() -> int:
        for _ in range(5):
            ours.appctl("netdev-dummy/receive", "p1", packet)
        said = ours.appctl("coverage/show")
        return sum(int(line.split()[-1]) for line in said.splitlines() if "drop_ingress_policer" in line)

    assert sent() >= 3
    ours.vsctl("set interface p1 ingress_policing_rate=0")
    before = sent()
    assert sent() == before
