"""One field's value as text, both ways: numbers, addresses, ports, flags, masks.

`parse_value` and `format_value` follow a field's `fmt`; the errors are in `ovs-ofctl`'s words.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from typing import Final

from vswitch.base.vlog import Vlog
from vswitch.flow.field import Field, Format
from vswitch.flow.flags import (
    CT_STATE_NAMES,
    TCP_FLAG_NAMES,
    TUN_FLAG_NAMES,
    format_flags,
    format_flags_masked,
    parse_flags,
)
from vswitch.flow.flow import ports_to_oxm
from vswitch.flow.port_numbers import (
    OFPP11_MAX,
    OFPP11_OFFSET,
    OFPP_ALL,
    OFPP_ANY,
    OFPP_CONTROLLER,
    OFPP_FLOOD,
    OFPP_IN_PORT,
    OFPP_LOCAL,
    OFPP_MAX,
    OFPP_NONE,
    OFPP_NORMAL,
    OFPP_TABLE,
    OFPP_UNSET,
)
from vswitch.flow.syntax import FlowSyntaxError, parse_decimal, parse_integer

port_log: Final = Vlog("ofp_port")

PORT_NAMES: Final[dict[str, int]] = {
    "UNSET": OFPP_UNSET, "IN_PORT": OFPP_IN_PORT, "TABLE": OFPP_TABLE, "NORMAL": OFPP_NORMAL,
    "FLOOD": OFPP_FLOOD, "ALL": OFPP_ALL, "CONTROLLER": OFPP_CONTROLLER, "LOCAL": OFPP_LOCAL,
    "ANY": OFPP_ANY, "NONE": OFPP_NONE,
}  # fmt: skip
"""Reserved OpenFlow ports, 16 bits, by the names that text has for them."""
_NAME_OF_PORT: Final[dict[int, str]] = {n: name for name, n in PORT_NAMES.items() if name != "NONE"}

FRAG_NAMES: Final[dict[str, tuple[int, int]]] = {
    "no": (0, 3), "yes": (1, 1), "first": (1, 3), "later": (3, 3), "not_later": (0, 2),
}  # fmt: skip
"""`ip_frag`: name -> (value, mask)."""

_FLAG_NAMES: Final[dict[Format, dict[str, int]]] = {
    Format.TCP_FLAGS: TCP_FLAG_NAMES,
    Format.CT_STATE: CT_STATE_NAMES,
    Format.TUN_FLAGS: TUN_FLAG_NAMES,
}
_MAC = re.compile(r"([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2}):"
                  r"([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})$")  # fmt: skip
def parse_mac(text: str) -> int | None:
    """An Ethernet address as 48 bits, None if it isn't one."""
    found = _MAC.match(text)
    if found is None:
        return None
    value = 0
    for byte in found.groups():
        value = value << 8 | int(byte, 16)
    return value


def parse_ipv4(text: str) -> int | None:
    """A dotted quad as 32 bits, None if it isn't one."""
    parts = text.split(".")
    if len(parts) != 4:
        return None
    value = 0
    for part in parts:
        if not (part.isascii() and part.isdigit() and len(part) <= 3) or int(part) > 255:
            return None
        value = value << 8 | int(part)
    return value


def parse_ipv6(text: str) -> int | None:
    """An IPv6 address as 128 bits, None if it isn't one."""
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
    except (OSError, ValueError):
        return None


def format_mac(value: int) -> str:
    """48 bits as an Ethernet address."""
    h = f"{value:012x}"
    return f"{h[0:2]}:{h[2:4]}:{h[4:6]}:{h[6:8]}:{h[8:10]}:{h[10:12]}"


def format_ipv4(value: int) -> str:
    """32 bits as a dotted quad."""
    return f"{value >> 24 & 255}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def format_ipv6(value: int) -> str:
    """128 bits as an IPv6 address."""
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16, "big"))


def prefix_length(mask: int, n_bits: int) -> int:
    """The length of a CIDR mask of `n_bits` bits, -1 if its ones are not contiguous from the top."""
    zeros = ((1 << n_bits) - 1) & ~mask
    if zeros & (zeros + 1):
        return -1
    return n_bits - zeros.bit_length()


def format_masked_ipv4(value: int, mask: int) -> str:
    """An address with "/24", "/255.0.255.0" or nothing (exact)."""
    if mask == 0xFFFFFFFF:
        return format_ipv4(value)
    length = prefix_length(mask, 32)
    return f"{format_ipv4(value)}/{length if length >= 0 else format_ipv4(mask)}"


def format_masked_ipv6(value: int, mask: int) -> str:
    """An address with "/64", "/ffff::ffff" or nothing (exact)."""
    if mask == (1 << 128) - 1:
        return format_ipv6(value)
    length = prefix_length(mask, 128)
    return f"{format_ipv6(value)}/{length if length >= 0 else format_ipv6(mask)}"


