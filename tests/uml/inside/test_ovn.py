"""OVN over the kernel's datapath: three chassis in namespaces of one kernel, each with its own datapath."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.ovn import matrix
from tests.ovn.deployment import Deployment
from tests.ovn.network import CENTRAL, FLOATING, PUBLIC_VIP, VIP
from tests.ovn.trials import TRIALS, bulk, gateway


@pytest.fixture(scope="module")
def ovn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    subprocess.run(["modprobe", "-a", "ipv6", "bridge", "vport-geneve", "geneve"], check=True)
    deployment = Deployment(tmp_path_factory.mktemp("ovn"), datapath="system")
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.close()


def test_machines_reach_whom_they_should(ovn: Deployment) -> None:
    reached = matrix.pings(ovn) | matrix.served(ovn)
    print(matrix.table(reached))
    for (a, b), yes in matrix.wanted().items():
        assert reached[a, b] == yes, (a, b)
    for a, b in (("outside", FLOATING), ("outside", CENTRAL), ("vm1", f"{VIP}:80"), ("vm1", "fd02::3"),
                 ("outside", f"{PUBLIC_VIP}:80"), ("vm1", "10.2.0.4:8080")):  # fmt: skip
        assert reached[a, b], (a, b)
    for a, b in (("vm1", "10.2.0.3:22"), ("outside", f"{FLOATING}:22"), ("vm6", f"{VIP}:80")):
        assert not reached[a, b], (a, b)


def test_the_kernel_forwards(ovn: Deployment) -> None:
    assert ovn.pings("vm1", "10.1.0.2")
    flows = ovn.chassis[0].appctl("dpctl/dump-flows")
    assert "geneve({class=0x102,type=0x80" in flows
    assert "ct(" in flows
    assert bulk(ovn, "vm1", "vm2", "10.1.0.2", 2) > 0.01


def test_a_killed_switch_leaves_the_kernel_forwarding(ovn: Deployment) -> None:
    assert TRIALS["switch"](ovn) < 15
    assert ovn.pings("vm3", "10.1.0.1")


def test_another_chassis_takes_over_the_gateway(ovn: Deployment) -> None:
    assert gateway(ovn) == "hv1"
    assert TRIALS["gateway"](ovn) < 10
    assert gateway(ovn) == "hv2"
    assert TRIALS["gateway back"](ovn) < 20
    assert gateway(ovn) == "hv1"


def test_ovn_controller_has_no_complaints(ovn: Deployment) -> None:
    known = ("vif_plug_provider", "br-int.mgmt: connection failed", "Trying to release unknown interface")
    said = {line for lines in ovn.complaints().values() for line in lines}
    assert not [line for line in said if not any(part in line for part in known)]
