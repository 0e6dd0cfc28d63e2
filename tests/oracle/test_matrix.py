"""The matrix (`matrix.py`) against the real switch: taken or refused alike, same errors, dumps and traces."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.ofproto.ends import RealEnd, told
from tests.oracle.compare import answer
from tests.oracle.matrix import (
    ACTIONS,
    BUNDLE,
    GROUP,
    MATCHES,
    PLACES,
    Requests,
    field_matches,
    learned,
    requests,
    versions_of,
)
from tests.oracle.ours import OurSwitch
from tests.oracle.real import RealSwitch
from tests.oracle.setup import Bridge, Port, Query, Setup
from tests.oracle.wired import VERSIONS, Wire, encoded
from tests.whole import ALL
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.group_text import parse_meter
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages.nicira import FlowModTableId
from vswitch.openflow.wire.codec import decode
from vswitch.openflow.wire.version import OFP10, OFP11, OFP13, OFP15

pytestmark = pytest.mark.system

N_TRACES = 100_000 if ALL else 12
"""Flows whose packets are traced, of one version and place."""
CHUNK = 100
"""Messages after which a barrier has them answered, lest a socket fills."""
NAMES = {number: name for name, number in VERSIONS.items()}


class Both:
    """Bridge br0 of the real switch and ours, with three ports, and a connection of one version to each."""

    def __init__(self, real: RealSwitch, version: int) -> None:
        self.real = real
        self.ours = OurSwitch()
        setup = Setup("matrix", [Bridge("br0", ports=[Port(f"p{n}") for n in (1, 2, 3)])])
        real.configure(setup)
        self.ours.configure(setup)
        self.version = version
        self.theirs = RealEnd(str(real.directory / "br0.mgmt"), version)
        self.wire = Wire(self.ours.ofprotos.all_ofproto_dpifs["br0"], NAMES[version])
        if version == OFP10:
            self.exchange([encoded(FlowModTableId(True), version)])

    def exchange(self, messages: list[bytes]) -> tuple[dict[int, str], dict[int, str]]:
        """The replies of both by the number of the request."""
        self.ours.clock.warp(1)
        answers = []
        theirs: list[bytes] = []
        for first in range(0, len(messages), CHUNK):
            theirs += self.theirs.exchange(*messages[first : first + CHUNK])
        for replies in (theirs, self._ours(messages)):
            by_xid: dict[int, list[object]] = {}
            for reply in replies:
                by_xid.setdefault(int.from_bytes(reply[4:8], "big"), []).append(decode(reply).body)
            answers.append({xid: "; ".join(told(bodies)) for xid, bodies in by_xid.items()})
        return answers[0], answers[1]

    def _ours(self, messages: list[bytes]) -> list[bytes]:
        for message in messages:
            self.wire.conn.receive(message, self.ours.clock.now())
        taken, self.wire.peer.sent = self.wire.peer.sent, []
        return taken

    def ask(self, body: object) -> tuple[str, str]:
        """What both say to one request."""
        theirs, ours = self.exchange([encoded(body, self.version)])
        return "; ".join(theirs.values()), "; ".join(ours.values())

    def close(self) -> None:
        self.theirs.close()
        self.wire.close()
        self.ours.close()


@pytest.fixture
def both(real: RealSwitch, request: pytest.FixtureRequest) -> Iterator[Both]:
    made = Both(real, request.param)
    yield made
    made.close()


def different(cases: Requests, theirs: dict[int, str], ours: dict[int, str]) -> list[str]:
    """The requests that were answered differently."""
    return [
        f"{cases.place} {NAMES[cases.version]} {case.text}\n  real {theirs.get(xid, 'taken')[:60]}"
        f"\n  ours {ours.get(xid, 'taken')[:60]}"
        for xid, case in enumerate(cases.cases, 1)
        if theirs.get(xid) != ours.get(xid)
    ]  # fmt: skip


def check_dumps(both: Both) -> list[str]:
    """Flows and groups that one has and the other hasn't."""
    found = []
    questions: list[object] = [f.FlowStatsRequest()]
    if both.version != OFP10:
        questions.append(g.GroupDescRequest())
    for body in questions:
        theirs, ours = both.ask(body)
        if theirs != ours:
            a, c = set(theirs.split(", FlowStats(")), set(ours.split(", FlowStats("))
            found += [f"only real has {text[:300]}" for text in sorted(a - c)[:3]]
            found += [f"only ours has {text[:300]}" for text in sorted(c - a)[:3]]
    return found