def format_masked_mac(value: int, mask: int) -> str:
    """An address with "/ff:ff:ff:00:00:00" or nothing (exact)."""
    if mask == 0xFFFFFFFFFFFF:
        return format_mac(value)
    return f"{format_mac(value)}/{format_mac(mask)}"


def c_hex(value: int) -> str:
    """As C's %#x: 0 is "0"."""
    return f"0x{value:x}" if value else "0"


def format_port(port: int, ports: Mapping[int, str] | None = None) -> str:
    """A 16-bit OpenFlow port: a reserved name, its name in `ports`, or its number."""
    name = _NAME_OF_PORT.get(port)
    if name is not None:
        return name
    if ports is not None and port in ports:
        return quoted_name(ports[port])
    return str(port)


def quoted_name(name: str) -> str:
    """A port's or a table's name as flow text has it: as a JSON string unless it is a plain word."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and not name[:1].isdigit()
    return name if plain else json.dumps(name)


def unquoted_name(text: str) -> str:
    """And back; what is no JSON string stands for itself."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]


def parse_port(text: str, ports: Mapping[str, int] | None = None) -> int | None:
    """A 16-bit OpenFlow port from its number, its reserved name or its name in `ports`; None."""
    number = parse_decimal(text)
    if number is not None and number >= 0:
        return _numbered_port(number)
    if number is not None:
        port_log.warn("Negative value %s is not a valid port number.", text)
    if text.upper() in PORT_NAMES:
        return PORT_NAMES[text.upper()]
    if ports is not None:
        return ports.get(unquoted_name(text))
    return None


def _numbered_port(number: int) -> int | None:
    """The port of a number of 16 or of 32 bits; what is odd about it is logged as Open vSwitch logs it."""
    if number >= OFPP11_MAX:
        return number & 0xFFFF
    if number > 0xFFFF:
        port_log.warn("port %d is outside the supported range 0 through ffff or 0xffffff00 through "
                      "0xffffffff", number)  # fmt: skip
        return None
    if number in _NAME_OF_PORT:
        port_log.warn("referring to port %s as %d is deprecated for compatibility with OpenFlow 1.1 and "
                      "later", _NAME_OF_PORT[number], number)  # fmt: skip
    elif number >= OFPP_MAX:
        port_log.warn("port %d is a reserved OF1.0 port number that will be translated to %d when talking to "
                      "an OF1.1 or later controller", number, number + OFPP11_OFFSET)  # fmt: skip
    return number


def parse_packet_type(text: str) -> int:
    """ "(namespace,type)" as 32 bits. FlowSyntaxError."""
    if not text.startswith("("):
        raise FlowSyntaxError(f"{text}: bad syntax for packet type missing '('", text)
    namespace, comma, kind = text[1:].partition(",")
    if not comma:
        raise FlowSyntaxError(f"{text[1:]}: bad syntax for packet type missing ','", text)
    if not kind.endswith(")"):
        raise FlowSyntaxError(f"{kind}: bad syntax for packet type missing ')'", text)
    ns = parse_integer(namespace.strip())
    pt = parse_integer(kind[:-1].strip())
    if ns is None or ns > 0xFFFF:
        raise FlowSyntaxError(f"{text[1:]}: bad syntax for packet type ns", text)
    if pt is None or pt > 0xFFFF:
        raise FlowSyntaxError(f"{kind}: bad syntax for packet type ns_type", text)
    return ns << 16 | pt


def format_packet_type(value: int) -> str:
    """ "(1,0x800)"; numbers below 10 are decimal."""
    namespace, kind = [str(n) if n < 10 else f"0x{n:x}" for n in (value >> 16, value & 0xFFFF)]
    return f"({namespace},{kind})"


def _parse_number(field: Field, text: str) -> tuple[int, int]:
    value_text, slash, mask_text = text.partition("/")
    value = parse_integer(value_text)
    if value is None:
        raise FlowSyntaxError(f"{text}: bad syntax for {field.name} value", text)
    limit = 1 << 8 * field.n_bytes
    if value >= limit:
        raise FlowSyntaxError(f"{text}: value too large for {field.n_bytes}-byte field {field.name}", text)
    if not slash:
        return (value if field.special == 2 else value & field.ones), field.ones
    mask = parse_integer(mask_text)
    if mask is None:
        raise FlowSyntaxError(f"{text}: bad syntax for {field.name} mask", text)
    if mask >= limit:
        raise FlowSyntaxError(f"{text}: mask too large for {field.n_bytes}-byte field {field.name}", text)
    if not field.maskable and mask not in (0, limit - 1):
        raise FlowSyntaxError(f"{text}: invalid mask for field {field.name}", text)
    if mask == limit - 1:
        return value & field.ones, field.ones
    return value & field.ones, mask & field.ones


