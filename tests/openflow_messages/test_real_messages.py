"""What the real ovs-ofctl and ovs-vswitchd said to each other (`capture.py`), in every version."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.codec import ROWS, Message, decode, encode
from vswitch.openflow.wire.version import VERSIONS, version_name

REAL = [bytes.fromhex(line) for line in (Path(__file__).parent / "real_messages.txt").read_text().split()]


def decode_either(data: bytes) -> Message:
    """With or without NXT_FLOW_MOD_TABLE_ID, which ovs-ofctl asks for on some connections."""
    try:
        return decode(data)
    except OfpError as error:
        if error.name != "OFPFMFC_BAD_COMMAND":
            raise
        return decode(data, flow_mod_table_id=True)


@pytest.mark.parametrize("version", VERSIONS, ids=version_name)
def test_a_real_message_is_read_and_written_the_same(version: int) -> None:
    for data in REAL:
        if data[0] == version:
            m = decode_either(data)
            plain = encode(m.body, m.version, m.xid, m.form)
            with_table = encode(m.body, m.version, m.xid, m.form, flow_mod_table_id=True)
            assert data in (plain, with_table), (m, plain.hex())


def test_the_capture_has_most_of_the_messages_in_each_version() -> None:
    seen = {(m.version, type(m.body)) for m in map(decode_either, REAL)}
    for version in VERSIONS:
        known = {row.cls for row in ROWS if row.first <= version <= row.last}
        assert len({cls for v, cls in seen if v == version}) > len(known) * 0.6


def mutated(rng: random.Random, data: bytes) -> bytes:
    """`data` with a few bytes changed, cut or repeated, its length told truly mostly."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        what = rng.random()
        at = rng.randrange(8 if rng.random() < 0.9 else 0, max(len(out), 9))
        if what < 0.6 and at < len(out):
            out[at] = rng.choice((0, 1, 0xFF, rng.randrange(256), out[at] ^ 1 << rng.randrange(8)))
        elif what < 0.8:
            del out[at : at + rng.choice((1, 2, 4, 8, 16))]
        else:
            out[at:at] = out[at : at + rng.choice((4, 8, 16))]
    if rng.random() < 0.95 and len(out) >= 4:
        out[2:4] = len(out).to_bytes(2, "big")
    return bytes(out)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_messages_are_refused_with_an_error_or_understood(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(1000):
        data = mutated(rng, rng.choice(REAL))
        try:
            decode(data, flow_mod_table_id=rng.random() < 0.5)
        except OfpError as refused:
            error = refused
        else:
            continue
        assert error.data == data[:64]


def test_arbitrary_bytes_are_refused_with_an_error() -> None:
    rng = random.Random(1)
    for _ in range(3000):
        body = rng.randbytes(rng.choice((0, 4, 8, 16, 40, 100)))
        head = bytes((rng.randint(0, 7), rng.randrange(36))) + (len(body) + 8).to_bytes(2, "big") + bytes(4)
        try:
            decode(head + body)
        except OfpError:
            continue
