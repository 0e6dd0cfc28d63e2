"""The key attributes that hold attributes: the tunnel and the NSH header.

Geneve options are checked for form and kept as they are: only a bridge's TLV table knows which of
them are tun_metadata fields. Compiled by mypyc.
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, read_i64_be, write_i32_be, write_i64_be
from librt.vecs import vec
from mypy_extensions import i32, i64, u8

from vswitch.base.signed import signed16, signed32
from vswitch.dpif.key_struct import put_be16_attr, put_header, put_u32
from vswitch.flow import key_attr as key
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.netlink.attrs import AttrIndex, be32_at, u32_at

MAX_OPTIONS: Final = 252
"""Bytes of options that a Geneve header can have (RFC 8926 section 3.4)."""
_TUNNEL: Final = AttrIndex(17)
_VXLAN: Final = AttrIndex(1)
_NSH: Final = AttrIndex(3)
_SIZES: Final = vec[i64]([8, 4, 4, 1, 1, 0, 0, 0, -1, 2, 2, -1, 16, 16, -1, -1, 0, 2])
"""Payload size of each OVS_TUNNEL_KEY_ATTR_*, -1 for a variable one."""


def geneve_sound(data: bytes, start: i64, end: i64) -> bool:
    """Whether `data[start:end]` is a sequence of whole Geneve options (RFC 8926 section 3.5)."""
    offset = start
    while offset < end:
        if end - offset < 4:
            return False
        offset += 4 + 4 * (i64(data[offset + 3]) & 0x1F)
    return offset == end


def put_option_bytes(words: vec[i64], data: bytes, start: i64, size: i64) -> None:
    """Put `size` bytes of tunnel options into the first words of a flow, which are 0."""
    i: i64 = 0
    while i < size:
        byte = i64(data[start + i])
        if i & 7 == 0:
            byte = (byte ^ 0x80) - 0x80
        words[at.W_TUN_METADATA + (i >> 3)] |= byte << (56 - 8 * (i & 7))
        i += 1


def option_bytes(words: vec[i64], size: i64) -> bytes:
    """The first `size` bytes of tunnel options in a flow's words."""
    out = BytesWriter()
    i: i64 = 0
    while i < size:
        out.append(u8((words[at.W_TUN_METADATA + (i >> 3)] >> (56 - 8 * (i & 7))) & 0xFF))
        i += 1
    return out.getvalue()


def get_tunnel(data: bytes, start: i64, end: i64, words: vec[i64], is_mask: bool) -> i64:
    """Read the nested tunnel attributes in `data[start:end]`; 1 if there is more than a flow can
    say, 0 if not, -1 if they are malformed."""
    index = _TUNNEL
    if not index.index(data, start, end) or index.repeated:
        return -1
    attr: i64 = 0
    while attr <= 17:
        if index.has(attr) and _SIZES[attr] >= 0 and index.lengths[attr] != _SIZES[attr]:
            return -1
        attr += 1
    flags: i64 = 0
    offsets = index.offsets
    if index.has(key.TUN_ID):
        words[at.W_TUN_ID] = read_i64_be(data, offsets[key.TUN_ID])
        flags |= at.TUN_F_KEY
    if index.has(key.TUN_IPV4_SRC):
        words[at.W_TUN_SRC] |= signed32(be32_at(data, offsets[key.TUN_IPV4_SRC])) << 32
    if index.has(key.TUN_IPV4_DST):
        words[at.W_TUN_DST] |= be32_at(data, offsets[key.TUN_IPV4_DST])
    if index.has(key.TUN_IPV6_SRC):
        words[at.W_TUN_IPV6_SRC] = read_i64_be(data, offsets[key.TUN_IPV6_SRC])
        words[at.W_TUN_IPV6_SRC + 1] = read_i64_be(data, offsets[key.TUN_IPV6_SRC] + 8)
    if index.has(key.TUN_IPV6_DST):
        words[at.W_TUN_IPV6_DST] = read_i64_be(data, offsets[key.TUN_IPV6_DST])
        words[at.W_TUN_IPV6_DST + 1] = read_i64_be(data, offsets[key.TUN_IPV6_DST] + 8)
    if index.has(key.TUN_DONT_FRAGMENT):
        flags |= at.TUN_F_DF
    if index.has(key.TUN_CSUM):
        flags |= at.TUN_F_CSUM
    if index.has(key.TUN_OAM):
        flags |= at.TUN_F_OAM
    rest = flags << at.S_TUN_FLAGS
    rest |= index.u8(data, key.TUN_TOS, 0) << at.S_TUN_TOS
    rest |= index.u8(data, key.TUN_TTL, 0) << at.S_TUN_TTL
    rest |= index.be16(data, key.TUN_TP_SRC, 0) << at.S_TUN_TP_SRC
    rest |= index.be16(data, key.TUN_TP_DST, 0) << at.S_TUN_TP_DST
    words[at.W_TUN_FLAGS] = rest
    return _get_tunnel_options(data, index, words, is_mask)


