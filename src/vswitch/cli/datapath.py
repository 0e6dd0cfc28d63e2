"""Which datapath to use, and why: the kernel's where it has one, else our own."""

from __future__ import annotations

from vswitch.bridge.datapaths import kernel_datapath


def choose(wanted: str) -> tuple[str, str]:
    """(type of datapath, why) for `--datapath wanted`, which is "auto", "system" or "netdev"."""
    if wanted != "auto":
        return wanted, "as asked for"
    lacking = kernel_datapath()
    if lacking:
        return "netdev", lacking
    return "system", "the kernel has the openvswitch module"
