"""What the database wants to know of the machine and of this switch: versions, and load."""

from __future__ import annotations

import contextlib
import glob
import os
import shlex
from typing import Final

from vswitch.base.version import OVS_VERSION


def ovs_version() -> str:
    """What Open_vSwitch.ovs_version says."""
    return OVS_VERSION


def system() -> tuple[str, str]:
    """(system_type, system_version), from os-release(5) as ovs-ctl(8) has them."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            pairs = (word.partition("=") for line in file for word in shlex.split(line, comments=True))
            words = {name: value for name, _, value in pairs}
    except (OSError, ValueError):
        return "unknown", "unknown"
    return words.get("ID", "unknown"), words.get("VERSION_ID", "unknown")


PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") // 1024
TICKS: Final = os.sysconf("SC_CLK_TCK")


def statistics(rundir: str) -> dict[str, str]:
    """Open_vSwitch.statistics: what the machine has and how busy it is. What can't be found is left out."""
    found = {"cpu": str(os.sysconf("SC_NPROCESSORS_ONLN"))}
    with contextlib.suppress(OSError):
        found["load_average"] = ",".join(f"{load:.2f}" for load in os.getloadavg())
    found |= _memory() | _file_systems()
    for pidfile in sorted(glob.glob(f"{rundir}/*.pid")):
        found |= _process(pidfile)
    return found


def _memory() -> dict[str, str]:
    """RAM in all, in use, of that disposable; swap in all, in use: kB (proc(5), /proc/meminfo)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            kb = {words[0].rstrip(":"): int(words[1]) for line in file if len(words := line.split()) > 1}
        used = kb["MemTotal"] - kb["MemFree"]
        cached = kb["Buffers"] + kb["Cached"]
        swap = kb["SwapTotal"] - kb["SwapFree"]
        return {"memory": f"{kb['MemTotal']},{used},{cached},{kb['SwapTotal']},{swap}"}
    except (OSError, KeyError, ValueError):
        return {}


def _file_systems() -> dict[str, str]:
    """Local file systems that can be written: mount point, size and use in kB."""
    told: list[str] = []
    with contextlib.suppress(OSError), open("/proc/mounts", encoding="utf-8") as file:
        for line in file:
            device, where, _, options, *_ = line.split(" ")
            if not device.startswith("/") or "rw" not in options.split(","):
                continue
            with contextlib.suppress(OSError):
                st = os.statvfs(where)
                size = st.f_blocks * st.f_frsize // 1024
                used = size - st.f_bfree * st.f_frsize // 1024
                told.append(f"{where.replace(',', '_')},{size},{used}")
    return {"file_systems": " ".join(told)} if told else {}


def _process(pidfile: str) -> dict[str, str]:
    """A daemon: virtual and resident memory in kB, CPU ms, crashes, ms since start and since booted."""
    try:
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # After the name, which may hold anything; fields from proc(5), /proc/pid/stat.
            fields = file.read().rpartition(")")[2].split()
        with open("/proc/uptime", encoding="ascii") as file:
            uptime = float(file.read().split()[0])
        cpu = (int(fields[11]) + int(fields[12])) * 1000 // TICKS
        age = int((uptime - int(fields[19]) / TICKS) * 1000)
        name = os.path.basename(pidfile).removesuffix(".pid")
        value = f"{int(fields[20]) // 1024},{int(fields[21]) * PAGE_KB},{cpu},0,{age},{age}"
        return {f"process_{name}": value}
    except (OSError, ValueError, IndexError):
        return {}
