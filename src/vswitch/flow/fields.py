"""The match fields of Open vSwitch 3.1, each once (ovs-fields(7)): the only list of them.

Everything else that knows of fields derives from it: masks, text, OXM, Netlink key attributes.
`FIELDS` are the match fields in Open vSwitch's own order, in which lists name them and hashes take
them. `PARTS` are the parts of a flow that OpenFlow cannot name but a datapath matches (the second VLAN
tag, further MPLS labels, tunnel ports, the IGMP group).

Tunnel options: a switch may bind each of tun_metadata0..63 to up to 124 bytes of 256 in all. The
fields here have no place; `Field.at_cells` is one that has, as a switch's TLV table chose it.
"""

from __future__ import annotations

from typing import Final

from vswitch.flow import key_attr as key
from vswitch.flow import layout as at
from vswitch.flow.field import Field, Format, NlSlot, OxmHeader, Prereq, Special

N_WORDS: Final = at.N_WORDS
STAGE_ENDS: Final = at.STAGE_ENDS
N_REGS: Final = 16
N_TUN_METADATA: Final = 64

OXM_CLASSES: Final = {
    "NXM_OF_": (0x0000, 0),
    "NXM_NX_": (0x0001, 0),
    "ERICOXM_OF_": (0x1000, 0),
    "OXM_OF_PKT_REG": (0x8001, 0),
    "OXM_OF_": (0x8000, 0),
    "NXOXM_NSH_": (0xFFFF, 0x005AD650),
    "NXOXM_ET_": (0xFFFF, 0x00002320),
    "ONFOXM_ET_": (0xFFFF, 0x4F4E4600),
}
"""Prefix of a header's name -> (OXM class, experimenter or 0)."""

DEC: Final = Format.DECIMAL
HEX: Final = Format.HEX
ETH: Final = Format.ETHERNET
IP4: Final = Format.IPV4
IP6: Final = Format.IPV6
NONE: Final = Prereq.NONE

FIELDS: Final[list[Field]] = []
PARTS: Final[list[Field]] = []


def _oxm(text: str) -> OxmHeader:
    """Read "NAME number [OpenFlow version/]Open vSwitch version"."""
    name, number, since = text.split()
    version, _, release = since.rpartition("/")
    for prefix, (class_, experimenter) in OXM_CLASSES.items():
        if name.startswith(prefix):
            return OxmHeader(name, class_, int(number), experimenter, version, release)
    raise ValueError(f"{name}: no OXM class has this prefix")


def _slots(nl: tuple[int, ...]) -> tuple[NlSlot, ...]:
    """Each four numbers are one place: attribute, nested attribute or -1, offset, size."""
    return tuple(NlSlot(*nl[i : i + 4]) for i in range(0, len(nl), 4))


