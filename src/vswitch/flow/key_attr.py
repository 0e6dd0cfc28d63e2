"""Numbers of the datapath's flow key attributes: `enum ovs_key_attr` and those nested in it.

From <linux/openvswitch.h>. PACKET_TYPE and ND_EXTENSIONS are userspace's own (the kernel keeps
the numbers free); so are the tunnel's GTPU_OPTS.
"""

from __future__ import annotations

from typing import Final

ENCAP: Final = 1
PRIORITY: Final = 2
IN_PORT: Final = 3
ETHERNET: Final = 4
VLAN: Final = 5
ETHERTYPE: Final = 6
IPV4: Final = 7
IPV6: Final = 8
TCP: Final = 9
UDP: Final = 10
ICMP: Final = 11
ICMPV6: Final = 12
ARP: Final = 13
ND: Final = 14
SKB_MARK: Final = 15
TUNNEL: Final = 16
SCTP: Final = 17
TCP_FLAGS: Final = 18
DP_HASH: Final = 19
RECIRC_ID: Final = 20
MPLS: Final = 21
CT_STATE: Final = 22
CT_ZONE: Final = 23
CT_MARK: Final = 24
CT_LABELS: Final = 25
CT_ORIG_TUPLE_IPV4: Final = 26
CT_ORIG_TUPLE_IPV6: Final = 27
NSH: Final = 28
PACKET_TYPE: Final = 29
ND_EXTENSIONS: Final = 30
IPV6_EXTHDRS: Final = 32

HOST_ORDER: Final = (PRIORITY, IN_PORT, SKB_MARK, DP_HASH, RECIRC_ID, CT_STATE, CT_ZONE, CT_MARK)
"""Attributes that are one number, in the machine's byte order; all else is in network order."""
PADDED_SIZE: Final = {ARP: 24, CT_ORIG_TUPLE_IPV4: 16, CT_ORIG_TUPLE_IPV6: 40, ND_EXTENSIONS: 8}
"""Attributes whose struct ends with padding, and its size in bytes."""

TUN_ID: Final = 0
TUN_IPV4_SRC: Final = 1
TUN_IPV4_DST: Final = 2
TUN_TOS: Final = 3
TUN_TTL: Final = 4
TUN_DONT_FRAGMENT: Final = 5
TUN_CSUM: Final = 6
TUN_OAM: Final = 7
TUN_GENEVE_OPTS: Final = 8
TUN_TP_SRC: Final = 9
TUN_TP_DST: Final = 10
TUN_VXLAN_OPTS: Final = 11
TUN_IPV6_SRC: Final = 12
TUN_IPV6_DST: Final = 13
TUN_PAD: Final = 14
TUN_ERSPAN_OPTS: Final = 15
TUN_IPV4_INFO_BRIDGE: Final = 16
TUN_GTPU_OPTS: Final = 17

VXLAN_EXT_GBP: Final = 1

NSH_BASE: Final = 1
NSH_MD1: Final = 2
NSH_MD2: Final = 3
