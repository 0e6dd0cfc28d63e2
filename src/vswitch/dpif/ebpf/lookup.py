"""From the key to the flow and on its way: cache, masks, statistics, the commonest actions.

Parts of the classifier, each a function that appends to an `Asm`. R6 is the context throughout. Found
flows come to label "found" with R0 at their slot's number (a map's value), cached ones to "hit" with the
slot in R7 and its words in R0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.frame import ENTRY, INFO, KEY, MASKED, SLOT, net16
from vswitch.dpif.ebpf.key import K_ETH_TYPE, K_HASH, K_MARK, K_TCP_FLAGS, K_VLAN, KEY_SIZE, KEY_WORDS
from vswitch.dpif.ebpf.tables import CACHE_SLOTS, Counter, Kind, Subtable, Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R0, R1, R2, R3, R6, R7, R8, R9, R10, U16, U32, U64, Helper, Reg

GOLDEN: Final = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: multiplicative hashing (Knuth, volume 3, section 6.4)."""
INTERPRETER: Final = 0
AGAIN: Final = 1
"""Numbers in `Tables.programs`: who runs action lists, and the classifier of recirculated packets."""
REDIRECT_INGRESS: Final = 1
"""BPF_F_INGRESS."""


def look_in_cache(a: Asm, t: Tables) -> None:
    """To "hit" if this CPU has seen the key lately; else on, with ENTRY where it belongs."""
    a.note("the exact-match cache")
    a.imm64(R2, GOLDEN)
    a.load(U64, R1, R10, KEY)
    for word in range(1, KEY_WORDS):
        a.alu("*", R1, R2)
        a.load(U64, R3, R10, KEY + 8 * word)
        a.alu("^", R1, R3)
    a.alu("*", R1, R2)
    a.shr(R1, 65 - CACHE_SLOTS.bit_length())
    a.store(U32, R10, SLOT, R1)
    _element(a, t.cache, SLOT)
    a.jump_if(R0, "==", 0, "shot")
    a.store(U64, R10, ENTRY, R0)
    for word in range(KEY_WORDS):
        a.load(U64, R1, R0, 8 * word)
        a.load(U64, R2, R10, KEY + 8 * word)
        a.jump_if(R1, "!=", R2, "uncached")
    a.load(U32, R7, R0, KEY_SIZE)
    a.load(U32, R8, R0, KEY_SIZE + 4)
    a.store(U32, R10, SLOT, R7)
    _element(a, t.flows, SLOT)
    a.jump_if(R0, "==", 0, "uncached")
    a.load(U32, R1, R0, 8)
    a.jump_if(R1, "==", R8, "hit")
    a.label("uncached")


def _element(a: Asm, table: object, where: int) -> None:
    """R0: the element of an array whose number is at `where` on the stack."""
    a.map(R1, table)  # type: ignore[arg-type]
    a.frame(R2, where)
    a.call(Helper.map_lookup_elem)


def try_masks(a: Asm, subtables: Sequence[Subtable]) -> None:
    """To "found" if a mask knows the packet; those of its Ethernet type first, busiest first."""
    by_type: dict[int, list[Subtable]] = {}
    for one in sorted(subtables, key=lambda s: -s.hits):
        by_type.setdefault(one.eth_type, []).append(one)
    anyway = by_type.pop(-1, [])
    if by_type:
        a.load(U16, R1, R10, KEY + K_ETH_TYPE)
        for eth_type in by_type:
            a.jump_if(R1, "==", net16(eth_type), f"type.{eth_type:04x}")
        a.jump("any.type")
        for eth_type, those in by_type.items():
            a.label(f"type.{eth_type:04x}")
            for one in those:
                _try_mask(a, one)
            a.jump("any.type")
    a.label("any.type")
    for one in anyway:
        _try_mask(a, one)


def _try_mask(a: Asm, subtable: Subtable) -> None:
    a.note(f"mask {subtable.number}")
    where = MASKED
    for word, bits in zip(subtable.index, subtable.bits, strict=True):
        a.load(U64, R1, R10, KEY + 8 * word)
        if bits != (1 << 64) - 1:
            if bits < 1 << 31:
                a.and_(R1, bits)
            else:
                a.imm64(R2, bits - (1 << 64) if bits >> 63 else bits)
                a.and_(R1, R2)
        a.store(U64, R10, where, R1)
        where += 8
    a.store(U32, R10, where, subtable.number)
    _element(a, subtable.table, MASKED)
    a.jump_if(R0, "!=", 0, "found")


