"""Meters in the kernel, as `userspace.meter` has them: token by token, band by band.

A meter's element is a `bpf_spin_lock` and 64-bit words, in units of `userspace.meter.Bucket`: tokens are bits
or thousandths of packets, and come in whole milliseconds. Behind what all bands share come the bands, the
first without a rate being none; `remark` is 0 for drop, else one more than the rise of the drop precedence.

What the verifier may take for the same it looks at once. So the numbers of bands, counted from 1, come out
of the element (`number`, and `none` for 0) and are none of the program's constants: eight bands would be
2**8 ways.
"""

from __future__ import annotations

import struct
from typing import Final, final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.key import Unfit
from vswitch.dpif.types import MeterConfig, MeterStats
from vswitch.dpif.userspace.meter import MAX_BANDS
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.btf import BtfBuilder
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R5, R6, R10, U32, U64, Helper
from vswitch.ebpf.map import Map, MapType
from vswitch.ebpf.syscall import close_fd

MAX_METERS: Final = 4096
SHARED: Final = ("by_bytes", "stamp", "packets", "bytes", "none")
BAND: Final = ("rate", "size", "tokens", "remark", "band_packets", "band_bytes", "number")
WORDS: Final = (*SHARED, *(f"{name}{n}" for n in range(MAX_BANDS) for name in BAND))
OFFSET: Final = {name: 8 + 8 * n for n, name in enumerate(WORDS)}
VALUE: Final = struct.Struct(f"=I4x{len(WORDS)}Q")
MS: Final = 1_000_000
MAX_ELAPSED: Final = 60_000
"""Milliseconds for which an unused meter gains tokens; more never fit into a bucket that matters."""
METER_VERDICT: Final = 24
"""Where, in `run_meter`'s part of the stack, stands by how much to raise the drop precedence, plus one."""


def _map() -> Map:
    btf = BtfBuilder()
    u32, u64 = btf.integer("unsigned int", 4), btf.integer("unsigned long long", 8)
    lock = btf.structure("bpf_spin_lock", 4, (("val", u32, 0),))
    members = [("lock", lock, 0), *((name, u64, OFFSET[name]) for name in WORDS)]
    value = btf.structure("vs_meter", VALUE.size, members)
    fd = btf.load()
    try:
        return Map(MapType.ARRAY, 4, VALUE.size, MAX_METERS, "vs_meters", btf=(fd, u32, value))
    finally:
        close_fd(fd)


@final
class KernelMeters:
    """The map of meters, and which element is whose."""

    def __init__(self) -> None:
        """BpfError."""
        self.map = _map()
        self._numbers: dict[int, int] = {}
        self._remark: set[int] = set()
        self._free = list(range(MAX_METERS - 1, -1, -1))

    def set(self, meter_id: int, config: MeterConfig, ns: int) -> None:
        """Meter `meter_id` is as `config` says from `ns` on, full of tokens; not here if there is no room."""
        if meter_id not in self._numbers:
            if not self._free:
                return
            self._numbers[meter_id] = self._free.pop()
        words = [int(config.unit == "kbps"), ns, 0, 0, 0]
        for n, band in enumerate(config.bands, 1):
            size = 1000 * (band.burst if config.burst and band.burst > 0 else band.rate)
            words += band.rate, size, size, band.prec_level + 1 if band.type == "dscp_remark" else 0, 0, 0, n
        self._remark.discard(meter_id)
        if any(band.type == "dscp_remark" for band in config.bands):
            self._remark.add(meter_id)
        words += [0] * (len(WORDS) - len(words))
        self.map.put(self._numbers[meter_id], VALUE.pack(0, *words))

    def delete(self, meter_id: int) -> None:
        """The kernel has the meter no more. Whoever used it has been notified."""
        number = self._numbers.pop(meter_id, None)
        if number is not None:
            self._free.append(number)

    def number(self, meter_id: int) -> tuple[int, bool]:
        """The element of a meter, and whether it remarks. Unfit if the kernel hasn't it."""
        number = self._numbers.get(meter_id)
        if number is None:
            raise Unfit(f"meter {meter_id} is in userspace")
        return number, meter_id in self._remark

    def stats(self, meter_id: int, base: MeterStats) -> MeterStats:
        """`base`, what userspace counted, with what the kernel counted."""
        number = self._numbers.get(meter_id)
        value = self.map.get(number) if number is not None else None
        if value is None:
            return base
        words = dict(zip(WORDS, VALUE.unpack(value)[1:], strict=True))
        bands = [(packets + words[f"band_packets{n}"], size + words[f"band_bytes{n}"])
                 for n, (packets, size) in enumerate(base.bands)]
        return MeterStats(base.packets_in + words["packets"], base.bytes_in + words["bytes"], bands)

    def close(self) -> None:
        self.map.close()


