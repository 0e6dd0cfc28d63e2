"""From the key to the flow and on its way: cache, masks, statistics, the commonest actions.

Parts of the classifier, each a function that appends to an `Asm`. R6 is the context throughout.

The cache remembers which flow a key's hash led to. Whether the packet is that flow's is then looked up in the
flow itself, which has its masked key: megaflows never overlap, so whichever matches is the right one, and
what the cache says may be as old as it likes. What it doesn't know is hashed under one mask after the other,
those of its class (`tables.CLASSES`), busiest first. All is in maps, so that a new mask is no new program.
"""

from __future__ import annotations

import sys
from typing import Final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.frame import BUCKET, BY_MASK, HASH, INFO, KEY, ORDER, SLOT, net16
from vswitch.dpif.ebpf.key import K_ETH_TYPE, K_HASH, K_MARK, K_TCP_FLAGS, K_VLAN
from vswitch.dpif.ebpf.tables import (
    BUCKETS,
    CLASSES,
    FLOW_KEY,
    FLOW_MASK,
    GOLDEN,
    MAX_MASKS,
    N_CLASSES,
    OTHER_CLASS,
    WAYS,
    Counter,
    Kind,
    Tables,
)
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, U8, U16, U32, U64, Helper, Reg

BUCKET_BITS: Final = BUCKETS.bit_length() - 1
UPPER, LOWER = (4, 0) if sys.byteorder == "little" else (0, 4)
"""Where the halves of a 64-bit word are."""
INTERPRETER: Final = 0
AGAIN: Final = 1
"""Numbers in `Tables.programs`: who runs action lists, and the classifier of recirculated packets."""
REDIRECT_INGRESS: Final = 1
"""BPF_F_INGRESS."""


def look_in_cache(a: Asm, t: Tables, n_words: int) -> None:
    """To "verify" with the slot in R7 if the cache has the hash of the key's `n_words`; else on."""
    a.note("the cache")
    a.imm64(R2, GOLDEN)
    a.load(U64, R1, R10, KEY)
    for word in range(1, n_words):
        a.alu("*", R1, R2)
        a.load(U64, R3, R10, KEY + 8 * word)
        a.alu("^", R1, R3)
    _mix(a)
    a.alu("*", R1, R2)
    a.mov(R3, R1)
    a.shl(R3, BUCKET_BITS)
    a.shr(R3, 32)
    a.store(U64, R10, HASH, R3)
    a.shr(R1, 64 - BUCKET_BITS)
    a.store(U32, R10, SLOT, R1)
    a.store(U64, R10, BY_MASK, 0)
    _element(a, t.cache, SLOT)
    a.jump_if(R0, "==", 0, "shot")
    a.store(U64, R10, BUCKET, R0)
    a.load(U64, R2, R10, HASH)
    for way in range(WAYS):
        a.load(U32, R1, R0, 8 * way + UPPER)
        a.load(U32, R7, R0, 8 * way + LOWER)
        a.jump_if(R1, "==", R2, "verify")
    a.jump("uncached")


def _mix(a: Asm) -> None:
    """R1: the hash of all words, from what `R1 = R1 * GOLDEN ^ word` made of them; R3 is used up."""
    a.alu("*", R1, R2)
    a.mov(R3, R1)
    a.shr(R3, 32)
    a.alu("^", R1, R3)


def _element(a: Asm, table: object, where: int, frame: Reg = R10) -> None:
    """R0: the element of a map whose key is at `where` in `frame`."""
    a.map(R1, table)  # type: ignore[arg-type]
    a.mov(R2, frame)
    a.add(R2, where)
    a.call(Helper.map_lookup_elem)


def verify(a: Asm, t: Tables, n_words: int) -> None:
    """To "hit" with the words of the flow in slot R7 in R0, if it is the packet's. If it isn't, and the cache
    said so, that forgets it."""
    a.label("verify")
    a.store(U32, R10, SLOT, R7)
    _element(a, t.flows, SLOT)
    a.jump_if(R0, "==", 0, "other")
    a.mov(R9, R0)
    a.load(U32, R1, R9, LOWER)
    a.jump_if(R1, "==", int(Kind.UP), "other")
    a.load(U64, R1, R9, FLOW_MASK)
    a.store(U32, R10, f.SCRATCH, R1)
    _element(a, t.masks, f.SCRATCH)
    a.jump_if(R0, "==", 0, "other")
    for word in range(n_words):
        a.load(U64, R1, R10, KEY + 8 * word)
        a.load(U64, R2, R0, 8 * word)
        a.and_(R1, R2)
        a.load(U64, R2, R9, FLOW_KEY + 8 * word)
        a.jump_if(R1, "!=", R2, "other")
    a.load(U64, R1, R10, BY_MASK)
    a.jump_if(R1, "==", 0, "known")
    _remember(a)
    count(a, t, Counter.LOOKUP)
    a.label("known")
    a.mov(R0, R9)
    a.jump("hit")
    a.label("other")
    a.load(U64, R1, R10, BY_MASK)
    a.jump_if(R1, "!=", 0, "odd")
    a.load(U64, R0, R10, BUCKET)
    a.load(U64, R2, R10, HASH)
    for way in range(WAYS):
        a.load(U32, R1, R0, 8 * way + UPPER)
        a.jump_if(R1, "!=", R2, f"way.{way}")
        a.store(U64, R0, 8 * way, 0)
        a.label(f"way.{way}")
    # Older verifiers let no instruction but a jump lead to where a packet, for all they know, has been.
    a.jump("uncached")


