"""A program at a port: by tcx where the kernel has it (6.6), else as a filter of a clsact qdisc.

tcx is a little quicker for each packet, and ends with the process whatever happens, but coming and going
takes 10 to 30 ms a port, in which the kernel's lock for all devices is held. So only the first ports have it.

What comes in from an interface is taken at its ingress; what the host sends through the datapath's own
device (a tap) at that one's egress, by clsact in any case: only that has a verdict by which a packet ends
without its sender hearing of a loss. The tap goes with the process, and the filter with it.
"""

from __future__ import annotations

import errno
from typing import Final, Protocol

from vswitch.ebpf.clsact import ClsactFilter
from vswitch.ebpf.link import TCX_INGRESS, TcxLink
from vswitch.ebpf.program import Program
from vswitch.ebpf.syscall import BpfError

MAX_TCX: Final = 16
"""Ports that have tcx."""


class Attachment(Protocol):
    """A program that stands at an interface until `close`."""

    def close(self) -> None: ...


def attach(program: Program, ifindex: int, local: bool, tcx: bool = True) -> Attachment:
    """Put `program` at interface `ifindex`, at its egress if it is `local`; by clsact unless `tcx`. OSError:
    the kernel's."""
    if local:
        return ClsactFilter(program, ifindex, egress=True)
    if tcx:
        try:
            return TcxLink(program, ifindex, TCX_INGRESS)
        except BpfError as e:
            if e.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    return ClsactFilter(program, ifindex, egress=False)

