"""Frames for the tests, made by scapy, and what a parser saw as one line of text."""

from __future__ import annotations

import random
import re
from pathlib import Path

from scapy.all import ARP, ICMP, IP, SCTP, TCP, UDP, Dot1AD, Dot1Q, Ether, IPv6, Raw
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import LLC, SNAP
from scapy.packet import Packet

import vswitch.packet
from vswitch.packet.parse import Parser

ETH = Ether(src="00:00:00:00:00:01", dst="00:00:00:00:00:02")
V4 = IP(src="10.0.0.1", dst="10.0.0.2", ttl=64)
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2")

PACKETS: dict[str, Packet] = {
    "udp": ETH / V4 / UDP(sport=1000, dport=2000) / Raw(b"x" * 22),
    "tcp": ETH / V4 / TCP(sport=1000, dport=80, flags="SA", options=[("MSS", 1460)]) / Raw(b"hello"),
    "tcp with twelve flags": ETH / V4 / TCP(sport=1, dport=2, reserved=5, flags=0x1FF),
    "sctp": ETH / V4 / SCTP(sport=5, dport=6) / Raw(bytes(16)),
    "icmp": ETH / V4 / ICMP(type=8, code=0, id=7, seq=1) / Raw(b"ping"),
    "igmp": ETH / IP(src="10.0.0.1", dst="10.0.0.2", proto=2) / Raw(bytes.fromhex("1600 07fb e0010203")),
    "ip options": ETH
    / IP(src="10.0.0.1", dst="10.0.0.2", options=b"\x07\x07\x04\0\0\0\0\0")
    / UDP(sport=1, dport=2),
    "first fragment": ETH / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF", proto=17) / UDP(sport=1, dport=2),
    "later fragment": ETH / IP(src="10.0.0.1", dst="10.0.0.2", frag=185, proto=17) / Raw(b"x" * 32),
    "don't fragment": ETH / IP(src="10.0.0.1", dst="10.0.0.2", flags="DF") / UDP(sport=1, dport=2),
    "arp": ETH / ARP(op=1, hwsrc="00:00:00:00:00:01", psrc="10.0.0.1", pdst="10.0.0.2"),
    "rarp": Ether(src=ETH.src, dst=ETH.dst, type=0x8035)
    / ARP(op=3, hwsrc="00:00:00:00:00:01", psrc="0.0.0.0", pdst="0.0.0.0"),
    "arp with a large opcode": ETH
    / ARP(op=0x101, hwsrc="00:00:00:00:00:01", psrc="10.0.0.1", pdst="10.0.0.2"),
    "vlan": ETH / Dot1Q(vlan=100, prio=5) / V4 / UDP(sport=1, dport=2),
    "priority tag": ETH / Dot1Q(vlan=0, prio=7) / V4 / UDP(sport=1, dport=2),
    "qinq": ETH / Dot1AD(vlan=200) / Dot1Q(vlan=100) / V4 / UDP(sport=1, dport=2),
    "three tags": ETH / Dot1AD(vlan=3) / Dot1AD(vlan=2) / Dot1Q(vlan=1) / V4 / UDP(sport=1, dport=2),
    "mpls": Ether(src=ETH.src, dst=ETH.dst, type=0x8847) / MPLS(label=16, ttl=9, s=1) / V4 / UDP(),
    "mpls, four labels": Ether(src=ETH.src, dst=ETH.dst, type=0x8847)
    / MPLS(label=1, s=0)
    / MPLS(label=2, s=0)
    / MPLS(label=3, s=0)
    / MPLS(label=4, s=1)
    / V4,
    "llc": Ether(src=ETH.src, dst=ETH.dst, type=40) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(bytes(37)),
    "snap": Ether(src=ETH.src, dst=ETH.dst, type=60) / LLC() / SNAP(code=0x800) / V4 / UDP(sport=1, dport=2),
    "udp over ipv6": ETH
    / IPv6(src="2001:db8::1", dst="ff02::1", tc=0xB8, fl=0x12345, hlim=3)
    / UDP(sport=1, dport=2),
    "ping over ipv6": ETH / V6 / ICMPv6EchoRequest(data=b"ping"),
    "neighbor solicitation": ETH
    / V6
    / ICMPv6ND_NS(tgt="fe80::1")
    / ICMPv6NDOptSrcLLAddr(lladdr="00:01:02:03:04:05"),
    "neighbor advertisement": ETH
    / V6
    / ICMPv6ND_NA(tgt="fe80::1", R=1)
    / ICMPv6NDOptDstLLAddr(lladdr="00:01:02:03:04:06"),
    "the same option twice": ETH
    / V6
    / ICMPv6ND_NS(tgt="fe80::1")
    / ICMPv6NDOptSrcLLAddr(lladdr="00:01:02:03:04:05")
    / ICMPv6NDOptSrcLLAddr(lladdr="00:01:02:03:04:05"),
    "extension headers": ETH
    / V6
    / IPv6ExtHdrHopByHop()
    / IPv6ExtHdrRouting(addresses=["::5"])
    / IPv6ExtHdrDestOpt()
    / TCP(sport=1, dport=2),
    "first ipv6 fragment": ETH / V6 / IPv6ExtHdrFragment(m=1) / UDP(sport=1, dport=2) / Raw(b"x" * 8),
    "later ipv6 fragment": ETH / V6 / IPv6ExtHdrFragment(offset=10, nh=17) / Raw(b"x" * 16),
    "nsh": Ether(src=ETH.src, dst=ETH.dst, type=0x894F)
    / NSH(mdtype=1, nextproto=3, spi=0x123, si=254, context_header=bytes(range(16)))
    / ETH
    / V4,
    "unknown ethernet type": Ether(src=ETH.src, dst=ETH.dst, type=0x1234) / Raw(b"x" * 50),
}


