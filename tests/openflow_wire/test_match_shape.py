"""Matches whose form is known are read as those are that nobody has seen before."""

from __future__ import annotations

import random

import pytest

from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.flow.match_text import normalize, parse_match
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.match import get_match
from vswitch.openflow.wire.match10 import has_upper_layers10
from vswitch.openflow.wire.match_shape import put_listed
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.oxm import get_nxm, put_nxm, put_oxm_match
from vswitch.openflow.wire.version import OFP10, OFP12, OFP15

FLOWS = (
    "ip,nw_dst=10.0.0.{n}", "ip,nw_dst=10.0.{n}.0/24", "ip,nw_src=0.0.0.{n}/0.0.0.255",
    "tcp,in_port={n},nw_src=10.1.0.0/16,tp_dst=80", "dl_src=00:01:02:03:04:{n:02x},dl_vlan=5",
    "dl_dst=ff:ff:ff:00:00:{n:02x}/ff:ff:ff:ff:ff:f0", "ipv6,ipv6_dst=8000::{n:x}/64",
    "ipv6,ipv6_src=fe80::{n:x}", "reg3={n},metadata=0x99", "metadata=0x80000000000000{n:02x}",
    "xreg1=0xffffffff000000{n:02x}",
    "reg15={n}/0xf0,reg14=0x80000001", "arp,arp_tpa=1.2.3.{n},arp_op=1", "arp,arp_sha=00:00:00:00:00:{n:02x}",
    "udp,tp_src={n}/0xfff", "sctp,tp_dst={n}", "in_port=LOCAL,ip,nw_src=1.1.1.{n}",
    "icmp,icmp_type=8,icmp_code={n}", "tcp,tcp_flags=+syn-ack,tp_src={n}", "ct_state=+trk+est,ct_zone={n},ip",
    "ct_mark={n}/0x3,ct_state=+trk,ip", "tun_id={n},tun_dst=1.2.3.{n}", "conj_id={n},ip",
    "ip,nw_tos=4,nw_ttl={n}", "dl_type=0x88cc,dl_dst=01:80:c2:00:00:{n:02x}",
    "mpls,mpls_label={n}", "icmp6,icmp_type=135,nd_target=fe80::{n:x}", "",
)  # fmt: skip
OFPT_EXPERIMENTER = 4
MATCH_AT = {OFP10: 8}
"""Where the match is; 48 in OpenFlow 1.1 and later, 48 in Nicira's flow mod."""
NXM_LENGTH_AT = 40


def by_itself(data: bytes, version: int, form: Form) -> Match:
    """The match of a flow mod, read field by field. OfpError."""
    if form is Form.EXTENSION:
        return get_nxm(Reader(data, 48), int.from_bytes(data[NXM_LENGTH_AT : NXM_LENGTH_AT + 2], "big"))[0]
    r = Reader(data, MATCH_AT.get(version, 48))
    match = get_match(r, version)
    if version == OFP10 and has_upper_layers10(int.from_bytes(data[8:12], "big")):
        normalize(match)
    return match


def outcome(data: bytes, version: int, form: Form, whole: bool) -> Match | str:
    """The match, or the error."""
    try:
        return decode(data, True).body.match if whole else by_itself(data, version, form)
    except OfpError as error:
        return error.name


@pytest.mark.parametrize("version", range(OFP10, OFP15 + 1))
@pytest.mark.parametrize("wanted", [Form.OPENFLOW, Form.EXTENSION])
@pytest.mark.parametrize("text", FLOWS)
def test_a_match_of_a_known_form_says_what_it_says_by_itself(text: str, wanted: Form, version: int) -> None:
    """Other values, and bytes changed at random from the match on."""
    dice = random.Random(f"{text} {wanted} {version}")
    for n in (1, 2, 3, 77, *(dice.randrange(100) for _ in range(30))):
        data = encode(parse_flow(f"{text.format(n=n)},actions=output:2"), version, 1, wanted)
        # What 1.0 can't say is sent in Nicira's form.
        form = Form.EXTENSION if data[1] == OFPT_EXPERIMENTER else Form.OPENFLOW
        assert outcome(data, version, form, True) == by_itself(data, version, form)
        changed = bytearray(data)
        begin = MATCH_AT.get(version, 48) if form is Form.OPENFLOW else 48
        for _ in range(dice.choice((1, 1, 2, 5))):
            changed[dice.randrange(begin, max(len(data) - 8, begin + 1))] = dice.randrange(256)
        told = outcome(bytes(changed), version, form, True)
        alone = outcome(bytes(changed), version, form, False)
        # Where the match is right, the flow mod may be refused for what follows it.
        assert told == alone if isinstance(told, Match) else isinstance(told, str)
        assert isinstance(alone, Match) or isinstance(told, str)


def test_matches_of_one_form_share_the_mask_and_nothing_else() -> None:
    """What one flow's match is changed to is not seen by another."""
    second, third = [
        decode(encode(parse_flow(f"tcp,nw_dst=10.0.0.{n},tp_dst=80,actions=drop"), 4, 1)).body.match
        for n in range(40)  # not every match is learned from
    ][-2:]
    assert second.mask is third.mask
    second.flow.clear()
    assert str(third) == "tcp,nw_dst=10.0.0.39,tp_dst=80"


@pytest.mark.parametrize("version", [0, *range(OFP12, OFP15 + 1)])
@pytest.mark.parametrize("text", FLOWS)
def test_a_listed_match_is_written_as_it_is_by_itself(text: str, version: int) -> None:
    """Flows that share their mask, as those of a table do, whatever their values."""
    masks: dict[bytes, Flow] = {}
    for n in (*range(1, 40), 0xFF, 1):
        match = parse_match(text.format(n=n % 100))
        match.mask = masks.setdefault(match.mask.key(), match.mask)
        alone, listed = Writer(), Writer()
        length = put_nxm(alone, match) if version == 0 else 0
        if version:
            put_oxm_match(alone, match, version)
            length = int.from_bytes(alone.getvalue()[2:4], "big")
        assert put_listed(listed, match, version) == length
        assert listed.getvalue() == alone.getvalue()
