"""The program's key: what a packet is looked up by, and how a `Flow` becomes one.

`KEY_SIZE` bytes, read as host-order 64-bit words; fields lie in network order, but for those that are no
part of a packet. Bytes 24 to 55 hold the addresses of whatever the Ethernet type says:

    0 interface index   4 recirculation id   8 Ethernet destination   14 source
    20 VLAN TCI (with 0x1000 if there is a tag)   22 Ethernet type
    24 IPv4 source, 28 destination; or 24 IPv6 source, 40 destination; or 24, 28 ARP's protocol and
       32, 38 its hardware addresses; or 24, 28, 32 MPLS label stack entries
    56 IP protocol, TOS, TTL, fragment bits   60 ports or ICMP type and code   64 TCP flags
    68 IPv6 flow label   72 mark   76 dp_hash

Of packets out of a tunnel there are two words more, in host order:

    80 tunnel id   84 outer IPv4 source   88 destination   92 TOS   93 TTL
"""

from __future__ import annotations

import struct
from typing import Final

from vswitch.flow import layout as at
from vswitch.flow.fields import N_WORDS
from vswitch.flow.flow import Flow
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_RARP,
    ETH_TYPE_VLAN_8021Q,
)

KEY_WORDS: Final = 10
KEY_SIZE: Final = KEY_WORDS * 8
(
    K_PORT, K_RECIRC, K_ETH_DST, K_ETH_SRC, K_VLAN, K_ETH_TYPE, K_ADDRESSES, K_PROTO, K_TOS, K_TTL, K_FRAG,
    K_TP_SRC, K_TP_DST, K_TCP_FLAGS, K_LABEL, K_MARK, K_HASH,
) = (0, 4, 8, 14, 20, 22, 24, 56, 57, 58, 59, 60, 62, 64, 68, 72, 76)  # fmt: skip
"""Offsets in the key."""
TUNNEL_KEY_WORDS: Final = 12
TUNNEL_KEY_SIZE: Final = TUNNEL_KEY_WORDS * 8
TUNNEL_KEY: Final = struct.Struct("=IIIBB2x")
"""The words of a tunnel, behind the rest."""

_ONES: Final = (1 << 64) - 1

Place = tuple[int, int, int, int]
"""(offset in the key, bytes, word of the flow, shift there)."""

