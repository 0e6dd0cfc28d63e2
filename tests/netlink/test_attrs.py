"""Netlink attributes: what is composed is found again, and no bytes crash the reader."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.netlink.attrs import AttrIndex, Builder, NlAttrError, attributes, parse, text, u64_at


def test_integers_have_their_width_byte_order_and_padding() -> None:
    b = Builder()
    b.u8(1, 0x12)
    b.u16(2, 0x1234)
    b.u32(3, 0xFFFFFFFE)
    b.u64(4, 0xFFFFFFFFFFFFFFFD)
    b.be16(5, 0x1234)
    b.be32(6, 0xFF000001)
    b.be64(7, -2)
    b.flag(8)
    expected = (
        struct.pack("=HHBxxx", 5, 1, 0x12)
        + struct.pack("=HHHxx", 6, 2, 0x1234)
        + struct.pack("=HHI", 8, 3, 0xFFFFFFFE)
        + struct.pack("=HHQ", 12, 4, 0xFFFFFFFFFFFFFFFD)
        + struct.pack("=HH", 6, 5)
        + b"\x12\x34\0\0"
        + struct.pack("=HH", 8, 6)
        + b"\xff\0\0\x01"
        + struct.pack("=HH", 12, 7)
        + b"\xff" * 7
        + b"\xfe"
        + struct.pack("=HH", 4, 8)
    )
    assert b.getvalue() == expected


def test_nested_attributes_and_messages_get_their_length() -> None:
    b = Builder()
    message = b.begin_message(20, 5, 0x80000001, 0xFFFFFFFF)
    b.genl_header(3, 1)
    b.append_u32(7)
    outer = b.begin(1 | 0x8000)
    inner = b.begin(2)
    b.string(3, "eth0")
    b.end(inner)
    b.end(outer)
    b.end_message(message)
    data = b.getvalue()
    assert struct.unpack("=IHHII", data[:16]) == (len(data), 20, 5, 0x80000001, 0xFFFFFFFF)
    assert data[16:20] == b"\x03\x01\0\0"
    [(outer_type, offset, length)] = attributes(data, 24)
    assert outer_type == 1
    inside = parse(data, offset, offset + length)
    assert text(parse(inside[2])[3]) == "eth0"


def test_a_payload_beyond_64_kb_is_refused() -> None:
    with pytest.raises(NlAttrError, match="65532 bytes"):
        Builder().raw(1, bytes(65532))
    b = Builder()
    nest = b.begin(1)
    b.raw(2, bytes(40000))
    b.raw(2, bytes(40000))
    with pytest.raises(NlAttrError, match="don't fit"):
        b.end(nest)


def test_the_last_of_a_repeated_type_counts() -> None:
    b = Builder()
    b.u32(1, 5)
    b.u32(60, 9)
    b.u32(1, 6)
    b.u32(100, 1)
    index = AttrIndex(62)
    data = b.getvalue()
    assert index.index(data, 0, len(data))
    assert index.u32(data, 1, 0) == 6
    assert index.u32(data, 60, 0) == 9
    assert index.u32(data, 2, 77) == 77
    assert index.repeated
    assert index.unknown == 1


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x03\0\1\0", "claims 3 bytes"),
        (b"\x09\0\1\0abcd", "claims 9 bytes of 8"),
        (b"\x04\0\1\0ab", "2 bytes left over"),
    ],
)
def test_malformed_attributes_are_named(data: bytes, complaint: str) -> None:
    with pytest.raises(NlAttrError, match=complaint):
        attributes(data)
    assert not AttrIndex(5).index(data, 0, len(data))


def test_reading_an_index_twice_leaves_nothing_behind() -> None:
    index = AttrIndex(8)
    b = Builder()
    b.u8(3, 200)
    data = b.getvalue()
    assert index.index(data, 0, len(data))
    assert index.u8(data, 3, 0) == 200
    assert index.index(b"", 0, 0)
    assert not index.has(3)
    assert index.payload(b"", 3) == b""


@given(st.lists(st.tuples(st.integers(0, 62), st.binary(max_size=70))))
def test_what_is_composed_is_found(attrs: list[tuple[int, bytes]]) -> None:
    b = Builder()
    for attr_type, payload in attrs:
        b.raw(attr_type, payload)
    data = b.getvalue()
    assert [(t, data[o : o + n]) for t, o, n in attributes(data)] == attrs
    index = AttrIndex(62)
    assert index.index(data, 0, len(data))
    for attr_type, payload in dict(attrs).items():
        assert index.payload(data, attr_type) == payload


@given(st.integers(0, 2**64 - 1))
def test_64_bit_integers_go_both_ways(value: int) -> None:
    b = Builder()
    b.u64(1, value)
    assert u64_at(b.getvalue(), 4) == value


@given(st.binary(max_size=300), st.integers(-5, 310), st.integers(-5, 310))
def test_no_bytes_crash_the_reader(data: bytes, start: int, end: int) -> None:
    index = AttrIndex(62)
    index.index(data, start, end)
    for attr_type in range(63):
        index.u8(data, attr_type, 0)
        index.u16(data, attr_type, 0)
        index.u32(data, attr_type, 0)
        index.s64(data, attr_type, 0)
        index.payload(data, attr_type)
    try:
        attributes(data, start, end)
    except NlAttrError:
        pass
