"""`Flow`: all that the switch knows of a packet, as a vector of 64-bit words; also a mask.

A mask is a Flow whose set bits are the bits that matter. Words are signed; `get` and the
properties give unsigned integers. Compiled by mypyc; `layout.py` has the places.

`in_port` is 16 bits: an OpenFlow port number above the dpif interface, a datapath port number
at it and below. "No port" is `port_numbers.OFPP_NONE` (0xffff) in both.
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from vswitch.base.signed import signed16, signed32
from vswitch.flow import layout as at
from vswitch.flow.field import Field
from vswitch.flow.fields import FIELDS, PARTS
from vswitch.flow.layout import N_WORDS
from vswitch.flow.port_numbers import OFPP11_MAX, OFPP11_OFFSET, OFPP_MAX

_ZERO: Final = vec[i64]([0] * N_WORDS)


def signed64(value: int) -> i64:
    """The word that holds the unsigned 64-bit `value`."""
    high: i64 = (value >> 32) & 0xFFFFFFFF
    low: i64 = value & 0xFFFFFFFF
    return (signed32(high) << 32) | low


def unsigned64(word: i64) -> int:
    """The unsigned value of a word."""
    if word >= 0:
        return word
    return (1 << 64) + int(word)


def ports_to_oxm(port: i64) -> i64:
    """A 16-bit OpenFlow port number as OpenFlow 1.1+ writes it, in 32 bits."""
    return port | OFPP11_OFFSET if port >= OFPP_MAX else port


def port_from_oxm(port: i64) -> i64:
    """The 16-bit form of a 32-bit OpenFlow 1.1+ port number, -1 if it has none."""
    if port < OFPP_MAX:
        return port
    if port >= OFPP11_MAX:
        return port & 0xFFFF
    return -1


def _get_cells(words: vec[i64], cells: tuple[int, ...]) -> int:
    """The value in 32-bit `cells` of `words`, of which cell 0 is word 0's upper half."""
    value = 0
    for number in cells:
        cell: i64 = number
        word = words[cell >> 1]
        value = (value << 32) | int((word if cell & 1 else word >> 32) & 0xFFFFFFFF)
    return value


def _set_cells(words: vec[i64], cells: tuple[int, ...], value: int) -> None:
    for number in reversed(cells):
        cell: i64 = number
        low: i64 = value & 0xFFFFFFFF
        word = words[cell >> 1]
        if cell & 1:
            words[cell >> 1] = (word >> 32) << 32 | low
        else:
            words[cell >> 1] = signed32(low) << 32 | (word & 0xFFFFFFFF)
        value >>= 32


