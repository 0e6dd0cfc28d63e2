"""construct(): what a bridge has at first, and that a failure leaves nothing open."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ofproto_dpif.lab import Lab, udp
from vswitch.base.clock import Clock
from vswitch.base.unixctl import Commands
from vswitch.dpif.actions import Output
from vswitch.dpif.logged import LoggedDpif
from vswitch.dpif.ops import FlowPut
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifError
from vswitch.dpif.userspace.datapath import enumerate_names
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.flow.flow import Flow
from vswitch.netdev import registry
from vswitch.netdev.scope import PROCESS
from vswitch.ofproto.tables import N_TABLES, TBL_INTERNAL
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.openflow.constants import OFPP_MAX, OFPR_IMPLICIT_MISS
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages.table import OFPTC_TABLE_MISS_CONTROLLER

MakeLab = Callable[..., Lab]


def test_a_bridge_starts_with_nothing_but_its_local_port_and_internal_rules(lab: MakeLab) -> None:
    bridge = lab(0).bridge
    assert (bridge.netflow, bridge.sflow, bridge.stp) == (None, None, None)
    assert list(bridge.ports) == [0xFFFE]
    assert bridge.ports[0xFFFE].name == "br0"
    assert not bridge.has_bonded_bundles
    assert not bridge.has_bundle_action
    assert bridge.mac_learning.idle_ms == 300_000
    assert len(bridge.mac_learning) == 0
    assert bridge.mirrors == [None] * 32
    assert not bridge.has_mirrors
    assert len(bridge.facets) == 0
    assert bridge.subfacets == []
    assert bridge.governor is None
    assert len(bridge.tables) == N_TABLES == 255
    assert len(bridge.completions) == 0
    assert bridge.vlandev_map == {}
    assert bridge.realdev_vid_map == {}
    assert bridge.stats.tx_packets == 0
    assert [len(table) for table in bridge.tables] == [0] * 254 + [4]


def test_the_port_limit_is_the_smaller_of_the_datapaths_and_openflows(
    lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lab(0).bridge.max_ports == OFPP_MAX
    monkeypatch.setattr(UserspaceDpif, "get_max_ports", lambda self: 5)
    assert lab(0).bridge.max_ports == 5


def test_the_first_expiration_is_a_second_away(lab: MakeLab) -> None:
    made = lab(0)
    assert made.bridge.next_expiration == made.clock.now() + 1000


def test_flows_and_upcalls_of_an_earlier_life_are_gone() -> None:
    registry.enable_dummy("override")
    clock = Clock(virtual=True)
    earlier = UserspaceDpif("ovs-earlier", clock)
    key, mask = Flow(), Flow()
    key.in_port, mask.in_port = 7, 0xFFFF
    earlier.operate([FlowPut(key, mask, (Output(1),), b"u" * 16)])
    assert earlier.stats().n_flows == 1
    ofprotos = Ofprotos(clock)
    ofprotos.datapath_names["netdev"] = "ovs-earlier"
    bridge = ofprotos.create("br0", "netdev")
    assert bridge.backer.dpif.stats().n_flows == 0
    assert bridge.backer.dpif.recv(50) == []
    ofprotos.close()
    registry.enable_dummy("")


@pytest.mark.parametrize("step", ["get_max_ports", "flow_flush", "recv_purge", "recv_set", "operate"])
def test_a_step_that_fails_closes_what_was_open_and_names_the_datapath(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.enable_dummy("override")
    closed: list[str] = []

    def fail(self: Dpif, *args: object) -> None:
        raise DpifError(12, step, f"netdev@{self.name}")

    close = LoggedDpif.close

    def note_close(self: LoggedDpif) -> None:
        closed.append(self.name)
        close(self)

    ofprotos = Ofprotos(Clock(virtual=True))
    ofprotos.datapath_names["netdev"] = "ovs-broken"
    monkeypatch.setattr(UserspaceDpif, step, fail)
    monkeypatch.setattr(LoggedDpif, "close", note_close)
    with pytest.raises(DpifError, match="ovs-broken"):
        ofprotos.create("br0", "netdev")
    assert closed == ["ovs-broken"]
    assert ofprotos.backers == {}
    assert ofprotos.all_ofproto_dpifs == {}
    assert ofprotos.fds() == []
    assert "ovs-broken" not in [netdev.name for netdev in PROCESS.devices()]
    monkeypatch.undo()
    ofprotos.create("br0", "netdev")
    ofprotos.close()
    registry.enable_dummy("")


@pytest.mark.parametrize("step", ["init_max_ports", "init_tables"])
def test_a_bridge_that_fails_after_its_datapath_takes_it_along(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.enable_dummy("override")

    def fail(*_args: object) -> None:
        raise MemoryError(step)

    ofprotos = Ofprotos(Clock(virtual=True))
    ofprotos.datapath_names["netdev"] = "ovs-broken"
    monkeypatch.setattr(OfprotoDpif, step, fail)
    with pytest.raises(MemoryError):
        ofprotos.create("br0", "netdev")
    assert ofprotos.backers == {}
    assert "ovs-broken" not in [netdev.name for netdev in PROCESS.devices()]
    registry.enable_dummy("")


def test_an_unknown_type_is_an_error_that_names_the_datapath() -> None:
    with pytest.raises(DpifError, match="ovs-quantum"):
        Ofprotos(Clock(virtual=True)).create("br0", "quantum")


def test_a_bridge_whose_local_port_cannot_be_made_leaves_nothing(
    lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lab(0)
    monkeypatch.setattr(UserspaceDpif, "port_add", lambda self, name, *a: (_ for _ in ()).throw(
        DpifError(16, "port add", name)))
    with pytest.raises(DpifError):
        made.add_bridge("br1")
    assert list(made.ofprotos.all_ofproto_dpifs) == ["br0"]
    assert list(made.backer.ofprotos) == ["br0"]


def test_all_ofproto_dpifs_has_every_bridge_by_name(lab: MakeLab) -> None:
    made = lab(0)
    second = made.add_bridge("br1")
    assert made.ofprotos.all_ofproto_dpifs == {"br0": made.bridge, "br1": second}
    assert second.backer is made.backer
    made.ofprotos.destroy("br1")
    assert made.ofprotos.all_ofproto_dpifs == {"br0": made.bridge}


def test_the_last_bridge_takes_the_datapath_along(lab: MakeLab) -> None:
    made = lab(2, "actions=normal")
    name = made.backer.name
    made.send("p1", udp())
    assert name in enumerate_names(PROCESS)
    made.ofprotos.destroy("br0")
    assert name not in enumerate_names(PROCESS)
    assert made.ofprotos.backers == {}
    assert PROCESS.devices() == []


def test_commands_are_registered_once() -> None:
    commands = Commands()
    clock = Clock(virtual=True)
    Ofprotos(clock, commands)
    assert "ofproto/trace" in commands
    assert "dpif/show" in commands
    with pytest.raises(ValueError, match="registered already"):
        Ofprotos(clock, commands)


# TBL_INTERNAL.


def test_controllers_neither_see_nor_change_the_internal_table(lab: MakeLab) -> None:
    bridge = lab(0).bridge
    internal = bridge.tables[TBL_INTERNAL]
    assert internal.hidden
    assert internal.readonly
    with pytest.raises(OfpError, match="OFPBRC_EPERM"):
        bridge.flow_mod(parse_flow(f"table={TBL_INTERNAL},actions=drop"))
    assert list(bridge.tables.rules()) == []
    rules = [bridge.miss_rule, bridge.no_packet_in_rule, bridge.drop_frags_rule]
    assert sorted(str(rule.match) for rule in rules) == ["reg0=0x1", "reg0=0x2", "reg0=0x3"]
    assert all(rule.hidden and rule.readonly for rule in rules)


def test_a_packet_that_matches_nothing_is_counted_on_the_internal_rule(lab: MakeLab) -> None:
    made = lab(2)
    made.send("p1", udp())
    assert made.bridge.no_packet_in_rule.n_packets == 1
    assert made.received() == {}


def test_a_packet_that_matches_nothing_goes_to_a_controller_that_wants_it(lab: MakeLab) -> None:
    made = lab(2)
    made.bridge.wants_packet_in_on_miss = True
    made.send("p1", udp())
    made.send("p1", udp())
    assert made.bridge.miss_rule.n_packets == 1
    assert [p.reason for p in made.bridge.packet_ins] == [OFPR_IMPLICIT_MISS] * 2
    assert made.bridge.packet_ins[0].packet == udp()
    assert made.bridge.packet_ins[0].flow.in_port == 1
    made.seconds(1)
    assert made.bridge.miss_rule.n_packets == 2


def test_no_packet_in_from_a_port_that_is_set_so(lab: MakeLab) -> None:
    made = lab(2)
    made.bridge.tables[0].miss_config = OFPTC_TABLE_MISS_CONTROLLER
    made.bridge.port_set_config("p1", 1 << 6)
    made.send("p1", udp())
    assert made.bridge.no_packet_in_rule.n_packets == 1
    assert not made.bridge.packet_ins


def test_fragments_are_dropped_when_the_switch_is_set_so(lab: MakeLab) -> None:
    made = lab(2, "actions=normal")
    made.bridge.frag_handling = "drop"
    fragment = bytearray(udp())
    fragment[20:22] = b"\x20\x00"
    made.send("p1", bytes(fragment))
    assert made.bridge.drop_frags_rule.n_packets == 1
    assert made.received() == {}
    made.send("p1", udp())
    assert made.received() == {"br0": 1, "p2": 1}


def test_clients_reach_the_management_socket_before_the_datapath_is_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mgmt = tmp_path / "br0.mgmt"
    construct = OfprotoDpif.construct
    waiting = []

    def late(self: OfprotoDpif) -> None:
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[0].connect(str(mgmt))
        construct(self)

    monkeypatch.setattr(OfprotoDpif, "construct", late)
    registry.enable_dummy("override")
    ofprotos = Ofprotos(Clock(virtual=True), Commands())
    try:
        ofprotos.create("br0", "netdev", str(mgmt))
        waiting[0].settimeout(5)
        for _ in range(5):
            ofprotos.run(ofprotos.clock.now())
        assert waiting[0].recv(100)[1] == 0, "the switch's hello"
    finally:
        ofprotos.close()
        registry.enable_dummy("")
        waiting[0].close()
    assert not mgmt.exists()


def test_a_bridge_that_can_t_be_leaves_no_management_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(self: OfprotoDpif) -> None:
        raise DpifError(19, "open", "no such datapath")

    monkeypatch.setattr(OfprotoDpif, "construct", fails)
    ofprotos = Ofprotos(Clock(virtual=True), Commands())
    with pytest.raises(DpifError):
        ofprotos.create("br0", "dummy", str(tmp_path / "br0.mgmt"))
    assert list(tmp_path.iterdir()) == []
    ofprotos.close()