def _parse_ip(field: Field, text: str) -> tuple[int, int]:
    six = field.fmt is Format.IPV6
    n_bits = 128 if six else 32
    name = "IPv6" if six else "IP"
    parse = parse_ipv6 if six else parse_ipv4
    address, slash, mask_text = text.partition("/")
    value = parse(address)
    if value is None:
        raise FlowSyntaxError(f"{text}: invalid {name} address", text)
    if not slash:
        return value, field.ones
    if mask_text.isascii() and mask_text.isdigit():
        length = int(mask_text[:9])
        if length > n_bits:
            what = f"{'IPv6' if six else 'IPv4'} network prefix bits not between 0 and {n_bits}, inclusive"
            raise FlowSyntaxError(f"{text}: {what}", text)
        return value, field.ones ^ ((1 << n_bits - length) - 1)
    mask = parse(mask_text)
    if mask is None:
        raise FlowSyntaxError(f"{text}: invalid {name} address", text)
    return value, mask


def _parse_ethernet(field: Field, text: str) -> tuple[int, int]:
    address, slash, mask_text = text.partition("/")
    value = parse_mac(address)
    mask = parse_mac(mask_text) if slash else field.ones
    if value is None or mask is None:
        raise FlowSyntaxError(f"{text}: invalid Ethernet address", text)
    return value, mask


def _parse_frag(text: str) -> tuple[int, int]:
    found = FRAG_NAMES.get(text)
    if found is None:
        names = ", ".join(f'"{name}"' for name in FRAG_NAMES)
        raise FlowSyntaxError(f"{text}: unknown fragment type (valid types are {names}", text)
    return found


def parse_value(
    field: Field, text: str, ports: Mapping[str, int] | None = None, optional: bool = True
) -> tuple[int, int]:
    """(value, mask) of `text` for `field`, both in the field's own terms, value within mask.

    "*" is any value. If it is `optional`, "" is read as "0/0". FlowSyntaxError says what is wrong; it points
    into `text` alone.
    """
    if text == "*":
        return 0, 0
    if not text and optional:
        text = "0/0"
    fmt = field.fmt
    if fmt in (Format.DECIMAL, Format.HEX):
        value, mask = _parse_number(field, text)
    elif fmt in (Format.IPV4, Format.IPV6):
        value, mask = _parse_ip(field, text)
    elif fmt is Format.ETHERNET:
        value, mask = _parse_ethernet(field, text)
    elif fmt in (Format.OFP_PORT, Format.OFP_PORT_OXM):
        port = parse_port(text, ports)
        if port is None:
            why = "invalid or unknown port" if fmt is Format.OFP_PORT else "port value out of range"
            raise FlowSyntaxError(f"{text}: {why} for {field.name}", text)
        return (port if fmt is Format.OFP_PORT else ports_to_oxm(port)), field.ones
    elif fmt is Format.FRAG:
        value, mask = _parse_frag(text)
    elif fmt is Format.TCP_FLAGS:
        value, mask = parse_flags(text, TCP_FLAG_NAMES, "TCP")
    elif fmt is Format.CT_STATE:
        value, mask = parse_flags(text, CT_STATE_NAMES, "ct_state")
    elif fmt is Format.TUN_FLAGS:
        value, mask = parse_flags(text, {"oam": 1}, "tunnel")
    else:
        return parse_packet_type(text), field.ones
    if not field.maskable and mask not in (0, field.ones):
        raise FlowSyntaxError(f"{text}: invalid mask for field {field.name}", text)
    if field.special == 2 and mask:
        return value, mask
    return value & mask, mask


def format_value(field: Field, value: int, mask: int | None = None) -> str:
    """One field's value as actions and errors print it: "0x5/0xff", "10.0.0.0/8", "+syn-ack"."""
    full = field.ones
    if mask is None:
        mask = full
    if mask == 0:
        return "ANY"
    fmt = field.fmt
    if fmt is Format.ETHERNET:
        return format_masked_mac(value, mask)
    if fmt is Format.IPV4:
        return format_masked_ipv4(value, mask)
    if fmt is Format.IPV6:
        return format_masked_ipv6(value, mask)
    if fmt in (Format.OFP_PORT, Format.OFP_PORT_OXM):
        return format_port(value & 0xFFFF)
    if fmt is Format.FRAG:
        return format_frag(value, mask)
    if fmt is Format.PACKET_TYPE:
        return format_packet_type(value)
    names = _FLAG_NAMES.get(fmt)
    if names is not None:
        return format_flags(names, value) if mask == full else format_flags_masked(names, value, mask)
    number = str(value) if fmt is Format.DECIMAL else c_hex(value)
    return number if mask == full else f"{number}/0x{mask:x}"


def format_frag(value: int, mask: int) -> str:
    """`ip_frag` by name, or as hexadecimal where no name says it."""
    for name, known in FRAG_NAMES.items():
        if known == (value & mask, mask):
            return name
    return f"0x{value:x}/0x{mask:x}"
