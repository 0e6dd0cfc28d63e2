"""Where connections go, as text."""

from __future__ import annotations

import os

import pytest

from vswitch.vconn.address import Address, AddressError, parse_active, parse_passive
from vswitch.vconn.poller import READ, WRITE, Poller
from vswitch.vconn.retval import EOF, retval_to_string
from vswitch.vconn.settings import ControllerSettings
from vswitch.vconn.vconn import describe_versions


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("tcp:192.0.2.1", Address("tcp", "192.0.2.1", 6653)),
        ("tcp:192.0.2.1:6633", Address("tcp", "192.0.2.1", 6633)),
        ("ssl:[2001:db8::1]", Address("ssl", "2001:db8::1", 6653)),
        ("ssl:[2001:db8::1]:1", Address("ssl", "2001:db8::1", 1)),
        ("tcp:controller.example:7", Address("tcp", "controller.example", 7)),
        ("unix:/run/x:y", Address("unix", "/run/x:y")),
    ],
)
def test_active_targets(target: str, address: Address) -> None:
    assert parse_active(target) == address
    assert parse_active(str(address)) == address


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("ptcp:", Address("tcp", "0.0.0.0", 6653)),
        ("ptcp:0", Address("tcp", "0.0.0.0", 0)),
        ("ptcp:6633:127.0.0.1", Address("tcp", "127.0.0.1", 6633)),
        ("pssl::[::1]", Address("ssl", "::1", 6653)),
        ("punix:/run/br0.mgmt", Address("unix", "/run/br0.mgmt")),
    ],
)
def test_passive_targets(target: str, address: Address) -> None:
    assert parse_passive(target) == address


@pytest.mark.parametrize(
    "target",
    ["", "tcp", "tcp:", "unix:", "tcp:::1", "tcp:1.2.3.4:99999", "tcp:1.2.3.4:x", "ptcp:1", "udp:1.2.3.4",
     "tcp:[::1", "br0"],
)  # fmt: skip
def test_targets_that_lead_nowhere(target: str) -> None:
    with pytest.raises(AddressError):
        parse_active(target)


@pytest.mark.parametrize(
    "target", ["", "ptcp", "ptcp:x", "ptcp:1:host.example", "punix:", "tcp:1", "ptcp:70000"]
)
def test_targets_that_nobody_listens_on(target: str) -> None:
    with pytest.raises(AddressError):
        parse_passive(target)


def test_kinds_of_controllers() -> None:
    assert ControllerSettings("tcp:192.0.2.1").conn_kind.value == "primary"
    assert ControllerSettings("ptcp:").conn_kind.value == "service"
    assert not ControllerSettings("bad:xx").supported


def test_how_an_end_is_told() -> None:
    assert [retval_to_string(n) for n in (0, EOF, 71)] == ["", "End of file", "Protocol error"]


def test_versions_in_words() -> None:
    assert describe_versions(0b10) == "version 0x01"
    assert describe_versions(0b11110) == "version 0x04 and earlier"
    assert describe_versions(0b10010) == "versions 0x01, 0x04"


def test_the_poller_tells_owners_and_rings() -> None:
    class Owner:
        told = 0

        def ready(self) -> None:
            self.told += 1

    poller = Poller()
    assert poller.fds() == [], "nothing is open while nothing is watched"
    poller.poll()
    r, w = os.pipe()
    reader, writer = Owner(), Owner()
    poller.watch(r, READ, reader)
    poller.watch(w, WRITE, writer)
    poller.poll()
    assert (reader.told, writer.told) == (0, 1)
    os.write(w, b"x")
    poller.forget(w)
    poller.forget(w)
    poller.ring()
    poller.ring()
    poller.poll()
    assert (reader.told, writer.told) == (1, 1)
    poller.in_turn = True
    poller.ring()
    assert len(poller) == 1
    poller.close()
    poller.close()
    os.close(r)
    os.close(w)
