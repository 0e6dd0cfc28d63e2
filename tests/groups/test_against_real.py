"""Seeded sequences of group, meter and flow mods to the real switch and to ours: the same errors to
each, the same tables after each sequence."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ofproto.ends import OurEnd, RealEnd, told
from tests.oracle.compare import normalized
from tests.oracle.real import RealSwitch
from vswitch import Switch
from vswitch.flow.fields import by_name
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.constants import OFPG_ANY, OFPP_ANY
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m
from vswitch.openflow.wire.version import OFP13, OFP15, VERSIONS

pytestmark = pytest.mark.system

CLEAR = [
    FlowMod(command=FlowModCommand.DELETE),
    g.GroupMod(g.OFPGC_DELETE, 0, g.OFPG_ALL),
    m.MeterMod(m.OFPMC_DELETE, m.MeterConfig(m.OFPM_ALL)),
]
N_SEQUENCES = 60
LENGTH = 25
COMMANDS = [g.OFPGC_ADD] * 6 + [
    g.OFPGC_MODIFY, g.OFPGC_MODIFY, g.OFPGC_DELETE, g.OFPGC_INSERT_BUCKET, g.OFPGC_INSERT_BUCKET,
    g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET, g.OFPGC_REMOVE_BUCKET, g.OFPGC_ADD_OR_MOD,
]  # fmt: skip
METHODS = [
    None, None, g.SelectionMethod("hash"), g.SelectionMethod("dp_hash", 1 << 32), g.SelectionMethod("odd"),
]  # fmt: skip
PLACES = [*range(6), g.OFPG_BUCKET_FIRST, g.OFPG_BUCKET_LAST, g.OFPG_BUCKET_ALL, 0xFFFFFF55]
METER_IDS = [
    0, 1, 2, 3, 1, 2, 3, 1 << 20, 0xFFFF0000, 0xFFFF0001, m.OFPM_CONTROLLER, m.OFPM_SLOWPATH, m.OFPM_ALL,
]  # fmt: skip


@pytest.fixture(scope="module")
def real(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSwitch]:
    """The real switch with one bridge of three ports."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-ofctl")
    switch = RealSwitch(tmp_path_factory.mktemp("groups"))
    try:
        switch.start()
        protocols = ",".join(f"OpenFlow1{n}" for n in range(6))
        settings = f"datapath_type=dummy fail_mode=secure protocols={protocols}"
        switch.run(*f"ovs-vsctl add-br br0 -- set bridge br0 {settings}".split())
        for n in (1, 2, 3):
            settings = f"type=dummy ofport_request={n}"
            switch.run(*f"ovs-vsctl add-port br0 p{n} -- set interface p{n} {settings}".split())
        yield switch
    finally:
        switch.close()


def random_bucket(rng: random.Random, kind: int) -> g.Bucket:
    watches = rng.random() < (0.9 if kind == g.OFPGT_FF else 0.1)
    weighs = rng.random() < (0.9 if kind == g.OFPGT_SELECT else 0.05)
    actions = rng.choice(["output:1", "output:2", "group:1", "group:9", "set_field:5->reg0,output:3", ""])
    return g.Bucket(
        parse_actions(actions),
        weight=rng.choice([1, 2, 10]) if weighs else 0,
        watch_port=rng.choice([1, 2, 77]) if watches else OFPP_ANY,
        watch_group=rng.choice([1, 2, OFPG_ANY]) if watches else OFPG_ANY,
        bucket_id=rng.choice([*range(6), *range(6), 0xFFFFFF01]),
    )


def random_group_mod(rng: random.Random) -> g.GroupMod:
    command = rng.choice(COMMANDS)
    kind = rng.choice([0, 1, 1, 2, 3, 3, 1, 4] if rng.random() < 0.3 else [0, 1, 2, 3])
    n = 1 if kind == g.OFPGT_INDIRECT and rng.random() < 0.8 else rng.choice([0, 1, 2, 3])
    by_bucket = command in (g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)
    where = g.OFPG_BUCKET_ALL
    if by_bucket or rng.random() < 0.05:
        where = rng.choice(PLACES)
    selection = rng.choice(METHODS) if kind == g.OFPGT_SELECT or rng.random() < 0.1 else None
    if selection is not None and selection.method == "hash":
        fields = rng.sample(["eth_src", "ip_dst", "tcp_src", "reg0", "vlan_vid"], rng.randint(0, 3))
        known = [by_name(name) for name in fields]
        selection = g.SelectionMethod("hash", 5, tuple((field, (1 << field.n_bits) - 1) for field in known))
    group_id = rng.choice([1, 2, 3, 4, 1, 2, 3, 4, g.OFPG_ALL, 0xFFFFFF00, 0xFFFFFF05])
    if command == g.OFPGC_REMOVE_BUCKET and rng.random() < 0.9:
        n = 0
    buckets = tuple(random_bucket(rng, kind) for _ in range(n))
    return g.GroupMod(command, kind, group_id, buckets, where, selection)


def random_meter_mod(rng: random.Random) -> m.MeterMod:
    command = rng.choice([m.OFPMC_ADD, m.OFPMC_ADD, m.OFPMC_MODIFY, m.OFPMC_DELETE])
    meter_id = rng.choice(METER_IDS)
    flags = rng.choice([1, 2, 13, 14, 1, 2, 0, 3, 0x10])
    bands = tuple(
        m.MeterBand(m.OFPMBT_DROP, rng.choice([1, 1000, 0xFFFFFFFF]), rng.choice([0, 100]))
        for _ in range(rng.choice([0, 1, 1, 2, 8, 9]))
    )
    return m.MeterMod(command, m.MeterConfig(meter_id, flags, bands))


