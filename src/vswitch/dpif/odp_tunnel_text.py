"""The outer header of a `tnl_push` as text and back, as `ovs-dpctl` has it.

`header(size=50,type=4,eth(...),ipv4(...),udp(...),vxlan(flags=0x8000000,vni=0x7b))`: every field that the
text names is in the header's bytes and the other way round, but for the time stamp of ERSPAN type III.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from vswitch.dpif.actions import TnlPush
from vswitch.dpif.odp_format_key import format_geneve_options
from vswitch.dpif.odp_parse import bad, number, parse_geneve_options
from vswitch.flow.syntax import Word, split_words
from vswitch.flow.values import c_hex, format_ipv4, format_ipv6, format_mac, parse_ipv4, parse_ipv6, parse_mac
from vswitch.packet.numbers import ETH_TYPE_IP, IPPROTO_IPIP
from vswitch.packet.tunnel import headers, kinds

_MAX: Final = 512
"""Bytes of an outer header: Geneve's options are the most of it."""


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


# Bytes to text.


def format_push(action: TnlPush) -> str:
    """`header(...)` of the action."""
    data = action.header
    eth_type = _u16(data, 12)
    dst, src = (format_mac(int.from_bytes(data[at : at + 6], "big")) for at in (0, 6))
    words = [
        f"size={len(data)}", f"type={action.kind}", f"eth(dst={dst},src={src},dl_type=0x{eth_type:04x})",
    ]  # fmt: skip
    if eth_type == ETH_TYPE_IP:
        words.append(
            f"ipv4(src={format_ipv4(_u32(data, 26))},dst={format_ipv4(_u32(data, 30))},proto={data[23]},"
            f"tos={c_hex(data[15])},ttl={data[22]},frag=0x{_u16(data, 20):x})"
        )
        l4 = 34
    else:
        first = _u32(data, 14)
        addresses = (format_ipv6(int.from_bytes(data[at : at + 16], "big")) for at in (22, 38))
        src, dst = addresses
        words.append(
            f"ipv6(src={src},dst={dst},label={first & 0xFFFFF},proto={data[20]},"
            f"tclass=0x{first >> 20 & 0xFF:x},hlimit={data[21]})"
        )
        l4 = 54
    if action.kind in kinds.OVER_UDP:
        words.append(f"udp(src={_u16(data, l4)},dst={_u16(data, l4 + 2)},csum=0x{_u16(data, l4 + 6):x})")
        l4 += 8
    format_kind = _FORMATS.get(action.kind)
    if format_kind is not None:
        words.append(format_kind(data[l4:]))
    return f"header({','.join(words)})"


def _format_vxlan(data: bytes) -> str:
    return f"vxlan(flags=0x{_u32(data, 0):x},vni=0x{_u32(data, 4) >> 8:x})"


def _format_geneve(data: bytes) -> str:
    words = ["oam"] if data[1] & 0x80 else []
    if data[1] & 0x40:
        words.append("crit")
    words.append(f"vni=0x{_u32(data, 4) >> 8:x}")
    options = data[8:]
    ones = b"\xff" * len(options)
    if options:
        words.append(f"options({format_geneve_options(options, ones)})")
    return f"geneve({','.join(words)})"


def _format_gre(data: bytes) -> str:
    flags = _u16(data, 0)
    words = [f"(flags=0x{flags:x},proto=0x{_u16(data, 2):x})"]
    at = 4
    for bit, name in ((kinds.GRE_CSUM, "csum"), (kinds.GRE_KEY, "key"), (kinds.GRE_SEQ, "seq")):
        if flags & bit:
            words.append(f"{name}=0x{_u16(data, at) if name == 'csum' else _u32(data, at):x}")
            at += 4
    return f"gre({','.join(words)})"


def _format_erspan(data: bytes) -> str:
    version, session = data[8] >> 4, _u16(data, 10) & 0x3FF
    if version == 1:
        return f"erspan(ver=1,sid=0x{session:x},idx=0x{_u32(data, 12) & 0xFFFFF:x})"
    word = _u16(data, 18)
    return f"erspan(ver=2,sid=0x{session:x},dir={word >> 3 & 1},hwid=0x{word >> 4 & 0x3F:x})"


def _format_gtpu(data: bytes) -> str:
    return f"gtpu(flags=0x{data[0]:x},msgtype={data[1]},teid=0x{_u32(data, 4):x})"


def _format_srv6(data: bytes) -> str:
    count = data[1] // 2
    segments = [format_ipv6(int.from_bytes(data[8 + 16 * n : 24 + 16 * n], "big")) for n in range(count)]
    return f"srv6(segments_left={data[3]},segs({','.join(segments)}))"


_FORMATS: Final[dict[int, Callable[[bytes], str]]] = {
    kinds.VXLAN: _format_vxlan,
    kinds.GENEVE: _format_geneve,
    kinds.GRE: _format_gre,
    kinds.IP6GRE: _format_gre,
    kinds.ERSPAN: _format_erspan,
    kinds.IP6ERSPAN: _format_erspan,
    kinds.GTPU: _format_gtpu,
    kinds.SRV6: _format_srv6,
}


# Text to bytes.


def _fields(text: str, *names: str) -> dict[str, str]:
    """The words of `text`, each of which must be there."""
    found = {word.key: word.value for word in split_words(text)}
    for name in names:
        if name not in found:
            raise bad(text, f"{name} is missing")
    return found


