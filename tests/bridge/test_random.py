"""Random configurations, changed at random: the real switch's database and ours stay the same.

Every port asks for an OpenFlow number of its own, since those that nobody asks for depend on an order
that is the real one's secret.
"""

from __future__ import annotations

import random
import time

import pytest

from tests.bridge.pair import Side
from tests.bridge.test_compare import _comparable, _differences, _without_uuids

pytestmark = pytest.mark.system

SEEDS = range(4)
STEPS = 15
BRIDGES = ("br0", "br1")
PORTS = tuple(f"p{n}" for n in range(6))


def _step(rng: random.Random) -> str:
    """One ovs-vsctl command line."""
    bridge, port = rng.choice(BRIDGES), rng.choice(PORTS)
    number = PORTS.index(port) + 1
    peer = rng.choice(PORTS)
    kinds = ("dummy", "internal", "tap", f"patch options:peer={peer}", "patch", "foo")
    kind = f"type={rng.choice(kinds)}"
    mode = rng.choice(("trunk", "access", "native-tagged", "native-untagged"))
    vids = ",".join(str(rng.randrange(1, 20)) for _ in range(rng.randrange(1, 4)))
    return rng.choice(
        (
            f"--may-exist add-br {bridge} -- set bridge {bridge} datapath_type=dummy",
            f"--may-exist add-br {bridge} -- set bridge {bridge} datapath_type=dummy",
            f"--if-exists del-br {bridge}",
            *[f"add-port {bridge} {port} -- set interface {port} ofport_request={number} {kind}"] * 6,
            f"--if-exists del-port {port}",
            f"--if-exists del-port {bridge} {port}",
            f"set interface {port} {kind}",
            f"set interface {port} ofport_request={number + 10}",
            f"set interface {port} mtu_request={rng.choice((1000, 1400, 1500, 9000))}",
            f"clear interface {port} mtu_request",
            f"set port {port} tag={rng.randrange(20)}",
            f"set port {port} trunks={vids}",
            f"set port {port} vlan_mode={mode}",
            f"clear port {port} tag trunks vlan_mode",
            f"set bridge {bridge} fail_mode={rng.choice(('secure', 'standalone'))}",
            f"set bridge {bridge} other_config:hwaddr=00:00:5e:00:53:0{rng.randrange(10)}",
            f"set bridge {bridge} other_config:datapath-id=0x{rng.randrange(1, 1 << 32):x}",
            f"clear bridge {bridge} other_config",
            f"set bridge {bridge} flood_vlans={vids}",
            f"-- --id=@m create mirror name=m select_all=true output_vlan=7"
            f" -- set bridge {bridge} mirrors=@m",
            f"clear bridge {bridge} mirrors",
        )
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_random_changes(seed: int, real: Side, ours: Side) -> None:
    rng = random.Random(seed)
    done: list[str] = []
    for _ in range(STEPS):
        command = _step(rng)
        done.append(command)
        assert _without_uuids(ours.vsctl(command)) == _without_uuids(real.vsctl(command)), done
        end = time.monotonic() + 3
        while different := _differences(_comparable(ours.contents()), _comparable(real.contents())):
            assert time.monotonic() < end, f"{different} after\n" + "\n".join(done)
            time.sleep(0.05)
