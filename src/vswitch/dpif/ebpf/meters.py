"""Meters in the kernel: one drop band each, as `userspace.meter` has it, token by token.

A meter's element is a `bpf_spin_lock` and 64-bit words, in units of `userspace.meter.Bucket`: tokens are bits
or thousandths of packets, and come in whole milliseconds. Meters with several bands, or one that remarks,
stay in userspace, and flows through them with them.
"""

from __future__ import annotations

import struct
from typing import Final, final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.key import Unfit
from vswitch.dpif.types import MeterConfig, MeterStats
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.btf import BtfBuilder
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R5, R6, R10, U32, U64, Helper
from vswitch.ebpf.map import Map, MapType
from vswitch.ebpf.syscall import close_fd

MAX_METERS: Final = 4096
WORDS: Final = ("by_bytes", "rate", "size", "tokens", "stamp", "packets", "bytes", "dropped", "dropped_bytes")
OFFSET: Final = {name: 8 + 8 * n for n, name in enumerate(WORDS)}
VALUE: Final = struct.Struct("=I4x9Q")
MS: Final = 1_000_000
MAX_ELAPSED: Final = 60_000
"""Milliseconds for which an unused meter gains tokens; more never fit into a bucket that matters."""


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
        self._free = list(range(MAX_METERS - 1, -1, -1))

    def set(self, meter_id: int, config: MeterConfig, ns: int) -> None:
        """Meter `meter_id` is as `config` says from `ns` on, full of tokens; not here if it can't be."""
        bands = config.bands
        if len(bands) != 1 or bands[0].type != "drop" or (meter_id not in self._numbers and not self._free):
            self.delete(meter_id)
            return
        band = bands[0]
        if meter_id not in self._numbers:
            self._numbers[meter_id] = self._free.pop()
        size = 1000 * (band.burst if config.burst and band.burst > 0 else band.rate)
        value = VALUE.pack(0, int(config.unit == "kbps"), band.rate, size, size, ns, 0, 0, 0, 0)
        self.map.put(self._numbers[meter_id], value)

    def delete(self, meter_id: int) -> None:
        """The kernel has the meter no more. Whoever used it has been notified."""
        number = self._numbers.pop(meter_id, None)
        if number is not None:
            self._free.append(number)

    def number(self, meter_id: int) -> int:
        """The element of a meter. Unfit if the kernel hasn't it."""
        number = self._numbers.get(meter_id)
        if number is None:
            raise Unfit(f"meter {meter_id} is in userspace")
        return number

    def stats(self, meter_id: int, base: MeterStats) -> MeterStats:
        """`base`, what userspace counted, with what the kernel counted."""
        number = self._numbers.get(meter_id)
        value = self.map.get(number) if number is not None else None
        if value is None:
            return base
        _lock, _kind, _rate, _size, _tokens, _stamp, packets, size, dropped, lost = VALUE.unpack(value)
        bands = [(base.bands[0][0] + dropped, base.bands[0][1] + lost)]
        return MeterStats(base.packets_in + packets, base.bytes_in + size, bands)

    def close(self) -> None:
        self.map.close()


def run_meter(a: Asm, meters: KernelMeters, where: int, passed: str, exceeded: str) -> None:
    """Run the packet through meter R4; to `passed` or `exceeded`. `where`: 32 bytes of stack."""
    element, now, cost, verdict = where, where + 8, where + 16, where + 24
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
    a.jump_if(R3, "<=", R2, "meter.spend")
    a.sub(R3, R2)
    a.alu("/", R3, MS)
    a.mov(R0, R3)
    a.alu("*", R0, MS)
    a.add(R0, R2)
    a.store(U64, R1, OFFSET["stamp"], R0)
    a.jump_if(R3, "<=", MAX_ELAPSED, "meter.gain")
    a.mov(R3, MAX_ELAPSED)
    a.label("meter.gain")
    a.load(U64, R2, R1, OFFSET["rate"])
    a.alu("*", R3, R2)
    a.load(U64, R2, R1, OFFSET["tokens"])
    a.add(R2, R3)
    a.load(U64, R3, R1, OFFSET["size"])
    a.jump_if(R2, "<=", R3, "meter.full")
    a.mov(R2, R3)
    a.label("meter.full")
    a.store(U64, R1, OFFSET["tokens"], R2)
    a.label("meter.spend")
    a.load(U64, R2, R1, OFFSET["tokens"])
    a.jump_if(R2, "<", R4, "meter.over")
    a.sub(R2, R4)
    a.store(U64, R1, OFFSET["tokens"], R2)
    a.jump("meter.unlock")
    a.label("meter.over")
    a.store(U64, R10, verdict, 1)
    for name, by in (("dropped", 1), ("dropped_bytes", R5)):
        a.load(U64, R2, R1, OFFSET[name])
        a.add(R2, by)
        a.store(U64, R1, OFFSET[name], R2)
    a.label("meter.unlock")
    a.call(Helper.spin_unlock)
    a.load(U64, R1, R10, verdict)
    a.jump_if(R1, "==", 0, passed)
    a.jump(exceeded)
