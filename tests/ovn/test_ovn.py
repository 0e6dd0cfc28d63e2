"""Three chassis of OVN 23.03 over this switch: who reaches whom, and what else OVN promises."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest

from tests.ovn import matrix
from tests.ovn.chassis import Chassis
from tests.ovn.deployment import Deployment
from tests.ovn.network import CENTRAL, FLOATING, TAGGED, VIP
from tests.ovn.seen import Seen
from tests.ovn.trials import TRIALS, bulk
from tests.stack import until

pytestmark = pytest.mark.system

QUERY = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
header, name = bytes.fromhex("123401000001000000000000"), b"\\x03vm3\\x04test\\x00"
s.sendto(header + name + b"\\x00\\x01\\x00\\x01", ("10.1.0.254", 53))
print(socket.inet_ntoa(s.recv(512)[-4:]))
"""


def test_machines_reach_whom_they_should(seen: Seen) -> None:
    for (a, b), yes in matrix.meant_to().items():
        assert seen.reached[a, b] == yes, (a, b)


def test_floating_addresses_lead_in(seen: Seen) -> None:
    assert seen.reached["outside", FLOATING]
    assert seen.reached["outside", CENTRAL]
    assert seen.reached["vm6", FLOATING]
    assert seen.reached["outside", f"{FLOATING}:8080"]


def test_ipv6_is_routed(seen: Seen) -> None:
    assert all(yes for (_, b), yes in seen.reached.items() if ":" in b and b.startswith("fd"))
    assert seen.reached["vm1", "fd02::4"]


def test_stateful_acls_let_through_what_they_allow_only(seen: Seen) -> None:
    for machine in ("vm1", "vm2"):
        assert seen.reached[machine, "10.2.0.3:8080"]
        assert not seen.reached[machine, "10.2.0.3:22"]
    assert not seen.reached["outside", f"{FLOATING}:22"]


def test_acls_follow_the_members_of_a_port_group(ovn: Deployment) -> None:
    ovn.nbctl("pg-set-ports", "guarded", "vm4")
    assert ovn.says("vm1", "10.2.0.3", 22) == "closed"
    ovn.nbctl("pg-set-ports", "guarded", "vm3", "vm4")
    assert ovn.says("vm1", "10.2.0.3", 22) == ""


def test_dhcp_gives_a_real_client_its_lease(ovn: Deployment) -> None:
    _, host = ovn.machines["vm5"]
    assert "lease of 10.1.0.5 obtained from 10.1.0.254, lease time 3600" in ovn.lease().stderr
    told = subprocess.run(
        ["ip", "-n", host, "route", "get", "8.8.8.8"], capture_output=True, text=True, check=True
    ).stdout
    assert "via 10.1.0.254 dev eth0 src 10.1.0.5" in told
    assert ovn.inside("vm5", "cat", "/sys/class/net/eth0/mtu") == "1400\n"


def test_dns_is_answered_where_the_machine_is(ovn: Deployment) -> None:
    assert ovn.inside("vm1", "python3", "-c", QUERY).strip() == "10.2.0.3"


def served_by(ovn: Deployment, times: int = 8) -> Counter[str]:
    """How often each server answered vm1 at the load balancer's address."""
    return Counter(ovn.says("vm1", VIP, 80) for _ in range(times))


def test_the_load_balancer_leaves_out_servers_that_are_ill(ovn: Deployment) -> None:
    def health(status: str) -> bool:
        return status in ovn.run("ovn-sbctl", "--bare", "--columns=status", "find", "service_monitor",
                                 "logical_port=vm4")  # fmt: skip

    until("both servers are well", lambda: health("online"))
    ovn.nbctl("sync")
    until("both serve", lambda: set(served_by(ovn)) == {"vm3", "vm4"})
    ovn.servers["vm4"].kill()
    ovn.servers["vm4"].wait()
    until("vm4's server is ill", lambda: health("offline"))
    ovn.nbctl("sync")
    assert served_by(ovn) == {"vm3": 8}
    ovn.serve("vm4")
    until("vm4's server is well", lambda: health("online"))
    ovn.nbctl("sync")
    until("both serve again", lambda: set(served_by(ovn)) == {"vm3", "vm4"})


def test_a_localnet_port_tags_on_the_wire(ovn: Deployment) -> None:
    watching = subprocess.Popen(
        ovn.wires.command("timeout", "20", "tcpdump", "-nnec", "4", "-i", "phys1", "icmp or vlan 100"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stderr is not None
    assert "listening" in watching.stderr.readline() + watching.stderr.readline()
    assert ovn.pings("vm7", TAGGED)
    assert ovn.pings("vm7", "10.6.0.8")
    lines = watching.communicate(timeout=25)[0].splitlines()
    assert len(lines) == 4
    assert all("vlan 100" in line for line in lines)


def test_geneve_carries_ovns_metadata(ovn: Deployment) -> None:
    one = ovn.chassis[0]
    assert ovn.pings("vm1", "10.1.0.2")
    assert "geneve" in one.run("ovs-vsctl", "--columns=type", "find", "interface", "type=geneve")
    assert "geneve({class=0x102,type=0x80" in one.appctl("dpctl/dump-flows")


def test_the_gateway_chassis_watch_each_other_by_bfd(ovn: Deployment) -> None:
    one = ovn.chassis[0]
    for other in (2, 3):
        shown = one.run("ovs-vsctl", "get", "interface", f"ovn-hv{other}-0", "bfd_status")
        assert "remote_state=up" in shown
        assert "state=up" in shown


def test_bulk_transfers_go_through_the_tunnel(ovn: Deployment) -> None:
    assert bulk(ovn, "vm1", "vm2", "10.1.0.2", 2) > 0.1


def test_a_machine_migrates_while_it_works_and_moves_back(ovn: Deployment) -> None:
    assert TRIALS["migrate"](ovn) < 2
    chassis = ovn.machines["vm2"][0]
    assert isinstance(chassis, Chassis)
    assert chassis.system_id == ovn.chassis_of("vm2") == "hv3"
    assert ovn.pings("vm2", "10.1.0.5")
    assert ovn.pings("vm2", "10.2.0.3")
    assert TRIALS["move"](ovn) < 3
    assert ovn.chassis_of("vm2") == "hv2"
    assert ovn.pings("vm2", "172.16.0.9")
