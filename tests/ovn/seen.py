"""What can be seen of a deployment from outside, in words that are the same for any switch under it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.ovn import matrix
from tests.ovn.deployment import Deployment
from tests.ovn.network import MAC

ROUTER = "02:00:00:00:01:01"
CASES = {
    "to the next machine": ("a", "vm1", f"{MAC}2", "10.1.0.2", "icmp4"),
    "to what is not there": ("a", "vm1", "02:00:00:00:00:99", "10.1.0.99", "icmp4"),
    "through the router": ("a", "vm1", ROUTER, "10.2.0.3", "icmp4"),
    "allowed by an ACL": ("a", "vm1", ROUTER, "10.2.0.4", "tcp && tcp.dst == 8080"),
    "dropped by an ACL": ("a", "vm1", ROUTER, "10.2.0.3", "tcp && tcp.dst == 22"),
    "to the load balancer": ("a", "vm1", ROUTER, "10.9.9.9", "tcp && tcp.dst == 80"),
    "out by the gateway": ("a", "vm1", ROUTER, "172.16.0.9", "udp && udp.dst == 53"),
    "to a floating address": ("a", "vm1", ROUTER, "172.16.0.33", "icmp4"),
    "into the VLAN": ("vlan", "vm7", f"{MAC}0", "10.6.0.9", "icmp4"),
    "asking for an address": ("a", "vm5", "ff:ff:ff:ff:ff:ff", "255.255.255.255",
                              "udp && udp.src == 68 && udp.dst == 67"),
}  # fmt: skip
"""What -> the switch and machine that it starts at, Ethernet and IP destination, and the rest."""

# What differs from one deployment to the next: identities, times, and numbers given out as events came.
_PASSING = re.compile(
    r", uuid [0-9a-f]{8}|cookie=\w+, |duration=[\d.]+s, |n_(packets|bytes)=\d+, |(idle|hard)_age=\d+, "
)
_KEYS = re.compile(r"(metadata|reg1[45])=0x\w+|set_field:0x\w+->(reg1[45])")

_LEARNED = re.compile(r"table=6[67],")
"""Flows for neighbours that a router has met (OVN's tables of MAC bindings)."""


@dataclass(frozen=True)
class Seen:
    """Reachability, `ovn-trace` of each case (with the OpenFlow flows of vm1's switch), how many flows each
    switch has, and what each ovn-controller complained about."""

    reached: dict[tuple[str, str], bool]
    traces: dict[str, str]
    flows: dict[str, int]
    complaints: dict[str, list[str]]


def trace(deployment: Deployment, case: str) -> str:
    """`ovn-trace` of a case; under each logical flow what the switch of vm1 has for it."""
    switch, machine, mac, address, rest = CASES[case]
    number = machine.removeprefix("vm")
    network = {"a": 1, "vlan": 6}[switch]
    microflow = (
        f'inport == "{machine}" && eth.src == {MAC}{number} && eth.dst == {mac} && ip.ttl == 64'
        f" && ip4.src == 10.{network}.0.{number} && ip4.dst == {address} && {rest}"
    )
    mgmt = f"--ovs=unix:{deployment.chassis[0].directory}/br-int.mgmt"
    lines = deployment.run("ovn-trace", mgmt, switch, microflow).splitlines()
    # Several OpenFlow flows of one logical flow come in no order.
    plain, ours = [], set[str]()
    for line in lines:
        if line.lstrip().startswith("cookie="):
            ours.add(_KEYS.sub(r"\1\2", _PASSING.sub("", line)))
            continue
        plain += [*sorted(ours), _KEYS.sub(r"\1\2", _PASSING.sub("", line))]
        ours.clear()
    return "\n".join(plain)


def look(deployment: Deployment) -> Seen:
    """All of it. Pings come first: they fill the tables of neighbours."""
    reached = matrix.pings(deployment) | matrix.served(deployment)
    flows = {}
    for chassis in deployment.chassis:
        dumped = chassis.run("ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "br-int", "--no-stats")
        flows[chassis.system_id] = len([line for line in dumped.splitlines() if not _LEARNED.search(line)])
    traces = {case: trace(deployment, case) for case in CASES}
    return Seen(reached, traces, flows, deployment.complaints())
