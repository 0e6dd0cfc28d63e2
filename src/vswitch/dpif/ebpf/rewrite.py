"""The operations of action lists that change a packet's bytes: VLAN tags, fields with their sums, TTLs, DSCPs
that a meter marks, MPLS labels. Parts of the program of `interpret.py`, whose registers they use.
"""

from __future__ import annotations

from typing import Final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.code import Base, Fix
from vswitch.dpif.ebpf.frame import LIST, NEW, OLD, PC, ROUND, START, net16
from vswitch.dpif.ebpf.meters import METER_VERDICT
from vswitch.dpif.ebpf.parse import L3
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R5, R6, R10, U8, U16, U32, U64, Helper
from vswitch.packet.numbers import (
    ETH_TYPE_VLAN_8021Q,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

PSEUDO_HEADER: Final = 0x10
MARK_MANGLED_0: Final = 0x20
RECOMPUTE_CSUM: Final = 1
"""BPF_F_RECOMPUTE_CSUM of bpf_skb_store_bytes: the device's sum over the whole packet follows."""
FIX_WHOLE: Final = int(Fix.WHOLE).bit_length() - 1
"""BPF_F_PSEUDO_HDR and BPF_F_MARK_MANGLED_0 of bpf_l4_csum_replace."""


def run_vlan(a: Asm) -> None:
    a.label("push.vlan")
    a.mov(R2, R4)
    a.and_(R2, 0xFFFF)
    a.mov(R3, R4)
    a.shr(R3, 16)
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_push)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")
    a.label("pop.vlan")
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_pop)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")
    a.label("set.vlan")
    a.load(U32, R1, R6, f.C_VLAN_PRESENT)
    a.jump_if(R1, "==", 0, "round")
    a.load(U32, R3, R6, f.C_VLAN_TCI)
    a.and_(R3, R4)
    a.and_(R3, 0xFFFF)
    a.shr(R4, 16)
    a.or_(R3, R4)
    a.store(U64, R10, START, R3)
    a.load(U32, R1, R6, f.C_VLAN_PROTO)
    a.store(U64, R10, NEW, R1)
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_pop)
    a.jump_if(R0, "!=", 0, "failed")
    a.mov(R1, R6)
    a.load(U64, R2, R10, NEW)
    a.load(U64, R3, R10, START)
    a.call(Helper.skb_vlan_push)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")


