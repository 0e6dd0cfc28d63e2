"""Tunnels through the host's own network stack: UDP and raw sockets in place of an underlay bridge.

The kernel then routes, resolves neighbours, fragments and reassembles. What a socket receives comes with the
outer addresses, TOS and TTL (ip(7), ipv6(7)); several datagrams of one sender and size go in and out by one
call (UDP_SEGMENT and UDP_GRO of udp(7)), so that TCP segments stay together. Nothing here blocks.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from typing import Final, final

from vswitch.base.records import dataclass
from vswitch.netdev.tunnel_options import V4_MAPPED, is_v4
from vswitch.packet.numbers import IPPROTO_GRE, IPPROTO_ROUTING
from vswitch.packet.tunnel import kinds

UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
SOL_UDP: Final = 17
IP_RECVTTL: Final = 12
IP_RECVTOS: Final = 13
IP_PKTINFO: Final = 8
IP_MTU_DISCOVER: Final = 10
IP_PMTUDISC_DONT: Final = 0
IP_PMTUDISC_DO: Final = 2
IPV6_MTU_DISCOVER: Final = 23
MAX_DATAGRAM: Final = 65507
MAX_SEGMENTS: Final = 64
RECEIVE_BUFFER: Final = 4 << 20
_INT: Final = struct.Struct("=i")
_PKTINFO4: Final = struct.Struct("=I4s4s")


@dataclass(frozen=True)
class Outer:
    """The outer header of a datagram: 128-bit addresses (IPv4 mapped), ports 0 without UDP."""

    src: int
    dst: int
    tos: int
    ttl: int
    src_port: int = 0
    dst_port: int = 0


def _number(raw: bytes) -> int:
    return int(_INT.unpack(raw)[0]) if len(raw) == 4 else raw[0] if raw else 0


@final
class HostStack:
    """The sockets of one tunnel port: `kind` as in `packet.tunnel.kinds`, `udp_port` for those over UDP.

    OSError: the port is taken, or there is no right to raw sockets.
    """

    def __init__(self, kind: int, udp_port: int, receives: bool = True) -> None:
        """Not `receives`: a device of the kernel has what comes."""
        self.receives: bool = receives
        self.kind: int = kind
        self.udp_port: int = udp_port
        self.over_udp: bool = kind in kinds.OVER_UDP
        self.sockets: dict[int, socket.socket] = {}
        """Address family -> socket."""
        self._df: dict[int, bool] = {}
        self._segments: bool = True
        try:
            for family in (socket.AF_INET, socket.AF_INET6):
                if kind != kinds.SRV6 or family == socket.AF_INET6:
                    self._open(family)
        except OSError:
            self.close()
            raise

    def _open(self, family: int) -> None:
        flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        v4 = family == socket.AF_INET
        try:
            if self.over_udp:
                sock = socket.socket(family, socket.SOCK_DGRAM | flags)
            else:
                proto = IPPROTO_ROUTING if self.kind == kinds.SRV6 else IPPROTO_GRE
                sock = socket.socket(family, socket.SOCK_RAW | flags, proto)
        except OSError as e:
            if e.errno == errno.EAFNOSUPPORT and not v4:
                return
            raise
        self.sockets[family] = sock
        if not v4:
            if self.over_udp:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option in (socket.IPV6_RECVPKTINFO, socket.IPV6_RECVTCLASS, socket.IPV6_RECVHOPLIMIT):
                sock.setsockopt(socket.IPPROTO_IPV6, option, 1)
        else:
            for option in (IP_PKTINFO, IP_RECVTOS, IP_RECVTTL):
                sock.setsockopt(socket.IPPROTO_IP, option, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if self.over_udp:
            try:
                sock.setsockopt(SOL_UDP, UDP_GRO, 1)
            except OSError:
                self._segments = False
            if self.receives:
                sock.bind(("0.0.0.0" if v4 else "::", self.udp_port))

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()
        self.sockets.clear()

    def filenos(self) -> list[int]:
        """Descriptors that are readable when `receive` has something."""
        return [sock.fileno() for sock in self.sockets.values()]

    def receive(self, most: int) -> list[tuple[Outer, list[bytes]]]:
        """Up to `most` times what one sender sent: the outer header, and what stands behind UDP or IP."""
        got: list[tuple[Outer, list[bytes]]] = []
        for family, sock in self.sockets.items():
            for _ in range(most):
                try:
                    data, ancillary, _, peer = sock.recvmsg(65536, 256)
                except OSError:
                    # Nothing more; or an ICMP error for something that was sent, which is over with this.
                    break
                got.append(self._received(family, data, ancillary, peer))
        return got

    def _received(
        self, family: int, data: bytes, ancillary: Iterable[tuple[int, int, bytes]], peer: tuple[str, int]
    ) -> tuple[Outer, list[bytes]]:
        v4 = family == socket.AF_INET
        dst, tos, ttl, size = 0, 0, 0, 0
        for level, option, raw in ancillary:
            if level == socket.IPPROTO_IP and option == IP_PKTINFO and len(raw) >= _PKTINFO4.size:
                dst = int.from_bytes(raw[8:12], "big") | V4_MAPPED
            elif level == socket.IPPROTO_IP and option == socket.IP_TOS:
                tos = _number(raw[:1])
            elif level == socket.IPPROTO_IP and option == socket.IP_TTL:
                ttl = _number(raw)
            elif level == socket.IPPROTO_IPV6 and option == socket.IPV6_PKTINFO:
                dst = int.from_bytes(raw[:16], "big")
            elif level == socket.IPPROTO_IPV6 and option == socket.IPV6_TCLASS:
                tos = _number(raw)
            elif level == socket.IPPROTO_IPV6 and option == socket.IPV6_HOPLIMIT:
                ttl = _number(raw)
            elif level == SOL_UDP and option == UDP_GRO:
                size = _number(raw)
        text = peer[0].partition("%")[0]
        src = int.from_bytes(socket.inet_pton(family, text), "big") | (V4_MAPPED if v4 else 0)
        if v4 and not self.over_udp and data:
            # A raw IPv4 socket hands over the IP header, too.
            data = data[(data[0] & 15) * 4 :]
        pieces = [data]
        if 0 < size < len(data):
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
        ports = (peer[1], self.udp_port) if self.over_udp else (0, 0)
        return Outer(src, dst, tos & 0xFF, ttl & 0xFF, *ports), pieces

    def send(self, outer: Outer, pieces: list[bytes], df: bool) -> int:
        """Send each of `pieces` behind UDP or IP to `outer.dst`; how many the kernel took. All but the last
        have one length. `df`: no router may fragment them, nor this host."""
        v4 = is_v4(outer.dst)
        family = socket.AF_INET if v4 else socket.AF_INET6
        sock = self.sockets.get(family)
        if sock is None:
            return 0
        if self._df.get(family) is not df:
            self._set_df(sock, family, df)
        address = (outer.dst & 0xFFFFFFFF).to_bytes(4, "big") if v4 else outer.dst.to_bytes(16, "big")
        target = (socket.inet_ntop(family, address), outer.dst_port)
        ancillary = self._ancillary(outer, v4)
        sent = 0
        while sent < len(pieces):
            size = len(pieces[0])
            n = min(len(pieces) - sent, MAX_SEGMENTS, max(1, MAX_DATAGRAM // max(size, 1)))
            if not self._segments or not self.over_udp:
                n = 1
            more = [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", size))] if n > 1 else []
            try:
                sock.sendmsg(pieces[sent : sent + n], [*ancillary, *more], socket.MSG_DONTWAIT, target)
            except OSError as e:
                if n > 1 and e.errno in (errno.EINVAL, errno.EIO, errno.EOPNOTSUPP):
                    self._segments = False
                    continue
                return sent
            sent += n
        return sent

    def _set_df(self, sock: socket.socket, family: int, df: bool) -> None:
        self._df[family] = df
        mode = IP_PMTUDISC_DO if df else IP_PMTUDISC_DONT
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, mode)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, mode)

    def _ancillary(self, outer: Outer, v4: bool) -> list[tuple[int, int, bytes]]:
        if v4:
            words = [
                (socket.IPPROTO_IP, socket.IP_TOS, _INT.pack(outer.tos)),
                (socket.IPPROTO_IP, socket.IP_TTL, _INT.pack(outer.ttl or 64)),
            ]
            if outer.src:
                source = (outer.src & 0xFFFFFFFF).to_bytes(4, "big")
                words.append((socket.IPPROTO_IP, IP_PKTINFO, _PKTINFO4.pack(0, source, bytes(4))))
            return words
        words = [
            (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INT.pack(outer.tos)),
            (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, _INT.pack(outer.ttl or 64)),
        ]
        if outer.src:
            pktinfo = outer.src.to_bytes(16, "big") + bytes(4)
            words.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, pktinfo))
        return words
