"""Whose is what stays in the kernel when its process dies: a mark that names the process.

A number alone names no process for long, and in a container it is the same at every start; with the time at
which the process began (proc(5), field 22 of /proc/pid/stat) it does.
"""

from __future__ import annotations

import functools
import os
import re
from typing import Final

PREFIX: Final = "vswitch."
_MARK: Final = re.compile(r"vswitch\.(\d+)\.(\d+)")


def mark() -> str:
    """The mark of this process."""
    return _mark(os.getpid())


@functools.lru_cache(1)
def _mark(pid: int) -> str:
    return f"{PREFIX}{pid}.{_began(pid)}"


def _began(pid: int) -> int:
    """When process `pid` began, in clock ticks since the machine did; -1 if it is no more, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # Behind the name, which may hold anything.
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] == "Z" else int(fields[19])


def is_left(text: str) -> bool:
    """Whether `text` is the mark of a process that is no more."""
    found = _MARK.fullmatch(text)
    return found is not None and _began(int(found[1])) != int(found[2])
