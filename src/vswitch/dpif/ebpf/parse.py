"""From the packet to the key, in BPF: what `packet.parse` and `flow.extract` do, for ordinary packets.

Whatever is not ordinary (a second VLAN tag, IPv6 extension headers, neighbour discovery, lengths that lie)
has no key: it goes up, where the userspace datapath's parser has the last word. So the two never differ.
At the end R6 is the context; R7, R8 and R9 are free.
"""

from __future__ import annotations

from typing import Final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.frame import INFO, KEY, net16
from vswitch.dpif.ebpf.key import (
    K_ADDRESSES,
    K_ETH_DST,
    K_ETH_TYPE,
    K_FRAG,
    K_HASH,
    K_LABEL,
    K_MARK,
    K_PORT,
    K_PROTO,
    K_RECIRC,
    K_TCP_FLAGS,
    K_TOS,
    K_TP_DST,
    K_TP_SRC,
    K_TTL,
    K_VLAN,
    KEY_SIZE,
    KEY_WORDS,
)
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, U8, U16, U32, U64, Helper
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MIN,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
    ETH_TYPE_RARP,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
    IPPROTO_AH,
    IPPROTO_DSTOPTS,
    IPPROTO_FRAGMENT,
    IPPROTO_HOPOPTS,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_ROUTING,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    ND_NEIGHBOR_ADVERT,
    ND_NEIGHBOR_SOLICIT,
)

L3: Final = 14
"""Tags lie beside the packet, so that L3 is always here."""
HEADERS: Final = 94
"""Ethernet, IPv4 with options, TCP: what must lie in one piece to be read directly."""
PULLED: Final = 128
ARP_START: Final = 0x000108000604


def parse(a: Asm, again: bool, tunnel: bool, odd: str) -> None:
    """Fill the key at KEY and INFO from the context in R1; jump to `odd` for what has no key.

    `again`: for packets that are recirculated, whose metadata are in `skb->cb`. `tunnel`: for those out of a
    tunnel's device, which says which tunnel.
    """
    a.mov(R6, R1)
    if tunnel:
        _tunnel(a, odd)
    for word in range(3, KEY_WORDS):
        a.store(U64, R10, KEY + 8 * word, 0)
    a.load(U32, R1, R6, f.C_IFINDEX)
    a.store(U32, R10, KEY + K_PORT, R1)
    if again:
        for where, cb in ((K_RECIRC, f.CB_LIST), (K_MARK, f.CB_MARK), (K_HASH, f.CB_DP_HASH)):
            a.load(U32, R1, R6, cb)
            a.store(U32, R10, KEY + where, R1)
        a.load(U32, R1, R6, f.CB_INFO)
        a.shr(R1, f.INFO_DEPTH)
        a.shl(R1, f.INFO_DEPTH)
        a.store(U64, R10, INFO, R1)
    else:
        a.store(U32, R10, KEY + K_RECIRC, 0)
        a.store(U64, R10, INFO, 0)
    _linear(a)
    _ethernet(a, odd)
    _ipv4(a, odd)
    _l4(a, odd)
    _ipv6(a, odd)
    _arp(a)
    _mpls(a, odd)
    a.label("parsed")


