"""Parts of the deployment are killed and come back."""

from __future__ import annotations

import pytest

from tests.ovn.deployment import Deployment
from tests.ovn.network import FLOATING, VIP
from tests.ovn.trials import TRIALS, gateway

pytestmark = pytest.mark.system


@pytest.mark.parametrize("name", ["controller", "database", "northd"])
def test_what_only_configures_can_be_away(ovn: Deployment, name: str) -> None:
    assert TRIALS[name](ovn) < 0.9


def test_a_switch_that_was_killed_forwards_again(ovn: Deployment) -> None:
    flows = ("ovs-ofctl", "-O", "OpenFlow15", "dump-aggregate", "br-int")
    two = ovn.chassis[1]
    before = two.run(*flows).split("flow_count=")[1]
    ports = two.run("ovs-vsctl", "--columns=name,ofport", "list", "interface")
    assert 0 < TRIALS["switch"](ovn) < 15
    assert two.run(*flows).split("flow_count=")[1] == before
    assert two.run("ovs-vsctl", "--columns=name,ofport", "list", "interface") == ports
    assert ovn.says("vm1", VIP, 80) in {"vm3", "vm4"}


def test_another_chassis_takes_over_the_gateway(ovn: Deployment) -> None:
    assert gateway(ovn) == "hv1"
    lost = TRIALS["gateway"](ovn)
    assert 0.2 < lost < 5
    assert gateway(ovn) == "hv2"
    assert ovn.says("outside", FLOATING, 8080) == "vm3"
    assert not ovn.pings("vm2", "10.1.0.1")
    assert TRIALS["gateway back"](ovn) < 15
    assert gateway(ovn) == "hv1"
    assert ovn.pings("vm2", "10.1.0.1")