def random_flow_mod(rng: random.Random) -> FlowMod:
    text = f"table={rng.randint(0, 2)},priority={rng.randint(1, 4)}"
    actions = rng.choice([
        f"group:{rng.randint(1, 5)}", f"output:1,write_actions(group:{rng.randint(1, 5)})",
        f"clone(group:{rng.randint(1, 4)}),output:2", f"meter:{rng.randint(1, 4)},output:1", "drop",
        f"meter:{rng.randint(1, 3)},group:{rng.randint(1, 4)}",
    ])  # fmt: skip
    fm = parse_flow_line(f"{text},actions={actions}")
    fm.command = rng.choice([FlowModCommand.ADD] * 3 + [FlowModCommand.MODIFY, FlowModCommand.DELETE])
    if fm.command == FlowModCommand.DELETE and rng.random() < 0.5:
        fm.out_group = rng.randint(1, 4)
    return fm


def questions(version: int) -> list[Any]:
    asked: list[Any] = [g.GroupDescRequest(), g.GroupStatsRequest(), g.GroupStatsRequest(2)]
    asked.append(f.FlowStatsRequest())
    if version >= OFP13:
        asked += [m.MeterConfigRequest(), m.MeterStatsRequest(), m.MeterStatsRequest(2)]
    return asked


@pytest.mark.parametrize("seed", range(N_SEQUENCES))
def test_random_sequences_leave_the_same_tables(real: RealSwitch, seed: int) -> None:
    rng = random.Random(seed)
    theirs = RealEnd(str(Path(real.directory) / "br0.mgmt"), OFP15)
    try:
        with Switch(ports=["p1", "p2", "p3"]) as switch:
            ours = OurEnd(switch, OFP15)
            assert theirs.ask(*CLEAR) == []
            for _ in range(LENGTH):
                make = rng.choice([random_group_mod] * 3 + [random_flow_mod] * 2 + [random_meter_mod])
                mod = make(rng)
                assert told(ours.ask(mod)) == told(theirs.ask(mod)), mod
            for question in questions(OFP15):
                assert told(ours.ask(question)) == told(theirs.ask(question)), question
            assert len(switch.ofproto.groups) <= 5
    finally:
        theirs.close()


def ranked(traces: list[str]) -> list[str]:
    """`traces` with the datapath's meters numbered as they appear: the real switch is slow to reuse one."""
    found = list(dict.fromkeys(int(n) for trace in traces for n in re.findall(r"meter\((\d+)\)", trace)))
    return [re.sub(r"meter\((\d+)\)", lambda n: f"meter({found.index(int(n[1]))})", t) for t in traces]


METER_FLOWS = [
    "table=0,tcp,actions=meter:2,output:2",
    "table=0,udp,actions=meter:2,output:2,write_actions(output:3),goto_table:1",
    "table=1,actions=output:1,output:3",
    "table=0,arp,actions=controller(meter_id=1),output:2",
    "table=0,icmp,actions=controller(meter_id=900)",
    "table=0,ipv6,actions=controller,output:3",
    "table=0,sctp,actions=meter:1,dec_ttl,output:2",
]
METERED = ["tcp", "udp", "arp", "icmp", "ipv6", "sctp,nw_ttl=1", "sctp,nw_ttl=9"]


@pytest.mark.parametrize("meters", [(), (m.OFPM_CONTROLLER,), (m.OFPM_CONTROLLER, m.OFPM_SLOWPATH)])
def test_metered_packets_are_traced_alike(real: RealSwitch, meters: tuple[int, ...]) -> None:
    theirs = RealEnd(str(Path(real.directory) / "br0.mgmt"), OFP15)
    try:
        with Switch(ports=["p1", "p2", "p3"]) as switch:
            ours = OurEnd(switch, OFP15)
            band = (m.MeterBand(m.OFPMBT_DROP, 1000),)
            mods: list[Any] = [*CLEAR]
            mods += [m.MeterMod(m.OFPMC_ADD, m.MeterConfig(n, m.OFPMF_KBPS, band)) for n in (2, 1, *meters)]
            mods += [parse_flow_line(text) for text in METER_FLOWS]
            for end in (ours, theirs):
                assert end.ask(*mods) == []
            names = {str(port.odp_port): port.name for port in switch.ofproto.ports.values()}
            asked = [("ofproto/trace", "br0", f"in_port=1,{flow}") for flow in METERED]
            there = [normalized(real.appctl(*args), real.port_names()) for args in asked]
            here = [normalized(switch.command(*args), names) for args in asked]
            for mine, expected in zip(ranked(here), ranked(there), strict=True):
                assert mine == expected
    finally:
        theirs.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_told_the_same_of_groups_and_meters(real: RealSwitch, version: int) -> None:
    before = RealEnd(str(Path(real.directory) / "br0.mgmt"), OFP15)
    assert before.ask(*CLEAR) == []
    before.close()
    theirs = RealEnd(str(Path(real.directory) / "br0.mgmt"), version)
    try:
        with Switch(ports=["p1", "p2", "p3"]) as switch:
            ours = OurEnd(switch, version)
            bucket = g.Bucket(parse_actions("output:2"), bucket_id=0)
            mods = [g.GroupMod(g.OFPGC_DELETE, 0, g.OFPG_ALL), g.GroupMod(g.OFPGC_ADD, 0, 7, (bucket,)),
                    g.GroupMod(g.OFPGC_ADD, 2, 8, (bucket,)), g.GroupMod(g.OFPGC_ADD, 1, 8, ())]  # fmt: skip
            asked = [*mods, *questions(version), g.GroupFeaturesRequest()]
            for request in asked:
                assert told(ours.ask(request)) == told(theirs.ask(request)), request
    finally:
        theirs.close()
