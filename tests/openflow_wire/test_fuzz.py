"""500,000 arbitrary and mutated messages (compiled): understood, or refused by an error of OpenFlow."""

from __future__ import annotations

import random

import pytest

from tests.openflow_messages.test_codec import EXAMPLES
from tests.openflow_messages.test_real_messages import REAL
from vswitch.cli.version import compiled_modules
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.wire.codec import ROWS, decode, encodable, encode
from vswitch.openflow.wire.version import VERSIONS

N_INPUTS = 500_000 if compiled_modules() else 12_000
CHUNKS = 4
EDGES = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF)


def sources() -> list[bytes]:
    """Sound messages to mutate: the real switch's, and one of each class and version."""
    ours = [
        encode(body, version, 5)
        for body, first, last in EXAMPLES
        for version in VERSIONS
        if first <= version <= last and encodable(body, version)
    ]
    return [*REAL, *ours]


def altered(chance: random.Random, sound: list[bytes]) -> bytes:
    """A message that is wrong in a few bytes, cut off, put together from two, or nothing but noise."""
    how = chance.randrange(8)
    if how == 0:
        body = chance.randbytes(chance.randrange(72))
        head = bytes((chance.randrange(8), chance.randrange(36)))
        return head + (8 + len(body)).to_bytes(2, "big") + bytes(4) + body
    data = bytearray(chance.choice(sound))
    if how == 1:
        del data[chance.randrange(8, len(data) + 1) :]
    elif how == 2:
        other = chance.choice(sound)
        data[chance.randrange(8, len(data) + 1) :] = other[chance.randrange(8, len(other) + 1) :]
    else:
        for _ in range(how - 2):
            value = chance.choice(EDGES) if how & 1 else chance.randrange(256)
            data[chance.randrange(len(data))] = value
    if chance.randrange(4):
        data[2:4] = min(len(data), 0xFFFF).to_bytes(2, "big")
    return bytes(data[:0xFFFF])


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_no_message_does_more_than_raise_an_ofp_error(seed: int) -> None:
    chance = random.Random(seed)
    sound = sources()
    understood = 0
    for _ in range(N_INPUTS // CHUNKS):
        data = altered(chance, sound)
        try:
            decode(data, flow_mod_table_id=bool(understood & 1))
        except OfpError:
            continue
        understood += 1
    assert N_INPUTS // CHUNKS // 50 < understood < N_INPUTS // CHUNKS


@pytest.mark.parametrize("seed", range(2))
def test_what_is_understood_of_any_class_is_written_and_read_again(seed: int) -> None:
    chance = random.Random(seed)
    sound = sources()
    seen: set[type] = set()
    more = (altered(chance, sound) for _ in range(max(N_INPUTS // 50, 6000)))
    for data in (*sound, *more):
        try:
            found = decode(data, flow_mod_table_id=True)
        except OfpError:
            continue
        seen.add(type(found.body))
        if isinstance(found.body, FlowMod) and found.body.table_id == 0xFF:
            continue  # an addition to "all tables" is written as one to table 0
        # The first time, what an old version said may become what the newer ones say.
        for _ in range(2):
            before = found
            again = encode(found.body, found.version, found.xid, found.form, flow_mod_table_id=True)
            found = decode(again, flow_mod_table_id=True)
        assert found == before
    assert seen >= {row.cls for row in ROWS}
