"""`TlvTable`: places for tunnel options, and what is bound to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.layout import N_TUN_METADATA_WORDS
from vswitch.flow.match_text import parse_match
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tlv import TlvTable, names_option, options_in_use, options_of
from vswitch.openflow.action_text import format_actions, parse_actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages.nicira import NXTTMC_ADD, NXTTMC_CLEAR, NXTTMC_DELETE, TlvMap, TlvTableMod


def table(*lengths: int) -> TlvTable:
    """A table that maps tun_metadata0, 1... to options of these lengths."""
    made = TlvTable()
    made.mod(TlvTableMod(NXTTMC_ADD, tuple(TlvMap(0x100, n, size, n) for n, size in enumerate(lengths))))
    return made


def refusal(made: TlvTable, mod: TlvTableMod, *in_use: int) -> str:
    """The error's name; the table is as before."""
    before = made.reply()
    with pytest.raises(OfpError) as refused:
        made.mod(mod, in_use)
    assert made.reply() == before
    return refused.value.name


@given(st.lists(st.sampled_from([4, 8, 12, 20, 64, 124]), max_size=20), st.data())
def test_every_option_has_room_of_its_own_as_long_as_there_is_any(
    lengths: list[int], data: st.DataObject
) -> None:
    made = TlvTable()
    mapped: dict[int, int] = {}
    for n, size in enumerate(lengths):
        add = TlvTableMod(NXTTMC_ADD, (TlvMap(0x100, n, size, n),))
        if sum(mapped.values()) + size > 256:
            assert refusal(made, add) == "NXTTMFC_TABLE_FULL"
            gone = data.draw(st.sampled_from(sorted(mapped)))
            made.mod(TlvTableMod(NXTTMC_DELETE, (TlvMap(0x100, gone, mapped.pop(gone), gone),)))
        else:
            made.mod(add)
            mapped[n] = size
    cells = [cell for field in made.options for cell in field.cells]
    assert len(cells) == len(set(cells)) == sum(mapped.values()) // 4
    assert all(0 <= cell < 2 * N_TUN_METADATA_WORDS for cell in cells)
    flow = Flow()
    for n, field in made.fields.items():
        flow.set(field, field.ones // (n + 1))
    assert [flow.get(field) for field in made.options] == [f.ones // (n + 1) for n, f in made.fields.items()]


def test_an_option_longer_than_each_gap_is_spread_over_several() -> None:
    made = table(*[4] * 64)
    made.mod(TlvTableMod(NXTTMC_DELETE, tuple(TlvMap(0x100, n, 4, n) for n in range(0, 62, 2))))
    made.mod(TlvTableMod(NXTTMC_ADD, (TlvMap(0x200, 0, 124, 0),)))
    assert made.fields[0].cells == tuple(range(0, 62, 2))
    flow = Flow()
    flow.set(made.fields[0], made.fields[0].ones)
    assert [flow.get(made.fields[n]) for n in (1, 3, 61, 63)] == [0] * 4


def test_what_flows_use_cannot_be_deleted() -> None:
    made = table(4, 8, 12)
    match = parse_match("tun_metadata1=5/0xff")
    made.bind_match(match)
    actions = made.bind_actions(parse_actions("clone(move:tun_metadata2[0..31]->reg0[])"))
    rule = Rule(match, 1, 0, actions, now=0)
    used = options_in_use([rule])
    assert used == {1, 2}
    assert refusal(made, TlvTableMod(NXTTMC_CLEAR), *used) == "NXTTMFC_INVALID_TLV_DEL"
    both = (TlvMap(0x100, 0, 4, 0), TlvMap(0x100, 1, 8, 1))
    assert refusal(made, TlvTableMod(NXTTMC_DELETE, both), *used) == "NXTTMFC_INVALID_TLV_DEL"
    made.mod(TlvTableMod(NXTTMC_DELETE, both[:1]), used)
    assert sorted(made.fields) == [1, 2]


@pytest.mark.parametrize(("text", "bound"), [
    ("tun_metadata0=0x5", "tun_metadata0=0x5"),
    ("tun_metadata0=0x5/0xff", "tun_metadata0=0x5/0xff"),
    ("tun_metadata0=0x5/0xffffffff", "tun_metadata0=0x5"),
    ("tun_metadata0=0x1122334455", "tun_metadata0=0x11223344"),
    ("tun_metadata1=0/0", "tun_metadata1"),
    ("tun_metadata1,tun_metadata0=0x1122334455/0xff0000ffff",
     "tun_metadata0=0x11000044/0xff0000ff,tun_metadata1"),
])  # fmt: skip
def test_a_match_is_about_the_options_that_are_mapped(text: str, bound: str) -> None:
    made = table(4, 8)
    match = parse_match(text)
    made.bind_match(match)
    assert str(match) == bound
    flow = match.flow.copy()
    assert match.matches(flow)
    for field in made.options:
        if match.options and int(field.option) in match.options:
            flow.set_option(field.option, False)
            assert not match.matches(flow)
            flow.set_option(field.option)


def test_options_that_nobody_mapped_are_refused() -> None:
    made = table(4)
    for text in ("tun_metadata7=1", "tun_metadata7"):
        with pytest.raises(OfpError, match="NXFMFC_INVALID_TLV_FIELD"):
            made.bind_match(parse_match(text))
    for text in ("set_field:1->tun_metadata7", "push:tun_metadata7[0..3]", "delete_field:tun_metadata7"):
        with pytest.raises(OfpError, match="NXFMFC_INVALID_TLV_FIELD"):
            made.bind_actions(parse_actions(text))
    with pytest.raises(OfpError, match="OFPBAC_BAD_SET_LEN"):
        made.bind_actions(parse_actions("pop:tun_metadata0[16..47]"))


def test_actions_say_all_of_an_option_once_its_length_is_known() -> None:
    made = table(4, 8)
    actions = made.bind_actions(parse_actions(
        "move:tun_metadata0[0..31]->reg0[],set_field:0x5/0xffffffff->tun_metadata1,output:2"
    ))  # fmt: skip
    assert format_actions(actions) == (
        "move:NXM_NX_TUN_METADATA0[]->NXM_NX_REG0[],set_field:0x5/0xffffffff->tun_metadata1,output:2"
    )
    assert made.bind_actions(actions) == actions


@pytest.mark.parametrize("text", [
    "output:tun_metadata0[0..15]",
    "bundle_load(eth_src,0,hrw,ofport,tun_metadata0[0..15],members:1,2)",
    "set_field:0x5->tun_metadata0",
    "move:tun_metadata0[0..3]->reg0[0..3]",
    "move:reg0[0..3]->tun_metadata0[0..3]",
    "push:tun_metadata0[3]",
    "pop:tun_metadata0[3]",
    "delete_field:tun_metadata0",
    "check_pkt_larger(100)->tun_metadata0[0]",
    "multipath(eth_src,50,modulo_n,1,0,tun_metadata0[0..7])",
    "clone(set_field:0x5->tun_metadata0)",
    "learn(table=1,tun_metadata0[0..31]=reg0[])",
    "learn(table=1,load:tun_metadata0[0..31]->reg0[])",
    "learn(table=1,output:tun_metadata0[0..15])",
    "learn(table=1,result_dst=tun_metadata0[0],in_port=1)",
    "ct(zone=tun_metadata0[0..15])",
    "ct(commit,exec(move:tun_metadata0[0..31]->ct_mark))",
    "write_actions(set_field:0x5->tun_metadata0)",
])  # fmt: skip
def test_wherever_an_action_names_an_option_it_is_bound(text: str) -> None:
    actions = parse_actions(text)
    assert names_option(actions)
    with pytest.raises(OfpError, match="NXFMFC_INVALID_TLV_FIELD"):
        table().bind_actions(actions)
    bound = table(4).bind_actions(actions)
    assert bound != actions
    assert set(options_of(bound)) == {0}
    other = text.replace("tun_metadata0", "pkt_mark").replace("delete_field:", "push:")
    assert not names_option(parse_actions(other))


def test_matches_on_options_are_equal_only_if_they_say_the_same() -> None:
    one, other = parse_match("tun_metadata0=5"), parse_match("tun_metadata0=6")
    assert one != other
    assert one == parse_match("tun_metadata0=5")
    field = by_name("tun_metadata0")
    one.wildcard(field)
    other.wildcard(field)
    assert one == other == parse_match("")
