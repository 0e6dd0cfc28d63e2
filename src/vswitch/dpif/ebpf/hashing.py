"""The hash action in BPF: the same numbers as the userspace datapath's, so that a packet which came up and
one which didn't take the same bucket of a group and the same member of a bond.

`run_hash` reads addresses, protocol and ports from the packet as it is now. Algorithms: `odp_execute.hash_l4`
and `hash_fields.hash_symmetric_l3l4`, in units of 64 and 32 bits.
"""

from __future__ import annotations

from typing import Final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.code import HASH_ARP, HASH_ETHERNET, HASH_IPV6, HASH_NOTHING, HASH_SYMMETRIC
from vswitch.dpif.ebpf.frame import net16
from vswitch.dpif.ebpf.parse import L3
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R5, R6, R10, U8, U16, U32, U64, Helper, Reg
from vswitch.packet.numbers import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP

M31: Final = 0x7FFFFFFF
ARP_SIZE: Final = 28

# Stack: the classifier's part, which is free in the interpreter.
HEADER: Final = -40
"""The IP header, of IPv4 its first 20 bytes."""
PORTS: Final = HEADER - 8
"""The first four bytes behind it, as far as they count."""
PROTO: Final = PORTS - 8
"""The protocol; of a fragment, with 0x100."""
FLAGS: Final = PROTO - 8
BASIS: Final = FLAGS - 8


def run_hash(a: Asm, done: str, failed: str) -> None:
    """Hash the packet from basis R4 as the flags in R3 say, into `skb->cb`; to `done` or `failed`."""
    a.store(U64, R10, FLAGS, R3)
    a.store(U64, R10, BASIS, R4)
    a.store(U64, R10, PORTS, 0)
    for n in range(0, 40, 8):
        a.store(U64, R10, HEADER + n, 0)
    a.store(U64, R10, PROTO, 0)
    a.mov(R1, R3)
    a.and_(R1, HASH_NOTHING)
    a.jump_if(R1, "!=", 0, "hash.ported")
    for flag, size, offset, label in ((HASH_ARP, ARP_SIZE, L3, "arp"), (HASH_ETHERNET, L3, 0, "ethernet")):
        a.load(U64, R1, R10, FLAGS)
        a.and_(R1, flag)
        a.jump_if(R1, "==", 0, f"hash.no.{label}")
        a.mov(R1, R6)
        a.mov(R2, offset)
        a.frame(R3, HEADER)
        a.mov(R4, size)
        a.call(Helper.skb_load_bytes)
        a.jump(f"hash.{label}")
        a.label(f"hash.no.{label}")
    a.load(U64, R3, R10, FLAGS)
    a.and_(R3, HASH_IPV6)
    a.mov(R4, 20)
    a.jump_if(R3, "==", 0, "hash.load")
    a.mov(R4, 40)
    a.label("hash.load")
    a.mov(R1, R6)
    a.mov(R2, L3)
    a.frame(R3, HEADER)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, failed)
    _protocol(a)
    _ports(a, failed)
    a.jump("hash.ported")
    _arp(a)
    a.label("hash.ported")
    a.load(U64, R1, R10, FLAGS)
    a.and_(R1, HASH_SYMMETRIC)
    a.jump_if(R1, "!=", 0, "hash.symmetric")
    _l4(a)
    a.jump("hash.end")
    _ethernet(a, failed)
    a.label("hash.symmetric")
    _symmetric(a)
    a.label("hash.end")
    a.jump_if(R0, "!=", 0, "hash.not.0")
    a.mov(R0, 1)
    a.label("hash.not.0")
    a.store(U32, R6, f.CB_DP_HASH, R0)
    a.jump(done)


def _protocol(a: Asm) -> None:
    """R1, and at PROTO."""
    a.load(U64, R2, R10, FLAGS)
    a.and_(R2, HASH_IPV6)
    a.load(U8, R1, R10, HEADER + 6)
    a.jump_if(R2, "!=", 0, "hash.protocol")
    a.load(U8, R1, R10, HEADER + 9)
    a.load(U16, R2, R10, HEADER + 6)
    a.and_(R2, net16(0x3FFF))
    a.jump_if(R2, "==", 0, "hash.protocol")
    a.or_(R1, 0x100)
    a.label("hash.protocol")
    a.store(U64, R10, PROTO, R1)


