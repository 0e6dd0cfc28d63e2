"""Helpers: connections that another one announces, FTP's data connections and TFTP's transfers.

An `Expectation` says what the first packet will look like, but for its source port, and what the
connection's answers come from and go to under NAT. It lasts until its parent ends. Where NAT changes
an announced address, the control connection's segments change in length, and `Adjustment` moves the
sequence numbers of what follows.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i32_be
from mypy_extensions import i64

from vswitch.dpif.userspace.conntrack import ftp
from vswitch.dpif.userspace.conntrack.key import TCP, UDP, Key, ports_meta
from vswitch.dpif.userspace.conntrack.show import address
from vswitch.dpif.userspace.conntrack.tcp import ACK, SYN, after
from vswitch.dpif.userspace.conntrack.translate import put16, put32
from vswitch.packet.checksum import fold, partial_sum
from vswitch.packet.numbers import ETH_TYPE_IP
from vswitch.packet.parse import Parser

MAX_EXPECTED: Final = 16
"""Expectations of one parent; the oldest goes when there are more."""
TFTP_READ: Final = 1
TFTP_WRITE: Final = 2

Expected = tuple[int, int, int, int, int]
"""A key's words, its source port 0."""


@final
class Expectation:
    """A connection that is to come: `orig` as its first packet, `reply` as its answers, source port and
    the answers' destination port 0. `parent` is the original direction of who announced it."""

    def __init__(self, orig: Key, reply: Key, parent: Key, conn: i64) -> None:
        self.orig = orig
        self.reply = reply
        self.parent = parent
        self.conn = conn


@final
class Adjustment:
    """How one direction's sequence numbers are moved: by `before` up to `position`, then by `after`
    (of what is sent on)."""

    def __init__(self) -> None:
        self.position: i64 = 0
        self.before: i64 = 0
        self.after: i64 = 0

    def insert(self, seq: i64, delta: i64) -> None:
        """The segment of sequence number `seq` got `delta` bytes longer, be it for the first time."""
        if seq == self.position and self.after != self.before:
            return
        self.before = self.after
        self.after += delta
        self.position = seq

    def moved(self, seq: i64) -> i64:
        """What to add to sequence number `seq`."""
        if seq != self.position and after(seq, self.position):
            return self.after
        return self.before

    def moved_back(self, ack: i64) -> i64:
        """What to take from acknowledgment `ack` of what was sent on."""
        back = (ack - self.after) & 0xFFFFFFFF
        if back != self.position and after(back, self.position):
            return self.after
        return self.before


