"""The "system" type of datapaths: those of the kernel's openvswitch module."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from typing import Final

from vswitch.base.clock import Clock
from vswitch.dpif.kernel import datapath
from vswitch.dpif.kernel.family import lookup_families
from vswitch.dpif.kernel.provider import DpifKernel
from vswitch.dpif.provider import Dpif, DpifClass
from vswitch.dpif.types import DpifError
from vswitch.netdev.scope import Scope
from vswitch.netlink.errors import NlError
from vswitch.netlink.genl import lookup_family
from vswitch.netlink.socket import NETLINK_GENERIC, NlSocket

FAMILY: Final = "ovs_datapath"


class KernelClass(DpifClass):
    """Datapaths that live in the kernel, whoever made them, and go on without this process."""

    type = "system"
    title = "kernel"
    datapath_version = "<unknown>"
    ends_with_process = False
    counts_masks = True
    tunnels_are_devices = True
    kernel_polices = True

    def open(self, name: str, clock: Clock, create: bool, scope: Scope) -> Dpif:
        return DpifKernel(name, clock, create)

    def enumerate(self, scope: Scope) -> list[str]:
        """All datapaths in this network namespace."""
        families = lookup_families(self.type)
        try:
            sock = NlSocket(NETLINK_GENERIC)
        except OSError as e:
            raise DpifError(e.errno or errno.EIO, "enumerate", self.type) from e
        try:
            return sorted(info.name for info in datapath.dump(sock, families.datapath))
        except NlError as e:
            raise DpifError(e.errno or errno.EIO, "enumerate", self.type, e.detail) from e
        finally:
            sock.close()

    def lacking(self) -> str:
        """Loads the module where it may."""
        if _has_family():
            return ""
        if os.geteuid() == 0 and shutil.which("modprobe"):
            subprocess.run(["modprobe", "-q", "openvswitch"], capture_output=True, check=False)
            if _has_family():
                return ""
        return "the kernel has no openvswitch datapath"


def _has_family() -> bool:
    try:
        lookup_family(FAMILY)
    except (NlError, OSError):
        return False
    return True


CLASS: Final = KernelClass()
