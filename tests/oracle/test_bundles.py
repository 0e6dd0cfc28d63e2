"""Bundles with every kind of message, good and bad, first, in the middle and last: the real switch and ours
answer alike, and afterwards have the same flows, groups and ports."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

import pytest

from tests.ofproto.ends import told
from tests.ofproto.mutations import corpus
from tests.oracle.real import RealSwitch
from tests.oracle.test_matrix import NAMES, Both
from tests.whole import sample
from vswitch.flow.match_text import parse_match
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.constants import OFPP_ANY
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import port as p
from vswitch.openflow.messages.packet import PacketOut
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.messages_base import NotInVersion
from vswitch.openflow.wire.version import OFP13, OFP14, OFP15

pytestmark = pytest.mark.system
OFPT_PORT_MOD = 16
ATOMIC, ORDERED = b.OFPBF_ATOMIC, b.OFPBF_ORDERED
PACKET = bytes.fromhex("02000000000202000000000188b5") + bytes(46)

BAD_FLOWS = (
    "table=254,actions=drop", "delete table=254", "modify table=254,actions=drop", "actions=group:77",
    "actions=output:99", "actions=meter:9", "check_overlap,priority=9,actions=2",
    "delete out_port=9", "delete_strict table=1,in_port=1", "modify_strict in_port=1,actions=2",
    "dl_vlan=1,actions=pop_vlan,pop_vlan", "actions=conjunction(1,1/2)", "actions=goto_table:1",
    "idle_timeout=5,send_flow_rem,actions=1", "priority=0,actions=NORMAL", "importance=3,actions=2",
    "delete cookie=1/-1", "dl_type=0x800,nw_proto=6,tp_dst=80,actions=dec_ttl,group:1,group:2",
)  # fmt: skip

BAD_ACTIONS = (
    ("ip", 0, "set_field:1->tcp_dst"), ("", 0, "ct(table=0)"), ("ip", 2, "ct(nat)"), ("", 5, "goto_table:5"),
    ("", 5, "goto_table:1"), ("arp", 0, "dec_ttl"), ("", 1, "set_field:1->mpls_label"),
    ("", 1, "pop_mpls:0x800"), ("", 1, "learn(table=254,eth_dst=eth_src)"), ("", 0, "resubmit(,254)"),
    ("", 0, "write_actions(group:9)"), ("tcp", 0, "clone(pop_vlan,set_field:1->udp_dst)"),
    ("", 0, "encap(nsh),encap(nsh)"),
)  # fmt: skip
"""What flows match on, their tables and actions."""


def _bucket(actions: str, number: int = 0) -> g.Bucket:
    return g.Bucket(parse_actions(actions), 0, OFPP_ANY, g.OFPG_ANY, number)


BAD_OTHERS = (
    g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1, (_bucket("output:1"),)),
    g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 2, (_bucket("output:1"), _bucket("group:1"))),
    g.GroupMod(g.OFPGC_ADD, g.OFPGT_INDIRECT, 3, (_bucket("output:1"), _bucket("output:2"))),
    g.GroupMod(g.OFPGC_ADD, 9, 3, (_bucket("output:1"),)),
    g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 0xFFFFFFFC, ()),
    g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 4, (_bucket("group:4"),)),
    g.GroupMod(g.OFPGC_MODIFY, g.OFPGT_ALL, 77, (_bucket("output:1"),)),
    g.GroupMod(g.OFPGC_MODIFY, g.OFPGT_ALL, 1, (_bucket("output:3"),)),
    g.GroupMod(g.OFPGC_DELETE, g.OFPGT_ALL, 77),
    g.GroupMod(g.OFPGC_DELETE, g.OFPGT_ALL, 1),
    g.GroupMod(g.OFPGC_DELETE, g.OFPGT_ALL, 1, (_bucket("output:1"),)),
    g.GroupMod(g.OFPGC_INSERT_BUCKET, g.OFPGT_ALL, 77, (_bucket("output:1", 4),), g.OFPG_BUCKET_LAST),
    g.GroupMod(g.OFPGC_INSERT_BUCKET, g.OFPGT_ALL, 1, (_bucket("output:1", 4),), 9),
    g.GroupMod(g.OFPGC_REMOVE_BUCKET, g.OFPGT_ALL, 1, (), 9),
    g.GroupMod(7, g.OFPGT_ALL, 1, ()),
    p.PortMod(99), p.PortMod(1, 0x020000000099, 1 << 4, 1 << 4), p.PortMod(1), p.PortMod(0xFFFE),
    PacketOut(PACKET, parse_actions("output:2"), parse_match("in_port=99")),
    PacketOut(PACKET, parse_actions("group:77"), parse_match("in_port=1")),
    PacketOut(PACKET, parse_actions("dec_ttl,output:2"), parse_match("in_port=1")),
    PacketOut(b"", parse_actions("output:2"), parse_match("in_port=1")),
    PacketOut(PACKET, parse_actions("output:2"), parse_match("in_port=1"), 5),
    PacketOut(PACKET, (), parse_match("in_port=1")),
)  # fmt: skip


def bad_messages(version: int, both: Both) -> list[bytes]:
    """Messages for a bundle: what may be in one and what may not, most of it wrong in a way of its own."""
    bodies: list[object] = [parse_flow_line(text) for text in BAD_FLOWS]
    bodies += [
        FlowMod(parse_match(match), table_id=table, actions=parse_actions(actions))
        for match, table, actions in BAD_ACTIONS
    ]
    bodies += BAD_OTHERS
    found = []
    for body in bodies:
        try:
            found.append(encode(body, version, 1))
        except NotInVersion:
            continue
    good = encode(parse_flow_line("table=7,actions=drop"), version, 1)
    found += [good[:1] + bytes((kind,)) + good[2:] for kind in (0, 2, 3, 14, 33, 34, 99, 255)]
    found += [
        good[:8], good[:20], good[:-8], good + bytes(8), good[:2] + b"\0\4" + good[4:],
        good[:2] + b"\xff\xff" + good[4:],
        good[:25] + b"\x09" + good[26:], good[:25] + b"\x01" + good[26:], good[:32] + bytes(4) + good[36:],
    ]
    found += [bytes((other,)) + good[1:] for other in (1, 4, 5, 6, 7) if other != version]
    # Ports of the two switches have other addresses.
    found += [message for message in corpus(version, both.theirs) if message[1] != OFPT_PORT_MOD]
    return found


class Bundles:
    """Bundles to both switches, each of them new; what comes back from both."""

    def __init__(self, both: Both) -> None:
        self.both = both
        self.ids = count(100)
        self.xids = count(1000)

    def control(self, bundle_id: int, kind: int, flags: int) -> bytes:
        return encode(b.BundleControl(bundle_id, kind, flags), self.both.version, next(self.xids))

    def add(self, bundle_id: int, message: bytes, flags: int) -> bytes:
        xid = next(self.xids)
        inner = message[:4] + xid.to_bytes(4, "big") + message[8:]
        return encode(b.BundleAdd(bundle_id, inner, flags), self.both.version, xid)

    def send(self, messages: list[bytes]) -> tuple[list[str], list[str]]:
        both = self.both
        both.ours.clock.warp(1)
        theirs = both.theirs.exchange(*messages)
        ours = both._ours(messages)
        return tuple([told([decode(reply).body])[0] for reply in replies] for replies in (theirs, ours))

    def state(self) -> tuple[list[str], list[str]]:
        """Flows, groups and ports of both."""
        questions = (f.FlowStatsRequest(), g.GroupDescRequest(), p.PortDescRequest())
        answers = [self.both.ask(body) for body in questions]
        return [theirs for theirs, _ in answers], [ours for _, ours in answers]

    def carry_out(self, messages: list[bytes], flags: int, end: int) -> tuple[list[str], list[str]]:
        """Whether they are added, how it ends, and what is there afterwards."""
        bundle_id = next(self.ids)
        steps = [self.control(bundle_id, b.OFPBCT_OPEN_REQUEST, flags)]
        steps += [self.add(bundle_id, message, flags) for message in messages]
        steps.append(self.control(bundle_id, end, flags))
        steps.append(self.control(bundle_id, b.OFPBCT_DISCARD_REQUEST, flags))
        theirs, ours = self.send(steps)
        a, c = self.state()
        return theirs + a, ours + c

    def clear(self) -> None:
        version = self.both.version
        wanted: list[object] = [
            FlowMod(command=FlowModCommand.DELETE, table_id=255),
            g.GroupMod(g.OFPGC_DELETE, g.OFPGT_ALL, g.OFPG_ALL),
            g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1, (_bucket("output:2"),)),
            parse_flow_line("priority=3,actions=1"), p.PortMod(1, 0, 0, 0x7F),
        ]
        self.send([encode(body, version, next(self.xids)) for body in wanted])


@pytest.fixture
def bundles(real: RealSwitch, request: pytest.FixtureRequest) -> Iterator[Bundles]:
    both = Both(real, request.param)
    yield Bundles(both)
    both.close()


@pytest.mark.parametrize("flags", [0, ATOMIC, ORDERED, ATOMIC | ORDERED])
@pytest.mark.parametrize("bundles", [OFP13, OFP14, OFP15], indirect=True, ids=lambda v: NAMES[v])
def test_every_message_in_every_place(bundles: Bundles, flags: int) -> None:
    """Left out is what the real switch doesn't do: it may not see flows of a mask that this bundle brought
    when it looks for overlaps or deletes all, and refuses port mods in atomic bundles."""
    version = bundles.both.version
    good = [encode(parse_flow_line(f"in_port={n},actions={n + 1}"), version, 1) for n in (1, 2)]
    found = []
    messages = bad_messages(version, bundles.both)
    if flags & ATOMIC:
        messages = [message for message in messages if message[1] != OFPT_PORT_MOD]
    cases = [(bad, place) for bad in messages for place in range(3)]
    for bad, place in sample(cases, 50):
        bundles.clear()
        theirs, ours = bundles.carry_out([*good[:place], bad, *good[place:]], flags, b.OFPBCT_COMMIT_REQUEST)
        if theirs != ours:
            at = next((i for i, (a, c) in enumerate(zip(theirs, ours, strict=False)) if a != c), -1)
            found.append(f"{bad.hex()} at {place}\n  real {theirs[at][:300]}\n  ours {ours[at][:300]}")
    assert not found, f"{len(found)} differ of {len(cases)}:\n" + "\n".join(found[:12])


@pytest.mark.parametrize("seed", sample(range(300), 12))
@pytest.mark.parametrize("bundles", [OFP13, OFP14, OFP15], indirect=True, ids=lambda v: NAMES[v])
def test_controls_in_any_order(bundles: Bundles, seed: int) -> None:
    """Opened twice, closed, committed or discarded when they are not there, with other flags, replies in
    place of requests, and adds in between."""
    r = random.Random(seed)
    version = bundles.both.version
    good = encode(parse_flow_line("in_port=1,actions=2"), version, 1)
    bad = encode(parse_flow_line("table=254,actions=2"), version, 1)
    first = next(bundles.ids)
    steps = []
    for _ in range(40):
        bundle_id = first + r.randrange(2)
        flags = r.choice((0, 0, 0, ORDERED, ORDERED, 4, 0xFFFF))
        if r.random() < 0.4:
            steps.append(bundles.add(bundle_id, r.choice((good, good, bad)), flags))
        else:
            steps.append(bundles.control(bundle_id, r.choice((0, 0, 0, 2, 4, 4, 6, 1, 3, 5, 7)), flags))
    bundles.clear()
    for step in steps:
        theirs, ours = bundles.send([step])
        assert theirs == ours, step.hex()
    theirs, ours = bundles.state()
    assert theirs == ours
    bundles.send([bundles.control(first + n, b.OFPBCT_DISCARD_REQUEST, 0) for n in range(2)])
