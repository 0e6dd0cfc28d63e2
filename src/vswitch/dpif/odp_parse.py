"""Datapath flow keys from text: what `dpctl/add-flow` takes and `dump-flows` prints.

The text becomes key and mask attributes, which `odp_key.py` decodes like a datapath's own. A field
with no mask is matched exactly, one that is not mentioned not at all; recirc_id is always matched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final

from vswitch.base.records import dataclass
from vswitch.dpif.key_struct import SIZES
from vswitch.dpif.odp_format_key import ATTR_NAMES, FRAG_TYPES, STRUCT_FIELDS, format_key_attrs
from vswitch.dpif.odp_key import decode_key, decode_mask
from vswitch.dpif.types import Fitness
from vswitch.flow import key_attr as key
from vswitch.flow.flags import CT_STATE_NAMES, TCP_FLAG_NAMES, TUN_FLAG_NAMES, parse_flags
from vswitch.flow.flow import Flow
from vswitch.flow.mpls import MAX_MPLS_LABELS
from vswitch.flow.syntax import FlowSyntaxError, Word, parse_integer, split_words
from vswitch.flow.values import parse_ipv4, parse_ipv6, parse_mac
from vswitch.netlink.attrs import Builder, attributes, parse
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MIN,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
)

PortNumbers = Mapping[str, int] | None


class OdpSyntaxError(FlowSyntaxError):
    """Datapath flow text that cannot be understood; see `FlowSyntaxError`. `rest` is the text from the first
    attribute on that can't be."""

    rest: str = ""


class NoKeyError(OdpSyntaxError):
    """Each word can be understood, but together they are no flow key."""


@dataclass(frozen=True)
class AttrText:
    """One attribute as read: payload of the key and of the mask. Nested ones are attributes again."""

    attr: int
    value: bytes
    mask: bytes


_ATTR_BY_NAME = {name: attr for attr, name in ATTR_NAMES.items()}


def bad(word: str, why: str) -> OdpSyntaxError:
    """An error that blames `word`."""
    return OdpSyntaxError(f"{word}: {why}", word)


def number(text: str, size: int) -> int:
    """A number of at most `size` bytes. OdpSyntaxError."""
    value = parse_integer(text)
    if value is None or text in ("0x", "0X"):
        raise bad(text, "not a number")
    if value >> 8 * size:
        raise bad(text, f"too large for {size} bytes")
    return value


def numbers(text: str, size: int) -> tuple[int, int]:
    """ "value" or "value/mask" of `size` bytes."""
    value, slash, mask = text.partition("/")
    return number(value, size), number(mask, size) if slash else (1 << 8 * size) - 1


def _addresses(text: str, parse: Callable[[str], int | None], size: int) -> tuple[int, int]:
    value_text, slash, mask_text = text.partition("/")
    value = parse(value_text)
    mask = parse(mask_text) if slash else (1 << 8 * size) - 1
    if value is None or mask is None:
        raise bad(text, "invalid address")
    return value, mask


def struct_value(text: str, size: int, how: str) -> tuple[int, int]:
    """A struct field's value and mask, `how` as in `STRUCT_FIELDS`."""
    if how == "mac":
        return _addresses(text, parse_mac, 6)
    if how == "ip":
        return _addresses(text, parse_ipv4, 4)
    if how == "ip6":
        return _addresses(text, parse_ipv6, 16)
    if how == "frag":
        if text not in FRAG_TYPES:
            raise bad(text, 'not a fragment type ("no", "first", "later")')
        return FRAG_TYPES.index(text), 0xFF
    return numbers(text, size)


_OTHER_NAMES = {"tp_src": "src_port", "tp_dst": "dst_port"}


