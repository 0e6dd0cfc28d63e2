"""controller(pause): the packet waits until a controller resumes it, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswitch import Switch
from vswitch.flow.fields import by_name
from vswitch.ofproto.packet_metadata import metadata_of
from vswitch.ofproto_dpif.upcall import continuation
from vswitch.ofproto_dpif.xlate.freeze import Unroll
from vswitch.ofproto_dpif.xlate.queued_packet_in import QueuedPacketIn
from vswitch.ofproto_dpif.xlate.recirc import FrozenState
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.constants import OFPR_ACTION
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages.packet import PacketIn

UDP = "udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,udp_src=1,udp_dst=2"


@pytest.fixture
def sw() -> Iterator[Switch]:
    with Switch("br0", ("p1", "p2", "p3")) as made:
        yield made


def as_message(sent: QueuedPacketIn) -> PacketIn:
    """What a controller gets."""
    metadata = metadata_of(sent.flow)
    return PacketIn(sent.packet, len(sent.packet), sent.reason, metadata, sent.table_id, sent.cookie,
                    userdata=sent.userdata, continuation=sent.continuation)  # fmt: skip


def resume(sw: Switch, message: PacketIn) -> list[str]:
    """The ports that the packet comes out of when the controller resumes it."""
    sw.received_all()
    sw._bridge("br0").resume(message)
    sw.advance(0.001)
    return sorted(sw.received_all())


def paused(sw: Switch, packet: str = UDP, port: str = "p1") -> PacketIn:
    """Send a packet that is to be paused; nothing may come out before it is resumed."""
    sw.received_all()
    sw.send(port, packet)
    assert sw.received_all() == {}
    (sent,) = sw.packet_ins()
    assert sent.continuation
    return as_message(sent)


def test_the_rest_of_the_actions_runs_on_resume(sw: Switch) -> None:
    sw.add_flow("in_port=p1,actions=controller(pause,userdata=01.02.03),output:p2,output:p3")
    message = paused(sw)
    assert message.userdata == b"\1\2\3"
    assert message.reason == OFPR_ACTION
    assert resume(sw, message) == ["p2", "p3"]
    assert resume(sw, message) == ["p2", "p3"]


def test_registers_stack_and_tables_come_back(sw: Switch) -> None:
    sw.add_flows("""
        table=0,in_port=p1,actions=load:5->reg0,push:reg0,resubmit(,1),output:p3
        table=1,cookie=0x99,actions=load:6->reg0,controller(pause),pop:reg1,resubmit(,2),resubmit(,3)
        table=2,reg0=6,actions=output:p2
        table=3,reg1=5,actions=output:local
    """)
    assert resume(sw, paused(sw)) == ["br0", "p2", "p3"]


def test_the_controller_may_change_packet_and_metadata(sw: Switch) -> None:
    sw.add_flows("""
        table=0,actions=controller(pause),resubmit(,1)
        table=1,reg3=7,udp,udp_dst=9,actions=output:p2
    """)
    message = paused(sw)
    assert resume(sw, message) == []
    message.metadata.set(by_name("reg3"), 7)
    packet = bytearray(message.packet)
    packet[37] = 9
    assert resume(sw, replace(message, packet=bytes(packet))) == ["p2"]


def test_what_comes_after_the_pause_may_be_instructions(sw: Switch) -> None:
    sw.add_flows("""
        table=0,actions=controller(pause),write_actions(output:p2),write_metadata:0x5,goto_table:1
        table=1,metadata=5,actions=output:p3
    """)
    assert resume(sw, paused(sw)) == ["p2", "p3"]


def test_an_action_set_written_before_the_pause_is_executed_after_it(sw: Switch) -> None:
    sw.add_flows("""
        table=0,actions=write_actions(mod_dl_dst:50:54:00:00:00:09,output:p2),goto_table:1
        table=1,actions=controller(pause)
    """)
    message = paused(sw)
    sw.received_all()
    assert resume(sw, message) == ["p2"]


def test_a_pause_as_the_last_action_ends_quietly(sw: Switch) -> None:
    sw.add_flow("actions=controller(pause)")
    assert resume(sw, paused(sw)) == []


def test_a_paused_packet_can_pause_again(sw: Switch) -> None:
    sw.add_flow("actions=controller(pause,userdata=01),output:p2,controller(pause,userdata=02),output:p3")
    assert resume(sw, paused(sw)) == ["p2"]
    (sent,) = sw.packet_ins()
    assert sent.userdata == b"\2"
    assert resume(sw, as_message(sent)) == ["p3"]


def test_rules_after_the_pause_count_the_packet_once(sw: Switch) -> None:
    sw.add_flows("table=0,actions=controller(pause),resubmit(,1)\ntable=1,actions=output:p2")
    message = paused(sw)
    assert sw.n_packets("table=1") == 0
    resume(sw, message)
    assert sw.n_packets("table=1") == 1
    assert sw.n_packets("table=0") == 1


def test_a_continuation_of_a_bridge_that_is_gone_is_stale(sw: Switch) -> None:
    sw.add_flow("actions=controller(pause),output:p2")
    message = paused(sw)
    gone = continuation.encode(FrozenState("br7", 0, b""), 1)
    for bad in (gone, b""):
        with pytest.raises(OfpError, match="NXR_STALE"):
            resume(sw, replace(message, continuation=bad))


def test_a_trace_without_a_packet_does_not_pause(sw: Switch) -> None:
    sw.add_flow("actions=controller(pause),output:p2")
    assert sw.trace("in_port=p1,arp").endswith("Datapath actions: drop")


BRIDGES = {continuation.bridge_uuid("br0"): "br0"}
LISTS = [
    "output:1", "mod_dl_src:00:00:00:00:00:01,resubmit(,3)", "learn(table=1,NXM_OF_ETH_SRC[]),exit",
    "push_vlan:0x8100,set_field:4097->vlan_vid", "clone(output:2,note:01.02)", "controller(pause)",
    "write_actions(output:1),goto_table:3", "clear_actions", "write_metadata:1/3", "dec_ttl,group:5",
]  # fmt: skip
states = st.builds(
    FrozenState,
    bridge=st.just("br0"), table_id=st.just(0), metadata=st.just(b""),
    stack=st.lists(st.integers(1, 16).flatmap(
        lambda n: st.tuples(st.integers(0, (1 << 8 * n) - 1), st.just(8 * n))), max_size=4).map(tuple),
    mirrors=st.integers(0, 2**32 - 1), conntracked=st.booleans(),
    actions=st.lists(
        st.tuples(st.builds(Unroll, st.integers(0, 254), st.integers(0, 2**64 - 1)),
                  st.sampled_from(LISTS).map(parse_actions)),
        max_size=3).map(lambda groups: tuple(a for mark, rest in groups for a in (mark, *rest))),
    action_set=st.sampled_from([(), parse_actions("output:7"), parse_actions("pop_vlan,output:3")]),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(states)
def test_a_state_comes_back_as_it_went(state: FrozenState) -> None:
    once = continuation.decode(continuation.encode(state, 3), BRIDGES)
    # The actions come back in OpenFlow 1.5's words, from then on unchanged.
    assert continuation.decode(continuation.encode(once, 3), BRIDGES) == once
    assert (once.bridge, once.stack, once.mirrors, once.conntracked) == (
        state.bridge, state.stack, state.mirrors, state.conntracked)
    assert [type(a) for a in once.actions if isinstance(a, Unroll)] == [
        type(a) for a in state.actions if isinstance(a, Unroll)
    ]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.tuples(states, st.integers(0, 200), st.integers(0, 255)).map(
    lambda t: (lambda data: data[: t[1]] + bytes([t[2]]) + data[t[1] + 1 :])(continuation.encode(t[0], 1)))))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        state = continuation.decode(data, BRIDGES)
    except OfpError:
        return
    assert state.bridge == "br0"
