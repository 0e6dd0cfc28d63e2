"""The list of conformance cases; `case` adds one."""

from __future__ import annotations

import select
from collections.abc import Callable

from tests.dpif.lab import Lab
from vswitch.dpif.provider import Dpif

Case = Callable[[Lab, Dpif], None]
CASES: list[Case] = []


def case(fn: Case) -> Case:
    CASES.append(fn)
    return fn


def readable(fd: int, timeout: float = 0) -> bool:
    return bool(select.select([fd], [], [], timeout)[0])
