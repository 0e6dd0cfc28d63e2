"""The conformance suite of the dpif interface: what every provider must do, case by case.

A case is a function `(lab, dpif)` that asserts; `CASES` lists them. `test_userspace.py` runs
them against the userspace datapath; inside user-mode Linux, with a `Lab` over veth or tap
devices, they run against the kernel's (`run_all` needs no pytest).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

from tests.dpif import ports_and_flows, upcalls
from tests.dpif.cases import CASES, Case
from tests.dpif.lab import Lab

__all__ = ["CASES", "PARTS", "Case", "run_all"]

PARTS = (ports_and_flows, upcalls)
"""The modules whose cases these are."""


def run_all(make_lab: Callable[[], Lab], cases: list[Case] | None = None) -> dict[str, str]:
    """Run the cases, each with a fresh lab; what failed, by name, with its traceback."""
    failed: dict[str, str] = {}
    for one in cases or CASES:
        lab = make_lab()
        try:
            dpif = lab.open()
            try:
                one(lab, dpif)
            finally:
                dpif.close()
        except Exception:
            failed[one.__name__] = traceback.format_exc()
        finally:
            lab.close()
    return failed
