"""What is written is read back, whatever it is; no byte string does more than raise an OfpError."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from vswitch.flow.field import Field, Special
from vswitch.flow.fields import FIELDS, by_name
from vswitch.flow.match import Match
from vswitch.flow.prereq import prereqs_ok
from vswitch.openflow import actions as a
from vswitch.openflow.action_nesting import CT_FIELDS
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.actions import get_actions, put_actions
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.instructions import get_instructions, put_instructions
from vswitch.openflow.wire.match import get_match, get_nxm, get_oxm_raw, put_match, put_nxm

BASES = (
    {"eth_type": 0x0800, "nw_proto": 6},
    {"eth_type": 0x0800, "nw_proto": 1},
    {"eth_type": 0x86DD, "nw_proto": 17},
    {"eth_type": 0x86DD, "nw_proto": 132},
    {"eth_type": 0x86DD, "nw_proto": 58, "icmpv6_type": 135, "icmpv6_code": 0},
    {"eth_type": 0x86DD, "nw_proto": 58, "icmpv6_type": 136, "icmpv6_code": 0},
    {"eth_type": 0x0806},
    {"eth_type": 0x8847},
    {"eth_type": 0x894F},
    {"ct_state": 0x22},
    {},
)
FLAGGED = ("ct_state", "packet_type", "recirc_id", "skb_priority", "tun_ttl", "tun_tos", "ip_frag")
MATCHED = [f for f in FIELDS if f.oxm and f.special == Special.PLAIN and f.name not in FLAGGED]
VID = by_name("vlan_vid")
u8, u16, u32, u64 = (st.integers(0, (1 << n) - 1) for n in (8, 16, 32, 64))
versions = st.integers(3, 6)


@st.composite
def matches(draw: st.DrawFn) -> Match:
    match = Match()
    for name, value in draw(st.sampled_from(BASES)).items():
        match.set(by_name(name), value)
        match.imply_ethernet(by_name(name))
    for field in draw(st.lists(st.sampled_from(MATCHED), max_size=6)):
        if match.mask.bits(field) or not prereqs_ok(field, match.flow, match.mask):
            continue
        if field.name in ("vlan_tci", "vlan_vid"):  # as OXM can say it: VID and CFI
            match.set(VID, 0x1000 | draw(st.integers(0, 4095)))
            match.imply_ethernet(VID)
            continue
        if field.name == "nsh_mdtype":
            match.set(field, draw(st.integers(1, 2)))
            continue
        ones = 0x3F if field.name == "nsh_ttl" else field.ones & ((1 << 8 * field.n_bytes) - 1)
        mask = draw(st.integers(1, ones)) if field.maskable and draw(st.booleans()) else ones
        match.set(field, draw(st.integers(0, ones)), None if mask == ones else mask)
        match.imply_ethernet(field)
    return match


@given(matches(), versions)
def test_a_match_is_read_as_it_was_written(match: Match, version: int) -> None:
    w = Writer()
    put_match(w, match, version)
    r = Reader(w.getvalue())
    assert get_match(r, version) == match
    assert r.left == 0


@given(matches(), u64, st.one_of(st.just(0), u64))
def test_nxm_is_read_as_it_was_written(match: Match, cookie: int, mask: int) -> None:
    w = Writer()
    length = put_nxm(w, match, cookie, mask)
    assert get_nxm(Reader(w.getvalue()), length) == (match, cookie & mask, mask)


NAMED = [f for f in FIELDS if f.oxm and f.oxm[0].experimenter == 0 and f.n_bits <= 128]
WRITABLE = [
    f for f in NAMED if f.writable and f.name not in ("in_port_oxm", "nw_tos") and f.name not in CT_FIELDS
]
"""A connection's mark and label only `ct` may write."""


@st.composite
def subfields(draw: st.DrawFn, fields: list[Field], most: int = 64, least: int = 1) -> a.MfSubfield:
    field = draw(st.sampled_from([f for f in fields if f.n_bits >= least]))
    n_bits = draw(st.integers(least, min(most, field.n_bits)))
    return a.MfSubfield(field, draw(st.integers(0, field.n_bits - n_bits)), n_bits)


@st.composite
def moves(draw: st.DrawFn) -> a.RegMove:
    src = draw(subfields(NAMED))
    return a.RegMove(src, draw(subfields(WRITABLE, src.n_bits, src.n_bits)))


@st.composite
def specs(draw: st.DrawFn) -> a.LearnSpec:
    kind = draw(st.sampled_from(("match", "load", "output")))
    if kind == "output":
        src = draw(subfields(NAMED))
        return a.LearnSpec(kind, src.n_bits, src, 0, None)
    dst = draw(subfields(WRITABLE))
    if draw(st.booleans()):
        return a.LearnSpec(kind, dst.n_bits, None, draw(st.integers(0, (1 << dst.n_bits) - 1)), dst)
    return a.LearnSpec(kind, dst.n_bits, draw(subfields(NAMED, dst.n_bits, dst.n_bits)), 0, dst)


