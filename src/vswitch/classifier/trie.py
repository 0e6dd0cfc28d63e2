"""A binary trie of prefixes, path-compressed: how much of an address decides anything.

A value has up to 128 bits, left-aligned in two 64-bit words (`hi`, `lo`), so bit 0 is the most
significant bit of `hi`. A lookup tells which lengths of prefix in the trie cover the value, and
how many leading bits had to be looked at to know that (as Open vSwitch's prefix tracking does).
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

EDGE_BITS: Final = 32
"""The most bits that one node's edge carries."""


@final
class Node:
    """An edge of `n_bits` bits (`prefix`, right-aligned) and what is below it."""

    def __init__(self, prefix: i64, n_bits: i64) -> None:
        self.prefix: i64 = prefix
        self.n_bits: i64 = n_bits
        self.n_rules: i64 = 0
        self.zero: Node | None = None
        self.one: Node | None = None


def low_ones(n: i64) -> i64:
    """A word with its lowest `n` < 64 bits set. (mypyc shifts a small literal in C's 32 bits.)"""
    return 0x7FFFFFFFFFFFFFFF >> (63 - n)


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


def common_bits(a: i64, b: i64, n: i64) -> i64:
    """How many leading bits of two `n`-bit numbers are equal."""
    x: i64 = a ^ b
    while x != 0:
        x >>= 1
        n -= 1
    return n


def chain(hi: i64, lo: i64, ofs: i64, plen: i64) -> Node:
    """A new branch for bits `ofs` to `plen - 1`, with a rule at its end."""
    take: i64 = plen - ofs
    if take > EDGE_BITS:
        take = EDGE_BITS
    top = Node(bits_at(hi, lo, ofs, take), take)
    node = top
    ofs += take
    while ofs < plen:
        take = plen - ofs
        if take > EDGE_BITS:
            take = EDGE_BITS
        piece = bits_at(hi, lo, ofs, take)
        below = Node(piece, take)
        if (piece >> (take - 1)) & 1:
            node.one = below
        else:
            node.zero = below
        node = below
        ofs += take
    node.n_rules = 1
    return top


