"""Random flow tables and packets of every kind of header, in tunnels with options as well, for tests that
count packets."""

from __future__ import annotations

import random
import struct

from vswitch.openflow.messages.nicira import NXTTMC_ADD, TlvMap, TlvTableMod
from vswitch.packet.checksum import csum
from vswitch.packet.tunnel.headers import geneve

OUTPUTS = ("drop", "output:2", "output:3", "mod_vlan_vid:7,output:2", "strip_vlan,output:3",
           "resubmit(,1)", "dec_ttl,output:2", "push_vlan:0x8100,output:2")
MATCHES = ("ip", "ipv6", "arp", "mpls", "dl_vlan=1", "vlan_tci=0", "vlan_tci=0x1000/0x1000", "udp",
           "ip,nw_dst=10.0.0.0/8", "udp,tp_dst=2", "ip,nw_frag=later", "dl_vlan_pcp=3", "mpls,mpls_bos=1",
           "dl_src=02:00:00:00:00:01", "dl_type=0x8100", "vlan_vid=0x1000/0x1001", "icmp6", "nw_tos=0,ip",
           "ip,nw_ecn=1", "ipv6,nw_ecn=3", "ip,nw_ecn=3")

TUNNEL = 4
"""The port with the tunnel."""
TLVS = TlvTableMod(NXTTMC_ADD, (TlvMap(0x100, 1, 4, 0), TlvMap(0x100, 2, 8, 1)))
TUNNEL_MATCHES = ("tun_id=5", "tun_metadata0=0x7", "tun_metadata0=0x5/0xf", "tun_metadata1",
                  "tun_metadata1=2/0xff", "tun_src=10.95.0.2", "ip,tun_id=5,tun_metadata0=0x7",
                  "dl_vlan=1,tun_id=7", "tun_tos=0")
GENEVE_PORT = 6081


def random_tunnel_flows(r: random.Random) -> list[str]:
    """Flows of tables 0 and 1 that look at what packets came in."""
    flows = random_flows(r)
    for priority, match in enumerate(r.sample(TUNNEL_MATCHES, r.randrange(1, 5)), 20):
        flows.append(f"priority={priority},{match},actions={r.choice(OUTPUTS)}")
    flows.append(f"table=1,priority=20,{r.choice(TUNNEL_MATCHES)},actions=output:3")
    return flows


def random_options(r: random.Random) -> bytes:
    """Geneve options (RFC 8926, section 3.5): in any order, some that nobody has mapped."""
    options = [struct.pack(">HBBI", 0x100, 1, 1, r.choice((5, 7, 0x15))),
               struct.pack(">HBBQ", 0x100, 2, 2, r.choice((2, 1 << 40 | 2, 9))),
               struct.pack(">HBBI", 0x9, 3, 1, r.randrange(2))]
    return b"".join(r.sample(options, r.randrange(0, 4)))


def in_geneve(r: random.Random, packet: bytes, dst_mac: bytes) -> bytes:
    """`packet` in an outer frame from 10.95.0.2 to 10.95.0.1, with random outer headers."""
    vni, options = r.choice((5, 5, 7)), random_options(r)
    tos = r.choice((0, 0, 32, 3 if _knows_congestion_marks(packet) else 0))
    return geneve_frame(packet, dst_mac, vni, options, tos, r.choice((64, 9)), 0xC000 + r.randrange(4))


