"""Cuts a stream of bytes into OpenFlow messages."""

from __future__ import annotations

from typing import final

from vswitch.openflow.errors import OfpError

HEADER_LEN = 8
"""Version (1 byte), type (1), length of the whole message (2), transaction id (4)."""


@final
class Framing:
    """What has come of a connection and is not yet a whole message. Never holds more than one plus a read."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def pending(self) -> int:
        """How many bytes of the next message are here."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The whole messages that `data` completes, in order.

        OfpError OFPBRC_BAD_LEN: the next header tells a length below 8, so that the stream can't be read
        any further. Messages before it are returned first; the next call raises.
        """
        data = self._rest + data if self._rest else data
        found: list[bytes] = []
        at = 0
        end = len(data)
        while end - at >= HEADER_LEN:
            length = data[at + 2] << 8 | data[at + 3]
            if length < HEADER_LEN:
                error = OfpError("OFPBRC_BAD_LEN", f"message of {length} bytes")
                error.data = data[at : at + 64]
                self._rest = data[at:]
                if found:
                    return found
                raise error
            if end - at < length:
                break
            found.append(data[at : at + length])
            at += length
        self._rest = data[at:]
        return found
