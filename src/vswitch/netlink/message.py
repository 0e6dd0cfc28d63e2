"""Netlink messages: walking received bytes, and batches of requests matched with their answers.

A datagram from the kernel holds one or more messages (`struct nlmsghdr`, <linux/netlink.h>), each
padded to four bytes. `walk` finds them; `Batch` composes requests one after the other, numbers
them, and sorts the answers back by sequence number. No I/O here: `socket.py` moves the bytes.

Compiled by mypyc; works interpreted.
"""

from __future__ import annotations

import errno
from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

from vswitch.netlink.attrs import Builder, NlAttrError, attributes, text, u16_at, u32_at

NLMSG_NOOP: Final = 1
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLMSG_MIN_TYPE: Final = 0x10

NLM_F_REQUEST: Final = 0x01
NLM_F_MULTI: Final = 0x02
NLM_F_ACK: Final = 0x04
NLM_F_ECHO: Final = 0x08
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800
NLM_F_CAPPED: Final = 0x100
NLM_F_ACK_TLVS: Final = 0x200

NLMSGERR_ATTR_MSG: Final = 1
NLMSGERR_ATTR_OFFS: Final = 2
NLMSGERR_ATTR_MISS_TYPE: Final = 5

NLMSG_HDRLEN: Final = 16

UNANSWERED: Final = -1

# How a request is answered if it goes well.
_ACK: Final = 0
_REPLY: Final = 1
_QUIET: Final = 2
EPROTO: Final[int] = errno.EPROTO


@final
class NlMessage:
    """One received message: `data[start:end]` is what follows `struct nlmsghdr`."""

    def __init__(
        self, data: bytes, nl_type: i64, flags: i64, seq: i64, pid: i64, start: i64, end: i64
    ) -> None:
        self.data = data
        self.type: i64 = nl_type
        self.flags: i64 = flags
        self.seq: i64 = seq
        self.pid: i64 = pid
        self.start: i64 = start
        self.end: i64 = end

    def payload(self) -> bytes:
        """A copy of what follows the message header."""
        return self.data[self.start : self.end]


def walk(data: bytes) -> list[NlMessage]:
    """The messages in one datagram; what is malformed or cut short ends the walk."""
    found: list[NlMessage] = []
    at: i64 = 0
    size: i64 = len(data)
    while size - at >= NLMSG_HDRLEN:
        length = u32_at(data, at)
        if length < NLMSG_HDRLEN or length > size - at:
            break
        found.append(
            NlMessage(
                data,
                u16_at(data, at + 4),
                u16_at(data, at + 6),
                u32_at(data, at + 8),
                u32_at(data, at + 12),
                at + NLMSG_HDRLEN,
                at + length,
            )
        )
        at += (length + 3) & ~3
    return found


def error_of(message: NlMessage) -> int:
    """The errno in an NLMSG_ERROR or NLMSG_DONE message: 0 for success, EPROTO if there is none."""
    if message.end - message.start < 4:
        return 0 if message.type == NLMSG_DONE else EPROTO
    value = u32_at(message.data, message.start)
    if value == 0:
        return 0
    negative = 0x100000000 - value
    return int(negative) if 0 < negative < 4096 else EPROTO


def extended_ack(message: NlMessage) -> str:
    """The kernel's words in an NLMSG_ERROR or NLMSG_DONE message; "" if it said nothing more.

    The TLVs follow the error number and, in an NLMSG_ERROR, the request: its header alone where
    NLM_F_CAPPED is set, all of it otherwise.
    """
    if not message.flags & NLM_F_ACK_TLVS:
        return ""
    data = message.data
    at = message.start + 4
    if message.type == NLMSG_ERROR:
        if at + NLMSG_HDRLEN > message.end:
            return ""
        if message.flags & NLM_F_CAPPED:
            at += NLMSG_HDRLEN
        else:
            at += (u32_at(data, at) + 3) & ~3
    words: list[str] = []
    try:
        for attr_type, offset, length in attributes(data, at, message.end):
            if attr_type == NLMSGERR_ATTR_MSG:
                words.append(text(data[offset : offset + length]))
            elif attr_type == NLMSGERR_ATTR_OFFS and length == 4:
                words.append(f"at offset {u32_at(data, offset)} of the request")
            elif attr_type == NLMSGERR_ATTR_MISS_TYPE and length == 4:
                words.append(f"attribute {u32_at(data, offset)} is missing")
    except NlAttrError:
        pass
    return ", ".join(words)


