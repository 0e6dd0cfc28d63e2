"""How many packet-ins wait for a client that doesn't read is for the bridge's row to say."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.bridge.pair import Side

pytestmark = pytest.mark.system

FRAME = "020000000001020000000002" + "88b5" + "00" * 1400
N_PACKETS = 600


def _received(side: Side, size: int) -> int:
    """Of as many packet-ins as don't fit, those that come when the client reads at last."""
    side.vsctl(f"set bridge br0 other_config:controller-queue-size={size}")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{side.directory}/br0.mgmt")
        client.sendall(struct.pack(">BBHI", 1, 0, 8, 1) + struct.pack(">BBHIHH", 1, 9, 12, 2, 0, 65535)
                       + struct.pack(">BBHI", 1, 18, 8, 3))  # fmt: skip
        data = b""
        while struct.pack(">BBHI", 1, 19, 8, 3) not in data:
            data += client.recv(65536)
        for _ in range(N_PACKETS):
            side.appctl("netdev-dummy/receive", "p1", FRAME)
        client.settimeout(1)
        data = b""
        while True:
            try:
                data += client.recv(1 << 20)
            except TimeoutError:
                return data.count(bytes.fromhex(FRAME))


def test_a_client_that_does_not_read_keeps_as_many_as_the_bridge_says(ours: Side) -> None:
    ours.vsctl("add-br br0 -- set bridge br0 datapath_type=dummy -- add-port br0 p1")
    ours.run("ovs-ofctl", "add-flow", "br0", "actions=controller")
    few, many = _received(ours, 1), _received(ours, 100)
    assert few < many < N_PACKETS
    assert 90 <= many - few <= 110
