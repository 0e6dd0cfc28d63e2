"""The negotiation of the version: what goes over the wire, compared with the real switch's bytes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.oracle.real import RealSwitch
from tests.vconn.peer import ECHO_REPLY, ECHO_REQUEST, ERROR, FEATURES_REQUEST, HELLO, message
from tests.vconn.running import Running


def bitmap(*versions: int) -> bytes:
    """The element of a hello that lists versions."""
    return struct.pack("!HHI", 1, 8, sum(1 << v for v in versions))


END = message(0, 0xEE, xid=0xEEEEEEEE)


def exchange(path: str, data: bytes, half: bool = False) -> list[bytes]:
    """Connect, send `data`, and read until the peer is done with it: whole messages, without transaction
    id where the switch chose it; END if it closed the connection.

    An echo request marks the end, unless `half` a message is all that there is.
    """
    found: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        s.sendall(data + message(4, ECHO_REQUEST, xid=0xFFFFFFFE))
        if half:
            s.shutdown(socket.SHUT_WR)
        rest = b""
        while True:
            try:
                got = s.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                return [*found, END]
            rest += got
            while len(rest) >= 8 and len(rest) >= (n := int.from_bytes(rest[2:4], "big")):
                one, rest = rest[:n], rest[n:]
                if one[1] == HELLO:
                    one = one[:4] + bytes(4) + one[8:]
                if one[1] == ECHO_REPLY and one[4:8] == b"\xff\xff\xff\xfe":
                    return found
                found.append(one)


PROTOCOLS = {
    "all": (1, 2, 3, 4, 5, 6),
    "1.0": (1,),
    "1.2": (3,),
    "1.3": (4,),
    "1.0 and 1.3": (1, 4),
    "up to 1.2": (1, 2, 3),
    "1.4 and 1.5": (5, 6),
}

PEERS = {
    "1.0": message(1, HELLO),
    "1.1": message(2, HELLO),
    "1.3": message(4, HELLO),
    "1.5": message(6, HELLO),
    "a version to come": message(9, HELLO),
    "only 1.4, listed": message(5, HELLO, bitmap(5)),
    "1.1 and 1.4, listed": message(5, HELLO, bitmap(2, 5)),
    "listed without its own": message(6, HELLO, bitmap(4)),
    "an empty list": message(4, HELLO, bitmap()),
    "a list of no word": message(4, HELLO, b"\0\1\0\4"),
    "a list of two words": message(4, HELLO, struct.pack("!HHIIxxxx", 1, 12, 1 << 4, 0xFF000000)),
    "a list without its padding": message(4, HELLO, struct.pack("!HHII", 1, 12, 1 << 4, 0xFF000000)),
    "an unknown element": message(4, HELLO, b"\0\7\0\5\1\0\0\0"),
    "an element cut short": message(4, HELLO, b"\0\1\0"),
    "an element too short": message(4, HELLO, b"\0\1\0\3"),
    "version 0": message(0, HELLO),
    "no hello": message(4, ECHO_REQUEST),
    "features first": message(1, FEATURES_REQUEST),
    "a length below 8": message(4, HELLO, length=7),
    "a length of 0": message(4, HELLO, length=0),
}

AFTERWARDS = {
    "a length below 8": message(4, HELLO) + message(4, ECHO_REQUEST, length=7),
    "half a message": message(4, HELLO) + message(4, ECHO_REQUEST, length=2000),
    "another version": message(4, HELLO) + message(1, FEATURES_REQUEST, xid=8) + message(4, ECHO_REQUEST),
    "another version's echo": message(4, HELLO) + message(1, ECHO_REQUEST) + message(9, ECHO_REQUEST, b"x"),
    "another version's echo reply": message(4, HELLO) + message(1, ECHO_REPLY) + message(6, ECHO_REPLY, b"x"),
    "an error": message(4, HELLO) + message(4, ERROR, bytes(4)) + message(1, ERROR, bytes(4)),
    "another hello": message(4, HELLO) + message(4, HELLO) + message(1, HELLO),
    "an error of an unknown version": message(4, HELLO) + message(9, ERROR, bytes(4)),
    "an unknown version's request": message(4, HELLO) + message(9, FEATURES_REQUEST),
    "an echo reply": message(4, HELLO) + message(4, ECHO_REPLY),
    "the longest echo": message(4, HELLO) + message(4, ECHO_REQUEST, bytes(range(256)) * 255 + bytes(247)),
    "many at once": message(4, HELLO) + b"".join(message(4, ECHO_REQUEST, xid=n) for n in range(300)),
}


@pytest.fixture(scope="module")
def ours(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("ours"))
    try:
        yield running
    finally:
        running.close()


class Pair:
    """Both switches' br0."""

    def __init__(self, ours: Running, real: RealSwitch) -> None:
        self.ours = ours
        self.real = real

    def set_protocols(self, name: str) -> None:
        """Let both speak `PROTOCOLS[name]`."""
        versions = PROTOCOLS[name]
        self.ours.do(lambda: self.ours.bridge.controllers.set_protocols(versions))
        names = ",".join(f"OpenFlow1{v - 1}" for v in versions)
        self.real.run("ovs-vsctl", "set", "bridge", "negotiate", f"protocols={names}")

    def both(self, data: bytes, half: bool = False) -> tuple[list[bytes], list[bytes]]:
        """What our switch and the real one answer."""
        path = str(self.real.directory / "negotiate.mgmt")
        return exchange(self.ours.mgmt, data, half), exchange(path, data, half)


@pytest.fixture(scope="module")
def pair(ours: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    real = RealSwitch(tmp_path_factory.mktemp("real"))
    try:
        real.start()
        made = ("datapath_type=dummy", "fail_mode=secure")
        real.run("ovs-vsctl", "add-br", "negotiate", "--", "set", "bridge", "negotiate", *made)
        yield Pair(ours, real)
    finally:
        real.close()


@pytest.mark.system
@pytest.mark.parametrize("protocols", PROTOCOLS)
def test_hellos_and_refusals_are_the_real_ones(
    protocols: str, pair: Pair, require: Callable[..., None]
) -> None:
    require("command:ovs-vswitchd", "command:ovsdb-server")
    pair.set_protocols(protocols)
    different = {}
    for name, data in PEERS.items():
        ours, real = pair.both(data)
        assert ours, name
        if ours != real:
            different[name] = (ours, real)
    assert different == {}


@pytest.mark.system
@pytest.mark.parametrize("what", AFTERWARDS)
def test_after_the_negotiation(what: str, pair: Pair, require: Callable[..., None]) -> None:
    require("command:ovs-vswitchd", "command:ovsdb-server")
    pair.set_protocols("all")
    ours, real = pair.both(AFTERWARDS[what], what == "half a message")
    assert ours == real


def test_a_hello_in_pieces(ours: Running, tmp_path: Path) -> None:
    ours.do(lambda: ours.bridge.controllers.set_protocols(()))
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(ours.mgmt)
        for byte in message(4, HELLO) + message(4, ECHO_REQUEST, b"abc"):
            s.send(bytes((byte,)))
        got = b""
        while len(got) < 8 + 11:
            got += s.recv(100)
    assert got[8:] == message(4, ECHO_REPLY, b"abc")
