"""What datapath actions do to a packet's bytes and metadata, one `Step` at a time.

`Executor` has the parser and the editor, which hold one packet at a time; a `Packet` knows which
of them hold it. It is immutable bytes plus offload state, and is opened for editing only by steps
that change bytes. Who runs steps decides what becomes of outputs and the like: the userspace
datapath (`userspace/core.py`), or `execute_with_help.py` in front of a datapath that can't.
"""

from __future__ import annotations

from typing import final

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from vswitch.base.signed import high32
from vswitch.dpif import odp_step as op
from vswitch.dpif.odp_step import Step
from vswitch.flow import layout as at
from vswitch.flow.extract import from_parser, limit_vlans
from vswitch.flow.flow import Flow
from vswitch.flow.hash_fields import hash_symmetric_l3l4
from vswitch.netdev import gso
from vswitch.netdev.frame import GSO_NONE, VNET_NEEDS_CSUM, Frame
from vswitch.packet.modify import Editor
from vswitch.packet.numbers import ETH_TYPE_NSH, ETH_TYPE_TEB
from vswitch.packet.parse import Parser


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Packet:
    """One packet on its way through a list of steps."""

    def __init__(self, frame: Frame, flow: Flow, in_port: i64) -> None:
        self.frame = frame
        self.flow = flow
        """Metadata, and in `extracted` state the headers of `frame` as well."""
        self.in_port = in_port
        self.parsed: bool = False
        """The executor's parser holds the headers of `frame`."""
        self.extracted: bool = False
        self.editing: bool = False
        """The executor's editor holds the packet; `frame` is from before the edits."""
        self.max_len: i64 = 0
        self.depth: i64 = 0
        self.ufid: bytes = b""
        self.conn: i64 = 0
        """The tracked connection that the packet was found to belong to, shifted left by its direction's bit,
        and the connection's serial number."""
        self.conn_serial: i64 = 0