@final
class Helpers:
    """What is expected, and by which connection; sequence numbers that are moved."""

    def __init__(self) -> None:
        self.expected: dict[Expected, Expectation] = {}
        self.of_parent: dict[int, list[Expected]] = {}
        self.parents: dict[int, Key] = {}
        """Connections that were expected -> the original direction of who announced them."""
        self.adjustments: dict[int, tuple[Adjustment, Adjustment]] = {}

    def find(self, key: Key) -> Expectation | None:
        """The expectation that a packet of `key` fulfils."""
        if not self.expected:
            return None
        return self.expected.get(words_of(key))

    def expect(self, conn: i64, expectation: Expectation) -> None:
        """Expect a connection; a later expectation of the same replaces an earlier one."""
        words = words_of(expectation.orig)
        self.expected[words] = expectation
        mine = self.of_parent.setdefault(conn, [])
        if words in mine:
            return
        mine.append(words)
        if len(mine) > MAX_EXPECTED:
            self.drop(mine.pop(0), conn)

    def drop(self, words: Expected, conn: i64) -> None:
        """Expect no longer what `conn` announced as `words`, if nobody else has announced it since."""
        there = self.expected.get(words)
        if there is not None and there.conn == conn:
            del self.expected[words]

    def gone(self, conn: i64) -> None:
        """A connection has ended."""
        for words in self.of_parent.pop(conn, ()):
            self.drop(words, conn)
        self.parents.pop(conn, None)
        self.adjustments.pop(conn, None)

    # FTP.

    def ftp(self, conn: i64, from_server: bool, orig: Key, reply: Key, payload: bytes) -> bytes | None:
        """Look at a control segment's payload: what it is to be instead, or None if it stays.

        `orig` and `reply` are the keys of the control connection `conn`.
        """
        found = ftp.find(payload, from_server)
        if found is None:
            return None
        family = orig.meta & 0xFF
        if found.address is not None:
            # Whoever announces another host than itself means no good (RFC 2577).
            own = reply if from_server else orig
            if found.address != whole(own.src_hi, own.src_lo) or (found.form == "comma" and family != 4):
                return None
        new = Key()
        answers = Key()
        rest: i64 = orig.meta & 0xFFFF0000 | i64(TCP) << 8 | family
        port: i64 = found.port
        if from_server:
            orig.copy_to(new)
            reply.copy_to(answers)
        else:
            reply.copy_to(new)
            orig.copy_to(answers)
        new.meta = ports_meta(0, port) | rest
        answers.meta = ports_meta(port, 0) | rest
        translated = new.dst_hi != answers.src_hi or new.dst_lo != answers.src_lo
        announced = port
        if translated:
            # Two hosts behind one address may have chosen the same port.
            tries: i64 = 0
            while tries < 64:
                there = self.expected.get(words_of(new))
                if there is None or there.conn == conn:
                    break
                announced = announced + 1 if announced < 65535 else 1024
                new.meta = ports_meta(0, announced) | rest
                tries += 1
        parent = Key()
        orig.copy_to(parent)
        self.expect(conn, Expectation(new, answers, parent, conn))
        if not translated or (found.form == "port" and announced == port):
            return None
        shown = address(int(new.dst_hi), int(new.dst_lo), int(family))
        text = ftp.announce(found.form, shown, int(announced))
        return payload[: found.start] + text + payload[found.end :]

    # TFTP.

    def tftp(self, conn: i64, orig: Key, reply: Key, payload: bytes) -> None:
        """Look at a request (RFC 1350): the answer comes from another port."""
        if len(payload) < 4 or payload[0] != 0 or payload[1] not in (TFTP_READ, TFTP_WRITE):
            return
        new = Key()
        answers = Key()
        reply.copy_to(new)
        orig.copy_to(answers)
        rest: i64 = orig.meta & 0xFFFF0000 | i64(UDP) << 8 | orig.meta & 0xFF
        new.meta = ports_meta(0, (reply.meta >> 32) & 0xFFFF) | rest
        answers.meta = ports_meta((orig.meta >> 48) & 0xFFFF, 0) | rest
        parent = Key()
        orig.copy_to(parent)
        self.expect(conn, Expectation(new, answers, parent, conn))

    # Sequence numbers.

    def adjustment(self, conn: i64, reply: i64) -> Adjustment:
        """How `conn`'s sequence numbers of a direction are moved."""
        both = self.adjustments.get(conn)
        if both is None:
            both = (Adjustment(), Adjustment())
            self.adjustments[conn] = both
        return both[1] if reply else both[0]

    def rewrite(self, conn: i64, reply: i64, data: bytes, parser: Parser, payload: bytes | None) -> bytes:
        """A segment with its sequence numbers moved, and `payload` in place of its own."""
        l4 = parser.l4_ofs
        header: i64 = (i64(data[l4 + 12]) >> 4) * 4
        seq: i64 = i64(read_i32_be(data, l4 + 4)) & 0xFFFFFFFF
        ack: i64 = i64(read_i32_be(data, l4 + 8)) & 0xFFFFFFFF
        mine = self.adjustment(conn, reply)
        theirs = self.adjustment(conn, 1 - reply)
        out = bytearray(data)
        if payload is not None:
            out[l4 + header : parser.l3_end] = payload
        put32(out, l4 + 4, (seq + mine.moved(seq)) & 0xFFFFFFFF)
        if parser.tcp_flags & ACK:
            put32(out, l4 + 8, (ack - theirs.moved_back(ack)) & 0xFFFFFFFF)
        delta: i64 = len(out) - len(data)
        if delta and parser.tcp_flags & SYN == 0:
            mine.insert(seq, delta)
        l3 = parser.l3_ofs
        end = parser.l3_end + delta
        if parser.dl_type == ETH_TYPE_IP:
            put16(out, l3 + 2, end - l3)
            put16(out, l3 + 10, 0)
            put16(out, l3 + 10, partial_sum(bytes(out), l3, l4) ^ 0xFFFF)
        else:
            put16(out, l3 + 4, end - l3 - 40)
        put16(out, l4 + 16, 0)
        made = bytes(out)
        if parser.dl_type == ETH_TYPE_IP:
            addresses = partial_sum(made, l3 + 12, l3 + 20)
        else:
            addresses = partial_sum(made, l3 + 8, l3 + 40)
        total = addresses + TCP + end - l4 + partial_sum(made, l4, end)
        put16(out, l4 + 16, fold(total) ^ 0xFFFF)
        return bytes(out)


def words_of(key: Key) -> Expected:
    """A key's words without its source port."""
    unported = int(key.meta & 0xFFFFFFFFFFFF)
    return (int(key.src_hi), int(key.src_lo), int(key.dst_hi), int(key.dst_lo), unported)


def whole(high: i64, low: i64) -> int:
    """An address of two signed halves."""
    return (int(high) & (1 << 64) - 1) << 64 | int(low) & (1 << 64) - 1
