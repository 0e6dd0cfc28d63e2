"""Flows as the datapath writes them: `OVS_KEY_ATTR_*` attributes to `Flow` and back, masks too.

`decode_key` and `decode_mask` read what a datapath sends, whatever its bytes; how well that
translates is the `Fitness`. `encode_key` and `encode_mask` write it. The structs within are
`key_struct.py`'s, the tunnel and NSH attributes `odp_nested.py`'s. Compiled by mypyc.

The kernel's rules (Documentation/networking/openvswitch.rst): an attribute that the packet's
headers imply must be there, others must not; the headers behind a VLAN tag are in ENCAP; a key
without Ethernet type is an 802.2 frame, whose mask has one nevertheless.
"""

from __future__ import annotations

import os
import sys
from typing import Final, final

from librt.strings import BytesWriter, write_i32_be
from librt.vecs import vec
from mypy_extensions import i32, i64, u8

from vswitch.base.signed import signed16, signed32
from vswitch.dpif.key_struct import SIZES, get_struct, put_be16_attr, put_header, put_struct, put_u32
from vswitch.dpif.odp_nested import get_nsh, get_tunnel, put_nsh, put_tunnel
from vswitch.dpif.types import Fitness
from vswitch.flow import key_attr as key
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.flow.port_numbers import OFPP_NONE
from vswitch.netlink.attrs import AttrIndex, be16_at, be32_at, u32_at
from vswitch.packet.numbers import (
    DL_TYPE_NONE,
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MIN,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
    ETH_TYPE_RARP,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
)

KEY_ALL: Final = 0
"""Flags for encoding: every attribute that a datapath may know, apart from userspace's own."""
KEY_USERSPACE: Final = 1
"""Also PACKET_TYPE and ND_EXTENSIONS, which the kernel doesn't take."""
KEY_NO_CT: Final = 2
"""No connection tracking state."""
KEY_NO_CT_TUPLE: Final = 4
"""No original tuple of the connection."""
KEY_NO_RECIRC: Final = 8
"""Neither RECIRC_ID nor DP_HASH."""
KEY_ONE_VLAN: Final = 16
"""At most one VLAN tag; what is behind it is an Ethernet type only."""
KEY_CT_IF_SET: Final = 32
"""CT_STATE, CT_ZONE, CT_MARK and CT_LABELS only where key or mask isn't 0: a kernel refuses what it was
built without, and takes an attribute's absence for 0; but a mask only where there is a key."""

_LITTLE: Final = sys.byteorder == "little"

_ERROR: Final = -1
_TOO_MUCH: Final = 0x10000000000
"""In a set of attribute types: there was something unknown inside one."""
_BIT_EXTHDRS: Final = 0x100000000
"""`1 << key.IPV6_EXTHDRS`, spelled out because C has no such shift of an int."""

_METADATA: Final = vec[i64](
    [key.PRIORITY, key.SKB_MARK, key.CT_STATE, key.CT_ZONE, key.CT_MARK, key.CT_LABELS,
     key.CT_ORIG_TUPLE_IPV4, key.CT_ORIG_TUPLE_IPV6, key.RECIRC_ID, key.DP_HASH, key.PACKET_TYPE]
)  # fmt: skip


@final
class _Levels:
    """Attribute indexes for the key and the two levels of ENCAP; used by one decoding at a time."""

    def __init__(self) -> None:
        self.top: AttrIndex = AttrIndex(32)
        self.inner: AttrIndex = AttrIndex(32)
        self.innermost: AttrIndex = AttrIndex(32)


_LEVELS: Final = _Levels()


def decode_key(data: bytes, flow: Flow) -> Fitness:
    """Read a flow key's attributes into `flow`, replacing its whole value.

    ERROR leaves `flow` undefined. Without IN_PORT, `flow.in_port` is `port_numbers.OFPP_NONE`.
    """
    flow.clear()
    return _decode(data, flow.words, flow.words, False)


def decode_mask(data: bytes, mask: Flow, flow: Flow) -> Fitness:
    """Read the mask that goes with the key of `flow` into `mask`, replacing its whole value.

    An attribute that the mask lacks masks nothing, but where the key has no VLAN tag the mask
    matches that there is none, as the kernel does. ERROR leaves `mask` undefined.
    """
    mask.clear()
    return _decode(data, mask.words, flow.words, True)