@final
class Executor:
    """The tools that packets are worked on with: one packet at a time."""

    def __init__(self) -> None:
        self.parser: Parser = Parser()
        self.vlan_limit: i64 = 2
        """How many VLAN tags of a packet its flow has. Actions change it by what it really has."""
        self.editor: Editor = Editor()
        self.hashed: Flow = Flow()
        """The headers of the packet that was hashed last."""

    def parse(self, packet: Packet) -> None:
        """Have the parser hold the headers of the packet as it is now."""
        self.settle(packet)
        if not packet.parsed:
            words = packet.flow.words
            packet_type: i64 = words[at.W_PACKET_TYPE] & 0xFFFFFFFF
            if packet_type == 0:
                self.parser.parse(packet.frame.data)
            else:
                self.parser.parse_l3(packet.frame.data, packet_type & 0xFFFF)
            packet.parsed = True

    def extract(self, packet: Packet) -> None:
        """Bring the flow's packet fields up to date."""
        if packet.extracted and not packet.editing:
            return
        self.parse(packet)
        from_parser(self.parser, packet.flow.words)
        if self.vlan_limit < 2:
            limit_vlans(packet.flow, self.vlan_limit)
        packet.extracted = True

    def edit(self, packet: Packet) -> Editor:
        """Open the editor on the packet."""
        editor = self.editor
        if not packet.editing:
            self.parse(packet)
            editor.begin(packet.frame.data, self.parser, packet.frame.flags & VNET_NEEDS_CSUM != 0)
            packet.editing = True
        return editor

    def settle(self, packet: Packet) -> None:
        """Close the editor: `packet.frame` is the packet as it is now."""
        if not packet.editing:
            return
        editor = self.editor
        old = packet.frame
        shift = editor.shift
        if old.flags & VNET_NEEDS_CSUM or old.gso_type != GSO_NONE:
            hdr_len = old.hdr_len + shift if old.gso_type != GSO_NONE else 0
            packet.frame = Frame(editor.finish(), old.flags, old.gso_type, hdr_len, old.gso_size,
                                 old.csum_start + shift, old.csum_offset)
        else:
            packet.frame = Frame(editor.finish(), old.flags)
        packet.editing = False
        packet.parsed = False
        packet.extracted = False

    def take_truncated(self, packet: Packet) -> Frame:
        """The packet for an output, cut by a pending truncation, which is used up."""
        self.settle(packet)
        frame = packet.frame
        limit = packet.max_len
        if limit == 0:
            return frame
        packet.max_len = 0
        if limit >= len(frame.data):
            return frame
        # What is cut cannot be checksummed by the device: finish it, except that a segment to be
        # cut up is too long anyway.
        if frame.gso_type == GSO_NONE and frame.flags & VNET_NEEDS_CSUM:
            return Frame(gso.segments(frame)[0][:limit])
        return Frame(frame.data[:limit])

    def fork(self, packet: Packet) -> Packet:
        """An independent copy of the packet."""
        self.settle(packet)
        copy = Packet(packet.frame, packet.flow.copy(), packet.in_port)
        copy.max_len = packet.max_len
        copy.depth = packet.depth
        copy.ufid = packet.ufid
        copy.conn = packet.conn
        copy.conn_serial = packet.conn_serial
        packet.parsed = False
        return copy

    def set_packet_type(self, packet: Packet, packet_type: i64) -> None:
        """The packet begins with another kind of header now."""
        self.settle(packet)
        words = packet.flow.words
        words[at.W_PACKET_TYPE] = (words[at.W_PACKET_TYPE] & ~0xFFFFFFFF) | packet_type
        packet.parsed = False

    def hash(self, algorithm: i64, basis: i64, packet: Packet) -> None:
        """Set dp_hash: 0 over the 5-tuple; 1 over addresses, protocol and ports, the same both ways, and
        over the Ethernet header of a packet that isn't IP (OVS_HASH_ALG_L4, OVS_HASH_ALG_SYM_L4)."""
        h: i64
        if algorithm == 1:
            self.parse(packet)
            hashed = self.hashed
            from_parser(self.parser, hashed.words)
            h = hash_symmetric_l3l4(hashed, basis, False)
        else:
            h = self.hash_l4(packet, basis)
        words = packet.flow.words
        words[at.W_DP_HASH] = high32(h if h else 1, words[at.W_DP_HASH] & 0xFFFFFFFF)

    def hash_l4(self, packet: Packet, basis: i64) -> i64:
        """The hash of the packet's 5-tuple, 32 bits."""
        self.parse(packet)
        p = self.parser
        a: i64 = p.nw_src ^ p.ipv6_src_hi ^ p.ipv6_src_lo
        b: i64 = p.nw_dst ^ p.ipv6_dst_hi ^ p.ipv6_dst_lo
        h = mix(mix(basis & 0x7FFFFFFF, a), a >> 32)
        h = mix(mix(h, b), b >> 32)
        h = mix(h, p.tp_src << 16 | p.tp_dst)
        h = mix(h, p.nw_proto)
        return (h * 0x2C1B3C6D >> 20) & 0xFFFFFFFF

    def set_field(self, number: i64, a: vec[i64], packet: Packet) -> None:
        """One set or masked set."""
        words = packet.flow.words
        value: i64
        if number == op.STEP_SET_PRIORITY:
            value = (words[at.W_SKB_PRIORITY] >> 32) & 0xFFFFFFFF
            words[at.W_SKB_PRIORITY] = high32(value & ~a[1] | a[0] & a[1], words[at.W_PKT_MARK] & 0xFFFFFFFF)
            return
        if number == op.STEP_SET_MARK:
            words[at.W_PKT_MARK] = (words[at.W_PKT_MARK] & ~a[1]) | (a[0] & a[1])
            return
        if number == op.STEP_SET_DP_HASH:
            value = (words[at.W_DP_HASH] >> 32) & 0xFFFFFFFF
            words[at.W_DP_HASH] = high32(value & ~a[1] | a[0] & a[1], words[at.W_DP_HASH] & 0xFFFFFFFF)
            return
        e = self.edit(packet)
        if number == op.STEP_SET_ETHERNET:
            e.set_ethernet(a[0], a[1], a[2], a[3])
        elif number == op.STEP_SET_IPV4:
            e.set_ipv4(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7])
        elif number == op.STEP_SET_PORTS:
            e.set_ports(a[0], a[1], a[2], a[3], a[4])
        elif number == op.STEP_SET_IPV6:
            set_ipv6(e, a)
        elif number == op.STEP_SET_VLAN:
            e.set_vlan(a[0], a[1])
        elif number == op.STEP_SET_TCP_FLAGS:
            e.set_tcp_flags(a[0], a[1])
        elif number == op.STEP_SET_ICMP:
            e.set_icmp(a[0], a[1], a[2], a[3])
        elif number == op.STEP_SET_ARP:
            e.set_arp(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9])
        elif number == op.STEP_SET_ND:
            e.set_nd_target(a[0], a[1], a[2], a[3])
            e.set_nd_option(1, a[4], a[5])
            e.set_nd_option(2, a[6], a[7])
        elif number == op.STEP_SET_ND_EXT:
            e.set_nd_extensions(a[0], a[1], a[2], a[3])
        elif number == op.STEP_SET_MPLS:
            e.set_mpls(a[0], a[1])
        elif number == op.STEP_SET_NSH:
            e.set_nsh(a[0], a[1], a[2], a[3], a[4], a[5])
            i: i64 = 0
            while i < 4:
                e.set_nsh_context(i, a[6 + 2 * i], a[7 + 2 * i])
                i += 1

    def push_pop(self, number: i64, step: Step, packet: Packet) -> bool:
        """One push or pop; False if there is no packet any more: its NSH header is no good."""
        a = step.args
        e = self.edit(packet)
        if number == op.STEP_PUSH_VLAN:
            e.push_vlan(a[0], a[1])
        elif number == op.STEP_POP_VLAN:
            e.pop_vlan()
        elif number == op.STEP_PUSH_MPLS:
            e.push_mpls(a[0], a[1])
            if packet.flow.words[at.W_PACKET_TYPE] & 0xFFFFFFFF != 0:
                self.set_packet_type(packet, 0x10000 | a[1])
        elif number == op.STEP_POP_MPLS:
            e.pop_mpls(a[0])
            if packet.flow.words[at.W_PACKET_TYPE] & 0xFFFFFFFF != 0:
                # Without an Ethernet header before it, the label is followed by one or by another header.
                self.set_packet_type(packet, 0 if a[0] == ETH_TYPE_TEB else 0x10000 | a[0])
        elif number == op.STEP_PUSH_ETH:
            e.push_eth(a[0], a[1])
            self.set_packet_type(packet, 0)
        elif number == op.STEP_POP_ETH:
            e.pop_eth()
            self.set_packet_type(packet, 0x10000 | e.dl_type)
        elif number == op.STEP_ADD_MPLS:
            e.add_mpls(a[0], a[1], a[2] != 0)
            if a[2] == 0:
                self.set_packet_type(packet, 0x10000 | a[1])
        elif number == op.STEP_PUSH_NSH:
            e.push_nsh(a[0], a[1], a[2], a[3], a[4], step.data)
            self.set_packet_type(packet, 0x10000 | ETH_TYPE_NSH)
        elif number == op.STEP_POP_NSH:
            below = e.pop_nsh()
            if below < 0:
                packet.editing = False
                return False
            self.set_packet_type(packet, 0 if below == 0 else 0x10000 | below)
        return True


