"""Which datapath to use, and why: the kernel's where it has one, else eBPF, else our own."""

from __future__ import annotations

from vswitch.dpif.open import best_type


def choose(wanted: str) -> tuple[str, str]:
    """(type of datapath, why) for `--datapath wanted`: "auto", or a type."""
    if wanted != "auto":
        return wanted, "as asked for"
    type, lacking = best_type()
    return type, lacking or "the kernel has the openvswitch module"
