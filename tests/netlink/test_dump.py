"""Dumps as the kernel may give them: in parts, interrupted, broken off, with strangers between."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

import pytest

from vswitch.netlink.errors import NlError
from vswitch.netlink.message import NLM_F_DUMP_INTR, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR, walk
from vswitch.netlink.socket import MAX_TRIES, NETLINK_GENERIC, NlSocket, collect


class Scripted:
    """In the place of a kernel socket: each request is answered by the next of `answers`."""

    def __init__(self, *answers: Callable[[int], list[bytes | OSError]]) -> None:
        self.answers = list(answers)
        self.queue: list[bytes | OSError] = []
        self.requests = 0

    def sendto(self, data: bytes, _address: tuple[int, int]) -> int:
        [request] = walk(data)
        self.requests += 1
        self.queue = self.answers.pop(0)(request.seq)
        return len(data)

    def recv(self, _size: int) -> bytes:
        if not self.queue:
            raise BlockingIOError(errno.EAGAIN, "empty")
        item = self.queue.pop(0)
        if isinstance(item, OSError):
            raise item
        return item

    def close(self) -> None:
        pass


def message(seq: int, payload: bytes, nl_type: int = 20, flags: int = NLM_F_MULTI) -> bytes:
    data = struct.pack("=IHHII", 16 + len(payload), nl_type, flags, seq, 0) + payload
    return data + bytes(-len(data) % 4)


def done(seq: int, code: int = 0, flags: int = NLM_F_MULTI) -> bytes:
    return message(seq, struct.pack("=i", -code), NLMSG_DONE, flags)


def scripted(*answers: Callable[[int], list[bytes | OSError]]) -> tuple[NlSocket, Scripted]:
    sock = NlSocket(NETLINK_GENERIC)
    sock.close()
    kernel = Scripted(*answers)
    sock._socket = kernel  # type: ignore[assignment]
    return sock, kernel


def test_parts_come_in_order_and_strangers_are_left_out() -> None:
    sock, _ = scripted(
        lambda seq: [
            message(seq, b"a") + message(seq, b"b"),
            message(seq - 1, b"stranger") + message(seq, b"c"),
            done(seq),
        ]
    )
    messages, interrupted = collect(sock.dump(20, b"", "dump"))
    assert [m.payload() for m in messages] == [b"a", b"b", b"c"]
    assert not interrupted


def test_an_interrupted_dump_is_begun_again() -> None:
    sock, kernel = scripted(
        lambda seq: [message(seq, b"old", flags=NLM_F_MULTI | NLM_F_DUMP_INTR), done(seq)],
        lambda seq: [message(seq, b"half"), done(seq, flags=NLM_F_MULTI | NLM_F_DUMP_INTR)],
        lambda seq: [message(seq, b"new"), done(seq)],
    )
    assert [m.payload() for m in sock.dump_all(20, b"", "dump")] == [b"new"]
    assert kernel.requests == 3


def test_a_dump_that_is_always_interrupted_gives_its_last() -> None:
    def answer(seq: int) -> list[bytes | OSError]:
        return [message(seq, b"x", flags=NLM_F_MULTI | NLM_F_DUMP_INTR), done(seq)]

    sock, kernel = scripted(*[answer] * MAX_TRIES)
    assert [m.payload() for m in sock.dump_all(20, b"", "dump")] == [b"x"]
    assert kernel.requests == MAX_TRIES


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda seq: [message(seq, struct.pack("=i", -errno.EPERM), NLMSG_ERROR)], errno.EPERM),
        (lambda seq: [message(seq, b"a"), done(seq, errno.ENOMEM)], errno.ENOMEM),
        (lambda seq: [OSError(errno.ENOBUFS, "lost")], errno.ENOBUFS),
        (lambda seq: [message(seq, b"a")], errno.EPROTO),
        (lambda seq: [b"\1\2\3"], errno.EPROTO),
    ],
)
def test_a_dump_that_fails_says_why(answer: Callable[[int], list[bytes | OSError]], code: int) -> None:
    sock, _ = scripted(answer)
    with pytest.raises(NlError, match="dump things") as e:
        collect(sock.dump(20, b"", "dump things"))
    assert e.value.errno == code
