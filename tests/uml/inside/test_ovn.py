"""OVN over the kernel's datapath: two or three chassis in namespaces of one kernel, each with a datapath.

This kernel has no zones of connection tracking (CONFIG_NF_CONNTRACK_ZONES), and so no NAT, load balancers
and ACLs with state. OVN has flows for them nevertheless, which the real switch refuses: OVN does not run
over it here. Ours refuses them too, unless `other_config:accept-unsupported-flows` says otherwise.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.ovn import matrix
from tests.ovn.deployment import Deployment
from tests.ovn.trials import TRIALS, bulk, gateway
from tests.stack import OURS, REAL, Stack, until
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


def test_what_needs_zones_is_refused_and_then_goes_on(ovn: Deployment) -> None:
    one = ovn.chassis[0]
    one.run("ovs-vsctl", "remove", "open", ".", "other_config", "accept-unsupported-flows")
    ovn.nbctl("lr-nat-add", "r", "snat", "172.16.0.1", "10.1.0.0/24", wait="sb")
    until("ovn-controller hears of it", lambda: "NXBAC_CT_DATAPATH_SUPPORT" in one.log("ovn-controller"))
    ovn.nbctl("lr-nat-del", "r", wait="sb")
    one.run("ovs-vsctl", "set", "open", ".", "other_config:accept-unsupported-flows=true")
    until("vm1 reaches vm3", lambda: ovn.pings("vm1", "10.2.0.3"), 40)


FLOWS = """\
ip,actions=ct(table=1)
ip,actions=ct(zone=5,table=1)
ip,actions=ct(commit,zone=NXM_NX_REG0[0..15],table=1)
ip,actions=ct(commit,nat(src=1.1.1.1),exec(set_field:1->ct_mark,set_field:1->ct_label))
ip,actions=clone(ct(zone=5))
ip,ct_state=+trk+snat,ct_mark=5,ct_label=5,actions=drop
ip,ct_zone=5,actions=drop
icmp6,icmp_type=136,icmp_code=0,actions=set_field:2->nd_reserved
"""


def said_of_the_kernel(directory: Path, vswitchd: Sequence[str]) -> list[str]:
    """What a switch finds that this kernel can do, and which flows it refuses."""
    stack = Stack(directory, vswitchd)
    try:
        stack.start()
        kind = ("--", "set", "bridge", "br0", "datapath_type=system", "protocols=OpenFlow15")
        stack.run("ovs-vsctl", "-t", "60", "add-br", "br0", *kind)
        pid = (directory / "ovs-vswitchd.pid").read_text().strip()
        control = f"{directory}/ovs-vswitchd.{pid}.ctl"
        said = [stack.run("ovs-appctl", "-t", control, "dpif/show-dp-features", "br0")]
        for flow in FLOWS.splitlines():
            ran = stack.ask("ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br0", flow)
            said.append(re.sub(r"xid=0x\w+", "", ran.stdout + ran.stderr))
        return said
    finally:
        stack.close()


def test_the_real_switch_refuses_the_same(tmp_path: Path) -> None:
    said = []
    for name, vswitchd in (("ours", OURS), ("real", REAL)):
        (tmp_path / name).mkdir()
        said.append(said_of_the_kernel(tmp_path / name, vswitchd))
    ours, real = said
    assert ours == real
    assert "CT zone: No" in real[0]
    assert [n for n, text in enumerate(real[1:]) if "DATAPATH_SUPPORT" in text] == [1, 2, 6]
    assert "OFPBAC_BAD_SET_ARGUMENT" in real[8]