_ALWAYS: Final[tuple[Place, ...]] = (
    (K_ETH_DST, 6, at.W_ETH_DST, at.S_ETH_DST),
    (K_ETH_SRC, 6, at.W_ETH_SRC, at.S_ETH_SRC),
    (K_VLAN, 2, at.W_VLAN_TCI, at.S_VLAN_TCI),
    (K_ETH_TYPE, 2, at.W_ETH_TYPE, at.S_ETH_TYPE),
    (K_PROTO, 1, at.W_NW_PROTO, at.S_NW_PROTO),
    (K_TOS, 1, at.W_NW_TOS, at.S_NW_TOS),
    (K_TTL, 1, at.W_NW_TTL, at.S_NW_TTL),
    (K_FRAG, 1, at.W_NW_FRAG, at.S_NW_FRAG),
    (K_TP_SRC, 2, at.W_TP_SRC, at.S_TP_SRC),
    (K_TP_DST, 2, at.W_TP_DST, at.S_TP_DST),
    (K_TCP_FLAGS, 2, at.W_TCP_FLAGS, at.S_TCP_FLAGS),
    (K_LABEL, 4, at.W_IPV6_LABEL, at.S_IPV6_LABEL),
)
_IPV4: Final[tuple[Place, ...]] = (
    (K_ADDRESSES, 4, at.W_NW_SRC, at.S_NW_SRC),
    (K_ADDRESSES + 4, 4, at.W_NW_DST, at.S_NW_DST),
)
_IPV6: Final[tuple[Place, ...]] = tuple(
    (K_ADDRESSES + 8 * n, 8, word, 0)
    for n, word in enumerate((at.W_IPV6_SRC, at.W_IPV6_SRC + 1, at.W_IPV6_DST, at.W_IPV6_DST + 1))
)
_ARP: Final[tuple[Place, ...]] = (
    *_IPV4,
    (K_ADDRESSES + 8, 6, at.W_ARP_SHA, at.S_ARP_SHA),
    (K_ADDRESSES + 14, 6, at.W_ARP_THA, at.S_ARP_THA),
)
_MPLS: Final[tuple[Place, ...]] = (
    (K_ADDRESSES, 4, at.W_MPLS_LSE, at.S_MPLS_LSE),
    (K_ADDRESSES + 4, 4, at.W_MPLS_LSE, 0),
    (K_ADDRESSES + 8, 4, at.W_MPLS_LSE + 1, 32),
)
BY_TYPE: Final[dict[int, tuple[Place, ...]]] = {
    ETH_TYPE_IP: _IPV4, ETH_TYPE_IPV6: _IPV6, ETH_TYPE_ARP: _ARP, ETH_TYPE_RARP: _ARP,
    ETH_TYPE_MPLS: _MPLS, ETH_TYPE_MPLS_MCAST: _MPLS,
}  # fmt: skip
"""Ethernet type -> what the addresses' bytes hold."""
_OWN: Final[tuple[int, ...]] = (at.W_IN_PORT, at.W_RECIRC_ID)
"""Words that `fit` puts in its own way."""
_TUNNEL: Final = (at.W_TUN_ID, at.W_TUN_SRC, at.W_TUN_FLAGS)
"""The same of packets out of a tunnel."""
_ZERO: Final = {
    **dict.fromkeys((*range(at.N_TUN_METADATA_WORDS + 1), *range(at.W_TUN_ID, at.W_METADATA)), "tunnel"),
    **dict.fromkeys(range(at.W_CT_LABEL, at.W_SKB_PRIORITY), "connection state"),
    **dict.fromkeys(range(at.W_CT_NW_SRC, at.W_ND_TARGET), "connection addresses"),
    **dict.fromkeys((at.W_ND_TARGET, at.W_ND_TARGET + 1), "neighbour discovery"),
    **dict.fromkeys(range(at.W_NSH_BASE, at.W_TP_SRC), "NSH"),
    at.W_SKB_PRIORITY: "skb_priority", at.W_PACKET_TYPE: "packet_type", at.W_VLAN_TPID: "an inner VLAN",
    at.W_TP_SRC: "connection ports", at.W_IGMP_GROUP: "IGMP",
}  # fmt: skip
"""Words of which no packet that the program looks up has bits (beside those with a place in the key): a
flow that wants them 0 has them so, any other one waits for packets that go up. And what to call them."""
_ADDRESSES: Final = (
    at.W_NW_SRC, *range(at.W_IPV6_SRC, at.W_IPV6_DST + 2), at.W_ARP_SHA, at.W_ARP_THA, at.W_MPLS_LSE,
    at.W_MPLS_LSE + 1,
)  # fmt: skip


class Unfit(Exception):
    """Why a flow stays in userspace, in a few words."""


def fit(key: Flow, mask: Flow, ifindex: int, tunnel_port: int = 0) -> tuple[bytes, bytes]:
    """Key and mask of a flow as the program has them, for packets of interface `ifindex`; `tunnel_port`: that
    is a tunnel's, with this UDP port. Unfit."""
    if mask.words[at.W_IN_PORT] & 0xFFFF != 0xFFFF:
        raise Unfit("it matches on no port")
    if mask.words[at.W_RECIRC_ID] >> at.S_RECIRC_ID & 0xFFFFFFFF != 0xFFFFFFFF:
        raise Unfit("it matches on no recirculation id")
    eth_type = exact_type(key, mask)
    places = (*_ALWAYS, *BY_TYPE.get(eth_type, ()))
    used: dict[int, int] = {}
    for _offset, size, word, shift in places:
        used[word] = used.get(word, 0) | ((1 << 8 * size) - 1) << shift
    used[at.W_PKT_MARK] = 0xFFFFFFFF
    used[at.W_DP_HASH] = _ONES & ~0xFFFFFFFF
    skipped = _OWN
    if tunnel_port:
        _check_tunnel(key, mask, tunnel_port)
        skipped += _TUNNEL
    for word in range(N_WORDS):
        left = int(mask.words[word]) & _ONES & ~used.get(word, 0)
        if left and word not in skipped:
            _check_zero(word, left, key, mask, eth_type)
    packed = pack(key, ifindex, eth_type), pack(mask, 0xFFFFFFFF, eth_type)
    return (packed[0] + _pack_tunnel(key), packed[1] + _pack_tunnel(mask)) if tunnel_port else packed


