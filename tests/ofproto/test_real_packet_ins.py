"""The same packets into the real switch and into ours: the same packet-ins, in each version and format."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ofproto.ends import OurEnd, RealEnd, encoded
from tests.ofproto.test_real_replies import cleanup, flow, in_port
from tests.oracle.real import RealSwitch
from vswitch import Switch
from vswitch.flow.compose import flow_compose
from vswitch.flow.match_text import parse_exact_flow
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import nicira as n
from vswitch.openflow.messages import packet as pk
from vswitch.openflow.messages import session as s
from vswitch.openflow.wire.codec import decode
from vswitch.openflow.wire.version import OFP10, OFP11, OFP13, OFP14, VERSIONS

pytestmark = pytest.mark.system

UDP = "udp,dl_src=50:54:00:00:00:09,dl_dst=50:54:00:00:00:0a,nw_src=10.0.0.1,nw_ttl={},udp_dst=9"

Flow = tuple[int, str, int]
"""(first version that has it, flow, TTL of the packet)."""
FLOWS: list[Flow] = [
    (OFP10, "priority=5,udp,actions=CONTROLLER", 64),
    (OFP10, "priority=5,udp,cookie=77,actions=load:5->NXM_NX_REG3[],controller(max_len=20)", 64),
    (OFP10, "priority=5,udp,actions=load:9->NXM_NX_PKT_MARK[],controller(reason=no_match)", 64),
    (OFP10, "priority=5,udp,actions=controller(userdata=01.02.03.04.05)", 64),
    (OFP10, "priority=5,udp,actions=mod_dl_src:50:54:00:00:00:77,controller(reason=invalid_ttl)", 64),
    (OFP10, "priority=5,udp,actions=dec_ttl,output:2", 1),
    (OFP10, "priority=0,actions=CONTROLLER:40", 64),
    (OFP11, "priority=5,udp,cookie=5,actions=write_actions(CONTROLLER),write_metadata:0x1234", 64),
    (OFP11, "priority=5,udp,actions=push_vlan:0x8100,set_field:4102->vlan_vid,CONTROLLER", 64),
    (OFP11, "priority=5,udp,actions=group:1", 64),
]  # fmt: skip
CONNECTIONS: list[list[str]] = [
    ["udp,actions=ct(commit,zone=3),controller"],
    ["udp,actions=ct(table=1,zone=4)", "table=1,actions=load:7->NXM_NX_REG1[],controller"],
    ["udp,actions=ct(commit,zone=5,exec(load:9->NXM_NX_CT_MARK[])),ct(table=1,zone=5)",
     "table=1,actions=controller"],
    ["udp,actions=ct(table=1,zone=6)", "table=1,actions=ct_clear,controller"],
    ["udp,actions=ct(table=1,zone=6)", "table=1,udp,actions=ct(commit,zone=7),controller"],
]  # fmt: skip
"""Flows of connection tracking: what translation knows of it when the packet is sent is told, no more."""
GROUP = g.GroupMod(g.OFPGC_ADD, g.OFPGT_INDIRECT, 1, (g.Bucket(parse_actions("CONTROLLER"), bucket_id=0),))


@pytest.fixture(scope="module")
def ours() -> Iterator[Switch]:
    """Our switch with the same ports."""
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        yield switch


def packet_ins(messages: list[bytes]) -> list[pk.PacketIn]:
    bodies = [decode(message).body for message in messages]
    assert all(isinstance(body, pk.PacketIn) for body in bodies), bodies
    return bodies


def listening(version: int, form: int) -> list[object]:
    """What makes a connection get everything, in packet-ins of a format."""
    masks = tuple((kind, 63 if version >= OFP14 else 7) for kind in (0, 1))
    return [
        s.SetConfig(0, 60), n.SetPacketInFormat(form),
        (s.SetAsync(masks), 1) if version != OFP13 else s.SetAsync(masks),
    ]  # fmt: skip


@pytest.mark.parametrize("form", [0, 1, 2])
@pytest.mark.parametrize("version", VERSIONS)
def test_packet_ins_are_those_of_the_real_switch(
    real: RealSwitch, ours: Switch, version: int, form: int
) -> None:
    assert real.client is not None
    wanted_end = RealEnd(f"{real.directory}/br0.mgmt", version)
    end = OurEnd(ours, version)
    try:
        for each in (wanted_end, end):
            each.ask(*cleanup(version), *listening(version, form))
            if version >= OFP11:
                each.ask(GROUP)
        for first, text, ttl in FLOWS:
            if version < first:
                continue
            table = "table=0," if version >= OFP11 else ""
            for each in (wanted_end, end):
                assert each.ask(flow(f"delete {table}"), flow(table + text)) == []
            real.client.call("revalidator/purge")
            packet = flow_compose(parse_exact_flow(UDP.format(ttl)), b"")
            real.client.call("netdev-dummy/receive", "p1", packet.hex())
            ours.send("p1", packet)
            got = packet_ins(end.exchange())
            assert len(got) == 1, text
            assert got == packet_ins([wanted_end.message()]), text
        if version >= OFP13:
            _connections(real, ours, wanted_end, end, version)
        out = pk.PacketOut(packet, parse_actions("CONTROLLER"), in_port(2))
        wanted_end.socket.sendall(encoded(out, version))
        assert packet_ins(end.exchange(encoded(out, version))) == packet_ins([wanted_end.message()])
    finally:
        wanted_end.close()
        end.close()


def _connections(
    real: RealSwitch, ours: Switch, wanted_end: RealEnd, end: OurEnd, version: int
) -> None:
    """The same with flows of connection tracking."""
    assert real.client is not None
    for number, flows in enumerate(CONNECTIONS):
        for each in (wanted_end, end):
            assert each.ask(flow("delete table=1"), *[flow(text) for text in flows]) == []
        real.client.call("revalidator/purge")
        source = f"10.{version}.{number}.1"
        packet = flow_compose(parse_exact_flow(UDP.replace("10.0.0.1", source).format(64)), b"")
        real.client.call("netdev-dummy/receive", "p1", packet.hex())
        ours.send("p1", packet)
        got = packet_ins(end.exchange())
        assert len(got) == 1, flows
        assert got == packet_ins([wanted_end.message()]), flows
