"""The packets of the written-out cases, received in earnest: the same datapath flows come of them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.oracle.ours import OurSwitch
from tests.oracle.real import RealSwitch
from tests.oracle.setup import Query, Setup
from tests.oracle.test_cases import SETUPS
from vswitch.flow.compose import DEFAULT_PAYLOAD, flow_compose
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.flow.match_text import parse_exact_flow
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.packet.parse import Parser

_COUNTERS = re.compile(r", packets:\d+, bytes:\d+, used:[^,]*(, flags:[^,]*)?")
_IDS = re.compile(r"\b(recirc_id=|recirc\(0x)[0-9a-f]+")


def flows(text: str) -> list[str]:
    """The lines of `dpctl/dump-flows --names` without counters and ids, sorted."""
    lines = [line for line in text.splitlines() if line and not line.startswith("flow-dump from")]
    return sorted(_IDS.sub(r"\1N", _COUNTERS.sub("", line)) for line in lines)


def packet(query: Query) -> tuple[int, bytes] | None:
    """The port and the bytes of `query`'s packet; None if no packet can come in like that."""
    try:
        flow = parse_exact_flow(query.flow)
    except FlowSyntaxError:
        return None
    if query.packet:
        return flow.in_port, bytes.fromhex(query.packet)
    return flow.in_port, flow_compose(flow, DEFAULT_PAYLOAD)


def received(setup: Setup) -> Iterator[tuple[Query, str, str]]:
    """(query, port name, packet in hexadecimal) for what can be received in `setup`.

    Each flow once: when `dpctl/del-flows` takes a flow from under the real switch's feet, it
    doesn't install the same one again for some time.
    """
    ports = setup.bridges[0].ports
    seen: set[bytes] = set()
    for query in setup.queries:
        found = packet(query)
        if found is None or not 1 <= found[0] <= len(ports) or len(found[1]) < 14:
            continue
        port = ports[found[0] - 1]
        flow = Flow()
        flow.in_port = found[0]
        extract(found[1], flow, Parser())
        if "peer" not in port.settings and flow.key() not in seen:
            seen.add(flow.key())
            yield query, port.name, found[1].hex()


def after(switch: RealSwitch | OurSwitch, port: str, data: str) -> list[str]:
    """The datapath flows once a packet has come in by `port`."""
    switch.appctl("dpctl/del-flows")
    switch.appctl("netdev-dummy/receive", port, data)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        found = flows(switch.dump_flows())
        if found:
            return found
        time.sleep(0.001)
    return []


@pytest.mark.parametrize("setup", SETUPS, ids=[setup.name for setup in SETUPS])
def test_datapath_flows(real: RealSwitch, setup: Setup) -> None:
    real.configure(setup)
    ours = OurSwitch()
    try:
        ours.configure(setup)
        wrong = []
        for query, port, data in received(setup):
            theirs, mine = after(real, port, data), after(ours, port, data)
            if theirs != mine:
                wrong += [f"{port}: {query}", *(f"-{f}" for f in theirs), *(f"+{f}" for f in mine)]
        assert not wrong, "\n".join(wrong)
    finally:
        ours.close()