def _ports(a: Asm, failed: str) -> None:
    """PORTS from the header that `CB_INFO` knows, if it has ports or a type and a code."""
    a.and_(R1, 0xFF)
    for protocol in (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP, IPPROTO_ICMPV6):
        a.jump_if(R1, "==", protocol, "hash.ports")
    a.jump("hash.ported")
    a.label("hash.ports")
    a.load(U32, R2, R6, f.CB_INFO)
    a.and_(R2, 0xFF)
    a.jump_if(R2, "==", 0, "hash.ported")
    a.mov(R1, R6)
    a.frame(R3, PORTS)
    a.mov(R4, 4)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, failed)
    a.load(U64, R1, R10, PROTO)
    a.and_(R1, 0xFF)
    a.jump_if(R1, "==", IPPROTO_ICMP, "hash.icmp")
    a.jump_if(R1, "!=", IPPROTO_ICMPV6, "hash.ported")
    a.label("hash.icmp")
    for to, source in ((2, 1), (0, 0)):
        a.load(U8, R1, R10, PORTS + source)
        a.be(R1, 16)
        a.store(U16, R10, PORTS + to, R1)


def _arp(a: Asm) -> None:
    """R0: whether its 28 bytes could not be read. The addresses go where IPv4 has them; those of other kinds
    than IPv4 over Ethernet count as 0, as in `packet.parse`."""
    a.label("hash.arp")
    a.jump_if(R0, "!=", 0, "hash.other.arp")
    a.load(U32, R1, R10, HEADER)
    a.be(R1, 32)
    a.jump_if(R1, "!=", 0x00010800, "hash.other.arp")
    a.load(U16, R1, R10, HEADER + 4)
    a.jump_if(R1, "!=", net16(0x0604), "hash.other.arp")
    a.load(U16, R1, R10, HEADER + 6)
    a.be(R1, 16)
    a.jump_if(R1, ">", 0xFF, "hash.long.op")
    a.store(U64, R10, PROTO, R1)
    a.label("hash.long.op")
    for offset in (0, 2):
        a.load(U16, R1, R10, HEADER + 14 + offset)
        a.store(U16, R10, HEADER + 12 + offset, R1)
    a.load(U32, R1, R10, HEADER + 24)
    a.store(U32, R10, HEADER + 16, R1)
    a.jump("hash.ported")
    a.label("hash.other.arp")
    for n in range(0, 40, 8):
        a.store(U64, R10, HEADER + n, 0)


def _ethernet(a: Asm, failed: str) -> None:
    """R0: whether the header could not be read. `hash_fields.hash_symmetric_l2`: type, VLAN, addresses."""
    a.label("hash.ethernet")
    a.jump_if(R0, "!=", 0, failed)
    to = HEADER + 16
    a.load(U16, R1, R10, HEADER + 12)
    a.store(U16, R10, to, R1)
    a.load(U32, R1, R6, f.C_VLAN_PRESENT)
    a.jump_if(R1, "==", 0, "hash.untagged")
    a.load(U32, R1, R6, f.C_VLAN_TCI)
    a.and_(R1, 0xFFF)
    a.be(R1, 16)
    a.label("hash.untagged")
    a.store(U16, R10, to + 2, R1)
    for offset in (0, 2, 4):
        a.load(U16, R1, R10, HEADER + offset)
        a.load(U16, R2, R10, HEADER + 6 + offset)
        a.alu("^", R1, R2)
        a.store(U16, R10, to + 4 + offset, R1)
    a.store(U16, R10, to + 10, 0)
    a.load(U64, R0, R10, BASIS)
    for offset in (0, 4, 8):
        a.load(U32, R1, R10, to + offset)
        a.le(R1, 32)
        _murmur(a, R1)
    a.jump("hash.finish")


def _mix(a: Asm, h: Reg, value: Reg) -> None:
    """`odp_execute.mix`; R5 is used up."""
    a.alu("^", h, value)
    a.and_(h, M31)
    a.alu("*", h, 0x2545F491)
    a.mov(R5, h)
    a.shr(R5, 29)
    a.alu("^", h, R5)
    a.and_(h, M31)


