"""Protocol numbers that the packet code branches on, under the names their standards give them.

`Final` so that compiled modules use them as constants.
"""

from __future__ import annotations

from typing import Final

ETH_TYPE_MIN: Final = 0x0600
"""The smallest Ethernet type; less is an 802.3 length."""
DL_TYPE_NONE: Final = 0x05FF
"""`dl_type` of a frame that has no Ethernet type (`OFP_DL_TYPE_NOT_ETH_TYPE`)."""
ETH_TYPE_IP: Final = 0x0800
ETH_TYPE_ARP: Final = 0x0806
ETH_TYPE_TEB: Final = 0x6558
ETH_TYPE_VLAN_8021Q: Final = 0x8100
ETH_TYPE_RARP: Final = 0x8035
ETH_TYPE_IPV6: Final = 0x86DD
ETH_TYPE_LACP: Final = 0x8809
ETH_TYPE_MPLS: Final = 0x8847
ETH_TYPE_MPLS_MCAST: Final = 0x8848
ETH_TYPE_VLAN_8021AD: Final = 0x88A8
ETH_TYPE_NSH: Final = 0x894F
ETH_TYPE_VLAN_9100: Final = 0x9100
"""An outer VLAN tag by makers of before 802.1ad."""
ETH_TYPE_CFM: Final = 0x8902
ETH_TYPE_LLDP: Final = 0x88CC

MAX_VLAN_HEADERS: Final = 2
MAX_MPLS_LABELS: Final = 3

IPPROTO_HOPOPTS: Final = 0
IPPROTO_ICMP: Final = 1
IPPROTO_IGMP: Final = 2
IPPROTO_IPIP: Final = 4
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_IPV6: Final = 41
IPPROTO_ROUTING: Final = 43
IPPROTO_FRAGMENT: Final = 44
IPPROTO_GRE: Final = 47
IPPROTO_AH: Final = 51
IPPROTO_ICMPV6: Final = 58
IPPROTO_NONE: Final = 59
IPPROTO_DSTOPTS: Final = 60
IPPROTO_SCTP: Final = 132

NW_FRAG_ANY: Final = 1
"""`nw_frag` bit: the packet is a fragment."""
NW_FRAG_LATER: Final = 2
"""`nw_frag` bit: it is not the first one, so it has no L4 header."""

ND_NEIGHBOR_SOLICIT: Final = 135
ND_NEIGHBOR_ADVERT: Final = 136
ND_OPT_SOURCE_LINKADDR: Final = 1
ND_OPT_TARGET_LINKADDR: Final = 2

ARP_REQUEST: Final = 1
ARP_REPLY: Final = 2

VLAN_CFI: Final = 0x1000
"""TCI bit that says "there is a tag" in a flow."""

TCP_FIN: Final = 0x001
TCP_SYN: Final = 0x002
TCP_RST: Final = 0x004
TCP_PSH: Final = 0x008
TCP_ACK: Final = 0x010
TCP_URG: Final = 0x020
TCP_ECE: Final = 0x040
TCP_CWR: Final = 0x080
TCP_NS: Final = 0x100
