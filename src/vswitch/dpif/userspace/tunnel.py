"""Tunnel ports of the userspace datapath: outer headers put around packets and taken off them.

`push` makes of one packet the packets to be sent, `pop` of one that arrived the packets inside, each with
the flow that says which tunnel it came by. Offloads are kept where the outer packet allows it:

- TCP segments that one frame stands for become UDP segments (GSO_UDP_L4) around one TCP segment each, in one
  frame again, which the device or the kernel cuts; taking such a frame apart gives one frame of TCP;
- a TCP frame that a kernel put its own outer header around (its checksum lies in the inner packet) comes out
  as it is;
- a partial checksum stays partial where no outer checksum covers it.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from vswitch.base import coverage
from vswitch.base.coverage import Counter
from vswitch.base.signed import high32, signed16
from vswitch.dpif.odp_execute import Packet, mix
from vswitch.dpif.odp_nested import put_option_bytes
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.netdev import gso
from vswitch.netdev.coalesce import coalesce
from vswitch.netdev.frame import GSO_ECN, GSO_NONE, GSO_UDP_L4, VNET_DATA_VALID, VNET_NEEDS_CSUM, Frame
from vswitch.packet.checksum import fold, partial_sum
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6, IPPROTO_IPIP, IPPROTO_IPV6, IPPROTO_ROUTING
from vswitch.packet.parse import Parser
from vswitch.packet.tunnel.decap import Decap
from vswitch.packet.tunnel.kinds import GTPU, OVER_UDP, SRV6
from vswitch.packet.tunnel.outer import Encap, needs_whole_checksum

UDP_CSUM: Final = 6
"""Where the checksum stands in a UDP header."""
UDP_HEADER: Final = 8
ETHERNET: Final = 14
SCTP_CSUM: Final = 8
MAX_SEGMENTS: Final = 64
"""UDP segments of one frame (UDP_MAX_SEGMENTS of Linux up to 6.8)."""
MAX_FRAME: Final = 65535
ROUTING_SEGMENTS: Final = 4
"""The type of segment routing headers (RFC 8754 section 2)."""
NO_ROUTING: Final = "without a routing header at its end"
PORT_MIN: Final = 32768
PORT_MAX: Final = 61000


DROP_POP: Final = "datapath_drop_tunnel_pop_error"
_pop_counters: Final[dict[str, Counter]] = {}


def pop_counter(reason: str) -> Counter:
    """The counter of packets refused for `reason` (`Popper.reason`, `Decap.reason`); all of them together are
    counted by DROP_POP."""
    found = _pop_counters.get(reason)
    if found is None:
        found = coverage.counter(f"datapath_drop_tunnel_pop_{reason.replace(' ', '_')}".lower())
        _pop_counters[reason] = found
    return found


@final
class TunnelEnd:
    """What a datapath port of a tunnel knows: its `kind`, what it carries if its headers don't say
    (`payload_type`, an Ethernet type), and the next sequence number."""

    def __init__(self, kind: i64, payload_type: i64 = 0) -> None:
        self.kind: i64 = kind
        self.payload_type: i64 = payload_type
        self.seq: i64 = 0


def source_port(p: Parser, low: i64, high: i64) -> i64:
    """The outer UDP source port of the packet that `p` parsed: the same for all of a connection."""
    a: i64 = p.nw_src ^ p.ipv6_src_hi ^ p.ipv6_src_lo
    b: i64 = p.nw_dst ^ p.ipv6_dst_hi ^ p.ipv6_dst_lo
    h: i64 = mix(mix(p.nw_proto, a), a >> 32)
    h = mix(mix(h, b), b >> 32)
    h = mix(h, p.tp_src << 16 | p.tp_dst)
    if a == 0 and b == 0:
        h = mix(mix(h, p.dl_src), p.dl_dst)
    return low + (((h * 0x2C1B3C6D) >> 20) & 0xFFFF) * (high - low) // 0x10000


def push(encap: Encap, frame: Frame, src_port: i64, end: TunnelEnd | None, packet_type: i64) -> list[Frame]:
    """The frames to be sent for `frame`, which begins as `packet_type` says, in the tunnel. `end` counts its
    sequence numbers."""
    partial = frame.flags & VNET_NEEDS_CSUM != 0
    if frame.gso_type == GSO_NONE:
        keeps = partial and not needs_whole_checksum(encap) and frame.csum_offset != SCTP_CSUM
        if keeps:
            shift = len(encap.header)
            data = encap.wrap(frame.data, src_port, _next(end))
            return [Frame(data, VNET_NEEDS_CSUM, 0, 0, 0, frame.csum_start + shift, frame.csum_offset)]
        inner = gso.segments(frame)[0] if partial else frame.data
        return [Frame(encap.wrap(inner, src_port, _next(end)))]
    if encap.has_udp and encap.kind != GTPU and gso.can_cut(frame):
        frames = _superframes(encap, frame, packet_type, src_port)
        if frames:
            return frames
    pieces = gso.segments(frame) if packet_type == 0 else l3_segments(frame, packet_type)
    return [Frame(encap.wrap(piece, src_port, _next(end))) for piece in pieces]


def l3_segments(frame: Frame, packet_type: i64) -> list[bytes]:
    """The segments of a frame without Ethernet header: with one they are cut up as any others."""
    return [data[ETHERNET:] for data in gso.segments(_with_ethernet(frame, packet_type))]


def _with_ethernet(frame: Frame, packet_type: i64) -> Frame:
    header = bytes(12) + bytes((packet_type >> 8 & 0xFF, packet_type & 0xFF))
    return Frame(header + frame.data, frame.flags, frame.gso_type, frame.hdr_len + ETHERNET, frame.gso_size,
                 frame.csum_start + ETHERNET, frame.csum_offset)


def _next(end: TunnelEnd | None) -> i64:
    if end is None:
        return 0
    seq = end.seq
    end.seq = (seq + 1) & 0xFFFFFFFF
    return seq


def _superframes(encap: Encap, frame: Frame, packet_type: i64, src_port: i64) -> list[Frame]:
    """As few frames as the segments that `frame` stands for fit in, each in a UDP segment of its own; [] if
    they don't fit together or are one only."""
    l4 = encap.l4
    own = encap.header[l4 + UDP_HEADER :]
    gso_type: i64 = frame.gso_type & ~GSO_ECN
    if packet_type == 0:
        parts = gso.cut(frame.data, gso_type, frame.gso_size, frame.csum_start, own)
    else:
        whole = _with_ethernet(frame, packet_type)
        parts = gso.cut(whole.data, gso_type, whole.gso_size, whole.csum_start, b"")
        i: i64 = 0
        while i < len(parts):
            parts[i] = own + parts[i][ETHERNET:]
            i += 2
    count = i64(len(parts))
    if count < 4:
        return []
    each = i64(len(parts[0])) + len(parts[1])
    most = (MAX_FRAME - l4 - UDP_HEADER) // each
    if most > MAX_SEGMENTS:
        most = MAX_SEGMENTS
    if most < 2:
        return []
    last_size = i64(len(parts[count - 2])) + len(parts[count - 1])
    frames: list[Frame] = []
    first: i64 = 0
    while first < count:
        some = parts[first : first + 2 * most]
        first += 2 * most
        if len(some) == 2:
            frames.append(Frame(encap.wrap(some[0][len(own) :] + some[1], src_port, 0)))
            continue
        size = each * (i64(len(some)) // 2)
        if first >= count:
            size += last_size - each
        some[0] = encap.head(size - len(own), src_port) + some[0][len(own) :]
        data = b"".join(some)
        frames.append(Frame(data, VNET_NEEDS_CSUM, GSO_UDP_L4, l4 + UDP_HEADER, each, l4, UDP_CSUM))
    return frames


@final
class Popper:
    """Takes outer headers off. `reason` says why the last packet had none that is any good."""

    def __init__(self) -> None:
        self.decap: Decap = Decap()
        self.reason: str = ""
        self.options: bytes = b""
        """The Geneve options of the last packet."""

    def pop(self, end: TunnelEnd, in_port: i64, packet: Packet, p: Parser) -> list[Packet]:
        """The packets in `packet`, which `p` parsed, as tunnel port `in_port` received them; [] with
        `reason` set."""
        self.reason = ""
        frame = packet.frame
        data = frame.data
        start = p.l4_ofs
        stop = p.l3_end
        if start < 0 or p.nw_frag != 0:
            return self._refuse("without a transport header")
        if end.kind == SRV6:
            start = p.l3_ofs + 40
            if p.dl_type != ETH_TYPE_IPV6 or data[p.l3_ofs + 6] != IPPROTO_ROUTING:
                return self._refuse(NO_ROUTING)
            start = behind_routing(data, start, p.l3_end)
            if start < 0:
                return self._refuse(NO_ROUTING)
        covered = frame.flags & (VNET_NEEDS_CSUM | VNET_DATA_VALID) != 0
        has_csum = False
        if end.kind in OVER_UDP:
            if stop - start < UDP_HEADER:
                return self._refuse("cut off")
            has_csum = data[start + 6] != 0 or data[start + 7] != 0
            if frame.gso_type == GSO_NONE:
                length = i64(data[start + 4]) << 8 | i64(data[start + 5])
                if length < UDP_HEADER or length > stop - start:
                    return self._refuse("of a wrong length")
                stop = start + length
                if has_csum and not covered and not _udp_sound(data, p, start, stop):
                    return self._refuse("with a wrong UDP checksum")
            start += UDP_HEADER
        if frame.gso_type & 0x7F == GSO_UDP_L4 and frame.csum_start + UDP_HEADER == start:
            return self._segments(end, in_port, frame, p, start, stop)
        decap = self.decap
        if not decap.parse(end.kind, data, start, stop, end.payload_type):
            return self._refuse(decap.reason)
        self.options = data[decap.options : decap.options + decap.options_size]
        cut = decap.payload
        inner = data[cut:stop]
        if frame.gso_type != GSO_NONE:
            # A kernel's own: only the packet inside is to be cut up.
            if frame.csum_start <= cut:
                return self._refuse("of an offload that is not the inner packet's")
            out = Frame(inner, frame.flags, frame.gso_type, frame.hdr_len - cut, frame.gso_size,
                        frame.csum_start - cut, frame.csum_offset)
        elif frame.flags & VNET_NEEDS_CSUM and frame.csum_start > cut:
            out = Frame(inner, frame.flags, 0, 0, 0, frame.csum_start - cut, frame.csum_offset)
        else:
            out = Frame(inner)
        return [Packet(out, self._flow(p, in_port, end, has_csum), in_port)]

    def _refuse(self, reason: str) -> list[Packet]:
        self.reason = reason
        return []

    def _segments(
        self, end: TunnelEnd, in_port: i64, frame: Frame, p: Parser, start: i64, stop: i64
    ) -> list[Packet]:
        """Take each UDP segment of one frame apart, and put the TCP segments inside together."""
        size: i64 = frame.gso_size
        if size <= 0:
            return self._refuse("of an offload that contradicts itself")
        out: list[Packet] = []
        inner: list[bytes] = []
        flow: Flow | None = None
        decap = self.decap
        data = frame.data
        header = b""
        while start < stop:
            last = start + size
            if last > stop:
                last = stop
            if not decap.parse(end.kind, data, start, last, end.payload_type):
                return self._refuse(decap.reason)
            own = data[start : decap.payload]
            if flow is None or own != header:
                if flow is not None:
                    _add(out, inner, flow, in_port)
                inner = []
                header = own
                self.options = data[decap.options : decap.options + decap.options_size]
                flow = self._flow(p, in_port, end, True)
            inner.append(data[decap.payload : last])
            start = last
        if flow is None:
            return self._refuse("empty")
        _add(out, inner, flow, in_port)
        return out

    def _flow(self, p: Parser, in_port: i64, end: TunnelEnd, has_csum: bool) -> Flow:
        """The metadata of the packet whose tunnel header was read last."""
        decap = self.decap
        flow = Flow()
        words = flow.words
        words[at.W_IN_PORT] = in_port
        words[at.W_PACKET_TYPE] |= decap.packet_type
        words[at.W_TUN_SRC] = high32(p.nw_src, p.nw_dst)
        words[at.W_TUN_IPV6_SRC] = p.ipv6_src_hi
        words[at.W_TUN_IPV6_SRC + 1] = p.ipv6_src_lo
        words[at.W_TUN_IPV6_DST] = p.ipv6_dst_hi
        words[at.W_TUN_IPV6_DST + 1] = p.ipv6_dst_lo
        flags: i64 = p.nw_tos << at.S_TUN_TOS | p.nw_ttl << at.S_TUN_TTL
        if end.kind in OVER_UDP:
            flags |= p.tp_src << at.S_TUN_TP_SRC | p.tp_dst
        words[at.W_TUN_FLAGS] = flags
        put_tunnel(flow, decap, self.options, has_csum)
        return flow


def _add(out: list[Packet], inner: list[bytes], flow: Flow, in_port: i64) -> None:
    """Add packets of one flow to `out`, put together where they can be."""
    ethernet = flow.words[at.W_PACKET_TYPE] & 0xFFFFFFFF == 0
    frames = coalesce(inner) if ethernet else [Frame(data) for data in inner]
    out.extend([Packet(frame, flow.copy(), in_port) for frame in frames])


def put_tunnel(flow: Flow, decap: Decap, options: bytes, has_csum: bool) -> None:
    """Add to `flow`, which has the outer addresses, what the tunnel's own header said."""
    words = flow.words
    flags: i64 = 0
    if decap.has_key:
        flags |= at.TUN_F_KEY
    if has_csum or decap.has_csum:
        flags |= at.TUN_F_CSUM
    if decap.oam:
        flags |= at.TUN_F_OAM
    words[at.W_TUN_ID] = decap.key
    words[at.W_TUN_FLAGS] |= flags << at.S_TUN_FLAGS
    group = signed16(decap.gbp_id)
    words[at.W_TUN_EXT] = (
        group << at.S_TUN_GBP_ID
        | decap.gbp_flags << at.S_TUN_GBP_FLAGS
        | decap.gtpu_flags << at.S_TUN_GTPU_FLAGS
        | decap.gtpu_msgtype << at.S_TUN_GTPU_MSGTYPE
        | decap.erspan_ver << at.S_TUN_ERSPAN_VER
        | decap.erspan_dir << at.S_TUN_ERSPAN_DIR
        | decap.erspan_hwid << at.S_TUN_ERSPAN_HWID
    )
    words[at.W_TUN_ERSPAN_IDX] = decap.erspan_idx << at.S_TUN_ERSPAN_IDX
    size = i64(len(options))
    if size != 0:
        put_option_bytes(words, options, 0, size)
        words[at.W_TUN_METADATA_PRESENT] = size


def _udp_sound(data: bytes, p: Parser, start: i64, stop: i64) -> bool:
    """Whether the UDP checksum of `data[start:stop]` is right."""
    if p.dl_type == ETH_TYPE_IP:
        pseudo = p.nw_src + p.nw_dst
    else:
        pseudo = partial_sum(data, p.l3_ofs + 8, p.l3_ofs + 40)
    total = fold(pseudo) + 17 + (stop - start) + partial_sum(data, start, stop)
    return fold(total) == 0xFFFF


def behind_routing(data: bytes, start: i64, end: i64) -> i64:
    """Where what follows the segment routing header at `start` (RFC 8754 section 2) begins; -1 if there is
    none, the way through its segments is not at its end, or what follows is no IP packet."""
    if start + 8 > end or data[start + 2] != ROUTING_SEGMENTS or data[start + 3] != 0:
        return -1
    if data[start] != IPPROTO_IPIP and data[start] != IPPROTO_IPV6:
        return -1
    after = start + 8 + 8 * i64(data[start + 1])
    return after if after <= end else -1
