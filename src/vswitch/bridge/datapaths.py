"""Which datapath a bridge runs on: the type that its row names, or the best that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final, final

from vswitch.base.vlog import Vlog
from vswitch.dpif.open import dpif_types, is_kernel
from vswitch.netlink.errors import NlError
from vswitch.netlink.genl import lookup_family

log = Vlog("bridge")

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


@final
class Choice:
    """The datapath type for bridges that leave it open, chosen once a process and said then."""

    def __init__(self) -> None:
        self._chosen = ""
        self._why = ""

    def resolve(self, type: str) -> tuple[str, str]:
        """(datapath type, why it is another than the default, if it is) for Bridge.datapath_type `type`."""
        if type:
            return type, ""
        if not self._chosen:
            self._why = kernel_datapath() if is_kernel("system") else ""
            if "system" not in dpif_types():
                self._why = "datapath type system is disabled"
            self._chosen = "netdev" if self._why else "system"
            if self._why:
                log.warn("%s: bridges without datapath_type use the userspace datapath (netdev)", self._why)
        return self._chosen, self._why
