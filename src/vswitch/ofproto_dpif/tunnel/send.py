"""What a packet that leaves by a tunnel port gets: the tunnel fields of its flow, and its outer header.

Above the header stand the port's options (`TunnelConfig`): what they leave to the flow (`flow`, `inherit`)
comes from the packet's tunnel fields and its inner header.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vswitch.base.signed import high32
from vswitch.flow.flow import Flow, signed64
from vswitch.flow.layout import (
    S_NW_TOS,
    S_NW_TTL,
    S_TUN_ERSPAN_DIR,
    S_TUN_ERSPAN_HWID,
    S_TUN_ERSPAN_IDX,
    S_TUN_ERSPAN_VER,
    S_TUN_FLAGS,
    S_TUN_GBP_FLAGS,
    S_TUN_GBP_ID,
    S_TUN_GTPU_MSGTYPE,
    S_TUN_TOS,
    S_TUN_TP_DST,
    S_TUN_TTL,
    TUN_F_CSUM,
    TUN_F_DF,
    TUN_F_KEY,
    TUN_F_OAM,
    W_ETH_TYPE,
    W_NW_TOS,
    W_NW_TTL,
    W_PKT_MARK,
    W_TUN_DST,
    W_TUN_ERSPAN_IDX,
    W_TUN_EXT,
    W_TUN_FLAGS,
    W_TUN_ID,
    W_TUN_IPV6_DST,
    W_TUN_IPV6_SRC,
    W_TUN_SRC,
)
from vswitch.netdev.tunnel_options import TunnelConfig, is_v4
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_GRE,
    IPPROTO_IPIP,
    IPPROTO_IPV6,
    IPPROTO_ROUTING,
    IPPROTO_UDP,
)
from vswitch.packet.tunnel import headers, kinds

ECN: Final = 3
ECN_CE: Final = 3
ECN_ECT0: Final = 2
_INTERNAL_FLAGS: Final = (TUN_F_DF | TUN_F_CSUM | TUN_F_KEY) << S_TUN_FLAGS


def set_address(flow: Flow, v4_word_high: bool, address: int, word6: int) -> None:
    """Put an outer address into the tunnel fields: the source's if `v4_word_high`."""
    words = flow.words
    v4 = address & 0xFFFFFFFF if is_v4(address) else 0
    v6 = 0 if is_v4(address) else address
    if v4_word_high:
        words[W_TUN_SRC] = high32(v4, words[W_TUN_DST] & 0xFFFFFFFF)
    else:
        words[W_TUN_DST] = words[W_TUN_DST] & ~0xFFFFFFFF | v4
    words[word6] = signed64(v6 >> 64)
    words[word6 + 1] = signed64(v6 & (1 << 64) - 1)


def tunnel_fields(config: TunnelConfig, flow: Flow, wc: Flow) -> None:
    """Make the tunnel fields of `flow` what the packet leaves with; `wc` learns what was looked at.

    The ECN bits of the inner packet are always taken over (RFC 6040 section 4.1, normal mode).
    """
    words = flow.words
    if not config.local_flow:
        set_address(flow, True, config.local_ip, W_TUN_IPV6_SRC)
    if not config.remote_flow:
        set_address(flow, False, config.remote_ip, W_TUN_IPV6_DST)
    if not config.out_key_flow:
        words[W_TUN_ID] = signed64(config.out_key or 0)
    ip = words[W_ETH_TYPE] & 0xFFFF in (ETH_TYPE_IP, ETH_TYPE_IPV6)
    ttl, tos = config.ttl, config.tos
    if config.ttl_inherit and ip:
        wc.words[W_NW_TTL] |= 0xFF << S_NW_TTL
        ttl = int(words[W_NW_TTL] >> S_NW_TTL & 0xFF)
    inner_tos = int(words[W_NW_TOS] >> S_NW_TOS & 0xFF)
    if config.tos_inherit and ip:
        wc.words[W_NW_TOS] |= 0xFF << S_NW_TOS
        tos = inner_tos & ~ECN
    if ip:
        wc.words[W_NW_TOS] |= ECN << S_NW_TOS
        ecn = inner_tos & ECN
        # As the real switch: what was congested on its way here isn't said to be in the tunnel.
        tos |= ECN_ECT0 if ecn == ECN_CE else ecn
    flags = words[W_TUN_FLAGS] & TUN_F_OAM << S_TUN_FLAGS
    if config.df:
        flags |= TUN_F_DF << S_TUN_FLAGS
    if config.csum:
        flags |= TUN_F_CSUM << S_TUN_FLAGS
    if config.out_key is not None or config.out_key_flow:
        flags |= TUN_F_KEY << S_TUN_FLAGS
    words[W_TUN_FLAGS] = flags | tos << S_TUN_TOS | ttl << S_TUN_TTL | config.dst_port << S_TUN_TP_DST
    if config.egress_pkt_mark is not None:
        words[W_PKT_MARK] = words[W_PKT_MARK] & ~0xFFFFFFFF | config.egress_pkt_mark & 0xFFFFFFFF
        wc.words[W_PKT_MARK] |= 0xFFFFFFFF
    _erspan_fields(config, flow)


