"""Connections that come back: back-off, probes, states and log lines, in virtual time."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator

import pytest

from tests.vconn.peer import ECHO_REPLY, ECHO_REQUEST, FLOW_MOD, HELLO, Controller, message, turns
from vswitch.base import vlog
from vswitch.base.clock import Clock
from vswitch.openflow.wire.version import VERSIONS
from vswitch.vconn.poller import Poller
from vswitch.vconn.rconn import Rconn, State
from vswitch.vconn.tls import Tls

BACKOFF, CONNECTING, ACTIVE, IDLE, VOID = (
    State.BACKOFF, State.CONNECTING, State.ACTIVE, State.IDLE, State.VOID,
)  # fmt: skip


class Driven:
    """An `Rconn` and what turns it."""

    def __init__(self, probe: int = 5000, max_backoff: int = 8000) -> None:
        self.clock = Clock(virtual=True)
        self.clock.warp(100_000)
        self.poller = Poller()
        self.rconn = Rconn(
            "br0<->peer", self.poller, Tls(self.clock), lambda: None, lambda: None, versions=VERSIONS,
            probe_interval=probe, max_backoff=max_backoff,
        )  # fmt: skip

    def turn(self) -> list[bytes]:
        """One turn; what was received."""
        now = self.clock.now()
        self.rconn.run(now)
        got = []
        while (data := self.rconn.recv(now)) is not None:
            got.append(data)
        self.rconn.update_watch(True)
        time.sleep(0.0005)
        return got

    def until(self, *states: State) -> None:
        """Turn until it is in one of `states`, without time passing."""
        turns(self.turn, lambda: self.rconn.state in states)

    def sleep(self) -> int:
        """Let time pass until it has something to do; how many ms that were."""
        before = self.clock.now()
        self.clock.warp(max(self.rconn.deadline() - before, 0))
        return self.clock.now() - before

    def close(self) -> None:
        self.rconn.disconnect(self.clock.now())
        assert len(self.poller) == 0
        self.poller.close()


@pytest.fixture
def controller() -> Iterator[Controller]:
    c = Controller()
    yield c
    c.close()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What goes to the console."""
    state = vlog._state()
    out = io.StringIO()
    vlog.init("test", lambda: 0.0, out)
    vlog.set_pattern(vlog.Destination.CONSOLE, "%c|%p|%m")
    yield out
    vlog._restore(state)


@pytest.fixture
def driven() -> Iterator[Driven]:
    d = Driven()
    yield d
    d.close()


def test_pauses_double_up_to_the_limit_and_the_log_falls_silent(
    driven: Driven, controller: Controller, log: io.StringIO
) -> None:
    controller.close()
    driven.rconn.connect(controller.target, driven.clock.now())
    pauses = []
    for _ in range(6):
        driven.until(BACKOFF)
        pauses.append(driven.sleep())
        driven.turn()
    assert pauses == [1000, 2000, 4000, 8000, 8000, 8000]
    failed = "rconn|WARN|br0<->peer: connection failed (Connection refused)"
    # These are the lines of ovs-vswitchd 3.1 with a controller that refuses.
    assert log.getvalue().splitlines()[:12] == [
        "rconn|INFO|br0<->peer: connecting...",
        failed,
        "rconn|INFO|br0<->peer: waiting 1 seconds before reconnect",
        "rconn|INFO|br0<->peer: connecting...",
        failed,
        "rconn|INFO|br0<->peer: waiting 2 seconds before reconnect",
        "rconn|INFO|br0<->peer: connecting...",
        failed,
        "rconn|INFO|br0<->peer: waiting 4 seconds before reconnect",
        "rconn|INFO|br0<->peer: connecting...",
        failed,
        "rconn|INFO|br0<->peer: continuing to retry connections in the background but suppressing further "
        "logging",
    ]
    assert "connecting..." not in "".join(log.getvalue().splitlines()[12:])


def test_a_short_limit_of_the_pause(controller: Controller) -> None:
    driven = Driven(max_backoff=1000)
    controller.close()
    driven.rconn.connect(controller.target, driven.clock.now())
    pauses = []
    for _ in range(3):
        driven.until(BACKOFF)
        pauses.append(driven.sleep())
        driven.turn()
    assert pauses == [1000, 1000, 1000]
    driven.close()


def test_a_peer_that_accepts_and_says_nothing_times_out(
    driven: Driven, controller: Controller, log: io.StringIO
) -> None:
    driven.rconn.connect(controller.target, driven.clock.now())
    peer = controller.accept()
    driven.turn()
    assert driven.rconn.state is CONNECTING
    assert driven.sleep() == 1000
    driven.turn()
    assert driven.rconn.state is BACKOFF
    assert "rconn|INFO|br0<->peer: connection timed out\n" in log.getvalue()
    assert driven.rconn.last_disconnected == driven.clock.now()
    peer.close()


def test_connected_closed_and_connected_again(
    driven: Driven, controller: Controller, log: io.StringIO
) -> None:
    driven.rconn.connect(controller.target, driven.clock.now())
    peer = controller.accept().hello_later()
    driven.until(ACTIVE)
    peer.recv_kind(HELLO)
    assert driven.rconn.version == 4
    assert driven.rconn.n_connected == 1
    driven.clock.warp(60_000)
    driven.rconn.heard(driven.clock.now())
    peer.close()
    driven.until(BACKOFF)
    assert driven.sleep() == 1000, "it worked for a while, so that nothing is held against the peer"
    driven.turn()
    again = controller.accept().hello_later(6)
    driven.until(ACTIVE)
    assert driven.rconn.version == 6
    again.close()
    assert log.getvalue().splitlines() == [
        "rconn|INFO|br0<->peer: connecting...",
        "rconn|INFO|br0<->peer: connected",
        "rconn|INFO|br0<->peer: connection closed by peer",
        "rconn|INFO|br0<->peer: connecting...",
        "rconn|INFO|br0<->peer: connected",
    ]


