"""What packet-ins carry beside the real switch's: the metadata that translation has at the action, not the
datapath's (connection tracking's fields only once the packet has come back), in each format."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.ofctl.conftest import switches
from tests.oracle.real import RealSwitch
from tests.trials.trial import PACKETS, Bench
from tests.whole import ALL, sample

__all__ = ["switches"]
pytestmark = pytest.mark.system

VLAN: Final = PACKETS["UDP"][:24] + "81006005" + PACKETS["UDP"][24:]
IPV6: Final = (
    "02000000000202000000000186dd60000000000c1140fe800000000000000000000000000001"
    "fe80000000000000000000000000000200010002000c000000000000"
)
FRAMES: Final = (PACKETS["UDP"], PACKETS["TCP"], VLAN, IPV6)
FORMATS: Final = (
    ("OpenFlow13", "nxt_packet_in2"), ("OpenFlow13", "standard"), ("OpenFlow13", "nxt_packet_in"),
    ("OpenFlow10", "standard"), ("OpenFlow15", "standard"),
)  # fmt: skip
CASES: Final = """
udp,actions=ct(commit,zone=3),controller

udp,actions=ct(commit,zone=3,exec(load:5->NXM_NX_CT_MARK[])),controller

table=0,udp,actions=ct(table=1)
table=1,udp,actions=controller

table=0,ip,actions=ct(table=1,zone=7)
table=1,ip,actions=controller

table=0,ip,actions=ct(commit,zone=7,exec(set_field:5->ct_mark,set_field:0x1234->ct_label),table=1)
table=1,ip,actions=controller

table=0,ip,actions=ct(table=1)
table=1,ip,actions=ct_clear,controller

table=0,ip,actions=ct(table=1)
table=1,ip,actions=ct_clear,resubmit(,2)
table=2,actions=controller

table=0,ip,actions=ct(table=1)
table=1,ip,actions=ct(commit),controller

table=0,ip,actions=ct(table=1,zone=1)
table=1,ip,actions=ct(table=2,zone=2)
table=2,ip,actions=controller

table=0,ip,actions=ct(commit,nat(src=10.9.9.9),table=1)
table=1,ip,actions=controller

table=0,ip,actions=ct(table=1)
table=1,ip,actions=mod_nw_src:9.9.9.9,controller

table=0,ip,actions=ct(table=1)
table=1,ip,actions=clone(ct_clear,controller),controller

table=0,ip,actions=ct(table=1),controller
table=1,actions=drop

table=0,ip,actions=load:5->reg1,load:6->NXM_NX_PKT_MARK[],load:7->OXM_OF_METADATA[],ct(table=1)
table=1,ip,actions=controller

ip,actions=load:5->NXM_NX_REG0[],controller

actions=load:5->NXM_NX_PKT_MARK[],controller

actions=load:9->OXM_OF_METADATA[],load:1->NXM_NX_XXREG1[],controller

actions=load:0xffff->OXM_OF_IN_PORT[],controller

actions=load:2->NXM_OF_IN_PORT[],controller

in_port=1,actions=load:0->NXM_OF_IN_PORT[],controller

table=0,in_port=1,actions=resubmit(3,1)
table=1,in_port=3,actions=controller

actions=set_tunnel:77,controller

actions=set_field:1.2.3.4->tun_dst,set_tunnel:5,controller

actions=set_field:0x12->tun_flags,controller

actions=set_queue:5,controller

actions=push_vlan:0x8100,set_field:4101->vlan_vid,controller

actions=mod_dl_src:02:00:00:00:00:09,controller,mod_dl_dst:02:00:00:00:00:0a,controller

ip,actions=dec_ttl,controller,2

ip,actions=push_mpls:0x8847,controller

table=0,ip,actions=push_mpls:0x8847,pop_mpls:0x0800,controller

table=0,ip,actions=encap(nsh),set_field:5->nsh_spi,controller

table=0,ip,actions=decap(),controller

table=0,actions=controller(reason=no_match)

table=0,actions=controller(reason=invalid_ttl,id=0,max_len=10)

table=0,actions=controller(userdata=01.02,max_len=20)

table=0,ip,actions=controller(pause),2

table=0,ip,actions=ct(table=1)
table=1,ip,actions=controller(pause),2

table=0,ip,actions=load:8->NXM_NX_REG3[],ct(commit,zone=2),controller(pause),2

table=0,actions=multipath(eth_src,50,modulo_n,4,0,NXM_NX_REG0[]),controller

table=0,actions=learn(table=5,eth_dst=eth_src,output:in_port),controller

