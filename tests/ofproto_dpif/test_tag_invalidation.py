"""After a change to one rule, every facet that is spared must still be right.

Random switches: tables with one mask each (so that they have tags) or with up to three (where what the rules
ask for decides), resubmits as from other ports, header and register changes before the second lookup, a patch
port to a second bridge.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest

from tests.ofproto_dpif.lab import Lab
from tests.whole import sample
from vswitch.flow.compose import flow_compose
from vswitch.flow.extract import Parser, extract
from vswitch.flow.flow import Flow
from vswitch.flow.match_text import parse_match
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.ofproto_dpif.xlate.translate import xlate
from vswitch.ofproto_dpif.xlate.types import XlateIn
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand

MakeLab = Callable[..., Lab]

DOMAINS = {
    "in_port": ["1", "2", "3"],
    "dl_src": [f"02:00:00:00:01:0{n}" for n in range(4)],
    "dl_vlan": ["1", "2", "3"],
    "dl_vlan_pcp": ["0", "1", "5"],
    "vlan_tci": ["0", "0x1001", "0x1002", "0x0001/0x0001", "0x0002/0x0001"],
    "reg0": ["0", "1", "2"],
    "nw_src": ["10.0.0.1", "10.0.0.2", "10.1.0.1", "11.0.0.0"],
    "nw_dst": ["10.0.0.1", "10.0.0.2", "10.1.0.1", "11.0.0.0"],
    "tp_dst": ["1", "2", "80", "81"],
    "nw_tos": ["0", "4", "8"],
}
"""The values that rules and packets have; masks come from the text where it has one."""

MASKS: list[tuple[str, ...]] = [
    ("in_port",), ("dl_src",), ("in_port", "dl_src"), ("in_port", "dl_vlan"), ("dl_vlan",),
    ("dl_vlan", "dl_vlan_pcp"), ("reg0",), ("reg0", "in_port"), ("ip", "nw_dst"), ("ip", "nw_src", "nw_dst"),
    ("udp", "tp_dst"), ("dl_src", "udp", "tp_dst"), ("in_port", "udp", "nw_dst", "tp_dst"),
    ("reg0", "ip", "nw_tos"), ("ip", "nw_tos"),
]  # fmt: skip

CHANGES = [
    "load:1->NXM_NX_REG0[]", "load:2->NXM_NX_REG0[]", "move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]",
    "mod_vlan_vid:1", "mod_vlan_vid:2", "mod_vlan_pcp:5", "strip_vlan", "push_vlan:0x8100",
    "mod_dl_src:02:00:00:00:01:01", "mod_nw_dst:10.0.0.2", "mod_nw_tos:4",
    "move:NXM_OF_ETH_SRC[0..1]->NXM_NX_REG0[0..1]", "dec_ttl",
]  # fmt: skip
NEEDS_IP = ("mod_nw_dst", "mod_nw_tos", "dec_ttl")
N_TABLES = 4


class Program:
    """A random switch and its random changes, the same for the same seed."""

    def __init__(self, made: Lab, seed: int, most_masks: int) -> None:
        self.made = made
        self.r = random.Random(seed)
        self.other = made.add_bridge("br1")
        made.add_port(self.other, "q1", 1)
        made.add_port(made.bridge, "patch0", 9, "patch", peer="patch1")
        made.add_port(self.other, "patch1", 9, "patch", peer="patch0")
        self.masks = [self.r.choices(MASKS, k=self.r.randint(1, most_masks)) for _ in range(2 * N_TABLES)]
        self.bridges = [made.bridge, self.other]
        for where in range(2 * N_TABLES):
            if self.r.random() < 0.7:
                self.add(where, 0, "")
            for _ in range(self.r.randrange(1, 5)):
                self.add(where, self.r.choice([1, 1, 5]), self.match(where))
        made.run()

    def match(self, where: int) -> str:
        names = self.r.choice(self.masks[where])
        return ",".join(f"{n}={self.r.choice(DOMAINS[n])}" if n in DOMAINS else n for n in names)

    def add(self, where: int, priority: int, match: str) -> None:
        bridge, table = divmod(where, N_TABLES)
        actions = self.actions(bridge, table, "ip" in match.split(",") or "udp" in match.split(","))
        text = f"table={table},priority={priority},{match + ',' if match else ''}actions={actions}"
        # What the actions change may not be there for this match: no such rule then.
        with contextlib.suppress(FlowSyntaxError):
            self.made.flow(text, self.bridges[bridge])

    def actions(self, bridge: int, table: int, ip: bool) -> str:
        r = self.r
        out = [c for c in r.choices(CHANGES, k=r.randrange(3)) if ip or not c.startswith(NEEDS_IP)]
        if table < N_TABLES - 1:
            out += [f"resubmit({r.choice(['', '1', '2', '3'])},{r.randrange(table + 1, N_TABLES)})"
                    for _ in range(r.randrange(3))]
        if bridge == 0 and r.random() < 0.3:
            out.append("output:9")
        out += r.choice([["output:1"], ["output:2"], ["output:3"], []])
        return ",".join(out) or "drop"

    def packet(self) -> tuple[str, bytes]:
        r = self.r
        d = DOMAINS
        kind = r.choice(["udp", "udp", "udp", "arp"])
        text = f"{kind},dl_src={r.choice(d['dl_src'])}"
        if r.random() < 0.4:
            text += f",dl_vlan={r.choice(d['dl_vlan'])},dl_vlan_pcp={r.choice(d['dl_vlan_pcp'])}"
        if kind == "udp":
            text += (f",nw_src={r.choice(d['nw_src'])},nw_dst={r.choice(d['nw_dst'])},"
                     f"nw_tos={r.choice(d['nw_tos'])},nw_ttl=64,tp_src=7,tp_dst={r.choice(d['tp_dst'])}")
        return f"p{r.randrange(1, 4)}", flow_compose(parse_match(text).flow, b"x" * 20)

    def flow(self) -> Flow:
        """The flow of such a packet."""
        port, packet = self.packet()
        flow = Flow()
        extract(packet, flow, Parser())
        flow.in_port = int(port[1:])
        return flow

    def change(self) -> str:
        """One change to one rule."""
        where = self.r.randrange(2 * N_TABLES)
        bridge, table = divmod(where, N_TABLES)
        rules = list(self.bridges[bridge].tables[table])
        if rules and self.r.random() < 0.3:
            rule = self.r.choice(rules)
            self.bridges[bridge].flow_mod(FlowMod(
                rule.match.copy(), priority=rule.priority, table_id=table,
                command=FlowModCommand.DELETE_STRICT))
            return f"br{bridge} delete {rule}"
        before = {str(rule) for rule in rules}
        self.add(where, self.r.choice([1, 1, 5]), self.match(where))
        after = {str(rule) for rule in self.bridges[bridge].tables[table]}
        return f"br{bridge} add {table} {after - before}"


@pytest.mark.parametrize("most_masks", [1, 3])
@pytest.mark.parametrize("first", sample(range(0, 600, 10), 5))
def test_what_is_spared_translates_as_before(lab: MakeLab, first: int, most_masks: int) -> None:
    spared = 0
    for seed in range(first, first + 10):
        made = lab(3)
        program = Program(made, seed, most_masks)
        changes: list[str] = []
        for _ in range(12):
            for _ in range(6):
                made.send(*program.packet())
            made.run()
            changes.append(program.change())
            wrong, n = stale(made, program)
            assert wrong == [], f"seed {seed}: {changes[-1]}"
            spared += n
            made.clock.warp(1)
            made.run()
        made.close()
    assert spared > 100


def stale(made: Lab, program: Program) -> tuple[list[str], int]:
    """Of the facets that the coming revalidation will not look at, those that it should look at; and how many
    it spares. Their packets are what counts: a spared facet may match on other bits than a new one would."""
    backer = made.backer
    if backer.need_revalidate:
        return [], 0
    now = made.clock.now()
    spared = [
        facet for facet in made.facets()
        if not backer.revalidate_set.intersects(facet.tags) and not backer.changed_rules.concern(facet)
    ]  # fmt: skip
    wrong: list[str] = []
    others = [program.flow() for _ in range(60)] if spared else []
    for facet in spared:
        covered = [
            flow for flow in others
            if facet.bridge is made.bridge.xbridge and facet.group.key_of(flow) == facet.key
        ]  # fmt: skip
        for flow in (facet.flow(), *covered):
            out = xlate(XlateIn(facet.bridge, flow, now=now, side_effects=False))
            if out.actions != facet.actions or out.slow != facet.slow:
                wrong.append(f"{flow}: {facet.actions} should be {out.actions}")
            backer.installer.drop_out(out, now)
    return wrong, len(spared)
