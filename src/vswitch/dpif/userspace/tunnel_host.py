"""Packets of tunnel ports that go through the host's own stack: flows to outer headers and back.

The sockets are `netdev/host_stack.py`'s. What a packet's tunnel fields say is put into the tunnel's own
header; the rest (addresses, TOS, TTL, whether to fragment) goes to the kernel, which makes the outer one.
"""

from __future__ import annotations

from typing import Final

from vswitch.base.signed import high32
from vswitch.dpif.odp_execute import Packet
from vswitch.dpif.odp_nested import option_bytes
from vswitch.dpif.userspace.tunnel import (
    NO_ROUTING,
    Popper,
    TunnelEnd,
    behind_routing,
    l3_segments,
    put_tunnel,
)
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow, signed64
from vswitch.netdev import gso
from vswitch.netdev.coalesce import coalesce
from vswitch.netdev.frame import Frame
from vswitch.netdev.host_stack import HostStack, Outer
from vswitch.netdev.tunnel_options import V4_MAPPED, is_v4
from vswitch.packet.checksum import csum
from vswitch.packet.tunnel import headers, kinds

_ERSPAN_TYPES: Final = (kinds.ETH_TYPE_ERSPAN1, kinds.ETH_TYPE_ERSPAN2)
_MASK64: Final = (1 << 64) - 1
_IPV6_END: Final = 14 + 40


def tunnel_header(kind: int, flow: Flow, packet_type: int, payload_type: int) -> bytes:
    """The header between UDP or IP and the packet, of `flow`'s tunnel fields; `payload_type` is what bareudp
    carries. HeaderError."""
    words = flow.words
    key = int(words[at.W_TUN_ID]) & _MASK64
    ext = int(words[at.W_TUN_EXT])
    flags = int(words[at.W_TUN_FLAGS] >> at.S_TUN_FLAGS) & 0xFFFF
    if kind == kinds.VXLAN:
        gbp = (ext >> at.S_TUN_GBP_ID & 0xFFFF, ext >> at.S_TUN_GBP_FLAGS & 0xFF)
        return headers.vxlan(key, gbp if any(gbp) else None, packet_type or None)
    if kind == kinds.GENEVE:
        options = option_bytes(words, words[at.W_TUN_METADATA_PRESENT])
        return headers.geneve(key, options, flags & at.TUN_F_OAM != 0, packet_type)
    if kind in (kinds.GRE, kinds.IP6GRE):
        has_key = flags & at.TUN_F_KEY != 0 or key != 0
        return headers.gre(packet_type, key if has_key else None, flags & at.TUN_F_CSUM != 0)
    if kind in (kinds.ERSPAN, kinds.IP6ERSPAN):
        if packet_type:
            raise headers.HeaderError("ERSPAN carries Ethernet frames only")
        if ext >> at.S_TUN_ERSPAN_VER & 0xFF == 2:
            hwid, direction = ext >> at.S_TUN_ERSPAN_HWID & 0x3F, ext >> at.S_TUN_ERSPAN_DIR & 1
            return headers.erspan2(key, direction, hwid)
        return headers.erspan1(key, int(words[at.W_TUN_ERSPAN_IDX] >> at.S_TUN_ERSPAN_IDX) & 0xFFFFF)
    if kind == kinds.BAREUDP:
        return headers.bareudp(payload_type, packet_type)
    if kind == kinds.GTPU:
        return headers.gtpu(key, ext >> at.S_TUN_GTPU_MSGTYPE & 0xFF or kinds.GTPU_G_PDU)
    return b""


def _complete(kind: int, header: bytes, data: bytes, end: TunnelEnd) -> bytes:
    """The header of one packet, with what is its own."""
    if kind == kinds.GTPU:
        return header[:2] + len(data).to_bytes(2, "big") + header[4:]
    if kind in kinds.OVER_GRE:
        flags = header[0]
        if kind in (kinds.ERSPAN, kinds.IP6ERSPAN):
            seq, end.seq = end.seq, end.seq + 1 & 0xFFFFFFFF
            return header[:4] + int(seq).to_bytes(4, "big") + header[8:]
        if flags & 0x80:
            return header[:4] + int(csum(header + data)).to_bytes(2, "big") + header[6:]
    return header


