"""`TrieCtx`: one prefix-tracked field of a classifier and what a lookup has learnt about it."""

from __future__ import annotations

from typing import final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.base.signed import signed32
from vswitch.classifier.trie import Trie, low_ones
from vswitch.flow.layout import W_ETH_TYPE


def prefix64(n: i64) -> i64:
    """A word with its first `n` bits set; all of them from 64 on."""
    if n <= 0:
        return 0
    if n >= 64:
        return -1
    return ~low_ones(64 - n)


@final
class TrieCtx:
    """One prefix-tracked field of a classifier, and the answer of the lookup under way.

    `eth_type` is the field's prerequisite, 0 for none: other packets have other things there.
    """

    def __init__(self, name: str, word: i64, shift: i64, n_bits: i64, eth_type: i64) -> None:
        self.name: str = name
        self.word: i64 = word
        self.shift: i64 = shift
        self.n_bits_field: i64 = n_bits
        self.eth_type: i64 = eth_type
        self.trie: Trie = Trie()
        self.done: bool = False
        self.all_plens: bool = False
        self.n_bits: i64 = 0

    def hi_of(self, flow: vec[i64]) -> i64:
        """The field's value, left-aligned: the first 64 bits."""
        return self.left_aligned(flow[self.word])

    def left_aligned(self, word: i64) -> i64:
        """`hi_of` a flow whose word is this."""
        if self.n_bits_field >= 64:
            return word
        bits: i64 = (word >> self.shift) & 0xFFFFFFFF
        return signed32(bits) << 32

    def lo_of(self, flow: vec[i64]) -> i64:
        """The field's value, left-aligned: bits 64 to 127."""
        return flow[self.word + 1] if self.n_bits_field > 64 else 0

    def look_up(self, flow: vec[i64]) -> None:
        """Ask the trie."""
        self.done = True
        if self.eth_type != 0 and flow[W_ETH_TYPE] & 0xFFFF != self.eth_type:
            self.all_plens = True
            return
        self.all_plens = False
        self.n_bits = self.trie.lookup(self.hi_of(flow), self.lo_of(flow), self.n_bits_field)

    def plen_of(self, mask: vec[i64]) -> i64:
        """The length of the mask's prefix of this field, 0 if it is no prefix."""
        hi = self.hi_of(mask)
        lo = self.lo_of(mask)
        plen: i64 = 0
        while plen < self.n_bits_field and (hi if plen < 64 else lo) >> (63 - (plen & 63)) & 1:
            plen += 1
        if plen < 64:
            if hi & ~prefix64(plen) != 0 or lo != 0:
                return 0
        elif lo & ~prefix64(plen - 64) != 0:
            return 0
        return plen

    def set_prefix(self, wc: vec[i64]) -> None:
        """Add the first `n_bits` bits of the field to `wc`."""
        n = self.n_bits
        if self.n_bits_field < 64:
            bits: i64 = 0xFFFFFFFF ^ (0xFFFFFFFF >> n)
            if self.shift == 32:
                bits = signed32(bits)
            wc[self.word] |= bits << self.shift
            return
        wc[self.word] |= prefix64(n)
        if n > 64:
            wc[self.word + 1] |= prefix64(n - 64)

    def prefix_set(self, wc: vec[i64]) -> bool:
        """Whether the first `n_bits` bits of the field are in `wc` already."""
        n = self.n_bits
        if self.n_bits_field < 64:
            bits: i64 = 0xFFFFFFFF ^ (0xFFFFFFFF >> n)
            return (wc[self.word] >> self.shift) & bits == bits
        first = prefix64(n)
        if wc[self.word] & first != first:
            return False
        if n > 64:
            rest = prefix64(n - 64)
            return wc[self.word + 1] & rest == rest
        return True
