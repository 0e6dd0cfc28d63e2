"""Mirror.filter, explicit-sampled-drops and local sampling, which a database of our own schema has."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bridge.pair import Ours, Side
from vswitch.ovsdb.vswitch_schema import VSWITCH

pytestmark = pytest.mark.system
PORTS = " ".join(
    f"-- add-port br0 p{n} -- set interface p{n} type=dummy ofport_request={n}" for n in (1, 2, 3)
)


@pytest.fixture
def side(require: Callable[..., None], tmp_path: Path) -> Iterator[Side]:
    """Our switch, with a bridge of three ports."""
    require("command:ovsdb-server", "command:ovsdb-tool")
    side = Ours(tmp_path)
    schema = tmp_path / "our.ovsschema"
    schema.write_text(json.dumps(VSWITCH))
    try:
        side.run("ovsdb-tool", "create", str(tmp_path / "conf.db"), str(schema))
        side.start_server()
        vsctl(side, "--no-wait init")
        side.start_switch()
        vsctl(side, f"add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure {PORTS}")
        yield side
    finally:
        side.close()


def vsctl(side: Side, command: str) -> str:
    """Our ovs-vsctl: that of Open vSwitch 3.1 does not know the columns."""
    server = f"--db=unix:{side.directory}/db.sock"
    return side.run(sys.executable, "-m", "vswitch", "vsctl", server, "-t", "15", *command.split())


def trace(side: Side, packet: str) -> str:
    """The datapath's actions."""
    return side.appctl("ofproto/trace", "br0", packet).splitlines()[-1].removeprefix("Datapath actions: ")


def test_a_filter_selects_what_a_mirror_copies(side: Side) -> None:
    side.run("ovs-ofctl", "add-flow", "br0", "actions=output:2")
    vsctl(side, "-- --id=@p get port p3 -- --id=@m create mirror name=m select_all=true output_port=@p"
                ' filter="udp,tp_dst=53" -- set bridge br0 mirrors=@m')  # fmt: skip
    ports = [trace(side, f"in_port=1,udp,udp_dst={port}") for port in (53, 54)]
    assert [actions.count(",") for actions in ports] == [1, 0], ports
    vsctl(side, 'set mirror m filter="in_port=p1,tcp"')
    assert [trace(side, f"in_port=1,{what}").count(",") for what in ("tcp", "udp,udp_dst=53")] == [1, 0]
    vsctl(side, 'set mirror m filter="udp,tp_port=53"')
    assert trace(side, "in_port=1,tcp").count(",") == 0, "no mirror rather than another one"
    assert "mirror m has an invalid filter: unknown keyword tp_port" in side.log("ovs-vswitchd")
    vsctl(side, "clear mirror m filter")
    assert trace(side, "in_port=1,arp").count(",") == 1


def test_sampled_drops_are_explicit_if_asked(side: Side) -> None:
    side.run("ovs-ofctl", "add-flow", "br0", "actions=drop")
    vsctl(side, '-- set bridge br0 ipfix=@i -- --id=@i create ipfix targets="127.0.0.1:9" sampling=1')
    assert not trace(side, "in_port=1,udp").endswith(",drop")
    vsctl(side, "set open_vswitch . other_config:explicit-sampled-drops=true")
    assert trace(side, "in_port=1,udp").endswith("),drop")


def test_a_local_group_is_refused_aloud_where_the_datapath_has_no_psample(side: Side) -> None:
    side.run("ovs-ofctl", "add-flow", "br0", "actions=sample(probability=65535,collector_set_id=7),2")
    vsctl(side, "-- --id=@b get bridge br0"
                " -- create Flow_Sample_Collector_Set id=7 bridge=@b local_group_id=9")  # fmt: skip
    said = "the datapath can't sample locally (no psample action); local_group_id of collector set 7 has no"
    side.wait(lambda: said in side.log("ovs-vswitchd"), "a warning")
    assert "psample" not in trace(side, "in_port=1,udp")
