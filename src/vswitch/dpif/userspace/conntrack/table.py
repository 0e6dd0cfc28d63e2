"""The table of connections: records of words in chunks, found by either direction, expired by lists.

A connection is a number. Its record is `WORDS` words in one of the chunks; the `*_AT` constants
say what lies where, and `rec(conn)` and `base(conn)` where that is. A number is used again once its
connection is gone; `SERIAL_AT` then differs. Number 0 is no connection.

**Lookup** is linear hashing (Litwin 1980): every connection has two nodes (number << 1 | direction)
in chains of buckets; with each insertion at most one bucket is split, with each removal at most two
merged, so that growing never stops the traffic.

**Expiry** costs no sweep: a connection is on one of many lists, each of which has one duration, and
goes to its tail when it is seen. So every list is in order of expiry, and `expire` looks at heads
only, up to a budget.
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

from vswitch.dpif.userspace.conntrack.key import Key

WORDS: Final = 26
KEY_WORDS: Final = 5
ORIG_AT: Final = 0
"""Source high, low, destination high, low, meta (`key.Key`), as the first packet had them."""
REPLY_AT: Final = 5
"""The same as the answers have them, before they are translated back."""
META_AT: Final = 4
CHAIN_AT: Final = 10
"""The next node in the bucket: of the original direction, and in the next word of the reply's."""
PREV_AT: Final = 12
"""The neighbours on the list of expiry."""
NEXT_AT: Final = 13
EXPIRES_AT: Final = 14
"""ms"""
LIST_AT: Final = 15
MARK_AT: Final = 16
LABEL_AT: Final = 17
"""Two words, the high one first."""
FLAGS_AT: Final = 19
SERIAL_AT: Final = 20
POLICY_AT: Final = 21
STATE_AT: Final = 22
"""What the protocol keeps: for TCP two words an end (`tcp.py`), else one."""

CHUNK_BITS: Final = 10
CHUNK: Final = 1 << 10
SEGMENT_BITS: Final = 10
SEGMENT: Final = 1 << 10
LOAD: Final = 2
"""Nodes a bucket has on average, at most."""

F_SRC_NAT: Final = 1
F_DST_NAT: Final = 2
F_CHILD: Final = 4
"""A helper expected this connection: its packets are related to another one."""
F_FTP: Final = 8
F_TFTP: Final = 16
F_ADJUSTED: Final = 32
"""A helper changed the length of a packet: sequence numbers are moved."""