def _get_tunnel_options(data: bytes, index: AttrIndex, words: vec[i64], is_mask: bool) -> i64:
    offsets = index.offsets
    lengths = index.lengths
    extra: i64 = 1 if index.unknown else 0
    if index.has(key.TUN_VXLAN_OPTS):
        start = offsets[key.TUN_VXLAN_OPTS]
        if not _VXLAN.index(data, start, start + lengths[key.TUN_VXLAN_OPTS]):
            return -1
        if _VXLAN.unknown:
            extra = 1
        if _VXLAN.has(key.VXLAN_EXT_GBP):
            if _VXLAN.lengths[key.VXLAN_EXT_GBP] != 4:
                return -1
            gbp = u32_at(data, _VXLAN.offsets[key.VXLAN_EXT_GBP])
            group = signed16(gbp)
            words[at.W_TUN_EXT] |= group << at.S_TUN_GBP_ID
            words[at.W_TUN_EXT] |= ((gbp >> 16) & 0xFF) << at.S_TUN_GBP_FLAGS
    if index.has(key.TUN_GENEVE_OPTS):
        start = offsets[key.TUN_GENEVE_OPTS]
        size = lengths[key.TUN_GENEVE_OPTS]
        if size > MAX_OPTIONS or (not is_mask and not geneve_sound(data, start, start + size)):
            return -1
        put_option_bytes(words, data, start, size)
        words[at.W_TUN_METADATA_PRESENT] = -1 if is_mask else size
    if index.has(key.TUN_GTPU_OPTS):
        start = offsets[key.TUN_GTPU_OPTS]
        words[at.W_TUN_EXT] |= i64(data[start]) << at.S_TUN_GTPU_FLAGS
        words[at.W_TUN_EXT] |= i64(data[start + 1]) << at.S_TUN_GTPU_MSGTYPE
    if index.has(key.TUN_ERSPAN_OPTS):
        if lengths[key.TUN_ERSPAN_OPTS] < 12:
            return -1
        start = offsets[key.TUN_ERSPAN_OPTS]
        version = u32_at(data, start) & 0xF
        words[at.W_TUN_EXT] |= version << at.S_TUN_ERSPAN_VER
        if version == 1 or is_mask:
            words[at.W_TUN_ERSPAN_IDX] |= (be32_at(data, start + 4) & 0xFFFFF) << at.S_TUN_ERSPAN_IDX
        if version == 2 or is_mask:
            high = i64(data[start + 10])
            low = i64(data[start + 11])
            words[at.W_TUN_EXT] |= ((low >> 3) & 1) << at.S_TUN_ERSPAN_DIR
            words[at.W_TUN_EXT] |= ((high & 3) << 4 | low >> 4) << at.S_TUN_ERSPAN_HWID
    return extra


def _put_u8(out: BytesWriter, attr: i64, value: i64) -> None:
    put_header(out, attr, 1)
    out.append(u8(value & 0xFF))
    out.write(b"\0\0\0")