def _get(index: AttrIndex, attr: i64, data: bytes, words: vec[i64], is_mask: bool) -> bool:
    """Read attribute `attr` if it is there; False if it is malformed."""
    if not index.has(attr):
        return True
    if index.lengths[attr] != SIZES[attr]:
        return False
    return get_struct(attr, data, index.offsets[attr], words, is_mask)


def _decode(data: bytes, words: vec[i64], flow: vec[i64], is_mask: bool) -> Fitness:
    index = _LEVELS.top
    if not index.index(data, 0, len(data)) or index.repeated:
        return Fitness.ERROR
    present = index.present
    if index.unknown:
        present |= _TOO_MUCH
    n: i64 = len(_METADATA)
    i: i64 = 0
    expected: i64 = 0
    while i < n:
        attr = _METADATA[i]
        if (present >> attr) & 1:
            if not _get(index, attr, data, words, is_mask):
                return Fitness.ERROR
            expected |= 0x4000000000000000 >> (62 - attr)
        i += 1
    if (present >> key.IN_PORT) & 1:
        if index.lengths[key.IN_PORT] != 4:
            return Fitness.ERROR
        port = u32_at(data, index.offsets[key.IN_PORT])
        if is_mask:
            port = 0xFFFF if port else 0
        elif port == 0xFFFFFFFF:
            port = OFPP_NONE
        elif port >= 0xFFFF:
            return Fitness.ERROR
        words[at.W_IN_PORT] = (words[at.W_IN_PORT] & ~0xFFFFFFFF) | port
        expected |= i64(1) << key.IN_PORT
    elif not is_mask:
        words[at.W_IN_PORT] |= OFPP_NONE
    if (present >> key.TUNNEL) & 1:
        start = index.offsets[key.TUNNEL]
        inside = get_tunnel(data, start, start + index.lengths[key.TUNNEL], words, is_mask)
        if inside < 0:
            return Fitness.ERROR
        if inside > 0:
            present |= _TOO_MUCH
        expected |= i64(1) << key.TUNNEL
    if (present >> key.ETHERNET) & 1:
        if not _get(index, key.ETHERNET, data, words, is_mask):
            return Fitness.ERROR
        expected |= i64(1) << key.ETHERNET
        if not is_mask:
            words[at.W_PACKET_TYPE] &= ~0xFFFFFFFF
    elif (
        not is_mask
        and (present >> key.ETHERTYPE) & 1
        and (not (present >> key.PACKET_TYPE) & 1 or words[at.W_PACKET_TYPE] & 0xFFFFFFFF != 0)
    ):
        # Be there a PACKET_TYPE that says another one; dumps say that it is Ethernet by that alone.
        if index.lengths[key.ETHERTYPE] != 2:
            return Fitness.ERROR
        packet_type = 0x10000 | be16_at(data, index.offsets[key.ETHERTYPE])
        words[at.W_PACKET_TYPE] = (words[at.W_PACKET_TYPE] & ~0xFFFFFFFF) | packet_type
    return _decode_l2(data, words, flow, is_mask, present, expected)


def _decode_l2(
    data: bytes, words: vec[i64], flow: vec[i64], is_mask: bool, present: i64, expected: i64
) -> Fitness:
    """VLAN tags, then what is behind them; `present` and `expected` are sets of attribute types."""
    index = _LEVELS.top
    all_present = present
    all_expected = expected
    depth: i64 = 0
    while True:
        dl_type = _ethertype(data, index, is_mask)
        if dl_type < 0:
            return Fitness.ERROR
        all_expected |= present & (i64(1) << key.ETHERTYPE)
        if not _is_tagged(flow, depth, dl_type, is_mask):
            if is_mask and depth < 2 and (flow[at.W_PACKET_TYPE] & 0xFFFFFFFF) == 0:
                # A mask without VLAN means "no tag", not "any".
                _put_vlan(words, depth, 0xFFFF, 0xFFFF)
            break
        if (present >> key.VLAN) & 1 and index.lengths[key.VLAN] != 2:
            return Fitness.ERROR
        tci: i64 = be16_at(data, index.offsets[key.VLAN]) if (present >> key.VLAN) & 1 else 0
        all_expected |= i64(1) << key.VLAN | i64(1) << key.ENCAP
        if not (present >> key.ENCAP) & 1:
            if not is_mask:
                if tci & at.VLAN_CFI:
                    _put_vlan(words, depth, dl_type, tci)
                return Fitness.TOO_LITTLE
            _put_vlan(words, depth, dl_type, tci)
            return _fitness(all_present, all_expected)
        if not is_mask and not tci & at.VLAN_CFI:
            # A tag cut off by the end of the packet: TCI 0, nothing behind it.
            if tci != 0 or index.lengths[key.ENCAP] != 0 or not (present >> key.VLAN) & 1:
                return Fitness.ERROR
            words[at.W_ETH_TYPE] |= dl_type
            return _fitness(all_present, all_expected)
        _put_vlan(words, depth, dl_type, tci)
        start = index.offsets[key.ENCAP]
        end = start + index.lengths[key.ENCAP]
        index = _LEVELS.inner if depth == 0 else _LEVELS.innermost
        if not index.index(data, start, end) or index.repeated:
            return Fitness.ERROR
        present = index.present
        if index.unknown:
            all_present |= _TOO_MUCH
        all_present |= present
        if present & all_expected & ~(i64(1) << key.ETHERTYPE | i64(1) << key.VLAN | i64(1) << key.ENCAP):
            all_present |= _TOO_MUCH
        depth += 1
    words[at.W_ETH_TYPE] = (words[at.W_ETH_TYPE] & ~0xFFFF) | dl_type
    behind = _decode_network(data, index, words, flow, is_mask)
    if behind < 0:
        return Fitness.ERROR
    all_present |= behind & _TOO_MUCH
    all_expected |= behind & ~_TOO_MUCH
    if not is_mask and all_expected & ~all_present:
        return Fitness.TOO_LITTLE
    return _fitness(all_present, all_expected)


