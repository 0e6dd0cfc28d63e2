"""JSON texts out of a byte stream that has nothing between them, as OVS's JSON-RPC has it.

`JsonFramer` finds where each top-level object or array ends without parsing it, in one pass
over the bytes however they are cut up, and hands each to the standard parser.
"""

from __future__ import annotations

import json
from typing import Any, Final, final

from mypy_extensions import i64

MAX_MESSAGE: Final = 4 << 20
"""The longest message accepted, in bytes, unless the framer is told otherwise."""
MAX_DEPTH: Final = 200
"""The deepest nesting accepted."""

QUOTE: Final = 0x22
BACKSLASH: Final = 0x5C
OPENING: Final = 0x7B
CLOSING: Final = 0x7D
CURLY: Final = 0x20
"""The bit in which a brace differs from the bracket of its side."""
SPACES: Final = b" \t\n\r\v\f"


class FramingError(ValueError):
    """What came is not a sequence of JSON objects and arrays; the stream can't be used further."""


@final
class JsonFramer:
    """Collects bytes; gives back the JSON values that are complete."""

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max_message = max_message
        self._begun: list[bytes] = []
        """What has come of a value that is not complete."""
        self._length = 0
        """How much that is."""
        self._depth: i64 = 0
        self._in_string = False
        self._escaped = False
        """Whether a backslash was the last that came."""

    def feed(self, data: bytes) -> list[Any]:
        """Take `data`; returns the values that it completes. FramingError if it is no JSON."""
        values: list[Any] = []
        begin: i64 = 0
        while True:
            if self._depth == 0:
                begin = self._first(data, begin)
            end = self._end(data, begin)
            if end < 0:
                break
            text = data[begin:end]
            if self._begun:
                text = b"".join([*self._begun, text])
                self._begun = []
                self._length = 0
            begin = end
            try:
                values.append(json.loads(text))
            except (ValueError, RecursionError) as e:
                raise FramingError(f"bad JSON: {e}") from e
        rest = data[begin:]
        if rest:
            self._begun.append(rest)
            self._length += len(rest)
        if self._length > self._max_message:
            raise FramingError(f"message longer than {self._max_message} bytes")
        return values

    def _first(self, data: bytes, at: i64) -> i64:
        """Where in `data` the next value begins; its end if it has none."""
        n: i64 = len(data)
        while at < n and data[at] in SPACES:
            at += 1
        if at < n and data[at] | CURLY != OPENING:
            raise FramingError(f"a message starts with {data[at:at + 8]!r}")
        return at

    def _end(self, data: bytes, at: i64) -> i64:
        """Where the value ends that has begun at `at` or before, or -1 if that has not come yet."""
        n: i64 = len(data)
        end: i64 = -1
        depth = self._depth
        in_string = self._in_string
        escaped = self._escaped
        while at < n:
            byte: i64 = data[at]
            at += 1
            if in_string:
                if escaped:
                    escaped = False
                elif byte == BACKSLASH:
                    escaped = True
                elif byte == QUOTE:
                    in_string = False
            elif byte == QUOTE:
                in_string = True
            elif byte | CURLY == OPENING:
                depth += 1
                if depth > MAX_DEPTH:
                    raise FramingError(f"nested deeper than {MAX_DEPTH}")
            elif byte | CURLY == CLOSING:
                depth -= 1
                if depth == 0:
                    end = at
                    break
        self._depth = depth
        self._in_string = in_string
        self._escaped = escaped
        return end
