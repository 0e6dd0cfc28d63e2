"""Datapath flows as text, against what the real `ovs-appctl dpctl/dump-flows` printed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.dpif.actions import (
    Action,
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    Meter,
    Nat,
    Output,
    PopEth,
    PopMpls,
    PopNsh,
    PopVlan,
    Psample,
    PushEth,
    PushMpls,
    PushNsh,
    PushVlan,
    Recirc,
    Sample,
    Set,
    SetMasked,
    Trunc,
    Userspace,
)
from vswitch.dpif.actions_nl import decode_actions, encode_actions
from vswitch.dpif.cookie import (
    ControllerCookie,
    FlowSampleCookie,
    IpfixCookie,
    SflowCookie,
    SlowPathCookie,
    decode,
)
from vswitch.dpif.odp_text import (
    OdpSyntaxError,
    format_actions,
    format_dpif_flow,
    format_flow,
    format_key,
    format_ufid,
    parse_actions,
    parse_key,
    parse_ufid,
)
from vswitch.dpif.ops import DpifFlow, FlowStats
from vswitch.flow import key_attr as key
from vswitch.flow.match_text import parse_exact_flow
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.netlink.attrs import NlAttrError

HERE = Path(__file__).parent
GOLDEN = [
    line.split("\t")
    for line in (HERE / "golden_dpctl.txt").read_text().splitlines()
    if not line.startswith("#")
]
PORTS = {1: "p1", 2: "p2", 100: "br0"}
NUMBERS = {name: number for number, name in PORTS.items()}


@pytest.mark.parametrize(("text", "actions", "plain", "verbose"), GOLDEN)
def test_a_flow_dumps_as_the_real_dpctl_dumped_it(text: str, actions: str, plain: str, verbose: str) -> None:
    flow, mask = parse_key(text)
    dumped = DpifFlow(flow, mask, parse_actions(actions), FlowStats(), bytes(range(16)))
    assert format_dpif_flow(dumped, 0) == plain
    whole = format_dpif_flow(dumped, 0, verbose=True, port_names=PORTS)
    assert whole == f"{format_ufid(dumped.ufid)}, {verbose}"


@pytest.mark.parametrize("plain", sorted({plain for _, _, plain, _ in GOLDEN}))
def test_what_is_dumped_reads_back(plain: str) -> None:
    text, _, rest = plain.partition(", packets:0, bytes:0, used:never, actions:")
    flow, mask = parse_key(text)
    assert format_flow(flow, mask) == text
    assert format_actions(parse_actions(rest)) == rest


@pytest.mark.parametrize("verbose", sorted({verbose for _, _, _, verbose in GOLDEN}))
def test_a_whole_dump_reads_back(verbose: str) -> None:
    text, _, rest = verbose.partition(", packets:0, bytes:0, used:never, dp:ovs, actions:")
    flow, mask = parse_key(text, NUMBERS)
    assert format_key(flow, mask, verbose=True, port_names=PORTS) == text
    assert format_actions(parse_actions(rest, NUMBERS), PORTS) == rest


KEYS = [line for line in (HERE / "golden_keys.txt").read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("text", KEYS)
def test_keys_of_real_packets_read_and_print(text: str) -> None:
    flow, mask = parse_key(text, NUMBERS)
    verbose = text.startswith("skb_priority(0/0)")
    assert format_key(flow, mask, verbose=verbose, port_names=PORTS if verbose else None) == text


# What `ofproto/trace` of Open vSwitch 3.1.0 printed as "Datapath actions:".
TRACED = [
    "pop_mpls(eth_type=0x800),2",
    "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),2",
    "set(mpls(label=7,tc=0,ttl=63,bos=1)),2",
    "userspace(pid=0,controller(reason=1,dont_send=1,continuation=0,recirc_id=1,rule_cookie=0,controller_id=0,"
    "max_len=100)),2",
    "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x5,si=255,c1=0x0,c2=0x6,c3=0x0,c4=0x0),"
    "push_eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:00),2",
    "push_nsh(flags=0,ttl=63,mdtype=2,np=3,spi=0x0,si=255,md2=0x10000a0412345678),"
    "push_eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:00),2",
    "pop_eth,pop_nsh(),recirc(0x2)",
    "set(nsh(ttl=63,spi=0x5,c1=0x7)),2",
    "ct(commit,zone=3,mark=0x5/0xffffffff,label=0x1/0x3,nat(src=1.1.1.1-1.1.1.5:3-5,random)),recirc(0x3)",
    "trunc(100),2",
    "set(ipv6(src=::5,label=0x5,hlimit=4)),2",
    "set(arp(sip=1.1.1.1,op=2,sha=00:00:00:00:00:09)),2",
    "set(nd_ext(nd_reserved=0x5,nd_options_type=2)),set(nd(tll=00:00:00:00:00:09)),2",
    "set(skb_priority(0x5)),2",
    "push_vlan(vid=5,pcp=0),set(skb_mark(0x5)),2",
    "push_vlan(tpid=0x88a8,vid=5,pcp=0),2",
    "set(ipv4(src=1.1.1.1)),2",
    "ct_clear,ct,recirc(0x4)",
    "hash(l4(0)),recirc(0x5)",
    "drop",
]


@pytest.mark.parametrize("text", TRACED)
def test_traced_actions_read_and_print(text: str) -> None:
    actions = parse_actions(text)
    assert format_actions(actions) == text
    assert decode_actions(encode_actions(actions)) == actions


ACTIONS: list[Action] = [
    Output(0xFFFFFFFE),
    Userspace(7),
    Userspace(7, b"\x01\x02", 5, True),
    Set(key.ETHERNET, bytes(range(12))),
    Set(key.TUNNEL, bytes.fromhex("0c000000000000000000000508000200010203040500040040000000")),
    SetMasked(key.IPV4, bytes(12), b"\xff" * 4 + bytes(8)),
    SetMasked(key.CT_LABELS, bytes(16), b"\x01" * 16),
    PushVlan(0x88A8, 0x1005),
    PopVlan(),
    PushMpls(0x5140, 0x8847),
    PopMpls(0x800),
    PushNsh(0, 63, 1, 3, 0x5FF, bytes(range(16))),
    PushNsh(0, 63, 2, 3, 0x5FF, b"\x10\x00\x0a\x04abcd"),
    PopNsh(),
    PushEth(1, 0xFFFFFFFFFFFF),
    PopEth(),
    Sample(0x7FFFFFFF, (Output(1), Userspace(3, SlowPathCookie(1).pack()))),
    Recirc(0xFFFFFFFF),
    Hash(1, 5),
    Ct(),
    Ct(True, True, 65535, (5, 0xFF), (1 << 127, 1 << 127), "ftp", Nat("src", b"abcd"), 7, "policy"),
    Ct(True, nat=Nat("dst", bytes(15) + b"\x01", bytes(15) + b"\x05", 80, 90, True, False, True)),
    Ct(nat=Nat()),
    CtClear(),
    Trunc(100),
    Clone((PopVlan(), Clone((Output(1),)))),
    CheckPktLen(1500, (Output(1),), ()),
    Meter(3),
    DecTtl((Output(2),)),
    AddMpls(0x5140, 0x8847, 1),
    Drop(3),
    Psample(4, bytes.fromhex("0000000500000006")),
    Psample(0xFFFFFFFF),
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_every_action_comes_back_from_its_attribute(action: Action) -> None:
    assert decode_actions(encode_actions((action, Output(1)))) == (action, Output(1))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_every_action_prints(action: Action) -> None:
    text = format_actions((action,))
    assert text
    # What text cannot say: eventmask, the Drop reason, where add_mpls puts its label.
    if not isinstance(action, (Drop, AddMpls, Ct, Set, Sample)):
        assert format_actions(parse_actions(text)) == text


def test_the_kernels_bytes_of_a_few_actions() -> None:
    # <linux/openvswitch.h> of Linux 6.11: action 25, group 1, cookie 2.
    assert encode_actions((Psample(4, b"abcd"),)) == bytes.fromhex(
        "14001900" "0800010004000000" "0800020061626364"
    )
    assert encode_actions((Output(2),)) == bytes.fromhex("0800010002000000")
    assert encode_actions((PushVlan(0x8100, 0x1005),)) == bytes.fromhex("0800040081001005")
    assert encode_actions((PopVlan(),)) == bytes.fromhex("04000500")
    assert encode_actions((SetMasked(key.SKB_MARK, b"\1\0\0\0", b"\xff\0\0\0"),)) == bytes.fromhex(
        "10000b000c000f0001000000ff000000"
    )


COOKIES = [
    SlowPathCookie(0x28),
    ControllerCookie(100, 1, True, False, 7, 0xFFFFFFFFFFFFFFFF, 9),
    FlowSampleCookie(32768, 3, 6, 7, 3, 1),
    SflowCookie(0x6005, 2),
    IpfixCookie(3),
]


@pytest.mark.parametrize("cookie", COOKIES, ids=lambda cookie: type(cookie).__name__)
def test_cookies_come_back_from_userdata_and_from_text(cookie: SlowPathCookie) -> None:
    assert decode(cookie.pack()) == cookie
    text = format_actions((Userspace(1, cookie.pack()),))
    assert parse_actions(text) == (Userspace(1, cookie.pack()),)


def test_userdata_that_is_no_cookie_prints_as_bytes() -> None:
    assert format_actions((Userspace(1, b"\xde\xad"),)) == "userspace(pid=1,userdata(dead))"
    assert decode(b"") is None
    assert decode(b"\x01\x02") is None


def test_statistics_and_flags_of_a_flow() -> None:
    flow, mask = parse_key("in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)")
    stats = FlowStats(n_packets=3, n_bytes=180, used=1000, tcp_flags=0x012)
    text = format_dpif_flow(DpifFlow(flow, mask, (), stats, b""), 2234)
    assert text == (
        "recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no), "
        "packets:3, bytes:180, used:1.234s, flags:S., actions:drop"
    )


def test_two_tags_print_nested() -> None:
    text = (
        "recirc_id(0),in_port(1),eth(),eth_type(0x88a8),vlan(vid=5,pcp=1),"
        "encap(eth_type(0x8100),vlan(vid=6,pcp=2),encap(eth_type(0x0806)))"
    )
    flow, mask = parse_key(text)
    assert (flow.vlan_tpid, flow.vlan_tci1) == (0x88A8, 0x5006)
    assert format_flow(flow, mask) == text


def test_a_packets_key_prints_whole() -> None:
    flow = parse_exact_flow("in_port=1,udp,udp_dst=53")
    assert format_key(flow) == (
        "skb_priority(0),skb_mark(0),ct_state(0),ct_zone(0),ct_mark(0),ct_label(0),recirc_id(0),dp_hash(0),"
        "in_port(1),packet_type(ns=0,id=0),eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:00),eth_type(0x0800),"
        "ipv4(src=0.0.0.0,dst=0.0.0.0,proto=17,tos=0,ttl=0,frag=no),udp(src=0,dst=53)"
    )


def test_an_error_points_at_the_bad_word() -> None:
    with pytest.raises(OdpSyntaxError) as caught:
        parse_key("in_port(1),eth_type(0x0800),ipv4(src=1.2.3)")
    assert (caught.value.word, caught.value.position) == ("1.2.3", 37)
    with pytest.raises(OdpSyntaxError) as caught:
        parse_actions("2,set(ipv4(foo=1)),3")
    assert caught.value.word == "foo"


@pytest.mark.parametrize(
    "text",
    ["foo(1)", "in_port", "in_port(x)", "in_port(99999999999)", "vlan(vid=x)", "mpls(foo=1)", "tunnel(foo=1)",
     "ipv4(frag=maybe)", "eth_type(0x800)(", "nsh(c9=1)", "tunnel(geneve({len=3}))", "in_port(70000)"],
)  # fmt: skip
def test_bad_keys_are_refused(text: str) -> None:
    with pytest.raises(FlowSyntaxError):
        parse_key(text)


@pytest.mark.parametrize(
    "text",
    ["foo", "set()", "set(foo(1))", "ct(foo)", "ct(nat(src=1.2))", "sample(sample=101%,actions(1))",
     "hash(x(1))", "userspace(slow_path(x))", "userspace(userdata(zz))", "push_mpls(label=1)",
     "recirc(x)", "clone(" * 20],
)  # fmt: skip
def test_bad_actions_are_refused(text: str) -> None:
    with pytest.raises(FlowSyntaxError):
        parse_actions(text)


def test_ufids_are_read() -> None:
    ufid = bytes(range(16))
    assert parse_ufid(f"{format_ufid(ufid)}, in_port(1)") == ufid
    assert parse_ufid("in_port(1)") == b""
    with pytest.raises(OdpSyntaxError):
        parse_ufid("ufid:12345")


ALPHABET = "abcdefghilmnoprstuv_(){}=,/:.|+-0123456789x%"


@given(st.text(alphabet=ALPHABET, max_size=80))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_key, parse_actions):
        with contextlib.suppress(FlowSyntaxError):
            parse(text)


@given(
    st.sampled_from([plain for _, _, plain, _ in GOLDEN] + TRACED),
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from(ALPHABET)), max_size=3),
)
def test_no_damaged_text_breaks_the_parsers(text: str, damage: list[tuple[int, str]]) -> None:
    letters = list(text)
    for position, letter in damage:
        letters[position % len(letters)] = letter
    for parse in (parse_key, parse_actions):
        with contextlib.suppress(FlowSyntaxError):
            parse("".join(letters))


@given(st.binary(max_size=120))
def test_no_bytes_break_the_action_decoder(data: bytes) -> None:
    with contextlib.suppress(NlAttrError):
        decode_actions(data)


@given(st.sampled_from(ACTIONS), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4))
def test_no_damaged_actions_break_decoder_or_printer(action: Action, damage: list[tuple[int, int]]) -> None:
    data = bytearray(encode_actions((action,)))
    for position, value in damage:
        data[position % len(data)] = value
    with contextlib.suppress(NlAttrError):
        format_actions(decode_actions(bytes(data)))