def _fitness(present: i64, expected: i64) -> Fitness:
    return Fitness.TOO_MUCH if present & ~expected else Fitness.PERFECT


def _ethertype(data: bytes, index: AttrIndex, is_mask: bool) -> i64:
    """ETHERTYPE of one level of a key, or of its mask: in a key without one that of its network header, or no
    type, 0 in a mask. _ERROR."""
    if not index.has(key.ETHERTYPE):
        if is_mask:
            return 0
        if index.has(key.IPV4):
            return ETH_TYPE_IP
        if index.has(key.IPV6):
            return ETH_TYPE_IPV6
        return ETH_TYPE_MPLS if index.has(key.MPLS) else DL_TYPE_NONE
    if index.lengths[key.ETHERTYPE] != 2:
        return _ERROR
    dl_type: i64 = be16_at(data, index.offsets[key.ETHERTYPE])
    if not is_mask and dl_type < ETH_TYPE_MIN:
        return _ERROR
    return dl_type


def _is_tagged(flow: vec[i64], depth: i64, dl_type: i64, is_mask: bool) -> bool:
    """Whether a VLAN tag follows: a key's type says so, and a mask is as its key. A flow has two at most."""
    if depth >= 2:
        return False
    if not is_mask:
        return dl_type in (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD)
    if depth == 0:
        return (flow[at.W_VLAN_TCI] >> at.S_VLAN_TCI) & at.VLAN_CFI != 0
    return (flow[at.W_VLAN_TCI1] >> at.S_VLAN_TCI1) & at.VLAN_CFI != 0


def _put_vlan(words: vec[i64], depth: i64, tpid: i64, tci: i64) -> None:
    if depth == 0:
        words[at.W_VLAN_TCI] |= tci << at.S_VLAN_TCI
        words[at.W_VLAN_TPID] |= signed16(tpid) << at.S_VLAN_TPID
    else:
        words[at.W_VLAN_TCI1] |= tci << at.S_VLAN_TCI1
        words[at.W_VLAN_TPID1] |= tpid << at.S_VLAN_TPID1


def _effective_type(flow: vec[i64]) -> i64:
    packet_type = flow[at.W_PACKET_TYPE] & 0xFFFFFFFF
    if packet_type >> 16 == 1:
        return packet_type & 0xFFFF
    return flow[at.W_ETH_TYPE] & 0xFFFF