def _tunnel(a: Asm, odd: str) -> None:
    """The outer header as the device tells it, at TUNNEL and in the key; to `odd` with one of IPv6."""
    for version, flags in ((4, 0), (6, f.TUNINFO_IPV6)):
        a.store(U32, R10, f.TUNNEL_VERSION, version)
        a.mov(R1, R6)
        a.frame(R2, f.TUNNEL)
        a.mov(R3, f.TUNNEL_KEY_BYTES)
        a.mov(R4, flags)
        a.call(Helper.skb_get_tunnel_key)
        if version == 4:
            a.jump_if(R0, "==", 0, "tunnel.of.ipv4")
    a.store(U32, R10, KEY + K_RECIRC, 0)
    a.store(U64, R10, KEY + K_MARK, 0)
    a.jump_if(R0, "==", 0, odd)
    a.jump("shot")
    a.label("tunnel.of.ipv4")
    for source, where in ((f.T_ID, 0), (f.T_REMOTE, 4), (f.T_LOCAL, 8)):
        a.load(U32, R1, R10, f.TUNNEL + source)
        a.store(U32, R10, KEY + KEY_SIZE + where, R1)
    a.store(U32, R10, KEY + KEY_SIZE + 12, 0)
    for source, where in ((f.T_TOS, 12), (f.T_TTL, 13)):
        a.load(U8, R1, R10, f.TUNNEL + source)
        a.store(U8, R10, KEY + KEY_SIZE + where, R1)


def _linear(a: Asm) -> None:
    """R7, R8: beginning and end of what can be read directly, with all headers in it."""
    a.load(U32, R7, R6, f.C_DATA)
    a.load(U32, R8, R6, f.C_DATA_END)
    a.mov(R1, R8)
    a.sub(R1, R7)
    a.jump_if(R1, ">=", HEADERS, "linear")
    a.load(U32, R2, R6, f.C_LEN)
    a.jump_if(R1, ">=", R2, "linear")
    a.jump_if(R2, "<=", PULLED, "pull")
    a.mov(R2, PULLED)
    a.label("pull")
    a.mov(R1, R6)
    a.call(Helper.skb_pull_data)
    a.load(U32, R7, R6, f.C_DATA)
    a.load(U32, R8, R6, f.C_DATA_END)
    a.label("linear")


def _within(a: Asm, base: object, size: int, otherwise: str) -> None:
    """Jump to `otherwise` unless `size` bytes from R7 or R9 on can be read."""
    a.mov(R1, R9 if base is R9 else R7)
    a.add(R1, size)
    a.jump_if(R1, ">", R8, otherwise)


def _ethernet(a: Asm, odd: str) -> None:
    _within(a, R7, L3, odd)
    a.load(U64, R1, R7, 0)
    a.store(U64, R10, KEY + K_ETH_DST, R1)
    a.load(U32, R1, R7, 8)
    a.store(U32, R10, KEY + K_ETH_DST + 8, R1)
    a.load(U16, R0, R7, 12)
    a.store(U16, R10, KEY + K_ETH_TYPE, R0)
    a.store(U16, R10, KEY + K_VLAN, 0)
    a.load(U32, R1, R6, f.C_VLAN_PRESENT)
    a.jump_if(R1, "==", 0, "untagged")
    a.load(U32, R1, R6, f.C_VLAN_PROTO)
    a.jump_if(R1, "!=", net16(ETH_TYPE_VLAN_8021Q), odd)
    a.load(U32, R1, R6, f.C_VLAN_TCI)
    a.or_(R1, 0x1000)
    a.be(R1, 16)
    a.store(U16, R10, KEY + K_VLAN, R1)
    a.label("untagged")
    a.mov(R9, R7)
    a.add(R9, L3)
    a.jump_if(R0, "==", net16(ETH_TYPE_IP), "ipv4")
    a.jump_if(R0, "==", net16(ETH_TYPE_IPV6), "ipv6")
    for eth_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        a.jump_if(R0, "==", net16(eth_type), "arp")
    for eth_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        a.jump_if(R0, "==", net16(eth_type), "mpls")
    for eth_type in (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD, ETH_TYPE_NSH):
        a.jump_if(R0, "==", net16(eth_type), odd)
    a.be(R0, 16)
    a.jump_if(R0, "<", ETH_TYPE_MIN, odd)
    a.jump("parsed")


