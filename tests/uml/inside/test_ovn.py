"""OVN over the kernel's datapath: two or three chassis in namespaces of one kernel, each with a datapath.

This kernel has no zones of connection tracking (CONFIG_NF_CONNTRACK_ZONES), and so no NAT, load balancers
and ACLs with state.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.ovn import matrix
from tests.ovn.deployment import Deployment
from tests.ovn.trials import TRIALS, bulk, gateway
from tests.stack import until
from tests.whole import ALL


@pytest.fixture(scope="module")
def ovn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    subprocess.run(["modprobe", "-a", "ipv6", "bridge", "vport-geneve", "geneve"], check=True)
    directory = tmp_path_factory.mktemp("ovn")
    deployment = Deployment(directory, datapath="system", stateful=False, n_chassis=3 if ALL else 2)
    try:
        deployment.start()
        # Everything shares one processor.
        deployment.nbctl("set", "nb_global", ".", "options:bfd-min-rx=1000", "options:bfd-min-tx=1000")
        yield deployment
    finally:
        deployment.close()


def test_machines_reach_whom_they_should(ovn: Deployment) -> None:
    reached = matrix.pings(ovn, at_once=6)
    print(matrix.table(reached))
    wanted = matrix.meant_to(stateful=False)
    if not ALL:
        # Their router is on the third chassis.
        wanted |= dict.fromkeys([("vm6", "outside"), ("outside", "vm6")], False)
    assert not [pair for pair, yes in reached.items() if pair in wanted and yes != wanted[pair]]
    assert reached["vm1", "fd02::3"]
    assert reached["tagged", "vm7"]
    assert ovn.says("vm1", "10.2.0.3", 8080) == "vm3"


def test_the_kernel_forwards(ovn: Deployment) -> None:
    assert ovn.pings("vm1", "10.1.0.2")
    assert "geneve({class=0x102,type=0x80" in ovn.chassis[0].appctl("dpctl/dump-flows")
    rate = bulk(ovn, "vm1", "vm2", "10.1.0.2", 2)
    print(f"vm1 to vm2: {rate:.2f} Gbit/s")
    assert rate > 0.01


def test_a_killed_switch_leaves_the_kernel_forwarding(ovn: Deployment) -> None:
    assert TRIALS["switch"](ovn) < 15
    until("vm3 reaches vm1", lambda: ovn.pings("vm3", "10.1.0.1"))


@pytest.mark.whole
def test_another_chassis_takes_over_the_gateway(ovn: Deployment) -> None:
    assert gateway(ovn) == "hv1"
    assert TRIALS["gateway"](ovn) < 20
    assert gateway(ovn) == "hv2"
    assert TRIALS["gateway back"](ovn) < 30
    assert gateway(ovn) == "hv1"


def test_ovn_controller_has_no_complaints(ovn: Deployment) -> None:
    known = ("vif_plug_provider", "br-int.mgmt: connection failed", "Trying to release unknown interface")
    said = {line for lines in ovn.complaints().values() for line in lines}
    assert not [line for line in said if not any(part in line for part in known)]