def check_traces(both: Both, cases: Requests, refused: dict[int, str]) -> list[str]:
    """Packets of the flows that were taken, to which something else happens."""
    shown = [case for xid, case in enumerate(cases.cases, 1) if case.shows and xid not in refused]
    found = []
    for case in random.Random(5).sample(shown, min(N_TRACES, len(shown))):
        query = Query("br0", case.shows)
        theirs, mine = answer(both.real, query), answer(both.ours, query)
        if theirs != mine:
            found.append(f"{cases.place} {NAMES[cases.version]} {case.text}\n{theirs}--- ours\n{mine}")
    return found


def check_groups(both: Both, cases: Requests, refused: dict[int, str]) -> list[str]:
    """Packets that meet groups which were taken, and to which something else happens."""
    taken = [number for number in range(len(cases.cases)) if number + 1 not in refused]
    found = []
    for number in random.Random(5).sample(taken, min(N_TRACES, len(taken))):
        both.ask(FlowMod(actions=parse_actions(f"group:{GROUP + number}")))
        for packet in ("tcp,nw_ttl=9", "arp", "mpls,mpls_label=5,mpls_ttl=9,mpls_bos=1"):
            query = Query("br0", f"in_port=1,{packet}")
            theirs, mine = answer(both.real, query), answer(both.ours, query)
            if theirs != mine:
                found.append(f"{NAMES[cases.version]} {cases.cases[number].text}\n{theirs}--- ours\n{mine}")
    return found


PAIRS = [(version, place) for place in PLACES for version in versions_of(place)]


@pytest.mark.parametrize(("both", "place"), PAIRS, indirect=["both"],
                         ids=[f"{place}-{NAMES[version]}" for version, place in PAIRS])  # fmt: skip
def test_every_action_in_every_place(both: Both, place: str) -> None:
    version = both.version
    matches = MATCHES if ALL or place == "flow" else MATCHES[:: 3 if place == "write_actions" else 6]
    cases = requests(version, place, matches, ACTIONS)
    assert len(cases.cases) > 60
    if version >= OFP13:
        both.ask(parse_meter("meter=1,kbps,bands=type=drop,rate=1000"))
    if version >= OFP11:
        both.ask(g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1, ()))
        both.ask(g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, GROUP - 1, ()))
    if place.startswith("bundle"):
        both.ask(b.BundleControl(BUNDLE, b.OFPBCT_OPEN_REQUEST, 3))
    theirs, ours = both.exchange([case.data for case in cases.cases])
    found = different(cases, theirs, ours)
    if place.startswith("bundle"):
        a, c = both.ask(b.BundleControl(BUNDLE, b.OFPBCT_COMMIT_REQUEST, 3))
        if a != c:
            found.append(f"commit: real {a[:200]}, ours {c[:200]}")
    found += check_dumps(both)
    found += check_traces(both, cases, theirs)
    if place == "group" and version >= OFP11:
        found += check_groups(both, cases, theirs)
    assert not found, f"{len(found)} differ of {len(cases.cases)}:\n" + "\n".join(found[:12])


@pytest.mark.parametrize("both", [OFP10, OFP13, OFP15] if not ALL else list(VERSIONS.values()), indirect=True)
def test_every_kind_of_match(both: Both) -> None:
    cases = field_matches(both.version)
    assert len(cases.cases) > 200
    theirs, ours = both.exchange([case.data for case in cases.cases])
    found = different(cases, theirs, ours) + check_dumps(both)
    assert not found, f"{len(found)} differ of {len(cases.cases)}:\n" + "\n".join(found[:12])


@pytest.mark.parametrize("both", [OFP10, OFP15] if not ALL else list(VERSIONS.values()), indirect=True)
def test_every_kind_of_match_that_is_learned(both: Both) -> None:
    cases = learned(both.version)
    assert len(cases.cases) > 200
    theirs, ours = both.exchange([case.data for case in cases.cases])
    found = different(cases, theirs, ours) + check_dumps(both) + check_traces(both, cases, theirs)
    assert not found, f"{len(found)} differ of {len(cases.cases)}:\n" + "\n".join(found[:12])
