"""Random sequences of flow, group and meter mods and packets, from a seed, as messages.

What is random comes from small pools, so that mods hit what is there, groups chain, meters are in use and
packets meet flows. Half of the mods that could be refused are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_match
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.constants import OFPP_ANY
from vswitch.openflow.flow_mod import FlowModCommand
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m
from vswitch.openflow.messages.packet import PacketOut

MATCHES = (
    "",
    "in_port=1",
    "in_port=2",
    "ip",
    "tcp",
    "tcp,tp_dst=80",
    "tcp,tp_dst=0x50/0xfff0",
    "ip,nw_dst=10.0.0.0/8",
    "ip,nw_dst=10.1.0.0/16",
    "ip,nw_src=10.0.0.1",
    "udp,tp_src=53",
    "arp",
    "dl_vlan=10",
    "vlan_tci=0x1000/0x1000",
    "reg0=1",
    "reg0=0x2/0xf",
    "metadata=5",
    "dl_dst=50:54:00:00:00:02",
    "in_port=1,ip",
    "ipv6",
)
# Not FLOOD: the order in which it outputs is that of a hash table.
ACTIONS = (
    "drop",
    "output:2",
    "output:3,output:4",
    "NORMAL",
    "IN_PORT",
    "resubmit(,1)",
    "resubmit(,2),output:1",
    "load:1->NXM_NX_REG0[],resubmit(,1)",
    "mod_dl_src:00:00:00:00:00:07,output:2",
    "mod_vlan_vid:10,output:3",
    "strip_vlan,output:4",
    "group:1",
    "group:2",
    "group:3,output:1",
    "dec_ttl,output:2",
    "push_vlan:0x8100,output:2",
    "set_field:5->metadata,resubmit(,2)",
    "set_field:10.1.1.1->ip_dst,output:3",
    "controller",
    "meter:1,output:2",
    "write_actions(output:3,group:2)",
    "write_actions(output:2),goto_table:2",
    "meter:2,group:1",
    "learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "output:1,clear_actions",
    "output:77",
    "goto_table:1",
)
BUCKETS = (
    "output:1",
    "output:2",
    "output:3",
    "output:4",
    "group:1",
    "group:2",
    "group:3",
    "group:9",
    "drop",
    "mod_dl_dst:00:00:00:00:00:09,output:2",
    "dec_ttl,output:4",
    "mod_vlan_vid:20,output:1",
    "resubmit(,1)",
)
PACKETS = (
    # IPv4 10.0.0.1 > 10.1.1.2 TCP 1000 > 80, UDP 53 > 53; ARP; IPv6; TCP in VLAN 10; another type.
    "505400000002505400000001080045000028000000004006"
    "65cc"
    "0a0000010a010102"
    "03e8005000000000000000005000000000000000",
    "50540000000250540000000108004500001c00000000401165cd0a0000010a0101020035003500080000",
    "ffffffffffff505400000001080600010800060400015054000000010a0000010000000000000a010102",
    "50540000000250540000000186dd6000000000083a4020010db8000000000000000000000001"
    "20010db8000000000000000000000002"
    "8000000000000000",
    "5054000000025054000000018100000a080045000028000000004006"
    "65cc"
    "0a0000010a010102"
    "03e8005000000000000000005000000000000000",
    "5054000000025054000000018899" + "00" * 46,
)
TRACES = (
    "in_port=1,tcp,dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.1.1.2,nw_ttl=64,tp_src=1000,tp_dst=80",
    "in_port=2,udp,dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.1.1.2,nw_ttl=64,tp_src=53,tp_dst=53",
    "in_port=3,vlan_tci=0x100a,tcp,dl_src=50:54:00:00:00:03,nw_src=10.0.0.9,nw_dst=10.9.1.2,nw_ttl=1,tp_dst=81",
)


class Sequences:
    """A stream of random messages. `version` is the wire's OpenFlow version (1: 1.0 ... 6: 1.5)."""

    def __init__(self, seed: int, version: int) -> None:
        self.random = random.Random(seed)
        self.version = version

    def sequence(self) -> list[Any]:
        """10 to 30 messages."""
        kinds = [self.flow, self.flow, self.flow, self.flow, self.packet, self.packet]
        if self.version >= 2:
            kinds += [self.group, self.group]
        if self.version >= 4:
            kinds += [self.meter]
        return [self.random.choice(kinds)() for _ in range(self.random.randint(10, 30))]

    def flow(self) -> Any:
        rng = self.random
        command = rng.choices(list(FlowModCommand), (12, 2, 2, 1, 2))[0]
        deletes = command in (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT)
        parts = [f"table={rng.choice((0, 0, 0, 1, 1, 2))}"] if self.version > 1 else []
        # No two matches have a priority in common: which of two such flows wins is not defined.
        match = rng.randrange(len(MATCHES))
        if command != FlowModCommand.DELETE:
            parts.append(f"priority={rng.choice((10, 10, 10, 200, 3000)) + match}")
        if rng.random() < 0.3:
            if command == FlowModCommand.ADD:
                parts.append(f"cookie={rng.choice((1, 2, 0xFFFF0000))}")
            elif self.version > 1:
                parts.append(f"cookie={rng.choice((1, 2))}/{rng.choice(('1', '0xffff'))}")
        if command == FlowModCommand.ADD and rng.random() < 0.2:
            parts.append(
                rng.choice(("check_overlap", "send_flow_rem", "idle_timeout=300", "hard_timeout=500"))
            )
        if deletes and rng.random() < 0.2:
            parts.append("out_port=2")
        if deletes and self.version > 1 and rng.random() < 0.1:
            parts.append("out_group=1")
        parts.append(MATCHES[match])
        if deletes:
            return parse_flow(",".join(p for p in parts if p), command)
        actions = rng.choice(ACTIONS)
        while self.version < 4 and ("meter" in actions or (self.version == 1 and "group" in actions)):
            actions = rng.choice(ACTIONS)
        # The parser would refuse actions that don't fit the match; here the switch is to do that.
        fm = parse_flow(",".join([*(p for p in parts if p), "actions=drop"]), command)
        fm.actions = parse_actions(actions) if actions != "drop" else ()
        return fm

    def _buckets(self, kind: int, inserted: bool = False) -> tuple[g.Bucket, ...]:
        rng = self.random
        n = rng.choice((0, 1, 1, 2, 3)) if kind != g.OFPGT_INDIRECT else rng.choice((1, 1, 1, 2))
        found = []
        for number in range(n):
            watch_port, watch_group, weight = OFPP_ANY, g.OFPG_ANY, 0
            if kind == g.OFPGT_FF and rng.random() < 0.9:
                watch_port = rng.choice((1, 2, 3))
            if kind == g.OFPGT_SELECT and number == 0 and not inserted:
                # One that can be chosen: which of several is depends on the datapath's hash.
                weight = rng.choice((1, 1, 5, 0))
            bucket_id = number if self.version < 6 else rng.choice((number, number, 7))
            found.append(
                g.Bucket(parse_actions(rng.choice(BUCKETS)), weight, watch_port, watch_group, bucket_id)
            )
        return tuple(found)

    def group(self) -> Any:
        rng = self.random
        commands: Sequence[int] = (g.OFPGC_ADD, g.OFPGC_ADD, g.OFPGC_ADD, g.OFPGC_MODIFY, g.OFPGC_DELETE)
        if self.version >= 6:
            commands = (*commands, g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)
        command = rng.choice(commands)
        kind = rng.choice((g.OFPGT_ALL, g.OFPGT_SELECT, g.OFPGT_INDIRECT, g.OFPGT_FF))
        group_id = rng.choice((1, 2, 3))
        if command == g.OFPGC_DELETE:
            return g.GroupMod(command, g.OFPGT_ALL, rng.choice((group_id, group_id, g.OFPG_ALL)))
        if command == g.OFPGC_REMOVE_BUCKET:
            return g.GroupMod(
                command, kind, group_id, (), rng.choice((0, 1, g.OFPG_BUCKET_FIRST, g.OFPG_BUCKET_ALL))
            )
        where = g.OFPG_BUCKET_ALL
        buckets = self._buckets(kind, command == g.OFPGC_INSERT_BUCKET)
        if command == g.OFPGC_INSERT_BUCKET:
            where = rng.choice((0, 1, g.OFPG_BUCKET_FIRST, g.OFPG_BUCKET_LAST))
            while not buckets:  # inserting none hangs the real switch
                buckets = self._buckets(kind, True)
        return g.GroupMod(command, kind, group_id, buckets, where)

    def meter(self) -> Any:
        rng = self.random
        command = rng.choice((m.OFPMC_ADD, m.OFPMC_ADD, m.OFPMC_MODIFY, m.OFPMC_DELETE))
        meter_id = rng.choice((1, 1, 2, 3))
        if command == m.OFPMC_DELETE:
            return m.MeterMod(command, m.MeterConfig(rng.choice((meter_id, m.OFPM_ALL))))
        flags = rng.choice(
            (m.OFPMF_KBPS, m.OFPMF_PKTPS, m.OFPMF_KBPS | m.OFPMF_BURST, m.OFPMF_PKTPS | m.OFPMF_STATS)
        )
        band = m.MeterBand(m.OFPMBT_DROP, rng.choice((1_000_000, 2_000_000)), rng.choice((0, 500_000)))
        return m.MeterMod(command, m.MeterConfig(meter_id, flags, (band,) * rng.choice((1, 1, 1, 2))))

    def packet(self) -> Any:
        rng = self.random
        metadata: Match = parse_match(f"in_port={rng.choice((1, 2, 3, 4))}")
        actions = parse_actions(rng.choice(("TABLE", "TABLE", "TABLE", "output:2", "TABLE,output:3")))
        return PacketOut(bytes.fromhex(rng.choice(PACKETS)), actions, metadata)
