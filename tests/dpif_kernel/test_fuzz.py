"""200,000 damaged upcalls and flows (a tenth of them in an interpreted build): none crashes a parser."""

from __future__ import annotations

import random

from tests.dpif.lab import ALL_UDP, key_of, mask_of, tcp, udp, ufid_of
from tests.dpif_kernel.test_messages import DP, FAMILY, upcall
from vswitch.dpif.actions import Ct, Nat, Output, Sample, SetMasked, Userspace
from vswitch.dpif.actions_nl import encode_actions
from vswitch.dpif.kernel import packet
from vswitch.dpif.kernel.flow import compose_put, parse_flow
from vswitch.dpif.kernel.packet import UpcallParser
from vswitch.netlink.attrs import Builder, NlAttrError

COMPILED = not packet.__file__.endswith(".py")
N_INPUTS = 200_000 if COMPILED else 20_000
ACTIONS = (
    Output(1),
    Userspace(5, b"cookie", None, True),
    Sample(9, (Output(2),)),
    SetMasked(4, bytes(12), bytes(12)),
    Ct(True, nat=Nat("src", b"\1\2\3\4", b"\1\2\3\4", 1, 2)),
)


def damaged(r: random.Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(r.randrange(1, 5)):
        at = r.randrange(len(data))
        if r.random() < 0.8:
            data[at] = r.choice((0, 1, 4, 255, r.randrange(256)))
        else:
            del data[at : at + r.randrange(1, 5)]
    return bytes(data)


def test_no_upcall_breaks_the_parser() -> None:
    b = Builder()
    b.raw(4, b"cookie")
    b.raw(3, encode_actions(ACTIONS))
    seeds = [upcall(), upcall(2, extra=b.getvalue())]
    r = random.Random(1)
    parser = UpcallParser(FAMILY, DP)
    understood = 0
    for _ in range(N_INPUTS // 2):
        understood += parser.parse(damaged(r, r.choice(seeds))) is not None
    assert understood > 0


def test_no_flow_breaks_the_parser() -> None:
    seeds: list[bytes] = []
    for frame in (udp(), tcp(2), udp()[:12] + b"\x81\0\0\5" + udp()[12:]):
        b = Builder()
        key, mask = key_of(frame, 3), mask_of(*ALL_UDP)
        compose_put(b, 1, DP, key, mask, ACTIONS, ufid_of(1), True, False)
        seeds.append(b.getvalue())
    r = random.Random(2)
    understood = 0
    for _ in range(N_INPUTS // 2):
        data = damaged(r, r.choice(seeds))
        try:
            parse_flow(data, 0, len(data), 0)
            understood += 1
        except NlAttrError:
            pass
    assert understood > 0