def run_set(a: Asm) -> None:
    """Bytes of a header: read, change, and bring the checksums after them by what changed."""
    a.label("set")
    a.store(U64, R10, PC, R1)
    a.store(U64, R10, LIST, R4)
    a.load(U8, R2, R1, 8)
    a.load(U8, R5, R1, 9)
    a.load(U8, R3, R1, 10)
    a.store(U64, R10, ROUND, R3)
    a.jump_if(R2, "==", int(Base.L2), "set.from.l2")
    a.jump_if(R2, "==", int(Base.L3), "set.from.l3")
    a.load(U32, R2, R6, f.CB_INFO)
    a.mov(R3, R2)
    a.and_(R2, 0xFF)
    a.jump_if(R2, "==", 0, "failed")
    a.add(R5, R2)
    a.store(U64, R10, START, R5)
    a.shr(R3, 8)
    a.and_(R3, 0xFF)
    a.jump_if(R3, "!=", IPPROTO_UDP, "set.placed")
    # Without a checksum of its own, nothing makes up for the change in the device's sum.
    a.mov(R1, R6)
    a.add(R2, 6)
    a.frame(R3, NEW)
    a.mov(R4, 2)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.load(U16, R1, R10, NEW)
    a.jump_if(R1, "!=", 0, "set.placed")
    a.load(U64, R1, R10, LIST)
    a.or_(R1, int(Fix.WHOLE))
    a.store(U64, R10, LIST, R1)
    a.jump("set.placed")
    a.label("set.from.l3")
    a.add(R5, L3)
    a.label("set.from.l2")
    a.store(U64, R10, START, R5)
    a.label("set.placed")
    a.load(U64, R5, R10, START)
    a.load(U64, R3, R10, ROUND)
    a.jump_if(R3, ">", 16, "failed")
    a.jump_if(R3, "<", 1, "failed")
    for n in range(0, 16, 8):
        a.store(U64, R10, OLD + n, 0)
    a.mov(R1, R6)
    a.mov(R2, R5)
    a.mov(R4, R3)
    a.frame(R3, OLD)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.load(U64, R1, R10, PC)
    for n in range(0, 16, 8):
        a.load(U64, R2, R10, OLD + n)
        a.load(U64, R3, R1, 32 + n)
        a.alu("^", R3, -1)
        a.and_(R2, R3)
        a.load(U64, R3, R1, 16 + n)
        a.or_(R2, R3)
        a.store(U64, R10, NEW + n, R2)
    a.mov(R1, R6)
    a.load(U64, R2, R10, START)
    a.frame(R3, NEW)
    a.load(U64, R4, R10, ROUND)
    a.jump_if(R4, ">", 16, "failed")
    a.jump_if(R4, "<", 1, "failed")
    a.load(U64, R5, R10, LIST)
    a.shr(R5, FIX_WHOLE)
    a.and_(R5, RECOMPUTE_CSUM)
    a.call(Helper.skb_store_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.label("fix")
    a.frame(R1, OLD)
    a.mov(R2, 16)
    a.frame(R3, NEW)
    a.mov(R4, 16)
    a.mov(R5, 0)
    a.call(Helper.csum_diff)
    a.store(U64, R10, START, R0)
    a.load(U64, R1, R10, LIST)
    a.and_(R1, int(Fix.IPV4))
    a.jump_if(R1, "==", 0, "fix.l4")
    a.mov(R1, R6)
    a.mov(R2, L3 + 10)
    a.mov(R3, 0)
    a.load(U64, R4, R10, START)
    a.mov(R5, 0)
    a.call(Helper.l3_csum_replace)
    a.label("fix.l4")
    a.load(U64, R1, R10, LIST)
    a.and_(R1, int(Fix.L4))
    a.jump_if(R1, "==", 0, "round")
    a.load(U32, R2, R6, f.CB_INFO)
    a.mov(R3, R2)
    a.and_(R2, 0xFF)
    a.jump_if(R2, "==", 0, "round")
    a.shr(R3, 8)
    a.and_(R3, 0xFF)
    a.load(U64, R1, R10, LIST)
    a.and_(R1, int(Fix.PSEUDO))
    a.mov(R5, 0)
    a.jump_if(R1, "==", 0, "fix.own")
    a.jump_if(R3, "==", IPPROTO_ICMP, "round")
    a.mov(R5, PSEUDO_HEADER)
    a.label("fix.own")
    for protocol, offset, mangled in ((IPPROTO_TCP, 16, 0), (IPPROTO_UDP, 6, 1), (IPPROTO_ICMPV6, 2, 0),
                                      (IPPROTO_ICMP, 2, 0)):  # fmt: skip
        a.jump_if(R3, "!=", protocol, f"not.{protocol}")
        a.add(R2, offset)
        if mangled:
            a.or_(R5, MARK_MANGLED_0)
        a.jump("fix.replace")
        a.label(f"not.{protocol}")
    a.jump("round")
    a.label("fix.replace")
    a.mov(R1, R6)
    a.mov(R3, 0)
    a.load(U64, R4, R10, START)
    a.call(Helper.l4_csum_replace)
    a.jump("round")


def run_dec_ttl(a: Asm) -> None:
    """Byte 8 of IPv4's header, 7 of IPv6's. With none left, the whole packet is userspace's."""
    a.label("dec.ttl")
    a.store(U64, R10, LIST, R4)
    a.mov(R2, L3 + 4)
    a.and_(R4, int(Fix.IPV4))
    a.jump_if(R4, "==", 0, "ttl.place")
    a.mov(R2, L3 + 8)
    a.label("ttl.place")
    a.store(U64, R10, START, R2)
    for n in range(0, 16, 8):
        a.store(U64, R10, OLD + n, 0)
    a.mov(R1, R6)
    a.frame(R3, OLD)
    a.mov(R4, 4)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.load(U64, R1, R10, OLD)
    a.store(U64, R10, NEW, R1)
    a.store(U64, R10, NEW + 8, 0)
    a.load(U64, R1, R10, LIST)
    a.and_(R1, int(Fix.IPV4))
    a.jump_if(R1, "==", 0, "ttl.of.ipv6")
    a.load(U8, R2, R10, NEW)
    a.jump_if(R2, "<=", 1, "ttl.over")
    a.sub(R2, 1)
    a.store(U8, R10, NEW, R2)
    a.jump("ttl.store")
    a.label("ttl.of.ipv6")
    a.load(U8, R2, R10, NEW + 3)
    a.jump_if(R2, "<=", 1, "ttl.over")
    a.sub(R2, 1)
    a.store(U8, R10, NEW + 3, R2)
    a.label("ttl.store")
    a.mov(R1, R6)
    a.load(U64, R2, R10, START)
    a.frame(R3, NEW)
    a.mov(R4, 4)
    a.load(U64, R5, R10, LIST)
    a.shr(R5, FIX_WHOLE)
    a.and_(R5, RECOMPUTE_CSUM)
    a.call(Helper.skb_store_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("fix")


def run_remark(a: Asm) -> None:
    """Raise the drop precedence of an AF class (RFC 2597) by what stands at METER_VERDICT, minus one. LIST:
    `Fix` bits, 0 for what isn't IP."""
    a.label("remark")
    a.load(U64, R1, R10, LIST)
    a.jump_if(R1, "==", 0, "round")
    for n in range(0, 16, 8):
        a.store(U64, R10, OLD + n, 0)
        a.store(U64, R10, NEW + n, 0)
    a.mov(R1, R6)
    a.mov(R2, L3)
    a.frame(R3, OLD)
    a.mov(R4, 4)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    # R1: the first four bytes; R2: how far from their end the DSCP is.
    a.load(U32, R1, R10, OLD)
    a.be(R1, 32)
    a.mov(R2, 18)
    a.load(U64, R3, R10, LIST)
    a.and_(R3, int(Fix.IPV4))
    a.jump_if(R3, "!=", 0, "dscp")
    a.mov(R2, 22)
    a.label("dscp")
    a.mov(R3, R1)
    a.shr(R3, R2)
    a.and_(R3, 0x3F)
    a.mov(R4, R3)
    a.and_(R4, 1)
    a.jump_if(R4, "!=", 0, "round")
    a.mov(R4, R3)
    a.shr(R4, 3)
    a.jump_if(R4, "<", 1, "round")
    a.jump_if(R4, ">", 4, "round")
    a.mov(R5, R3)
    a.shr(R5, 1)
    a.and_(R5, 3)
    a.jump_if(R5, "==", 0, "round")
    a.load(U64, R0, R10, f.SCRATCH + METER_VERDICT)
    a.add(R5, R0)
    a.sub(R5, 1)
    a.jump_if(R5, "<=", 3, "precedence")
    a.mov(R5, 3)
    a.label("precedence")
    a.shl(R4, 3)
    a.shl(R5, 1)
    a.or_(R4, R5)
    a.alu("^", R4, R3)
    a.shl(R4, R2)
    a.alu("^", R1, R4)
    a.be(R1, 32)
    a.store(U32, R10, NEW, R1)
    a.store(U64, R10, START, L3)
    a.load(U64, R1, R10, LIST)
    a.jump_if(R1, "!=", int(Fix.IPV6), "ttl.store")
    a.or_(R1, int(Fix.WHOLE))
    a.store(U64, R10, LIST, R1)
    a.jump("ttl.store")


def run_mpls(a: Asm) -> None:
    """A label goes in and out where VLAN tags do: the helpers for tags move the headers, keep the device's
    sum and set `skb->protocol`, and a tag among tags is overwritten by the label, or the other way round. A
    tag that the packet has is put aside meanwhile."""
    a.label("push.mpls")
    a.load(U32, R2, R1, 12)
    a.store(U64, R10, PC, R2)
    a.store(U64, R10, LIST, R4)
    _tag_aside(a, "push")
    for tag in (1, 2, 3):
        _push_tag(a, tag)
    # Behind the addresses: tag 2, tag 1, the Ethernet type. Tag 1 and that become type and label.
    a.load(U64, R1, R10, PC)
    a.store(U16, R10, NEW, R1)
    a.load(U64, R1, R10, LIST)
    a.store(U16, R10, NEW + 2, R1)
    a.shr(R1, 16)
    a.store(U16, R10, NEW + 4, R1)
    # All of it is in front of what the device summed up.
    _overwrite(a, L3 + 2, NEW, 6)
    _pop_tag(a)
    _pop_tag(a)
    _tag_back(a)
    a.label("pop.mpls")
    a.store(U64, R10, LIST, R4)
    a.and_(R3, RECOMPUTE_CSUM)
    a.store(U64, R10, PC, R3)
    _tag_aside(a, "pop")
    for tag in (1, 2):
        _push_tag(a, tag)
    # Behind the addresses: tag 1, type and label. These become a tag and the Ethernet type.
    a.store(U16, R10, NEW, net16(ETH_TYPE_VLAN_8021Q))
    a.store(U16, R10, NEW + 2, 0)
    a.load(U64, R1, R10, LIST)
    a.store(U16, R10, NEW + 4, R1)
    _overwrite(a, L3 + 2, NEW, 2)
    _overwrite(a, L3 + 4, NEW + 2, 4, PC)
    for _ in range(3):
        _pop_tag(a)
    _tag_back(a)
    a.label("whole")
    a.load(U32, R1, R6, f.C_GSO_SIZE)
    a.jump_if(R1, "==", 0, "round")
    a.jump("ttl.over")


def _push_tag(a: Asm, tci: int) -> None:
    a.mov(R1, R6)
    a.mov(R2, net16(ETH_TYPE_VLAN_8021Q))
    a.mov(R3, tci)
    a.call(Helper.skb_vlan_push)
    a.jump_if(R0, "!=", 0, "failed")


def _pop_tag(a: Asm) -> None:
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_pop)
    a.jump_if(R0, "!=", 0, "failed")


def _overwrite(a: Asm, at: int, source: int, size: int, flags: int = 0) -> None:
    """Copy bytes from the stack into the packet; `flags`: where on the stack the helper's flags are."""
    a.mov(R1, R6)
    a.mov(R2, at)
    a.frame(R3, source)
    a.mov(R4, size)
    a.mov(R5, 0)
    if flags:
        a.load(U64, R5, R10, flags)
    a.call(Helper.skb_store_bytes)
    a.jump_if(R0, "!=", 0, "failed")


def _tag_aside(a: Asm, which: str) -> None:
    """The packet's tag is at START (0: none) and ROUND, and no more in the packet."""
    a.load(U32, R1, R6, f.C_VLAN_PRESENT)
    a.store(U64, R10, START, R1)
    a.jump_if(R1, "==", 0, f"{which}.untagged")
    a.load(U32, R1, R6, f.C_VLAN_PROTO)
    a.store(U64, R10, START, R1)
    a.load(U32, R1, R6, f.C_VLAN_TCI)
    a.store(U64, R10, ROUND, R1)
    _pop_tag(a)
    a.label(f"{which}.untagged")


def _tag_back(a: Asm) -> None:
    a.load(U64, R2, R10, START)
    a.jump_if(R2, "==", 0, "round")
    a.load(U64, R3, R10, ROUND)
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_push)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")