def _erspan_fields(config: TunnelConfig, flow: Flow) -> None:
    words = flow.words
    for value, shift, bits in (
        (config.erspan_ver, S_TUN_ERSPAN_VER, 0xFF), (config.erspan_dir, S_TUN_ERSPAN_DIR, 0xFF),
        (config.erspan_hwid, S_TUN_ERSPAN_HWID, 0xFF),
    ):  # fmt: skip
        if value is not None:
            words[W_TUN_EXT] = words[W_TUN_EXT] & ~(bits << shift) | value << shift
    if config.erspan_idx is not None:
        words[W_TUN_ERSPAN_IDX] = config.erspan_idx << S_TUN_ERSPAN_IDX


def outer_header(
    config: TunnelConfig, flow: Flow, options: bytes, src_mac: int, dst_mac: int, src: int, dst: int
) -> bytes:
    """The outer header, from Ethernet on, of packets that look like `flow` with its tunnel fields made.
    HeaderError: the tunnel can't carry them."""
    words = flow.words
    rest = words[W_TUN_FLAGS]
    flags = int(rest >> S_TUN_FLAGS & 0xFFFF)
    csum = flags & TUN_F_CSUM != 0
    v4 = is_v4(dst)
    if config.kind == kinds.SRV6:
        if v4:
            raise headers.HeaderError("SRv6 goes over IPv6 only")
        segments = config.segments or (dst,)
        inner = _segment_routing(segments, flow.packet_type)
    else:
        inner = _tunnel_header(config, flow, options, flags, csum)
    udp_port = int(rest >> S_TUN_TP_DST & 0xFFFF)
    proto = IPPROTO_GRE
    if config.kind in kinds.OVER_UDP:
        proto = IPPROTO_UDP
        inner = headers.udp(udp_port, csum or not v4) + inner
    elif config.kind == kinds.SRV6:
        proto = IPPROTO_ROUTING
    tos, ttl = int(rest >> S_TUN_TOS & 0xFF), int(rest >> S_TUN_TTL & 0xFF)
    if v4:
        ip = headers.ipv4(src & 0xFFFFFFFF, dst & 0xFFFFFFFF, proto, tos, ttl, flags & TUN_F_DF != 0)
        return headers.ethernet(dst_mac, src_mac, ETH_TYPE_IP) + ip + inner
    ip = headers.ipv6(src, dst, proto, tos, ttl)
    return headers.ethernet(dst_mac, src_mac, ETH_TYPE_IPV6) + ip + inner


def _tunnel_header(config: TunnelConfig, flow: Flow, options: bytes, flags: int, csum: bool) -> bytes:
    words = flow.words
    packet_type = flow.packet_type
    key = int(words[W_TUN_ID]) & (1 << 64) - 1
    ext = words[W_TUN_EXT]
    kind = config.kind
    if kind == kinds.VXLAN:
        group, group_flags = int(ext >> S_TUN_GBP_ID & 0xFFFF), int(ext >> S_TUN_GBP_FLAGS & 0xFF)
        gbp = (group, group_flags) if config.gbp and (group or group_flags) else None
        if packet_type and not config.gpe:
            raise headers.HeaderError("VXLAN without GPE carries Ethernet frames only")
        return headers.vxlan(key, gbp, packet_type if config.gpe else None)
    if kind == kinds.GENEVE:
        return headers.geneve(key, options, flags & TUN_F_OAM != 0, packet_type)
    if kind in (kinds.GRE, kinds.IP6GRE):
        return headers.gre(packet_type, key if flags & TUN_F_KEY else None, csum, config.seq)
    if kind in (kinds.ERSPAN, kinds.IP6ERSPAN):
        version = int(ext >> S_TUN_ERSPAN_VER & 0xFF)
        if packet_type:
            raise headers.HeaderError("ERSPAN carries Ethernet frames only")
        if version == 2:
            hwid, direction = int(ext >> S_TUN_ERSPAN_HWID & 0x3F), int(ext >> S_TUN_ERSPAN_DIR & 1)
            return headers.erspan2(key, direction, hwid)
        if version != 1:
            raise headers.HeaderError(f"ERSPAN has no version {version}")
        return headers.erspan1(key, int(words[W_TUN_ERSPAN_IDX] >> S_TUN_ERSPAN_IDX & 0xFFFFF))
    if kind == kinds.BAREUDP:
        return headers.bareudp(config.payload_type, packet_type)
    if kind == kinds.GTPU:
        message = int(ext >> S_TUN_GTPU_MSGTYPE & 0xFF)
        return headers.gtpu(key, message or kinds.GTPU_G_PDU)
    return b""


def _segment_routing(segments: Sequence[int], packet_type: int) -> bytes:
    inner = {kinds.PACKET_TYPE_IPV4: IPPROTO_IPIP, kinds.PACKET_TYPE_IPV6: IPPROTO_IPV6}
    if packet_type not in inner:
        raise headers.HeaderError(f"SRv6 carries no packets of type {packet_type:#x}")
    return headers.segment_routing([it.to_bytes(16, "big") for it in segments], inner[packet_type])
