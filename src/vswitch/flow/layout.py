"""Where each part of a flow lives: word numbers (`W_*`) and shifts (`S_*`) in `Flow.words`.

`fields.py` says what each match field is and names its place here; each word follows the one before, and
the numbers are constants that compiled code folds into its instructions. Words hold 64 bits, signed. A
field of more than 64 bits runs over several words, most significant first; every other field lies within one.

The order follows the classifier's stages, whose boundaries are `STAGE_ENDS`: metadata, L2, L3,
L4. In the metadata stage the words that no datapath flow matches on come first, tunnel options aside.
`tests/flow/test_fields.py` checks that fields overlap only where they are two views of one thing.
"""

from __future__ import annotations

from typing import Final

# Stage 0: metadata.
W_TUN_METADATA: Final = 0
"""Tunnel options, 256 bytes: 64 cells of 4, two a word, cell 0 in the high half of word 0. Above the dpif
interface a bridge's TLV table says whose they are; at it and below they are Geneve's, as in the packet."""
N_TUN_METADATA_WORDS: Final = 32
W_TUN_METADATA_PRESENT: Final = W_TUN_METADATA + N_TUN_METADATA_WORDS
"""Bit n: tunnel option n was in the packet. At the dpif interface and below: how many bytes of options it
had, all bits of it in a mask that looks at any."""
W_REGS: Final = W_TUN_METADATA_PRESENT + 1
"""reg0 in the high half of the first word; a word is an xreg, two are an xxreg."""
W_TUN_ID: Final = W_REGS + 8
W_TUN_SRC: Final = W_TUN_ID + 1
S_TUN_SRC: Final = 32
W_TUN_DST: Final = W_TUN_SRC
S_TUN_DST: Final = 0
W_TUN_IPV6_SRC: Final = W_TUN_SRC + 1
W_TUN_IPV6_DST: Final = W_TUN_IPV6_SRC + 2
W_TUN_FLAGS: Final = W_TUN_IPV6_DST + 2
S_TUN_FLAGS: Final = 48
W_TUN_TOS: Final = W_TUN_FLAGS
S_TUN_TOS: Final = 40
W_TUN_TTL: Final = W_TUN_FLAGS
S_TUN_TTL: Final = 32
W_TUN_TP_SRC: Final = W_TUN_FLAGS
S_TUN_TP_SRC: Final = 16
W_TUN_TP_DST: Final = W_TUN_FLAGS
S_TUN_TP_DST: Final = 0
W_TUN_EXT: Final = W_TUN_FLAGS + 1
"""What VXLAN group policy, GTP-U and ERSPAN add."""
S_TUN_GBP_ID: Final = 48
S_TUN_GBP_FLAGS: Final = 40
S_TUN_GTPU_FLAGS: Final = 32
S_TUN_GTPU_MSGTYPE: Final = 24
S_TUN_ERSPAN_VER: Final = 16
S_TUN_ERSPAN_DIR: Final = 8
S_TUN_ERSPAN_HWID: Final = 0
W_TUN_ERSPAN_IDX: Final = W_TUN_EXT + 1
S_TUN_ERSPAN_IDX: Final = 32
W_METADATA: Final = W_TUN_ERSPAN_IDX + 1
W_CONJ_ID: Final = W_METADATA + 1
S_CONJ_ID: Final = 32
W_ACTSET_OUTPUT: Final = W_CONJ_ID
S_ACTSET_OUTPUT: Final = 0
W_CT_LABEL: Final = W_CONJ_ID + 1
W_CT_MARK: Final = W_CT_LABEL + 2
S_CT_MARK: Final = 32
W_CT_ZONE: Final = W_CT_MARK
S_CT_ZONE: Final = 16
W_CT_NW_PROTO: Final = W_CT_MARK
S_CT_NW_PROTO: Final = 8
W_CT_STATE: Final = W_CT_MARK
S_CT_STATE: Final = 0
W_SKB_PRIORITY: Final = W_CT_MARK + 1
S_SKB_PRIORITY: Final = 32
W_PKT_MARK: Final = W_SKB_PRIORITY
S_PKT_MARK: Final = 0
W_RECIRC_ID: Final = W_SKB_PRIORITY + 1
S_RECIRC_ID: Final = 32
W_IN_PORT: Final = W_RECIRC_ID
S_IN_PORT: Final = 0

# Stage 1: L2. It begins with the packet type: most rules say "Ethernet", and that alone is worth no stage.
W_DP_HASH: Final = W_RECIRC_ID + 1
S_DP_HASH: Final = 32
W_PACKET_TYPE: Final = W_DP_HASH
S_PACKET_TYPE: Final = 0
W_ETH_DST: Final = W_DP_HASH + 1
S_ETH_DST: Final = 16
W_ETH_TYPE: Final = W_ETH_DST
S_ETH_TYPE: Final = 0
W_ETH_SRC: Final = W_ETH_DST + 1
S_ETH_SRC: Final = 16
W_VLAN_TCI: Final = W_ETH_SRC
S_VLAN_TCI: Final = 0
W_VLAN_TPID: Final = W_ETH_SRC + 1
S_VLAN_TPID: Final = 48
W_VLAN_TCI1: Final = W_VLAN_TPID
S_VLAN_TCI1: Final = 32
W_VLAN_TPID1: Final = W_VLAN_TPID
S_VLAN_TPID1: Final = 16
W_MPLS_LSE: Final = W_VLAN_TPID + 1
"""The outermost label stack entry, high half; the second is the low half, the third the high
half of the next word."""
S_MPLS_LSE: Final = 32