def _put_be32(out: BytesWriter, attr: i64, value: i64) -> None:
    put_header(out, attr, 4)
    write_i32_be(out, i32(signed32(value)))


def put_tunnel(out: BytesWriter, words: vec[i64], flow: vec[i64], is_mask: bool) -> None:
    """Append the nested attributes of the tunnel; what is zero is left out, TTL apart. For a mask, `flow`
    is what it masks: that says how long the options are."""
    rest = words[at.W_TUN_FLAGS]
    flags = (rest >> at.S_TUN_FLAGS) & 0xFFFF
    if flags & at.TUN_F_KEY or words[at.W_TUN_ID]:
        put_header(out, key.TUN_ID, 8)
        write_i64_be(out, words[at.W_TUN_ID])
    addresses = words[at.W_TUN_SRC]
    if addresses >> 32:
        _put_be32(out, key.TUN_IPV4_SRC, (addresses >> 32) & 0xFFFFFFFF)
    if addresses & 0xFFFFFFFF:
        _put_be32(out, key.TUN_IPV4_DST, addresses & 0xFFFFFFFF)
    if words[at.W_TUN_IPV6_SRC] or words[at.W_TUN_IPV6_SRC + 1]:
        put_header(out, key.TUN_IPV6_SRC, 16)
        write_i64_be(out, words[at.W_TUN_IPV6_SRC])
        write_i64_be(out, words[at.W_TUN_IPV6_SRC + 1])
    if words[at.W_TUN_IPV6_DST] or words[at.W_TUN_IPV6_DST + 1]:
        put_header(out, key.TUN_IPV6_DST, 16)
        write_i64_be(out, words[at.W_TUN_IPV6_DST])
        write_i64_be(out, words[at.W_TUN_IPV6_DST + 1])
    if (rest >> at.S_TUN_TOS) & 0xFF:
        _put_u8(out, key.TUN_TOS, rest >> at.S_TUN_TOS)
    _put_u8(out, key.TUN_TTL, rest >> at.S_TUN_TTL)
    if flags & at.TUN_F_DF:
        put_header(out, key.TUN_DONT_FRAGMENT, 0)
    if flags & at.TUN_F_CSUM:
        put_header(out, key.TUN_CSUM, 0)
    if (rest >> at.S_TUN_TP_SRC) & 0xFFFF:
        put_be16_attr(out, key.TUN_TP_SRC, rest >> at.S_TUN_TP_SRC)
    if (rest >> at.S_TUN_TP_DST) & 0xFFFF:
        put_be16_attr(out, key.TUN_TP_DST, rest >> at.S_TUN_TP_DST)
    if flags & at.TUN_F_OAM:
        put_header(out, key.TUN_OAM, 0)
    size = flow[at.W_TUN_METADATA_PRESENT]
    if size > 0 and words[at.W_TUN_METADATA_PRESENT] != 0:
        put_header(out, key.TUN_GENEVE_OPTS, size)
        out.write(option_bytes(words, size))
    elif is_mask and words[at.W_TUN_METADATA_PRESENT] != 0 and words[at.W_TUN_EXT] == 0:
        # The kernel takes a mask without options for one that takes any.
        put_header(out, key.TUN_GENEVE_OPTS, 0)
    _put_tunnel_options(out, words, is_mask)


