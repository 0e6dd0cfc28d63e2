"""Routers and balancers of OVN that ask more of the switch: equal ways watched by BFD, affinity that is
learned, groups of gateways, relayed multicast, DHCPv6; with VSWITCH_TEST_ALL over the real one, too.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ovn.bfd_peer import BFDD, ZEBRA, bfd_peer
from tests.ovn.chassis import on
from tests.ovn.conftest import NEEDS
from tests.ovn.deployment import Deployment
from tests.ovn.network import OUTSIDE, VIP
from tests.ovn.test_services import ASK, JOIN, SEND, python, running, watching
from tests.ovn.trials import gateway
from tests.stack import REAL, until
from tests.whole import ALL

pytestmark = pytest.mark.system
long = pytest.mark.whole

FAR = "203.0.113.7"
"""An address behind the next hops outside."""
SECOND = "172.16.0.10"
"""Another address of the machine outside."""
LEASE6 = """\
#!/bin/sh
# What dhclient is to do with a lease: $new_ip6_address is OVN's.
[ "$reason" = BOUND6 ] && ip -6 addr add "$new_ip6_address/128" dev "$interface"
exit 0
"""


@pytest.fixture(scope="module", params=["ours", "real"] if ALL else ["ours"])
def net(
    request: pytest.FixtureRequest, require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The deployment over a switch; the real userspace datapath needs an underlay bridge."""
    if request.param == "ours":
        yield request.getfixturevalue("ovn")
        return
    require(*NEEDS)
    deployment = Deployment(tmp_path_factory.mktemp("real"), REAL, underlay=True)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.close()


