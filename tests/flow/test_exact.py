"""Two packets fit one exact mask only if their flows are equal."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.flow.test_extract import FRAMES
from vswitch.flow.exact import exact_mask
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.flow.prereq import is_nd
from vswitch.packet.parse import Parser


def flow_of(frame: bytes) -> Flow:
    flow = Flow()
    extract(frame, flow, Parser())
    return flow


def differing(frame: bytes) -> list[bytes]:
    """The frame with each bit of its first 80 bytes turned over in turn."""
    n = 8 * min(len(frame), 80)
    return [(int.from_bytes(frame, "big") ^ 1 << (8 * len(frame) - 1 - bit)).to_bytes(len(frame), "big")
            for bit in range(n)]


@pytest.mark.parametrize("name", FRAMES)
def test_what_differs_does_not_fit(name: str) -> None:
    """But for neighbour discovery, which the mask leaves to translation."""
    flow = flow_of(FRAMES[name])
    mask = exact_mask(flow)
    assert flow.equal_in(flow, mask)
    different = 0
    for frame in differing(FRAMES[name]):
        other = flow_of(frame)
        if not is_nd(flow) or not other.equal_in(flow, mask):
            assert flow.equal_in(other, mask) == (flow == other), frame.hex()
        different += flow != other
    assert different >= 100


def test_no_packet_fits_the_mask_of_another_kind() -> None:
    flows = [flow_of(frame) for frame in FRAMES.values()]
    for one, other in permutations(flows, 2):
        if not (is_nd(one) and is_nd(other)):
            assert one == other or not one.equal_in(other, exact_mask(one))