def run_meter(a: Asm, meters: KernelMeters, where: int, passed: str, exceeded: str, remark: str) -> None:
    """Run the packet through meter R4; to `passed`, to `exceeded`, or to `remark` with METER_VERDICT set.
    `where`: 48 bytes of stack."""
    element, now, cost, verdict, band, rate = range(where, where + 48, 8)
    assert verdict == where + METER_VERDICT
    a.store(U32, R10, where, R4)
    a.map(R1, meters.map)
    a.frame(R2, where)
    a.call(Helper.map_lookup_elem)
    a.jump_if(R0, "==", 0, passed)
    a.store(U64, R10, element, R0)
    a.load(U32, R2, R6, f.C_LEN)
    a.load(U32, R1, R6, f.C_VLAN_PRESENT)
    a.jump_if(R1, "==", 0, "meter.untagged")
    a.add(R2, 4)
    a.label("meter.untagged")
    a.store(U64, R10, cost, R2)
    a.store(U64, R10, verdict, 0)
    a.call(Helper.ktime_get_ns)
    a.store(U64, R10, now, R0)
    a.load(U64, R1, R10, element)
    a.call(Helper.spin_lock)
    a.load(U64, R1, R10, element)
    a.load(U64, R2, R1, OFFSET["none"])
    a.store(U64, R10, band, R2)
    a.store(U64, R10, rate, R2)
    # R5: the packet's size, R4: what it costs.
    a.load(U64, R5, R10, cost)
    for name, by in (("packets", 1), ("bytes", R5)):
        a.load(U64, R2, R1, OFFSET[name])
        a.add(R2, by)
        a.store(U64, R1, OFFSET[name], R2)
    a.mov(R4, 1000)
    a.load(U64, R2, R1, OFFSET["by_bytes"])
    a.jump_if(R2, "==", 0, "meter.cost")
    a.mov(R4, R5)
    a.shl(R4, 3)
    a.label("meter.cost")
    # R3: whole milliseconds since the last tokens.
    a.load(U64, R3, R10, now)
    a.load(U64, R2, R1, OFFSET["stamp"])
    a.jump_if(R3, ">", R2, "meter.elapsed")
    a.mov(R3, R2)
    a.label("meter.elapsed")
    a.sub(R3, R2)
    a.alu("/", R3, MS)
    a.mov(R0, R3)
    a.alu("*", R0, MS)
    a.add(R0, R2)
    a.store(U64, R1, OFFSET["stamp"], R0)
    a.jump_if(R3, "<=", MAX_ELAPSED, "meter.bands")
    a.mov(R3, MAX_ELAPSED)
    a.label("meter.bands")
    for n in range(MAX_BANDS):
        _spend(a, n, band, rate)
    a.label("meter.spent")
    a.load(U64, R3, R10, band)
    for n in range(MAX_BANDS):
        a.jump_if(R3, "!=", n + 1, f"meter.not.{n}")
        for name, by in (("band_packets", 1), ("band_bytes", R5)):
            a.load(U64, R2, R1, OFFSET[f"{name}{n}"])
            a.add(R2, by)
            a.store(U64, R1, OFFSET[f"{name}{n}"], R2)
        a.load(U64, R2, R1, OFFSET[f"remark{n}"])
        a.store(U64, R10, verdict, R2)
        a.jump("meter.unlock")
        a.label(f"meter.not.{n}")
    a.label("meter.unlock")
    a.call(Helper.spin_unlock)
    a.load(U64, R1, R10, band)
    a.jump_if(R1, "==", 0, passed)
    a.load(U64, R1, R10, verdict)
    a.jump_if(R1, "!=", 0, remark)
    a.jump(exceeded)


def _spend(a: Asm, n: int, band: int, rate: int) -> None:
    """Band n gets R3 milliseconds' tokens and gives R4; if it can't, and has the highest rate of such, it is
    the one at `band` (counted from 1). To "meter.spent" if there is no such band."""
    a.load(U64, R0, R1, OFFSET[f"rate{n}"])
    a.jump_if(R0, "==", 0, "meter.spent")
    a.mov(R2, R0)
    a.alu("*", R2, R3)
    a.load(U64, R0, R1, OFFSET[f"tokens{n}"])
    a.add(R2, R0)
    a.load(U64, R0, R1, OFFSET[f"size{n}"])
    a.jump_if(R2, "<=", R0, f"meter.full.{n}")
    a.mov(R2, R0)
    a.label(f"meter.full.{n}")
    a.jump_if(R2, "<", R4, f"meter.over.{n}")
    a.sub(R2, R4)
    a.store(U64, R1, OFFSET[f"tokens{n}"], R2)
    a.jump(f"meter.next.{n}")
    a.label(f"meter.over.{n}")
    a.store(U64, R1, OFFSET[f"tokens{n}"], R2)
    a.load(U64, R0, R1, OFFSET[f"rate{n}"])
    a.load(U64, R2, R10, rate)
    a.jump_if(R0, "<=", R2, f"meter.next.{n}")
    a.store(U64, R10, rate, R0)
    a.load(U64, R0, R1, OFFSET[f"number{n}"])
    a.store(U64, R10, band, R0)
    a.label(f"meter.next.{n}")