@mypyc_attr(free_list_len=1)
@final
class Flow:
    """A packet's headers and metadata, or a mask over them. `words` has `N_WORDS` words."""

    def __init__(self, like: Flow | None = None) -> None:
        """All bits are 0, or those of `like`."""
        self.words: vec[i64] = _ZERO[:] if like is None else like.words[:]

    def copy(self) -> Flow:
        """Another flow of the same value."""
        return Flow(self)

    def clear(self) -> None:
        """Set every bit to 0."""
        self.words = _ZERO[:]

    def assign(self, other: Flow) -> None:
        """Take over `other`'s value."""
        self.words = other.words[:]

    def get(self, field: Field) -> int:
        """The field's value, unsigned, in the field's own terms (`Field.special`)."""
        words = self.words
        n_words = field.n_words
        if n_words == 1:
            word = words[field.word]
            if field.word_ones == -1:
                return unsigned64(word)
            value = (word >> field.shift) & field.word_ones
            if field.special == 1:
                return ports_to_oxm(value)
            return value
        if n_words == 0:
            return _get_cells(words, field.cells)
        big = 0
        i: i64 = 0
        while i < n_words:
            big = (big << 64) | unsigned64(words[field.word + i])
            i += 1
        return big

    def set(self, field: Field, value: int) -> None:
        """Set the field to `value`, of which bits beyond the field's width are ignored.

        dl_vlan 0xffff removes the tag; another dl_vlan or a priority adds one (CFI) if need be.
        """
        words = self.words
        n_words = field.n_words
        w = field.word
        if n_words == 1:
            if field.word_ones == -1:
                words[w] = signed64(value)
                return
            special = field.special
            if special == 2 and value & 0xFFFF == 0xFFFF:
                words[w] &= ~(i64(0xFFFF) << at.S_VLAN_TCI)
                return
            bits: i64 = value & field.ones
            words[w] = (words[w] & ~field.in_place) | (((bits ^ field.sign) - field.sign) << field.shift)
            if special >= 2:
                words[at.W_VLAN_TCI] |= i64(at.VLAN_CFI) << at.S_VLAN_TCI
            return
        if n_words == 0:
            _set_cells(words, field.cells, value)
            return
        i: i64 = n_words - 1
        while i >= 0:
            words[w + i] = signed64(value & 0xFFFFFFFFFFFFFFFF)
            value >>= 64
            i -= 1

    def set_ones(self, field: Field) -> None:
        """Set all bits of the field: in a mask, match it exactly."""
        words = self.words
        w = field.word
        if field.n_words == 1:
            words[w] |= field.in_place
            return
        if field.n_words == 0:
            _set_cells(words, field.cells, field.ones)
            return
        i: i64 = 0
        while i < field.n_words:
            words[w + i] = -1
            i += 1

    def set_bits(self, field: Field, bits: int) -> None:
        """Set, of the field's stored bits, those set in `bits`: in a mask, match them too."""
        words = self.words
        w = field.word
        if field.n_words == 1:
            if field.word_ones == -1:
                words[w] |= signed64(bits)
            else:
                small: i64 = bits & field.ones
                words[w] |= ((small ^ field.sign) - field.sign) << field.shift
            return
        if field.n_words == 0:
            _set_cells(words, field.cells, _get_cells(words, field.cells) | bits)
            return
        i: i64 = field.n_words - 1
        while i >= 0:
            words[w + i] |= signed64(bits & 0xFFFFFFFFFFFFFFFF)
            bits >>= 64
            i -= 1

    def has_option(self, option: i64) -> bool:
        """Whether the packet has tunnel option tun_metadata`option`; in a mask, whether that matters."""
        return (self.words[at.W_TUN_METADATA_PRESENT] >> option) & 1 != 0

    def set_option(self, option: i64, present: bool = True) -> None:
        """Say that the packet has tunnel option tun_metadata`option`, or not."""
        bit = signed64(1 << int(option))
        if present:
            self.words[at.W_TUN_METADATA_PRESENT] |= bit
        else:
            self.words[at.W_TUN_METADATA_PRESENT] &= ~bit

    def bits(self, field: Field) -> int:
        """The field's stored bits as they lie, whatever its `special`: its mask, in a mask."""
        words = self.words
        if field.n_words == 1:
            if field.word_ones == -1:
                return unsigned64(words[field.word])
            return (words[field.word] >> field.shift) & field.word_ones
        return self.get(field)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Flow):
            return NotImplemented
        a = self.words
        b = other.words
        i: i64 = N_WORDS - 1
        while i >= 0:
            if a[i] != b[i]:
                return False
            i -= 1
        return True

    def __hash__(self) -> int:
        return self.hash()

    def hash(self) -> int:
        """A hash of the value (not stable over versions), 0 <= hash < 2**31."""
        words = self.words
        h: i64 = 0x3C6EF372
        i: i64 = 0
        while i < N_WORDS:
            w = words[i]
            if w != 0:
                h = ((h ^ (w & 0x7FFFFFFF) ^ i) * 0x2545F491) & 0x3FFFFFFFFFFFFFF
                h = (h ^ (h >> 29)) & 0x7FFFFFFF
                h = ((h ^ ((w >> 31) & 0x7FFFFFFF)) * 0x1B873593) & 0x3FFFFFFFFFFFFFF
                h = (h ^ (h >> 31) ^ ((w >> 62) & 3)) & 0x7FFFFFFF
            i += 1
        return h

    def key(self) -> bytes:
        """The whole value as bytes, to be a dict's key. Words are in host order."""
        return bytes(memoryview(self.words))

    def is_zero(self) -> bool:
        """Whether no bit is set; of a mask: whether it matches every packet."""
        words = self.words
        i: i64 = 0
        while i < N_WORDS:
            if words[i] != 0:
                return False
            i += 1
        return True

    def masked(self, mask: Flow) -> Flow:
        """A new flow with only the bits that `mask` has."""
        result = Flow()
        out = result.words
        a = self.words
        m = mask.words
        i: i64 = 0
        while i < N_WORDS:
            out[i] = a[i] & m[i]
            i += 1
        return result

    def and_(self, mask: Flow) -> None:
        """Clear every bit that `mask` lacks."""
        a = self.words
        m = mask.words
        i: i64 = 0
        while i < N_WORDS:
            a[i] &= m[i]
            i += 1

    def or_(self, mask: Flow) -> None:
        """Set every bit that `mask` has."""
        a = self.words
        m = mask.words
        i: i64 = 0
        while i < N_WORDS:
            a[i] |= m[i]
            i += 1

    def equal_in(self, other: Flow, mask: Flow) -> bool:
        """Whether both agree in every bit of `mask`."""
        a = self.words
        b = other.words
        m = mask.words
        i: i64 = 0
        while i < N_WORDS:
            if (a[i] ^ b[i]) & m[i] != 0:
                return False
            i += 1
        return True

    def covers(self, other: Flow) -> bool:
        """Of masks: whether every bit of `other` is set here too."""
        a = self.words
        b = other.words
        i: i64 = 0
        while i < N_WORDS:
            if b[i] & ~a[i] != 0:
                return False
            i += 1
        return True

    # Shorthands for the everyday fields.

    @property
    def in_port(self) -> int:
        return self.words[at.W_IN_PORT] & 0xFFFF

    @in_port.setter
    def in_port(self, value: int) -> None:
        port: i64 = value & 0xFFFF
        self.words[at.W_IN_PORT] = (self.words[at.W_IN_PORT] & ~0xFFFFFFFF) | port

    @property
    def recirc_id(self) -> int:
        return (self.words[at.W_RECIRC_ID] >> at.S_RECIRC_ID) & 0xFFFFFFFF

    @recirc_id.setter
    def recirc_id(self, value: int) -> None:
        self._set32_high(at.W_RECIRC_ID, value)

    @property
    def dp_hash(self) -> int:
        return (self.words[at.W_DP_HASH] >> at.S_DP_HASH) & 0xFFFFFFFF

    @dp_hash.setter
    def dp_hash(self, value: int) -> None:
        self._set32_high(at.W_DP_HASH, value)

    @property
    def packet_type(self) -> int:
        return self.words[at.W_PACKET_TYPE] & 0xFFFFFFFF

    @packet_type.setter
    def packet_type(self, value: int) -> None:
        self._set32_low(at.W_PACKET_TYPE, value)

    @property
    def skb_priority(self) -> int:
        return (self.words[at.W_SKB_PRIORITY] >> at.S_SKB_PRIORITY) & 0xFFFFFFFF

    @skb_priority.setter
    def skb_priority(self, value: int) -> None:
        self._set32_high(at.W_SKB_PRIORITY, value)

    @property
    def pkt_mark(self) -> int:
        return self.words[at.W_PKT_MARK] & 0xFFFFFFFF

    @pkt_mark.setter
    def pkt_mark(self, value: int) -> None:
        self._set32_low(at.W_PKT_MARK, value)

    @property
    def actset_output(self) -> int:
        """A 16-bit OpenFlow port number; `port_numbers.OFPP_UNSET` if there is no output."""
        return self.words[at.W_ACTSET_OUTPUT] & 0xFFFF

    @actset_output.setter
    def actset_output(self, value: int) -> None:
        self._set16(at.W_ACTSET_OUTPUT, at.S_ACTSET_OUTPUT, value)

    @property
    def conj_id(self) -> int:
        return (self.words[at.W_CONJ_ID] >> at.S_CONJ_ID) & 0xFFFFFFFF

    @conj_id.setter
    def conj_id(self, value: int) -> None:
        self._set32_high(at.W_CONJ_ID, value)

    @property
    def metadata(self) -> int:
        return unsigned64(self.words[at.W_METADATA])

    @metadata.setter
    def metadata(self, value: int) -> None:
        self.words[at.W_METADATA] = signed64(value)

    @property
    def tun_id(self) -> int:
        return unsigned64(self.words[at.W_TUN_ID])

    @tun_id.setter
    def tun_id(self, value: int) -> None:
        self.words[at.W_TUN_ID] = signed64(value)

    @property
    def tun_src(self) -> int:
        return (self.words[at.W_TUN_SRC] >> at.S_TUN_SRC) & 0xFFFFFFFF

    @tun_src.setter
    def tun_src(self, value: int) -> None:
        self._set32_high(at.W_TUN_SRC, value)

    @property
    def tun_dst(self) -> int:
        return self.words[at.W_TUN_DST] & 0xFFFFFFFF

    @tun_dst.setter
    def tun_dst(self, value: int) -> None:
        self._set32_low(at.W_TUN_DST, value)

    @property
    def ct_state(self) -> int:
        return self.words[at.W_CT_STATE] & 0xFF

    @ct_state.setter
    def ct_state(self, value: int) -> None:
        self._set8(at.W_CT_STATE, at.S_CT_STATE, value)

    @property
    def ct_zone(self) -> int:
        return (self.words[at.W_CT_ZONE] >> at.S_CT_ZONE) & 0xFFFF

    @ct_zone.setter
    def ct_zone(self, value: int) -> None:
        self._set16(at.W_CT_ZONE, at.S_CT_ZONE, value)

    @property
    def ct_mark(self) -> int:
        return (self.words[at.W_CT_MARK] >> at.S_CT_MARK) & 0xFFFFFFFF

    @ct_mark.setter
    def ct_mark(self, value: int) -> None:
        self._set32_high(at.W_CT_MARK, value)

    @property
    def dl_dst(self) -> int:
        return (self.words[at.W_ETH_DST] >> at.S_ETH_DST) & 0xFFFFFFFFFFFF

    @dl_dst.setter
    def dl_dst(self, value: int) -> None:
        self._set48(at.W_ETH_DST, value)

    @property
    def dl_src(self) -> int:
        return (self.words[at.W_ETH_SRC] >> at.S_ETH_SRC) & 0xFFFFFFFFFFFF

    @dl_src.setter
    def dl_src(self, value: int) -> None:
        self._set48(at.W_ETH_SRC, value)

    @property
    def dl_type(self) -> int:
        return self.words[at.W_ETH_TYPE] & 0xFFFF

    @dl_type.setter
    def dl_type(self, value: int) -> None:
        self._set16(at.W_ETH_TYPE, at.S_ETH_TYPE, value)

    @property
    def vlan_tci(self) -> int:
        """The outer tag's TCI with CFI set; 0 without a tag."""
        return self.words[at.W_VLAN_TCI] & 0xFFFF

    @vlan_tci.setter
    def vlan_tci(self, value: int) -> None:
        self._set16(at.W_VLAN_TCI, at.S_VLAN_TCI, value)

    @property
    def vlan_tpid(self) -> int:
        return (self.words[at.W_VLAN_TPID] >> at.S_VLAN_TPID) & 0xFFFF

    @vlan_tpid.setter
    def vlan_tpid(self, value: int) -> None:
        self._set16(at.W_VLAN_TPID, at.S_VLAN_TPID, value)

    @property
    def vlan_tci1(self) -> int:
        """The inner tag's TCI."""
        return (self.words[at.W_VLAN_TCI1] >> at.S_VLAN_TCI1) & 0xFFFF

    @vlan_tci1.setter
    def vlan_tci1(self, value: int) -> None:
        self._set16(at.W_VLAN_TCI1, at.S_VLAN_TCI1, value)

    @property
    def vlan_tpid1(self) -> int:
        return (self.words[at.W_VLAN_TPID1] >> at.S_VLAN_TPID1) & 0xFFFF

    @vlan_tpid1.setter
    def vlan_tpid1(self, value: int) -> None:
        self._set16(at.W_VLAN_TPID1, at.S_VLAN_TPID1, value)

    @property
    def nw_src(self) -> int:
        return (self.words[at.W_NW_SRC] >> at.S_NW_SRC) & 0xFFFFFFFF

    @nw_src.setter
    def nw_src(self, value: int) -> None:
        self._set32_high(at.W_NW_SRC, value)

    @property
    def nw_dst(self) -> int:
        return self.words[at.W_NW_DST] & 0xFFFFFFFF

    @nw_dst.setter
    def nw_dst(self, value: int) -> None:
        self._set32_low(at.W_NW_DST, value)

    @property
    def nw_proto(self) -> int:
        """The IP protocol, or the low byte of the ARP opcode."""
        return self.words[at.W_NW_PROTO] & 0xFF

    @nw_proto.setter
    def nw_proto(self, value: int) -> None:
        self._set8(at.W_NW_PROTO, at.S_NW_PROTO, value)

    @property
    def nw_tos(self) -> int:
        return (self.words[at.W_NW_TOS] >> at.S_NW_TOS) & 0xFF

    @nw_tos.setter
    def nw_tos(self, value: int) -> None:
        self._set8(at.W_NW_TOS, at.S_NW_TOS, value)

    @property
    def nw_ttl(self) -> int:
        return (self.words[at.W_NW_TTL] >> at.S_NW_TTL) & 0xFF

    @nw_ttl.setter
    def nw_ttl(self, value: int) -> None:
        self._set8(at.W_NW_TTL, at.S_NW_TTL, value)

    @property
    def nw_frag(self) -> int:
        """`layout.FRAG_ANY` and `FRAG_LATER` bits."""
        return (self.words[at.W_NW_FRAG] >> at.S_NW_FRAG) & 0xFF

    @nw_frag.setter
    def nw_frag(self, value: int) -> None:
        self._set8(at.W_NW_FRAG, at.S_NW_FRAG, value)

    @property
    def tp_src(self) -> int:
        """The transport source port, or the ICMP type."""
        return (self.words[at.W_TP_SRC] >> at.S_TP_SRC) & 0xFFFF

    @tp_src.setter
    def tp_src(self, value: int) -> None:
        self._set16(at.W_TP_SRC, at.S_TP_SRC, value)

    @property
    def tp_dst(self) -> int:
        """The transport destination port, or the ICMP code."""
        return (self.words[at.W_TP_DST] >> at.S_TP_DST) & 0xFFFF

    @tp_dst.setter
    def tp_dst(self, value: int) -> None:
        self._set16(at.W_TP_DST, at.S_TP_DST, value)

    @property
    def tcp_flags(self) -> int:
        return self.words[at.W_TCP_FLAGS] & 0xFFFF

    @tcp_flags.setter
    def tcp_flags(self, value: int) -> None:
        self._set16(at.W_TCP_FLAGS, at.S_TCP_FLAGS, value)

    def reg(self, n: int) -> int:
        """Register `n`, 0..15."""
        w: i64 = at.W_REGS + n // 2
        if n & 1:
            return self.words[w] & 0xFFFFFFFF
        return (self.words[w] >> 32) & 0xFFFFFFFF

    def set_reg(self, n: int, value: int) -> None:
        """Set register `n`, 0..15."""
        w: i64 = at.W_REGS + n // 2
        if n & 1:
            self._set32_low(w, value)
        else:
            self._set32_high(w, value)

    def _set8(self, w: i64, shift: i64, value: int) -> None:
        bits: i64 = value & 0xFF
        ones: i64 = 0x00FF000000000000 >> (48 - shift)  # mypyc shifts a small literal in C's 32 bits
        self.words[w] = (self.words[w] & ~ones) | (bits << shift)

    def _set16(self, w: i64, shift: i64, value: int) -> None:
        bits: i64 = value & 0xFFFF
        if shift == 48:
            self.words[w] = (self.words[w] & 0xFFFFFFFFFFFF) | (signed16(bits) << 48)
            return
        ones: i64 = 0xFFFF00000000 >> (32 - shift)
        self.words[w] = (self.words[w] & ~ones) | (bits << shift)

    def _set32_low(self, w: i64, value: int) -> None:
        bits: i64 = value & 0xFFFFFFFF
        self.words[w] = (self.words[w] & ~0xFFFFFFFF) | bits

    def _set32_high(self, w: i64, value: int) -> None:
        bits: i64 = value & 0xFFFFFFFF
        self.words[w] = (self.words[w] & 0xFFFFFFFF) | (signed32(bits) << 32)

    def _set48(self, w: i64, value: int) -> None:
        bits: i64 = value & 0xFFFFFFFFFFFF
        self.words[w] = (self.words[w] & 0xFFFF) | (((bits ^ 0x800000000000) - 0x800000000000) << 16)

    def __repr__(self) -> str:
        said = [f"{f.name}={self.bits(f):#x}" for f in (*FIELDS, *PARTS) if f.option < 0 and self.bits(f)]
        return f"<Flow {', '.join(said)}>"
