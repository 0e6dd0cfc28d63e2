"""The logical network of the deployment, as commands of ovn-nbctl, and the machines in it.

    a    10.1.0.0/24  vm1, vm2, vm5 (by DHCP)  --+
    b    10.2.0.0/24  vm3, vm4 (`guarded`)     --+- r, gateway on hv1, else hv2 --+- public 172.16.0.0/24
    d    10.4.0.0/24  vm6                      ---- gw, a router on hv3 -------+
    vlan 10.6.0.0/24  vm7, vm8                 ---- VLAN 100 of the physical network

`public` and `vlan` are on the physical network, where "outside" is untagged and "tagged" in VLAN 100.
"""

from __future__ import annotations

from dataclasses import dataclass

MAC = "02:00:00:00:00:0"
FLOATING = "172.16.0.33"
"""vm3's, done where vm3 is."""
CENTRAL = "172.16.0.31"
"""vm1's, done on the gateway's chassis."""
VIP = "10.9.9.9"
PUBLIC_VIP = "172.16.0.80"


@dataclass(frozen=True)
class Machine:
    """vm`number`: its switch's prefix makes its address; `home` is the number of its chassis."""

    number: int
    network: int
    home: int
    dhcp: bool = False
    routed: bool = True

    @property
    def name(self) -> str:
        return f"vm{self.number}"

    @property
    def address(self) -> str:
        return f"10.{self.network}.0.{self.number}"

    @property
    def gateway(self) -> str:
        return f"10.{self.network}.0.254" if self.routed else ""

    @property
    def address6(self) -> str:
        """"" where the network has IPv4 only."""
        return f"fd0{self.network}::{self.number}" if self.network in (1, 2) else ""


MACHINES = (
    Machine(1, 1, 1),
    Machine(2, 1, 2),
    Machine(3, 2, 2),
    Machine(4, 2, 3),
    Machine(5, 1, 3, dhcp=True),
    Machine(6, 4, 1),
    Machine(7, 6, 1, routed=False),
    Machine(8, 6, 3, routed=False),
)
OUTSIDE = "172.16.0.9"
TAGGED = "10.6.0.9"

_SWITCHES = {1: "a", 2: "b", 4: "d", 6: "vlan"}


def _router_port(router: str, switch: str, mac: str, networks: str) -> str:
    port, other = f"{router}-{switch}", f"{switch}-{router}"
    return (
        f"lrp-add {router} {port} {mac} {networks} -- lsp-add {switch} {other} -- lsp-set-type {other} router"
        f" -- lsp-set-addresses {other} router -- lsp-set-options {other} router-port={port}"
    )


def _localnet(switch: str) -> str:
    return (
        f"lsp-add {switch} {switch}-wire -- lsp-set-type {switch}-wire localnet"
        f" -- lsp-set-addresses {switch}-wire unknown -- lsp-set-options {switch}-wire network_name=physical"
    )


NETWORK = [
    "ls-add a -- ls-add b -- ls-add d -- ls-add vlan -- ls-add public -- lr-add r -- lr-add gw",
    *(
        f"lsp-add {_SWITCHES[m.network]} {m.name}"
        f" -- lsp-set-addresses {m.name} {MAC}{m.number}\\ {m.address}"
        + (f"\\ {m.address6}" if m.address6 else "")
        for m in MACHINES
    ),
    _router_port("r", "a", "02:00:00:00:01:01", "10.1.0.254/24 fd01::fe/64"),
    _router_port("r", "b", "02:00:00:00:01:02", "10.2.0.254/24 fd02::fe/64"),
    _router_port("r", "public", "02:00:00:00:01:03", "172.16.0.1/24"),
    "lrp-set-gateway-chassis r-public hv1 20 -- lrp-set-gateway-chassis r-public hv2 10",
    "set logical_router gw options:chassis=hv3",
    _router_port("gw", "d", "02:00:00:00:01:04", "10.4.0.254/24"),
    _router_port("gw", "public", "02:00:00:00:01:05", "172.16.0.2/24"),
    _localnet("public"),
    _localnet("vlan") + " -- set logical_switch_port vlan-wire tag_request=100",
    '--id=@v4 create dhcp_options cidr="10.1.0.0/24" options:server_id="10.1.0.254"'
    ' options:server_mac="02:00:00:00:01:01" options:lease_time="3600" options:router="10.1.0.254"'
    ' options:dns_server="10.1.0.254" options:mtu="1400" -- set logical_switch_port vm5 dhcpv4_options=@v4',
    '--id=@names create dns records={"vm3.test"="10.2.0.3"} -- add logical_switch a dns_records @names',
    # A chassis that is gone is noticed within 0.6 s.
    "set nb_global . options:bfd-min-rx=200 options:bfd-min-tx=200 options:bfd-mult=3",
]  # fmt: skip
"""Each one transaction of ovn-nbctl, in words between spaces; `\\ ` is a space within one."""

STATEFUL = [
    "lr-nat-add r snat 172.16.0.1 10.1.0.0/24",
    f"lr-nat-add r dnat_and_snat {FLOATING} 10.2.0.3 vm3 02:00:00:00:01:33",
    f"lr-nat-add r dnat_and_snat {CENTRAL} 10.1.0.1",
    "lr-nat-add gw snat 172.16.0.2 10.4.0.0/24",
    f"lb-add lb {VIP}:80 10.2.0.3:8080,10.2.0.4:8080 tcp -- ls-lb-add a lb",
    f"lb-add publb {PUBLIC_VIP}:80 10.2.0.4:8080 tcp -- lr-lb-add r publb",
    "set load_balancer lb ip_port_mappings:10.2.0.3=vm3:10.2.0.250 ip_port_mappings:10.2.0.4=vm4:10.2.0.250",
    f'--id=@check create load_balancer_health_check vip="{VIP}:80" options:interval=2 options:timeout=1'
    " options:success_count=1 options:failure_count=1 -- add load_balancer lb health_check @check",
    "pg-add guarded vm3 vm4",
    "acl-add guarded to-lport 1000 outport==@guarded&&ip4 drop",
    "acl-add guarded to-lport 1001 outport==@guarded&&icmp4 allow-related",
    "acl-add guarded to-lport 1001 outport==@guarded&&tcp.dst==8080 allow-related",
]  # fmt: skip
"""Likewise, what needs connection tracking with zones. Without it the physical network knows the way in."""


def words(line: str) -> list[str]:
    """A line of `NETWORK` as arguments."""
    return [w.replace("\0", " ") for w in line.replace("\\ ", "\0").split()]
