"""Every kind of request with bytes changed, to the real switch and to ours: the same errors, the same tables.

CI runs a sample; VSWITCH_TEST_ALL=1 many more.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.ofproto.ends import UNREADABLE, OurEnd, RealEnd, Request, encoded, told
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
from vswitch import Switch
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m
from vswitch.openflow.messages import session as s
from vswitch.openflow.wire.version import OFP11, OFP13, VERSIONS

pytestmark = pytest.mark.system

N_MUTATIONS = 20_000 if os.environ.get("VSWITCH_TEST_ALL") else 1_500
EMPTIED_AFTER = 20
HELLO = 0


@pytest.fixture(scope="module")
def ours() -> Iterator[Switch]:
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        yield switch


def tables_of(version: int) -> list[Request]:
    """What shows what mods did."""
    found: list[Request] = [f.FlowStatsRequest()]
    if version >= OFP11:
        found.append(g.GroupDescRequest())
    if version >= OFP13:
        found.append(m.MeterConfigRequest())
    return found


def unexplained(version: int, real: RealEnd, end: OurEnd, seed: int, n: int) -> list[str]:
    """The answers to `n` mutations that differ for no reason that is written down."""
    rnd = random.Random(seed)
    messages = corpus(version, real)
    addresses = [(real.mac(port).to_bytes(6), end.mac(port).to_bytes(6)) for port in (1, 2, 3, 0xFFFE)]
    found: list[str] = []
    parted = False
    for i in range(n):
        if i % EMPTIED_AFTER == 0:
            for each in (real, end):
                each.exchange(*(encoded(request, version) for request in cleanup(version)))
            parted = False
        data, simple = mutated(rnd, rnd.choice(messages))
        data = with_xid(data, 0x10000 + i)
        if data[1] == HELLO or hangs_the_real_switch(data):
            continue
        mine = data
        for theirs, address in addresses:
            mine = mine.replace(theirs, address)
        wanted, got = answers(real.exchange(data)), answers(end.exchange(mine))
        if UNREADABLE in wanted:
            continue
        difference = Difference(data, simple, frozenset(wanted), frozenset(got))
        if wanted != got:
            parted = True
            if not any(explains(difference) for explains in REASONS.values()):
                found.append(f"{data.hex()}: real {wanted}, ours {got}")
        if not parted and i % EMPTIED_AFTER == EMPTIED_AFTER - 1:
            for request in tables_of(version):
                there, here = (told(each.ask(request)) for each in (real, end))
                if there != here:
                    found.append(f"before {data.hex()}: real {there}, ours {here}")
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_changed_bytes_are_answered_as_the_real_switch_does(
    real: RealSwitch, ours: Switch, version: int
) -> None:
    real_end, end = RealEnd(f"{real.directory}/br0.mgmt", version), OurEnd(ours, version)
    try:
        differ = unexplained(version, real_end, end, version, N_MUTATIONS)
        assert not differ, f"{len(differ)} differ:\n" + "\n".join(differ[:20])
        assert real_end.ask(s.EchoRequest(b"alive")) == end.ask(s.EchoRequest(b"alive"))
    finally:
        real_end.close()
        end.close()
