"""Random and damaged flow text: the parsers refuse it or understand it, at once."""

from __future__ import annotations

import random
import time
from pathlib import Path

import vswitch.flow.match_text
from vswitch.flow.match_text import parse_exact_flow, parse_match
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.flow.text import format_flow

COMPILED = not vswitch.flow.match_text.__file__.endswith(".py")
N_INPUTS = 200_000 if COMPILED else 20_000
HERE = Path(__file__).parent
CORPUS = [
    line.split(" =>")[0]
    for name in ("golden_matches.txt", "golden_flows.txt")
    for line in (HERE / name).read_text().splitlines()
    if not line.startswith("#")
]
WORDS = [word for line in CORPUS for word in line.split(",") if word]
LETTERS = "abcdefghiklmnopqrstuvwxyz_=,/().:+-|*[]{}\"' \t\n0123456789xXA\0é€"


def damaged(rng: random.Random) -> str:
    """One input: words recombined, or a good text with letters changed, removed, doubled."""
    kind = rng.randrange(4)
    if kind == 0:
        return ",".join(rng.choices(WORDS, k=rng.randrange(1, 6)))
    if kind == 1:
        return "".join(rng.choices(LETTERS, k=rng.randrange(40)))
    text = rng.choice(CORPUS)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text) + 1)
        what = rng.randrange(4)
        if what == 0:
            text = text[:at] + rng.choice(LETTERS) + text[at:]
        elif what == 1:
            text = text[:at] + text[at + 1 :]
        elif what == 2:
            text = text[:at] + rng.choice(LETTERS) + text[at + 1 :]
        else:
            text = text[:at] + text[at : at + 8] * rng.randrange(2, 30) + text[at:]
    return text


def test_damaged_flow_text_is_refused_or_understood() -> None:
    rng = random.Random(20260)
    slowest, refused = 0.0, 0
    for n in range(N_INPUTS):
        text = damaged(rng)
        start = time.perf_counter()
        try:
            if n & 1:
                format_flow(parse_exact_flow(text))
            else:
                parse_match(text).format()
        except FlowSyntaxError as error:
            refused += 1
            if n % 16 < 2:
                error.pointed()
        slowest = max(slowest, time.perf_counter() - start)
    assert N_INPUTS // 10 < refused < N_INPUTS * 19 // 20
    assert slowest < 1.0
