"""200,000 random and mutated inputs for each reader of Netlink bytes: nothing crashes or hangs.

(A tenth of them in an interpreted build.)
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from vswitch.netlink import attrs
from vswitch.netlink.attrs import AttrIndex, Builder, NlAttrError, attributes
from vswitch.netlink.message import Batch, error_of, extended_ack, walk

COMPILED = not attrs.__file__.endswith(".py")
N_INPUTS = 200_000 if COMPILED else 20_000


def seeds() -> list[bytes]:
    """Well-formed messages to start from: a request, a refusal with words, a nest of nests."""
    b = Builder()
    message = b.begin_message(20, 5, 1, 0)
    b.genl_header(3, 1)
    b.append_u32(7)
    b.string(1, "eth0")
    nest = b.begin(2)
    inner = b.begin(3)
    b.u64(4, 1 << 63)
    b.end(inner)
    b.u8(5, 255)
    b.end(nest)
    b.end_message(message)
    request = b.getvalue()
    b.clear()
    message = b.begin_message(2, 0x300, 1, 0)
    b.append(struct.pack("=iIHHII", -22, 20, 20, 5, 1, 0))
    b.string(1, "an extended ack")
    b.u32(2, 40)
    b.end_message(message)
    return [request, b.getvalue(), request + b.getvalue(), request[24:]]


def inputs(seed: int) -> list[bytes]:
    """A thousand inputs: half of them random, half mutated."""
    r = random.Random(seed)
    good = seeds()
    found: list[bytes] = []
    for _ in range(500):
        found.append(r.randbytes(r.randrange(80)))
        data = bytearray(r.choice(good))
        for _ in range(r.randrange(1, 6)):
            at = r.randrange(len(data))
            match r.randrange(4):
                case 0:
                    data[at] = r.randrange(256)
                case 1:
                    data[at] ^= 1 << r.randrange(8)
                case 2 if len(data) > 1:
                    del data[at : at + r.randrange(1, 9)]
                case _:
                    data[at:at] = r.randbytes(r.randrange(1, 9))
            if not data:
                data = bytearray(1)
        found.append(bytes(data))
    return found


def read_attributes(data: bytes) -> None:
    try:
        found = attributes(data)
    except NlAttrError:
        found = []
    index = AttrIndex(62)
    sound = index.index(data, 0, len(data))
    if found:
        assert sound
    for t in range(63):
        if index.has(t):
            assert 0 <= index.offsets[t] <= len(data)
            assert index.offsets[t] + index.lengths[t] <= len(data)
            index.u8(data, t, 0), index.u16(data, t, 0), index.u32(data, t, 0), index.s64(data, t, 0)


def read_messages(data: bytes) -> None:
    for m in walk(data):
        error_of(m)
        extended_ack(m)
        m.payload()
    batch = Batch(0)
    for want_reply, quiet in ((True, False), (False, True), (False, False)):
        batch.begin(20, 0, want_reply, quiet)
        batch.end()
    batch.take(data)
    batch.settle()
    batch.give_up(5)
    assert batch.done()


@pytest.mark.parametrize("reader", [read_attributes, read_messages])
def test_no_input_breaks_the_reader(reader: Callable[[bytes], None]) -> None:
    for seed in range(N_INPUTS // 1000):
        for data in inputs(seed):
            reader(data)
