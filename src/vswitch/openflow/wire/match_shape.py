"""`Shapes`: matches that come by the thousand in few forms, read by what the first of a form taught.

The flow mods of one controller have the same TLVs in the same order, the same masks, Ethernet type and
protocol, and other addresses. The first match of a form is read and checked TLV by TLV (`oxm.py`,
`match10.py`). Those of its bytes that anything was decided by become a pattern; what is left are values of
fields that no check and no other field depends on (`FREE`). A match that agrees with the pattern passes the
same checks and has the same mask, so that its values need only be put in place. Compiled by mypyc.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i64_be, write_i64_be
from librt.vecs import append, vec
from mypy_extensions import i64, mypyc_attr

from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow, signed64
from vswitch.flow.mask_words import picked, words_with_bits
from vswitch.flow.match import Match, packed_match
from vswitch.openflow.constants import OFPP_MAX
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.oxm import NXM, OxmTlv, get_oxm_header, put_nxm, put_oxm_match
from vswitch.openflow.wire.version import OFP15

FREE: Final = frozenset(by_name(name) for name in (
    "in_port in_port_oxm metadata tun_id conj_id pkt_mark ct_mark ct_zone eth_src eth_dst ip_src ip_dst "
    "ipv6_src ipv6_dst arp_spa arp_tpa arp_sha arp_tha tcp_src tcp_dst udp_src udp_dst sctp_src sctp_dst "
    + " ".join(f"reg{n}" for n in range(16)) + " " + " ".join(f"xreg{n}" for n in range(8))
).split())  # fmt: skip
"""Fields whose value may be anything that their mask allows, and which say nothing of other fields."""

LONGEST: Final = 256
"""Bytes of a match that may be remembered."""
MOST: Final = 32
"""Forms of one length that are remembered."""
MASKS: Final = 256
"""Masks whose forms are remembered for writing."""
PRICE: Final = 16
"""Of how many matches one may be learned from, after the first `SAVED` / `PRICE`."""
SAVED: Final = 64 * PRICE

MATCH10: Final = (
    (4, 2, "in_port"), (6, 6, "eth_src"), (12, 6, "eth_dst"), (28, 4, "ip_src"), (32, 4, "ip_dst"),
    (36, 2, "tcp_src"), (38, 2, "tcp_dst"),
)  # fmt: skip
"""What of OpenFlow 1.0's ofp_match (5.2.3) are values: offset, size, field."""
SIZE10: Final = 40


@mypyc_attr(acyclic=True)
@final
class Value:
    """Where a field's value, or 64 bits of it, is in a match's bytes, and where it goes in a flow's words."""

    def __init__(self, end: i64, size: i64, outside: i64, most: i64, keep: i64, word: i64, shift: i64,
                 sign: i64) -> None:
        self.end: i64 = end
        """One past its last byte."""
        self.size: i64 = size
        wire: i64 = -1
        if size < 8:
            wire = 0x7FFFFFFFFFFFFFFF >> (63 - 8 * size)
        self.wire: i64 = wire
        """The bits of the 64 up to there that are the value's."""
        self.outside: i64 = outside
        """Bits that are not allowed."""
        self.most: i64 = most
        self.keep: i64 = keep
        self.word: i64 = word
        """A word's number in a flow; of a form's value, among the words in which the mask has bits."""
        self.shift: i64 = shift
        self.sign: i64 = sign

    def fits(self, data: bytes, at: i64) -> bool:
        """Whether the value in the match at `at` is one of those that are put in place."""
        found: i64 = read_i64_be(data, at + self.end - 8) & self.wire
        return found & self.outside == 0 and found <= self.most


def _values(field: Field, end: i64, size: i64, bits: int, strict: bool) -> list[Value]:
    """How to read `field` from the `size` bytes before `end`, as far as it is matched (`bits`). If `strict`
    there may be no other bits than those."""
    if size > 8:
        low = bits & 0xFFFFFFFFFFFFFFFF
        high = bits >> 64
        return [
            _value(end - 8, 8, signed64(high), strict, field.word, 0, 0),
            _value(end, 8, signed64(low), strict, field.word + 1, 0, 0),
        ]
    found = _value(end, size, signed64(bits), strict, field.word, field.shift, field.sign)
    if field.special == 1:
        found.most = OFPP_MAX - 1
    return [found]


def _value(end: i64, size: i64, keep: i64, strict: bool, word: i64, shift: i64, sign: i64) -> Value:
    found = Value(end, size, 0, 0x7FFFFFFFFFFFFFFF, keep, word, shift, sign)
    if strict:
        found.outside = found.wire & ~keep
    return found


