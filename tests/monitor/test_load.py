"""Fast timers and other ports' flows while one port is flooded with new flows or a protocol's packets.

A BFD session of three times 100 ms with the real switch does not flap, and nobody's packets starve.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.flood import FLOOD, FLOWS, RECEIVER, VICTIM
from tests.monitor.test_peers import Pair, column
from tests.stack import Stack, until
from tests.whole import ALL
from vswitch.cli.version import compiled_modules
from vswitch.l2 import bpdu, lacpdu
from vswitch.monitor import cfm_packet

pytestmark = pytest.mark.system

SECONDS = 3
STORM = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
s.setsockopt(263, 20, 1)  # PACKET_QDISC_BYPASS
frame = bytes.fromhex(sys.argv[2])
end = time.monotonic() + float(sys.argv[1])
n = 0
while time.monotonic() < end:
    for _ in range(64):
        n += 1
        s.send(frame)
print(n)
"""
SOURCE = 0x020000000001
STORMS = {
    "lacp": lacpdu.frame(
        lacpdu.LacpPdu(lacpdu.LacpInfo(1, SOURCE, 1, 1, 1, 0x3F), lacpdu.NOBODY), SOURCE
    ),
    "stp": bpdu.frame(
        bpdu.Bpdu(bpdu.CONFIG, root_id=SOURCE, bridge_id=SOURCE, port_id=0x8001, max_age=20_000,
                  hello_time=2000, forward_delay=15_000), SOURCE
    ),
    "cfm": cfm_packet.frame(cfm_packet.Ccm(1, 7, 4), False, SOURCE, 0, 0),
    "misses": None,
}  # fmt: skip
"""What host 1 sends without a pause: None for packets of new flows."""


SPEAKS = {
    "lacp": "set port h1 lacp=active",
    "stp": "clear port h1 lacp -- set bridge br0 stp_enable=true "
           "-- set port h2 other_config:stp-enable=false -- set port h3 other_config:stp-enable=false "
           "-- set port p other_config:stp-enable=false",
    "cfm": "clear port h1 lacp -- set bridge br0 stp_enable=false -- set interface h1 cfm_mpid=1",
    "misses": "clear port h1 lacp -- clear interface h1 cfm_mpid",
}  # fmt: skip
"""How the bridge comes to listen to it."""


def inside(stack: Stack, host: int, program: str, *args: object) -> subprocess.Popen[str]:
    """Run a Python program on a host."""
    command = ["ip", "netns", "exec", stack.hosts[host - 1], sys.executable, "-c", program, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def pair(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Ours and the real switch with a session between them, and three hosts of ours."""
    require("root", "netns", "packet-socket", "command:ovs-vswitchd", "command:ovs-vsctl")
    pair = Pair(tmp_path_factory.mktemp("load"), "netdev")
    try:
        pair.ours.start()
        real = pair.start_real()
        for number in (1, 2, 3):
            pair.ours.host(number)
            pair.ours.run("ovs-vsctl", "add-port", "br0", f"h{number}")
        for stack, device in ((pair.ours, "p"), (real, "q")):
            stack.run("ovs-vsctl", "set", "interface", device, "bfd:enable=true", "bfd:min_tx=100",
                      "bfd:min_rx=100", "bfd:mult=3")  # fmt: skip
        yield pair
    finally:
        pair.close()


def flaps(pair: Pair) -> list[str]:
    """What both ends have counted, the session being up."""
    assert pair.other is not None
    ends = ((pair.ours, "p"), (pair.other, "q"))
    status = [column(stack, device, "bfd_status") for stack, device in ends]
    return [s.partition('flap_count="')[2].partition('"')[0] for s in status if 'forwarding="true"' in s]


@pytest.mark.parametrize("kind", STORMS if ALL else ["lacp", "misses"])
def test_a_flooded_port_disturbs_no_other(pair: Pair, kind: str) -> None:
    ours = pair.ours
    ours.run("ovs-vsctl", *SPEAKS[kind].split())
    if kind == "misses":
        for flow in FLOWS:
            ours.run("ovs-ofctl", "add-flow", "br0", flow)
    until("both ends up", lambda: len(flaps(pair)) == 2)
    until("an answered ping", lambda: ours.pings(ours.hosts[1], "10.0.0.3", 1) == 1)
    rate = 25
    receiver = inside(ours, 3, RECEIVER, SECONDS + 2)
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "ready\n"
    packet = STORMS[kind]
    program = (FLOOD, SECONDS) if packet is None else (STORM, SECONDS, packet.hex())
    before = flaps(pair)
    flood = inside(ours, 1, *program)
    victim = inside(ours, 2, VICTIM, SECONDS * rate, rate)
    sent = int(flood.communicate(timeout=60)[0])
    assert victim.wait(60) == 0
    arrived = int(receiver.communicate(timeout=60)[0])
    print(f"{kind}: {sent / SECONDS:.0f} packets/s on one port; {arrived} of {SECONDS * rate} others' flows")
    assert sent / SECONDS > (20_000 if compiled_modules() else 5_000)
    assert arrived >= 0.98 * SECONDS * rate
    if compiled_modules():
        # Interpreted, a batch of misses takes longer than the session waits.
        assert flaps(pair) == before
