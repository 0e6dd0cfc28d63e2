"""A binary trie of prefixes, path-compressed: how much of an address decides anything.

A value has up to 128 bits, left-aligned in two 64-bit words (`hi`, `lo`), so bit 0 is the most
significant bit of `hi`. A lookup tells which lengths of prefix in the trie cover the value, and
how many leading bits had to be looked at to know that (as Open vSwitch's prefix tracking does).
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.classifier.slots import zeros

EDGE_BITS: Final = 32
"""The most bits that one node's edge carries."""
MAX_DEPTH: Final = 129
"""How many nodes a value of 128 bits can lead through, at most."""
FIRST_NODES: Final = 8
STRIDE: Final = 4
RULES: Final = 1
ZERO: Final = 2
ONE: Final = 3


def low_ones(n: i64) -> i64:
    """A word with its lowest `n` < 64 bits set. (mypyc shifts a small literal in C's 32 bits, and of a large
    one it makes an object: hence ones that it doesn't know to be a literal.)"""
    ones: i64 = n | -1
    return ~(ones << n)


def bits_at(hi: i64, lo: i64, ofs: i64, n: i64) -> i64:
    """Bits `ofs` to `ofs + n - 1` of the value, right-aligned; `n` is at most 32."""
    if n == 0:
        return 0
    if ofs >= 64:
        return (lo >> (128 - ofs - n)) & low_ones(n)
    if ofs + n <= 64:
        return (hi >> (64 - ofs - n)) & low_ones(n)
    high: i64 = 64 - ofs
    low: i64 = n - high
    return ((hi & low_ones(high)) << low) | ((lo >> (64 - low)) & low_ones(low))


def first_are_zero(hi: i64, lo: i64, n: i64) -> bool:
    """Whether the first `n` bits of the value are 0."""
    if n <= 64:
        return n == 0 or hi >> (64 - n) == 0
    return hi == 0 and lo >> (128 - n) == 0


def common_bits(a: i64, b: i64, n: i64) -> i64:
    """How many leading bits of two `n`-bit numbers are equal."""
    x: i64 = a ^ b
    while x != 0:
        x >>= 1
        n -= 1
    return n