ports = st.one_of(st.integers(0, 0xFEFF), st.sampled_from((0xFFF8, 0xFFFE)))
bits = subfields(WRITABLE, 1)
hashes = st.sampled_from(("eth_src", "symmetric_l4", "symmetric_l3l4+udp", "symmetric_l3"))
plain = st.one_of(
    st.builds(a.Output, ports, u16),
    st.builds(a.OutputReg, subfields(NAMED), u16),
    st.builds(a.OutputTrunc, ports, st.integers(14, 0xFFFFFFFF)),
    st.builds(a.Controller, u16, st.integers(2, 7), u16, st.binary(max_size=20), st.booleans(),
              st.one_of(st.none(), st.integers(1, 99))),
    st.builds(a.Bundle, hashes, u16, st.sampled_from(("hrw", "active_backup")),
              st.lists(ports, max_size=5).map(tuple), st.one_of(st.none(), subfields(WRITABLE, least=16))),
    st.builds(a.Multipath, hashes, u16, st.sampled_from(("modulo_n", "hrw")), st.integers(0, 1), u32,
              subfields(WRITABLE)),
    st.builds(a.Group, u32),
    st.builds(a.PushVlan, st.sampled_from((0x8100, 0x88A8))),
    st.builds(a.StripVlan, st.just(True)),
    st.builds(a.SetIpTtl, u8),
    moves(),
    st.builds(a.StackPush, subfields(NAMED)),
    st.builds(a.StackPop, subfields(WRITABLE)),
    st.builds(a.DecTtl, st.lists(u16, max_size=5).map(tuple), st.just(True)),
    st.just(a.DecTtl()),
    st.builds(a.PushMpls, st.sampled_from((0x8847, 0x8848))),
    st.builds(a.PopMpls, u16),
    st.builds(a.SetMplsTtl, u8),
    st.builds(a.SetQueue, u32),
    st.builds(a.CheckPktLarger, u16, bits),
    st.builds(a.Resubmit, ports, u8, st.booleans()),
    st.builds(a.Sample, st.integers(1, 0xFFFF), u32, u32, u32, u16,
              st.sampled_from(("", "ingress", "egress"))),
    st.builds(a.FinTimeout, u16, u16),
    st.builds(a.Learn, st.lists(specs(), max_size=4).map(tuple), u16, u16, u16, u64, st.integers(0, 254),
              u16, u16, st.booleans(), st.booleans(), u32, st.one_of(st.none(), bits)),
    st.builds(a.Decap, st.one_of(st.none(), st.just(0x1894F))),
    st.sampled_from((a.Exit(), a.CtClear(), a.DecNshTtl(), a.DecMplsTtl(), a.PopQueue())),
)  # fmt: skip
nats = st.one_of(
    st.just(a.Nat()),
    st.builds(a.Nat, st.sampled_from(("src", "dst")), st.just(4),
              st.integers(0, 9), st.one_of(st.none(), st.integers(9, 99)),
              st.integers(1, 99), st.sampled_from((0, 99, 0xFFFF)),
              st.booleans(), st.booleans(), st.booleans()),
    st.builds(a.Nat, st.just("src"), st.just(6), st.integers(0, (1 << 128) - 1), st.none()),
)  # fmt: skip
cts = st.builds(
    a.Ct, st.just(True), st.booleans(), u16, st.none(), st.one_of(st.none(), st.integers(0, 254)),
    st.sampled_from((0, 21, 69)), st.lists(nats, max_size=2).map(tuple),
)  # fmt: skip
nested = st.recursive(
    st.one_of(plain, cts),
    lambda inner: st.builds(a.Clone, st.lists(inner, max_size=3).map(tuple)),
    max_leaves=6,
)
lists = st.lists(nested, max_size=5).map(tuple)


@given(lists, st.integers(4, 6))
def test_actions_are_read_as_they_were_written(actions: a.Actions, version: int) -> None:
    w = Writer()
    put_actions(w, actions, version)
    data = w.getvalue()
    assert len(data) % 8 == 0
    assert get_actions(Reader(data), len(data), version) == actions


@given(lists, u64, u64, u8, st.integers(4, 5))
def test_instructions_are_read_as_they_were_written(
    actions: a.Actions, metadata: int, mask: int, table: int, version: int
) -> None:
    whole = (
        a.Meter(3), *actions, a.ClearActions(), a.WriteActions((a.Output(1), a.Group(2))),
        a.WriteMetadata(metadata, mask), a.GotoTable(table),
    )  # fmt: skip
    w = Writer()
    put_instructions(w, whole, version)
    data = w.getvalue()
    assert get_instructions(Reader(data), len(data), version) == whole


def broken(data: bytes, version: int, chance: random.Random) -> None:
    """Read `data` as everything there is."""
    size = len(data)
    for read in (
        lambda: get_instructions(Reader(data), size, version),
        lambda: get_actions(Reader(data), size & ~7, version),
        lambda: get_match(Reader(data), version),
        lambda: get_oxm_raw(Reader(data), chance.random() < 0.5),
        lambda: get_nxm(Reader(data), chance.randrange(size + 1)),
    ):
        try:
            read()
        except OfpError:
            continue


def test_mutated_messages_only_raise_ofp_errors() -> None:
    chance = random.Random(20)
    lines = (Path(__file__).parent / "actions.txt").read_text().splitlines()
    known = [line.split() for line in lines if line.startswith("  ") and len(line.split()) == 2]
    for _ in range(6000):
        versions, text = chance.choice(known)
        data = bytearray.fromhex(text)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        broken(bytes(data), int(chance.choice(versions)), chance)


@given(st.binary(max_size=80), st.integers(1, 6))
@settings(max_examples=300)
def test_no_byte_string_does_more_than_raise_an_ofp_error(data: bytes, version: int) -> None:
    broken(data, version, random.Random(1))