@mypyc_attr(acyclic=True)
@final
class Shape:
    """One form of matches: the bits of `care` must be those of `pattern`, both as words of 64 bits."""

    def __init__(self, length: i64, data: bytes, care: bytes, values: list[Value], match: Match) -> None:
        self.length: i64 = length
        self.pattern: vec[i64] = vec[i64]()
        self.care: vec[i64] = vec[i64]()
        at: i64 = 0
        while at < len(care):
            self.pattern = append(self.pattern, read_i64_be(data, at))
            self.care = append(self.care, read_i64_be(care, at))
            at += 8
        self.values: list[Value] = values
        self.mask: Flow = match.mask
        """Shared by all matches of the form: never changed."""
        self.numbers: vec[i64] = words_with_bits(match.mask.words)
        self.base: vec[i64] = picked(match.flow.words, self.numbers)
        """The words in which the mask has bits, to put the values into."""
        self.free: vec[i64] = vec[i64]([0] * len(self.numbers))
        """Those of their bits that are values."""
        for value in values:
            if value.keep != 0:
                value.word = self._place_of(value.word)
                self.free[value.word] |= ((value.keep ^ value.sign) - value.sign) << value.shift
                self.base[value.word] &= ~self.free[value.word]
        self.between: list[bytes] = []
        """What is before each value, and behind the last."""
        done: i64 = 0
        for value in values:
            self.between.append(data[done : value.end - value.size])
            done = value.end
        self.between.append(data[done:])

    def put(self, w: Writer, match: Match) -> bool:
        """Write a match of this very mask, if it is of this form; False, and nothing written, if not."""
        words = match.values(self.numbers)
        base = self.base
        free = self.free
        n: i64 = len(base)
        i: i64 = 0
        while i < n:
            if (words[i] ^ base[i]) & ~free[i] != 0:
                return False
            i += 1
        for value in self.values:
            if value.keep != 0 and (words[value.word] >> value.shift) & value.keep > value.most:
                return False
        i = 0
        for value in self.values:
            w.raw(self.between[i])
            i += 1
            found: i64 = 0
            if value.keep != 0:
                found = (words[value.word] >> value.shift) & value.keep
            if value.size == 4:
                w.u32(found)
            elif value.size == 8:
                write_i64_be(w.out, found)
            elif value.size == 2:
                w.u16(found)
            elif value.size == 1:
                w.u8(found)
            else:
                w.u16(found >> 32)
                w.u32(found & 0xFFFFFFFF)
        w.raw(self.between[i])
        return True

    def _place_of(self, word: i64) -> i64:
        """Which of `numbers` is `word`."""
        i: i64 = 0
        while self.numbers[i] != word:
            i += 1
        return i

    def read(self, data: bytes, at: i64) -> Match | None:
        """The match whose bytes begin at `at`, 8 or more, if it is of this form."""
        pattern = self.pattern
        care = self.care
        n: i64 = len(pattern)
        i: i64 = 0
        place: i64 = at
        while i < n:
            if (read_i64_be(data, place) ^ pattern[i]) & care[i] != 0:
                return None
            place += 8
            i += 1
        words = self.base[:]
        for value in self.values:
            found: i64 = read_i64_be(data, at + value.end - 8) & value.wire
            if found & value.outside != 0 or found > value.most:
                return None
            if value.keep != 0:
                found &= value.keep
                words[value.word] |= ((found ^ value.sign) - value.sign) << value.shift
        return packed_match(self.mask, self.numbers, words)