def _put_tunnel_options(out: BytesWriter, words: vec[i64], is_mask: bool) -> None:
    ext = words[at.W_TUN_EXT]
    group = (ext >> at.S_TUN_GBP_ID) & 0xFFFF
    gbp_flags = (ext >> at.S_TUN_GBP_FLAGS) & 0xFF
    if group or gbp_flags:
        put_header(out, key.TUN_VXLAN_OPTS, 8)
        put_header(out, key.VXLAN_EXT_GBP, 4)
        put_u32(out, gbp_flags << 16 | group)
    if (ext >> at.S_TUN_GTPU_MSGTYPE) & 0xFFFF:
        put_header(out, key.TUN_GTPU_OPTS, 2)
        out.append(u8((ext >> at.S_TUN_GTPU_FLAGS) & 0xFF))
        out.append(u8((ext >> at.S_TUN_GTPU_MSGTYPE) & 0xFF))
        out.write(b"\0\0")
    version = (ext >> at.S_TUN_ERSPAN_VER) & 0xF
    if version:
        put_header(out, key.TUN_ERSPAN_OPTS, 12)
        put_u32(out, version)
        index = (words[at.W_TUN_ERSPAN_IDX] >> at.S_TUN_ERSPAN_IDX) & 0xFFFFF
        write_i32_be(out, i32(index if version == 1 or is_mask else 0))
        hwid = (ext >> at.S_TUN_ERSPAN_HWID) & 0x3F
        direction = (ext >> at.S_TUN_ERSPAN_DIR) & 1
        if version == 1 and not is_mask:
            hwid = 0
            direction = 0
        out.write(b"\0\0")
        out.append(u8(hwid >> 4))
        out.append(u8((hwid & 0xF) << 4 | direction << 3))


def tunnel_bytes(flow: Flow) -> bytes:
    """The nested attributes of `flow`'s tunnel: the value of a set action on OVS_KEY_ATTR_TUNNEL."""
    out = BytesWriter()
    put_tunnel(out, flow.words, flow.words, False)
    return out.getvalue()


def tunnel_into(data: bytes, flow: Flow) -> bool:
    """Put nested tunnel attributes into `flow`, whose tunnel they replace; False if malformed."""
    words = flow.words[:]
    i: i64 = at.W_TUNNEL
    while i < at.W_TUNNEL_END:
        words[i] = 0
        i += 1
    i = at.W_TUN_METADATA
    while i < at.W_REGS:
        words[i] = 0
        i += 1
    if get_tunnel(data, 0, len(data), words, False) < 0:
        return False
    flow.words = words
    return True


def get_nsh(data: bytes, start: i64, end: i64, words: vec[i64]) -> i64:
    """Read the nested NSH attributes in `data[start:end]`; -1 if they are malformed."""
    index = _NSH
    if not index.index(data, start, end) or index.repeated:
        return -1
    if index.has(key.NSH_BASE):
        if index.lengths[key.NSH_BASE] != 8:
            return -1
        words[at.W_NSH_BASE] = read_i64_be(data, index.offsets[key.NSH_BASE])
    if index.has(key.NSH_MD1):
        if index.lengths[key.NSH_MD1] != 16:
            return -1
        words[at.W_NSH_CONTEXT] = read_i64_be(data, index.offsets[key.NSH_MD1])
        words[at.W_NSH_CONTEXT + 1] = read_i64_be(data, index.offsets[key.NSH_MD1] + 8)
    return 0


def put_nsh(out: BytesWriter, words: vec[i64], flow: vec[i64]) -> None:
    """Append the nested attributes of the NSH header; `flow` says whether it has context (MD type 1)."""
    put_header(out, key.NSH_BASE, 8)
    write_i64_be(out, words[at.W_NSH_BASE])
    context = words[at.W_NSH_CONTEXT] | words[at.W_NSH_CONTEXT + 1]
    if (flow[at.W_NSH_BASE] >> at.S_NSH_MDTYPE) & 0xFF == 1 or context:
        put_header(out, key.NSH_MD1, 16)
        write_i64_be(out, words[at.W_NSH_CONTEXT])
        write_i64_be(out, words[at.W_NSH_CONTEXT + 1])


def nsh_bytes(flow: Flow) -> bytes:
    """The nested attributes of `flow`'s NSH header, for a set or push_nsh action."""
    out = BytesWriter()
    put_nsh(out, flow.words, flow.words)
    return out.getvalue()


def nsh_into(data: bytes, flow: Flow) -> bool:
    """Put nested NSH attributes into `flow`; False if they are malformed."""
    words = flow.words[:]
    if get_nsh(data, 0, len(data), words) < 0:
        return False
    flow.words = words
    return True
