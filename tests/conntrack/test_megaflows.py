"""What datapath flows match after a conversation: as the real switch's, bit for bit.

Each written conversation up to where time passes; a sample here, all of them with VSWITCH_TEST_ALL=1.
"""

from __future__ import annotations

import re
import time

import pytest

from tests.conntrack.conversation import Conversation, Maker
from tests.conntrack.pair import OurTracker, RealTracker
from tests.conntrack.tables import flow_table
from tests.conntrack.test_conversations import AT_FIRST, CONVERSATIONS
from tests.oracle.test_datapath_flows import flows as datapath_flows
from tests.whole import sample

pytestmark = pytest.mark.system

CHOSEN = sample(CONVERSATIONS, 12)
_LABEL = re.compile(r"ct_label\((0x[0-9a-f]+)/(0x[0-9a-f]+)\)")


def label(found: re.Match[str]) -> str:
    """A label without the bits that the flow doesn't match on, which the real switch shows too."""
    mask = int(found[2], 16)
    return f"ct_label({int(found[1], 16) & mask:#x}/{mask:#x})"


def exchanged(tracker: RealTracker | OurTracker, conversation: Conversation,
              packets: list[tuple[int, bytes, int]]) -> list[str]:
    """The datapath flows once the packets (port, frame, how many come out) have passed."""
    tracker.flows(flow_table(conversation.table))
    for command in AT_FIRST:
        tracker.command(*command.split())
    for port, packet, expected in packets:
        if isinstance(tracker, RealTracker):
            tracker.send(port, packet, expected)
        else:
            tracker.send(port, packet)
    return datapath_flows(_LABEL.sub(label, tracker.command("dpctl/dump-flows", "--names")))


def packets_of(ours: OurTracker, conversation: Conversation) -> list[tuple[int, bytes, int]]:
    """The packets up to where time passes or a command comes, and how many come out for each."""
    ours.flows(flow_table(conversation.table))
    maker = Maker(conversation.six)
    found: list[tuple[int, bytes, int]] = []
    for words in conversation.lines:
        if words[0] in ("wait", "command"):
            break
        for port, packet in maker.packets(words):
            found.append((port, packet, len(ours.send(port, packet))))
        maker.out.update(ours.last)
    return found


@pytest.mark.parametrize("conversation", CHOSEN, ids=[c.name for c in CHOSEN])
def test_the_same_datapath_flows(
    real_tracker: RealTracker, our_tracker: OurTracker, conversation: Conversation
) -> None:
    packets = packets_of(our_tracker, conversation)
    our_tracker.command("revalidator/purge")
    mine = exchanged(our_tracker, conversation, packets)
    theirs: list[str] = []
    end = time.monotonic() + 3
    while theirs != mine and time.monotonic() < end:
        theirs = exchanged(real_tracker, conversation, packets)
    lines = [f"-{line}" for line in theirs if line not in mine]
    lines += [f"+{line}" for line in mine if line not in theirs]
    assert theirs == mine, "\n".join(["", *lines])
