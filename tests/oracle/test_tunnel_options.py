"""Tunnel options of any length: traces as the real switch prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.oracle.compare import difference
from tests.oracle.ours import OurSwitch
from tests.oracle.real import OracleError, RealSwitch
from tests.oracle.setup import Bridge, Port, Query, Setup
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.openflow.messages.nicira import NXTTMC_ADD, TlvMap, TlvTableMod

MAPS = (
    TlvMap(0xFFFF, 0, 4, 0), TlvMap(0xFFFF, 1, 8, 1), TlvMap(0x102, 2, 124, 2), TlvMap(0x102, 3, 12, 63),
)  # fmt: skip
OPTIONS = ",".join(
    f"{{class={m.option_class},type={m.option_type},len={m.option_len}}}->tun_metadata{m.index}" for m in MAPS
)
LONG = "0x" + "0123456789abcdef" * 15 + "76543210"
SETUP = Setup("options", [Bridge("br0", {}, [Port("p1"), Port("p2")], [], [], "OpenFlow13")])


def map_options(real: RealSwitch, ours: OurSwitch) -> None:
    """Give both switches OPTIONS."""
    real.run("ovs-ofctl", "add-tlv-map", "br0", OPTIONS)
    ours.ofprotos.all_ofproto_dpifs["br0"].tlv.mod(TlvTableMod(NXTTMC_ADD, MAPS))


@pytest.fixture
def both(real: RealSwitch) -> Iterator[tuple[RealSwitch, OurSwitch]]:
    """(the real switch, ours), with OPTIONS mapped."""
    ours = OurSwitch()
    try:
        real.configure(SETUP)
        ours.configure(SETUP)
        map_options(real, ours)
        yield real, ours
    finally:
        ours.close()


def check(both: tuple[RealSwitch, OurSwitch], flows: list[str], packets: list[str]) -> None:
    """Both print the same traces of `packets`."""
    for switch in both:
        switch.set_flows("br0", flows, "OpenFlow13")
    for packet in packets:
        found = difference(*both, Query("br0", packet))
        assert not found, found


def test_options_are_set_and_deleted(both: tuple[RealSwitch, OurSwitch]) -> None:
    check(both, [
        "in_port=1,tcp actions=set_field:0x5->tun_metadata0,move:tun_metadata0[0..15]->reg0[0..15],"
        "delete_field:tun_metadata0,move:tun_metadata0[0..15]->reg1[0..15],output:2",
        "in_port=1,udp actions=set_field:10.0.0.1->tun_dst,set_field:0x5->tun_metadata0,"
        "set_field:0x70000/0xf0000->tun_metadata1,output:2",
        "in_port=1,icmp actions=set_field:10.0.0.1->tun_dst,set_field:0x5->tun_metadata0,"
        "delete_field:tun_metadata0,output:2",
    ], ["in_port=1,tcp", "in_port=1,udp", "in_port=1,icmp"])  # fmt: skip


def test_options_of_each_length_are_matched(both: tuple[RealSwitch, OurSwitch]) -> None:
    check(both, [
        "table=0,tun_metadata0=0x5 actions=resubmit(,1)",
        "table=0,tun_metadata2 actions=resubmit(,2)",
        "table=1,tun_metadata1=0x600/0xff00 actions=output:2",
        "table=1,tun_metadata63=0x112233445566778899aabbcc actions=output:1",
        f"table=2,tun_metadata2={LONG} actions=output:2",
        "table=2,priority=1,tun_metadata2=0x7/0xff actions=drop",
    ], [
        "in_port=1,tun_dst=1.1.1.1,tcp",
        "in_port=1,tun_dst=1.1.1.1,tun_metadata0=5,tcp",
        "in_port=1,tun_dst=1.1.1.1,tun_metadata0=5,tun_metadata1=0x112233445566067f,tcp",
        "in_port=1,tun_dst=1.1.1.1,tun_metadata0=5,tun_metadata63=0x112233445566778899aabbcc,tcp",
        "in_port=1,tun_dst=1.1.1.1,tun_metadata0=5,tun_metadata63=0xff112233445566778899aabbcc,tcp",
        f"in_port=1,tun_dst=1.1.1.1,tun_metadata2={LONG},udp",
        "in_port=1,tun_dst=1.1.1.1,tun_metadata2=0xa07,tun_metadata7=9,udp",
        "in_port=1,tun_metadata0=5,tun_metadata1=0x600",
        "in_port=1,tun_dst=1.1.1.1,tun_metadata0=5,tun_metadata0=5",
        f"in_port=1,tun_metadata2={LONG}00",
    ])  # fmt: skip


def test_options_of_each_length_are_moved(both: tuple[RealSwitch, OurSwitch]) -> None:
    check(both, [
        "table=0,in_port=1 actions=set_field:1.2.3.4->tun_dst,set_field:0x99/0xff->tun_metadata63,"
        f"set_field:{LONG}->tun_metadata2,move:tun_metadata2[900..991]->tun_metadata63[4..95],"
        "push:tun_metadata63[0..95],pop:tun_metadata2[100..195],move:tun_metadata1[0..63]->xreg1[],"
        "set_field:0x7000000000000000/0xf000000000000000->tun_metadata1,resubmit(,1)",
        "table=1,tun_metadata1=0/0x1 actions=learn(table=7,tun_metadata0[0..15]=tun_metadata2[8..23],"
        "load:tun_metadata2[900..963]->tun_metadata1[0..63]),output:2",
    ], ["in_port=1,tcp", "in_port=1,tun_dst=1.1.1.1,tun_metadata1=0x1234567812345678,tcp"])  # fmt: skip


def test_a_group_finds_the_options_when_it_runs(both: tuple[RealSwitch, OurSwitch]) -> None:
    real, ours = both
    group = ("group_id=1,type=all,bucket=actions=set_field:0x5->tun_metadata1,set_field:0x7->tun_metadata9,"
             "move:tun_metadata1[0..31]->reg2[],output:2")
    for switch in both:
        switch.set_flows("br0", ["in_port=1 actions=group:1"], "OpenFlow13", [group])
    found = difference(real, ours, Query("br0", "in_port=1,udp"))
    assert not found, found


# What a datapath tells of the packets that came out of a Geneve tunnel.


class SystemDummies(RealSwitch):
    """The real switch, where dummy devices take no tunnel's place."""

    def _spawn(self, program: str, *args: str) -> None:
        super()._spawn(program, *[arg.replace("dummy=override", "dummy=system") for arg in args])