@final
class Batch:
    """Requests for one send, and the answer to each.

    `begin` a request, compose its payload into `builder`, `end` it. A request with `want_reply`
    is answered by a message of its family (whose payload lands in `replies`), a `quiet` one only
    if it fails, any other by an acknowledgement or an error. `errors[i]` is UNANSWERED, 0 or an
    errno.
    """

    def __init__(self, first_seq: i64) -> None:
        self.builder = Builder()
        self.first_seq: i64 = first_seq & 0xFFFFFFFF
        self.count: i64 = 0
        self.answered: i64 = 0
        self.errors: vec[i64] = vec[i64]()
        self.details: list[str] = []
        self.replies: list[bytes] = []
        self._starts: vec[i64] = vec[i64]()
        self._wants: vec[i64] = vec[i64]()

    def begin(self, nl_type: i64, flags: i64, want_reply: bool, quiet: bool = False) -> None:
        """Open the next request. NLM_F_REQUEST is added, and NLM_F_ACK where that is the answer."""
        flags |= NLM_F_REQUEST
        if not want_reply and not quiet:
            flags |= NLM_F_ACK
        seq = (self.first_seq + self.count) & 0xFFFFFFFF
        start = self.builder.begin_message(nl_type, flags, seq, 0)
        self._starts = append(self._starts, start)
        self._wants = append(self._wants, i64(_REPLY) if want_reply else i64(_QUIET) if quiet else i64(_ACK))
        self.errors = append(self.errors, i64(UNANSWERED))
        self.details.append("")
        self.replies.append(b"")
        self.count += 1

    def end(self) -> None:
        """Close the request opened last."""
        self.builder.end_message(self._starts[self.count - 1])

    def drop_last(self) -> None:
        """Take back the request opened last, closed or not."""
        self.count -= 1
        self.builder.truncate(self._starts[self.count])
        self._starts = self._starts[: self.count]
        self._wants = self._wants[: self.count]
        self.errors = self.errors[: self.count]
        self.details.pop()
        self.replies.pop()

    def size(self) -> int:
        """Bytes composed so far."""
        return len(self.builder)

    def error(self, i: i64) -> int:
        """What became of request `i`: UNANSWERED, 0, or an errno."""
        return int(self.errors[i])

    def reply(self, i: i64) -> bytes:
        """The payload of the answer to request `i`, b"" where it was an acknowledgement only."""
        return self.replies[i]

    def detail(self, i: i64) -> str:
        """The extended ack that came with the answer to request `i`, or ""."""
        return self.details[i]

    def done(self) -> bool:
        """Whether every request is answered."""
        return self.answered == self.count

    def unanswered(self) -> bytes:
        """The requests that got no answer yet, to be sent (again)."""
        data = self.builder.getvalue()
        if self.answered == 0:
            return data
        parts: list[bytes] = []
        i: i64 = 0
        size: i64 = len(data)
        while i < self.count:
            if self.errors[i] == UNANSWERED:
                stop = self._starts[i + 1] if i + 1 < self.count else size
                parts.append(data[self._starts[i] : stop])
            i += 1
        return b"".join(parts)

    def settle(self) -> None:
        """Everything that the kernel had to say was read: `quiet` requests still open went well."""
        i: i64 = 0
        while i < self.count:
            if self.errors[i] == UNANSWERED and self._wants[i] == _QUIET:
                self.errors[i] = 0
                self.answered += 1
            i += 1

    def give_up(self, code: i64) -> None:
        """Answer every request still open with errno `code`."""
        i: i64 = 0
        while i < self.count:
            if self.errors[i] == UNANSWERED:
                self.errors[i] = code
                self.answered += 1
            i += 1

    def take(self, data: bytes) -> None:
        """Sort the messages of one received datagram to their requests; strangers are ignored."""
        at: i64 = 0
        size: i64 = len(data)
        while size - at >= NLMSG_HDRLEN:
            length = u32_at(data, at)
            if length < NLMSG_HDRLEN or length > size - at:
                break
            i = (u32_at(data, at + 8) - self.first_seq) & 0xFFFFFFFF
            if i < self.count and self.errors[i] == UNANSWERED:
                self._answer(i, data, at, length)
            at += (length + 3) & ~3

    def _answer(self, i: i64, data: bytes, at: i64, length: i64) -> None:
        nl_type = u16_at(data, at + 4)
        if nl_type == NLMSG_ERROR:
            if length >= NLMSG_HDRLEN + 4 and u32_at(data, at + NLMSG_HDRLEN) == 0:
                # An acknowledgement; of a request that wants a reply it means that there is none.
                self.errors[i] = EPROTO if self._wants[i] == _REPLY else 0
            else:
                message = NlMessage(
                    data, nl_type, u16_at(data, at + 6), 0, 0, at + NLMSG_HDRLEN, at + length
                )
                self.errors[i] = error_of(message)
                self.details[i] = extended_ack(message)
            self.answered += 1
        elif nl_type >= NLMSG_MIN_TYPE and self._wants[i] == _REPLY:
            self.replies[i] = data[at + NLMSG_HDRLEN : at + length]
            self.errors[i] = 0
            self.answered += 1
