"""The forwarding core: look packets up, run their flows' steps, send what comes out.

`Core.process` takes what one device received. A packet whose flow is just an output is appended
to that port's batch; others run through `run`, which keeps the packet as immutable bytes plus
offload state and opens the `Editor` only for actions that change bytes. `flush` hands every
port's batch to its device.

Every packet that ends without having been sent is counted in `drops` under its reason (the names
of ovs-vswitchd's coverage counters, where it has one).
"""

from __future__ import annotations

import random
from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.base import coverage
from vswitch.dpif.types import Upcall, UpcallType
from vswitch.dpif.userspace import step as op
from vswitch.dpif.userspace.dpcls import Dpcls
from vswitch.dpif.userspace.emc import KEY_WORDS, ExactMatchCache, packet_key
from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.dpif.userspace.meter import DROP, PASS, Meter, raise_precedence
from vswitch.dpif.userspace.ports import Port
from vswitch.dpif.userspace.step import Step
from vswitch.dpif.userspace.upcalls import UpcallQueues
from vswitch.flow import layout as at
from vswitch.flow.extract import from_parser, high32
from vswitch.flow.flow import Flow
from vswitch.netdev import gso
from vswitch.netdev.frame import GSO_NONE, VNET_NEEDS_CSUM, Frame
from vswitch.packet.modify import Editor
from vswitch.packet.parse import Parser

MAX_RECIRC_DEPTH: Final = 6
ETH_TYPE_NSH: Final = 0x894F

DROP_UPCALL: Final = "datapath_drop_upcall_error"
DROP_USERSPACE: Final = "datapath_drop_userspace_action_error"
DROP_RECIRC: Final = "datapath_drop_recirc_error"
DROP_PORT: Final = "datapath_drop_invalid_port"
DROP_METER: Final = "datapath_drop_meter"
DROP_RX: Final = "datapath_drop_rx_invalid_packet"
DROP_NSH: Final = "datapath_drop_nsh_decap_error"
DROP_TX: Final = "datapath_drop_device_refused"
DROP_SAMPLE: Final = "datapath_drop_sample_error"


@final
class Packet:
    """One packet on its way through a list of steps."""

    def __init__(self, frame: Frame, flow: Flow, in_port: i64) -> None:
        self.frame = frame
        self.flow = flow
        """Metadata, and in `extracted` state the headers of `frame` as well."""
        self.in_port = in_port
        self.parsed: bool = False
        """The core's parser holds the headers of `frame`."""
        self.extracted: bool = False
        self.editing: bool = False
        """The core's editor holds the packet; `frame` is from before the edits."""
        self.max_len: i64 = 0
        self.depth: i64 = 0
        self.ufid: bytes = b""


