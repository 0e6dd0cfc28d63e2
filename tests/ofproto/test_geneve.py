"""Geneve options of a datapath's flow as fields of the bridge, and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vswitch.dpif.odp_key import decode_key, decode_mask, encode_key, encode_mask
from vswitch.dpif.odp_parse import parse_key
from vswitch.dpif.odp_text import format_flow
from vswitch.flow.flow import Flow
from vswitch.flow.match_text import parse_match
from vswitch.ofproto.geneve import mask_to_datapath, options_from_datapath, options_to_datapath
from vswitch.ofproto.tlv import TlvTable
from vswitch.openflow.messages.nicira import NXTTMC_ADD, TlvMap, TlvTableMod

TUNNEL = "tunnel(tun_id=0x1,src=1.1.1.1,dst=2.2.2.2,ttl=64,%sflags(key))"
REST = "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x1234)"


def table() -> TlvTable:
    """tun_metadata0, 1 and 2 have 4, 124 and 8 bytes, in another order than they are numbered."""
    made = TlvTable()
    for n, size in ((2, 8), (0, 4), (1, 124)):
        made.mod(TlvTableMod(NXTTMC_ADD, (TlvMap(0x100, n, size, n),)))
    return made


def key(options: str) -> Flow:
    """The datapath's flow of a packet with Geneve `options`."""
    flow, _ = parse_key(f"recirc_id(0),{TUNNEL % (f'geneve({options}),' if options else '')},{REST}", {})
    return flow


def masked(options: str, match: str) -> str:
    """The datapath flow for a packet with `options` if what `match` says is what decided."""
    made = table()
    wanted = parse_match(match)
    made.bind_match(wanted)
    flow = key(options)
    placed = flow.copy()
    assert options_from_datapath(made, placed)
    assert wanted.matches(placed)
    return format_flow(flow, mask_to_datapath(made, flow, wanted.mask)).partition(",in_port")[0]


def test_a_datapath_flow_matches_the_options_that_decided_and_their_order() -> None:
    options = "{class=0x7,type=0x3,len=8,0x1234567812345678}{class=0x100,type=0,len=4,0xab}"
    assert masked(options, "tun_metadata0=0xa0/0xf0,tun_dst=2.2.2.2") == (
        "tunnel(dst=2.2.2.2,geneve({class=0x7,type=0x3,len=8,0x1234567812345678/0x0}"
        "{class=0x100,type=0,len=4,0xab/0xf0}),flags(0/0)),eth()"
    )
    other = parse_match("tun_dst=2.2.2.2").mask
    assert mask_to_datapath(table(), key(options), other) is other


def test_the_same_options_in_another_order_are_another_datapath_flow() -> None:
    made = table()
    wc = parse_match("tun_metadata0=5,tun_metadata2=6")
    made.bind_match(wc)
    one = key("{class=0x100,type=0,len=4,0x5}{class=0x100,type=2,len=8,0x6}")
    other = key("{class=0x100,type=2,len=8,0x6}{class=0x100,type=0,len=4,0x5}")
    mask = mask_to_datapath(made, one, wc.mask)
    assert one.equal_in(one, mask)
    assert not one.equal_in(other, mask)
    for flow in (one, other):
        assert options_from_datapath(made, flow)
        assert wc.matches(flow)
    assert one == other


def test_a_packet_without_options_is_told_from_one_with_them() -> None:
    made = table()
    wc = Flow()
    wc.set_option(0)
    none = key("")
    mask = mask_to_datapath(made, none, wc)
    assert none.equal_in(key(""), mask)
    assert not none.equal_in(key("{class=0x100,type=0,len=4,0}"), mask)


def test_options_that_a_bridge_cannot_take_have_the_packet_dropped() -> None:
    for options, taken in (
        ("{class=0x100,type=0,len=4,0x5}", True),
        ("{class=0x100,type=0,len=8,0x5}", False),
        ("{class=0x200,type=0x70,len=8,0x5}", True),
        ("{class=0x200,type=0x80,len=8,0x5}", False),
    ):
        assert options_from_datapath(table(), key(options)) is taken


@given(st.sets(st.integers(0, 2)), st.binary(min_size=124, max_size=124))
def test_what_a_packet_has_in_fields_comes_back_from_its_options(which: set[int], data: bytes) -> None:
    made = table()
    flow = key("")
    for n in which:
        field = made.fields[n]
        flow.set(field, int.from_bytes(data, "big") & field.ones)
        flow.set_option(n)
    below = flow.copy()
    options_to_datapath(made, below)
    again = Flow()
    decode_key(encode_key(below), again)
    assert again.words[:33] == below.words[:33]
    assert options_from_datapath(made, again)
    assert again.words[:33] == flow.words[:33]
    mask = Flow()
    mask.words[32] = -1
    mask.words[0] = 0xFF
    read = Flow()
    decode_mask(encode_mask(mask, below), read, below)
    # That a packet has no options is looked at as well.
    assert read.words[32] == -1
    assert read.words[0] == (0xFF if which else 0)