def _knows_congestion_marks(packet: bytes) -> bool:
    """Whether `packet` may have an outer header with such a mark; else who takes it out drops it (RFC 6040,
    section 4.2)."""
    at = 12
    while packet[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    eth_type = int.from_bytes(packet[at : at + 2], "big")
    if eth_type == 0x86DD:
        return packet[at + 3] & 0x30 != 0
    return eth_type != 0x800 or packet[at + 3] & 3 != 0


def geneve_frame(packet: bytes, dst_mac: bytes, vni: int = 5, options: bytes = b"", tos: int = 0,
                 ttl: int = 64, udp_src: int = 0xC000) -> bytes:
    """`packet` in an outer frame from 10.95.0.2 to 10.95.0.1."""
    inside = geneve(vni, options) + packet
    udp = struct.pack(">HHHH", udp_src, GENEVE_PORT, 8 + len(inside), 0)
    head = struct.pack(">BBHHHBBH4s4s", 0x45, tos, 28 + len(inside), 0, 0, ttl,
                       17, 0, bytes((10, 95, 0, 2)), bytes((10, 95, 0, 1)))
    head = head[:10] + csum(head).to_bytes(2, "big") + head[12:]
    return dst_mac + b"\x02\0\0\0\0\x5f" + b"\x08\x00" + head + udp + inside


def random_flows(r: random.Random) -> list[str]:
    """Flows of tables 0 and 1. Every packet meets one rule of table 0."""
    flows = ["priority=0,actions=" + r.choice(OUTPUTS), "table=1,priority=0,actions=output:2"]
    for priority, match in enumerate(r.sample(MATCHES, r.randrange(0, 4)), 1):
        flows.append(f"priority={priority},{match},actions={r.choice(OUTPUTS)}")
    for priority, match in enumerate(r.sample(MATCHES, r.randrange(0, 3)), 1):
        flows.append(f"table=1,priority={priority},{match},actions=output:{r.choice((2, 3))}")
    return flows


def _ipv4(r: random.Random, payload: bytes, proto: int) -> bytes:
    fragment = r.choice((0, 0, 0, 0x2000, 0x2003, 0x0005))
    tos = r.choice((0, 1, 1, 2))
    head = struct.pack(">BBHHHBBH4s4s", 0x45, tos, 20 + len(payload), 1, fragment, 64, proto, 0,
                       bytes((10, 0, 0, r.randrange(1, 4))), bytes((r.choice((10, 11)), 0, 0, 2)))
    return head[:10] + csum(head).to_bytes(2, "big") + head[12:] + payload


def _network(r: random.Random) -> bytes:
    """An Ethernet type and what it announces."""
    udp = struct.pack(">HHHH", 1, r.choice((2, 3)), 18, 0) + bytes(10)
    kind = r.randrange(6)
    if kind <= 1:
        return b"\x08\x00" + _ipv4(r, udp, 17)
    if kind == 2:
        proto = r.choice((17, 58))
        extension = b""
        if r.random() < 0.3:
            # A fragment's header: RFC 8200, section 4.5.
            extension = struct.pack(">BBHI", proto, 0, r.choice((0, 1, 8, 9)), 7)
            proto = 44
        head = struct.pack(">IHBB", 6 << 28 | r.choice((0, 1, 1)) << 20, len(extension) + 18, proto, 64)
        return b"\x86\xdd" + head + bytes(15) + b"\1" + bytes(15) + b"\2" + extension + udp
    if kind == 3:
        return b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + bytes(20)
    if kind == 4:
        depth = r.randrange(1, 5)
        labels = b"".join(struct.pack(">I", 16 << 12 | (n == depth - 1) << 8 | 64) for n in range(depth))
        return b"\x88\x47" + labels + _ipv4(r, udp, 17)
    return b"\x88\xb5" + bytes(30)


def random_packet(r: random.Random, vlans: int = 4) -> bytes:
    """A frame with no tag, a priority tag, one tag or two, of the types there are."""
    tags = b""
    for _ in range(r.choice((0, 1, 1, 2))):
        vid = r.randrange(0, vlans + 1)
        tpid = r.choice((0x8100, 0x8100, 0x88A8))
        tags += struct.pack(">HH", tpid, r.choice((0, 3)) << 13 | vid)
    source = b"\x02\0\0\0\0" + bytes((r.randrange(1, 3),))
    frame = b"\x02\0\0\0\0\x09" + source + tags + _network(r)
    return frame + bytes(max(0, 60 - len(frame)))
