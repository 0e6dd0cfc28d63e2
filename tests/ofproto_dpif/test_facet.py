"""Facets: cached translations, and statistics that are counted once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.xlate.lab import Bridge
from vswitch.dpif.ops import FlowStats
from vswitch.flow.flow import Flow, signed64
from vswitch.flow.layout import N_WORDS
from vswitch.ofproto_dpif.facets.facet import Facet, FacetTable, Subfacet, pack_flow, unpack_flow


def flow(in_port: int, nw_dst: int = 0) -> Flow:
    made = Flow()
    made.in_port = in_port
    made.nw_dst = nw_dst
    return made


BRIDGE = Bridge().x
MASK_PORT = flow(0xFFFF)
MASK_PORT_DST = flow(0xFFFF, 0xFFFFFFFF)


def facet(table: FacetTable, mask: Flow, of: Flow, now: int = 0) -> Facet:
    group = table.group(mask)
    made = Facet(BRIDGE, group, group.key_of(of), pack_flow(of), now)
    table.insert(made)
    return made


@given(st.dictionaries(st.integers(0, N_WORDS - 1), st.integers(0, 2**64 - 1), max_size=20))
def test_unpack_gives_back_what_pack_took(words: dict[int, int]) -> None:
    made = Flow()
    for index, value in words.items():
        made.words[index] = signed64(value)
    assert unpack_flow(pack_flow(made)) == made
    assert len(pack_flow(made)) == 9 * sum(1 for value in words.values() if value)


def test_a_facet_covers_every_flow_that_agrees_in_its_mask() -> None:
    table = FacetTable()
    coarse = facet(table, MASK_PORT, flow(1, 0x0A000001))
    fine = facet(table, MASK_PORT_DST, flow(2, 0x0A000001))
    assert table.lookup(flow(1, 0x0A000099)) is coarse
    assert table.lookup(flow(2, 0x0A000001)) is fine
    assert table.lookup(flow(2, 0x0A000002)) is None
    assert len(table) == 2
    assert set(table) == {coarse, fine}


def test_masks_that_are_equal_share_a_group_which_goes_with_its_last_facet() -> None:
    table = FacetTable()
    first = facet(table, MASK_PORT, flow(1))
    second = facet(table, MASK_PORT.copy(), flow(2))
    assert first.group is second.group
    table.remove(first)
    table.remove(first)
    assert len(table) == 1
    table.remove(second)
    assert len(table) == 0
    assert not table.groups
    assert table.group(MASK_PORT) is not first.group


def test_a_facet_gives_back_the_flow_that_it_was_made_from_and_its_datapath_key() -> None:
    made = facet(FacetTable(), MASK_PORT, flow(1, 0x0A000001))
    assert made.flow() == flow(1, 0x0A000001)
    assert Subfacet(made, 17, b"u" * 16, 0).key() == flow(17, 0x0A000001)


def test_only_what_the_datapath_counted_since_the_last_time_is_passed_on() -> None:
    made = facet(FacetTable(), MASK_PORT, flow(1))
    subfacet = Subfacet(made, 1, b"u" * 16, 0)
    subfacet.update_stats(FlowStats(10, 1000, 500, 0x02), 1000)
    subfacet.update_stats(FlowStats(10, 1000, 500, 0x02), 2000)
    subfacet.update_stats(FlowStats(25, 2500, 2500, 0x10), 3000)
    assert (made.n_packets, made.n_bytes, made.used, made.tcp_flags) == (25, 2500, 2500, 0x12)
    assert subfacet.used == 2500


def test_a_counter_that_went_down_starts_a_new_count() -> None:
    made = facet(FacetTable(), MASK_PORT, flow(1))
    subfacet = Subfacet(made, 1, b"u" * 16, 0)
    subfacet.update_stats(FlowStats(10, 1000, 500), 1000)
    subfacet.update_stats(FlowStats(3, 300, 1500), 2000)
    assert (made.n_packets, made.n_bytes) == (13, 1300)


def test_two_datapath_flows_of_one_facet_add_up() -> None:
    made = facet(FacetTable(), MASK_PORT, flow(1))
    Subfacet(made, 1, b"a" * 16, 0).update_stats(FlowStats(1, 100, 10), 10)
    Subfacet(made, 7, b"b" * 16, 0).update_stats(FlowStats(2, 200, 20), 20)
    assert (made.n_packets, made.n_bytes, made.used) == (3, 300, 20)
