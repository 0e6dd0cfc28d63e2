"""Flows and masks as values: comparing, combining, hashing; prerequisites."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.flow import layout
from vswitch.flow.fields import N_WORDS, by_name
from vswitch.flow.flow import Flow, port_from_oxm, ports_to_oxm, signed64, unsigned64
from vswitch.flow.match import Match
from vswitch.flow.match_text import normalize, parse_exact_flow, parse_match
from vswitch.flow.prereq import prereqs_ok

WORD = st.integers(-(1 << 63), (1 << 63) - 1)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """A flow with a few random words, anywhere."""
    flow = Flow()
    for index, word in draw(st.dictionaries(st.integers(0, N_WORDS - 1), WORD, max_size=6)).items():
        flow.words[index] = word
    return flow


def bits(flow: Flow) -> list[int]:
    return [word & 0xFFFFFFFFFFFFFFFF for word in flow.words]


@given(flows(), flows())
def test_masking_and_joining_are_bitwise(a: Flow, b: Flow) -> None:
    assert bits(a.masked(b)) == [x & y for x, y in zip(bits(a), bits(b), strict=True)]
    joined = a.copy()
    joined.or_(b)
    assert bits(joined) == [x | y for x, y in zip(bits(a), bits(b), strict=True)]
    assert joined.covers(a)
    assert joined.covers(b)
    cut = a.copy()
    cut.and_(b)
    assert cut == a.masked(b)


@given(flows(), flows(), flows())
def test_agreeing_in_a_mask_is_equality_under_it(a: Flow, b: Flow, mask: Flow) -> None:
    assert a.equal_in(b, mask) == (a.masked(mask) == b.masked(mask))
    assert a.equal_in(a, mask)
    assert mask.covers(a) == (a.masked(mask) == a)


@given(flows(), flows())
def test_equal_flows_have_equal_keys_and_hashes(a: Flow, b: Flow) -> None:
    assert (a == b) == (a.key() == b.key())
    copy = a.copy()
    assert copy == a
    assert copy.hash() == a.hash()
    assert 0 <= a.hash() < 1 << 31
    assert hash(copy) == hash(a)
    copy.clear()
    assert copy.is_zero()
    copy.assign(a)
    assert copy == a
    assert a.is_zero() == (not any(bits(a)))


def test_a_copy_is_its_own() -> None:
    flow = Flow()
    copy = flow.copy()
    copy.in_port = 3
    assert flow.is_zero()
    assert flow != copy
    assert flow != "flow"


def test_hashes_tell_ports_and_addresses_apart() -> None:
    hashes = set()
    for n in range(1000):
        flow = Flow()
        flow.tp_src, flow.nw_src = n % 50 << 8, n // 50 << 24
        hashes.add(flow.hash())
    assert len(hashes) > 995


@given(st.integers(0, (1 << 64) - 1))
def test_words_are_signed_views_of_unsigned_values(value: int) -> None:
    assert unsigned64(signed64(value)) == value


@given(st.integers(0, 0xFFFF))
def test_ports_have_a_32_bit_form(port: int) -> None:
    assert port_from_oxm(ports_to_oxm(port)) == port
    assert port_from_oxm(0x00FF0000 | port) == -1


def test_a_priority_keeps_the_vid_and_a_vid_keeps_the_priority() -> None:
    match = Match()
    match.set(by_name("dl_vlan_pcp"), 3)
    match.set(by_name("dl_vlan"), 5)
    assert str(match) == "dl_vlan=5,dl_vlan_pcp=3"
    match.set(by_name("dl_vlan_pcp"), 7)
    assert str(match) == "dl_vlan=5,dl_vlan_pcp=7"
    match.set(by_name("dl_vlan"), 0xFFFF)
    assert str(match) == "vlan_tci=0x0000"


def test_tos_and_ecn_do_not_disturb_each_other() -> None:
    match = parse_match("ip")
    match.set(by_name("nw_ecn"), 2)
    match.set(by_name("nw_tos"), 0xFF)
    assert str(match) == "ip,nw_tos=252,nw_ecn=2"
    match.wildcard(by_name("nw_tos"))
    assert str(match) == "ip,nw_ecn=2"


def test_matches_compare_and_hash_by_value() -> None:
    one, two = parse_match("tcp,tp_dst=80"), parse_match("tcp,tcp_dst=80")
    assert one == two
    assert len({one, two, one.copy()}) == 1
    assert one.key() == two.key()
    assert one != parse_match("tcp,tp_dst=81")
    assert Match().is_catchall()
    assert repr(one) == "<Match tcp,tp_dst=80>"


def test_a_match_made_of_flow_and_mask_drops_unmasked_bits() -> None:
    match = Match(parse_exact_flow("tcp,nw_src=1.2.3.4"), parse_match("ip,nw_src=0.0.0.0/8").mask)
    assert str(match) == "ip,nw_src=1.0.0.0/8"


def test_normalizing_tells_whether_it_dropped_anything() -> None:
    match = Match()
    match.set(by_name("ip_src"), 0x01020304)
    assert normalize(match)
    assert match.is_catchall()
    assert not normalize(match)


@pytest.mark.parametrize(
    ("name", "flow", "there"),
    [
        ("reg0", "", True),
        ("eth_src", "", True),
        ("eth_src", "packet_type=(1,0x800)", False),
        ("ip_src", "ip", True),
        ("ip_src", "ipv6", False),
        ("ip_src", "packet_type=(1,0x800)", True),
        ("arp_op", "rarp", True),
        ("nw_ttl", "tcp6", True),
        ("nw_ttl", "arp", False),
        ("tcp_dst", "tcp6", True),
        ("tcp_dst", "tcp,nw_frag=later", False),
        ("tcp_dst", "udp", False),
        ("udp_src", "udp", True),
        ("sctp_src", "sctp6", True),
        ("icmp_type", "icmp", True),
        ("icmp_type", "icmp6", False),
        ("icmpv6_type", "icmp6", True),
        ("nd_target", "icmp6,icmpv6_type=135,icmpv6_code=0", True),
        ("nd_target", "icmp6,icmpv6_type=128,icmpv6_code=0", False),
        ("nd_sll", "icmp6,icmpv6_type=136,icmpv6_code=0", False),
        ("nd_tll", "icmp6,icmpv6_type=136,icmpv6_code=0", True),
        ("mpls_label", "mplsm", True),
        ("vlan_pcp", "dl_vlan=5", True),
        ("vlan_pcp", "ip", False),
        ("nsh_spi", "dl_type=0x894f", True),
        ("ct_nw_src", "ip,ct_state=trk|est", True),
        ("ct_nw_src", "ip,ct_state=trk|inv", False),
        ("ct_nw_src", "ip", False),
    ],
)
def test_prerequisites(name: str, flow: str, there: bool) -> None:
    assert prereqs_ok(by_name(name), parse_exact_flow(flow)) == there


def test_looking_at_prerequisites_unwildcards_what_was_looked_at() -> None:
    wc = Flow()
    prereqs_ok(by_name("tcp_dst"), parse_exact_flow("udp"), wc=wc)
    assert (wc.nw_proto, wc.nw_frag) == (0xFF, 0)
    prereqs_ok(by_name("tcp_dst"), parse_exact_flow("tcp"), wc=wc)
    assert wc.nw_frag == layout.FRAG_LATER
    prereqs_ok(by_name("vlan_pcp"), parse_exact_flow("tcp"), wc=wc)
    assert wc.vlan_tci == layout.VLAN_CFI
