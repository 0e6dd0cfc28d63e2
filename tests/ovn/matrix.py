"""Who reaches whom: every machine every other, and the addresses that OVN makes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.ovn.deployment import Deployment
from tests.ovn.network import CENTRAL, FLOATING, MACHINES, OUTSIDE, PUBLIC_VIP, TAGGED, VIP

ADDRESSES = {m.name: m.address for m in MACHINES} | {"outside": OUTSIDE, "tagged": TAGGED}
SERVED = (
    ("vm1", "10.2.0.3", 8080), ("vm1", "10.2.0.4", 8080), ("vm2", "10.2.0.3", 8080),
    ("vm5", "10.2.0.3", 8080),
    ("vm1", "10.2.0.3", 22), ("vm2", "10.2.0.3", 22), ("vm4", "10.2.0.3", 22),
    ("vm1", VIP, 80), ("vm2", VIP, 80), ("vm5", VIP, 80), ("vm6", VIP, 80),
    ("outside", FLOATING, 8080), ("outside", FLOATING, 22), ("outside", PUBLIC_VIP, 80),
    ("vm6", FLOATING, 8080),
)  # fmt: skip
"""Connections to servers: those to port 22 are for nobody."""

ROUTED = {"vm1", "vm2", "vm3", "vm4", "vm5"}
TRANSLATED = {"vm1", "vm2", "vm3", "vm5", "vm6"}
"""Those that a router has an address for outside."""
BRIDGED = {"vm7", "vm8", "tagged"}


def _may(a: str, b: str, stateful: bool) -> bool:
    if {a, b} <= ROUTED or {a, b} <= BRIDGED:
        return True
    if stateful:
        return a in TRANSLATED and b == "outside"
    return "outside" in (a, b) and {a, b} - {"outside"} <= ROUTED | {"vm6"}


def meant_to(stateful: bool = True) -> dict[tuple[str, str], bool]:
    """(machine, machine) -> whether the network is meant to let one ping the other."""
    return {(a, b): _may(a, b, stateful) for a in ADDRESSES for b in ADDRESSES if a != b}


def pings(deployment: Deployment, at_once: int = 32) -> dict[tuple[str, str], bool]:
    """(machine, machine or address) -> whether it is answered. So many ask `at_once`; on a busy machine some
    of them time out, so those that should have been answered ask once more."""
    wanted = [(a, b, ADDRESSES[b]) for a in ADDRESSES for b in ADDRESSES if a != b]
    if deployment.stateful:
        wanted += [("outside", a, a) for a in (FLOATING, CENTRAL)] + [("vm6", FLOATING, FLOATING)]
    six = [m for m in deployment.inhabitants if m.address6 and not m.dhcp]
    wanted += [(a.name, b.address6, b.address6) for a in six for b in six if a is not b]
    absent = ADDRESSES.keys() - deployment.machines.keys()
    wanted = [(a, b, address) for a, b, address in wanted if not {a, b} & absent]
    with ThreadPoolExecutor(at_once) as pool:
        answered = list(pool.map(lambda want: deployment.pings(want[0], want[2]), wanted))
    reached = {(a, b): yes for (a, b, _), yes in zip(wanted, answered, strict=True)}
    meant = meant_to(deployment.stateful)
    for a, b, address in wanted:
        if not reached[a, b] and meant.get((a, b), True):
            reached[a, b] = deployment.pings(a, address)
    return reached


def served(deployment: Deployment) -> dict[tuple[str, str], bool]:
    """(machine, "address:port") -> whether the server is reached; it is asked twice if need be."""

    def ask(want: tuple[str, str, int]) -> str:
        return deployment.says(*want) or deployment.says(*want)

    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(ask, SERVED))
    return {(a, f"{b}:{port}"): word != "" for (a, b, port), word in zip(SERVED, said, strict=True)}


def table(reached: dict[tuple[str, str], bool]) -> str:
    """As text: a row for each asker, a column for each machine; the rest as a list."""
    asking = {a for a, _ in reached}
    names = [name for name in ADDRESSES if name in asking]
    lines = ["from \\ to " + "".join(f"{name:>8}" for name in names)]
    for a in names:
        row = ["-" if a == b else "yes" if reached[a, b] else "." for b in names]
        lines.append(f"{a:10}" + "".join(f"{cell:>8}" for cell in row))
    for (a, b), yes in reached.items():
        if b not in ADDRESSES:
            lines.append(f"{a:10}  {b:20} {'yes' if yes else '.'}")
    return "\n".join(lines)
