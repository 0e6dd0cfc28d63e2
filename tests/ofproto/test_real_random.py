"""Random flow mods in each version to the real switch and to ours: the same errors, events and tables."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.ofproto.ends import End, OurEnd, RealEnd, Request, told
from tests.ofproto.test_real_replies import cleanup
from tests.oracle.real import RealSwitch
from vswitch import Switch
from vswitch.flow.fields import by_name
from vswitch.flow.match_text import parse_match
from vswitch.ofproto.table import EVICTION_CLIENT
from vswitch.openflow import constants as c
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import session as s
from vswitch.openflow.wire.codec import encode
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, VERSIONS

pytestmark = pytest.mark.system

N_MODS = 120
MATCHES = [
    "", "ip", "tcp", "tcp,tp_dst=80", "tcp,tp_dst=443", "arp", "in_port=1", "in_port=1,ip", "in_port=2,udp",
    "ip,nw_dst=10.0.0.0/8", "ip,nw_dst=10.0.0.1", "dl_vlan=3", "dl_vlan=3,ip", "udp", "ip,nw_src=10.0.0.0/9",
    "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", "ipv6", "icmp,icmp_type=8", "ip,nw_tos=32",
]  # fmt: skip
ACTIONS = [
    "output:1", "output:2,output:3", "", "NORMAL", "mod_vlan_vid:5,output:2", "CONTROLLER:20", "output:70",
    "enqueue:3:1", "resubmit(,3)", "dec_ttl,output:1", "mod_nw_src:1.2.3.4,output:2",
    "mod_tp_dst:80,output:3", "strip_vlan,output:1",
    "learn(table=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),output:2",
]  # fmt: skip
ACTIONS11 = ["group:1", "group:7", "push_vlan:0x8100,set_field:4099->vlan_vid,output:1",
             # Instructions that the real switch writes wrong into the monitors' updates of 1.1 and 1.2.
             "goto_table:2", "goto_table:3", "write_actions(output:3),goto_table:3",
             "clear_actions,write_metadata:5,goto_table:2"]


@pytest.fixture(scope="module")
def ours() -> Iterator[Switch]:
    """Our switch with the same ports."""
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        yield switch


class Answers:
    """What an end answers to flow mods: replies at once, and removed flows, which the real switch may tell
    after its reply to a barrier."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.removed: list[str] = []

    def ask(self, *requests: Request) -> list[str]:
        replies = told(self.end.ask(*requests))
        self.removed += [reply for reply in replies if reply.startswith("FlowRemoved")]
        return [reply for reply in replies if not reply.startswith("FlowRemoved")]

    def all_removed(self, n: int) -> list[str]:
        """The removed flows once there are `n`, or no more come."""
        deadline = time.monotonic() + 5
        while len(self.removed) < n and time.monotonic() < deadline:
            self.ask(s.EchoRequest())
        return sorted(self.removed)


def random_mod(rnd: random.Random, version: int) -> FlowMod:
    fm = FlowMod(match=parse_match(rnd.choice(MATCHES)), priority=rnd.choice([1, 5, 9]))
    fm.command = rnd.choices(list(FlowModCommand), [9, 2, 2, 2, 2])[0]
    deletes = fm.command in (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT)
    fm.table_id = rnd.choice([0, 0, 1, 2, 254, 255])
    if not deletes:
        fm.actions = parse_actions(rnd.choice(ACTIONS + (ACTIONS11[:3] if version >= OFP11 else [])
                                            + (ACTIONS11[3:] if version >= OFP13 else [])))
    fm.flags = rnd.choice([0, 0, c.OFPFF_SEND_FLOW_REM, c.OFPFF_CHECK_OVERLAP, c.OFPFF_SEND_FLOW_REM])
    if version >= OFP12 and rnd.random() < 0.2:
        fm.flags |= c.OFPFF_RESET_COUNTS
    if version >= OFP13 and rnd.random() < 0.2:
        fm.flags |= rnd.choice([c.OFPFF_NO_PKT_COUNTS, c.OFPFF_NO_BYT_COUNTS])
    if rnd.random() < 0.3:
        fm.idle_timeout, fm.hard_timeout = rnd.choice([(900, 0), (0, 900), (900, 900)])
    if version >= OFP14:
        fm.importance = rnd.choice([0, 0, 7])
    cookie = rnd.randrange(4)
    if fm.command == FlowModCommand.ADD or version == OFP10:
        fm.new_cookie = cookie
        fm.modify_cookie = True
    elif rnd.random() < 0.4:
        fm.cookie, fm.cookie_mask = cookie, rnd.choice([1, 3, 0xFFFFFFFFFFFFFFFF])
    if deletes and rnd.random() < 0.4:
        fm.out_port = rnd.choice([1, 2, 3])
        if version >= OFP11:
            fm.out_group = rnd.choice([c.OFPG_ANY, 1])
    return fm