def parse_header(text: str) -> tuple[int, bytes]:
    """The kind and the bytes of what stands between the brackets of `header(...)`. OdpSyntaxError."""
    words = split_words(text)
    by_name = {word.key: word for word in words}
    for name in ("size", "type", "eth"):
        if name not in by_name:
            raise bad(text, f"{name} is missing")
    kind = number(by_name["type"].value, 4)
    if kind not in kinds.NAMES:
        raise bad(by_name["type"].value, "unknown kind of tunnel")
    data = _parse_eth(by_name["eth"].value)
    if "ipv4" in by_name:
        data += _parse_ipv4(by_name["ipv4"].value)
    elif "ipv6" in by_name:
        data += _parse_ipv6(by_name["ipv6"].value)
    else:
        raise bad(text, "neither ipv4 nor ipv6 is there")
    if kind in kinds.OVER_UDP:
        if "udp" not in by_name:
            raise bad(text, "udp is missing")
        data += _parse_udp(by_name["udp"].value)
    if kind != kinds.BAREUDP:
        name = kinds.NAMES[kind].removeprefix("ip6")
        if name not in by_name:
            raise bad(text, f"{name} is missing")
        data += _PARSERS[name](by_name[name])
    if len(data) != number(by_name["size"].value, 2):
        raise bad(by_name["size"].value, f"the header has {len(data)} bytes")
    if len(data) > _MAX:
        raise bad(text, "too long a header")
    return kind, data


def _mac(text: str) -> int:
    mac = parse_mac(text)
    if mac is None:
        raise bad(text, "invalid address")
    return mac


def _parse_eth(text: str) -> bytes:
    fields = _fields(text, "dst", "src", "dl_type")
    return headers.ethernet(_mac(fields["dst"]), _mac(fields["src"]), number(fields["dl_type"], 2))


def _parse_ipv4(text: str) -> bytes:
    fields = _fields(text, "src", "dst", "proto", "tos", "ttl", "frag")
    src, dst = parse_ipv4(fields["src"]), parse_ipv4(fields["dst"])
    if src is None or dst is None:
        raise bad(text, "invalid address")
    proto, tos, ttl = (number(fields[name], 1) for name in ("proto", "tos", "ttl"))
    data = headers.ipv4(src, dst, proto, tos, ttl, False)
    return data[:6] + struct.pack(">H", number(fields["frag"], 2)) + data[8:]


def _parse_ipv6(text: str) -> bytes:
    fields = _fields(text, "src", "dst", "label", "proto", "tclass", "hlimit")
    src, dst = parse_ipv6(fields["src"]), parse_ipv6(fields["dst"])
    if src is None or dst is None:
        raise bad(text, "invalid address")
    proto, tclass, hlimit = (number(fields[name], 1) for name in ("proto", "tclass", "hlimit"))
    return headers.ipv6(src, dst, proto, tclass, hlimit, number(fields["label"], 4))


def _parse_udp(text: str) -> bytes:
    fields = _fields(text, "src", "dst", "csum")
    src, dst, csum = (number(fields[name], 2) for name in ("src", "dst", "csum"))
    return struct.pack(">HHHH", src, dst, 0, csum)


def _parse_vxlan(word: Word) -> bytes:
    fields = _fields(word.value, "flags", "vni")
    vni = number(fields["vni"], 4)
    if vni > 0xFFFFFF:
        raise bad(fields["vni"], "more than 24 bits")
    return struct.pack(">II", number(fields["flags"], 4), vni << 8)


def _parse_geneve(word: Word) -> bytes:
    fields = _fields(word.value, "vni")
    options = parse_geneve_options(fields["options"])[0] if "options" in fields else b""
    return headers.geneve(number(fields["vni"], 4), options, "oam" in fields)


def _parse_gre(word: Word) -> bytes:
    words = split_words(word.value)
    if not words or words[0].key or words[0].delimiter != "(":
        raise bad(word.value, "flags and protocol are missing")
    base = _fields(words[0].value, "flags", "proto")
    flags = number(base["flags"], 2)
    data = struct.pack(">HH", flags, number(base["proto"], 2))
    rest = {w.key: w.value for w in words[1:]}
    for bit, name in ((kinds.GRE_CSUM, "csum"), (kinds.GRE_KEY, "key"), (kinds.GRE_SEQ, "seq")):
        if flags & bit:
            value = number(rest.get(name, "0"), 4)
            data += struct.pack(">HH", value & 0xFFFF, 0) if name == "csum" else struct.pack(">I", value)
    return data


def _parse_erspan(word: Word) -> bytes:
    fields = _fields(word.value, "ver", "sid")
    session = number(fields["sid"], 2)
    version = number(fields["ver"], 1)
    if version == 1:
        return headers.erspan1(session, number(fields.get("idx", "0"), 4))
    if version == 2:
        return headers.erspan2(session, number(fields.get("dir", "0"), 1), number(fields.get("hwid", "0"), 1))
    raise bad(fields["ver"], "neither 1 nor 2")


def _parse_gtpu(word: Word) -> bytes:
    fields = _fields(word.value, "flags", "msgtype", "teid")
    flags, message = number(fields["flags"], 1), number(fields["msgtype"], 1)
    return struct.pack(">BBHI", flags, message, 0, number(fields["teid"], 4))


def _parse_srv6(word: Word) -> bytes:
    fields = _fields(word.value, "segments_left", "segs")
    segments = []
    for text in fields["segs"].split(","):
        address = parse_ipv6(text)
        if address is None:
            raise bad(text, "invalid address")
        segments.append(address.to_bytes(16, "big"))
    data = headers.segment_routing(list(reversed(segments)), IPPROTO_IPIP)
    return data[:3] + bytes((number(fields["segments_left"], 1),)) + data[4:]


_PARSERS: Final[dict[str, Callable[[Word], bytes]]] = {
    "vxlan": _parse_vxlan,
    "geneve": _parse_geneve,
    "gre": _parse_gre,
    "erspan": _parse_erspan,
    "gtpu": _parse_gtpu,
    "srv6": _parse_srv6,
}