@final
class Core:
    """The datapath's state as packets see it."""

    def __init__(self, queues: UpcallQueues) -> None:
        self.ports: list[Port | None] = []
        self.dpcls: Dpcls = Dpcls()
        self.emc: ExactMatchCache = ExactMatchCache()
        self.queues = queues
        self.meters: dict[int, Meter] = {}
        self.pending: list[Port] = []
        self.key: vec[i64] = vec[i64]([0] * KEY_WORDS)
        self.parser: Parser = Parser()
        self.editor: Editor = Editor()
        self.scratch: Flow = Flow()
        self.now: i64 = 0
        self.n_hit: i64 = 0
        self.n_missed: i64 = 0
        self.n_lost: i64 = 0
        self.n_emc_hit: i64 = 0
        self.drops: dict[str, int] = {}

    def drop(self, reason: str, n: int = 1) -> None:
        """Count `n` packets that end here for `reason`."""
        self.drops[reason] = self.drops.get(reason, 0) + n
        coverage.counter(reason).inc(n)

    # The fast path.

    def process(self, in_port: i64, frames: list[Frame], now: i64) -> None:
        """Forward `frames`, which port `in_port` received. `flush` sends what comes of them."""
        key = self.key
        emc = self.emc
        self.now = now
        n_emc: i64 = 0
        n_hit: i64 = 0
        for frame in frames:
            data = frame.data
            flags: i64 = 0
            h = packet_key(data, in_port, key)
            entry: FlowEntry | None = None
            if h >= 0:
                entry = emc.lookup(key, h)
                flags = (key[7] >> 48) & 0xFFF
            if entry is None:
                entry = self.classify(frame, in_port)
                if entry is None:
                    continue
                if h >= 0:
                    emc.insert(key, h, entry)
                else:
                    flags = self.parser.tcp_flags
            else:
                n_emc += 1
            n_hit += 1
            entry.n_packets += 1
            entry.n_bytes += len(data)
            entry.used = now
            entry.tcp_flags |= flags
            out = entry.out_port
            if out >= 0:
                self.output(out, frame)
            else:
                packet = Packet(frame, new_flow(in_port), in_port)
                packet.ufid = entry.ufid
                self.run(entry.program, packet)
        self.n_emc_hit += n_emc
        self.n_hit += n_hit

    def classify(self, frame: Frame, in_port: i64) -> FlowEntry | None:
        """Parse and look up; None if the packet ended as a miss (or was no packet)."""
        data = frame.data
        if len(data) < 14:
            self.drop(DROP_RX)
            return None
        parser = self.parser
        parser.parse(data)
        flow = self.scratch
        from_parser(parser, flow.words)
        flow.words[at.W_IN_PORT] = in_port
        entry = self.dpcls.lookup(flow.words)
        if entry is None:
            self.miss(frame, flow, in_port)
        return entry

    def miss(self, frame: Frame, flow: Flow, in_port: i64) -> None:
        """Queue a miss upcall; `flow` is copied."""
        self.n_missed += 1
        if not self.queues.push(in_port, Upcall(UpcallType.MISS, frame.data, flow.copy(), offload=frame)):
            self.n_lost += 1
            self.drop(DROP_UPCALL)

    def output(self, port_no: i64, frame: Frame) -> None:
        """Append `frame` to the batch of port `port_no`."""
        ports = self.ports
        port: Port | None = None
        if port_no < len(ports):
            port = ports[port_no]
        if port is None:
            self.drop(DROP_PORT)
            return
        if not port.tx:
            self.pending.append(port)
        port.tx.append(frame)

    def flush(self) -> None:
        """Hand every port's batch to its device."""
        pending = self.pending
        if not pending:
            return
        self.pending = []
        for port in pending:
            frames = port.tx
            port.tx = []
            netdev = port.netdev
            taken: i64 = netdev.send(frames)
            netdev.flush()
            lost: i64 = len(frames) - taken
            if lost > 0:
                port.tx_lost += lost
                self.drop(DROP_TX, lost)

    # Running steps.

    def execute(self, frame: Frame, flow: Flow, steps: list[Step], now: i64) -> None:
        """Run `steps` on a packet that the switch above hands down; `flow` has its metadata."""
        self.now = now
        in_port: i64 = flow.in_port
        packet = Packet(frame, flow.copy(), in_port)
        self.run(steps, packet)

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
            packet.frame = Frame(editor.finish(), old.flags, old.gso_type, old.hdr_len + shift, old.gso_size,
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
        packet.parsed = False
        return copy

    def set_packet_type(self, packet: Packet, packet_type: i64) -> None:
        """The packet begins with another kind of header now."""
        self.settle(packet)
        words = packet.flow.words
        words[at.W_PACKET_TYPE] = (words[at.W_PACKET_TYPE] & ~0xFFFFFFFF) | packet_type
        packet.parsed = False

    def run(self, steps: list[Step], packet: Packet) -> None:
        """Run `steps` on `packet`."""
        for step in steps:
            number = step.op
            if number == op.STEP_OUTPUT:
                self.output(step.args[0], self.take_truncated(packet))
            elif number < op.STEP_PUSH_VLAN:
                if number == op.STEP_USERSPACE:
                    self.userspace(step, packet)
                else:
                    self.set_field(number, step.args, packet)
            elif number < op.STEP_SAMPLE or number == op.STEP_ADD_MPLS:
                if not self.push_pop(number, step, packet):
                    return
            elif number == op.STEP_RECIRC:
                self.recirculate(step.args[0], packet if step.last else self.fork(packet))
            elif number == op.STEP_CLONE:
                self.run(step.then, packet if step.last else self.fork(packet))
            elif number == op.STEP_SAMPLE:
                if random.getrandbits(32) < step.args[0] or step.args[0] == 0xFFFFFFFF:
                    self.run(step.then, packet if step.last else self.fork(packet))
            elif number == op.STEP_TRUNC:
                packet.max_len = step.args[0]
            elif number == op.STEP_CHECK_PKT_LEN:
                self.settle(packet)
                frame = packet.frame
                size: i64 = len(frame.data)
                if frame.gso_type != GSO_NONE:
                    size = frame.hdr_len + frame.gso_size
                branch = step.then if size > step.args[0] else step.other
                self.run(branch, packet)
            elif number == op.STEP_HASH:
                self.hash(step.args[0], step.args[1], packet)
            elif number == op.STEP_METER:
                if not self.meter(step.args[0], packet):
                    return
            elif number == op.STEP_DEC_TTL:
                if not self.edit(packet).dec_ttl():
                    self.settle(packet)
                    self.run(step.then, packet)
                    return
            elif number == op.STEP_SET_DP_HASH:
                self.set_field(number, step.args, packet)
            elif number == op.STEP_DROP:
                self.drop(f"drop_action_reason_{step.args[0]}")
                return

    def userspace(self, step: Step, packet: Packet) -> None:
        """Queue an action upcall, a segment each if the packet stands for several."""
        limit = packet.max_len
        self.extract(packet)
        packet.max_len = 0
        actions = step.whole if step.args[0] else ()
        for data in gso.segments(packet.frame):
            if limit > 0 and limit < len(data):
                data = data[:limit]
            upcall = Upcall(UpcallType.ACTION, data, packet.flow.copy(), ufid=packet.ufid,
                            userdata=step.data, actions=actions)
            if not self.queues.push(packet.in_port, upcall):
                self.n_lost += 1
                self.drop(DROP_USERSPACE)

    def recirculate(self, recirc_id: i64, packet: Packet) -> None:
        """Look the packet up again as `recirc_id`."""
        packet.depth += 1
        if packet.depth > MAX_RECIRC_DEPTH:
            self.drop(DROP_RECIRC)
            return
        self.extract(packet)
        words = packet.flow.words
        words[at.W_RECIRC_ID] = high32(recirc_id, words[at.W_IN_PORT] & 0xFFFFFFFF)
        entry = self.dpcls.lookup(words)
        if entry is None:
            self.miss(packet.frame, packet.flow, packet.in_port)
            return
        self.n_hit += 1
        entry.n_packets += 1
        entry.n_bytes += len(packet.frame.data)
        entry.used = self.now
        entry.tcp_flags |= words[at.W_TCP_FLAGS] & 0xFFF if words[at.W_NW_PROTO] & 0xFF == 6 else 0
        packet.ufid = entry.ufid
        self.run(entry.program, packet)

    def meter(self, meter_id: i64, packet: Packet) -> bool:
        """Run the packet through a meter; False if it was dropped."""
        meter = self.meters.get(meter_id)
        if meter is None:
            return True
        self.settle(packet)
        verdict = meter.run(len(packet.frame.data), self.now)
        if verdict == PASS:
            return True
        if verdict == DROP:
            self.drop(DROP_METER)
            return False
        self.parse(packet)
        tos = self.parser.nw_tos
        raised = raise_precedence(tos >> 2, verdict) << 2
        if self.parser.dl_type == 0x0800:
            self.edit(packet).set_ipv4(0, 0, 0, 0, raised, 0xFC, 0, 0)
        elif self.parser.dl_type == 0x86DD:
            self.edit(packet).set_ipv6(0, 0, raised, 0xFC, 0, 0)
        return True

    def hash(self, algorithm: i64, basis: i64, packet: Packet) -> None:
        """Set dp_hash: 0 over the 5-tuple; 1 over addresses and ports, the same both ways."""
        self.parse(packet)
        p = self.parser
        a: i64 = p.nw_src ^ p.ipv6_src_hi ^ p.ipv6_src_lo
        b: i64 = p.nw_dst ^ p.ipv6_dst_hi ^ p.ipv6_dst_lo
        c: i64 = p.tp_src
        d: i64 = p.tp_dst
        if algorithm == 1:
            a ^= b
            c ^= d
            b = p.vlan_tci & 0xFFF
            d = p.dl_type
        h: i64 = mix(mix(basis & 0x7FFFFFFF, a), a >> 32)
        h = mix(mix(h, b), b >> 32)
        h = mix(h, c << 16 | d)
        h = mix(h, p.nw_proto)
        h = (h * 0x2C1B3C6D >> 20) & 0xFFFFFFFF
        words = packet.flow.words
        words[at.W_DP_HASH] = high32(h if h else 1, words[at.W_DP_HASH] & 0xFFFFFFFF)

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
            if a[2] or a[3]:
                e.set_ipv6_src(a[0], a[1], a[2], a[3])
            if a[6] or a[7]:
                e.set_ipv6_dst(a[4], a[5], a[6], a[7])
            e.set_ipv6(a[8], a[9], a[10], a[11], a[12], a[13])
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
        """One push or pop; False if the packet was dropped."""
        a = step.args
        e = self.edit(packet)
        if number == op.STEP_PUSH_VLAN:
            e.push_vlan(a[0], a[1])
        elif number == op.STEP_POP_VLAN:
            e.pop_vlan()
        elif number == op.STEP_PUSH_MPLS:
            e.push_mpls(a[0], a[1])
        elif number == op.STEP_POP_MPLS:
            e.pop_mpls(a[0])
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
                self.drop(DROP_NSH)
                return False
            self.set_packet_type(packet, 0 if below == 0 else 0x10000 | below)
        return True


def new_flow(in_port: i64) -> Flow:
    """A flow with no more than `in_port`."""
    flow = Flow()
    flow.words[at.W_IN_PORT] = in_port
    return flow


def mix(h: i64, value: i64) -> i64:
    """One round of hashing 32 bits of `value` into `h`, which stays below 2**31."""
    h = ((h ^ value) & 0x7FFFFFFF) * 0x2545F491
    return (h ^ (h >> 29)) & 0x7FFFFFFF