def send(host: HostStack, end: TunnelEnd, frame: Frame, flow: Flow) -> bool:
    """Send a packet whose flow has its tunnel set, or (SRv6) that has its outer header on. False: not all
    of it was taken."""
    if end.kind == kinds.SRV6:
        return _send_whole(host, frame)
    words = flow.words
    packet_type = flow.packet_type
    kind = int(end.kind)
    try:
        header = tunnel_header(kind, flow, packet_type, int(end.payload_type))
    except headers.HeaderError:
        return False
    rest = int(words[at.W_TUN_FLAGS])
    addresses = int(words[at.W_TUN_SRC])
    src, dst = addresses >> 32 & 0xFFFFFFFF, addresses & 0xFFFFFFFF
    if dst:
        src, dst = src | V4_MAPPED if src else 0, dst | V4_MAPPED
    else:
        src = (int(words[at.W_TUN_IPV6_SRC]) & _MASK64) << 64 | int(words[at.W_TUN_IPV6_SRC + 1]) & _MASK64
        dst = (int(words[at.W_TUN_IPV6_DST]) & _MASK64) << 64 | int(words[at.W_TUN_IPV6_DST + 1]) & _MASK64
    outer = Outer(src, dst, rest >> at.S_TUN_TOS & 0xFF, rest >> at.S_TUN_TTL & 0xFF, 0,
                  (rest >> at.S_TUN_TP_DST & 0xFFFF) if host.over_udp else 0)
    segments = gso.segments(frame) if packet_type == 0 else l3_segments(frame, packet_type)
    pieces = [_complete(kind, header, data, end) + data for data in segments]
    return host.send(outer, pieces, rest >> at.S_TUN_FLAGS & at.TUN_F_DF != 0) == len(pieces)


def _send_whole(host: HostStack, frame: Frame) -> bool:
    """Have the kernel make anew the Ethernet and IPv6 headers (RFC 8200 section 3) that a packet has."""
    for data in gso.segments(frame):
        if len(data) < _IPV6_END:
            return False
        first, hop_limit = int.from_bytes(data[14:18], "big"), data[21]
        source, destination = (int.from_bytes(data[at : at + 16], "big") for at in (22, 38))
        outer = Outer(source, destination, first >> 20 & 0xFF, hop_limit)
        if host.send(outer, [data[_IPV6_END:]], False) != 1:
            return False
    return True


def receive(
    host: HostStack, end: TunnelEnd, in_port: int, popper: Popper, most: int
) -> tuple[list[Packet], list[str]]:
    """The packets that came for a tunnel port, and why others were refused, a reason each."""
    packets: list[Packet] = []
    refused: list[str] = []
    decap = popper.decap
    for outer, pieces in host.receive(most):
        inner: list[bytes] = []
        flow: Flow | None = None
        before = b""
        for data in pieces:
            if end.kind in (kinds.GRE, kinds.IP6GRE) and int.from_bytes(data[2:4], "big") in _ERSPAN_TYPES:
                continue
            start = 0
            if end.kind == kinds.SRV6:
                start = behind_routing(data, 0, len(data))
                if start < 0:
                    refused.append(NO_ROUTING)
                    continue
            if not decap.parse(end.kind, data, start, len(data), end.payload_type):
                refused.append(decap.reason)
                continue
            header = data[: decap.payload]
            if flow is None or header != before:
                _add(packets, inner, flow, in_port)
                inner, before = [], header
                options = data[decap.options : decap.options + decap.options_size]
                flow = _flow(outer, in_port, int(decap.packet_type))
                put_tunnel(flow, decap, options, host.over_udp)
            inner.append(data[decap.payload :])
        _add(packets, inner, flow, in_port)
    return packets, refused


def _add(packets: list[Packet], inner: list[bytes], flow: Flow | None, in_port: int) -> None:
    if flow is None:
        return
    frames = coalesce(inner, True) if flow.packet_type == 0 else [Frame(data) for data in inner]
    packets.extend([Packet(frame, flow.copy(), in_port) for frame in frames])


def _flow(outer: Outer, in_port: int, packet_type: int) -> Flow:
    flow = Flow()
    words = flow.words
    words[at.W_IN_PORT] = in_port
    words[at.W_PACKET_TYPE] |= packet_type
    if is_v4(outer.src):
        words[at.W_TUN_SRC] = high32(outer.src & 0xFFFFFFFF, outer.dst & 0xFFFFFFFF)
    else:
        words[at.W_TUN_IPV6_SRC] = signed64(outer.src >> 64)
        words[at.W_TUN_IPV6_SRC + 1] = signed64(outer.src & _MASK64)
        words[at.W_TUN_IPV6_DST] = signed64(outer.dst >> 64)
        words[at.W_TUN_IPV6_DST + 1] = signed64(outer.dst & _MASK64)
    words[at.W_TUN_FLAGS] = (
        outer.tos << at.S_TUN_TOS | outer.ttl << at.S_TUN_TTL
        | outer.src_port << at.S_TUN_TP_SRC | outer.dst_port
    )
    return flow