def flows(net: Deployment, chassis: int, *match: str) -> str:
    """Flows of br-int."""
    return net.chassis[chassis - 1].run("ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "br-int", *match)


def test_a_way_that_bfd_finds_dead_is_left_out(net: Deployment, require: Callable[..., None]) -> None:
    require(f"command:{BFDD}", f"command:{ZEBRA}")
    _, host = net.machines["outside"]
    on(host, "addr", "replace", f"{FAR}/32", "dev", "lo")
    on(host, "link", "set", "lo", "up")

    def status(wanted: str) -> bool:
        return wanted in net.run("ovn-nbctl", "--bare", "--columns=status", "list", "bfd").split()

    try:
        with bfd_peer(host, [(OUTSIDE, "172.16.0.1")]) as peer:
            net.nbctl("--bfd", "lr-route-add", "r", "203.0.113.0/24", OUTSIDE, "r-public")
            until("the session is up", lambda: status("up"), 40)
            net.nbctl("sync")
            until("vm1 reaches what is behind", lambda: net.pings("vm1", FAR))
            peer.kill()
            until("it is down", lambda: status("down"), 40)
            net.nbctl("sync")
            assert not net.pings("vm1", FAR)
            peer.start(BFDD)
            until("it is up again", lambda: status("up"), 40)
            net.nbctl("sync")
            until("vm1 reaches it again", lambda: net.pings("vm1", FAR))
    finally:
        net.nbctl("--if-exists", "lr-route-del", "r", "203.0.113.0/24")
        net.nbctl("--all", "destroy", "bfd")


def test_equal_ways_are_a_group(net: Deployment) -> None:
    _, host = net.machines["outside"]
    on(host, "addr", "replace", f"{SECOND}/24", "dev", "eth0")
    on(host, "addr", "replace", f"{FAR}/32", "dev", "lo")
    on(host, "link", "set", "lo", "up")
    for hop in (OUTSIDE, SECOND):
        net.nbctl("--ecmp", "lr-route-add", "r", "203.0.113.0/24", hop, "r-public")
    until("vm1 reaches what is behind", lambda: net.pings("vm1", FAR))
    groups = net.chassis[0].run("ovs-ofctl", "-O", "OpenFlow15", "dump-groups", "br-int")
    assert "type=select" in groups
    net.nbctl("lr-route-del", "r", "203.0.113.0/24")
    on(host, "addr", "del", f"{SECOND}/24", "dev", "eth0")


def test_a_balancer_with_affinity_keeps_to_a_server(net: Deployment) -> None:
    """OVN has the switch learn flows for it."""
    until("both serve", lambda: {net.says("vm1", VIP, 80) for _ in range(4)} == {"vm3", "vm4"})
    net.nbctl("set", "load_balancer", "lb", "options:affinity_timeout=30")
    assert "learn(" in flows(net, 1)
    said = {net.says("vm1", VIP, 80) or net.says("vm1", VIP, 80) for _ in range(12)}
    assert len(said) == 1
    assert said < {"vm3", "vm4"}
    net.nbctl("remove", "load_balancer", "lb", "options", "affinity_timeout")
    until("both serve again", lambda: {net.says("vm1", VIP, 80) for _ in range(4)} == {"vm3", "vm4"})


def test_a_balancer_without_servers_refuses(net: Deployment) -> None:
    net.nbctl("--reject", "lb-add", "none", "10.9.9.6:80", "")
    net.nbctl("ls-lb-add", "a", "none")
    chassis, host = net.machines["vm1"]
    try:
        told = chassis.inside(host, "socat", "-u", "TCP:10.9.9.6:80,connect-timeout=3", "-").stderr
        assert "refused" in told
    finally:
        net.nbctl("lb-del", "none")


def test_a_balancer_for_ipv6(net: Deployment) -> None:
    net.nbctl("--", "lb-add", "six", "[fd09::9]:53", "[fd02::3]:5353", "udp", "--", "ls-lb-add", "a", "six")
    program = ASK.replace("AF_INET,", "AF_INET6,")
    with running(net, "vm3", "socat", "UDP6-LISTEN:5353,fork", "SYSTEM:echo pong"):
        until("it answers", lambda: python(net, "vm1", program, "fd09::9", "53") == "pong")
    net.nbctl("lb-del", "six")


def test_fragments_are_translated_whole(net: Deployment) -> None:
    for machine, address in (("vm1", OUTSIDE), ("outside", "172.16.0.33")):
        assert "3 received" in net.inside(
            machine, "ping", "-c", "3", "-i", "0.2", "-W", "2", "-s", "3000", address
        )


@long
def test_qos_marks_packets(net: Deployment) -> None:
    net.nbctl("qos-add", "a", "from-lport", "100", 'inport=="vm1" && icmp', "dscp=48")
    with running(net, "vm2", "tcpdump", "-vnnl", "-c", "1", "-i", "eth0", "icmp[0]=8") as watch:
        watching(watch)
        assert net.pings("vm1", "10.1.0.2")
        assert "tos 0xc0" in watch.communicate(timeout=10)[0]
    net.nbctl("qos-del", "a")


@long
def test_a_router_relays_multicast(net: Deployment) -> None:
    for switch, n in (("a", 1), ("b", 2)):
        settings = ("mcast_snoop=true", "mcast_querier=true", f"mcast_eth_src=02:00:00:00:01:0{n}",
                    f"mcast_ip4_src=10.{n}.0.254")  # fmt: skip
        net.nbctl("set", "logical_switch", switch, *(f"other_config:{s}" for s in settings))
    net.nbctl("set", "logical_router", "r", "options:mcast_relay=true")
    net.nbctl("acl-add", "guarded", "to-lport", "1002", "outport==@guarded&&ip4.mcast", "allow")
    program = JOIN.replace("(10)", "(25)")
    with running(net, "vm3", "python3", "-c", program, "239.1.2.4", "10.2.0.3") as member:
        groups = ("ovn-sbctl", "--bare", "--columns=address", "list", "igmp_group")
        until("the group is known", lambda: "239.1.2.4" in net.run(*groups))
        net.nbctl("sync")
        until("the router knows the way", lambda: "nw_dst=239.1.2.4" in flows(net, 1))
        until("it arrives", lambda: python(net, "vm1", SEND, "239.1.2.4", "7777", "1") or member.poll() == 0)
        assert member.communicate(timeout=15)[0].strip() == "hello"
    net.nbctl("acl-del", "guarded", "to-lport", "1002", "outport==@guarded&&ip4.mcast")
    net.nbctl("remove", "logical_router", "r", "options", "mcast_relay")
    for switch in "ab":
        net.nbctl("clear", "logical_switch", switch, "other_config")


@long
def test_a_client_gets_its_address_by_dhcpv6(
    net: Deployment, require: Callable[..., None], tmp_path: Path
) -> None:
    require("command:dhclient")
    net.nbctl("lsp-set-addresses", "vm5", "02:00:00:00:00:05 10.1.0.5 fd01::5")
    net.nbctl("--id=@v6", "create", "dhcp_options", 'cidr="fd01::/64"', "options:server_id=02:00:00:00:01:01",
              "--", "set", "logical_switch_port", "vm5", "dhcpv6_options=@v6")  # fmt: skip
    net.nbctl("set", "logical_router_port", "r-a", "ipv6_ra_configs:address_mode=dhcpv6_stateful")
    script = tmp_path / "lease6.sh"
    script.write_text(LEASE6)
    script.chmod(0o755)
    _, host = net.machines["vm5"]
    until("a link-local address", lambda: "fe80" in net.inside("vm5", "ip", "-6", "addr", "show", "eth0"))
    files = ["-lf", str(tmp_path / "leases"), "-pf", str(tmp_path / "pid"), "-sf", str(script)]
    asking = ("timeout", "25", "dhclient", "-6", "-1", "-v", *files, "eth0")
    subprocess.run(["ip", "netns", "exec", host, *asking], check=True, capture_output=True)
    assert "fd01::5/128" in net.inside("vm5", "ip", "-6", "addr", "show", "eth0")
    subprocess.run(["ip", "netns", "exec", host, "dhclient", "-6", "-x", *files, "eth0"], check=False,
                   capture_output=True)  # fmt: skip
    on(host, "-6", "addr", "del", "fd01::5/128", "dev", "eth0")
    net.nbctl("clear", "logical_switch_port", "vm5", "dhcpv6_options")
    net.nbctl("clear", "logical_router_port", "r-a", "ipv6_ra_configs")
    net.nbctl("lsp-set-addresses", "vm5", "02:00:00:00:00:05 10.1.0.5")


@long
def test_a_group_of_gateways_follows_its_priorities(net: Deployment) -> None:
    net.nbctl("lrp-del-gateway-chassis", "r-public", "hv1")
    net.nbctl("lrp-del-gateway-chassis", "r-public", "hv2")
    net.nbctl("ha-chassis-group-add", "gates")
    for name, priority in (("hv3", "30"), ("hv2", "20"), ("hv1", "10")):
        net.nbctl("ha-chassis-group-add-chassis", "gates", name, priority, wait="none")
    find = ("--bare", "--columns=_uuid", "find", "ha_chassis_group", "name=gates")
    group = net.run("ovn-nbctl", *find).strip()
    net.nbctl("set", "logical_router_port", "r-public", f"ha_chassis_group={group}")
    try:
        until("hv3 has the gateway", lambda: gateway(net) == "hv3")
        until("vm5 gets out", lambda: net.pings("vm5", OUTSIDE))
        bfd = ("ovs-vsctl", "get", "interface", "ovn-hv3-0", "bfd_status")
        until("hv2 watches hv3", lambda: ", state=up" in net.chassis[1].run(*bfd))
        net.nbctl("ha-chassis-group-add-chassis", "gates", "hv1", "40")
        until("hv1 has it", lambda: gateway(net) == "hv1")
        until("vm5 gets out again", lambda: net.pings("vm5", OUTSIDE))
    finally:
        net.nbctl("clear", "logical_router_port", "r-public", "ha_chassis_group")
        net.nbctl("ha-chassis-group-del", "gates")
        net.nbctl("lrp-set-gateway-chassis", "r-public", "hv1", "20")
        net.nbctl("lrp-set-gateway-chassis", "r-public", "hv2", "10")
        until("hv1 has the gateway", lambda: gateway(net) == "hv1")