def _ipv4(a: Asm, odd: str) -> None:
    """R4: bytes behind the header; R5: protocol."""
    a.label("ipv4")
    _within(a, R7, L3 + 20, odd)
    a.load(U8, R0, R9, 0)
    a.mov(R1, R0)
    a.shr(R1, 4)
    a.jump_if(R1, "!=", 4, odd)
    a.and_(R0, 15)
    a.shl(R0, 2)
    a.jump_if(R0, "<", 20, odd)
    a.load(U16, R4, R9, 2)
    a.be(R4, 16)
    a.jump_if(R0, ">", R4, odd)
    a.load(U32, R1, R6, f.C_LEN)
    a.add(R1, -L3)
    a.jump_if(R4, ">", R1, odd)
    a.sub(R4, R0)
    a.load(U64, R1, R9, 12)
    a.store(U64, R10, KEY + K_ADDRESSES, R1)
    a.load(U8, R5, R9, 9)
    a.store(U8, R10, KEY + K_PROTO, R5)
    a.load(U8, R1, R9, 1)
    a.store(U8, R10, KEY + K_TOS, R1)
    a.load(U8, R1, R9, 8)
    a.store(U8, R10, KEY + K_TTL, R1)
    a.mov(R2, INFO_OF_IPV4)
    a.load(U16, R1, R9, 6)
    a.be(R1, 16)
    a.and_(R1, 0x3FFF)
    a.jump_if(R1, "==", 0, "whole")
    a.store(U8, R10, KEY + K_FRAG, 1)
    a.and_(R1, 0x1FFF)
    a.jump_if(R1, "==", 0, "whole")
    a.store(U8, R10, KEY + K_FRAG, 3)
    a.load(U64, R1, R10, INFO)
    a.or_(R1, R2)
    a.store(U64, R10, INFO, R1)
    a.jump("parsed")
    a.label("whole")
    a.add(R9, R0)
    a.add(R0, L3)
    a.or_(R2, R0)
    a.jump("l4")


INFO_OF_IPV4: Final = f.INFO_IPV4
INFO_OF_IPV6: Final = f.INFO_IPV6 | (L3 + 40)


def _l4(a: Asm, odd: str) -> None:
    """R9: the header; R4: bytes from there on; R5: protocol; R2: what goes into INFO."""
    a.label("l4")
    a.mov(R1, R5)
    a.shl(R1, 8)
    a.or_(R2, R1)
    a.load(U64, R1, R10, INFO)
    a.or_(R1, R2)
    a.store(U64, R10, INFO, R1)
    a.jump_if(R5, "==", IPPROTO_TCP, "tcp")
    a.jump_if(R5, "==", IPPROTO_UDP, "ports8")
    a.jump_if(R5, "==", IPPROTO_ICMP, "icmp")
    a.jump_if(R5, "==", IPPROTO_ICMPV6, "icmp6")
    a.jump_if(R5, "==", IPPROTO_IGMP, odd)
    a.jump_if(R5, "!=", IPPROTO_SCTP, "parsed")
    a.jump_if(R4, "<", 12, odd)
    a.label("ports8")
    a.jump_if(R4, "<", 8, odd)
    _within(a, R9, 8, odd)
    a.load(U32, R1, R9, 0)
    a.store(U32, R10, KEY + K_TP_SRC, R1)
    a.jump("parsed")
    a.label("tcp")
    a.jump_if(R4, "<", 20, odd)
    _within(a, R9, 20, odd)
    a.load(U8, R1, R9, 12)
    a.shr(R1, 2)
    a.and_(R1, 0x3C)
    a.jump_if(R1, "<", 20, odd)
    a.jump_if(R1, ">", R4, odd)
    a.load(U32, R1, R9, 0)
    a.store(U32, R10, KEY + K_TP_SRC, R1)
    a.load(U16, R1, R9, 12)
    a.and_(R1, net16(0x0FFF))
    a.store(U16, R10, KEY + K_TCP_FLAGS, R1)
    a.jump("parsed")
    a.label("icmp6")
    a.jump_if(R4, "<", 8, odd)
    _within(a, R9, 8, odd)
    a.load(U8, R1, R9, 0)
    a.jump_if(R1, "==", ND_NEIGHBOR_SOLICIT, odd)
    a.jump_if(R1, "==", ND_NEIGHBOR_ADVERT, odd)
    a.label("icmp")
    a.jump_if(R4, "<", 8, odd)
    _within(a, R9, 8, odd)
    a.load(U8, R1, R9, 0)
    a.store(U8, R10, KEY + K_TP_SRC + 1, R1)
    a.load(U8, R1, R9, 1)
    a.store(U8, R10, KEY + K_TP_DST + 1, R1)
    a.jump("parsed")


