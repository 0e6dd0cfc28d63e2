"""Every kind of request with bytes changed, to the real switch and to ours: the same errors, the same tables.

CI runs a sample; VSWITCH_TEST_ALL=1 many more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ofproto.ends import UNREADABLE, XID, OurEnd, RealEnd, Request, encoded, told
from tests.ofproto.mutations import (
    REASONS,
    Difference,
    answers,
    corpus,
    hangs_the_real_switch,
    mutated,
    with_xid,
)
from tests.ofproto.test_real_replies import cleanup
from tests.oracle.real import RealSwitch
from tests.whole import ALL, SEED
from vswitch import Switch
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m
from vswitch.openflow.wire.actions import enable_debug_actions
from vswitch.openflow.wire.codec import decode
from vswitch.openflow.wire.version import OFP11, OFP13, VERSIONS

pytestmark = pytest.mark.system

N_MUTATIONS = 20_000 if ALL else 1_500
EMPTIED_AFTER = 20
HELLO = 0
FOUND = Path(__file__).with_name("found_messages.txt")
NOBODY = bytes.fromhex("020000007777")


@pytest.fixture(scope="module")
def ours() -> Iterator[Switch]:
    # As the real switch with dummies.
    enable_debug_actions()
    try:
        with Switch(ports=["p1", "p2", "p3"]) as switch:
            yield switch
    finally:
        enable_debug_actions(False)


def tables_of(version: int) -> list[Request]:
    """What shows what mods did."""
    found: list[Request] = [f.FlowStatsRequest()]
    if version >= OFP11:
        found.append(g.GroupDescRequest())
    if version >= OFP13:
        found.append(m.MeterConfigRequest())
    return found


@dataclass
class Ends:
    """A connection of a version to each switch."""

    real: RealEnd
    ours: OurEnd

    def __post_init__(self) -> None:
        ports = (1, 2, 3, 0xFFFE)
        self.addresses = [(self.real.mac(p).to_bytes(6), self.ours.mac(p).to_bytes(6)) for p in ports]

    def empty(self) -> None:
        # 1.1 can't speak of all tables at once.
        version = OFP13 if self.real.version == OFP11 else self.real.version
        ends = (RealEnd(self.real.socket.getpeername(), version), OurEnd(self.ours.switch, version))
        for end in ends:
            end.exchange(*(encoded(request, version) for request in cleanup(version)))
            end.close()

    def answers(self, data: bytes) -> tuple[list[str], list[str]]:
        """What the two answer to `data`, in which ports have the real switch's addresses."""
        mine = data
        for theirs, ours in self.addresses:
            mine = mine.replace(ours, NOBODY).replace(theirs, ours)
        return answers(self.real.exchange(data)), answers(self.ours.exchange(mine))

    def close(self) -> None:
        self.real.close()
        self.ours.close()


def listed(end: RealEnd | OurEnd, request: Request) -> list[str]:
    """The replies to `request`, without what comes in between. The real switch writes some actions wrong."""
    replies = end.exchange(encoded(request, end.version))
    try:
        return told(decode(reply).body for reply in replies if reply[4:8] == XID.to_bytes(4))
    except OfpError:
        return [UNREADABLE]


def round_of(rnd: random.Random, ends: Ends, messages: list[bytes], first: int) -> Iterator[str]:
    """The answers to some mutations, on new connections, that differ for no reason that is written down; and
    the tables, if no answer differed."""
    ends.empty()
    alike = True
    for i in range(first, first + EMPTIED_AFTER):
        data, simple = mutated(rnd, rnd.choice(messages))
        data = with_xid(data, 0x10000 + i)
        if data[1] == HELLO or hangs_the_real_switch(data):
            continue
        wanted, got = ends.answers(data)
        if wanted != got:
            alike = False
            difference = Difference(data, simple, frozenset(wanted), frozenset(got))
            if UNREADABLE not in wanted and not any(explains(difference) for explains in REASONS.values()):
                yield f"{data.hex()}: real {wanted}, ours {got}"
    if alike:
        for request in tables_of(ends.real.version):
            there, here = (listed(end, request) for end in (ends.real, ends.ours))
            if there != here and there != [UNREADABLE]:
                yield f"up to {data.hex()}: real {there}, ours {here}"


@pytest.mark.parametrize("version", VERSIONS)
def test_changed_bytes_are_answered_as_the_real_switch_does(
    real: RealSwitch, ours: Switch, version: int
) -> None:
    rnd = random.Random(version + 16 * SEED)
    differ: list[str] = []
    messages: list[bytes] = []
    for first in range(0, N_MUTATIONS, EMPTIED_AFTER):
        ends = Ends(RealEnd(f"{real.directory}/br0.mgmt", version), OurEnd(ours, version))
        try:
            messages = messages or corpus(version, ends.real)
            differ += round_of(rnd, ends, messages, first)
        finally:
            ends.close()
    assert not differ, f"{len(differ)} differ:\n" + "\n".join(differ[:20])


def test_what_was_once_answered_otherwise(real: RealSwitch, ours: Switch) -> None:
    differ = []
    for n, line in enumerate(FOUND.read_text().splitlines()):
        if line.startswith("#"):
            continue
        data = with_xid(bytes.fromhex(line), 0x10000 + n)
        ends = Ends(RealEnd(f"{real.directory}/br0.mgmt", data[0]), OurEnd(ours, data[0]))
        try:
            ends.empty()
            wanted, got = ends.answers(data)
            there, here = (listed(end, f.FlowStatsRequest()) for end in (ends.real, ends.ours))
        finally:
            ends.close()
        if wanted != got or (there != here and there != [UNREADABLE]):
            differ.append(f"{line}: real {wanted} {there}, ours {got} {here}")
    assert not differ, "\n".join(differ)
