"""Random and damaged key attributes, action attributes and datapath flow text."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import vswitch.dpif.odp_key
from vswitch.dpif.actions_nl import decode_actions, encode_actions
from vswitch.dpif.odp_key import KEY_USERSPACE, decode_key, decode_mask, encode_key, encode_mask
from vswitch.dpif.odp_text import format_actions, format_key, parse_actions, parse_key
from vswitch.dpif.types import Fitness
from vswitch.flow.flow import Flow
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.netlink.attrs import NlAttrError

COMPILED = not vswitch.dpif.odp_key.__file__.endswith(".py")
N_INPUTS = 200_000 if COMPILED else 20_000
HERE = Path(__file__).parent
GOLDEN = [
    line.split("\t")
    for line in (HERE / "golden_dpctl.txt").read_text().splitlines()
    if not line.startswith("#")
]
KEYS = sorted({text for text, _, _, _ in GOLDEN})
ACTIONS = sorted({actions for _, actions, _, _ in GOLDEN})


def damaged_bytes(rng: random.Random, corpus: list[bytes]) -> bytes:
    """One input: random bytes, or good attributes with bytes and lengths changed, cut, joined."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(120))
    data = bytearray(rng.choice(corpus))
    if kind == 1:
        data += rng.choice(corpus)
    for _ in range(rng.randrange(1, 5)):
        if not data:
            break
        at = rng.randrange(len(data))
        what = rng.randrange(4)
        if what == 0:
            data[at] = rng.randrange(256)
        elif what == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 2:
            del data[at : at + rng.randrange(1, 9)]
        else:
            at &= ~3
            data[at : at + 1] = bytes([rng.randrange(48)])
    return bytes(data)


def test_damaged_keys_are_refused_or_understood() -> None:
    rng = random.Random(20261)
    pairs = [parse_key(text) for text in KEYS]
    keys = [encode_key(flow, KEY_USERSPACE) for flow, _ in pairs]
    masks = [encode_mask(mask, flow, KEY_USERSPACE) for flow, mask in pairs]
    seen = dict.fromkeys(Fitness, 0)
    flow, mask = Flow(), Flow()
    slowest = 0.0
    for n in range(N_INPUTS):
        data = damaged_bytes(rng, keys)
        start = time.perf_counter()
        fitness = decode_key(data, flow)
        seen[fitness] += 1
        if fitness is not Fitness.ERROR:
            decode_mask(damaged_bytes(rng, masks), mask, flow)
            again = encode_key(flow, KEY_USERSPACE)
            if fitness is Fitness.PERFECT and n % 8 == 0:
                back = Flow()
                assert decode_key(again, back) is Fitness.PERFECT, data.hex()
                assert encode_key(back, KEY_USERSPACE) == again, data.hex()
                format_key(flow, mask, verbose=n % 16 == 0)
        slowest = max(slowest, time.perf_counter() - start)
    assert all(seen.values()), seen
    assert slowest < 1.0


def test_damaged_actions_are_refused_or_understood() -> None:
    rng = random.Random(20262)
    corpus = [encode_actions(parse_actions(text)) for text in ACTIONS]
    understood, slowest = 0, 0.0
    for n in range(N_INPUTS):
        data = damaged_bytes(rng, corpus)
        start = time.perf_counter()
        with contextlib.suppress(NlAttrError):
            actions = decode_actions(data)
            understood += 1
            if n % 8 == 0:
                format_actions(actions)
                once = decode_actions(encode_actions(actions))
                assert decode_actions(encode_actions(once)) == once
        slowest = max(slowest, time.perf_counter() - start)
    assert N_INPUTS // 50 < understood < N_INPUTS
    assert slowest < 1.0


def test_damaged_text_is_refused_or_understood() -> None:
    rng = random.Random(20263)
    corpus = KEYS + ACTIONS
    letters = "abcdefghiklmnopqrstuvwxyz_=,/().:+-|{}0123456789x%"
    slowest = 0.0
    for n in range(N_INPUTS // 4):
        text = rng.choice(corpus)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(letters) * rng.randrange(3) + text[at + rng.randrange(2) :]
        start = time.perf_counter()
        with contextlib.suppress(FlowSyntaxError):
            if n & 1:
                parse_actions(text)
            else:
                parse_key(text)
        slowest = max(slowest, time.perf_counter() - start)
    assert slowest < 1.0
