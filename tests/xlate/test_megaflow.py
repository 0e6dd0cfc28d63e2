"""The promise of a megaflow: a packet that agrees with it on every bit gets the same actions."""

from __future__ import annotations

import random

import pytest

from tests.oracle.action_generator import random_action_setup
from tests.oracle.generator import random_setup
from tests.oracle.setup import Setup
from tests.xlate.lab import Bridge
from vswitch.dpif.actions import Drop
from vswitch.flow.flow import Flow
from vswitch.flow.layout import N_WORDS, VLAN_CFI, W_MPLS_LSE, W_SKB_PRIORITY
from vswitch.flow.match_text import parse_exact_flow
from vswitch.ofproto_dpif.xlate.translate import xlate
from vswitch.ofproto_dpif.xlate.types import XlateIn


def other_packet(flow: Flow, wc: Flow, rng: random.Random) -> Flow:
    """`flow` with other bits wherever the megaflow allows."""
    other = flow.copy()
    for w in range(W_SKB_PRIORITY, N_WORDS):
        noise = rng.getrandbits(64) & rng.getrandbits(64)
        signed = noise - (1 << 64) if noise >> 63 else noise
        other.words[w] = flow.words[w] ^ (signed & ~wc.words[w])
    # A tag has its CFI bit and a TPID, or is not there at all.
    other.vlan_tpid = flow.vlan_tpid or 0x8100
    other.vlan_tpid1 = flow.vlan_tpid1 or 0x8100
    if not other.vlan_tci & VLAN_CFI:
        other.vlan_tci = other.vlan_tpid = other.vlan_tci1 = 0
    if not other.vlan_tci1 & VLAN_CFI:
        other.vlan_tci1 = other.vlan_tpid1 = 0
    # Fragments have two bits, types and codes of ICMP eight.
    other.nw_frag &= 3
    if other.nw_proto in (1, 58):
        other.tp_src &= 0xFF
        other.tp_dst &= 0xFF
    if not flow.words[W_MPLS_LSE] >> 32 & 0x100:  # how many labels there are is known of whole stacks only
        other.words[W_MPLS_LSE] = flow.words[W_MPLS_LSE]
        other.words[W_MPLS_LSE + 1] = flow.words[W_MPLS_LSE + 1]
    return other


SETUPS = [random_setup(seed) for seed in range(1000, 1012)]
SETUPS += [random_action_setup(seed) for seed in range(1000, 1012)]


def trusts_the_megaflow(text: str, kind: str) -> bool:
    """Whether the flow `text` looks at all that it depends on. As in Open vSwitch, a hash of IP
    addresses that finds none takes Ethernet's and does not say so."""
    return kind.startswith(IP) or "symmetric_l3" not in text


IP = ("ip", "tcp", "udp", "sctp", "icmp")


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.name)
def test_packets_that_agree_on_the_megaflow_get_the_same_actions(setup: Setup) -> None:
    bridge = setup.bridges[0]
    br0 = Bridge("br0", tuple(range(1, len(bridge.ports) + 1)))
    br0.add_flows(*(text.replace(" actions", ",actions") for text in bridge.flows))
    rng = random.Random(setup.name)
    for query in setup.queries:
        flow = parse_exact_flow(query.flow)
        first = xlate(XlateIn(br0.x, flow))
        if first.error:
            continue
        for _ in range(5):
            other = other_packet(flow, first.wc, rng)
            if any(not trusts_the_megaflow(text, query.flow.split(",")[1]) for text in bridge.flows):
                continue
            again = xlate(XlateIn(br0.x, other))
            assert again.actions == first.actions, f"{query.flow}\n{br0.trace(query.flow)}"
            if not isinstance(first.actions[0], Drop):
                assert again.wc == first.wc
            assert again.slow == first.slow


def test_translation_changes_nothing_and_repeats_itself() -> None:
    setup = random_setup(7)
    br0 = Bridge("br0", (1, 2, 3, 4, 5, 6))
    br0.add_flows(*(text.replace(" actions", ",actions") for text in setup.bridges[0].flows))
    ids = br0.x.dp.recirc_ids
    for query in setup.queries:
        flow = parse_exact_flow(query.flow)
        before = flow.copy()
        one = xlate(XlateIn(br0.x, flow))
        two = xlate(XlateIn(br0.x, flow))
        assert (one.actions, one.wc, one.slow, one.tags) == (two.actions, two.wc, two.slow, two.tags)
        assert flow == before
        for recirc_id in (*one.recircs, *two.recircs):
            ids.unref(recirc_id, now=0)
    ids.run(now=1000)
    assert len(ids) == 0
    assert len(br0.x.mac_learning) == 0
    assert all(rule.n_packets == 0 for rule in br0.x.tables.rules())
    assert all(br0.x.tables[i].n_lookup == 0 for i in range(len(br0.x.tables)))
    assert br0.x.revalidate_set.is_empty()
