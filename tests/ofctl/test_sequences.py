"""Random sequences of mods and packets: the real switch and ours end in the same state and say the same.

Both get the same bytes over their management sockets. What is compared: the errors, the flows with their
counters, the groups and meters with theirs, and what traces say.
"""

from __future__ import annotations

import re
import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.ofctl.scenario import prepare
from tests.ofctl.sequences import TRACES, Sequences
from tests.oracle.real import OracleError, RealSwitch
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m
from vswitch.openflow.messages import session
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.framing import Framing

pytestmark = pytest.mark.system

N_SEQUENCES = 1000
# Wire version -> how many sequences of the thousand.
SHARE = {1: 200, 2: 100, 3: 100, 4: 300, 5: 100, 6: 500}


class Controller:
    """A connection to a bridge's management socket, in one OpenFlow version, waiting for its answers."""

    def __init__(self, path: str, version: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.version = version
        self.framing = Framing()
        self.waiting: list[bytes] = []
        self.socket.sendall(encode(session.Hello(1 << version), version, 0))
        assert isinstance(decode(self._next()).body, session.Hello)

    def _next(self) -> bytes:
        while not self.waiting:
            data = self.socket.recv(1 << 16)
            assert data, "the switch closed the connection"
            self.waiting += self.framing.feed(data)
        return self.waiting.pop(0)

    def ask(self, bodies: list[Any]) -> list[tuple[int, Any]]:
        """Send `bodies`, then a barrier; (number from 1, body) of what comes before its reply."""
        requests = [encode(body, self.version, xid) for xid, body in enumerate(bodies, 1)]
        requests.append(encode(session.BarrierRequest(), self.version, 0xFFFF))
        self.socket.sendall(b"".join(requests))
        replies: list[tuple[int, Any]] = []
        while True:
            message = decode(self._next())
            if isinstance(message.body, session.EchoRequest):
                self.socket.sendall(encode(session.EchoReply(message.body.data), self.version, message.xid))
            elif isinstance(message.body, session.BarrierReply):
                return replies
            elif message.xid:
                replies.append((message.xid, message.body))

    def close(self) -> None:
        self.socket.close()


def empty(version: int) -> list[Any]:
    """Requests that leave no flow, group and meter."""
    found: list[Any] = [FlowMod(command=FlowModCommand.DELETE)]
    if version == 2:  # which has no word for every table
        found = [FlowMod(command=FlowModCommand.DELETE, table_id=table) for table in (0, 1, 2)]
    if version >= 2:
        found.append(g.GroupMod(g.OFPGC_DELETE, g.OFPGT_ALL, g.OFPG_ALL))
    if version >= 4:
        found.append(m.MeterMod(m.OFPMC_DELETE, m.MeterConfig(m.OFPM_ALL)))
    return found


def state(controller: Controller) -> list[str]:
    """Everything that the switch holds, as sorted text without times."""
    requests: list[Any] = [f.FlowStatsRequest(), f.AggregateStatsRequest()]
    if controller.version >= 2:
        requests += [g.GroupDescRequest(), g.GroupStatsRequest()]
    if controller.version >= 4:
        requests += [m.MeterConfigRequest(), m.MeterStatsRequest()]
    lines: list[str] = []
    for _, body in controller.ask(requests):
        if isinstance(body, f.FlowStatsReply):
            lines += [
                str(replace(flow, duration_sec=0, duration_nsec=0, idle_age=None, hard_age=None))
                for flow in body.flows
            ]
        elif isinstance(body, g.GroupStatsReply):
            lines += [str(replace(group, duration_sec=0, duration_nsec=0)) for group in body.groups]
        elif isinstance(body, g.GroupDescReply):
            lines += map(str, body.groups)
        elif isinstance(body, m.MeterStatsReply):
            lines += [str(replace(meter, duration_sec=0, duration_nsec=0)) for meter in body.meters]
        elif isinstance(body, m.MeterConfigReply):
            lines += map(str, body.meters)
        else:
            lines.append(str(body))
    return sorted(lines)


def trace(switch: RealSwitch, flow: str) -> str:
    try:
        said = switch.appctl("ofproto/trace", "br0", flow)
        # Numbers that a switch chooses.
        return re.sub(r"(recirc_id=|recirc_id\(|recirc\(|meter\()(?!0,eth)(0x)?[0-9a-f]+", r"\1N", said)
    except OracleError as error:
        return f"error: {error}"


def traces(bridges: tuple[RealSwitch, RealSwitch]) -> list[list[str]]:
    """What each switch says of the packets of `TRACES`.

    The real one looks at rules that are gone until its threads let go of them, and then its megaflows have
    bits more: a difference counts if it stays.
    """
    end = time.monotonic() + 3
    while True:
        theirs, ours = ([trace(switch, flow) for flow in TRACES] for switch in bridges)
        if theirs == ours or time.monotonic() > end:
            return [theirs, ours]
        time.sleep(0.02)


@pytest.fixture(scope="module")
def bridges(switches: tuple[RealSwitch, RealSwitch]) -> tuple[RealSwitch, RealSwitch]:
    for switch in switches:
        prepare(switch)
    return switches


def differences(
    bridges: tuple[RealSwitch, RealSwitch], version: int, sequences: list[list[Any]]
) -> list[str]:
    """Where the two switches part, each with the sequence that led there."""
    both = [Controller(f"{switch.directory}/br0.mgmt", version) for switch in bridges]
    found: list[str] = []
    try:
        for number, sequence in enumerate(sequences):
            said = [controller.ask([*empty(version), *sequence]) for controller in both]
            told = [[(xid, getattr(body, "name", str(body))) for xid, body in replies] for replies in said]
            held = [state(controller) for controller in both]
            traced = traces(bridges)
            for what, (theirs, ours) in (("errors", told), ("state", held), ("traces", traced)):
                if theirs != ours:
                    apart = [(a, b) for a, b in zip(theirs, ours, strict=False) if a != b]
                    first = apart[0] if apart else (theirs[len(ours) :], ours[len(theirs) :])
                    steps = "\n  ".join(map(str, sequence))
                    found.append(
                        f"sequence {number}: {what}\ntheirs: {first[0]}\nours:   {first[1]}\n  {steps}"
                    )
                    break
    finally:
        for controller in both:
            controller.close()
    return found


@pytest.mark.parametrize("version", SHARE)
def test_random_sequences_end_alike(bridges: tuple[RealSwitch, RealSwitch], version: int) -> None:
    stream = Sequences(version, version)
    sequences = [stream.sequence() for _ in range(SHARE[version])]
    differ = differences(bridges, version, sequences)
    assert not differ, f"{len(differ)} of {len(sequences)} sequences differ; the first:\n{differ[0]}"


def test_there_are_a_thousand() -> None:
    assert sum(SHARE.values()) >= N_SEQUENCES