@final
class Table:
    """All connections of a datapath, and the lists that they expire from."""

    def __init__(self, basis: i64) -> None:
        self.basis = basis
        """Nobody outside is to know which keys share a bucket."""
        self.count: i64 = 0
        self.chunks: list[vec[i64]] = []
        self.in_use: vec[i64] = vec[i64]()
        """Connections a chunk."""
        self.free_of: vec[i64] = vec[i64]()
        """The first free number of each chunk, 0 if it is full or absent; NEXT_AT leads on."""
        self.roomy: list[int] = []
        """Chunks that have room, the last one first."""
        self.absent: list[int] = []
        """Chunks whose memory was given back."""
        self.serial: i64 = 0
        self.segments: list[vec[i64]] = []
        self.n_buckets: i64 = 0
        self.low_mask: i64 = 0
        self.heads: vec[i64] = vec[i64]()
        self.tails: vec[i64] = vec[i64]()
        self.durations: vec[i64] = vec[i64]()
        self.list_of: dict[int, int] = {}
        self.cursor: i64 = 0
        """The list that `expire` goes on with."""

    # Records.

    def rec(self, conn: i64) -> vec[i64]:
        """The chunk that holds the record of `conn`."""
        return self.chunks[conn >> CHUNK_BITS]

    def grow(self) -> None:
        """One more chunk."""
        number: i64
        if self.absent:
            number = self.absent.pop()
            self.chunks[number] = vec[i64]([0] * (CHUNK * WORDS))
        else:
            number = len(self.chunks)
            self.chunks.append(vec[i64]([0] * (CHUNK * WORDS)))
            self.in_use = append(self.in_use, 0)
            self.free_of = append(self.free_of, 0)
        chunk = self.chunks[number]
        first: i64 = number << CHUNK_BITS
        i: i64 = CHUNK - 1
        following: i64 = 0
        while i >= 0:
            if first + i != 0:
                chunk[i * WORDS + NEXT_AT] = following
                following = first + i
            i -= 1
        self.free_of[number] = following
        self.roomy.append(int(number))

    def create(self, orig: Key, reply: Key, now: i64) -> i64:
        """A new connection of the two keys, which are not in the table. It is on no list yet."""
        if not self.roomy:
            self.grow()
        number: i64 = self.roomy[-1]
        conn = self.free_of[number]
        chunk = self.chunks[number]
        base: i64 = (conn & (CHUNK - 1)) * WORDS
        self.free_of[number] = chunk[base + NEXT_AT]
        if self.free_of[number] == 0:
            self.roomy.pop()
        self.in_use[number] += 1
        i: i64 = 0
        while i < WORDS:
            chunk[base + i] = 0
            i += 1
        put_key(chunk, base + ORIG_AT, orig)
        put_key(chunk, base + REPLY_AT, reply)
        self.serial += 1
        chunk[base + SERIAL_AT] = self.serial
        chunk[base + LIST_AT] = -1
        self.count += 1
        self.link(conn << 1)
        self.link(conn << 1 | 1)
        return conn

    def remove(self, conn: i64) -> None:
        """Forget `conn`."""
        self.leave_list(conn)
        self.unlink(conn << 1)
        self.unlink(conn << 1 | 1)
        number: i64 = conn >> CHUNK_BITS
        chunk = self.chunks[number]
        base: i64 = (conn & (CHUNK - 1)) * WORDS
        chunk[base + SERIAL_AT] = 0
        self.count -= 1
        self.in_use[number] -= 1
        if self.in_use[number] == 0 and self.count > 0:
            self.chunks[number] = vec[i64]()
            if self.free_of[number] != 0:
                self.roomy.remove(int(number))
            self.free_of[number] = 0
            self.absent.append(int(number))
            return
        was_full = self.free_of[number] == 0
        chunk[base + NEXT_AT] = self.free_of[number]
        self.free_of[number] = conn
        if was_full:
            self.roomy.append(int(number))

    def is_alive(self, conn: i64, serial: i64) -> bool:
        """Whether `conn` is still the connection that had `serial`."""
        if conn == 0 or conn >> CHUNK_BITS >= len(self.chunks):
            return False
        chunk = self.chunks[conn >> CHUNK_BITS]
        if len(chunk) == 0:
            return False
        return chunk[(conn & (CHUNK - 1)) * WORDS + SERIAL_AT] == serial

    def connections(self) -> list[int]:
        """The numbers of all connections."""
        found: list[int] = []
        n: i64 = 0
        while n < len(self.chunks):
            found += self.connections_of(n)
            n += 1
        return found

    def connections_of(self, number: i64) -> list[int]:
        """The numbers of the connections in one chunk."""
        found: list[int] = []
        chunk = self.chunks[number]
        i: i64 = 0
        size: i64 = len(chunk)
        while i * WORDS < size:
            if chunk[i * WORDS + SERIAL_AT] != 0:
                found.append(int(number << CHUNK_BITS | i))
            i += 1
        return found

    # The hash table.

    def bucket(self, h: i64) -> i64:
        """The bucket of hash `h`."""
        b = h & (self.low_mask << 1 | 1)
        return b if b < self.n_buckets else b & self.low_mask

    def lookup(self, key: Key) -> i64:
        """The node (number << 1 | direction) of `key`, or 0."""
        if self.n_buckets == 0:
            return 0
        b = self.bucket(hash_words(self.basis, key.src_hi, key.src_lo, key.dst_hi, key.dst_lo, key.meta))
        node = self.segments[b >> SEGMENT_BITS][b & (SEGMENT - 1)]
        meta = key.meta
        while node != 0:
            chunk = self.chunks[node >> (CHUNK_BITS + 1)]
            base: i64 = ((node >> 1) & (CHUNK - 1)) * WORDS
            at = base + (node & 1) * KEY_WORDS
            if (
                chunk[at + 4] == meta
                and chunk[at + 1] == key.src_lo
                and chunk[at + 3] == key.dst_lo
                and chunk[at] == key.src_hi
                and chunk[at + 2] == key.dst_hi
            ):
                return node
            node = chunk[base + CHAIN_AT + (node & 1)]
        return 0

    def hash_node(self, node: i64) -> i64:
        """The hash of a node's key."""
        chunk = self.chunks[node >> (CHUNK_BITS + 1)]
        at: i64 = ((node >> 1) & (CHUNK - 1)) * WORDS + (node & 1) * KEY_WORDS
        return hash_words(self.basis, chunk[at], chunk[at + 1], chunk[at + 2], chunk[at + 3], chunk[at + 4])

    def chain(self, node: i64) -> i64:
        """The node behind `node` in its bucket."""
        chunk = self.chunks[node >> (CHUNK_BITS + 1)]
        return chunk[((node >> 1) & (CHUNK - 1)) * WORDS + CHAIN_AT + (node & 1)]

    def set_chain(self, node: i64, following: i64) -> None:
        """Put `following` behind `node`."""
        chunk = self.chunks[node >> (CHUNK_BITS + 1)]
        chunk[((node >> 1) & (CHUNK - 1)) * WORDS + CHAIN_AT + (node & 1)] = following

    def link(self, node: i64) -> None:
        """Put a node into its bucket, splitting a bucket if there are too many nodes."""
        if self.n_buckets * LOAD <= self.count * 2:
            self.split()
        b = self.bucket(self.hash_node(node))
        segment = self.segments[b >> SEGMENT_BITS]
        self.set_chain(node, segment[b & (SEGMENT - 1)])
        segment[b & (SEGMENT - 1)] = node

    def unlink(self, node: i64) -> None:
        """Take a node out of its bucket, merging a bucket if there are few nodes."""
        b = self.bucket(self.hash_node(node))
        segment = self.segments[b >> SEGMENT_BITS]
        at = segment[b & (SEGMENT - 1)]
        following = self.chain(node)
        if at == node:
            segment[b & (SEGMENT - 1)] = following
        else:
            while at != 0:
                after = self.chain(at)
                if after == node:
                    self.set_chain(at, following)
                    break
                at = after
        merged: i64 = 0
        while merged < 2 and self.n_buckets * LOAD > self.count * 8 and self.n_buckets > SEGMENT:
            self.merge()
            merged += 1

    def split(self) -> None:
        """One bucket more: the next one of this round gives half of its nodes to it."""
        new = self.n_buckets
        if new == 0:
            self.segments.append(vec[i64]([0] * SEGMENT))
            self.n_buckets = SEGMENT
            self.low_mask = SEGMENT - 1
            return
        if new > self.low_mask << 1 | 1:
            self.low_mask = self.low_mask << 1 | 1
        if new >> SEGMENT_BITS >= len(self.segments):
            self.segments.append(vec[i64]([0] * SEGMENT))
        self.n_buckets = new + 1
        old = new & self.low_mask
        segment = self.segments[old >> SEGMENT_BITS]
        node = segment[old & (SEGMENT - 1)]
        stay: i64 = 0
        move: i64 = 0
        while node != 0:
            following = self.chain(node)
            if self.bucket(self.hash_node(node)) == old:
                self.set_chain(node, stay)
                stay = node
            else:
                self.set_chain(node, move)
                move = node
            node = following
        segment[old & (SEGMENT - 1)] = stay
        target = self.segments[new >> SEGMENT_BITS]
        target[new & (SEGMENT - 1)] = move

    def merge(self) -> None:
        """One bucket less: the last one's nodes go back to where they came from."""
        last = self.n_buckets - 1
        if last <= self.low_mask:
            self.low_mask >>= 1
        self.n_buckets = last
        source = self.segments[last >> SEGMENT_BITS]
        node = source[last & (SEGMENT - 1)]
        source[last & (SEGMENT - 1)] = 0
        old = last & self.low_mask
        segment = self.segments[old >> SEGMENT_BITS]
        while node != 0:
            following = self.chain(node)
            self.set_chain(node, segment[old & (SEGMENT - 1)])
            segment[old & (SEGMENT - 1)] = node
            node = following
        if last & (SEGMENT - 1) == 0:
            self.segments.pop()

    # Expiry.

    def list_for(self, duration: int) -> i64:
        """The list of connections that are kept for `duration` ms."""
        found = self.list_of.get(duration)
        if found is not None:
            return found
        number = len(self.heads)
        self.heads = append(self.heads, 0)
        self.tails = append(self.tails, 0)
        self.durations = append(self.durations, duration)
        self.list_of[duration] = number
        return number

    def seen(self, conn: i64, number: i64, now: i64) -> None:
        """`conn` was seen: it goes to the tail of list `number`."""
        chunk = self.chunks[conn >> CHUNK_BITS]
        base: i64 = (conn & (CHUNK - 1)) * WORDS
        expires = now + self.durations[number]
        if chunk[base + LIST_AT] == number:
            if chunk[base + EXPIRES_AT] == expires:
                return
            if self.tails[number] == conn:
                chunk[base + EXPIRES_AT] = expires
                return
        self.leave_list(conn)
        chunk[base + LIST_AT] = number
        chunk[base + EXPIRES_AT] = expires
        chunk[base + NEXT_AT] = 0
        tail = self.tails[number]
        chunk[base + PREV_AT] = tail
        if tail == 0:
            self.heads[number] = conn
        else:
            before = self.chunks[tail >> CHUNK_BITS]
            before[(tail & (CHUNK - 1)) * WORDS + NEXT_AT] = conn
        self.tails[number] = conn

    def leave_list(self, conn: i64) -> None:
        """Take `conn` off its list, if it is on one."""
        chunk = self.chunks[conn >> CHUNK_BITS]
        base: i64 = (conn & (CHUNK - 1)) * WORDS
        number = chunk[base + LIST_AT]
        if number < 0:
            return
        chunk[base + LIST_AT] = -1
        before = chunk[base + PREV_AT]
        behind = chunk[base + NEXT_AT]
        if before == 0:
            self.heads[number] = behind
        else:
            other = self.chunks[before >> CHUNK_BITS]
            other[(before & (CHUNK - 1)) * WORDS + NEXT_AT] = behind
        if behind == 0:
            self.tails[number] = before
        else:
            other = self.chunks[behind >> CHUNK_BITS]
            other[(behind & (CHUNK - 1)) * WORDS + PREV_AT] = before

    def expired(self, now: i64) -> i64:
        """A connection whose time is over, or 0."""
        n: i64 = len(self.heads)
        tried: i64 = 0
        while tried < n:
            conn = self.heads[self.cursor]
            if conn != 0:
                chunk = self.chunks[conn >> CHUNK_BITS]
                if chunk[(conn & (CHUNK - 1)) * WORDS + EXPIRES_AT] <= now:
                    return conn
            self.cursor = self.cursor + 1 if self.cursor + 1 < n else 0
            tried += 1
        return 0