def found(a: Asm, t: Tables) -> None:
    """A mask knew the packet: remember it in the cache, and go on as if that had known it."""
    a.label("found")
    a.load(U32, R7, R0, 0)
    a.store(U32, R10, SLOT, R7)
    _element(a, t.flows, SLOT)
    a.jump_if(R0, "==", 0, "shot")
    a.load(U64, R1, R10, ENTRY)
    for word in range(KEY_WORDS):
        a.load(U64, R2, R10, KEY + 8 * word)
        a.store(U64, R1, 8 * word, R2)
    a.store(U32, R1, KEY_SIZE, R7)
    a.load(U32, R2, R0, 8)
    a.store(U32, R1, KEY_SIZE + 4, R2)
    a.mov(R9, R0)
    count(a, t, Counter.LOOKUP)
    a.mov(R0, R9)


def count(a: Asm, t: Tables, which: int, further: Reg | None = None) -> None:
    """One more of counter `which`, or of the one as many bytes behind it as `further` holds. R6 to R9 stay as
    they are."""
    skip = a.fresh("uncounted")
    a.call(Helper.get_smp_processor_id)
    a.store(U32, R10, f.SCRATCH, R0)
    _element(a, t.counters, f.SCRATCH)
    a.jump_if(R0, "==", 0, skip)
    if further is not None:
        a.add(R0, further)
    a.load(U64, R1, R0, 8 * which)
    a.add(R1, 1)
    a.store(U64, R0, 8 * which, R1)
    a.label(skip)


def hit(a: Asm, t: Tables) -> None:
    """R7: the slot, R0: its words. Count, and do what the flow says. To "odd" if it is none any more."""
    a.label("hit")
    a.load(U32, R8, R0, 0)
    a.load(U32, R9, R0, 4)
    a.jump_if(R8, "==", int(Kind.UP), "odd")
    a.note("statistics")
    a.call(Helper.get_smp_processor_id)
    a.alu("*", R0, t.n_slots)
    a.add(R0, R7)
    a.store(U32, R10, f.SCRATCH, R0)
    _element(a, t.stats, f.SCRATCH)
    a.jump_if(R0, "==", 0, "shot")
    a.store(U64, R10, f.SCRATCH, R0)
    a.load(U64, R1, R0, 0)
    a.add(R1, 1)
    a.store(U64, R0, 0, R1)
    a.load(U32, R2, R6, f.C_LEN)
    a.load(U16, R1, R10, KEY + K_VLAN)
    a.jump_if(R1, "==", 0, "no.tag.to.count")
    a.add(R2, 4)
    a.label("no.tag.to.count")
    a.load(U64, R1, R0, 8)
    a.add(R1, R2)
    a.store(U64, R0, 8, R1)
    a.load(U16, R1, R10, KEY + K_TCP_FLAGS)
    a.load(U64, R2, R0, 24)
    a.or_(R2, R1)
    a.store(U64, R0, 24, R2)
    a.call(Helper.ktime_get_coarse_ns)
    a.load(U64, R1, R10, f.SCRATCH)
    a.store(U64, R1, 16, R0)
    a.note("actions")
    a.jump_if(R8, "!=", int(Kind.OUTPUT), "not.output")
    a.mov(R1, R9)
    a.mov(R2, 0)
    a.call(Helper.redirect)
    a.exit()
    a.label("not.output")
    a.jump_if(R8, "!=", int(Kind.LOCAL), "not.local")
    a.mov(R1, R9)
    a.mov(R2, REDIRECT_INGRESS)
    a.call(Helper.redirect)
    a.exit()
    a.label("not.local")
    a.jump_if(R8, "!=", int(Kind.LIST), "shot")
    a.store(U32, R6, f.CB_LIST, R9)
    a.store(U32, R6, f.CB_SLOT, R7)
    a.load(U64, R1, R10, INFO)
    a.store(U32, R6, f.CB_INFO, R1)
    for where, cb in ((KEY + K_MARK, f.CB_MARK), (KEY + K_HASH, f.CB_DP_HASH)):
        a.load(U32, R1, R10, where)
        a.store(U32, R6, cb, R1)
    a.mov(R1, R6)
    a.map(R2, t.programs)
    a.mov(R3, INTERPRETER)
    a.call(Helper.tail_call)
    a.label("shot")
    f.gone(a)
