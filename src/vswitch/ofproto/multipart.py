"""`Multipart`: the answer to a multipart request, cut into messages that fit (OpenFlow 1.3, 7.3.5).

Each message takes as many entries as it can, as those of Open vSwitch do: tools print message by message.
The entries are made and encoded a few at a time, so that a long listing never exists as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, final

from vswitch.base import coverage
from vswitch.openflow.wire.codec import encode
from vswitch.openflow.wire.messages_base import Form, NotInVersion

AT_ONCE: Final = 0x4000
"""Bytes of entries that are encoded together: of large ones, as tables' features are, many take long."""
LONGEST: Final = 0xFFFF
"""Bytes of a message."""
FLAGS: Final = 10
"""Where the 16 bits of flags are, in every version."""
MORE: Final = 1

entry_too_long = coverage.counter("drop_multipart_entry_too_long")


@final
class Multipart:
    """A reply that lists something: `entry` makes what is reported of each of `items`, `reply` the message of
    a tuple of those. An entry that is longer than a message can be is left out: `too_long` hears of it."""

    def __init__(self, items: Sequence[Any], reply: Callable[[tuple[Any, ...]], Any],
                 entry: Callable[[Any], Any] | None = None,
                 too_long: Callable[[], None] | None = None) -> None:
        self.items: Sequence[Any] = items
        self.reply: Callable[[tuple[Any, ...]], Any] = reply
        self.entry: Callable[[Any], Any] | None = entry
        self.too_long: Callable[[], None] | None = too_long

    def messages(self, version: int, xid: int, form: Form,
                 pause: Callable[[], None] | None = None) -> Iterator[bytes]:
        """The encoded messages, at least one; `pause` is called now and then on the way to each.
        NotInVersion: `version` has no such reply in `form`."""
        items = self.items
        n = len(items)
        header = encode(self.reply(()), version, xid, form)
        message = bytearray(header)
        held = 0
        at = 0
        size = 1  # until it is known how long one is
        while at < n:
            if pause is not None:
                pause()
            part = items[at : at + size]
            told = tuple(part) if self.entry is None else tuple([self.entry(item) for item in part])
            try:
                data = encode(self.reply(told), version, xid, form)
            except NotInVersion:
                raise
            except ValueError:
                # Longer than a message can be.
                if len(part) > 1:
                    size = max(len(part) // 2, 1)
                    continue
                entry_too_long.inc()
                if self.too_long is not None:
                    self.too_long()
                at += 1
                continue
            if len(message) + len(data) - len(header) > LONGEST:
                if len(part) > 1:
                    size = max(len(part) // 2, 1)
                    continue
                yield _sent(message, True)
                message = bytearray(header)
                held = 0
            message += data[len(header) :]
            held += len(part)
            at += len(part)
            average = max((len(message) - len(header)) // held, 1)
            size = max(min(LONGEST - len(message), AT_ONCE) // average, 1)
        yield _sent(message, False)


def _sent(message: bytearray, more: bool) -> bytes:
    """A message with its length, and whether more follow."""
    message[2:4] = len(message).to_bytes(2, "big")
    message[FLAGS + 1] = MORE if more else 0
    return bytes(message)
