"""`TcxLink`: a program on a device's tcx hook (Linux 6.6). It ends with its descriptor, so that a
process that dies leaves nothing behind. Attaching and detaching wait for all CPUs (10 to 30 ms)."""

from __future__ import annotations

import struct
from typing import Final

from vswitch.ebpf.program import Program
from vswitch.ebpf.syscall import LINK_CREATE, Buffer, bpf, close_fd

TCX_INGRESS: Final = 46
TCX_EGRESS: Final = 47
"""`enum bpf_attach_type` of <linux/bpf.h>."""


class TcxLink:
    """`program` attached to interface `ifindex`. BpfError: EINVAL where the kernel has no tcx."""

    def __init__(self, program: Program, ifindex: int, hook: int) -> None:
        attr = Buffer(64)
        struct.pack_into("=IIII", attr.view, 0, program.fd, ifindex, hook, 0)
        self.fd = bpf(LINK_CREATE, attr, f"attaching to interface {ifindex}")

    def close(self) -> None:
        """Detach. Idempotent."""
        close_fd(self.fd)
        self.fd = -1
