"""Recirculation ids count up as the real switch's: a state that nobody holds any more gets a new one. What an
id stands for shows in a trace of the packet that comes back."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.oracle.real import RealSwitch
from tests.stack import until
from tests.trials.trial import PACKETS, Bench

pytestmark = pytest.mark.system

ID = re.compile(r"recirc(?:_id=|\(|_id\()(0x[0-9a-f]+|[1-9][0-9]*)")
RESUMED = {
    "a pop of MPLS": (
        "mpls", "pop_mpls:0x800,output:2,dec_ttl,mod_nw_tos:4,resubmit(,4),controller,group:1,resubmit(1,),"
                "goto_table:6",
    ),
    "what has no place": (
        "mpls", "pop_mpls:0x800,mod_nw_tos:4,load:5->NXM_NX_REG0[],mod_nw_src:1.1.1.1,output:2",
    ),
    "an action set": ("mpls", "write_actions(output:3,set_field:02:02:03:04:05:06->eth_dst),goto_table:5"),
    "tables inside tables": ("mpls", "resubmit(,8),resubmit(,9),output:1,output:3"),
    "many actions": (
        "mpls", "pop_mpls:0x800,mod_nw_tos:4,resubmit(1,),resubmit(,9),note:01.02.03,push_vlan:0x8100,"
                "strip_vlan,learn(table=3,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),output:NXM_NX_REG0[],"
                "output(port=2,max_len=100),bundle(eth_src,0,hrw,ofport,members:2,3),"
                "multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[]),ct(commit,zone=5),output:2,NORMAL",
    ),
    "connection tracking": ("ip", "load:7->NXM_NX_REG0[],ct(table=9,commit),write_actions(output:3)"),
}  # fmt: skip
"""Flows of port 1: what they match on beside it, and their actions."""
OTHERS = (
    "cookie=97,table=4,ip,actions=output:3", "cookie=98,table=6,ip,actions=output:3,write_actions(output:2)",
    "cookie=99,table=5,mpls,actions=pop_mpls:0x800,output:2,dec_ttl,write_metadata:7,goto_table:6",
    "cookie=91,table=8,mpls,actions=pop_mpls:0x800,resubmit(,10),output:2",
    "cookie=92,table=10,ip,actions=dec_ttl,mod_nw_tos:8,output:2", "cookie=93,table=9,ip,actions=output:2",
)  # fmt: skip
MPLS = ("in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x8847),"
        "mpls(label=70,tc=3,ttl=21,bos=1)")  # fmt: skip


@pytest.mark.parametrize("name", RESUMED)
def test_a_packet_that_resumes_is_traced(switches: tuple[RealSwitch, RealSwitch], name: str) -> None:
    match, actions = RESUMED[name]

    def traced(switch: RealSwitch) -> str:
        bench = Bench(switch)
        bench.prepare()
        bench.tool("ovs-ofctl", "-O", "OpenFlow13", "add-group", "sw", "group_id=1,type=all,bucket=output:3")
        for flow in (*OTHERS, f"cookie=0x60,in_port=1,{match},actions={actions}"):
            assert bench.tool("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "sw", flow) == ""
        (line,) = _receive(bench, "e31", 2, PACKETS["TCP"] if match == "ip" else MPLS)[:1]
        recirc_id = re.findall(r"recirc\((0x[0-9a-f]+)\)", line)[0]
        text = bench.appctl("ofproto/trace", "sw", f"recirc_id={recirc_id},in_port=1,ip,nw_ttl=9")
        return re.sub(r"recirc(_id=|\()(0x)?[0-9a-f]+", r"recirc\1N", text)

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(traced, switches)
    assert "Resuming from table" in theirs
    assert ours == theirs


def _receive(bench: Bench, port: str, n_flows: int, packet: str = PACKETS["TCP"]) -> list[str]:
    """`packet` comes in at `port`, after which the datapath has `n_flows` flows; these, sorted."""
    bench.appctl("netdev-dummy/receive", port, packet)
    found: list[str] = []

    def there() -> bool:
        found[:] = bench.appctl("dpctl/dump-flows").splitlines()[1:]
        return len(found) == n_flows

    until(f"{n_flows} datapath flows", there)
    return sorted(found)


def test_an_id_is_not_given_again_to_an_equal_state(switches: tuple[RealSwitch, RealSwitch]) -> None:
    def ids(switch: RealSwitch) -> list[list[int]]:
        bench = Bench(switch)
        bench.prepare()
        for flow in ("in_port=3,ip,actions=ct(table=1)", "table=1,ip,actions=controller",
                     "in_port=2,ip,actions=controller"):  # fmt: skip
            bench.tool("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "sw", flow)
        said = [bench.appctl("ofproto/trace", "sw", "in_port=3,tcp") for _ in range(3)]
        _receive(bench, "e33", 2)
        said += [bench.appctl("ofproto/trace", "sw", "in_port=3,tcp") for _ in range(2)]
        said.append("\n".join(_receive(bench, "e32", 3)))
        found = [[int(number, 0) for number in ID.findall(text)] for text in said]
        first = found[0][0]
        return [[number - first for number in numbers] for numbers in found]

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(ids, switches)
    assert len({numbers[0] for numbers in theirs[:3]}) == 3
    assert theirs[3] == theirs[4]
    assert ours == theirs
