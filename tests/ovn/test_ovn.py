"""Two chassis of OVN 23.03 over this switch: who reaches whom, and what else OVN promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.ovn.deployment import Deployment
from tests.stack import OURS, REAL, until

pytestmark = pytest.mark.system

QUERY = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
header, name = bytes.fromhex("123401000001000000000000"), b"\\x03vm3\\x04test\\x00"
s.sendto(header + name + b"\\x00\\x01\\x00\\x01", ("10.1.0.254", 53))
print(socket.inet_ntoa(s.recv(512)[-4:]))
"""


NEEDS = (
    "root", "netns", "packet-socket", "tun", "command:ovn-northd", "command:ovn-controller",
    "command:ovsdb-server", "command:ovs-vswitchd", "command:socat", "command:ethtool",
)  # fmt: skip


@pytest.fixture(scope="module")
def ovn(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    require(*NEEDS)
    deployment = Deployment(tmp_path_factory.mktemp("ovn"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.close()


def test_a_switch_spans_chassis(ovn: Deployment) -> None:
    assert ovn.pings("vm1", "10.1.0.2")


def test_a_router_joins_switches(ovn: Deployment) -> None:
    assert ovn.pings("vm1", "10.2.0.3")
    assert ovn.pings("vm2", "10.2.0.3")


def test_stateful_acls_let_through_what_they_allow_only(ovn: Deployment) -> None:
    assert ovn.says("vm1", "10.2.0.3", 8080) == "vm3"
    assert ovn.says("vm1", "10.2.0.3", 22) == ""


def test_the_load_balancer_leads_to_its_backend(ovn: Deployment) -> None:
    assert ovn.says("vm1", "10.9.9.9", 80) == "vm3"
    assert ovn.says("vm2", "10.9.9.9", 80) == "vm3"


def test_source_and_floating_addresses(ovn: Deployment) -> None:
    assert ovn.pings("vm1", "172.16.0.9")
    assert ovn.pings("vm2", "172.16.0.9")
    assert ovn.pings("outside", "172.16.0.33")
    assert ovn.says("outside", "172.16.0.33", 8080) == "vm3"


def test_dns_is_answered_where_the_machine_is(ovn: Deployment) -> None:
    row = ovn.run("ovn-nbctl", "create", "dns", 'records={"vm3.test"="10.2.0.3"}').strip()
    ovn.run("ovn-nbctl", "--wait=hv", "set", "logical_switch", "a", f"dns_records={row}")
    assert ovn.inside("vm1", "python3", "-c", QUERY).strip() == "10.2.0.3"


def test_geneve_carries_ovns_metadata(ovn: Deployment) -> None:
    one = ovn.chassis[0]
    assert ovn.pings("vm1", "10.1.0.2")
    assert "geneve" in one.run("ovs-vsctl", "--columns=type", "find", "interface", "type=geneve")
    flows = one.run(
        "ovs-appctl", "-t", str(next(one.directory.glob("ovs-vswitchd.*.ctl"))), "dpctl/dump-flows"
    )
    assert "geneve({class=0x102,type=0x80" in flows


def test_a_machine_moves_to_another_chassis_and_back(ovn: Deployment) -> None:
    assert ovn.pings("vm1", "10.1.0.2")
    for there in (0, 1):
        ovn.move(2, there)
        until("vm2 reaches its switch", lambda: ovn.pings("vm2", "10.1.0.1"))
        assert ovn.pings("vm2", "10.2.0.3")
        assert ovn.pings("vm1", "10.1.0.2")
        assert ovn.pings("vm2", "172.16.0.9")


def test_a_chassis_is_killed_and_comes_back(ovn: Deployment) -> None:
    two = ovn.chassis[1]
    two.end_controller()
    two.end_switch()
    assert not ovn.pings("vm1", "10.1.0.2")
    two.start_switch()
    two.start_controller()
    ovn.run("ovn-nbctl", "--wait=hv", "--timeout=40", "sync")
    until("vm2 answers again", lambda: ovn.pings("vm1", "10.1.0.2"))
    assert ovn.says("vm1", "10.9.9.9", 80) == "vm3"


def test_reachability_is_as_with_the_real_switch(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Over an underlay bridge, which the real one needs."""
    require(*NEEDS)
    seen = []
    for name, vswitchd in (("real", REAL), ("ours", OURS)):
        deployment = Deployment(tmp_path_factory.mktemp(name), vswitchd, underlay=True)
        try:
            deployment.start()
            seen.append(deployment.reachability())
        finally:
            deployment.close()
    real, ours = seen
    assert real["vm1 ping 10.2.0.3"]
    assert real["outside tcp 172.16.0.33:8080"]
    assert not real["vm1 tcp 10.2.0.3:22"]
    assert ours == real