def _remember(a: Asm) -> None:
    """Slot R7 is what the key leads to: in the bucket's first way that is empty, or any."""
    a.load(U64, R1, R10, BUCKET)
    a.load(U64, R2, R10, HASH)
    a.shl(R2, 32)
    a.or_(R2, R7)
    for way in range(WAYS):
        a.load(U64, R3, R1, 8 * way)
        a.jump_if(R3, "!=", 0, f"taken.{way}")
        a.store(U64, R1, 8 * way, R2)
        a.jump("remembered")
        a.label(f"taken.{way}")
    a.mov(R8, R2)
    a.call(Helper.get_prandom_u32)
    a.and_(R0, WAYS - 1)
    a.shl(R0, 3)
    a.load(U64, R1, R10, BUCKET)
    a.add(R1, R0)
    a.store(U64, R1, 0, R8)
    a.label("remembered")


def try_masks(a: Asm, t: Tables, group: int, n_words: int, loops: bool) -> None:
    """To "verify" with the slot in R7 if a mask knows the packet, to "odd" if none does. `loops`: with
    bpf_loop, which calls `mask_function`."""
    a.label("uncached")
    a.note("masks")
    a.load(U16, R1, R10, KEY + K_ETH_TYPE)
    base = group * N_CLASSES
    for eth_type, number in CLASSES.items():
        a.mov(R2, base + number)
        a.jump_if(R1, "==", net16(eth_type), "class")
    a.mov(R2, base + OTHER_CLASS)
    a.label("class")
    a.store(U32, R10, SLOT, R2)
    _element(a, t.order, SLOT)
    a.jump_if(R0, "==", 0, "odd")
    a.store(U64, R10, ORDER, R0)
    if loops:
        a.mov(R1, MAX_MASKS)
        a.function(R2, "try.mask")
        a.mov(R3, R10)
        a.mov(R4, 0)
        a.call(Helper.loop)
    else:
        a.mov(R8, 0)
        a.label("mask")
        _try_mask(a, t, n_words, R10, "next.mask", "tried")
        a.label("next.mask")
        a.add(R8, 1)
        a.jump("mask")
        a.label("tried")
    a.load(U64, R1, R10, BY_MASK)
    a.jump_if(R1, "==", 0, "odd")
    a.load(U32, R7, R10, SLOT)
    a.jump("verify")


def mask_function(a: Asm, t: Tables, n_words: int) -> None:
    """What bpf_loop calls with a mask's place in R1 and the classifier's frame in R2. It wants 0 to go on."""
    a.label("try.mask")
    a.mov(R8, R1)
    a.mov(R9, R2)
    _try_mask(a, t, n_words, R9, "next.mask", "tried")
    a.label("next.mask")
    a.ret(0)
    a.label("tried")
    a.ret(1)


def _try_mask(a: Asm, t: Tables, n_words: int, frame: Reg, unknown: str, end: str) -> None:
    """Look the key up under mask R8 of those to try. To `unknown`, or to `end`: there is none, or the slot is
    at SLOT and BY_MASK is 1."""
    a.jump_if(R8, ">=", MAX_MASKS, end)
    a.load(U64, R1, frame, ORDER)
    a.add(R1, R8)
    a.load(U8, R7, R1, 0)
    a.jump_if(R7, "==", 0, end)
    a.store(U32, frame, f.SCRATCH, R7)
    _element(a, t.masks, f.SCRATCH, frame)
    a.jump_if(R0, "==", 0, end)
    a.imm64(R2, GOLDEN)
    a.mov(R1, R7)
    for word in range(n_words):
        a.alu("*", R1, R2)
        a.load(U64, R3, frame, KEY + 8 * word)
        a.load(U64, R4, R0, 8 * word)
        a.and_(R3, R4)
        a.alu("^", R1, R3)
    _mix(a)
    a.store(U64, frame, f.SCRATCH, R1)
    _element(a, t.masked, f.SCRATCH, frame)
    a.jump_if(R0, "==", 0, unknown)
    a.load(U32, R1, R0, 0)
    a.store(U32, frame, SLOT, R1)
    a.store(U64, frame, BY_MASK, 1)
    a.jump(end)


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
    """R7: the slot, R0: its words. Count, and do what the flow says."""
    a.label("hit")
    a.load(U32, R8, R0, LOWER)
    a.load(U32, R9, R0, UPPER)
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