table=0,actions=push:NXM_NX_REG0[],load:7->NXM_NX_REG0[],controller,pop:NXM_NX_REG0[],controller

table=0,ip,actions=check_pkt_larger(20)->NXM_NX_REG0[0],resubmit(,1)
table=1,actions=controller

table=0,ip,actions=write_metadata:0x5,goto_table:1
table=1,actions=controller

table=0,actions=output:21
"""
"""Flows of bridge sw, a case each; port 21 leads to a bridge that sends everything to its controller."""

SECOND: Final = """
    add-br sw2 -- set bridge sw2 datapath_type=dummy protocols=OpenFlow10,OpenFlow13,OpenFlow15
    other_config:datapath-id=00000000000000a2
    -- add-port sw x1 -- set interface x1 type=patch options:peer=x2 ofport_request=21
    -- add-port sw2 x2 -- set interface x2 type=patch options:peer=x1 ofport_request=22
"""
"""That bridge, for ovs-vsctl."""


@dataclass
class Listening:
    """A switch, and what monitors at its two bridges print."""

    switch: RealSwitch
    bench: Bench
    monitors: list[subprocess.Popen[bytes]]

    def files(self) -> list[Path]:
        """Where the monitors print."""
        return [self.switch.directory / f"monitor.{bridge}" for bridge in ("sw", "sw2")]

    def said(self) -> str:
        """What the monitors have printed since there are these flows."""
        text = "".join(file.read_text() for file in self.files())
        text = re.sub(r"xid=0x[0-9a-f]+", "xid", text)
        return re.sub(r"(?<=bridge=)\S+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", text)

    def listen(self, version: str, form: str) -> None:
        """Have monitors, and wait until they are there."""
        for bridge in ("sw", "sw2"):
            with (self.switch.directory / f"monitor.{bridge}").open("ab") as out:
                words = ["ovs-ofctl", "-O", version, "monitor", bridge, "65534", "-P", form]
                self.monitors.append(subprocess.Popen(
                    words, env=self.switch.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
                ))
        eventually("the monitors hear of packets", self.hears)

    def hears(self) -> bool:
        """Whether both monitors print a packet's coming."""
        self.flows("actions=controller,output:21")
        self.receive(FRAMES[:1])
        time.sleep(0.05)
        return all("PACKET_IN" in file.read_text() for file in self.files())

    def flows(self, flows: str) -> None:
        """These flows of sw and no others, and nothing left of others anywhere."""
        self.bench.tool("ovs-ofctl", "del-flows", "sw")
        self.bench.tool("ovs-ofctl", "-O", "OpenFlow13", "add-flows", "sw", "-", stdin=f"{flows}\n")
        for command in ("dpctl/flush-conntrack", "revalidator/purge", "revalidator/wait"):
            self.bench.appctl(command)
        for file in self.files():
            os.truncate(file, 0)

    def receive(self, frames: tuple[str, ...]) -> None:
        """Frames come in at port 1."""
        for frame in frames:
            self.bench.appctl("netdev-dummy/receive", "e31", frame)

    def end(self) -> None:
        """End the monitors."""
        for monitor in self.monitors:
            monitor.terminate()
            monitor.wait(10)
        self.monitors.clear()


def eventually(what: str, condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for `condition`; AssertionError that names `what`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module", params=FORMATS if ALL else FORMATS[:2], ids="-".join)
def listening(
    request: pytest.FixtureRequest, switches: tuple[RealSwitch, RealSwitch]
) -> Iterator[tuple[Listening, Listening]]:
    """The real switch and ours with bridges sw and sw2, and monitors of one version and format."""
    both = tuple(Listening(switch, Bench(switch), []) for switch in switches)
    try:
        for one in both:
            one.bench.prepare()
            one.switch.run("ovs-vsctl", *SECOND.split())
            one.bench.tool("ovs-ofctl", "add-flow", "sw2", "actions=load:3->NXM_NX_REG2[],controller")
            one.listen(*request.param)
        yield both[0], both[1]
    finally:
        for one in both:
            one.end()


@pytest.mark.parametrize("flows", sample(CASES.strip().split("\n\n"), 6))
def test_packet_ins_are_the_real_ones(flows: str, listening: tuple[Listening, Listening]) -> None:
    for one in listening:
        one.flows(flows)
        one.receive(FRAMES)
    before, end = "", time.monotonic() + 5
    while time.monotonic() < end:
        theirs, ours = (one.said() for one in listening)
        if ours == theirs == before:
            break
        before = theirs
        time.sleep(0.1)
    assert ours == theirs