def _check_tunnel(key: Flow, mask: Flow, tunnel_port: int) -> None:
    """Unfit unless what the flow wants of a tunnel is in the key, or so for all that come out of one."""
    wanted = int(key.words[at.W_TUN_ID] & mask.words[at.W_TUN_ID]) & _ONES
    rest = int(mask.words[at.W_TUN_FLAGS]) & _ONES & ~(0xFFFF << at.S_TUN_TTL)
    given = (at.TUN_F_KEY | at.TUN_F_CSUM) << at.S_TUN_FLAGS | tunnel_port
    if wanted >> 32 or rest & 0xFFFF << at.S_TUN_TP_SRC or (int(key.words[at.W_TUN_FLAGS]) ^ given) & rest:
        raise Unfit("it matches on a tunnel's flags or source port")


def _pack_tunnel(flow: Flow) -> bytes:
    words = flow.words
    addresses, rest = int(words[at.W_TUN_SRC]) & _ONES, int(words[at.W_TUN_FLAGS])
    return TUNNEL_KEY.pack(int(words[at.W_TUN_ID]) & 0xFFFFFFFF, addresses >> 32, addresses & 0xFFFFFFFF,
                           rest >> at.S_TUN_TOS & 0xFF, rest >> at.S_TUN_TTL & 0xFF)


def pack(flow: Flow, port: int, eth_type: int) -> bytes:
    """The bits of `flow` that have a place in the key of a packet of `eth_type` (-1: of any)."""
    words = [int(word) for word in flow.words]
    out = bytearray(KEY_SIZE)
    struct.pack_into("=II", out, K_PORT, port, words[at.W_RECIRC_ID] >> at.S_RECIRC_ID & 0xFFFFFFFF)
    struct.pack_into("=II", out, K_MARK, words[at.W_PKT_MARK] & 0xFFFFFFFF,
                     words[at.W_DP_HASH] >> at.S_DP_HASH & 0xFFFFFFFF)
    for offset, size, word, shift in (*_ALWAYS, *BY_TYPE.get(eth_type, ())):
        out[offset : offset + size] = (words[word] >> shift & ((1 << 8 * size) - 1)).to_bytes(size, "big")
    return bytes(out)


def _check_zero(word: int, left: int, key: Flow, mask: Flow, eth_type: int) -> None:
    """Unfit unless the packets that the program looks up have exactly the bits `left` of `word` that the
    flow wants."""
    wanted = key.words[word] & left
    if word in _ZERO:
        if word == at.W_VLAN_TPID and key.vlan_tci & mask.vlan_tci & at.VLAN_CFI:
            # A tag that the program knows is an 802.1Q tag.
            wanted ^= left & ETH_TYPE_VLAN_8021Q << at.S_VLAN_TPID
        if wanted:
            raise Unfit(f"it matches on {_ZERO[word]}")
    elif word in _ADDRESSES:
        if wanted or eth_type < 0:
            raise Unfit("it matches on addresses without their Ethernet type")
    else:
        raise Unfit(f"it matches on word {word} of the flow")


def exact_type(key: Flow, mask: Flow) -> int:
    """The Ethernet type of all packets of the flow; -1 if there are several."""
    if mask.words[at.W_ETH_TYPE] & 0xFFFF == 0xFFFF:
        return int(key.words[at.W_ETH_TYPE] & 0xFFFF)
    return -1


def words_of(data: bytes) -> tuple[int, ...]:
    """A key's bytes as the words that the program loads."""
    return struct.unpack(f"={len(data) // 8}Q", data)
