"""The packets of the written-out cases, received in earnest: the same datapath flows come of them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.oracle.compare import sorted_outputs
from tests.oracle.generator import random_setup
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
_IDS = re.compile(r"\b(recirc_id=|recirc\(0x|recirc_id\(0x)[0-9a-f]+")
_VLAN = re.compile(r"\bvlan\((?:vid=(\d+))?,?(?:pcp=(\d+))?")


def flows(text: str) -> list[str]:
    """The lines of `dpctl/dump-flows --names` without counters and ids, sorted."""
    lines = [line for line in text.splitlines() if line and not line.startswith("flow-dump from")]
    return sorted(flow(line) for line in lines)


def flow(line: str) -> str:
    """One of those lines; outputs sorted, as the real switch floods in no order."""
    line = _IDS.sub(r"\1N", _COUNTERS.sub("", line))
    key, _, actions = line.partition(", actions:")
    tag = _VLAN.search(key)
    tags = [f"vid={tag[1] or 0},pcp={tag[2] or 0}"] if tag else []
    return f"{key}, actions:{sorted_outputs(actions, tags)}"


def packet(query: Query) -> tuple[int, bytes] | None:
    """The port and the bytes of `query`'s packet; None if no packet can come in like that."""
    try:
        flow = parse_exact_flow(query.flow)
    except FlowSyntaxError:
        return None
    if query.packet and query.packet != "-generate":
        return flow.in_port, bytes.fromhex(query.packet)
    return flow.in_port, flow_compose(flow, DEFAULT_PAYLOAD)


def received(setup: Setup) -> Iterator[tuple[Query, str, str]]:
    """(query, port name, packet in hexadecimal) for what can be received in `setup`, each flow once."""
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
    switch.appctl("revalidator/purge")
    switch.appctl("netdev-dummy/receive", port, data)
    found: list[str] = []
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        found = flows(switch.dump_flows())
        # A packet that is recirculated makes a flow each time.
        if found and sum("recirc(" in f for f in found) == sum("recirc_id(0xN)" in f for f in found):
            break
        time.sleep(0.001)
    return found


def differences(real: RealSwitch, setup: Setup) -> str:
    """Where the datapath flows of `setup`'s packets differ, as text.

    Flows whose translation fails are left out: the real switch installs them and deletes them
    again as soon as it revalidates them, ours lets them drop.
    """
    real.configure(setup)
    ours = OurSwitch()
    wrong = []
    try:
        ours.configure(setup)
        for query, port, data in received(setup):
            if "Translation failed" in ours.trace(query):
                continue
            mine = after(ours, port, data)
            # Its threads sometimes bring back a flow of the packet before while they purge: then once more.
            theirs = next((f for _ in range(2) if (f := after(real, port, data)) == mine), None)
            theirs = after(real, port, data) if theirs is None else theirs
            if theirs != mine:
                wrong += [f"{port}: {query}", *(f"-{f}" for f in theirs), *(f"+{f}" for f in mine)]
    finally:
        ours.close()
    return "\n".join(wrong)


RECEIVED = [setup for setup in SETUPS if not setup.only_traces]


@pytest.mark.parametrize("setup", RECEIVED, ids=[setup.name for setup in RECEIVED])
def test_datapath_flows(real: RealSwitch, setup: Setup) -> None:
    found = differences(real, setup)
    assert not found, found


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_datapath_flows_of_random_tables(real: RealSwitch, first: int) -> None:
    found = [text for seed in range(first, first + 10) if (text := differences(real, random_setup(seed)))]
    assert not found, "\n".join(found)
