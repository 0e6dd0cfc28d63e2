"""Clients that flood, stall, lie or come by the thousand: nothing leaks, and nobody else waits."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vconn.peer import ECHO_REPLY, ECHO_REQUEST, FLOW_MOD, HELLO, Controller, Peer, message
from tests.vconn.running import Running
from vswitch.base.clock import Clock
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.ofproto.handlers import HANDLERS
from vswitch.ofproto.ofconn import MAX_REPLIES, OfConn, async_dropped
from vswitch.openflow.constants import OFPR_ACTION
from vswitch.openflow.messages.packet import PacketIn
from vswitch.openflow.messages.session import EchoRequest
from vswitch.openflow.wire.codec import Message
from vswitch.vconn.connection import MESSAGES_PER_RUN
from vswitch.vconn.settings import ControllerSettings
from vswitch.vconn.vconn import vconn_open


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("vconn"), ("p1",))
    try:
        yield running
    finally:
        running.close()


def clients(switch: Running) -> int:
    """How many connections there are."""
    return len(switch.bridge.connmgr.conns)


def resident_kb() -> int:
    with open("/proc/self/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


def test_ten_thousand_connects_in_a_row(switch: Running) -> None:
    """Some say hello, some half of one, some nothing, some what is no OpenFlow."""
    manners = (
        message(4, HELLO),
        message(4, HELLO) + message(4, ECHO_REQUEST, b"x"),
        b"",
        message(4, HELLO)[:5],
        message(6, HELLO) + message(6, ECHO_REQUEST, length=60000),
        message(0, HELLO),
        b"GET / HTTP/1.1\r\n\r\n",
        message(4, ECHO_REQUEST),
    )

    def come_and_go(n: int) -> None:
        for i in range(n):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(switch.mgmt)
                s.send(manners[i % len(manners)] or b"\0")

    def all_gone() -> bool:
        service = next(iter(switch.bridge.controllers._services.values()))
        return not service.connections and not clients(switch)

    came = vconn_open.total

    def settled(n: int) -> Callable[[], bool]:
        """N were accepted and are gone: the last one may still wait in the socket's queue."""
        return lambda: vconn_open.total == came + n and all_gone()

    come_and_go(1000)
    switch.until(settled(1000))
    fds, kb = descriptors(), resident_kb()
    come_and_go(9000)
    switch.until(settled(10_000))
    assert descriptors() <= fds, "earlier tests of this process may have left some to close"
    assert resident_kb() - kb < 4000
    assert Peer.unix(switch.mgmt).hello().echo(b"still here")[8:] == b"still here"


def test_a_flood_of_echo_requests_does_not_stall_another(switch: Running) -> None:
    flood = Peer.unix(switch.mgmt).hello()
    flood.sock.setblocking(False)
    many = message(4, ECHO_REQUEST, bytes(100)) * 1000
    other = Peer.unix(switch.mgmt).hello()
    taken = 0
    for n in range(50):
        try:
            taken += flood.sock.send(many)
        except BlockingIOError:
            pass
        assert other.echo(str(n).encode())[8:] == str(n).encode()
    assert taken > 0
    flood.close()
    other.close()