def _struct(attr: int, text: str) -> AttrText:
    size = int(SIZES[attr])
    value, mask = bytearray(size), bytearray(size)
    fields = {name: (offset, length, how) for name, offset, length, how in STRUCT_FIELDS[attr]}
    for word in split_words(text):
        # Open vSwitch prints src_port and dst_port, but reads tp_src and tp_dst too.
        field = fields.get(word.key) or fields.get(_OTHER_NAMES.get(word.key, ""))
        if field is None or word.delimiter != "=":
            raise bad(word.key, f"no field of {ATTR_NAMES[attr]}")
        offset, length, how = field
        v, m = struct_value(word.value, length, how)
        value[offset : offset + length] = v.to_bytes(length, "big")
        mask[offset : offset + length] = m.to_bytes(length, "big")
    return AttrText(attr, bytes(value), bytes(mask))


def _host(value: int, size: int) -> bytes:
    return value.to_bytes(size, sys.byteorder)


def parse_vlan(text: str) -> tuple[int, int]:
    """ "vid=5,pcp=3,cfi=1": TCI and mask. Without cfi there is a tag."""
    tci, mask = 0x1000, 0x1000
    for word in split_words(text):
        if word.key not in _TCI_PLACES:
            raise bad(word.key, "no field of vlan")
        shift, full = _TCI_PLACES[word.key]
        v, m = bits(word, full)
        tci, mask = tci & ~(full << shift) | v << shift, mask & ~(full << shift) | m << shift
    return tci, mask


_TCI_PLACES = {"vid": (0, 0xFFF), "pcp": (13, 7), "cfi": (12, 1)}


def bits(word: Word, full: int) -> tuple[int, int]:
    """Value and mask of a word whose field has the bits of `full`."""
    v, m = numbers(word.value, 4)
    if "/" not in word.value:
        m = full
    if (v | m) & ~full:
        raise bad(word.value, f"too large for {word.key}")
    return v, m


_LSE_PLACES = {"label": (12, 0xFFFFF), "tc": (9, 7), "ttl": (0, 0xFF), "bos": (8, 1)}


def parse_lses(words: list[Word]) -> tuple[list[int], list[int]]:
    """Label stack entries and masks of "label=5,tc=0,ttl=64,bos=1"; a further label starts another."""
    values: list[int] = []
    masks: list[int] = []
    for word in words:
        place = _LSE_PLACES.get(word.key)
        if place is None:
            raise bad(word.key, "no field of mpls")
        if word.key == "label" or not values:
            values.append(0)
            masks.append(0)
        v, m = bits(word, place[1])
        values[-1] |= v << place[0]
        masks[-1] |= m << place[0]
    return values, masks


def _mpls(text: str) -> AttrText:
    values, masks = parse_lses(split_words(text))
    value = b"".join([v.to_bytes(4, "big") for v in values]) or bytes(4)
    return AttrText(key.MPLS, value, b"".join([m.to_bytes(4, "big") for m in masks]) or bytes(4))


_NSH_PLACES = {
    "flags": (0, 1), "ttl": (1, 1), "mdtype": (2, 1), "np": (3, 1), "spi": (4, 3), "si": (7, 1),
    "c1": (8, 4), "c2": (12, 4), "c3": (16, 4), "c4": (20, 4),
}  # fmt: skip


def parse_nsh_words(words: list[Word]) -> tuple[bytes, bytes]:
    """24 bytes of base header and context, and their mask."""
    value, mask = bytearray(24), bytearray(24)
    for word in words:
        place = _NSH_PLACES.get(word.key)
        if place is None:
            raise bad(word.key, "no field of nsh")
        offset, size = place
        v, m = numbers(word.value, size)
        value[offset : offset + size] = v.to_bytes(size, "big")
        mask[offset : offset + size] = m.to_bytes(size, "big")
    return bytes(value), bytes(mask)


def _nsh(text: str) -> AttrText:
    value, mask = parse_nsh_words(split_words(text))
    parts = []
    for data in (value, mask):
        b = Builder()
        b.raw(key.NSH_BASE, data[:8])
        if value[2] == 1 or any(mask[8:]):
            b.raw(key.NSH_MD1, data[8:])
        parts.append(b.getvalue())
    return AttrText(key.NSH, parts[0], parts[1])


