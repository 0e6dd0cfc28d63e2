"""A program at a port: by tcx where the kernel has it (6.6), else as a filter of a clsact qdisc.

What comes in from an interface is taken at its ingress; what the host sends through the datapath's own
device (a tap) at that one's egress, by clsact in any case: only that has a verdict by which a packet ends
without its sender hearing of a loss. The tap goes with the process, and the filter with it.
"""

from __future__ import annotations

import errno
import functools
from typing import Protocol

from vswitch.base.vlog import Vlog
from vswitch.ebpf.clsact import ClsactFilter, remove_stale
from vswitch.ebpf.link import TCX_INGRESS, TcxLink
from vswitch.ebpf.program import Program
from vswitch.ebpf.syscall import BpfError

log = Vlog("dpif_ebpf")


class Attachment(Protocol):
    """A program that stands at an interface until `close`."""

    def update(self, program: Program) -> None: ...

    def close(self) -> None: ...


def attach(program: Program, ifindex: int, local: bool) -> Attachment:
    """Put `program` at interface `ifindex`, at its egress if it is `local`. OSError: the kernel's."""
    if local:
        return ClsactFilter(program, ifindex, egress=True)
    try:
        return TcxLink(program, ifindex, TCX_INGRESS)
    except BpfError as e:
        if e.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    _remove_stale()
    return ClsactFilter(program, ifindex, egress=False)


@functools.cache
def _remove_stale() -> None:
    """What a process left that was killed; those of tcx went with it."""
    for ifindex in remove_stale():
        log.info("interface %d: removed the program of a switch that is no more", ifindex)