def test_one_connection_is_served_a_bounded_number_a_turn(
    switch: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Peer.unix(switch.mgmt).hello()
    peer.echo()
    handle = HANDLERS[EchoRequest]
    seen: list[int] = []

    def counting(*args: Any) -> Any:
        seen.append(switch.turns)
        return handle(*args)

    monkeypatch.setitem(HANDLERS, EchoRequest, counting)
    peer.send(*[message(4, ECHO_REQUEST)] * 500)
    switch.until(lambda: len(seen) == 500)
    assert max(seen.count(turn) for turn in set(seen)) <= MESSAGES_PER_RUN
    peer.close()


def stubborn_client(switch: Running, request: bytes) -> tuple[Peer, int]:
    """A client that asks until the switch takes no more, and reads no answer; how many bytes it sent."""
    peer = Peer.unix(switch.mgmt).hello()
    peer.sock.setblocking(False)
    sent = 0
    rest = b""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        rest = rest or request * 20
        try:
            n = peer.sock.send(rest)
        except BlockingIOError:
            queued = switch.do(lambda: [c.peer.queued() for c in switch.bridge.connmgr.conns])
            if max(queued, default=0) >= MAX_REPLIES:
                return peer, sent
        else:
            rest = rest[n:]
            sent += n
    raise AssertionError("the switch goes on reading")


def test_a_client_that_never_reads_is_not_read_from(switch: Running) -> None:
    """Its requests stay in its own socket; others are served, and it may read later."""
    request = message(4, ECHO_REQUEST, bytes(2000))
    stubborn, sent = stubborn_client(switch, request)
    conn = switch.do(lambda: switch.bridge.connmgr.conns[0])
    queued = switch.do(lambda: conn.peer.queued())
    assert MAX_REPLIES <= queued <= MAX_REPLIES + MESSAGES_PER_RUN
    turns = switch.turns
    other = Peer.unix(switch.mgmt).hello()
    assert other.echo(b"me too")[8:] == b"me too"
    assert switch.turns - turns < 1000, "nothing spins meanwhile"
    # Now it reads after all: every request that went in has its answer.
    stubborn.sock.settimeout(10)
    for _ in range(sent // len(request)):
        assert stubborn.recv_kind(ECHO_REPLY)[8:] == bytes(2000)
    stubborn.close()
    other.close()


def test_a_client_that_goes_while_replies_wait(switch: Running) -> None:
    peer, _sent = stubborn_client(switch, message(4, ECHO_REQUEST, bytes(2000)))
    peer.close()
    switch.until(lambda: clients(switch) == 0)
    assert Peer.unix(switch.mgmt).hello().echo(b"?")[8:] == b"?"


def test_half_a_message_costs_only_its_sender(switch: Running) -> None:
    half = Peer.unix(switch.mgmt).hello()
    half.send(message(4, FLOW_MOD, bytes(30), length=48))
    other = Peer.unix(switch.mgmt).hello()
    assert other.echo(b"1")[8:] == b"1"
    half.close()
    switch.until(lambda: clients(switch) == 1)
    assert other.echo(b"2")[8:] == b"2"
    assert switch.do(lambda: len(list(switch.bridge.tables.rules()))) == 0
    other.close()


def test_the_longest_message_goes_both_ways(switch: Running) -> None:
    peer = Peer.unix(switch.mgmt).hello()
    body = os.urandom(0xFFFF - 8)
    assert peer.echo(body)[8:] == body
    peer.close()


def test_a_client_that_stays_silent_in_the_negotiation_is_thrown_out(tmp_path: Path) -> None:
    clock = Clock(virtual=True)
    clock.warp(100_000)
    switch = Running(tmp_path, clock=clock)
    try:
        peer = Peer.unix(switch.mgmt)
        peer.recv_kind(HELLO)
        clock.warp(11_000)
        switch.do(lambda: None)
        assert peer.recv() is None
    finally:
        switch.close()


def test_a_handler_that_breaks_costs_its_connection_only(
    switch: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Peer.unix(switch.mgmt).hello()
    good = Peer.unix(switch.mgmt).hello()
    good.echo()
    handle = HANDLERS[EchoRequest]

    def broken(ofconn: OfConn, asked: Message, *rest: Any) -> Any:
        if asked.body == EchoRequest(b"boom"):
            raise ZeroDivisionError("broken on purpose")
        return handle(ofconn, asked, *rest)

    monkeypatch.setitem(HANDLERS, EchoRequest, broken)
    bad.send(message(4, ECHO_REQUEST, b"boom"))
    assert bad.recv() is None
    assert good.echo(b"fine")[8:] == b"fine"
    good.close()


def test_packets_for_a_controller_that_does_not_read_are_dropped_and_counted(switch: Running) -> None:
    controller, other = Controller(), Controller()
    settings = [ControllerSettings(c.target, in_band=False) for c in (controller, other)]
    switch.do(lambda: switch.bridge.controllers.set_controllers(settings))
    deaf = controller.accept().hello()
    alert = other.accept().hello()
    switch.until(lambda: clients(switch) == 2)
    before = async_dropped.total
    metadata = Match()
    metadata.set(by_name("in_port"), 1)
    pin = PacketIn(bytes(1400), 1400, OFPR_ACTION, metadata)

    def packets() -> None:
        for _ in range(50):
            switch.bridge.connmgr.send_packet_in(pin, 0xFFFF, 0, switch.clock.now())

    got = 0
    for _ in range(400):
        switch.do(packets)
        for _ in range(50):
            alert.recv_kind(10)
            got += 1
        if async_dropped.total > before:
            break
    assert async_dropped.total > before, "the deaf one's queue is bounded"
    assert got >= 50, "the other one has got all of them"
    deaf.close()
    alert.close()
    controller.close()
    other.close()


def test_idle_connections_cost_nothing(switch: Running) -> None:
    peers = [Peer.unix(switch.mgmt).hello() for _ in range(20)]
    for peer in peers:
        peer.echo()
    turn = switch.turns
    time.sleep(0.5)
    assert switch.turns - turn <= 10, "the loop sleeps"
    for peer in peers:
        peer.close()