def base_of(conn: i64) -> i64:
    """Where the record of `conn` begins in its chunk."""
    return (conn & (CHUNK - 1)) * WORDS


def put_key(chunk: vec[i64], at: i64, key: Key) -> None:
    """Write `key` into a record."""
    chunk[at] = key.src_hi
    chunk[at + 1] = key.src_lo
    chunk[at + 2] = key.dst_hi
    chunk[at + 3] = key.dst_lo
    chunk[at + 4] = key.meta


def get_key(chunk: vec[i64], at: i64, key: Key) -> None:
    """Read `key` from a record."""
    key.src_hi = chunk[at]
    key.src_lo = chunk[at + 1]
    key.dst_hi = chunk[at + 2]
    key.dst_lo = chunk[at + 3]
    key.meta = chunk[at + 4]


def hash_words(basis: i64, a: i64, b: i64, c: i64, d: i64, e: i64) -> i64:
    """31 bits of hash of a key's words."""
    h: i64 = basis
    if a | c:
        h = round_of(round_of(h, a), c)
    h = round_of(round_of(round_of(h, b), d), e)
    return (h ^ (h >> 13)) & 0x7FFFFFFF


def round_of(h: i64, word: i64) -> i64:
    """Mix 64 bits into 31."""
    h = ((h ^ word) & 0x7FFFFFFF) * 0x2545F491
    h ^= (word >> 31) & 0x1FFFFFFFF
    h = (h ^ (h >> 29) ^ (h >> 47)) & 0x7FFFFFFF
    h *= 0x1B873593
    return (h ^ (h >> 27)) & 0x7FFFFFFF
