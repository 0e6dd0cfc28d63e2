"""Written conversations: after each packet the same comes out of both switches, and they know the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conntrack.compare import difference, step
from tests.conntrack.conversation import Conversation, Maker, read
from tests.conntrack.pair import OurTracker, RealTracker
from tests.conntrack.tables import flow_table

pytestmark = pytest.mark.system

FILES = sorted((Path(__file__).parent / "conversations").glob("*.txt"))
CONVERSATIONS = [conversation for path in FILES for conversation in read(path)]


AT_FIRST = (
    "dpctl/ct-set-limits default=1000000", "dpctl/ct-set-maxconns 3000000", "dpctl/ct-enable-tcp-seq-chk",
    "dpctl/ipf-set-enabled v4", "dpctl/ipf-set-enabled v6", "dpctl/ipf-set-min-frag v4 1200",
    "dpctl/ipf-set-min-frag v6 1280", "dpctl/ipf-set-max-nfrags 1000",
)  # fmt: skip


def differences(real: RealTracker, ours: OurTracker, conversation: Conversation) -> str:
    """Where the two differ, or ""."""
    table = flow_table(conversation.table)
    for tracker in (real, ours):
        tracker.flows(table)
        for command in AT_FIRST:
            tracker.command(*command.split())
    maker = Maker(conversation.six)
    for words in conversation.lines:
        line = " ".join(words)
        if words[0] == "wait":
            real.warp(int(words[1]))
            ours.warp(int(words[1]))
            found = difference(real, ours)
        elif words[0] == "command":
            answers = real.command(*words[1:]), ours.command(*words[1:])
            found = "" if answers[0] == answers[1] else f"-{answers[0]}\n+{answers[1]}"
        else:
            found = ""
            for port, packet in maker.packets(words):
                found = found or step(real, ours, port, packet)
            maker.out.update(ours.last)
        if found:
            return f"{line}\n{found}"
    theirs, mine = real.counters(), ours.counters()
    return "" if theirs == mine else f"counters\n-{theirs}\n+{mine}"


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=[c.name for c in CONVERSATIONS])
def test_conversation(real_tracker: RealTracker, our_tracker: OurTracker, conversation: Conversation) -> None:
    found = differences(real_tracker, our_tracker, conversation)
    assert not found, found


def test_there_are_enough() -> None:
    assert len(CONVERSATIONS) >= 120
    assert len({c.name for c in CONVERSATIONS}) == len(CONVERSATIONS)