@final
class Shapes:
    """The forms of matches that came lately, of one way to write them."""

    def __init__(self) -> None:
        self._by_length: list[list[Shape]] = [[] for _ in range(LONGEST + 1)]
        self._credit: i64 = SAVED

    def read(self, data: bytes, at: i64, length: i64) -> Match | None:
        """The match of `length` bytes at `at`, padding to 8 behind it, if its form is known."""
        if length > LONGEST or at < 8:
            return None
        for shape in self._by_length[length]:
            match = shape.read(data, at)
            if match is not None:
                if self._credit < SAVED:
                    self._credit += 1
                return match
        return None

    def learn(self, shape: Shape, data: bytes, at: i64, match: Match) -> None:
        """Remember the form of `match`, which was read from `data`."""
        again = shape.read(data, at)
        if again is None or again != match:
            return
        known = self._by_length[shape.length]
        if len(known) >= MOST:
            del known[MOST // 2 :]
        known.insert(0, shape)

    def worth(self, length: i64, at: i64) -> bool:
        """Whether to learn the form of a match that was not known: not if they all are of different ones."""
        if length > LONGEST or at < 8:
            return False
        if self._credit < PRICE:
            self._credit += 1
            return False
        self._credit -= PRICE
        return True


def shape_of_oxm(data: bytes, at: i64, tlvs: i64, length: i64, match: Match) -> Shape | None:
    """The form of a match of `length` bytes at `at`, whose TLVs begin at `tlvs`.

    None: a cookie or tunnel options are in it, which are no part of a form.
    """
    if match.options is not None:
        return None
    padded: i64 = (length + 7) & ~7
    care = bytearray(padded)
    care[: length] = b"\xff" * int(length)
    values: list[Value] = []
    r = Reader(data, tlvs, at + length)
    tlv = OxmTlv()
    while r.pos < r.end:
        field = get_oxm_header(r, tlv)
        if tlv.cookie:
            return None
        size: i64 = tlv.size if tlv.exact else tlv.size >> 1
        if field is not None and field in FREE and size == field.n_bytes:
            begin: i64 = r.pos - at
            bits = match.mask.bits(field)
            read = _values(field, begin + size, size, bits, True)
            if read[0].fits(data, at):  # a reserved port, in 32 bits, is a form of its own
                care[begin : begin + size] = bytes(size)
                values.extend(read)
        r.skip(tlv.size)
    return Shape(length, data[at : at + padded], bytes(care), values, match)


def shape_of_match10(data: bytes, at: i64, match: Match) -> Shape:
    """The form of an ofp_match of OpenFlow 1.0 at `at`; `match` is what it says as it is used."""
    care = bytearray(b"\xff" * SIZE10)
    for begin, size in ((21, 1), (26, 2)):
        care[begin : begin + size] = bytes(size)
    values: list[Value] = []
    for begin, size, name in MATCH10:
        care[begin : begin + size] = bytes(size)
        field = by_name(name)
        bits = match.mask.bits(field)
        if bits:
            values.extend(_values(field, begin + size, size, bits, False))
    return Shape(SIZE10, data[at : at + SIZE10], bytes(care), values, match)


# Writing: a listing has flows by the thousand that share their mask.


@final
class WrittenShapes:
    """The forms of matches that were written lately in one version (or NXM), by their masks."""

    def __init__(self, version: int) -> None:
        self.version: int = version
        self._recent: Shape | None = None
        self._by_mask: dict[int, list[Shape]] = {}
        """By id() of a mask, which its forms keep."""

    def put(self, w: Writer, match: Match) -> i64:
        """Write `match` as `put_oxm_match` or `put_nxm` do; its length without padding."""
        recent = self._recent
        if recent is not None and recent.mask is match.mask and recent.put(w, match):
            return recent.length
        known = self._by_mask.get(id(match.mask))
        if known is not None:
            for shape in known:
                if shape.put(w, match):
                    self._recent = shape
                    return shape.length
        return self._put_unknown(w, match)

    def _put_unknown(self, w: Writer, match: Match) -> i64:
        """Write a match of a form that is not known, and remember the form."""
        alone = Writer()
        alone.pad(8)
        if self.version == NXM:
            length: i64 = put_nxm(alone, match)
        else:
            put_oxm_match(alone, match, self.version)
            length = i64(alone.getvalue()[10]) << 8 | i64(alone.getvalue()[11])
        data = alone.getvalue()
        w.raw(data[8:])
        if 0 < length <= LONGEST:
            shape = shape_of_oxm(data, 8, 8 if self.version == NXM else 12, length, match)
            if shape is not None:
                self._remember(shape, data, match)
        return length

    def _remember(self, shape: Shape, data: bytes, match: Match) -> None:
        again = Writer()
        again.pad(8)
        if not shape.put(again, match) or again.getvalue() != data:
            return
        if len(self._by_mask) >= MASKS:
            self._by_mask.clear()
        known = self._by_mask.setdefault(id(match.mask), [])
        if len(known) >= MOST:
            known.clear()
        known.append(shape)


_WRITTEN: Final = [WrittenShapes(version) for version in range(NXM, OFP15 + 1)]


def put_listed(w: Writer, match: Match, version: int) -> i64:
    """Write the match of one flow of many in OpenFlow 1.2 or later, or as NXM; its length without padding.

    Its mask is not to be changed any more.
    """
    return _WRITTEN[version].put(w, match)