def set_ipv6(e: Editor, a: vec[i64]) -> None:
    """Carry out a STEP_SET_IPV6."""
    mask_hi = a[op.V6_SRC_MASK]
    mask_lo = a[op.V6_SRC_MASK + 1]
    if mask_hi or mask_lo:
        e.set_ipv6_src(a[op.V6_SRC], a[op.V6_SRC + 1], mask_hi, mask_lo)
    mask_hi = a[op.V6_DST_MASK]
    mask_lo = a[op.V6_DST_MASK + 1]
    if mask_hi or mask_lo:
        e.set_ipv6_dst(a[op.V6_DST], a[op.V6_DST + 1], mask_hi, mask_lo)
    label = a[op.V6_LABEL]
    tclass = a[op.V6_TCLASS]
    hlimit = a[op.V6_HLIMIT]
    e.set_ipv6(
        label, a[op.V6_LABEL + 1], tclass, a[op.V6_TCLASS + 1], hlimit, a[op.V6_HLIMIT + 1]
    )  # fmt: skip


def mix(h: i64, value: i64) -> i64:
    """One round of hashing 32 bits of `value` into `h`, which stays below 2**31."""
    h = ((h ^ value) & 0x7FFFFFFF) * 0x2545F491
    return (h ^ (h >> 29)) & 0x7FFFFFFF
