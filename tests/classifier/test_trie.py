"""A trie answers as one that was made anew of the prefixes in it, whatever came and went before."""

from __future__ import annotations

import random

import pytest

from vswitch.classifier.trie import Trie


def signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def words(value: int, n_bits: int) -> tuple[int, int]:
    """The value left-aligned in two signed words."""
    whole = value << (128 - n_bits)
    return signed(whole >> 64), signed(whole & (1 << 64) - 1)


def answer(trie: Trie, value: int, n_bits: int) -> tuple[int, list[bool]]:
    """How many bits decided, and which lengths cover the value."""
    decided = trie.lookup(*words(value, n_bits), n_bits)
    return int(decided), [trie.has_plen(plen) for plen in range(1, n_bits + 1)]


@pytest.mark.parametrize("n_bits", [32, 64, 128])
@pytest.mark.parametrize("seed", range(8))
def test_what_goes_leaves_nothing_behind(n_bits: int, seed: int) -> None:
    rng = random.Random(seed)
    bases = [rng.getrandbits(n_bits) for _ in range(4)]

    def value() -> int:
        return rng.choice(bases) ^ rng.getrandbits(n_bits) >> rng.randrange(n_bits)

    trie = Trie()
    there: list[tuple[int, int]] = []
    for _ in range(400):
        if there and rng.random() < 0.5:
            prefix, plen = there.pop(rng.randrange(len(there)))
            trie.remove(*words(prefix, n_bits), plen)
        else:
            plen = rng.choice((8, 16, 24, 32, n_bits, rng.randint(1, n_bits)))
            there.append((value(), plen))
            trie.insert(*words(there[-1][0], n_bits), plen)
        if rng.random() < 0.1:
            fresh = Trie()
            for prefix, plen in there:
                fresh.insert(*words(prefix, n_bits), plen)
            for probe in [value() for _ in range(5)] + [prefix for prefix, _ in there[:5]]:
                assert answer(trie, probe, n_bits)[1] == answer(fresh, probe, n_bits)[1]
                if n_bits == 32:
                    assert answer(trie, probe, n_bits) == answer(fresh, probe, n_bits)
    for prefix, plen in sorted(there):
        trie.remove(*words(prefix, n_bits), plen)
    assert trie.is_empty()


def test_a_prefix_that_is_not_there_cannot_go() -> None:
    trie = Trie()
    trie.insert(*words(0x0A000000, 32), 8)
    for prefix, plen in ((0x0A000000, 7), (0x0A000000, 9), (0x0B000000, 8)):
        with pytest.raises(KeyError):
            trie.remove(*words(prefix, 32), plen)
