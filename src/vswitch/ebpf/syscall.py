"""bpf(2): the system call, its commands, and the error that it raises.

Numbers are those of <linux/bpf.h>; the layouts of `union bpf_attr` are at their callers.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

NR: Final = {
    "x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64": 361, "ppc64le": 361,
    "s390x": 351, "mips64": 5315, "i686": 357, "armv7l": 386,
}  # fmt: skip
"""Machine -> number of the system call (<asm/unistd.h>)."""

MAP_CREATE, MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM, MAP_GET_NEXT_KEY = 0, 1, 2, 3, 4
PROG_LOAD, PROG_TEST_RUN, OBJ_GET_INFO_BY_FD, BTF_LOAD = 5, 10, 15, 18
LINK_CREATE: Final = 28

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_long)


class BpfError(OSError):
    """bpf(2) failed. `log` is what the verifier said, "" if it was not asked."""

    def __init__(self, errno: int, what: str, log: str = "") -> None:
        super().__init__(errno, f"{what}: {os.strerror(errno)}" + (f"\n{log}" if log else ""))
        self.log = log


class Buffer:
    """`size` bytes at an address that stays: what an attribute points at, or one itself."""

    __slots__ = ("_buffer", "address", "size", "view")

    def __init__(self, size: int, content: bytes = b"") -> None:
        self._buffer = ctypes.create_string_buffer(max(size, len(content), 1))
        self.size = max(size, len(content))
        self.address: int = ctypes.addressof(self._buffer)
        self.view = memoryview(self._buffer).cast("B")
        if content:
            self.view[: len(content)] = content

    def raw(self) -> bytes:
        """All of it."""
        return self._buffer.raw

    def text(self) -> str:
        """What is there up to the first zero byte."""
        return self._buffer.value.decode("utf-8", "replace")


def number() -> int:
    """The system call's number on this machine. OSError(ENOSYS) where it is not known."""
    found = NR.get(os.uname().machine)
    if found is None:
        raise BpfError(38, f"bpf(2) on a machine of type {os.uname().machine}")
    return found


_number = NR.get(os.uname().machine, -1)


def bpf(command: int, attr: Buffer, what: str) -> int:
    """Call bpf(2) with `attr` (read, and for some commands written); `what` names it in a BpfError."""
    result: int = _syscall(_number if _number >= 0 else number(), command, attr.address, attr.size)
    if result < 0:
        raise BpfError(ctypes.get_errno(), what)
    return result


def info(fd: int, size: int) -> bytes:
    """The first `size` bytes of `struct bpf_prog_info` or its like for descriptor `fd`."""
    out = Buffer(size)
    attr = Buffer(16)
    struct.pack_into("=IIQ", attr.view, 0, fd, size, out.address)
    bpf(OBJ_GET_INFO_BY_FD, attr, "asking about a BPF object")
    return out.raw()[:size]


def close_fd(fd: int) -> None:
    """Close a descriptor that may be -1."""
    if fd >= 0:
        os.close(fd)
