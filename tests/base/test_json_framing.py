"""JSON texts out of a byte stream."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.base.json_framing import MAX_DEPTH, MAX_MESSAGE, FramingError, JsonFramer

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
messages = st.lists(json_values, max_size=3) | st.dictionaries(st.text(), json_values, max_size=4)


@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 30), min_size=1), st.booleans(), st.booleans())
def test_any_cut_of_any_messages_gives_them_back(
    values: list[Any], cuts: list[int], ascii_only: bool, spaced: bool
) -> None:
    sep = " \n" if spaced else ""
    data = sep.join(json.dumps(v, ensure_ascii=ascii_only) for v in values).encode()
    framer = JsonFramer()
    got: list[Any] = []
    n = 0
    while data:
        size = cuts[n % len(cuts)]
        got += framer.feed(data[:size])
        data = data[size:]
        n += 1
    assert got == values


def test_a_cut_after_a_backslash_leaves_nothing_to_the_next_message() -> None:
    values = [["\\", '"'], {"\n": []}, [""], {"": "\\"}, [""]]
    data = "".join(json.dumps(v) for v in values).encode()
    for first in range(len(data)):
        for second in range(first, len(data)):
            framer = JsonFramer()
            cut = (data[:first], data[first:second], data[second:])
            assert [v for part in cut for v in framer.feed(part)] == values, cut


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_crash_it(chunks: list[bytes]) -> None:
    framer = JsonFramer()
    try:
        for chunk in chunks:
            framer.feed(chunk)
    except FramingError:
        pass


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"hello", "starts with b'hello'"),
        (b"{]", "bad JSON"),
        (b'{"a":}', "bad JSON"),
        (b"]", "starts with"),
        (b'{"\xff":1}', "bad JSON"),
        (b"[" * (MAX_DEPTH + 1), "nested deeper"),
        (b'["' + b"x" * MAX_MESSAGE, "longer than"),
    ],
)
def test_what_is_no_json_is_told(data: bytes, error: str) -> None:
    with pytest.raises(FramingError, match=error):
        JsonFramer().feed(data)


def test_brackets_and_escapes_inside_strings_are_text() -> None:
    assert JsonFramer().feed(rb'["}\"]{", "\\"]{}') == [['}"]{', "\\"], {}]
