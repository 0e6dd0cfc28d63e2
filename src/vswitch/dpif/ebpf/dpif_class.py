"""The "ebpf" type of datapaths."""

from __future__ import annotations

import errno
from typing import Final

from vswitch.base.clock import Clock
from vswitch.dpif.ebpf.provider import TYPE, EbpfDpif
from vswitch.dpif.ebpf.usable import why_not
from vswitch.dpif.provider import Dpif, DpifClass
from vswitch.dpif.types import DpifError
from vswitch.dpif.userspace.datapath import enumerate_names, port_open_type
from vswitch.dpif.userspace.miniflow import miniflow_bits
from vswitch.flow.flow import Flow
from vswitch.netdev.scope import Scope


class EbpfClass(DpifClass):
    """Datapaths of this process whose busy flows are in the kernel."""

    type = TYPE
    title = "eBPF"
    dump_title = "flow-dump from the main thread:"
    pushes_tunnels = True
    limits_vlans = True

    def __init__(self) -> None:
        self._lacking: str | None = None

    def open(self, name: str, clock: Clock, create: bool, scope: Scope) -> Dpif:
        lacking = self.lacking() if create else ""
        if lacking:
            raise DpifError(errno.EOPNOTSUPP, "open", f"{TYPE}@{name}", lacking)
        return EbpfDpif(name, clock, create, scope)

    def enumerate(self, scope: Scope) -> list[str]:
        return enumerate_names(scope, self.type)

    def extra_info(self, mask: Flow) -> str:
        return miniflow_bits(mask)

    def port_open_type(self, type: str) -> str:
        return port_open_type(type, False)

    def lacking(self) -> str:
        """Tried once a process."""
        if self._lacking is None:
            self._lacking = why_not()
        return self._lacking


CLASS: Final = EbpfClass()
