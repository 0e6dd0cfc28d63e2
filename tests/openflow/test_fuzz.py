"""Flow mods from mangled text: parsed or refused, in time, never a crash."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from vswitch.cli.version import compiled_modules
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.action_text import format_actions
from vswitch.openflow.flow_text import parse_flow

N_INPUTS = 200_000 if compiled_modules() else 20_000
CHUNKS = 4
HEADS = [
    "", "ip,", "tcp,tp_dst=80,", "table=3,priority=5,cookie=1,", "arp,arp_op=1,", "ipv6,ipv6_src=fe80::/64,",
    "dl_vlan=3,", "ct_state=+trk,", "tun_id=5,tun_metadata0=3,", "tcp,tcp_flags=+syn,", "mpls,",
    "dl_type=0x894f,",
]  # fmt: skip
NUMBERS = [0, 1, 255, 256, 65535, 65536, 2**32, 2**64, 2**128, -1]
HERE = Path(__file__).parent
ACTIONS = [
    line.partition(" => ")[0].partition(" | ")[0]
    for name in ("actions.txt", "bad_actions.txt")
    for line in (HERE / name).read_text().splitlines()
    if line and not line.startswith("#")
]


def mangled(rnd: random.Random) -> str:
    """A flow with up to five things wrong."""
    text = rnd.choice(HEADS) + "actions=" + ",".join(rnd.choice(ACTIONS) for _ in range(rnd.randrange(1, 4)))
    for _ in range(rnd.randrange(6)):
        kind = rnd.randrange(4)
        at = rnd.randrange(len(text) + 1)
        if kind == 0:
            text = text[:at] + rnd.choice("()[]:=,>-/.0x9af*+ \t\n\"'\0é") + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rnd.randrange(1, 5) :]
        elif kind == 2:
            other = rnd.randrange(len(text) + 1)
            text = text[:at] + text[min(at, other) : max(at, other)] + text[at:]
        else:
            text = text[:at] + str(rnd.choice(NUMBERS)) + text[at:]
    return text[:2000]


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_no_flow_text_crashes_or_hangs_the_parser(seed: int) -> None:
    rnd = random.Random(seed)
    started = time.monotonic()
    parsed = 0
    for _ in range(N_INPUTS // CHUNKS):
        try:
            fm = parse_flow(mangled(rnd))
        except FlowSyntaxError as error:
            error.pointed()
        else:
            format_actions(fm.actions)
            parsed += 1
    assert parsed
    assert time.monotonic() - started < 60
