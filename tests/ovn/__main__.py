"""`make demo-ovn`: the deployment of `deployment.py`, who reaches whom, what is killed and how long
that is felt; then the same over an underlay bridge and over the real switch. Nothing is left behind.

    python -m tests.ovn [--quick | --real]

`--quick` leaves out the second part; `--real` does the first over the real switch only. The exit status is 1
if the machine lacks something or the parts differ.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.ovn import matrix
from tests.ovn.deployment import Deployment
from tests.ovn.seen import Seen, look
from tests.ovn.trials import TRIALS, bulk
from tests.stack import OURS, REAL

NEEDED = (
    "ovn-northd", "ovn-controller", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "socat", "ethtool", "udhcpc",
    "iperf3",
)  # fmt: skip


def say(text: str = "") -> None:
    print(text, flush=True)


def complain(deployment: Seen) -> None:
    lines = {line for said in deployment.complaints.values() for line in said}
    say(f"\novn-controller's warnings and errors: {len(lines)}")
    for line in sorted(lines):
        say(f"  {line}")


def show(vswitchd: Sequence[str], directory: Path, underlay: bool, operate: bool) -> Seen:
    """Set up, look, with `operate` also kill and move, take away."""
    directory.mkdir()
    deployment = Deployment(directory, vswitchd, underlay=underlay)
    try:
        started = time.monotonic()
        deployment.start()
        say(f"three chassis, eight machines, vm5 by DHCP: up after {time.monotonic() - started:.1f} s")
        if operate:
            say(deployment.run("ovn-sbctl", "show"))
        seen = look(deployment)
        if operate:
            say(f"\n{matrix.table(seen.reached)}")
            flows = ", ".join(f"{name} {n}" for name, n in seen.flows.items())
            say(f"\nOpenFlow flows of br-int: {flows}")
            say(f"one TCP connection, vm1 to vm2: {bulk(deployment, 'vm1', 'vm2', '10.1.0.2'):.2f} Gbit/s\n")
            say(f"{'what happens':46}  {'pinged all the time':26}  longest without an answer")
            for trial in TRIALS.values():
                pinged = f"{trial.asker} to {trial.address}"
                say(f"{trial.name:46}  {pinged:26}  {trial(deployment):6.2f} s")
            complain(seen)
        return seen
    finally:
        deployment.close()


def compare(ours: Seen, real: Seen) -> bool:
    """Say whether two deployments look alike."""
    same = True
    for what, mine, its in (
        ("reachability", ours.reached, real.reached),
        ("ovn-trace", ours.traces, real.traces),
        ("numbers of flows", ours.flows, real.flows),
    ):
        differing = [key for key in its if mine.get(key) != its[key]]  # type: ignore[call-overload]
        say(f"  {what}: {len(its)} compared, {'alike' if not differing else f'differing: {differing}'}")
        same = same and not differing
    return same


def main() -> int:
    """All of it; the exit status."""
    if os.geteuid():
        print("demo-ovn makes network namespaces with devices in them: run it as root", file=sys.stderr)
        return 1
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if lacking := [program for program in NEEDED if not shutil.which(program, path=path)]:
        print(
            f"demo-ovn: this machine lacks {', '.join(lacking)} (make setup installs them)", file=sys.stderr
        )
        return 1
    with tempfile.TemporaryDirectory(prefix="demo-ovn-") as name:
        directory = Path(name)
        if "--real" in sys.argv[1:]:
            say("the real ovs-vswitchd, over br-phys")
            show(REAL, directory / "real", underlay=True, operate=True)
            return 0
        say("vswitch, tunnels by the host's own stack")
        ours = show(OURS, directory / "ours", underlay=False, operate=True)
        if "--quick" in sys.argv[1:]:
            return 0
        say("\nvswitch, tunnels over a bridge br-phys on each chassis")
        bridged = show(OURS, directory / "bridged", underlay=True, operate=False)
        say("\nthe real ovs-vswitchd, over br-phys")
        real = show(REAL, directory / "real", underlay=True, operate=False)
        say("\nvswitch with the host's stack, and the real one")
        same = compare(ours, real)
        say("vswitch with br-phys, and the real one")
        return 0 if compare(bridged, real) and same else 1


if __name__ == "__main__":
    sys.exit(main())
