"""`ofproto/trace`: the layout, remark by remark, and what is said of bad arguments."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ofproto_dpif.lab import Lab
from tests.xlate.lab import Bridge, connect
from vswitch.base.unixctl import CommandError
from vswitch.ofproto_dpif.commands.trace import trace_command, trace_packet_out_command
from vswitch.ofproto_dpif.ofprotos import Ofprotos

NESTED = """\
Flow: in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000

bridge("br0")
-------------
 0. in_port=1, priority 32768
    resubmit(,1)
     1. priority 32768
            resubmit(,3)
             3. priority 32768, cookie 0x7
                    NORMAL
                     -> no learned MAC for destination, flooding
                    output:1
                     >> skipping output to input port
            output:2
    pop:NXM_NX_REG1[]
     >>>> stack underflow <<<<
    resubmit(,9)
 9. No match.
    drop

Final flow: unchanged
Megaflow: recirc_id=0,eth,in_port=1,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000
Datapath actions: 100,2,3,4,2"""


def test_tables_nest_as_resubmits_do() -> None:
    br0 = Bridge().add_flows(
        "in_port=1,actions=resubmit(,1),pop:NXM_NX_REG1[],resubmit(,9)",
        "table=1,actions=resubmit(,3),output:2",
        "table=3,cookie=7,actions=normal,output:1",
    )
    assert br0.trace("in_port=1") == NESTED


SLOW = """\

bridge("br0")
-------------
 0. arp, priority 32768
    load:0x2->NXM_OF_ARP_OP[]
    output:9

    bridge("br1")
    -------------
         0. priority 32768
            output:7
    output:2

Final flow: arp,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,arp_spa=0.0.0.0,\
arp_tpa=0.0.0.0,arp_op=2,arp_sha=00:00:00:00:00:00,arp_tha=00:00:00:00:00:00
Megaflow: recirc_id=0,eth,arp,in_port=1,arp_op=1
Datapath actions: set(arp(op=2)),7,2
This flow is handled by the userspace slow path because it:
  - Uses action(s) not supported by datapath."""


def test_patch_ports_lead_into_the_peer_and_slow_paths_say_why() -> None:
    br0 = Bridge().add_flows("arp,actions=load:2->NXM_OF_ARP_OP[],output:9,output:2")
    br1 = Bridge("br1", (7,), br0.x.dp).add_flows("actions=output:7")
    connect(br0, 9, br1, 8)
    assert br0.trace("in_port=1,arp,arp_op=1").partition("\n")[2] == SLOW


def test_an_action_set_runs_at_the_end() -> None:
    br0 = Bridge().add_flows(
        "in_port=1,actions=write_actions(output:2,mod_dl_src:00:00:00:00:00:09),goto_table:1",
        "table=1,actions=drop",
    )
    text = br0.trace("in_port=1")
    assert "     -> action set is: mod_dl_src:00:00:00:00:00:09,output:2\n" in text
    assert "--. Executing action set:\n    mod_dl_src:00:00:00:00:00:09\n    output:2\n" in text


def test_a_failed_translation_says_so() -> None:
    text = Bridge().add_flows("actions=resubmit:2").trace("in_port=1")
    assert text.rstrip("\n").endswith(
        "Datapath actions: drop\nTranslation failed (Recursion too deep), packet is dropped."
    )


@pytest.fixture
def ofprotos() -> Iterator[Ofprotos]:
    made = Lab(2, "in_port=1,actions=output:2")
    yield made.ofprotos
    made.close()


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["br0"], "syntax error at br0 (or the bridge name was omitted)"),
        (["nosuch", "in_port=1"], "nosuch: unknown bridge"),
        (["br0", "bogus=1"], "Bad openflow flow syntax: bogus=1: unknown field bogus"),
        (["br0", "in_port=1", "zz"], "Trailing garbage in packet data"),
        (["br0", "in_port=1", "0011"], "Packet data too short for Ethernet"),
        (["br0", "in_port=1", "-foo"], "-foo: unknown option"),
        (["br0", "in_port=1", "--ct-next"], "Missing argument for option --ct-next"),
        (["br0", "--ct-next", "in_port=1"], "in_port=1: unknown connection tracking state flag"),
        (["a", "b", "c", "d"], "too many arguments"),
        (["system@foo", "in_port(1),eth_type(0x800)"], "Cannot find the datapath"),
        (["in_port(77),eth_type(0x0800)"], "no OpenFlow port for datapath port 77"),
        (["in_port(1),recirc_id(0x77)"], "no recirculation data for recirc_id 0x77"),
    ],
)
def test_bad_arguments_get_the_errors_that_operators_know(
    ofprotos: Ofprotos, args: list[str], error: str
) -> None:
    with pytest.raises(CommandError) as raised:
        trace_command(ofprotos, args)
    assert str(raised.value) == error


def test_a_datapath_flow_and_names(ofprotos: Ofprotos) -> None:
    text = trace_command(
        ofprotos, ["--names", "in_port(2),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02)"]
    )
    assert " 0. in_port=p1, priority 32768\n" in text
    assert text.endswith("Datapath actions: p2")


def test_packet_out_runs_actions_in_the_place_of_the_tables(ofprotos: Ofprotos) -> None:
    text = trace_packet_out_command(ofprotos, ["br0", "in_port=3", "output:2,resubmit:1"])
    assert text.endswith("Datapath actions: 3,3")
    with pytest.raises(CommandError, match="goto_table instruction not allowed here"):
        trace_packet_out_command(ofprotos, ["br0", "in_port=3", "goto_table:1"])
