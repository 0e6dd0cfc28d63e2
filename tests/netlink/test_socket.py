"""Netlink sockets against the running kernel: its Generic Netlink controller, its routes."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from vswitch.netlink.attrs import Builder, NlAttrError
from vswitch.netlink.errors import NlError
from vswitch.netlink.genl import (
    CTRL_ATTR_FAMILY_NAME,
    CTRL_CMD_GETFAMILY,
    GENL_ID_CTRL,
    lookup_family,
    lookup_group,
    parse_family,
)
from vswitch.netlink.message import NLMSG_DONE
from vswitch.netlink.socket import NETLINK_GENERIC, NlSocket, SocketPool, collect

GET_FAMILIES = b"\x03\x01\0\0"


@pytest.fixture
def sock() -> Iterator[NlSocket]:
    sock = NlSocket(NETLINK_GENERIC)
    yield sock
    sock.close()


def test_every_socket_has_its_own_pid(sock: NlSocket) -> None:
    other = NlSocket(NETLINK_GENERIC)
    assert 0 != sock.pid != other.pid != 0
    other.close()
    other.close()
    assert other.fileno() == -1


def test_a_family_is_found_by_name_with_its_groups(sock: NlSocket) -> None:
    family = lookup_family("nlctrl", sock)
    assert (family.id, family.name) == (GENL_ID_CTRL, "nlctrl")
    assert lookup_group("nlctrl", "notify") == family.groups["notify"]


def test_a_missing_family_or_group_is_enoent() -> None:
    with pytest.raises(NlError, match="look up family no_such_family: No such file or directory") as e:
        lookup_family("no_such_family")
    assert e.value.errno == errno.ENOENT
    with pytest.raises(NlError, match="multicast group nope of family nlctrl"):
        lookup_group("nlctrl", "nope")


def test_a_dump_ends_and_lists_what_requests_find(sock: NlSocket) -> None:
    messages, interrupted = collect(sock.dump(GENL_ID_CTRL, GET_FAMILIES, "dump families"))
    assert not interrupted
    names = [parse_family(m.payload()).name for m in messages]
    assert "nlctrl" in names
    assert len(names) == len(sock.dump_all(GENL_ID_CTRL, GET_FAMILIES, "dump families"))


def test_errors_in_a_batch_are_told_apart(sock: NlSocket) -> None:
    batch = sock.new_batch()
    for name in ("nlctrl", "no_such_family", "nlctrl"):
        batch.begin(GENL_ID_CTRL, 0, True)
        batch.builder.genl_header(CTRL_CMD_GETFAMILY, 1)
        batch.builder.string(CTRL_ATTR_FAMILY_NAME, name)
        batch.end()
    sock.transact_multiple(batch)
    assert [batch.error(i) for i in range(3)] == [0, errno.ENOENT, 0]
    assert parse_family(batch.reply(2)).name == "nlctrl"


def test_the_kernels_words_are_in_the_error(sock: NlSocket) -> None:
    b = Builder()
    b.genl_header(CTRL_CMD_GETFAMILY, 1)
    b.raw(CTRL_ATTR_FAMILY_NAME, b"x" * 40)
    with pytest.raises(NlError) as e:
        sock.transact(GENL_ID_CTRL, 0, b.getvalue(), "ask nonsense")
    assert "ask nonsense" in str(e.value)
    assert e.value.detail


def test_a_lost_answer_is_asked_for_again() -> None:
    sock = NlSocket(NETLINK_GENERIC, rcvbuf=1)
    batch = sock.new_batch()
    for _ in range(200):
        batch.begin(GENL_ID_CTRL, 0, True)
        batch.builder.genl_header(CTRL_CMD_GETFAMILY, 1)
        batch.builder.string(CTRL_ATTR_FAMILY_NAME, "nlctrl")
        batch.end()
    sock.transact_multiple(batch)
    errors = [batch.error(i) for i in range(200)]
    assert 0 in errors
    assert set(errors) <= {0, errno.ENOBUFS}
    assert sock.drain() == 0
    sock.close()


def test_a_broken_off_dump_costs_its_socket_only() -> None:
    pool = SocketPool(NETLINK_GENERIC)
    sock = pool.take()
    parts = sock.dump(GENL_ID_CTRL, GET_FAMILIES, "dump families")
    next(parts)
    parts.close()
    pool.give(sock, clean=False)
    assert sock.fileno() == -1
    again = pool.take()
    pool.give(again)
    assert pool.take() is again
    again.close()


def test_a_family_without_a_number_is_refused() -> None:
    with pytest.raises(NlAttrError, match="without a number"):
        parse_family(b"\0\0\0\0")
    assert NLMSG_DONE == 3