_TUNNEL_FIELDS = {
    "tun_id": (key.TUN_ID, 8, "dec"), "src": (key.TUN_IPV4_SRC, 4, "ip"), "dst": (key.TUN_IPV4_DST, 4, "ip"),
    "ipv6_src": (key.TUN_IPV6_SRC, 16, "ip6"), "ipv6_dst": (key.TUN_IPV6_DST, 16, "ip6"),
    "tos": (key.TUN_TOS, 1, "dec"), "ttl": (key.TUN_TTL, 1, "dec"), "tp_src": (key.TUN_TP_SRC, 2, "dec"),
    "tp_dst": (key.TUN_TP_DST, 2, "dec"),
}  # fmt: skip
_TUNNEL_FLAGS = ((2, key.TUN_DONT_FRAGMENT), (4, key.TUN_CSUM), (1, key.TUN_OAM))


def _tunnel(text: str) -> AttrText:
    value, mask = Builder(), Builder()
    flags, flags_mask = 0, 0
    has_id = False
    for word in split_words(text):
        field = _TUNNEL_FIELDS.get(word.key)
        if field is not None:
            attr, size, how = field
            v, m = struct_value(word.value, size, how)
            has_id = has_id or attr == key.TUN_ID
            value.raw(attr, v.to_bytes(size, "big"))
            mask.raw(attr, m.to_bytes(size, "big"))
        elif word.key == "flags" and word.delimiter == "(":
            flags, flags_mask = parse_flags(word.value or "0", TUN_FLAG_NAMES, "tunnel")
        elif word.key in _TUNNEL_OPTIONS:
            v_bytes, m_bytes, attr = _TUNNEL_OPTIONS[word.key](word.value)
            value.raw(attr, v_bytes)
            mask.raw(attr, m_bytes)
        else:
            raise bad(word.key, "no field of tunnel")
    if flags & 8 and not has_id:
        value.raw(key.TUN_ID, bytes(8))
    if flags_mask & 8 and not has_id:
        mask.raw(key.TUN_ID, bytes(8))
    for bit, attr in _TUNNEL_FLAGS:
        if flags & bit:
            value.flag(attr)
        if flags_mask & bit:
            mask.flag(attr)
    return AttrText(key.TUNNEL, value.getvalue(), mask.getvalue())


def _vxlan(text: str) -> tuple[bytes, bytes, int]:
    gbp, gbp_mask = 0, 0
    for word in split_words(text):
        if word.key != "gbp":
            raise bad(word.key, "no extension of vxlan")
        for inner in split_words(word.value):
            places = {"id": (2, 0), "flags": (1, 16)}
            if inner.key not in places:
                raise bad(inner.key, "no field of gbp")
            size, shift = places[inner.key]
            v, m = numbers(inner.value, size)
            gbp, gbp_mask = gbp | v << shift, gbp_mask | m << shift
    parts = []
    for n in (gbp, gbp_mask):
        b = Builder()
        b.u32(key.VXLAN_EXT_GBP, n)
        parts.append(b.getvalue())
    return parts[0], parts[1], key.TUN_VXLAN_OPTS