def _ipv6(a: Asm, odd: str) -> None:
    a.label("ipv6")
    _within(a, R7, L3 + 40, odd)
    a.load(U16, R4, R9, 4)
    a.be(R4, 16)
    a.load(U32, R1, R6, f.C_LEN)
    a.add(R1, -L3 - 40)
    a.jump_if(R4, ">", R1, odd)
    a.load(U8, R5, R9, 6)
    for header in (IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_AH, IPPROTO_DSTOPTS):
        a.jump_if(R5, "==", header, odd)
    a.store(U8, R10, KEY + K_PROTO, R5)
    for n in range(0, 32, 8):
        a.load(U64, R1, R9, 8 + n)
        a.store(U64, R10, KEY + K_ADDRESSES + n, R1)
    a.load(U32, R1, R9, 0)
    a.be(R1, 32)
    a.mov(R3, R1)
    a.shr(R1, 20)
    a.store(U8, R10, KEY + K_TOS, R1)
    a.and_(R3, 0xFFFFF)
    a.be(R3, 32)
    a.store(U32, R10, KEY + K_LABEL, R3)
    a.load(U8, R1, R9, 7)
    a.store(U8, R10, KEY + K_TTL, R1)
    a.mov(R2, INFO_OF_IPV6)
    a.add(R9, 40)
    a.jump("l4")


def _arp(a: Asm) -> None:
    """Of an ARP that is none for IPv4 over Ethernet no field is read, as in `packet.parse`."""
    a.label("arp")
    _within(a, R7, L3 + 28, "parsed")
    for offset, size, value in ((0, U32, 0x00010800), (4, U16, 0x0604)):
        a.load(size, R1, R9, offset)
        a.be(R1, 32 if size == U32 else 16)
        a.jump_if(R1, "!=", value, "parsed")
    for size, source, target in (
        (U32, 14, K_ADDRESSES), (U32, 24, K_ADDRESSES + 4),
        (U32, 8, K_ADDRESSES + 8), (U16, 12, K_ADDRESSES + 12),
        (U32, 18, K_ADDRESSES + 14), (U16, 22, K_ADDRESSES + 18),
    ):  # fmt: skip
        if target == K_ADDRESSES + 14:
            # The key's place for it is not aligned to four bytes.
            for half in (0, 2):
                a.load(U16, R1, R9, source + half)
                a.store(U16, R10, KEY + target + half, R1)
            continue
        a.load(size, R1, R9, source)
        a.store(size, R10, KEY + target, R1)
    a.load(U8, R1, R9, 6)
    a.jump_if(R1, "!=", 0, "parsed")
    a.load(U8, R1, R9, 7)
    a.store(U8, R10, KEY + K_PROTO, R1)
    a.jump("parsed")


def _mpls(a: Asm, odd: str) -> None:
    """The first three label stack entries, to the bottom of the stack."""
    a.label("mpls")
    _within(a, R7, L3 + 4, odd)
    for n in range(3):
        if n:
            _within(a, R7, L3 + 4 * n + 4, "parsed")
        a.load(U32, R1, R9, 4 * n)
        a.store(U32, R10, KEY + K_ADDRESSES + 4 * n, R1)
        if n < 2:
            a.load(U8, R1, R9, 4 * n + 2)
            a.and_(R1, 1)
            a.jump_if(R1, "!=", 0, "parsed")
