"""The words of flow text, and the error that points at a bad one.

Flow text is what `ovs-ofctl` takes: words separated by commas or white space, each `key`,
`key=value`, `key:value` or `key(value)`; a value may hold separators within brackets.
"""

from __future__ import annotations

import re
from typing import Final

from vswitch.base.records import dataclass

_SEPARATORS = ", \t\r\n"


class FlowSyntaxError(ValueError):
    """Flow text that cannot be understood.

    `message` says what is wrong in `ovs-ofctl`'s words; `word` is the text to blame, `text` all
    of it, and `position` where `word` starts in `text` (-1 if the whole is to blame).
    """

    def __init__(self, message: str, word: str = "", text: str = "", position: int = -1) -> None:
        super().__init__(message)
        self.message = message
        self.word = word
        self.text = text
        self.position = position

    def within(self, text: str, position: int) -> FlowSyntaxError:
        """The same error, its word found in `text` from `position` on."""
        found = text.find(self.word, position) if self.word else position
        return FlowSyntaxError(self.message, self.word, text, found if found >= 0 else position)

    def pointed(self) -> str:
        """The message, the text, and a line of carets under the word."""
        if self.position < 0:
            return self.message
        carets = " " * self.position + "^" * max(1, len(self.word))
        return f"{self.message}\n  {self.text}\n  {carets}"


@dataclass(frozen=True)
class Word:
    """One word of flow text; `position` is where the key starts, `value_at` where the value does.

    `delimiter` is what stands between them: "", "=", ":" or "("; `tail` is what follows brackets behind "->",
    as in `check_pkt_larger(9)->reg0[0]`.
    """

    key: str
    value: str
    position: int
    value_at: int
    delimiter: str = ""
    tail: str = ""


def _value_end(text: str, start: int, closing: str) -> int:
    """Where a value that starts at `start` ends: at a separator outside brackets, or at the end.

    With `closing` ")" it ends at the bracket that closes it.
    """
    depth = 0
    i = start
    size = len(text)
    while i < size:
        c = text[i]
        if depth == 0 and (c == closing if closing else c in _SEPARATORS):
            return i
        if c in "([":
            depth += 1
        elif c in ")]" and depth:
            depth -= 1
        i += 1
    return size


def split_words(text: str, base: int = 0, tails: bool = False) -> list[Word]:
    """The words of `text`; a bracket that is never closed ends with the text, as in Open vSwitch.

    Positions count from `base`. With `tails` a word may have one.
    """
    words = []
    i = 0
    size = len(text)
    while i < size:
        if text[i] in _SEPARATORS:
            i += 1
            continue
        start = i
        while i < size and text[i] not in ":=(" and text[i] not in _SEPARATORS:
            i += 1
        key = text[start:i]
        if i >= size or text[i] in _SEPARATORS:
            words.append(Word(key, "", base + start, base + i))
            continue
        delimiter = text[i]
        value_at = i + 1
        end = _value_end(text, value_at, ")" if delimiter == "(" else "")
        i = end + 1
        tail = ""
        if tails and delimiter == "(" and text.startswith("->", i):
            tail_at, i = i + 2, _value_end(text, i + 2, "")
            tail = text[tail_at:i]
        words.append(Word(key, text[value_at:end], base + start, base + value_at, delimiter, tail))
    return words


_NUMBER: Final = re.compile(r"(-?)(?:0[xX]([0-9a-fA-F]*)|(0[0-7]*)|([1-9][0-9]*))$")


def parse_decimal(text: str) -> int | None:
    """A decimal number of 32 bits, signed or not; -1 for any below 0. None if `text` is no such number."""
    digits = text[1:] if text.startswith(("-", "+")) else text
    if text == "-" or (text.startswith("-") and digits.isascii() and digits.isdigit()):
        return -1
    digits = digits.lstrip("0") or digits[-1:]
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10:
        return None
    number = int(digits)
    return number if number < 1 << 32 else None


def parse_integer(text: str) -> int | None:
    """A number as C's strtoull with base 0 takes it (0x, leading-0 octal, decimal), None if it isn't."""
    found = _NUMBER.match(text)
    if found is None or len(text) > 512:
        return None
    sign, hexadecimal, octal, decimal = found.groups()
    if hexadecimal is not None:
        value = int(hexadecimal or "0", 16)
    else:
        value = int(octal, 8) if octal else int(decimal)
    return (-value) & 0xFFFFFFFFFFFFFFFF if sign else value
