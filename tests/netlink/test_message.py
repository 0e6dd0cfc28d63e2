"""Netlink messages: requests are matched with their answers, whatever the kernel sends."""

from __future__ import annotations

import errno
import struct

from hypothesis import given
from hypothesis import strategies as st

from vswitch.netlink.attrs import Builder
from vswitch.netlink.message import (
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLMSG_DONE,
    NLMSG_ERROR,
    UNANSWERED,
    Batch,
    error_of,
    extended_ack,
    walk,
)


def header(nl_type: int, flags: int, seq: int, payload: bytes) -> bytes:
    data = struct.pack("=IHHII", 16 + len(payload), nl_type, flags, seq, 0) + payload
    return data + bytes(-len(data) % 4)


def refusal(seq: int, code: int, words: str = "", capped: bool = True, request: bytes = b"") -> bytes:
    echoed = struct.pack("=IHHII", 16 + len(request), 20, 5, seq, 0) + (b"" if capped else request)
    b = Builder()
    b.append(struct.pack("=i", -code) + echoed)
    flags = 0
    if words:
        b.string(1, words)
        flags |= NLM_F_ACK_TLVS
    return header(NLMSG_ERROR, flags | (NLM_F_CAPPED if capped else 0), seq, b.getvalue())


def three_requests(first_seq: int = 100) -> Batch:
    batch = Batch(first_seq)
    for payload in (b"aaaa", b"bbbb", b"cccc"):
        batch.begin(20, 0, payload == b"bbbb")
        batch.builder.append(payload)
        batch.end()
    return batch


def test_answers_find_their_requests_by_sequence_number() -> None:
    batch = three_requests()
    batch.take(refusal(102, errno.EEXIST, "taken") + header(20, 0, 101, b"reply"))
    assert not batch.done()
    batch.take(refusal(100, 0))
    assert batch.done()
    assert [batch.error(i) for i in range(3)] == [0, 0, errno.EEXIST]
    assert batch.reply(1) == b"reply"
    assert batch.detail(2) == "taken"


def test_requests_say_whether_they_want_an_acknowledgement_or_a_reply() -> None:
    sent = walk(three_requests().unanswered())
    assert [(m.type, m.flags, m.seq, m.payload()) for m in sent] == [
        (20, 5, 100, b"aaaa"),
        (20, 1, 101, b"bbbb"),
        (20, 5, 102, b"cccc"),
    ]


def test_a_quiet_request_is_answered_only_if_it_fails() -> None:
    batch = Batch(100)
    for _ in range(3):
        batch.begin(20, 0, False, True)
        batch.end()
    assert [m.flags for m in walk(batch.unanswered())] == [1, 1, 1]
    batch.take(refusal(101, errno.ENOENT))
    assert not batch.done()
    batch.settle()
    assert batch.done()
    assert [batch.error(i) for i in range(3)] == [0, errno.ENOENT, 0]


def test_only_what_was_not_answered_is_sent_again() -> None:
    batch = three_requests(0xFFFFFFFE)
    batch.take(header(20, 0, 0xFFFFFFFF, b"reply"))
    assert [m.payload() for m in walk(batch.unanswered())] == [b"aaaa", b"cccc"]
    assert [m.seq for m in walk(batch.unanswered())] == [0xFFFFFFFE, 0]
    batch.give_up(errno.ENOBUFS)
    assert [batch.error(i) for i in range(3)] == [errno.ENOBUFS, 0, errno.ENOBUFS]


def test_answers_to_somebody_else_are_ignored() -> None:
    batch = three_requests()
    batch.take(refusal(99, 5) + refusal(103, 5) + header(20, 0, 50, b""))
    assert [batch.error(i) for i in range(3)] == [UNANSWERED] * 3


def test_a_request_taken_back_leaves_no_trace() -> None:
    batch = three_requests()
    batch.begin(20, 0, False)
    batch.builder.append(b"dddd")
    batch.drop_last()
    assert len(walk(batch.unanswered())) == 3
    batch.begin(21, 0, False)
    batch.end()
    assert [m.type for m in walk(batch.unanswered())] == [20, 20, 20, 21]


def test_the_kernels_words_are_found_behind_a_whole_or_a_capped_request() -> None:
    for capped in (True, False):
        [m] = walk(refusal(1, errno.EINVAL, "no such thing", capped, b"12345"[:4]))
        assert error_of(m) == errno.EINVAL
        assert extended_ack(m) == "no such thing"


def test_an_error_number_out_of_range_is_a_protocol_error() -> None:
    [m] = walk(header(NLMSG_ERROR, 0, 1, struct.pack("=i", 5) + bytes(16)))
    assert error_of(m) == errno.EPROTO
    [m] = walk(header(NLMSG_ERROR, 0, 1, b""))
    assert error_of(m) == errno.EPROTO
    [m] = walk(header(NLMSG_DONE, 0, 1, b""))
    assert error_of(m) == 0


@given(st.binary(max_size=200))
def test_no_datagram_crashes_the_reader(data: bytes) -> None:
    for m in walk(data):
        error_of(m)
        extended_ack(m)
    three_requests().take(data)


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 20]), st.integers(0, 0xFFFF), st.binary(max_size=40))))
def test_no_answer_crashes_the_batch(messages: list[tuple[int, int, bytes]]) -> None:
    batch = three_requests()
    data = b"".join(header(t, f, 99 + i, p) for i, (t, f, p) in enumerate(messages))
    batch.take(data)
    for m in walk(data):
        extended_ack(m)
