"""The words of action text: "output:1", "resubmit(1,2)", "check_pkt_larger(9)->reg0[0]"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vswitch.flow.syntax import FlowSyntaxError
from vswitch.flow.values import parse_integer, parse_ipv4, parse_mac, unquoted_name

SEPARATORS = ", \t\r\n"


@dataclass(frozen=True)
class ActionWord:
    """One action: `key`, what is within its brackets or after its delimiter, and a "->" tail."""

    key: str
    value: str
    position: int
    value_at: int
    delimiter: str = ""
    tail: str = ""


def split_action_words(text: str, base: int = 0) -> list[ActionWord]:
    """The actions in `text`; positions count from `base`. An unclosed bracket ends with the text."""
    words: list[ActionWord] = []
    i = 0
    size = len(text)
    while i < size:
        if text[i] in SEPARATORS:
            i += 1
            continue
        start = i
        while i < size and text[i] not in ":=(" and text[i] not in SEPARATORS:
            i += 1
        key = text[start:i]
        if i >= size or text[i] in SEPARATORS:
            words.append(ActionWord(key, "", base + start, base + i))
            continue
        delimiter = text[i]
        value_at = i + 1
        i = _end(text, value_at, delimiter == "(")
        value = text[value_at:i]
        tail = ""
        if delimiter == "(":
            i += 1
            if text.startswith("->", i):
                end = _end(text, i + 2, False)
                tail = text[i + 2 : end]
                i = end
        words.append(ActionWord(key, value, base + start, base + value_at, delimiter, tail))
    return words


def _end(text: str, start: int, closing: bool) -> int:
    depth = 0
    for i in range(start, len(text)):
        c = text[i]
        if depth == 0 and (c == ")" if closing else c in SEPARATORS):
            return i
        if c in "([":
            depth += 1
        elif c in ")]" and depth:
            depth -= 1
    return len(text)


# Numbers, with ovs-ofctl's complaints.


def bounded(text: str, bits: int, name: str) -> int:
    """A number of at most `bits` <= 16 bits."""
    value = parse_integer(text)
    if value is None or value >= 1 << bits:
        raise FlowSyntaxError(f'invalid {name} "{text}"', text)
    return value


def u32(text: str) -> int:
    """A 32-bit number."""
    return _number(text, 32)


def u64(text: str) -> int:
    """A 64-bit number."""
    return _number(text, 64)


def _number(text: str, bits: int) -> int:
    if not text:
        raise FlowSyntaxError("missing required numeric argument")
    value = parse_integer(text)
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
    if text.isascii() and text.isdigit():
        value = int(text[:9])
        return value if value <= 255 else None
    return (names or {}).get(unquoted_name(text))