def _l4(a: Asm) -> None:
    """R0: the hash of the 5-tuple."""
    a.load(U64, R4, R10, FLAGS)
    a.and_(R4, HASH_IPV6)
    a.load(U64, R0, R10, BASIS)
    a.and_(R0, M31)
    for which, ipv4, ipv6 in (("source", 12, 8), ("destination", 16, 24)):
        a.load(U32, R1, R10, HEADER + ipv4)
        a.be(R1, 32)
        a.jump_if(R4, "==", 0, f"hash.{which}")
        a.load(U64, R1, R10, HEADER + ipv6)
        a.load(U64, R2, R10, HEADER + ipv6 + 8)
        a.alu("^", R1, R2)
        a.be(R1, 64)
        a.label(f"hash.{which}")
        _mix(a, R0, R1)
        a.shr(R1, 32)
        _mix(a, R0, R1)
    a.load(U32, R1, R10, PORTS)
    a.be(R1, 32)
    _mix(a, R0, R1)
    a.load(U64, R1, R10, PROTO)
    a.and_(R1, 0xFF)
    _mix(a, R0, R1)
    a.alu("*", R0, 0x2C1B3C6D)
    a.shr(R0, 20)
    a.alu("=", R0, R0, wide=False)


def _times(a: Asm, dst: Reg, value: int) -> None:
    a.alu("*", dst, value, wide=False)


def _rotate(a: Asm, dst: Reg, n: int) -> None:
    """Left, 32 bits; R5 is used up."""
    a.alu("=", R5, dst, wide=False)
    a.alu("<<", dst, n, wide=False)
    a.alu(">>", R5, 32 - n, wide=False)
    a.alu("|", dst, R5, wide=False)


def _murmur(a: Asm, value: Reg) -> None:
    """`flow.hash.hash_add` to R0."""
    _times(a, value, 0xCC9E2D51)
    _rotate(a, value, 15)
    _times(a, value, 0x1B873593)
    a.alu("^", R0, value, wide=False)
    _rotate(a, R0, 13)
    _times(a, R0, 5)
    a.alu("+", R0, 0xE6546B64, wide=False)


def _symmetric(a: Asm) -> None:
    """R0: the same hash both ways, over addresses, protocol, and ports of TCP and SCTP that are whole."""
    a.load(U64, R4, R10, FLAGS)
    a.and_(R4, HASH_IPV6)
    a.load(U64, R0, R10, BASIS)
    a.jump_if(R4, "!=", 0, "hash.ipv6")
    _add_exchangeable(a, HEADER + 12, HEADER + 16)
    a.jump("hash.addresses")
    a.label("hash.ipv6")
    for n in range(0, 16, 4):
        _add_exchangeable(a, HEADER + 8 + n, HEADER + 24 + n)
    a.label("hash.addresses")
    a.load(U64, R1, R10, PROTO)
    a.mov(R2, R1)
    a.and_(R1, 0xFF)
    _murmur(a, R1)
    a.jump_if(R2, "==", IPPROTO_TCP, "hash.both.ports")
    a.jump_if(R2, "!=", IPPROTO_SCTP, "hash.finish")
    a.label("hash.both.ports")
    a.load(U16, R1, R10, PORTS)
    a.load(U16, R3, R10, PORTS + 2)
    a.alu("^", R1, R3)
    a.le(R1, 16)
    _murmur(a, R1)
    a.label("hash.finish")
    a.load(U64, R1, R10, BASIS)
    a.alu("^", R0, R1, wide=False)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        a.alu("=", R1, R0, wide=False)
        a.alu(">>", R1, shift, wide=False)
        a.alu("^", R0, R1, wide=False)
        _times(a, R0, factor)


def _add_exchangeable(a: Asm, one: int, other: int) -> None:
    """Hash two words of the stack so that either may be the other."""
    a.load(U32, R1, R10, one)
    a.load(U32, R2, R10, other)
    a.alu("^", R1, R2)
    a.le(R1, 32)
    _murmur(a, R1)