def start(end: End, version: int, monitored: bool) -> None:
    """Every version starts with empty tables and a group, and hears of everything from then on."""
    end.ask(*cleanup(version))
    end.ask(s.SetConfig(0, 128))
    if version >= OFP11:
        end.ask(g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1, (g.Bucket(parse_actions("output:3"), bucket_id=0),)))
    if monitored:
        end.ask(f.FlowMonitorRequest((f.FlowMonitor(1, flags=0x5E),)))


@pytest.mark.parametrize("version", VERSIONS)
def test_random_flow_mods(real: RealSwitch, ours: Switch, version: int) -> None:
    rnd = random.Random(version)
    real_end, end = RealEnd(f"{real.directory}/br0.mgmt", version), OurEnd(ours, version)
    wanted, got = Answers(real_end), Answers(end)
    try:
        for each in (real_end, end):
            start(each, version, monitored=True)
        for i in range(N_MODS):
            mod = encode(random_mod(rnd, version), version, i)
            assert got.ask(mod) == wanted.ask(mod), (i, mod.hex())
            if i % 10 == 9:
                for request in dumps(version):
                    assert got.ask(request) == wanted.ask(request), (i, mod.hex())
        for answers in (got, wanted):
            answers.ask(*cleanup(version))
        assert sorted(got.removed) == wanted.all_removed(len(got.removed))
    finally:
        real_end.close()
        end.close()


def dumps(version: int) -> list[Request]:
    found: list[Request] = [f.FlowStatsRequest(), f.AggregateStatsRequest(out_port=2)]
    if version == OFP10:
        found.append((f.FlowStatsRequest(cookie=1, cookie_mask=1), 1))
    else:
        found += [f.FlowStatsRequest(parse_match("tcp"), cookie=1, cookie_mask=1),
                  f.AggregateStatsRequest(out_group=1), f.FlowStatsRequest(table_id=1)]
    return found


@pytest.mark.parametrize("groups", ["", "NXM_OF_IN_PORT[]"])
def test_full_tables_evict_the_same_flows(real: RealSwitch, ours: Switch, groups: str) -> None:
    rnd = random.Random(groups)
    real.run(
        "ovs-vsctl", "--id=@t", "create", "Flow_Table", "flow_limit=6", "overflow_policy=evict",
        *([f'groups="{groups}"'] if groups else []), "--", "set", "bridge", "br0", "flow_tables:3=@t",
    )  # fmt: skip
    table = ours.ofproto.tables[3]
    real_end, end = RealEnd(f"{real.directory}/br0.mgmt", OFP14), OurEnd(ours, OFP14)
    wanted, got = Answers(real_end), Answers(end)
    try:
        for each in (real_end, end):
            start(each, OFP14, monitored=False)
        table.max_flows = 6
        fields = (by_name("in_port"),) if groups else ()
        table.configure_eviction(EVICTION_CLIENT, fields)
        timeouts = rnd.sample(range(50, 5000, 50), 40)
        for i in range(40):
            fm = FlowMod(match=parse_match(f"in_port={rnd.choice([1, 1, 2, 3])}"), priority=i, table_id=3)
            fm.flags = c.OFPFF_SEND_FLOW_REM
            fm.importance = rnd.choice([0, 0, 5])
            if rnd.random() < 0.85:
                fm.hard_timeout = timeouts[i]
            assert got.ask(fm) == wanted.ask(fm), i
        assert len(got.removed) > 10
        assert got.ask(f.FlowStatsRequest()) == wanted.ask(f.FlowStatsRequest())
        for answers in (got, wanted):
            answers.ask(*cleanup(OFP14))
        assert sorted(got.removed) == wanted.all_removed(len(got.removed))
    finally:
        table.max_flows = None
        table.configure_eviction(0, ())
        real_end.close()
        end.close()
        real.run("ovs-vsctl", "clear", "bridge", "br0", "flow_tables")
