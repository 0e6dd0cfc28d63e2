"""Which datapath to use, and why: the kernel's where it has one, else our own."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from vswitch.netlink.errors import NlError
from vswitch.netlink.genl import lookup_family

FAMILY: Final = "ovs_datapath"


def kernel_datapath() -> str:
    """Why the kernel's datapath can't be used, or "" if it can. Loads the module if that helps."""
    try:
        lookup_family(FAMILY)
        return ""
    except (NlError, OSError):
        pass
    if os.geteuid() == 0 and shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "openvswitch"], capture_output=True, check=False)
        try:
            lookup_family(FAMILY)
            return ""
        except (NlError, OSError):
            pass
    return "the kernel has no openvswitch datapath"


def choose(wanted: str) -> tuple[str, str]:
    """(type of datapath, why) for `--datapath wanted`, which is "auto", "system" or "netdev"."""
    if wanted != "auto":
        return wanted, "as asked for"
    lacking = kernel_datapath()
    if lacking:
        return "netdev", lacking
    return "system", "the kernel has the openvswitch module"
