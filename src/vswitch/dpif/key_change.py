"""What is different between two flows in one key attribute, as a set action has it. Compiled by mypyc.

By the table of `key_struct.py`, which is the registry's. Of an attribute's fields some change by actions;
others (an IP packet's protocol, whether it is a fragment) are only what the packet is, and are in no mask.
"""

from __future__ import annotations

import sys
from typing import Final, final

from librt.strings import BytesWriter, write_i64_be
from librt.vecs import vec
from mypy_extensions import i64, u8

from vswitch.dpif.key_struct import FIRST, FRAG, HOST, MOVES, N_COLUMNS, NARROW, SIZES, WIDE

_LITTLE: Final = sys.byteorder == "little"


@final
class Change:
    """The struct of a set action. `exact`: all bits of the mask are set, so that a whole set does as well."""

    def __init__(self) -> None:
        self.value: BytesWriter = BytesWriter()
        self.mask: BytesWriter = BytesWriter()
        self.exact: bool = True


def differs(attr: i64, new: vec[i64], old: vec[i64]) -> bool:
    """Whether fields that actions change are different."""
    moves = MOVES
    i = FIRST[attr]
    end = FIRST[attr + 1]
    while i < end:
        w = moves[i]
        if moves[i + 7] != 0:
            if moves[i + 4] == WIDE:
                if new[w] != old[w] or new[w + 1] != old[w + 1]:
                    return True
            elif (new[w] ^ old[w]) & moves[i + 5] != 0:
                return True
        i += N_COLUMNS
    return False


def change(attr: i64, new: vec[i64], old: vec[i64], known: vec[i64], masked: bool) -> Change:
    """The set action that makes `new` of `old`, of which `known` bits are in the megaflow.

    Of fields that are different, the known bits are in the mask; with `masked` the value has only those,
    else it is whole.
    """
    made = Change()
    moves = MOVES
    i = FIRST[attr]
    end = FIRST[attr + 1]
    length: i64 = 0
    while i < end:
        w = moves[i]
        shift = moves[i + 1]
        ones = moves[i + 2]
        size = moves[i + 3]
        kind = moves[i + 4]
        length += size
        if kind == WIDE:
            _wide(made, w, new, old, known, masked)
        elif moves[i + 7] == 0:
            made.exact = False
            value = (new[w] >> shift) & ones
            if kind == FRAG:
                value = 2 if value & 2 else value & 1
            _write(made.value, 0 if masked else value, size)
            _write(made.mask, 0, size)
        else:
            bits: i64 = (known[w] >> shift) & ones if (new[w] ^ old[w]) & moves[i + 5] != 0 else 0
            if bits != ones:
                made.exact = False
            value = (new[w] >> shift) & ones
            if masked:
                value &= bits
            if kind == NARROW:
                bits |= bits << 8
            _write(made.value, value, size, kind == HOST)
            _write(made.mask, bits, size, kind == HOST)
        i += N_COLUMNS
    while length < SIZES[attr]:
        made.exact = False
        made.value.append(u8(0))
        made.mask.append(u8(0))
        length += 1
    return made


def _wide(made: Change, w: i64, new: vec[i64], old: vec[i64], known: vec[i64], masked: bool) -> None:
    changed = new[w] != old[w] or new[w + 1] != old[w + 1]
    i: i64 = w
    while i < w + 2:
        bits: i64 = known[i] if changed else 0
        if bits != -1:
            made.exact = False
        write_i64_be(made.value, new[i] & bits if masked else new[i])
        write_i64_be(made.mask, bits)
        i += 1


def _write(to: BytesWriter, value: i64, n_bytes: i64, host: bool = False) -> None:
    n: i64 = 0
    while n < n_bytes:
        at: i64 = n if host and _LITTLE else n_bytes - 1 - n
        byte: i64 = (value >> (at * 8)) & 0xFF
        to.append(u8(byte))
        n += 1


def settle(attr: i64, new: vec[i64], old: vec[i64], known: vec[i64] | None) -> None:
    """Make `old` agree with `new` in what actions change, and have `known` know all of that."""
    moves = MOVES
    i = FIRST[attr]
    end = FIRST[attr + 1]
    while i < end:
        w = moves[i]
        if moves[i + 7] != 0:
            bits = moves[i + 5]
            if moves[i + 4] == WIDE:
                bits = -1
                old[w + 1] = new[w + 1]
                if known is not None:
                    known[w + 1] = -1
            old[w] = (old[w] & ~bits) | (new[w] & bits)
            if known is not None:
                known[w] |= bits
        i += N_COLUMNS