def _decode_network(data: bytes, index: AttrIndex, words: vec[i64], flow: vec[i64], is_mask: bool) -> i64:
    """Read L3 and L4; returns the set of attribute types that belong there, or _ERROR."""
    dl_type = _effective_type(flow)
    if dl_type == ETH_TYPE_IP:
        if not _get(index, key.IPV4, data, words, is_mask):
            return _ERROR
        return _decode_transport(data, index, words, flow, is_mask, i64(1) << key.IPV4, False)
    if dl_type == ETH_TYPE_IPV6:
        if not _get(index, key.IPV6, data, words, is_mask):
            return _ERROR
        expected = i64(1) << key.IPV6
        if index.has(key.IPV6_EXTHDRS):
            # Which extension headers there are; no match field depends on it.
            expected |= _BIT_EXTHDRS
        return _decode_transport(data, index, words, flow, is_mask, expected, True)
    if dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        return i64(1) << key.ARP if _get(index, key.ARP, data, words, is_mask) else _ERROR
    if dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        return _decode_mpls(data, index, words, is_mask)
    if dl_type == ETH_TYPE_NSH:
        if index.has(key.NSH):
            start = index.offsets[key.NSH]
            if get_nsh(data, start, start + index.lengths[key.NSH], words) < 0:
                return _ERROR
        return i64(1) << key.NSH
    return 0


def _decode_mpls(data: bytes, index: AttrIndex, words: vec[i64], is_mask: bool) -> i64:
    if index.has(key.MPLS):
        length = index.lengths[key.MPLS]
        if length == 0 or length & 3:
            return _ERROR
        offset = index.offsets[key.MPLS]
        n: i64 = length // 4
        i: i64 = 0
        while i < n and i < 3:
            lse = be32_at(data, offset + 4 * i)
            if i & 1:
                words[at.W_MPLS_LSE] |= lse
            else:
                words[at.W_MPLS_LSE + (i >> 1)] |= signed32(lse) << 32
            i += 1
        if n > 3:
            return i64(1) << key.MPLS | _TOO_MUCH
    return i64(1) << key.MPLS


def _decode_transport(
    data: bytes, index: AttrIndex, words: vec[i64], flow: vec[i64], is_mask: bool, expected: i64, six: bool
) -> i64:
    proto = flow[at.W_NW_PROTO] & 0xFF
    if (flow[at.W_NW_FRAG] >> at.S_NW_FRAG) & at.FRAG_LATER:
        return expected
    sound = True
    if proto == 6:
        sound = _get(index, key.TCP, data, words, is_mask)
        sound = sound and _get(index, key.TCP_FLAGS, data, words, is_mask)
        expected |= i64(1) << key.TCP
        if index.has(key.TCP_FLAGS):
            expected |= i64(1) << key.TCP_FLAGS
    elif proto == 17:
        sound = _get(index, key.UDP, data, words, is_mask)
        expected |= i64(1) << key.UDP
    elif proto == 132:
        sound = _get(index, key.SCTP, data, words, is_mask)
        expected |= i64(1) << key.SCTP
    elif proto == 1 and not six:
        sound = _get(index, key.ICMP, data, words, is_mask)
        expected |= i64(1) << key.ICMP
    elif proto == 58 and six:
        sound = _get(index, key.ICMPV6, data, words, is_mask)
        expected |= i64(1) << key.ICMPV6
        kind = (flow[at.W_TP_SRC] >> at.S_TP_SRC) & 0xFFFF
        code = (flow[at.W_TP_DST] >> at.S_TP_DST) & 0xFFFF
        if sound and (kind == 135 or kind == 136) and code == 0:
            sound = _get(index, key.ND, data, words, is_mask)
            expected |= i64(1) << key.ND
            if sound and index.has(key.ND_EXTENSIONS):
                sound = _get(index, key.ND_EXTENSIONS, data, words, is_mask)
                expected |= i64(1) << key.ND_EXTENSIONS
    return expected if sound else _ERROR


# Encoding.


@final
class _Encoder:
    """Writes attributes one after the other; used by one encoding at a time."""

    def __init__(self) -> None:
        self.out: BytesWriter = BytesWriter()


_ENCODER: Final = _Encoder()
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


def _put(out: BytesWriter, attr: i64, words: vec[i64], is_mask: bool) -> None:
    size = SIZES[attr]
    put_header(out, attr, size)
    put_struct(attr, out, words, is_mask)
    if size & 3:
        out.write(_PADDING[size & 3])


def _patch_length(out: BytesWriter, position: i64) -> None:
    length: i64 = len(out) - position
    low = u8(length & 0xFF)
    high = u8((length >> 8) & 0xFF)
    if _LITTLE:
        out[position] = low
        out[position + 1] = high
    else:
        out[position] = high
        out[position + 1] = low


def encode_key(flow: Flow, flags: int = KEY_ALL, mask: Flow | None = None) -> bytes:
    """The key attributes of `flow`, as in OVS_FLOW_ATTR_KEY or OVS_PACKET_ATTR_KEY.

    With KEY_CT_IF_SET, `mask` is the one that goes with them, if there is one."""
    return _encode(flow.words, flow.words, flow.words if mask is None else mask.words, False, flags)