def test_silence_brings_a_probe_and_no_answer_the_end(
    driven: Driven, controller: Controller, log: io.StringIO
) -> None:
    driven.rconn.connect(controller.target, driven.clock.now())
    peer = controller.accept().hello_later()
    driven.until(ACTIVE)
    peer.recv_kind(HELLO)
    assert driven.sleep() == 5000
    driven.turn()
    assert driven.rconn.state is IDLE
    probe = peer.recv_kind(ECHO_REQUEST)
    peer.send(message(4, ECHO_REPLY, xid=int.from_bytes(probe[4:8], "big")))
    driven.until(ACTIVE)
    assert driven.sleep() == 5000
    driven.turn()
    peer.recv_kind(ECHO_REQUEST)
    assert driven.sleep() == 5000
    driven.turn()
    assert driven.rconn.state is BACKOFF
    wanted = "rconn|ERR|br0<->peer: no response to inactivity probe after 5 seconds, disconnecting"
    assert wanted in log.getvalue().splitlines()
    assert peer.recv() is None


def test_without_probes_silence_may_last(controller: Controller) -> None:
    driven = Driven(probe=0)
    driven.rconn.connect(controller.target, driven.clock.now())
    peer = controller.accept().hello_later()
    driven.until(ACTIVE)
    driven.clock.warp(10_000_000)
    driven.turn()
    assert driven.rconn.state is ACTIVE
    peer.close()
    driven.close()


def test_what_arrives_is_activity(driven: Driven, controller: Controller) -> None:
    driven.rconn.connect(controller.target, driven.clock.now())
    peer = controller.accept().hello_later()
    driven.until(ACTIVE)
    driven.clock.warp(4000)
    peer.send(message(4, ECHO_REQUEST, b"hi"))
    got: list[bytes] = []
    turns(lambda: got.extend(driven.turn()), lambda: got)
    assert got == [message(4, ECHO_REQUEST, b"hi")]
    assert driven.sleep() == 5000


def test_a_controller_is_admitted_when_it_controls(driven: Driven, controller: Controller) -> None:
    driven.rconn.connect(controller.target, driven.clock.now())
    peer = controller.accept().hello_later()
    driven.until(ACTIVE)
    driven.clock.warp(2000)
    assert driven.rconn.failure_duration(driven.clock.now()) == 2000
    peer.send(message(4, ECHO_REQUEST))
    turns(driven.turn, lambda: not driven.rconn.has_input() and driven.sleep() == 5000)
    assert not driven.rconn.is_admitted
    peer.send(message(4, FLOW_MOD, bytes(48)))
    turns(driven.turn, lambda: driven.rconn.is_admitted)
    assert driven.rconn.failure_duration(driven.clock.now()) == 0


def test_a_bad_target_fails_like_a_refusal(driven: Driven) -> None:
    driven.rconn.connect("unix:/nosuch/socket", driven.clock.now())
    assert driven.rconn.state is BACKOFF
    assert driven.rconn.last_error == 2


def test_a_name_is_looked_up_without_waiting(driven: Driven, controller: Controller) -> None:
    driven.rconn.connect(f"tcp:localhost:{controller.port}", driven.clock.now())
    assert driven.rconn.state in (CONNECTING, BACKOFF)
    peer_side = controller.sock
    peer_side.settimeout(0.001)

    def accepted() -> bool:
        try:
            peers.append(controller.accept().hello_later())
        except TimeoutError:
            return False
        return True

    peers: list[object] = []
    turns(driven.turn, accepted)
    driven.until(ACTIVE)
    assert driven.rconn.is_connected


def test_a_name_that_leads_nowhere(driven: Driven) -> None:
    driven.rconn.connect("tcp:no.such.host.invalid:1", driven.clock.now())
    driven.until(BACKOFF)
    assert driven.rconn.last_error != 0


def test_disconnect_is_for_good(driven: Driven, controller: Controller) -> None:
    driven.rconn.connect(controller.target, driven.clock.now())
    peer = controller.accept().hello_later()
    driven.until(ACTIVE)
    driven.rconn.disconnect(driven.clock.now())
    driven.clock.warp(100_000)
    driven.turn()
    assert driven.rconn.state is VOID
    peer.recv_kind(HELLO)
    assert peer.recv() is None


def test_log_of_states(driven: Driven, controller: Controller, log: io.StringIO) -> None:
    vlog.set_levels("rconn", vlog.Destination.CONSOLE, vlog.Level.DBG)
    driven.rconn.connect(controller.target, driven.clock.now())
    peer = controller.accept().hello_later()
    driven.until(ACTIVE)
    driven.sleep()
    driven.turn()
    peer.close()
    driven.until(BACKOFF)
    entered = re.findall(r"rconn\|DBG\|br0<->peer: entering (\w+)", log.getvalue())
    assert entered == ["CONNECTING", "ACTIVE", "IDLE", "BACKOFF"]
    assert "rconn|DBG|br0<->peer: idle 5 seconds, sending inactivity probe" in log.getvalue()
