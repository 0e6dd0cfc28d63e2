"""The words of action text: "output:1", "resubmit(1,2)", "check_pkt_larger(9)->reg0[0]"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from vswitch.base.vlog import Vlog
from vswitch.flow.syntax import FlowSyntaxError, Word, parse_decimal, parse_integer, split_words
from vswitch.flow.values import parse_ipv4, parse_mac, unquoted_name

table_log: Final = Vlog("ofp_table")

ActionWord: TypeAlias = Word
"""One action: its name, what is within its brackets or after its delimiter, and a tail."""


def split_action_words(text: str, base: int = 0) -> list[ActionWord]:
    """The actions in `text`; positions count from `base`. An unclosed bracket ends with the text."""
    return split_words(text, base, tails=True)


# Numbers, with ovs-ofctl's complaints.


def bounded(text: str, bits: int, name: str) -> int:
    """A number of at most `bits` <= 16 bits."""
    value = _whole(text)
    if value is None or value >= 1 << bits:
        raise FlowSyntaxError(f'invalid {name} "{text}"', text)
    return value


def _whole(text: str) -> int | None:
    """A number; "0x" without a digit is one only as a field's value."""
    return None if text in ("0x", "0X") else parse_integer(text)


def u32(text: str) -> int:
    """A 32-bit number."""
    return _number(text, 32)


def u64(text: str) -> int:
    """A 64-bit number."""
    return _number(text, 64)


def _number(text: str, bits: int) -> int:
    if not text:
        raise FlowSyntaxError("missing required numeric argument")
    value = _whole(text)
    if value is None or value >= 1 << bits:
        raise FlowSyntaxError(f"invalid numeric format {text}", text)
    return value


def mac(text: str) -> int:
    """An Ethernet address."""
    value = parse_mac(text)
    if value is None:
        raise FlowSyntaxError(f"invalid mac address {text}", text)
    return value


def ipv4(text: str) -> int:
    """An IPv4 address."""
    value = parse_ipv4(text)
    if value is None:
        raise FlowSyntaxError(f"{text}: could not convert to IP address", text)
    return value


def table_number(text: str, names: Mapping[str, int] | None = None) -> int | None:
    """A table's number 0..255 from its number or its name; None if it is neither."""
    number = parse_decimal(text)
    if number is None:
        return (names or {}).get(unquoted_name(text))
    if number < 0:
        table_log.warn("Negative value %s is not a valid table number.", text)
    elif number > 0xFF:
        table_log.warn("table %d is outside the supported range 0 through 255", number)
    else:
        return number
    return None
