"""`Multipart`: the answer to a multipart request, cut into messages that fit (OpenFlow 1.3, 7.3.5).

The entries are made and encoded a few at a time, so that a long listing never exists as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, final

from vswitch.base import coverage
from vswitch.openflow.wire.codec import encode
from vswitch.openflow.wire.messages_base import Form, NotInVersion

FIRST: Final = 64
"""Entries that the first message is tried with."""
FULL: Final = 60_000
"""Bytes that a message should have, in a listing of many."""

entry_too_long = coverage.counter("drop_multipart_entry_too_long")


@final
class Multipart:
    """A reply that lists something: `entry` makes what is told of each of `items`, `reply` the message of
    a tuple of those (a dataclass with `more`)."""

    def __init__(self, items: Sequence[Any], reply: Callable[[tuple[Any, ...]], Any],
                 entry: Callable[[Any], Any] | None = None) -> None:
        self.items: Sequence[Any] = items
        self.reply: Callable[[tuple[Any, ...]], Any] = reply
        self.entry: Callable[[Any], Any] | None = entry

    def messages(self, version: int, xid: int, form: Form) -> Iterator[bytes]:
        """The encoded messages, at least one. NotInVersion: `version` has no such reply in `form`."""
        items = self.items
        n = len(items)
        at = 0
        size = FIRST
        while True:
            part = items[at : at + size]
            told = tuple(part) if self.entry is None else tuple([self.entry(item) for item in part])
            body = self.reply(told)
            if at + len(part) < n:
                body = replace(body, more=True)
            try:
                data = encode(body, version, xid, form)
            except NotInVersion:
                raise
            except ValueError:
                if len(part) > 1:
                    size = max(len(part) // 2, 1)
                    continue
                entry_too_long.inc()
                body = replace(self.reply(()), more=at + 1 < n)
                data = encode(body, version, xid, form)
            yield data
            at += len(part)
            if at >= n:
                return
            size = max(min(len(part) * FULL // max(len(data), 1), 2 * len(part)), 1)
