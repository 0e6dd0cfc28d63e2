"""JSON texts out of a byte stream that has nothing between them, as OVS's JSON-RPC has it.

`JsonFramer` finds where each top-level object or array ends without parsing it, in one pass
over the bytes however they are cut up, and hands each to the standard parser.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, final

MAX_MESSAGE: Final = 4 << 20
"""The longest message accepted, in bytes, unless the framer is told otherwise."""
BACKSLASH: Final = 0x5C
MAX_DEPTH: Final = 200
"""The deepest nesting accepted."""

_PLAIN: Final = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+")*+')
"""What goes no level up or down: anything between, and whole strings without an escape. It always matches."""
_INSIDE: Final = re.compile(rb'[^"\\]*+(?:\\[\s\S][^"\\]*+)*+')
"""What is within a string, whole escapes too. It always matches."""


class FramingError(ValueError):
    """What came is not a sequence of JSON objects and arrays; the stream can't be used further."""


@final
class JsonFramer:
    """Collects bytes; gives back the JSON values that are complete."""

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max_message = max_message
        self._buffer = bytearray()
        self._scanned = 0
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> list[Any]:
        """Take `data`; returns the values that it completes. FramingError if it is no JSON."""
        self._buffer += data
        values: list[Any] = []
        while True:
            end = self._find_end()
            if end < 0:
                break
            text = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._scanned = 0
            try:
                values.append(json.loads(text))
            except (ValueError, RecursionError) as e:
                raise FramingError(f"bad JSON: {e}") from e
        if len(self._buffer) > self._max_message:
            raise FramingError(f"message longer than {self._max_message} bytes")
        return values

    def _find_end(self) -> int:
        """Where the first value in the buffer ends, or -1 if that has not come yet."""
        buffer = self._buffer
        at = self._scanned
        if self._depth == 0 and not self._in_string:
            stripped = buffer.lstrip()
            if len(stripped) != len(buffer):
                buffer[:] = stripped
                at = 0
            if buffer and buffer[0] not in b"{[":
                raise FramingError(f"a message starts with {bytes(buffer[:8])!r}")
        while True:
            if self._in_string:
                inside = _INSIDE.match(buffer, at)
                assert inside is not None
                at = inside.end()
                # The end of what came, or half an escape.
                if at == len(buffer) or buffer[at] == BACKSLASH:
                    self._scanned = at
                    return -1
                self._in_string = False
                at += 1
                continue
            m = _PLAIN.match(buffer, at)
            assert m is not None
            at = m.end()
            if at == len(buffer):
                self._scanned = at
                return -1
            token = buffer[at]
            at += 1
            if token in b"{[":
                self._depth += 1
                if self._depth > MAX_DEPTH:
                    raise FramingError(f"nested deeper than {MAX_DEPTH}")
            elif token in b"}]":
                self._depth -= 1
                if self._depth == 0:
                    return at
            else:
                self._in_string = True
