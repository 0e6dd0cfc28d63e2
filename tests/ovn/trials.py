"""What happens to a deployment in operation, and for how long nothing comes through meanwhile.

Each function does one thing and undoes it; a `Watch` pings all the time.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.ovn.deployment import Deployment
from tests.ovn.loss import Watch
from tests.ovn.network import FLOATING, MACHINES, OUTSIDE
from tests.stack import until

MOVER = MACHINES[1]


@dataclass(frozen=True)
class Trial:
    """`name`: what happens; `asker` pings `address` while it does."""

    name: str
    asker: str
    address: str
    act: Callable[[Deployment], None]

    def __call__(self, deployment: Deployment) -> float:
        """Seconds without an answer at the longest."""
        with Watch(deployment.machines[self.asker][1], self.address) as watch:
            self.act(deployment)
            watch.settled()
        return watch.longest


def _controller(deployment: Deployment) -> None:
    chassis = deployment.chassis[1]
    chassis.end(chassis.controller)
    time.sleep(1)
    chassis.start_controller()
    deployment.nbctl("sync")


def _switch(deployment: Deployment) -> None:
    chassis = deployment.chassis[1]
    chassis.end(chassis.switch)
    chassis.switch_back()
    deployment.nbctl("sync")


def _database(deployment: Deployment) -> None:
    chassis = deployment.chassis[1]
    chassis.end(chassis.database)
    time.sleep(1)
    chassis.start_database()
    deployment.nbctl("sync")


def _northd(deployment: Deployment) -> None:
    deployment.stop_northd()
    time.sleep(1)
    deployment.start_northd()
    deployment.nbctl("sync")


def _migrate(deployment: Deployment) -> None:
    deployment.migrate(MOVER, 3)


def _move(deployment: Deployment) -> None:
    deployment.move(MOVER, 2)


def gateway(deployment: Deployment) -> str:
    """The chassis that the gateway port of router r is on; "" while it changes."""
    return deployment.chassis_of("cr-r-public")


def _lose_gateway(deployment: Deployment) -> None:
    lost = deployment.chassis[0]
    assert gateway(deployment) == lost.system_id
    lost.lose()
    until("the gateway is on another chassis", lambda: gateway(deployment) not in ("", lost.system_id))


def _bring_back(deployment: Deployment) -> None:
    """What `_lose_gateway` took."""
    lost = deployment.chassis[0]
    lost.come_back()
    until("the gateway is where it was", lambda: gateway(deployment) == lost.system_id, 40)
    deployment.nbctl("sync")


TRIALS = {
    "controller": Trial("hv2's ovn-controller killed and started", "vm1", MOVER.address, _controller),
    "database": Trial("hv2's ovsdb-server killed and started", "vm1", MOVER.address, _database),
    "northd": Trial("ovn-northd killed and started", "vm1", MOVER.address, _northd),
    "switch": Trial("hv2's switch killed and started", "vm1", MOVER.address, _switch),
    "migrate": Trial("vm2 migrates to hv3 while it works", "vm1", MOVER.address, _migrate),
    "move": Trial("vm2 unplugged, plugged in at hv2 again", "vm1", MOVER.address, _move),
    "gateway": Trial("hv1, which has the gateway, is lost", "vm5", OUTSIDE, _lose_gateway),
    "gateway back": Trial("hv1 comes back", "vm5", OUTSIDE, _bring_back),
    "floating": Trial("hv1 is lost: the floating address on hv2", "outside", FLOATING, _lose_gateway),
    "floating back": Trial("hv1 comes back: the floating address", "outside", FLOATING, _bring_back),
}  # fmt: skip
"""In an order in which each finds the deployment as it needs it."""


def bulk(deployment: Deployment, asker: str, server: str, address: str, seconds: int = 3) -> float:
    """Gbit/s of one TCP connection by iperf3, offloads as they are."""
    chassis, host = deployment.machines[server]
    serving = subprocess.Popen(
        ["ip", "netns", "exec", host, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL
    )
    try:
        until("iperf3 listens", lambda: ":5201" in chassis.inside(host, "ss", "-Hltn").stdout)
        said = deployment.inside(asker, "iperf3", "-J", "-t", str(seconds), "-c", address)
        serving.wait(10)
    finally:
        serving.terminate()
        serving.wait()
    return float(json.loads(said)["end"]["sum_received"]["bits_per_second"]) / 1e9