def _add(
    name: str,
    word: int,
    shift: int,
    n_bits: int,
    fmt: Format,
    prereq: Prereq,
    access: str,
    *oxm: str,
    nl: tuple[int, ...] = (),
    aka: tuple[str, ...] = (),
    stored: int = 0,
    n_bytes: int = 0,
    special: Special = Special.PLAIN,
    ones: int = 0,
    option: int = -1,
) -> None:
    """Register a match field; `access` has "m" if it is maskable, "w" if it is writable, and "p" if it is a
    pipeline field, which a packet-in tells beside the packet's bytes."""
    size = n_bytes or {20: 4, 24: 4}.get(n_bits, (n_bits + 7) // 8)
    FIELDS.append(
        Field(
            name, word, shift, n_bits, size, stored or n_bits, fmt, prereq, "m" in access, "w" in access,
            aka, tuple(_oxm(text) for text in oxm), _slots(nl), special,
            len(FIELDS), ones, option, (), "p" in access,
        )
    )  # fmt: skip


def _part(name: str, word: int, shift: int, n_bits: int, nl: tuple[int, ...] = ()) -> None:
    """Register a part of a flow that is not a match field."""
    size = (n_bits + 7) // 8
    slots = _slots(nl)
    PARTS.append(Field(name, word, shift, n_bits, size, n_bits, HEX, NONE, True, True, (), (), slots, 0, -1))


# What a datapath made of the packet before, and conjunctive match.
_add("dp_hash", at.W_DP_HASH, at.S_DP_HASH, 32, HEX, NONE, "m", "NXM_NX_DP_HASH 35 2.2",
     "NXOXM_ET_DP_HASH 0 2.2",
     nl=(key.DP_HASH, -1, 0, 4))  # fmt: skip
_add("recirc_id", at.W_RECIRC_ID, at.S_RECIRC_ID, 32, DEC, NONE, "", "NXM_NX_RECIRC_ID 36 2.2",
     nl=(key.RECIRC_ID, -1, 0, 4))  # fmt: skip
_add("packet_type", at.W_PACKET_TYPE, at.S_PACKET_TYPE, 32, Format.PACKET_TYPE, NONE, "",
     "OXM_OF_PACKET_TYPE 44 1.5/2.8", nl=(key.PACKET_TYPE, -1, 0, 4))  # fmt: skip
_add("conj_id", at.W_CONJ_ID, at.S_CONJ_ID, 32, DEC, NONE, "", "NXM_NX_CONJ_ID 37 2.4")

# Tunnel.
_add("tun_id", at.W_TUN_ID, 0, 64, HEX, NONE, "mwp", "OXM_OF_TUNNEL_ID 38 1.3/1.10",
     "NXM_NX_TUN_ID 16 1.1", aka=("tunnel_id",), nl=(key.TUNNEL, key.TUN_ID, 0, 8))  # fmt: skip
_add("tun_src", at.W_TUN_SRC, at.S_TUN_SRC, 32, IP4, NONE, "mwp", "NXM_NX_TUN_IPV4_SRC 31 2.0",
     nl=(key.TUNNEL, key.TUN_IPV4_SRC, 0, 4))  # fmt: skip
_add("tun_dst", at.W_TUN_DST, at.S_TUN_DST, 32, IP4, NONE, "mwp", "NXM_NX_TUN_IPV4_DST 32 2.0",
     nl=(key.TUNNEL, key.TUN_IPV4_DST, 0, 4))  # fmt: skip
_add("tun_ipv6_src", at.W_TUN_IPV6_SRC, 0, 128, IP6, NONE, "mwp", "NXM_NX_TUN_IPV6_SRC 109 2.5",
     nl=(key.TUNNEL, key.TUN_IPV6_SRC, 0, 16))  # fmt: skip
_add("tun_ipv6_dst", at.W_TUN_IPV6_DST, 0, 128, IP6, NONE, "mwp", "NXM_NX_TUN_IPV6_DST 110 2.5",
     nl=(key.TUNNEL, key.TUN_IPV6_DST, 0, 16))  # fmt: skip
_add("tun_flags", at.W_TUN_FLAGS, at.S_TUN_FLAGS, 1, Format.TUN_FLAGS, NONE, "mwp",
     "NXM_NX_TUN_FLAGS 104 2.5", n_bytes=2)  # fmt: skip
_add("tun_ttl", at.W_TUN_TTL, at.S_TUN_TTL, 8, DEC, NONE, "", nl=(key.TUNNEL, key.TUN_TTL, 0, 1))
_add("tun_tos", at.W_TUN_TOS, at.S_TUN_TOS, 8, DEC, NONE, "", nl=(key.TUNNEL, key.TUN_TOS, 0, 1))
_add("tun_gbp_id", at.W_TUN_EXT, at.S_TUN_GBP_ID, 16, DEC, NONE, "mwp", "NXM_NX_TUN_GBP_ID 38 2.4")
_add("tun_gbp_flags", at.W_TUN_EXT, at.S_TUN_GBP_FLAGS, 8, HEX, NONE, "mwp", "NXM_NX_TUN_GBP_FLAGS 39 2.4")
_add("tun_erspan_idx", at.W_TUN_ERSPAN_IDX, at.S_TUN_ERSPAN_IDX, 20, HEX, NONE, "mwp",
     "NXOXM_ET_ERSPAN_IDX 11 2.10")  # fmt: skip
_add("tun_erspan_ver", at.W_TUN_EXT, at.S_TUN_ERSPAN_VER, 4, DEC, NONE, "mwp", "NXOXM_ET_ERSPAN_VER 12 2.10")
_add("tun_erspan_dir", at.W_TUN_EXT, at.S_TUN_ERSPAN_DIR, 1, DEC, NONE, "mwp", "NXOXM_ET_ERSPAN_DIR 13 2.10")
_add("tun_erspan_hwid", at.W_TUN_EXT, at.S_TUN_ERSPAN_HWID, 6, HEX, NONE, "mwp",
     "NXOXM_ET_ERSPAN_HWID 14 2.10")  # fmt: skip
_add("tun_gtpu_flags", at.W_TUN_EXT, at.S_TUN_GTPU_FLAGS, 8, HEX, NONE, "m",
     "NXOXM_ET_GTPU_FLAGS 15 2.13", nl=(key.TUNNEL, key.TUN_GTPU_OPTS, 0, 1))  # fmt: skip
_add("tun_gtpu_msgtype", at.W_TUN_EXT, at.S_TUN_GTPU_MSGTYPE, 8, DEC, NONE, "m",
     "NXOXM_ET_GTPU_MSGTYPE 16 2.13", nl=(key.TUNNEL, key.TUN_GTPU_OPTS, 1, 1))  # fmt: skip
for _n in range(N_TUN_METADATA):
    _add(f"tun_metadata{_n}", at.W_TUN_METADATA, 0, 992, HEX, NONE, "mw",
         f"NXM_NX_TUN_METADATA{_n} {40 + _n} 2.5", option=_n)  # fmt: skip

# Metadata.
_add("metadata", at.W_METADATA, 0, 64, HEX, NONE, "mwp", "OXM_OF_METADATA 2 1.2/1.8")
_add("in_port", at.W_IN_PORT, at.S_IN_PORT, 16, Format.OFP_PORT, NONE, "w", "NXM_OF_IN_PORT 0 1.1",
     nl=(key.IN_PORT, -1, 0, 4))  # fmt: skip
_add("in_port_oxm", at.W_IN_PORT, at.S_IN_PORT, 32, Format.OFP_PORT_OXM, NONE, "w",
     "OXM_OF_IN_PORT 0 1.2/1.7", stored=16, special=Special.PORT32)  # fmt: skip
_add("actset_output", at.W_ACTSET_OUTPUT, at.S_ACTSET_OUTPUT, 32, Format.OFP_PORT_OXM, NONE, "",
     "ONFOXM_ET_ACTSET_OUTPUT 43 1.3/2.4", "OXM_OF_ACTSET_OUTPUT 43 1.5/2.4", stored=16,
     special=Special.PORT32)  # fmt: skip
_add("skb_priority", at.W_SKB_PRIORITY, at.S_SKB_PRIORITY, 32, HEX, NONE, "", nl=(key.PRIORITY, -1, 0, 4))
_add("pkt_mark", at.W_PKT_MARK, at.S_PKT_MARK, 32, HEX, NONE, "mwp", "NXM_NX_PKT_MARK 33 2.0",
     nl=(key.SKB_MARK, -1, 0, 4))  # fmt: skip

# Connection tracking.
_add("ct_state", at.W_CT_STATE, at.S_CT_STATE, 32, Format.CT_STATE, NONE, "mp", "NXM_NX_CT_STATE 105 2.5",
     stored=8, nl=(key.CT_STATE, -1, 0, 4))  # fmt: skip
_add("ct_zone", at.W_CT_ZONE, at.S_CT_ZONE, 16, HEX, NONE, "p", "NXM_NX_CT_ZONE 106 2.5",
     nl=(key.CT_ZONE, -1, 0, 2))  # fmt: skip
_add("ct_mark", at.W_CT_MARK, at.S_CT_MARK, 32, HEX, NONE, "mwp", "NXM_NX_CT_MARK 107 2.5",
     nl=(key.CT_MARK, -1, 0, 4))  # fmt: skip
_add("ct_label", at.W_CT_LABEL, 0, 128, HEX, NONE, "mwp", "NXM_NX_CT_LABEL 108 2.5",
     nl=(key.CT_LABELS, -1, 0, 16))  # fmt: skip
_add("ct_nw_proto", at.W_CT_NW_PROTO, at.S_CT_NW_PROTO, 8, DEC, Prereq.CT, "", "NXM_NX_CT_NW_PROTO 119 2.8",
     nl=(key.CT_ORIG_TUPLE_IPV4, -1, 12, 1, key.CT_ORIG_TUPLE_IPV6, -1, 36, 1))  # fmt: skip
_add("ct_nw_src", at.W_CT_NW_SRC, at.S_CT_NW_SRC, 32, IP4, Prereq.CT, "m", "NXM_NX_CT_NW_SRC 120 2.8",
     nl=(key.CT_ORIG_TUPLE_IPV4, -1, 0, 4))  # fmt: skip
_add("ct_nw_dst", at.W_CT_NW_DST, at.S_CT_NW_DST, 32, IP4, Prereq.CT, "m", "NXM_NX_CT_NW_DST 121 2.8",
     nl=(key.CT_ORIG_TUPLE_IPV4, -1, 4, 4))  # fmt: skip
_add("ct_ipv6_src", at.W_CT_IPV6_SRC, 0, 128, IP6, Prereq.CT, "m", "NXM_NX_CT_IPV6_SRC 122 2.8",
     nl=(key.CT_ORIG_TUPLE_IPV6, -1, 0, 16))  # fmt: skip
_add("ct_ipv6_dst", at.W_CT_IPV6_DST, 0, 128, IP6, Prereq.CT, "m", "NXM_NX_CT_IPV6_DST 123 2.8",
     nl=(key.CT_ORIG_TUPLE_IPV6, -1, 16, 16))  # fmt: skip
_add("ct_tp_src", at.W_CT_TP_SRC, at.S_CT_TP_SRC, 16, DEC, Prereq.CT, "m", "NXM_NX_CT_TP_SRC 124 2.8",
     nl=(key.CT_ORIG_TUPLE_IPV4, -1, 8, 2, key.CT_ORIG_TUPLE_IPV6, -1, 32, 2))  # fmt: skip
_add("ct_tp_dst", at.W_CT_TP_DST, at.S_CT_TP_DST, 16, DEC, Prereq.CT, "m", "NXM_NX_CT_TP_DST 125 2.8",
     nl=(key.CT_ORIG_TUPLE_IPV4, -1, 10, 2, key.CT_ORIG_TUPLE_IPV6, -1, 34, 2))  # fmt: skip

# Registers.
for _n in range(N_REGS):
    _add(f"reg{_n}", at.W_REGS + _n // 2, 0 if _n & 1 else 32, 32, HEX, NONE, "mwp",
         f"NXM_NX_REG{_n} {_n} 1.1")  # fmt: skip
for _n in range(N_REGS // 2):
    _add(f"xreg{_n}", at.W_REGS + _n, 0, 64, HEX, NONE, "mw", f"OXM_OF_PKT_REG{_n} {_n} 1.3/2.4")
for _n in range(N_REGS // 4):
    _add(f"xxreg{_n}", at.W_REGS + 2 * _n, 0, 128, HEX, NONE, "mw", f"NXM_NX_XXREG{_n} {111 + _n} 2.6")

# Ethernet and VLAN.
_add("eth_src", at.W_ETH_SRC, at.S_ETH_SRC, 48, ETH, Prereq.ETHERNET, "mw", "OXM_OF_ETH_SRC 4 1.2/1.7",
     "NXM_OF_ETH_SRC 2 1.1", aka=("dl_src",), nl=(key.ETHERNET, -1, 0, 6))  # fmt: skip
_add("eth_dst", at.W_ETH_DST, at.S_ETH_DST, 48, ETH, Prereq.ETHERNET, "mw", "OXM_OF_ETH_DST 3 1.2/1.7",
     "NXM_OF_ETH_DST 1 1.1", aka=("dl_dst",), nl=(key.ETHERNET, -1, 6, 6))  # fmt: skip
_add("eth_type", at.W_ETH_TYPE, at.S_ETH_TYPE, 16, HEX, Prereq.ETHERNET, "", "OXM_OF_ETH_TYPE 5 1.2/1.7",
     "NXM_OF_ETH_TYPE 3 1.1", aka=("dl_type",), nl=(key.ETHERTYPE, -1, 0, 2))  # fmt: skip
_add("vlan_tci", at.W_VLAN_TCI, at.S_VLAN_TCI, 16, HEX, Prereq.ETHERNET, "mw", "NXM_OF_VLAN_TCI 4 1.1",
     nl=(key.VLAN, -1, 0, 2))  # fmt: skip
_add("dl_vlan", at.W_VLAN_TCI, at.S_VLAN_TCI, 12, DEC, Prereq.ETHERNET, "w", special=Special.DL_VLAN)
_add("vlan_vid", at.W_VLAN_TCI, at.S_VLAN_TCI, 12, DEC, Prereq.ETHERNET, "mw", "OXM_OF_VLAN_VID 6 1.2/1.7",
     stored=13)  # fmt: skip
_add("dl_vlan_pcp", at.W_VLAN_TCI, at.S_VLAN_TCI + at.VLAN_PCP_SHIFT, 3, DEC, Prereq.ETHERNET, "w",
     special=Special.VLAN_PCP)  # fmt: skip
_add("vlan_pcp", at.W_VLAN_TCI, at.S_VLAN_TCI + at.VLAN_PCP_SHIFT, 3, DEC, Prereq.VLAN_VID, "w",
     "OXM_OF_VLAN_PCP 7 1.2/1.7", special=Special.VLAN_PCP)  # fmt: skip

# MPLS: the outermost label stack entry (RFC 3032 section 2.1).
_add("mpls_label", at.W_MPLS_LSE, at.S_MPLS_LSE + 12, 20, DEC, Prereq.MPLS, "w",
     "OXM_OF_MPLS_LABEL 34 1.2/1.11")  # fmt: skip
_add("mpls_tc", at.W_MPLS_LSE, at.S_MPLS_LSE + 9, 3, DEC, Prereq.MPLS, "w", "OXM_OF_MPLS_TC 35 1.2/1.11")
_add("mpls_bos", at.W_MPLS_LSE, at.S_MPLS_LSE + 8, 1, DEC, Prereq.MPLS, "", "OXM_OF_MPLS_BOS 36 1.3/1.11")
_add("mpls_ttl", at.W_MPLS_LSE, at.S_MPLS_LSE, 8, DEC, Prereq.MPLS, "w", "NXM_NX_MPLS_TTL 30 2.6")

# IP.
_add("ip_src", at.W_NW_SRC, at.S_NW_SRC, 32, IP4, Prereq.IPV4, "mw", "OXM_OF_IPV4_SRC 11 1.2/1.7",
     "NXM_OF_IP_SRC 7 1.1", aka=("nw_src",), nl=(key.IPV4, -1, 0, 4))  # fmt: skip
_add("ip_dst", at.W_NW_DST, at.S_NW_DST, 32, IP4, Prereq.IPV4, "mw", "OXM_OF_IPV4_DST 12 1.2/1.7",
     "NXM_OF_IP_DST 8 1.1", aka=("nw_dst",), nl=(key.IPV4, -1, 4, 4))  # fmt: skip
_add("ipv6_src", at.W_IPV6_SRC, 0, 128, IP6, Prereq.IPV6, "mw", "OXM_OF_IPV6_SRC 26 1.2/1.1",
     "NXM_NX_IPV6_SRC 19 1.1", nl=(key.IPV6, -1, 0, 16))  # fmt: skip
_add("ipv6_dst", at.W_IPV6_DST, 0, 128, IP6, Prereq.IPV6, "mw", "OXM_OF_IPV6_DST 27 1.2/1.1",
     "NXM_NX_IPV6_DST 20 1.1", nl=(key.IPV6, -1, 16, 16))  # fmt: skip
_add("ipv6_label", at.W_IPV6_LABEL, at.S_IPV6_LABEL, 20, HEX, Prereq.IPV6, "mw",
     "OXM_OF_IPV6_FLABEL 28 1.2/1.7", "NXM_NX_IPV6_LABEL 27 1.4", nl=(key.IPV6, -1, 32, 4))  # fmt: skip
_add("nw_proto", at.W_NW_PROTO, at.S_NW_PROTO, 8, DEC, Prereq.IP_ANY, "", "OXM_OF_IP_PROTO 10 1.2/1.7",
     "NXM_OF_IP_PROTO 6 1.1", aka=("ip_proto",), nl=(key.IPV4, -1, 8, 1, key.IPV6, -1, 36, 1))  # fmt: skip
_add("nw_tos", at.W_NW_TOS, at.S_NW_TOS, 8, DEC, Prereq.IP_ANY, "w", "NXM_OF_IP_TOS 5 1.1",
     nl=(key.IPV4, -1, 9, 1, key.IPV6, -1, 37, 1), ones=0xFC)  # fmt: skip
_add("ip_dscp", at.W_NW_TOS, at.S_NW_TOS + 2, 6, DEC, Prereq.IP_ANY, "w", "OXM_OF_IP_DSCP 8 1.2/1.7")
_add("nw_ecn", at.W_NW_TOS, at.S_NW_TOS, 2, DEC, Prereq.IP_ANY, "w", "OXM_OF_IP_ECN 9 1.2/1.7",
     "NXM_NX_IP_ECN 28 1.4", aka=("ip_ecn",))  # fmt: skip
_add("nw_ttl", at.W_NW_TTL, at.S_NW_TTL, 8, DEC, Prereq.IP_ANY, "w", "NXM_NX_IP_TTL 29 1.4",
     nl=(key.IPV4, -1, 10, 1, key.IPV6, -1, 38, 1))  # fmt: skip
_add("ip_frag", at.W_NW_FRAG, at.S_NW_FRAG, 2, Format.FRAG, Prereq.IP_ANY, "m", "NXM_NX_IP_FRAG 26 1.3",
     aka=("nw_frag",), nl=(key.IPV4, -1, 11, 1, key.IPV6, -1, 39, 1))  # fmt: skip

# ARP. The opcode's low byte lies in nw_proto; a packet with a larger opcode has 0 there.
_add("arp_op", at.W_NW_PROTO, at.S_NW_PROTO, 16, DEC, Prereq.ARP, "w", "OXM_OF_ARP_OP 21 1.2/1.7",
     "NXM_OF_ARP_OP 15 1.1", stored=8, nl=(key.ARP, -1, 8, 2))  # fmt: skip
_add("arp_spa", at.W_NW_SRC, at.S_NW_SRC, 32, IP4, Prereq.ARP, "mw", "OXM_OF_ARP_SPA 22 1.2/1.7",
     "NXM_OF_ARP_SPA 16 1.1", nl=(key.ARP, -1, 0, 4))  # fmt: skip
_add("arp_tpa", at.W_NW_DST, at.S_NW_DST, 32, IP4, Prereq.ARP, "mw", "OXM_OF_ARP_TPA 23 1.2/1.7",
     "NXM_OF_ARP_TPA 17 1.1", nl=(key.ARP, -1, 4, 4))  # fmt: skip
_add("arp_sha", at.W_ARP_SHA, at.S_ARP_SHA, 48, ETH, Prereq.ARP, "mw", "OXM_OF_ARP_SHA 24 1.2/1.7",
     "NXM_NX_ARP_SHA 17 1.1", nl=(key.ARP, -1, 10, 6))  # fmt: skip
_add("arp_tha", at.W_ARP_THA, at.S_ARP_THA, 48, ETH, Prereq.ARP, "mw", "OXM_OF_ARP_THA 25 1.2/1.7",
     "NXM_NX_ARP_THA 18 1.1", nl=(key.ARP, -1, 16, 6))  # fmt: skip

# TCP, UDP, SCTP.
_add("tcp_src", at.W_TP_SRC, at.S_TP_SRC, 16, DEC, Prereq.TCP, "mw", "OXM_OF_TCP_SRC 13 1.2/1.7",
     "NXM_OF_TCP_SRC 9 1.1", aka=("tp_src",), nl=(key.TCP, -1, 0, 2))  # fmt: skip
_add("tcp_dst", at.W_TP_DST, at.S_TP_DST, 16, DEC, Prereq.TCP, "mw", "OXM_OF_TCP_DST 14 1.2/1.7",
     "NXM_OF_TCP_DST 10 1.1", aka=("tp_dst",), nl=(key.TCP, -1, 2, 2))  # fmt: skip
_add("tcp_flags", at.W_TCP_FLAGS, at.S_TCP_FLAGS, 12, Format.TCP_FLAGS, Prereq.TCP, "m",
     "ONFOXM_ET_TCP_FLAGS 42 1.3/2.4", "OXM_OF_TCP_FLAGS 42 1.5/2.3", "NXM_NX_TCP_FLAGS 34 2.1",
     nl=(key.TCP_FLAGS, -1, 0, 2))  # fmt: skip
_add("udp_src", at.W_TP_SRC, at.S_TP_SRC, 16, DEC, Prereq.UDP, "mw", "OXM_OF_UDP_SRC 15 1.2/1.7",
     "NXM_OF_UDP_SRC 11 1.1", nl=(key.UDP, -1, 0, 2))  # fmt: skip
_add("udp_dst", at.W_TP_DST, at.S_TP_DST, 16, DEC, Prereq.UDP, "mw", "OXM_OF_UDP_DST 16 1.2/1.7",
     "NXM_OF_UDP_DST 12 1.1", nl=(key.UDP, -1, 2, 2))  # fmt: skip
_add("sctp_src", at.W_TP_SRC, at.S_TP_SRC, 16, DEC, Prereq.SCTP, "mw", "OXM_OF_SCTP_SRC 17 1.2/2.0",
     nl=(key.SCTP, -1, 0, 2))  # fmt: skip
_add("sctp_dst", at.W_TP_DST, at.S_TP_DST, 16, DEC, Prereq.SCTP, "mw", "OXM_OF_SCTP_DST 18 1.2/2.0",
     nl=(key.SCTP, -1, 2, 2))  # fmt: skip

# ICMP, ICMPv6, neighbour discovery (RFC 4861). Type and code have the ports' 16 bits.
_add("icmp_type", at.W_TP_SRC, at.S_TP_SRC, 8, DEC, Prereq.ICMPV4, "w", "OXM_OF_ICMPV4_TYPE 19 1.2/1.7",
     "NXM_OF_ICMP_TYPE 13 1.1", stored=16,
     nl=(key.ICMP, -1, 0, 1))  # fmt: skip
_add("icmp_code", at.W_TP_DST, at.S_TP_DST, 8, DEC, Prereq.ICMPV4, "w", "OXM_OF_ICMPV4_CODE 20 1.2/1.7",
     "NXM_OF_ICMP_CODE 14 1.1", stored=16,
     nl=(key.ICMP, -1, 1, 1))  # fmt: skip
_add("icmpv6_type", at.W_TP_SRC, at.S_TP_SRC, 8, DEC, Prereq.ICMPV6, "w", "OXM_OF_ICMPV6_TYPE 29 1.2/1.7",
     "NXM_NX_ICMPV6_TYPE 21 1.1", stored=16,
     nl=(key.ICMPV6, -1, 0, 1))  # fmt: skip
_add("icmpv6_code", at.W_TP_DST, at.S_TP_DST, 8, DEC, Prereq.ICMPV6, "w", "OXM_OF_ICMPV6_CODE 30 1.2/1.7",
     "NXM_NX_ICMPV6_CODE 22 1.1", stored=16,
     nl=(key.ICMPV6, -1, 1, 1))  # fmt: skip
_add("nd_target", at.W_ND_TARGET, 0, 128, IP6, Prereq.ND, "mw", "OXM_OF_IPV6_ND_TARGET 31 1.2/1.7",
     "NXM_NX_ND_TARGET 23 1.1", nl=(key.ND, -1, 0, 16))  # fmt: skip
_add("nd_sll", at.W_ARP_SHA, at.S_ARP_SHA, 48, ETH, Prereq.ND_SOLICIT, "mw", "OXM_OF_IPV6_ND_SLL 32 1.2/1.7",
     "NXM_NX_ND_SLL 24 1.1", nl=(key.ND, -1, 16, 6))  # fmt: skip
_add("nd_tll", at.W_ARP_THA, at.S_ARP_THA, 48, ETH, Prereq.ND_ADVERT, "mw", "OXM_OF_IPV6_ND_TLL 33 1.2/1.7",
     "NXM_NX_ND_TLL 25 1.1", nl=(key.ND, -1, 22, 6))  # fmt: skip
_add("nd_reserved", at.W_IGMP_GROUP, at.S_IGMP_GROUP, 32, DEC, Prereq.ND, "w",
     "ERICOXM_OF_ICMPV6_ND_RESERVED 1 2.11", nl=(key.ND_EXTENSIONS, -1, 0, 4))  # fmt: skip
_add("nd_options_type", at.W_TCP_FLAGS, at.S_TCP_FLAGS, 8, DEC, Prereq.ND, "w",
     "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE 2 2.11", stored=16, nl=(key.ND_EXTENSIONS, -1, 4, 1))  # fmt: skip

# Network Service Header (RFC 8300).
_add("nsh_flags", at.W_NSH_BASE, at.S_NSH_FLAGS, 8, DEC, Prereq.NSH, "mw", "NXOXM_NSH_FLAGS 1 2.8",
     nl=(key.NSH, key.NSH_BASE, 0, 1))  # fmt: skip
_add("nsh_mdtype", at.W_NSH_BASE, at.S_NSH_MDTYPE, 8, DEC, Prereq.NSH, "", "NXOXM_NSH_MDTYPE 2 2.8",
     nl=(key.NSH, key.NSH_BASE, 2, 1))  # fmt: skip
_add("nsh_np", at.W_NSH_BASE, at.S_NSH_NP, 8, DEC, Prereq.NSH, "", "NXOXM_NSH_NP 3 2.8",
     nl=(key.NSH, key.NSH_BASE, 3, 1))  # fmt: skip
_add("nsh_spi", at.W_NSH_BASE, at.S_NSH_SPI, 24, HEX, Prereq.NSH, "w", "NXOXM_NSH_SPI 4 2.8", aka=("nsp",),
     nl=(key.NSH, key.NSH_BASE, 4, 3))  # fmt: skip
_add("nsh_si", at.W_NSH_BASE, at.S_NSH_SI, 8, DEC, Prereq.NSH, "w", "NXOXM_NSH_SI 5 2.8", aka=("nsi",),
     nl=(key.NSH, key.NSH_BASE, 7, 1))  # fmt: skip
for _n in range(4):
    _add(f"nsh_c{_n + 1}", at.W_NSH_CONTEXT + _n // 2, 0 if _n & 1 else 32, 32, HEX, Prereq.NSH, "mw",
         f"NXOXM_NSH_C{_n + 1} {6 + _n} 2.8", aka=(f"nshc{_n + 1}",),
         nl=(key.NSH, key.NSH_MD1, 4 * _n, 4))  # fmt: skip
_add("nsh_ttl", at.W_NSH_BASE, at.S_NSH_TTL, 8, DEC, Prereq.NSH, "w", "NXOXM_NSH_TTL 10 2.9",
     nl=(key.NSH, key.NSH_BASE, 1, 1))  # fmt: skip

# Parts of a flow that OpenFlow has no names for.
_part("tun_metadata_present", at.W_TUN_METADATA_PRESENT, 0, 64)
_part("tun_all_flags", at.W_TUN_FLAGS, at.S_TUN_FLAGS, 16)
_part("tun_tp_src", at.W_TUN_TP_SRC, at.S_TUN_TP_SRC, 16, (key.TUNNEL, key.TUN_TP_SRC, 0, 2))
_part("tun_tp_dst", at.W_TUN_TP_DST, at.S_TUN_TP_DST, 16, (key.TUNNEL, key.TUN_TP_DST, 0, 2))
_part("vlan_tpid", at.W_VLAN_TPID, at.S_VLAN_TPID, 16, (key.ETHERTYPE, -1, 0, 2))
_part("vlan_tci1", at.W_VLAN_TCI1, at.S_VLAN_TCI1, 16, (key.VLAN, -1, 0, 2))
_part("vlan_tpid1", at.W_VLAN_TPID1, at.S_VLAN_TPID1, 16, (key.ETHERTYPE, -1, 0, 2))
_part("mpls_lse", at.W_MPLS_LSE, at.S_MPLS_LSE, 32, (key.MPLS, -1, 0, 4))
_part("mpls_lse1", at.W_MPLS_LSE, 0, 32, (key.MPLS, -1, 4, 4))
_part("mpls_lse2", at.W_MPLS_LSE + 1, 32, 32, (key.MPLS, -1, 8, 4))
_part("igmp_group_ip4", at.W_IGMP_GROUP, at.S_IGMP_GROUP, 32)

_BY_NAME: Final[dict[str, Field]] = {}
for _field in FIELDS:
    _BY_NAME[_field.name] = _field
    for _alias in _field.aliases:
        _BY_NAME[_alias] = _field
PART_BY_NAME: Final[dict[str, Field]] = {field.name: field for field in PARTS}
BY_OXM_NAME: Final[dict[str, Field]] = {header.name: field for field in FIELDS for header in field.oxm}
"""Header name such as "NXM_OF_IN_PORT" -> field."""
BY_OXM: Final[dict[tuple[int, int, int], Field]] = {
    (header.class_, header.experimenter, header.number): field for field in FIELDS for header in field.oxm
}
"""(class, experimenter, number) of an OXM TLV header -> field."""


def by_name(name: str) -> Field:
    """The match field `name`, which may be an alias or an OXM or NXM name; KeyError if none."""
    field = _BY_NAME.get(name)
    return BY_OXM_NAME[name] if field is None else field