def encode_mask(mask: Flow, flow: Flow, flags: int = KEY_ALL) -> bytes:
    """The mask attributes to go with `encode_key(flow)`: `flow` says which attributes there are."""
    return _encode(mask.words, flow.words, flow.words, True, flags)


def _encode(words: vec[i64], flow: vec[i64], other: vec[i64], is_mask: bool, flags: i64) -> bytes:
    out = _ENCODER.out
    out.truncate(0)
    _encode_metadata(out, words, flow, other, is_mask, flags)
    packet_type = flow[at.W_PACKET_TYPE] & 0xFFFFFFFF
    if packet_type == 0:
        _put(out, key.ETHERNET, words, is_mask)
    encap0: i64 = -1
    encap1: i64 = -1
    cut = False
    if packet_type == 0 and (flow[at.W_VLAN_TCI] >> at.S_VLAN_TCI) & at.VLAN_CFI:
        put_be16_attr(out, key.ETHERTYPE, _tpid(words, at.W_VLAN_TPID, at.S_VLAN_TPID, is_mask))
        put_be16_attr(out, key.VLAN, words[at.W_VLAN_TCI] >> at.S_VLAN_TCI)
        encap0 = len(out)
        put_header(out, key.ENCAP, 0)
        if (flow[at.W_VLAN_TCI1] >> at.S_VLAN_TCI1) & at.VLAN_CFI:
            if flags & KEY_ONE_VLAN:
                cut = True
            put_be16_attr(out, key.ETHERTYPE, _tpid(words, at.W_VLAN_TPID1, at.S_VLAN_TPID1, is_mask))
            if not cut:
                put_be16_attr(out, key.VLAN, words[at.W_VLAN_TCI1] >> at.S_VLAN_TCI1)
                encap1 = len(out)
                put_header(out, key.ENCAP, 0)
    if not cut:
        _encode_network(out, words, flow, is_mask, flags)
    if encap1 >= 0:
        _patch_length(out, encap1)
    if encap0 >= 0:
        _patch_length(out, encap0)
    return out.getvalue()


def _tpid(words: vec[i64], w: i64, shift: i64, is_mask: bool) -> i64:
    """The tag's Ethernet type, which every mask matches exactly (the kernel insists)."""
    tpid = (words[w] >> shift) & 0xFFFF
    return 0xFFFF if is_mask else (tpid if tpid else ETH_TYPE_VLAN_8021Q)


def _encode_metadata(
    out: BytesWriter, words: vec[i64], flow: vec[i64], other: vec[i64], is_mask: bool, flags: i64
) -> None:
    _put(out, key.PRIORITY, words, is_mask)
    if flow[at.W_TUN_DST] & 0xFFFFFFFF or flow[at.W_TUN_IPV6_DST] or flow[at.W_TUN_IPV6_DST + 1]:
        position: i64 = len(out)
        put_header(out, key.TUNNEL, 0)
        put_tunnel(out, words, flow, is_mask)
        _patch_length(out, position)
    _put(out, key.SKB_MARK, words, is_mask)
    if not flags & KEY_NO_CT:
        always = not flags & KEY_CT_IF_SET
        tracked = words[at.W_CT_STATE] | other[at.W_CT_STATE]
        if always or (tracked >> at.S_CT_STATE) & 0xFF:
            _put(out, key.CT_STATE, words, is_mask)
        if always or (tracked >> at.S_CT_ZONE) & 0xFFFF:
            _put(out, key.CT_ZONE, words, is_mask)
        if always or (tracked >> at.S_CT_MARK) & 0xFFFFFFFF:
            _put(out, key.CT_MARK, words, is_mask)
        labelled = words[at.W_CT_LABEL] | other[at.W_CT_LABEL]
        if always or labelled | words[at.W_CT_LABEL + 1] | other[at.W_CT_LABEL + 1]:
            _put(out, key.CT_LABELS, words, is_mask)
        if not flags & KEY_NO_CT_TUPLE and (flow[at.W_CT_NW_PROTO] >> at.S_CT_NW_PROTO) & 0xFF:
            # The addresses don't tell which it is: a masked key may have none.
            dl_type = _effective_type(flow)
            if dl_type == ETH_TYPE_IP:
                _put(out, key.CT_ORIG_TUPLE_IPV4, words, is_mask)
            elif dl_type == ETH_TYPE_IPV6:
                _put(out, key.CT_ORIG_TUPLE_IPV6, words, is_mask)
    if not flags & KEY_NO_RECIRC:
        _put(out, key.RECIRC_ID, words, is_mask)
        _put(out, key.DP_HASH, words, is_mask)
    port = words[at.W_IN_PORT] & 0xFFFF
    if is_mask:
        put_header(out, key.IN_PORT, 4)
        put_u32(out, 0xFFFFFFFF if port else 0)
    elif port != OFPP_NONE:
        put_header(out, key.IN_PORT, 4)
        put_u32(out, port)
    if flags & KEY_USERSPACE:
        _put(out, key.PACKET_TYPE, words, is_mask)