@final
class Trie:
    """The prefixes that rules match on, of a field of up to 128 bits.

    After `lookup`, bit `p % 32` of `plens[p // 32]` tells whether a prefix of length `p + 1`
    in the trie covers the value.
    """

    def __init__(self) -> None:
        self.root: Node | None = None
        self.plens: vec[i64] = vec[i64]([0, 0, 0, 0])

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
        node = self.root
        while node is not None:
            n = node.n_bits
            piece = bits_at(hi, lo, ofs, n)
            if piece != node.prefix:
                return ofs + common_bits(piece, node.prefix, n) + 1
            ofs += n
            if node.n_rules > 0:
                p: i64 = ofs - 1
                plens[p >> 5] |= 0x100000000 >> (32 - (p & 31))
            if ofs >= n_bits:
                return n_bits
            zero = node.zero
            one = node.one
            leaf = zero is None and one is None
            node = one if bits_at(hi, lo, ofs, 1) else zero
        return ofs if leaf else ofs + 1

    def _lookup32(self, value: i64) -> i64:
        """`lookup` of a 32-bit value, which is most of them: the same without two words."""
        plens: i64 = 0
        ofs: i64 = 0
        leaf = True
        node = self.root
        found: i64 = -1
        while node is not None:
            n = node.n_bits
            piece = (value >> (32 - ofs - n)) & (0x7FFFFFFFFFFFFFFF >> (63 - n))
            if piece != node.prefix:
                found = ofs + common_bits(piece, node.prefix, n) + 1
                break
            ofs += n
            if node.n_rules > 0:
                plens |= 0x100000000 >> (33 - ofs)
            if ofs == 32:
                found = 32
                break
            zero = node.zero
            one = node.one
            leaf = zero is None and one is None
            node = one if (value >> (31 - ofs)) & 1 else zero
        self.plens[0] = plens
        if found >= 0:
            return found
        return ofs if leaf else ofs + 1

    def has_plen(self, plen: i64) -> bool:
        """Whether the last lookup's value is covered by a prefix of `plen` > 0 bits."""
        p: i64 = plen - 1
        return (self.plens[p >> 5] >> (p & 31)) & 1 != 0

    def insert(self, hi: i64, lo: i64, plen: i64) -> None:
        """Count one rule more at the value's first `plen` > 0 bits."""
        parent: Node | None = None
        side: i64 = 0
        ofs: i64 = 0
        node = self.root
        while node is not None:
            n = node.n_bits
            take: i64 = plen - ofs
            if take > n:
                take = n
            eq = common_bits(bits_at(hi, lo, ofs, take), node.prefix >> (n - take), take)
            ofs += eq
            if eq < n:
                split = Node(node.prefix >> (n - eq), eq)
                rest: i64 = n - eq
                if (node.prefix >> (rest - 1)) & 1:
                    split.one = node
                else:
                    split.zero = node
                node.prefix &= low_ones(rest)
                node.n_bits = rest
                if ofs == plen:
                    split.n_rules = 1
                elif bits_at(hi, lo, ofs, 1):
                    split.one = chain(hi, lo, ofs, plen)
                else:
                    split.zero = chain(hi, lo, ofs, plen)
                self._attach(parent, side, split)
                return
            if ofs == plen:
                node.n_rules += 1
                return
            parent = node
            side = bits_at(hi, lo, ofs, 1)
            node = node.one if side else node.zero
        self._attach(parent, side, chain(hi, lo, ofs, plen))

    def remove(self, hi: i64, lo: i64, plen: i64) -> None:
        """Count one rule less at the value's first `plen` bits, which must have one."""
        if plen > 32 or not self._remove32((hi >> 32) & 0xFFFFFFFF, plen):
            self._remove_long(hi, lo, plen)

    def _remove_long(self, hi: i64, lo: i64, plen: i64) -> None:
        """`remove`, whatever becomes of the nodes on the way."""
        path: list[Node] = []
        ofs: i64 = 0
        node = self.root
        while node is not None:
            path.append(node)
            if bits_at(hi, lo, ofs, node.n_bits) != node.prefix:
                raise KeyError("prefix not in trie")
            ofs += node.n_bits
            if ofs >= plen:
                break
            node = node.one if bits_at(hi, lo, ofs, 1) else node.zero
        if node is None or ofs != plen or node.n_rules == 0:
            raise KeyError("prefix not in trie")
        node.n_rules -= 1
        while path:
            node = path.pop()
            if node.n_rules > 0:
                return
            zero = node.zero
            one = node.one
            if zero is not None and one is not None:
                return
            below = zero if zero is not None else one
            if below is None:
                if path:
                    up = path[-1]
                    if up.one is node:
                        up.one = None
                    else:
                        up.zero = None
                else:
                    self.root = None
            elif node.n_bits + below.n_bits <= EDGE_BITS:
                node.prefix = (node.prefix << below.n_bits) | below.prefix
                node.n_bits += below.n_bits
                node.n_rules = below.n_rules
                node.zero = below.zero
                node.one = below.one
                return
            else:
                return

    def _remove32(self, value: i64, plen: i64) -> bool:
        """`remove` of a prefix of up to 32 bits of `value`, which has 32, where only the last node and the
        one above change: almost always. False, and nothing changed, where it is otherwise."""
        up: Node | None = None
        ofs: i64 = 0
        node = self.root
        while node is not None:
            n = node.n_bits
            if ofs + n > plen or (value >> (32 - ofs - n)) & (0x7FFFFFFFFFFFFFFF >> (63 - n)) != node.prefix:
                raise KeyError("prefix not in trie")
            ofs += n
            if ofs == plen:
                break
            up = node
            node = node.one if (value >> (31 - ofs)) & 1 else node.zero
        if node is None or node.n_rules == 0:
            raise KeyError("prefix not in trie")
        zero = node.zero
        one = node.one
        leaf = zero is None and one is None
        if leaf and up is not None and up.n_rules == 0 and (up.zero is None or up.one is None):
            return False
        node.n_rules -= 1
        if node.n_rules > 0:
            return True
        if leaf:
            if up is None:
                self.root = None
                return True
            if up.one is node:
                up.one = None
            else:
                up.zero = None
            if up.n_rules == 0:
                self._merge(up)
        elif zero is None or one is None:
            self._merge(node)
        return True

    def _merge(self, node: Node) -> None:
        """Join a node that has no rules with the only one below it, if an edge can be so long."""
        below = node.zero if node.zero is not None else node.one
        if below is not None and node.n_bits + below.n_bits <= EDGE_BITS:
            node.prefix = (node.prefix << below.n_bits) | below.prefix
            node.n_bits += below.n_bits
            node.n_rules = below.n_rules
            node.zero = below.zero
            node.one = below.one

    def _attach(self, parent: Node | None, side: i64, node: Node) -> None:
        """Put `node` below `parent`, or at the root."""
        if parent is None:
            self.root = node
        elif side:
            parent.one = node
        else:
            parent.zero = node
