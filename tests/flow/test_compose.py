"""`flow_compose`: a flow's packet extracts to the flow again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.test_extract import flow_of
from tests.packet.frames import FRAMES
from tests.packet.test_modify import with_right_checksums
from vswitch.flow import fields
from vswitch.flow.compose import DEFAULT_PAYLOAD, flow_compose
from vswitch.flow.flow import Flow

NO_PACKET_FOR = {"the same option twice": "the flow says that there is an option, but not which"}


@pytest.mark.parametrize("name", sorted(set(FRAMES) - set(NO_PACKET_FOR)))
def test_compose_extracts_to_the_same_flow(name: str) -> None:
    flow = flow_of(FRAMES[name])
    assert flow_of(flow_compose(flow, DEFAULT_PAYLOAD)) == flow


@pytest.mark.parametrize("name", ["udp", "icmp", "vlan", "udp over ipv6", "neighbor advertisement", "qinq"])
def test_lengths_and_checksums_are_right(name: str) -> None:
    data = flow_compose(flow_of(FRAMES[name]), b"payload!")
    assert with_right_checksums(data) == data


FLOWS = {
    "udp": "eth_src=1 eth_dst=2 eth_type=0x800 nw_proto=17 nw_ttl=64",
    "sctp": "eth_type=0x800 nw_proto=132 nw_ttl=64",
    "tcp6": "eth_type=0x86dd nw_proto=6 nw_tos=0xb8 ipv6_label=0x12345",
    "nd": "eth_type=0x86dd nw_proto=58 icmpv6_type=135 icmpv6_code=0 nd_reserved=7",
    "mpls": "eth_type=0x8847 mpls_label=5 mpls_bos=1 mpls_ttl=4",
    "l3": "packet_type=0x10800 eth_type=0x800 nw_proto=17 nw_ttl=64",
}


def flow(text: str) -> Flow:
    result = Flow()
    for part in text.split():
        name, value = part.split("=")
        result.set(fields.by_name(name), int(value, 0))
    return result


@given(
    st.sampled_from(sorted(FLOWS)), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
)
def test_any_values_of_its_fields(name: str, a: int, b: int, address: int) -> None:
    text = FLOWS[name]
    if "nw_proto=58" not in text and "mpls" not in text:
        text += f" tp_src={a} tp_dst={b}"
    if "0x86dd" in text:
        text += f" ipv6_src={address} ipv6_dst={address << 96}"
    elif "0x800 " in text:
        text += f" nw_src={address} nw_dst={a}"
    if "eth_src" in text:
        text += f" vlan_tci={a | 0x1000} eth_src={address << 16}"
    expected = flow(text)
    if a | 0x1000 and "vlan_tci" in text:
        expected.set(fields.PART_BY_NAME["vlan_tpid"], 0x8100)
    assert flow_of(flow_compose(expected), expected.packet_type) == expected


def test_nothing_but_zeros_composes_too() -> None:
    assert flow_compose(Flow()) == bytes(14)
