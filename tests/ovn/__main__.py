"""`make demo-ovn`: the deployment of `deployment.py`, who reaches whom in it, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.ovn.deployment import Deployment


def main() -> int:
    """Set up, show, take away; 1 if the machine lacks something."""
    if os.geteuid():
        print("demo-ovn makes network namespaces with devices in them: run it as root", file=sys.stderr)
        return 1
    needed = ("ovn-northd", "ovn-controller", "ovsdb-server", "ovs-vsctl", "socat", "ethtool")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if lacking := [program for program in needed if not shutil.which(program, path=path)]:
        print(
            f"demo-ovn: this machine lacks {', '.join(lacking)} (make setup installs them)", file=sys.stderr
        )
        return 1
    with tempfile.TemporaryDirectory(prefix="demo-ovn-") as directory:
        deployment = Deployment(Path(directory))
        try:
            print("starting OVN's databases, ovn-northd and two chassis", flush=True)
            deployment.start()
            print(deployment.run("ovn-sbctl", "show"))
            for what, reached in deployment.reachability().items():
                print(f"{what:34} {'yes' if reached else 'no'}", flush=True)
        finally:
            deployment.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