@pytest.fixture
def tunneled(require: Callable[..., None], tmp_path: Path) -> Iterator[tuple[RealSwitch, OurSwitch]]:
    """(the real switch, ours); port 3 is a Geneve tunnel."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-ofctl")
    ours = OurSwitch()
    real = SystemDummies(tmp_path)
    try:
        real.start()
        real.configure(SETUP)
        real.run(
            "ovs-vsctl", "add-port", "br0", "gnv", "--", "set", "interface", "gnv", "type=geneve",
            "options:remote_ip=flow", "options:key=flow", "ofport_request=3",
        )  # fmt: skip
        ours.configure(SETUP)
        bridge = ours.ofprotos.all_ofproto_dpifs["br0"]
        bridge.port_add("gnv", "geneve", 3, {"remote_ip": "flow", "key": "flow"})
        bridge.bundle_set("gnv", BundleSettings("gnv", ("gnv",)))
        map_options(real, ours)
        yield real, ours
    finally:
        real.close()
        ours.close()


def test_geneve_options_of_a_packet_become_their_fields(tunneled: tuple[RealSwitch, OurSwitch]) -> None:
    for switch in tunneled:
        switch.set_flows("br0", [
            "in_port=3,tun_metadata0=0x5/0xff actions=move:tun_metadata0[0..31]->reg0[],output:2",
            "in_port=3,tun_metadata63=0x1122/0xffff actions=output:1",
        ], "OpenFlow13")  # fmt: skip
    seen = []
    for options in (
        "geneve({class=0xffff,type=0,len=4,0x5}{class=0xffff,type=1,len=8,0x1122334455667706}"
        "{class=0x7,type=3,len=4,0x7}),",
        "geneve({class=0x7,type=3,len=4,0x7}{class=0x102,type=3,len=12,0x112233445566778899aa1122}),",
        f"geneve({{class=0x102,type=2,len=124,{LONG}}}{{class=0xffff,type=0,len=4,0x5}}),",
        "geneve({class=0xffff,type=0,len=4,0x5}{class=0xffff,type=0,len=4,0x6}),",
        "geneve({class=0xffff,type=0,len=4,0x5}{class=0xffff,type=1,len=4,0x11223344}),",
        "geneve({class=0xffff,type=0,len=8,0x500000006}),",
        "geneve({class=0xffff,type=0x80,len=4,0x5}),",
        "",
    ):
        key = (
            f"recirc_id(0),tunnel(tun_id=0x1,src=1.1.1.1,dst=2.2.2.2,ttl=64,{options}flags(df|csum|key)),"
            "in_port(genev_sys_6081),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),"
            "ipv4(src=1.1.1.1,dst=2.2.2.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=8,dst=9),tcp_flags(syn)"
        )
        texts = []
        for switch in tunneled:
            try:
                texts.append(switch.appctl("ofproto/trace", key).split("\nDatapath actions")[0])
            except OracleError as error:
                texts.append(str(error))
        assert texts[0] == texts[1]
        seen.append(texts[1])
    assert ["Failed to parse" in text for text in seen] == [False] * 4 + [True] * 3 + [False]