def parse_geneve_options(text: str) -> tuple[bytes, bytes, int]:
    value, mask = bytearray(), bytearray()
    for option in text.replace("}", "{").split("{"):
        if not option.strip():
            continue
        head = {word.key: word.value for word in split_words(option) if word.delimiter == "="}
        size = number(head.get("len", "0"), 1)
        if size % 4 or size > 124:
            raise bad(option, "a Geneve option has up to 124 bytes, a multiple of 4")
        data = next((word.key for word in split_words(option) if not word.delimiter), "0")
        v, m = numbers(data, size) if size else (0, 0)
        class_ = number(head.get("class", "0"), 2)
        kind = number(head.get("type", "0"), 1)
        value += class_.to_bytes(2, "big") + bytes([kind, size // 4]) + v.to_bytes(size, "big")
        mask += b"\xff\xff\xff\x1f" + m.to_bytes(size, "big")
    return bytes(value), bytes(mask), key.TUN_GENEVE_OPTS


def _erspan(text: str) -> tuple[bytes, bytes, int]:
    fields = {word.key: numbers(word.value, 4) for word in split_words(text)}
    parts = []
    for n in (0, 1):
        version, index, direction, hwid = [
            fields.get(name, (0, 0))[n] for name in ("ver", "idx", "dir", "hwid")
        ]
        tail = bytes([hwid >> 4 & 3, (hwid & 0xF) << 4 | (direction & 1) << 3])
        md2 = "dir" in fields or "hwid" in fields
        options = bytes(6) + tail if md2 else (index & 0xFFFFF).to_bytes(4, "big") + bytes(4)
        parts.append(_host(version & 0xFFFFFFFF, 4) + options)
    return parts[0], parts[1], key.TUN_ERSPAN_OPTS


def _gtpu(text: str) -> tuple[bytes, bytes, int]:
    fields = {word.key: numbers(word.value, 1) for word in split_words(text)}
    flags, kind = fields.get("flags", (0, 0)), fields.get("msgtype", (0, 0))
    return bytes([flags[0], kind[0]]), bytes([flags[1], kind[1]]), key.TUN_GTPU_OPTS


_TUNNEL_OPTIONS: dict[str, Callable[[str], tuple[bytes, bytes, int]]] = {
    "vxlan": _vxlan,
    "geneve": parse_geneve_options,
    "erspan": _erspan,
    "gtpu": _gtpu,
}


def _flags(attr: int, text: str) -> AttrText:
    if attr == key.TCP_FLAGS:
        v, m = parse_flags(text or "0", TCP_FLAG_NAMES, "TCP")
        return AttrText(attr, v.to_bytes(2, "big"), m.to_bytes(2, "big"))
    v, m = parse_flags(text or "0", CT_STATE_NAMES, "ct_state")
    return AttrText(attr, _host(v, 4), _host(0xFFFFFFFF if m == 0xFF else m, 4))


def parse_attr(name: str, text: str, ports: PortNumbers = None) -> AttrText:
    """One attribute, `name(text)`. OdpSyntaxError or FlowSyntaxError points into `text`."""
    attr = _ATTR_BY_NAME.get(name)
    if attr is None:
        raise bad(name, "unknown key")
    if attr in STRUCT_FIELDS:
        return _struct(attr, text)
    if attr == key.ENCAP:
        value, mask = parse_key_attrs(text, ports)
        return AttrText(attr, value, mask)
    if attr in (key.TCP_FLAGS, key.CT_STATE):
        return _flags(attr, text)
    if attr == key.IN_PORT and ports is not None and text in ports:
        return AttrText(attr, _host(ports[text], 4), _host(0xFFFFFFFF, 4))
    if attr in key.HOST_ORDER:
        size = 2 if attr == key.CT_ZONE else 4
        v, m = numbers(text, size)
        return AttrText(attr, _host(v, size), _host(m, size))
    if attr == key.VLAN:
        v, m = parse_vlan(text)
        return AttrText(attr, v.to_bytes(2, "big"), m.to_bytes(2, "big"))
    if attr in (key.ETHERTYPE, key.CT_LABELS):
        size = 2 if attr == key.ETHERTYPE else 16
        v, m = numbers(text, size)
        return AttrText(attr, v.to_bytes(size, "big"), m.to_bytes(size, "big"))
    return {key.MPLS: _mpls, key.NSH: _nsh, key.TUNNEL: _tunnel}[attr](text)


def _unreadable(text: str, word: Word) -> OdpSyntaxError:
    rest = text[word.position :]
    error = OdpSyntaxError(f"syntax error at {rest}", word.key, text, word.position)
    error.rest = rest
    return error


def parse_key_attrs(text: str, ports: PortNumbers) -> tuple[bytes, bytes]:
    """Key and mask attributes of a text."""
    value, mask = Builder(), Builder()
    words = split_words(text)
    tagged = any(word.key == "vlan" for word in words)
    for word in words:
        if word.key == "ufid" and word.delimiter == ":":
            continue
        if word.delimiter != "(":
            raise _unreadable(text, word)
        if not text.startswith(")", word.value_at + len(word.value)):
            raise _unreadable(text, word)
        if word.key == "eth_type" and word.value == "0/0xffff":
            mask.be16(key.ETHERTYPE, 0xFFFF)
            continue
        if word.key == "encap" and not tagged:
            # A tag that the mask leaves out is not printed, but what is behind it is.
            value.be16(key.VLAN, 0x1000)
            mask.be16(key.VLAN, 0)
        try:
            attr = parse_attr(word.key, word.value, ports)
        except FlowSyntaxError as error:
            where = error.within(text, word.position)
            message = f"syntax error at {word.key}({word.value}): {error.message}"
            wrong = OdpSyntaxError(message, where.word, text, where.position)
            wrong.rest = text[word.position :]
            raise wrong from None
        value.raw(attr.attr, attr.value)
        mask.raw(attr.attr, attr.mask)
    return value.getvalue(), mask.getvalue()


INFERRED: Final = ((key.IPV4, ETH_TYPE_IP), (key.IPV6, ETH_TYPE_IPV6), (key.MPLS, ETH_TYPE_MPLS))
"""What an Ethernet type follows from."""


def _with_type(value: bytes, tagged: bool = False) -> bytes:
    """Key attributes with the Ethernet type that others of them mean if they have none, behind tags as well;
    in a frame without addresses, unless it is said to be no frame. `tagged`: these stand behind a tag."""
    attrs = parse(value)
    more = Builder()
    if key.ETHERTYPE not in attrs:
        for attr, eth_type in INFERRED:
            if attr in attrs:
                if not tagged and not attrs.keys() & {key.ETHERNET, key.PACKET_TYPE}:
                    more.raw(key.ETHERNET, bytes(12))
                more.be16(key.ETHERTYPE, eth_type)
                return value + more.getvalue()
    elif key.ENCAP in attrs:
        for attr, at, size in attributes(value):
            payload = value[at : at + size]
            more.raw(attr, _with_type(payload, tagged=True) if attr == key.ENCAP else payload)
        return more.getvalue()
    return value


def _framed(value: bytes) -> bytes:
    """Key attributes with an Ethernet header without addresses if they have none."""
    if key.ETHERNET in parse(value):
        return value
    framed = Builder()
    framed.raw(key.ETHERNET, bytes(12))
    for attr, at, size in attributes(value):
        if attr != key.PACKET_TYPE:
            framed.raw(attr, value[at : at + size])
    return framed.getvalue()


def parse_key(text: str, port_names: PortNumbers = None, packet: bool = False,
              frame: bool = False) -> tuple[Flow, Flow]:
    """The (key, mask) that `text` describes. `port_names` maps names to datapath port numbers. The key of a
    `packet` may leave out the Ethernet type that follows from ipv4(), ipv6() or mpls(), but not the TTL of a
    tunnel that it came in; that of a `frame` may leave out its addresses, which are 0 then.

    OdpSyntaxError points at the bad word; also where the words are no key together.
    """
    value, masks = parse_key_attrs(text, port_names)
    return key_of(value, masks, text, packet, frame)


def key_of(
    value: bytes, masks: bytes, text: str, packet: bool = False, frame: bool = False
) -> tuple[Flow, Flow]:
    """The (key, mask) of the attributes that `text` describes, as in `parse_key`."""
    no_ttl = False
    given = value
    if packet:
        value = _with_type(value)
        tunnel = parse(value).get(key.TUNNEL)
        no_ttl = tunnel is not None and key.TUN_TTL not in parse(tunnel)
    if frame:
        value = _framed(value)
    flow, mask, fitness = _decoded(value, masks)
    if fitness is Fitness.ERROR or no_ttl:
        raise NoKeyError(fault(given), text, text, 0)
    return flow, mask


def fault(value: bytes) -> str:
    """Why these attributes are no flow key together, and what they are."""
    return f"{_fault(value)}; the flow key in error is: {format_key_attrs(value, None, True)}"


def _fault(value: bytes) -> str:
    seen: set[int] = set()
    for attr, *_ in attributes(value):
        if attr in seen:
            return f"duplicate {ATTR_NAMES[attr]} attribute in flow key"
        seen.add(attr)
    attrs = parse(value)
    if key.TUNNEL in attrs and key.TUN_TTL not in parse(attrs[key.TUNNEL]):
        return "tunnel options missing TTL"
    eth_type = int.from_bytes(attrs.get(key.ETHERTYPE, b"\xff\xff"), "big")
    if eth_type < ETH_TYPE_MIN:
        return f"invalid Ethertype {eth_type} in flow key"
    tci = int.from_bytes(attrs.get(key.VLAN, b""), "big")
    if tci and not tci & 0x1000:
        return f"OVS_KEY_ATTR_VLAN {tci:#06x} is nonzero but CFI bit is not set"
    if key.ENCAP in attrs:
        return _fault(attrs[key.ENCAP])
    op = int.from_bytes(attrs.get(key.ARP, b"")[8:10], "big")
    if op > 0xFF:
        return f"unsupported ARP opcode {op} in flow key"
    return "these attributes are no flow key together"


def labels_fitness(value: bytes) -> Fitness:
    """Whether the labels of a key are one whole stack: the last, and no other, is its bottom. Nothing is
    wrong with labels that the key's type has no place for, but that they are there."""
    attrs = parse(value)
    dl_type = int.from_bytes(attrs.get(key.ETHERTYPE, b""), "big")
    if key.ENCAP in attrs and dl_type in (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD):
        return labels_fitness(attrs[key.ENCAP])
    if dl_type and dl_type not in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        return Fitness.PERFECT
    data = attrs.get(key.MPLS, b"")
    bottoms = [bool(data[i + 2] & 1) for i in range(0, len(data), 4)]
    if any(bottoms[:-1]):
        return Fitness.ERROR
    whole = not bottoms or bottoms[-1] or len(bottoms) >= MAX_MPLS_LABELS
    return Fitness.PERFECT if whole else Fitness.TOO_LITTLE


def parse_dp_flow(text: str, port_names: PortNumbers = None) -> tuple[Flow, Flow, Fitness]:
    """The same for a flow that goes to a datapath, which may refuse a key that doesn't fit: ERROR for one
    whose words are no key together (then key and mask are undefined), else the worse of what its key and its
    mask are. OdpSyntaxError."""
    value, masks = parse_key_attrs(text, port_names)
    flow, mask, fitness = _decoded(value, masks)
    if fitness is Fitness.PERFECT:
        # Flows are of one port, and what is behind an Ethernet type follows from it.
        behind = mask.dl_type != 0xFFFF and parse(value).keys() & {attr for attr, _type in INFERRED}
        if mask.in_port != 0xFFFF or behind:
            fitness = Fitness.TOO_LITTLE
        if fitness is Fitness.PERFECT:
            fitness = labels_fitness(value)
        untyped = flow.dl_type < ETH_TYPE_MIN and mask.dl_type != 0xFFFF
        ports_of_any = mask.nw_proto != 0xFF and (mask.tp_src or mask.tp_dst)
        if untyped or (ports_of_any and flow.dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6)):
            fitness = Fitness.TOO_LITTLE
    return flow, mask, fitness


def _decoded(value: bytes, masks: bytes) -> tuple[Flow, Flow, Fitness]:
    flow, mask = Flow(), Flow()
    fitness = decode_key(value, flow)
    if fitness is not Fitness.ERROR:
        of_mask = decode_mask(masks, mask, flow)
        if fitness is Fitness.PERFECT or of_mask is Fitness.ERROR:
            fitness = of_mask
    mask.recirc_id = 0xFFFFFFFF
    return flow, mask, fitness


def parse_ufid(text: str) -> bytes:
    """The 16 bytes of "ufid:dd674bc7-bc3c-..." at the start of `text`, b"" if it has none."""
    for word in split_words(text):
        if word.key == "ufid":
            digits = word.value.replace("-", "")
            try:
                ufid = bytes.fromhex(digits)
            except ValueError:
                ufid = b""
            if len(ufid) != 16:
                raise OdpSyntaxError(f"{word.value}: not a UFID", word.value, text, word.value_at)
            return ufid
    return b""