def frame(name: str) -> bytes:
    """The bytes of the packet called `name` above."""
    return bytes(PACKETS[name])


FRAMES = {name: frame(name) for name in PACKETS}

_OFFSETS = ("l2_5_ofs", "l3_ofs", "l4_ofs")
_HEX = (
    "dl_type",
    "tcp_flags",
    "vlan_tci",
    "vlan_tci2",
    "vlan_tpid",
    "vlan_tpid2",
    "nsh_path_hdr",
    "ipv6_label",
)


def _attributes() -> list[str]:
    """All attributes of a parser, in the order in which they are declared, compiled or not."""
    source = Path(next(iter(vswitch.packet.__path__)), "parse.py").read_text()
    return re.findall(r"^        self\.(\w+): i64 = ", source, re.MULTILINE)


ATTRIBUTES = _attributes()


def seen(parser: Parser, only: tuple[str, ...] = ()) -> str:
    """The nonzero fields and the offsets that exist, `name=value`, in declaration order."""
    parts = []
    for name in only or ATTRIBUTES:
        value = getattr(parser, name)
        if name in ("size", "vlan_limit", "dl_type_ofs", "l3_end", "n_vlans"):
            continue
        if value == (-1 if name in _OFFSETS else 0):
            continue
        if name in ("dl_dst", "dl_src", "arp_sha", "arp_tha"):
            text = value.to_bytes(6, "big").hex(":")
        elif name in ("nw_src", "nw_dst", "igmp_group"):
            text = ".".join(map(str, value.to_bytes(4, "big")))
        elif name in _HEX or name.startswith(("mpls_lse", "nsh_c", "nd_reserved")):
            text = hex(value)
        elif name.endswith(("_hi", "_lo")):
            text = hex(value & 0xFFFFFFFFFFFFFFFF)
        else:
            text = str(value)
        parts.append(f"{name}={text}")
    return " ".join(parts)


def mutations(n: int, seed: int) -> list[bytes]:
    """`n` frames: random bytes, and good ones cut, stretched, with bytes changed or spliced."""
    rng = random.Random(seed)
    good = list(FRAMES.values())
    found = []
    while len(found) < n:
        data = bytearray(rng.choice(good))
        kind = rng.randrange(6)
        if kind == 0:
            data = bytearray(rng.randbytes(rng.randrange(120)))
        elif kind == 1:
            del data[rng.randrange(len(data) + 1) :]
        elif kind == 2:
            data += rng.randbytes(rng.randrange(40))
        elif kind == 3:
            other = rng.choice(good)
            data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]
        for _ in range(rng.randrange(5)):
            if data:
                data[rng.randrange(len(data))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
        found.append(bytes(data))
    return found