@final
class Trie:
    """The prefixes that rules match on, of a field of up to 128 bits.

    After `lookup`, bit `p % 32` of `plens[p // 32]` tells whether a prefix of length `p + 1`
    in the trie covers the value.

    A node is an edge and what is below it, and four words of `_nodes` from its number on: the edge's bits,
    right-aligned, under their count; how many rules end there; the nodes that a 0 and a 1 lead on to. There
    may be as many as rules, so they are no objects. Number 0 is no node.
    """

    def __init__(self) -> None:
        self.plens: vec[i64] = vec[i64]([0, 0, 0, 0])
        self._nodes: vec[i64] = vec[i64]()
        self._root: i64 = 0
        self._end: i64 = STRIDE
        """The first number that no node ever had."""
        self._free: i64 = 0
        """A node that is no longer one; its `ZERO` leads to the next."""
        self._path: vec[i64] = vec[i64]([0] * MAX_DEPTH)
        """The nodes that the last change went through and that are still there: the next one, often of a
        value close by, goes on from those that it has in common."""
        self._ends: vec[i64] = vec[i64]([0] * MAX_DEPTH)
        """How many bits of that change's value each of them and those above it have."""
        self._depth: i64 = 0
        """How many they are."""
        self._hi: i64 = 0
        self._lo: i64 = 0

    def is_empty(self) -> bool:
        """Whether there is no prefix."""
        return self._root == 0

    def clear(self) -> None:
        """Forget all prefixes."""
        self._nodes = vec[i64]()
        self._root = 0
        self._end = STRIDE
        self._free = 0
        self._depth = 0

    def lookup(self, hi: i64, lo: i64, n_bits: i64) -> i64:
        """Look up a value of `n_bits` bits; returns how many leading bits decided."""
        plens = self.plens
        plens[0] = 0
        plens[1] = 0
        plens[2] = 0
        plens[3] = 0
        if n_bits == 32:
            return self._lookup32((hi >> 32) & 0xFFFFFFFF)
        ofs: i64 = 0
        leaf = True
        nodes = self._nodes
        node = self._root
        while node != 0:
            head = nodes[node]
            n: i64 = head >> 32
            prefix: i64 = head & 0xFFFFFFFF
            piece = bits_at(hi, lo, ofs, n)
            if piece != prefix:
                return ofs + common_bits(piece, prefix, n) + 1
            ofs += n
            if nodes[node + RULES] > 0:
                p: i64 = ofs - 1
                plens[p >> 5] |= 0x100000000 >> (32 - (p & 31))
            if ofs >= n_bits:
                return n_bits
            zero = nodes[node + ZERO]
            one = nodes[node + ONE]
            leaf = zero == 0 and one == 0
            node = one if bits_at(hi, lo, ofs, 1) else zero
        return ofs if leaf else ofs + 1

    def _lookup32(self, value: i64) -> i64:
        """`lookup` of a 32-bit value, which is most of them: the same without two words."""
        plens: i64 = 0
        ofs: i64 = 0
        leaf = True
        nodes = self._nodes
        node = self._root
        found: i64 = -1
        while node != 0:
            head = nodes[node]
            n: i64 = head >> 32
            prefix: i64 = head & 0xFFFFFFFF
            piece = (value >> (32 - ofs - n)) & low_ones(n)
            if piece != prefix:
                found = ofs + common_bits(piece, prefix, n) + 1
                break
            ofs += n
            if nodes[node + RULES] > 0:
                plens |= 0x100000000 >> (33 - ofs)
            if ofs == 32:
                found = 32
                break
            zero = nodes[node + ZERO]
            one = nodes[node + ONE]
            leaf = zero == 0 and one == 0
            node = one if (value >> (31 - ofs)) & 1 else zero
        self.plens[0] = plens
        if found >= 0:
            return found
        return ofs if leaf else ofs + 1

    def has_plen(self, plen: i64) -> bool:
        """Whether the last lookup's value is covered by a prefix of `plen` > 0 bits."""
        p: i64 = plen - 1
        return (self.plens[p >> 5] >> (p & 31)) & 1 != 0

    def _resume(self, hi: i64, lo: i64, most: i64) -> None:
        """Of the last change's path keep the nodes that have the value's bits, its first `most` at most."""
        hi_diff: i64 = hi ^ self._hi
        lo_diff: i64 = lo ^ self._lo
        depth = self._depth
        while depth > 0:
            n = self._ends[depth - 1]
            if n <= most and first_are_zero(hi_diff, lo_diff, n):
                break
            depth -= 1
        self._depth = depth
        self._hi = hi
        self._lo = lo

    def insert(self, hi: i64, lo: i64, plen: i64) -> None:
        """Count one rule more at the value's first `plen` > 0 bits."""
        self._resume(hi, lo, plen - 1)
        nodes = self._nodes
        path = self._path
        depth = self._depth
        ofs: i64 = 0
        parent: i64 = 0
        side: i64 = 0
        node = self._root
        if depth > 0:
            ofs = self._ends[depth - 1]
            parent = path[depth - 1]
            side = bits_at(hi, lo, ofs, 1)
            node = nodes[parent + ZERO + side]
        while node != 0:
            head = nodes[node]
            n: i64 = head >> 32
            take: i64 = plen - ofs
            if take > n:
                take = n
            eq = common_bits(bits_at(hi, lo, ofs, take), (head & 0xFFFFFFFF) >> (n - take), take)
            ofs += eq
            if eq < n:
                self._attach(parent, side, self._split(node, eq, hi, lo, ofs, plen))
                return
            if ofs == plen:
                nodes[node + RULES] += 1
                return
            path[depth] = node
            self._ends[depth] = ofs
            depth += 1
            self._depth = depth
            parent = node
            side = bits_at(hi, lo, ofs, 1)
            node = nodes[node + ZERO + side]
        self._attach(parent, side, self._chain(hi, lo, ofs, plen))

    def _split(self, node: i64, eq: i64, hi: i64, lo: i64, ofs: i64, plen: i64) -> i64:
        """What takes the place of `node`, of whose edge the first `eq` bits are those of the value; the value
        goes on from bit `ofs`, with a rule at its end."""
        head = self._nodes[node]
        prefix: i64 = head & 0xFFFFFFFF
        rest: i64 = (head >> 32) - eq
        split = self._new(prefix >> rest, eq)
        below: i64 = 0 if ofs == plen else self._chain(hi, lo, ofs, plen)
        nodes = self._nodes
        side: i64 = (prefix >> (rest - 1)) & 1
        nodes[node] = rest << 32 | (prefix & low_ones(rest))
        nodes[split + ZERO + side] = node
        if below == 0:
            nodes[split + RULES] = 1
        else:
            nodes[split + ONE - side] = below
        return split

    def _chain(self, hi: i64, lo: i64, ofs: i64, plen: i64) -> i64:
        """A new branch for bits `ofs` to `plen - 1`, with a rule at its end."""
        take: i64 = plen - ofs
        if take > EDGE_BITS:
            take = EDGE_BITS
        top = self._new(bits_at(hi, lo, ofs, take), take)
        node = top
        ofs += take
        while ofs < plen:
            take = plen - ofs
            if take > EDGE_BITS:
                take = EDGE_BITS
            piece = bits_at(hi, lo, ofs, take)
            below = self._new(piece, take)
            self._nodes[node + ZERO + ((piece >> (take - 1)) & 1)] = below
            node = below
            ofs += take
        self._nodes[node + RULES] = 1
        return top

    def _new(self, prefix: i64, n_bits: i64) -> i64:
        """A node without rules and without others below it. `_nodes` may be another vector then."""
        node = self._free
        if node != 0:
            self._free = self._nodes[node + ZERO]
        else:
            node = self._end
            self._end = node + STRIDE
            if self._end > len(self._nodes):
                self._grow()
        nodes = self._nodes
        nodes[node] = n_bits << 32 | prefix
        nodes[node + RULES] = 0
        nodes[node + ZERO] = 0
        nodes[node + ONE] = 0
        return node

    def _grow(self) -> None:
        old = self._nodes
        n: i64 = len(old)
        new = zeros(2 * n + FIRST_NODES * STRIDE)
        i: i64 = 0
        while i < n:
            new[i] = old[i]
            i += 1
        self._nodes = new

    def _attach(self, parent: i64, side: i64, node: i64) -> None:
        """Put `node` below `parent`, or at the root."""
        if parent == 0:
            self._root = node
        else:
            self._nodes[parent + ZERO + side] = node

    def remove(self, hi: i64, lo: i64, plen: i64) -> None:
        """Count one rule less at the value's first `plen` bits. KeyError: there is none."""
        self._resume(hi, lo, plen - 1)
        nodes = self._nodes
        path = self._path
        depth = self._depth
        ofs: i64 = 0
        node = self._root
        if depth > 0:
            ofs = self._ends[depth - 1]
            node = nodes[path[depth - 1] + ZERO + bits_at(hi, lo, ofs, 1)]
        while node != 0:
            head = nodes[node]
            n: i64 = head >> 32
            if ofs + n > plen or bits_at(hi, lo, ofs, n) != head & 0xFFFFFFFF:
                raise KeyError("prefix not in trie")
            path[depth] = node
            ofs += n
            self._ends[depth] = ofs
            depth += 1
            if ofs == plen:
                break
            node = nodes[node + ZERO + bits_at(hi, lo, ofs, 1)]
        if node == 0 or nodes[node + RULES] == 0:
            raise KeyError("prefix not in trie")
        nodes[node + RULES] -= 1
        # What nothing ends at, and nothing branches at, goes.
        while depth > 0:
            depth -= 1
            self._depth = depth
            node = path[depth]
            zero = nodes[node + ZERO]
            one = nodes[node + ONE]
            if nodes[node + RULES] > 0 or (zero != 0 and one != 0):
                return
            if zero != 0 or one != 0:
                self._merge(node, zero if zero != 0 else one)
                return
            if depth == 0:
                self.clear()
                return
            up = path[depth - 1]
            nodes[up + (ONE if nodes[up + ONE] == node else ZERO)] = 0
            self._forget(node)

    def _merge(self, node: i64, below: i64) -> None:
        """Join a node that has no rules with the only one below it, if an edge can be so long."""
        nodes = self._nodes
        head = nodes[node]
        more = nodes[below]
        n: i64 = more >> 32
        n_bits: i64 = (head >> 32) + n
        if n_bits > EDGE_BITS:
            return
        nodes[node] = n_bits << 32 | (head & 0xFFFFFFFF) << n | (more & 0xFFFFFFFF)
        nodes[node + RULES] = nodes[below + RULES]
        nodes[node + ZERO] = nodes[below + ZERO]
        nodes[node + ONE] = nodes[below + ONE]
        self._forget(below)

    def _forget(self, node: i64) -> None:
        """`node` may be another one from now on."""
        self._nodes[node + ZERO] = self._free
        self._free = node
