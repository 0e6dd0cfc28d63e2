"""Tags: which facets a change to one rule can affect."""

from __future__ import annotations

from vswitch.base.tags import intersects
from vswitch.flow.flow import Flow
from vswitch.ofproto_dpif.xlate.table_dpif import TableDpif


def nw_dst(value: int) -> Flow:
    flow = Flow()
    flow.nw_dst = value
    return flow


EXACTLY = nw_dst(0xFFFFFFFF)


def test_one_mask_beside_the_catchall_gives_each_value_its_tag() -> None:
    table = TableDpif(basis=1)
    assert table.add(nw_dst(0xFFFFFFFF))
    assert not table.add(nw_dst(0xFFFFFFFF))
    assert table.add(Flow())
    assert table.catchall_table is not None
    assert table.other_table is not None
    tags = {table.tag(nw_dst(0x0A000000 + i), EXACTLY) for i in range(50)}
    assert len(tags) > 40
    tag = table.tag(nw_dst(0x0A000001), EXACTLY)
    assert intersects(tag, table.tag(nw_dst(0x0A000001), EXACTLY))


def test_what_the_mask_lacks_does_not_change_the_tag() -> None:
    table = TableDpif(basis=1)
    table.add(nw_dst(0xFFFFFFFF))
    flow = nw_dst(0x0A000001)
    flow.nw_src = 0x0A000002
    assert table.tag(flow, EXACTLY) == table.tag(nw_dst(0x0A000001), EXACTLY)


def test_a_second_mask_makes_tags_useless_until_it_goes() -> None:
    table = TableDpif(basis=1)
    table.add(nw_dst(0xFFFFFFFF))
    assert table.add(nw_dst(0xFFFFFF00))
    assert table.other_table is None
    assert table.tag(nw_dst(1), EXACTLY) == 0
    assert table.remove(nw_dst(0xFFFFFF00))
    assert table.tag(nw_dst(1), EXACTLY) != 0


def test_tables_with_the_same_mask_have_different_tags() -> None:
    a, b = TableDpif(1), TableDpif(2)
    a.add(nw_dst(0xFFFFFFFF))
    b.add(nw_dst(0xFFFFFFFF))
    assert a.tag(nw_dst(1), EXACTLY) != b.tag(nw_dst(1), EXACTLY)


def test_a_lookup_that_saw_less_than_the_mask_has_the_tables_own_tag() -> None:
    table = TableDpif(basis=1)
    table.add(nw_dst(0xFFFFFFFF))
    assert table.tag(nw_dst(0x0A000001), nw_dst(0xFF000000)) == table.partial_tag
    assert table.tag(nw_dst(0x0A000001), EXACTLY) != table.partial_tag