# Stage 2: L3.
W_NW_SRC: Final = W_MPLS_LSE + 2
S_NW_SRC: Final = 32
W_NW_DST: Final = W_NW_SRC
S_NW_DST: Final = 0
W_IPV6_LABEL: Final = W_NW_SRC + 1
S_IPV6_LABEL: Final = 32
W_NW_FRAG: Final = W_IPV6_LABEL
S_NW_FRAG: Final = 24
W_NW_TOS: Final = W_IPV6_LABEL
S_NW_TOS: Final = 16
W_NW_TTL: Final = W_IPV6_LABEL
S_NW_TTL: Final = 8
W_NW_PROTO: Final = W_IPV6_LABEL
S_NW_PROTO: Final = 0
W_IPV6_SRC: Final = W_IPV6_LABEL + 1
W_IPV6_DST: Final = W_IPV6_SRC + 2
W_CT_NW_SRC: Final = W_IPV6_DST + 2
S_CT_NW_SRC: Final = 32
W_CT_NW_DST: Final = W_CT_NW_SRC
S_CT_NW_DST: Final = 0
W_CT_IPV6_SRC: Final = W_CT_NW_SRC + 1
W_CT_IPV6_DST: Final = W_CT_IPV6_SRC + 2

# Stage 3: L4, and what lies inside ARP, neighbour discovery and NSH.
W_ND_TARGET: Final = W_CT_IPV6_DST + 2
W_ARP_SHA: Final = W_ND_TARGET + 2
"""Also the source link-layer address option of neighbour discovery."""
S_ARP_SHA: Final = 16
W_TCP_FLAGS: Final = W_ARP_SHA
"""Also the options type of neighbour discovery."""
S_TCP_FLAGS: Final = 0
W_ARP_THA: Final = W_ARP_SHA + 1
S_ARP_THA: Final = 16
W_NSH_BASE: Final = W_ARP_THA + 1
S_NSH_FLAGS: Final = 56
S_NSH_TTL: Final = 48
S_NSH_MDTYPE: Final = 40
S_NSH_NP: Final = 32
S_NSH_SPI: Final = 8
S_NSH_SI: Final = 0
W_NSH_CONTEXT: Final = W_NSH_BASE + 1
"""c1 in the high half, c2 in the low half; c3 and c4 in the next word."""

W_TP_SRC: Final = W_NSH_CONTEXT + 2
"""Also the ICMP type."""
S_TP_SRC: Final = 48
W_TP_DST: Final = W_TP_SRC
"""Also the ICMP code."""
S_TP_DST: Final = 32
W_CT_TP_SRC: Final = W_TP_SRC
S_CT_TP_SRC: Final = 16
W_CT_TP_DST: Final = W_TP_SRC
S_CT_TP_DST: Final = 0
W_IGMP_GROUP: Final = W_TP_SRC + 1
"""The IGMP group; also the reserved word of neighbour discovery."""
S_IGMP_GROUP: Final = 32

N_WORDS: Final = W_IGMP_GROUP + 1

W_PACKET: Final = W_ETH_DST
"""From here on lie the words that `extract` fills from the packet's bytes."""
STAGE_ENDS: Final = (W_DP_HASH, W_NW_SRC, W_ND_TARGET, N_WORDS)
"""One past the last word of each stage: metadata, L2, L3, L4."""

# Runs of words that loops go through: each from its first word to one past its last.
W_REGS_END: Final = W_TUN_ID
W_TUNNEL: Final = W_TUN_ID
W_TUNNEL_END: Final = W_METADATA
"""The tunnel, its options aside."""
W_CT: Final = W_CT_LABEL
W_CT_END: Final = W_SKB_PRIORITY
"""A connection's state; the addresses of its first packet are in the next run, the ports in the low half of
`W_CT_TP_SRC`."""
W_CT_ADDRESSES: Final = W_CT_NW_SRC
W_CT_ADDRESSES_END: Final = W_ND_TARGET
CT_PORTS: Final = 0xFFFFFFFF
W_NSH: Final = W_NSH_BASE
W_NSH_END: Final = W_TP_SRC

# Values that lie in these places.
VLAN_CFI: Final = 0x1000
"""In a TCI: a tag is present."""
VLAN_VID_MASK: Final = 0x0FFF
VLAN_PCP_MASK: Final = 0xE000
VLAN_PCP_SHIFT: Final = 13

FRAG_ANY: Final = 1
"""`nw_frag`: any fragment."""
FRAG_LATER: Final = 2
"""`nw_frag`: not the first fragment."""

TUN_F_OAM: Final = 0x0001
"""The only tunnel flag that OpenFlow sees; the others are between datapath and translation."""
TUN_F_DF: Final = 0x0002
TUN_F_CSUM: Final = 0x0004
TUN_F_KEY: Final = 0x0008
TUN_F_ALL: Final = 0x000F

CS_NEW: Final = 0x01
CS_ESTABLISHED: Final = 0x02
CS_RELATED: Final = 0x04
CS_REPLY_DIR: Final = 0x08
CS_INVALID: Final = 0x10
CS_TRACKED: Final = 0x20
CS_SRC_NAT: Final = 0x40
CS_DST_NAT: Final = 0x80