def _encode_network(out: BytesWriter, words: vec[i64], flow: vec[i64], is_mask: bool, flags: i64) -> None:
    dl_type = _effective_type(flow)
    if dl_type < ETH_TYPE_MIN:
        if is_mask and words[at.W_ETH_TYPE] & 0xFFFF:
            put_be16_attr(out, key.ETHERTYPE, 0xFFFF)
        return
    put_be16_attr(out, key.ETHERTYPE, words[at.W_ETH_TYPE] if is_mask else dl_type)
    if dl_type == ETH_TYPE_IP:
        _put(out, key.IPV4, words, is_mask)
        _encode_transport(out, words, flow, is_mask, flags, False)
    elif dl_type == ETH_TYPE_IPV6:
        _put(out, key.IPV6, words, is_mask)
        _encode_transport(out, words, flow, is_mask, flags, True)
    elif dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        _put(out, key.ARP, words, is_mask)
    elif dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        _encode_mpls(out, words, flow)
    elif dl_type == ETH_TYPE_NSH:
        position: i64 = len(out)
        put_header(out, key.NSH, 0)
        put_nsh(out, words, flow)
        _patch_length(out, position)


def _lse(words: vec[i64], i: i64) -> i64:
    if i & 1:
        return words[at.W_MPLS_LSE] & 0xFFFFFFFF
    return (words[at.W_MPLS_LSE + (i >> 1)] >> 32) & 0xFFFFFFFF


def _encode_mpls(out: BytesWriter, words: vec[i64], flow: vec[i64]) -> None:
    """The labels down to the bottom of the stack; if that is not among the three that a flow has,
    those of them that are not 0."""
    n: i64 = 0
    at_bottom = False
    k: i64 = 0
    while k < 3 and not at_bottom:
        lse = _lse(flow, k)
        k += 1
        if lse & 0x100:
            at_bottom = True
            n = k
        elif lse:
            n += 1
    if n == 0:
        n = 1
    put_header(out, key.MPLS, 4 * n)
    i: i64 = 0
    while i < n:
        write_i32_be(out, i32(signed32(_lse(words, i))))
        i += 1


def _encode_transport(
    out: BytesWriter, words: vec[i64], flow: vec[i64], is_mask: bool, flags: i64, six: bool
) -> None:
    if (flow[at.W_NW_FRAG] >> at.S_NW_FRAG) & at.FRAG_LATER:
        return
    proto = flow[at.W_NW_PROTO] & 0xFF
    if proto == 6:
        _put(out, key.TCP, words, is_mask)
        _put(out, key.TCP_FLAGS, words, is_mask)
    elif proto == 17:
        _put(out, key.UDP, words, is_mask)
    elif proto == 132:
        _put(out, key.SCTP, words, is_mask)
    elif proto == 1 and not six:
        _put(out, key.ICMP, words, is_mask)
    elif proto == 58 and six:
        _put(out, key.ICMPV6, words, is_mask)
        kind = (flow[at.W_TP_SRC] >> at.S_TP_SRC) & 0xFFFF
        if (kind == 135 or kind == 136) and (flow[at.W_TP_DST] >> at.S_TP_DST) & 0xFFFF == 0:
            exact = (words[at.W_TP_SRC] >> at.S_TP_DST) & 0xFFFFFFFF
            if is_mask and exact & 0x00FF00FF != 0x00FF00FF:
                return
            _put(out, key.ND, words, is_mask)
            if flags & KEY_USERSPACE and (flow[at.W_IGMP_GROUP] or flow[at.W_TCP_FLAGS] & 0xFFFF):
                _put(out, key.ND_EXTENSIONS, words, is_mask)


_SECRET: Final = os.urandom(16)
