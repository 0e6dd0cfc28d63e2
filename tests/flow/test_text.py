"""Flow text both ways, against what the real `ovs-ofctl` and `ofproto/trace` say."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswitch.flow.fields import FIELDS, by_name
from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_exact_flow, parse_match
from vswitch.flow.syntax import FlowSyntaxError, split_words
from vswitch.flow.text import format_flow, format_megaflow
from vswitch.flow.values import format_value, parse_value

HERE = Path(__file__).parent


def golden(name: str) -> list[tuple[str, str]]:
    lines = (HERE / name).read_text().splitlines()
    pairs = [line.split(" =>", 1) for line in lines if not line.startswith("#")]
    return [(text, expected.strip()) for text, expected in pairs]


@pytest.mark.parametrize(("text", "expected"), golden("golden_matches.txt"))
def test_match_prints_as_ovs_ofctl_prints_it(text: str, expected: str) -> None:
    try:
        printed = str(parse_match(text))
    except FlowSyntaxError as error:
        printed = f"error: {error.message}".strip()
    assert printed == expected


@pytest.mark.parametrize(("text", "expected"), golden("golden_flows.txt"))
def test_flow_prints_as_ofproto_trace_prints_it(text: str, expected: str) -> None:
    try:
        printed = format_flow(parse_exact_flow(text, {"p1": 1, "p2": 2}))
    except FlowSyntaxError as error:
        printed = f"error: {error.message}"
    assert printed == expected


@pytest.mark.parametrize(
    "printed",
    # gtpu_flags is what Open vSwitch prints but does not read.
    sorted({out for _, out in golden("golden_matches.txt") if not out.startswith(("error", "gtpu_"))}),
)
def test_printed_matches_parse_to_themselves(printed: str) -> None:
    assert str(parse_match(printed)) == printed


def test_an_error_points_at_the_bad_word() -> None:
    with pytest.raises(FlowSyntaxError) as caught:
        parse_match("in_port=1,tcp,nw_src=1.2.3,tp_dst=80")
    assert caught.value.pointed() == (
        "1.2.3: invalid IP address\n"
        "  in_port=1,tcp,nw_src=1.2.3,tp_dst=80\n"
        "                       ^^^^^"
    )  # fmt: skip


def test_an_error_in_a_flag_points_at_the_flag() -> None:
    with pytest.raises(FlowSyntaxError) as caught:
        parse_match("tcp,tcp_flags=+syn-bar+ack")
    assert (caught.value.word, caught.value.position) == ("bar", 19)


def test_ports_have_names() -> None:
    match = parse_match('in_port=uplink,actset_output="2nd"', {"uplink": 7, "2nd": 2})
    assert match.flow.in_port == 7
    assert match.format(ports={7: "uplink", 2: "2nd"}) == 'actset_output="2nd",in_port=uplink'


def test_words_keep_what_is_in_brackets() -> None:
    words = split_words("packet_type=(1,0x800) in_port:3,ct(zone=1,nat(src)),ip")
    assert [(word.key, word.value) for word in words] == [
        ("packet_type", "(1,0x800)"),
        ("in_port", "3"),
        ("ct", "zone=1,nat(src)"),
        ("ip", ""),
    ]


def test_a_match_drops_what_it_wildcards() -> None:
    match = parse_match("tcp,nw_src=10.1.2.3,tp_dst=80")
    match.set(by_name("ip_src"), 0x0A010203, 0xFFFF0000)
    match.wildcard(by_name("tcp_dst"))
    assert str(match) == "tcp,nw_src=10.1.0.0/16"


def test_a_match_knows_its_flows() -> None:
    match = parse_match("tcp,dl_vlan=5,tp_dst=80/0xfff0")
    assert match.matches(parse_exact_flow("tcp,dl_vlan=5,dl_vlan_pcp=3,tp_dst=95"))
    assert not match.matches(parse_exact_flow("tcp,dl_vlan=5,tp_dst=96"))
    assert not match.matches(parse_exact_flow("tcp,tp_dst=80"))


def test_looser_means_matching_more() -> None:
    loose, strict = parse_match("tcp"), parse_match("tcp,tp_dst=80")
    assert loose.is_looser_than(strict)
    assert not strict.is_looser_than(loose)
    assert not parse_match("udp").is_looser_than(strict)


def test_megaflow_shows_only_the_bits_that_decided() -> None:
    flow = parse_exact_flow("in_port=1,tcp,nw_src=10.1.2.3,tp_dst=80")
    mask = parse_match("recirc_id=0,eth,in_port=1,ip,nw_src=0.0.0.0/8,nw_frag=no").mask
    assert format_megaflow(flow, mask) == "recirc_id=0,eth,ip,in_port=1,nw_src=10.0.0.0/8,nw_frag=no"


# Not those whose printing depends on other fields, and tun_tos, which prints in bare hexadecimal.
UNREADABLE = ("dl_vlan", "tun_erspan", "tun_gtpu", "tun_tos", "ct_nw")
WORDS = [field.name for field in FIELDS if not field.name.startswith(UNREADABLE)]


@st.composite
def field_and_bits(draw: st.DrawFn) -> tuple[str, int, int]:
    field = by_name(draw(st.sampled_from(WORDS)))
    mask = draw(st.integers(1, field.ones)) if field.maskable else field.ones
    return field.name, draw(st.integers(0, field.ones)) & mask, mask


@given(field_and_bits())
def test_values_read_as_they_print(case: tuple[str, int, int]) -> None:
    name, value, mask = case
    field = by_name(name)
    if field.fmt.value == "frag" and "/" in format_value(field, value, mask):
        return
    value = min(value, (1 << 8 * field.n_bytes) - 1)
    if field.special == 1 and not (value < 0xFF00 or value >= 0xFFFFFF00):
        value = value & 0xFFFF
    if field.special == 1:
        value = value if value < 0xFF00 else value | 0xFFFF0000
    assert parse_value(field, format_value(field, value, mask)) == (value, mask)


@given(st.lists(field_and_bits(), max_size=6), st.sampled_from(["ip", "tcp6", "arp", "icmp6", ""]))
@settings(max_examples=300)
def test_matches_read_as_they_print(cases: list[tuple[str, int, int]], protocol: str) -> None:
    match = parse_match(protocol)
    for name, value, mask in cases:
        match.set(by_name(name), value, mask)
    once = parse_match(str(match)) if _readable(match) else match
    assert str(parse_match(str(once))) == str(once) if _readable(once) else True


def _readable(match: Match) -> bool:
    """Open vSwitch prints some things that it doesn't read: odd fragment masks, inner tags and labels."""
    try:
        parse_match(str(match))
    except FlowSyntaxError:
        return False
    return True


@given(st.text(alphabet="abcdefnrtuip_=,/().:+-|0123456789x \"*'[]", max_size=60))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_match, parse_exact_flow):
        with contextlib.suppress(FlowSyntaxError):
            parse(text)
