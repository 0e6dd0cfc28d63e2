"""Kinds of tunnels: their numbers, and what tells their packets from others.

The numbers are those of `tnl_push`'s `type`, which the datapath's own action text shows: up to 5 they are
`enum ovs_vport_type` of <linux/openvswitch.h>; from 107 on those that Open vSwitch has beside the kernel's.
"""

from __future__ import annotations

from typing import Final

GRE: Final = 3
VXLAN: Final = 4
GENEVE: Final = 5
ERSPAN: Final = 107
IP6ERSPAN: Final = 108
IP6GRE: Final = 109
GTPU: Final = 110
BAREUDP: Final = 111
SRV6: Final = 112

NUMBERS: Final = {
    "gre": GRE, "vxlan": VXLAN, "geneve": GENEVE, "erspan": ERSPAN, "ip6erspan": IP6ERSPAN,
    "ip6gre": IP6GRE, "gtpu": GTPU, "bareudp": BAREUDP, "srv6": SRV6,
}  # fmt: skip
"""Interface type -> number."""
NAMES: Final = {number: name for name, number in NUMBERS.items()}

OVER_IPV6: Final = {GRE: IP6GRE, IP6GRE: IP6GRE, ERSPAN: IP6ERSPAN, IP6ERSPAN: IP6ERSPAN}
OVER_IPV4: Final = {GRE: GRE, IP6GRE: GRE, ERSPAN: ERSPAN, IP6ERSPAN: ERSPAN}
"""What a kind is called by its outer IP version, where that makes two kinds of one."""

UDP_PORTS: Final = {"vxlan": 4789, "geneve": 6081, "gtpu": 2152}
"""The UDP port that a kind has of IANA; bareudp has none."""
OVER_UDP: Final = (VXLAN, GENEVE, GTPU, BAREUDP)
OVER_GRE: Final = (GRE, IP6GRE, ERSPAN, IP6ERSPAN)


ETH_TYPE_ERSPAN1: Final = 0x88BE
ETH_TYPE_ERSPAN2: Final = 0x22EB

PACKET_TYPE_ETH: Final = 0
PACKET_TYPE_L3: Final = 0x10000
"""Name space 1 of packet types (OpenFlow 1.5, 7.2.3.11): the Ethernet type stands in the low 16 bits."""
PACKET_TYPE_IPV4: Final = 0x10800
PACKET_TYPE_IPV6: Final = 0x186DD
PACKET_TYPE_NSH: Final = 0x1894F
PACKET_TYPE_MPLS: Final = 0x18847

VXLAN_I: Final = 0x08000000
"""RFC 7348 section 5: the VNI is valid."""
VXLAN_GPE_P: Final = 0x04000000
"""draft-ietf-nvo3-vxlan-gpe section 3: the next protocol is valid."""
VXLAN_GBP_G: Final = 0x80000000
"""draft-smith-vxlan-group-policy section 2.1: the group is valid."""
VXLAN_GBP_FLAGS: Final = 0x00480000
"""The same draft's D (don't learn) and A (policy applied) bits."""
GPE_PROTOCOLS: Final = {
    1: PACKET_TYPE_IPV4, 2: PACKET_TYPE_IPV6, 3: PACKET_TYPE_ETH, 4: PACKET_TYPE_NSH, 5: PACKET_TYPE_MPLS,
}  # fmt: skip

GRE_CSUM: Final = 0x8000
GRE_ROUTING: Final = 0x4000
GRE_KEY: Final = 0x2000
GRE_SEQ: Final = 0x1000
GRE_KNOWN: Final = GRE_CSUM | GRE_KEY | GRE_SEQ

GTPU_G_PDU: Final = 255
"""The message that carries a user's packet (3GPP TS 29.281 section 6.1)."""
GTPU_FLAGS: Final = 0x30
"""Version 1, protocol type GTP, nothing optional (section 5.1)."""
GTPU_OPTIONAL: Final = 0x07
"""E, S, PN: if any is set, four more bytes follow."""
GTPU_EXTENSION: Final = 0x04
