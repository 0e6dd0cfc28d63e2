"""Whether this process may and this kernel can run the eBPF datapath; if not, what is missing.

Everything is tried: the maps and programs of a datapath without ports are made and let go again, and a
program is attached to the loopback device, which it leaves as it is, and to a tap made for that.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from vswitch.dpif.ebpf.attach import attach
from vswitch.dpif.ebpf.frame import TC_UNSPEC
from vswitch.dpif.ebpf.programs import Programs
from vswitch.dpif.ebpf.ring import UpRing, skb_layout
from vswitch.dpif.ebpf.tables import Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.btf import BtfError
from vswitch.ebpf.map import Map, MapType
from vswitch.ebpf.program import Program, VerifierError
from vswitch.netdev import tap

CAPABILITIES: Final = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
"""Bits of CapEff in proc(5); CAP_SYS_ADMIN stands for the two behind it."""
WANTED: Final = ("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON")
LOOPBACK: Final = 1


def missing_capabilities() -> list[str]:
    """Those of `WANTED` that this process has not."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            has = int(line.split()[1], 16)
            admin = bool(has >> CAPABILITIES["CAP_SYS_ADMIN"] & 1)
            return [name for name in WANTED
                    if not has >> CAPABILITIES[name] & 1 and not (admin and name != "CAP_NET_ADMIN")]
    return []


def why_not() -> str:
    """Why there can be no eBPF datapath here, "" if there can be one."""
    lacking = missing_capabilities()
    if lacking:
        return f"the eBPF datapath needs {' and '.join(lacking)}"
    if not tap.usable():
        return f"the eBPF datapath needs {tap.TUN_DEVICE}"
    try:
        Map(MapType.ARRAY, 4, 8, 1, "vs_probe").close()
    except OSError as e:
        if e.errno == errno.EPERM:
            return "the kernel lets this process make no BPF maps (a container?)"
        return f"the kernel has no BPF: {e.strerror}"
    try:
        layout = skb_layout()
    except (OSError, BtfError):
        return "the eBPF datapath needs the kernel's BTF (/sys/kernel/btf/vmlinux)"
    return _try_whole(layout)


def _try_whole(layout: object) -> str:
    tables = up = programs = None
    try:
        tables = Tables()
        up = UpRing(layout)  # type: ignore[arg-type]
        programs = Programs(tables, up)
        _try_attaching()
    except VerifierError as e:
        last = [line for line in e.log.splitlines() if line][-1:]
        return f"the kernel refuses the eBPF datapath's programs: {''.join(last)}"
    except OSError as e:
        return f"the kernel lacks what the eBPF datapath needs: {str(e.strerror or e).splitlines()[0]}"
    finally:
        for part in (programs, up, tables):
            if part is not None:
                part.close()
    return ""


def _try_attaching() -> None:
    """To loopback as to a port, and to a tap made for it as to the local port."""
    a = Asm()
    a.ret(TC_UNSPEC)
    program = Program(a, "vs_probe")
    try:
        attach(program, LOOPBACK, local=False).close()
        device = tap.TapNetdev(f"vsprobe{os.getpid() % 1_000_000}")
        try:
            attach(program, device.ifindex(), local=True).close()
        finally:
            device.close()
    finally:
        program.close()
