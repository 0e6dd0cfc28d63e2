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
from vswitch.base.signed import high32
from vswitch.dpif import odp_step as op
from vswitch.dpif.autovalidator import run_validated
from vswitch.dpif.drop_reasons import drop_reason
from vswitch.dpif.odp_execute import Executor, Packet
from vswitch.dpif.odp_step import Step
from vswitch.dpif.ops import Upcall
from vswitch.dpif.types import UpcallType
from vswitch.dpif.userspace import tunnel_host
from vswitch.dpif.userspace.bond import DatapathBond
from vswitch.dpif.userspace.conntrack.tracker import Tracker
from vswitch.dpif.userspace.dpcls import Dpcls
from vswitch.dpif.userspace.egress_policer import EgressPolicer
from vswitch.dpif.userspace.emc import KEY_WORDS, ExactMatchCache, packet_key
from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.dpif.userspace.meter import DROP, PASS, Meter, raise_precedence
from vswitch.dpif.userspace.ports import Port
from vswitch.dpif.userspace.tunnel import DROP_POP, PORT_MAX, PORT_MIN, Popper, pop_counter, push, source_port
from vswitch.dpif.userspace.upcalls import UpcallQueues
from vswitch.flow import layout as at
from vswitch.flow.extract import from_parser, limit_vlans
from vswitch.flow.flow import Flow
from vswitch.netdev import gso
from vswitch.netdev.frame import GSO_NONE, Frame
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6
from vswitch.packet.parse import Parser

MAX_RECIRC_DEPTH: Final = 6

DROP_UPCALL: Final = "datapath_drop_upcall_error"
DROP_NAT: Final = "datapath_drop_nat_exhausted"
"""A new connection that was to be translated, with every address and port of the range in use."""
DROP_USERSPACE: Final = "datapath_drop_userspace_action_error"
DROP_RECIRC: Final = "datapath_drop_recirc_error"
DROP_PORT: Final = "datapath_drop_invalid_port"
DROP_METER: Final = "datapath_drop_meter"
DROP_BOND: Final = "datapath_drop_invalid_bond"
DROP_RX: Final = "datapath_drop_rx_invalid_packet"
DROP_NSH: Final = "datapath_drop_nsh_decap_error"
DROP_TUNNEL_PUSH: Final = "datapath_drop_tunnel_push_error"
DROP_POLICER: Final = "datapath_drop_ingress_policer"
DROP_EGRESS: Final = "datapath_drop_egress_policer"
DROP_TX: Final = "datapath_drop_device_refused"


@final
class Core:
    """The datapath's state as packets see it."""

    def __init__(self, queues: UpcallQueues) -> None:
        self.ports: list[Port | None] = []
        self.dpcls: Dpcls = Dpcls()
        self.emc: ExactMatchCache = ExactMatchCache()
        self.queues = queues
        self.meters: dict[int, Meter] = {}
        self.bonds: dict[int, DatapathBond] = {}
        self.pending: list[Port] = []
        self.popper: Popper = Popper()
        self.tunnel_port_min: i64 = PORT_MIN
        self.tunnel_port_max: i64 = PORT_MAX
        """The range of outer UDP source ports."""
        self.key: vec[i64] = vec[i64]([0] * KEY_WORDS)
        self.tracker: Tracker = Tracker(random.getrandbits(31))
        self.executor: Executor = Executor()
        self.validates: bool = False
        """Whether changes of packets are carried out in two ways and compared (`dpif/autovalidator.py`)."""
        self.parser: Parser = self.executor.parser
        self.scratch: Flow = Flow()
        self.now: i64 = 0
        self.n_hit: i64 = 0
        self.n_missed: i64 = 0
        self.n_lost: i64 = 0
        self.n_emc_hit: i64 = 0
        self.n_recirc: i64 = 0
        """Packets looked up again."""
        self.n_batches: i64 = 0
        self.n_sent: i64 = 0
        """Frames handed to devices, and in how many batches."""
        self.drops: dict[str, int] = {}

    def drop(self, reason: str, n: int = 1) -> None:
        """Count `n` packets that end here for `reason`."""
        self.drops[reason] = self.drops.get(reason, 0) + n
        coverage.counter(reason).inc(n)

    def police(self, port: Port, frames: list[Frame], now: i64) -> list[Frame]:
        """Those of the frames received at `port` that its policer lets in; the others are counted."""
        policer = port.policer
        if policer is None:
            return frames
        kept = policer.passing(frames, now)
        if len(kept) < len(frames):
            self.drop(DROP_POLICER, len(frames) - len(kept))
        return kept

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
        if parser.n_vlans > 1:
            limit_vlans(flow, self.executor.vlan_limit)
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
        if frame.gso_type != GSO_NONE and gso.has_label(frame.data):
            for segment in gso.segments(frame):
                self.output(port_no, Frame(segment))
            return
        port = self.port(port_no)
        if port is None:
            self.drop(DROP_PORT)
        elif port.egress is not None:
            self.output_policed(port, port.egress, frame, 0)
        else:
            if not port.tx:
                self.pending.append(port)
            port.tx.append(frame)

    def output_policed(self, port: Port, policer: EgressPolicer, frame: Frame, queue: i64) -> None:
        """The same for a port with a policer, for a frame in `queue`. What stands for several frames is cut
        into them: no bucket has room for it in one piece."""
        parts = [frame]
        if frame.gso_type != GSO_NONE:
            parts = [Frame(segment) for segment in gso.segments(frame)]
        for part in parts:
            if not policer.passes(queue, len(part.data), self.now):
                self.drop(DROP_EGRESS)
                continue
            if not port.tx:
                self.pending.append(port)
            port.tx.append(part)

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
            self.n_batches += 1
            self.n_sent += taken
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
        packet.conn = frame.conn
        packet.conn_serial = frame.conn_serial
        self.run(steps, packet)

    def run(self, steps: list[Step], packet: Packet) -> None:
        """Run `steps` on `packet`."""
        for step in steps:
            number = step.op
            if number == op.STEP_OUTPUT:
                self.send(step.args[0], packet)
            elif op.is_set(number):
                if self.validates:
                    run_validated(self.executor, step, packet)
                else:
                    self.executor.set_field(number, step.args, packet)
            elif op.FIRST_PUSH_POP <= number <= op.LAST_PUSH_POP or number == op.STEP_ADD_MPLS:
                whole = (
                    run_validated(self.executor, step, packet) if self.validates
                    else self.executor.push_pop(number, step, packet)
                )
                if not whole:
                    self.drop(DROP_NSH)
                    return
            elif number == op.STEP_RECIRC:
                self.recirculate(step.args[0], packet if step.last else self.executor.fork(packet))
            elif number == op.STEP_CLONE:
                self.run(step.then, packet if step.last else self.executor.fork(packet))
            elif number == op.STEP_SAMPLE:
                if random.getrandbits(32) < step.args[0] or step.args[0] == 0xFFFFFFFF:
                    self.run(step.then, packet if step.last else self.executor.fork(packet))
            elif number == op.STEP_TRUNC:
                packet.max_len = step.args[0]
            elif number == op.STEP_CHECK_PKT_LEN:
                self.executor.settle(packet)
                frame = packet.frame
                size: i64 = len(frame.data)
                if frame.gso_type != GSO_NONE:
                    size = frame.hdr_len + frame.gso_size
                branch = step.then if size > step.args[0] else step.other
                self.run(branch, packet if step.last else self.executor.fork(packet))
            elif number == op.STEP_HASH:
                self.executor.hash(step.args[0], step.args[1], packet)
            elif number == op.STEP_METER:
                if not self.meter(step.args[0], packet):
                    return
            elif number == op.STEP_DEC_TTL:
                if not self.executor.edit(packet).dec_ttl():
                    self.executor.settle(packet)
                    self.run(step.then, packet)
                    return
            elif number == op.STEP_DROP:
                self.drop(drop_reason(step.args[0]))
                return
            elif number == op.STEP_SET_TUNNEL:
                set_tunnel(packet.flow, step.tunnel)
            elif number == op.STEP_TNL_PUSH:
                self.push(step, packet)
                return
            elif number == op.STEP_TNL_POP:
                self.pop(step.args[0], packet if step.last else self.executor.fork(packet))
            elif number == op.STEP_CT:
                parts = self.tracker.gather(step, self.executor, packet, self.now)
                if parts is not None:
                    following = steps[steps.index(step) + 1 :]
                    for part in parts:
                        self.run(following, part)
                    return
                if not self.tracker.execute(step, self.executor, packet, self.now):
                    self.drop(DROP_NAT)
                    return
            elif number == op.STEP_CT_CLEAR:
                self.tracker.clear(packet)
            elif number == op.STEP_LB_OUTPUT:
                self.balance(step.args[0], packet)
            elif number == op.STEP_USERSPACE:
                self.userspace(step, packet)
            else:
                raise AssertionError(f"step {number} is not carried out")

    def send(self, port_no: i64, packet: Packet) -> None:
        """Send the packet out of port `port_no`."""
        port = self.port(port_no)
        if port is not None and port.host is not None:
            self.send_by_host(port, packet)
        elif port is not None and port.egress is not None:
            queue: i64 = (packet.flow.words[at.W_SKB_PRIORITY] >> at.S_SKB_PRIORITY) & 0xFFFFFFFF
            self.output_policed(port, port.egress, self.executor.take_truncated(packet), queue)
        else:
            self.output(port_no, self.executor.take_truncated(packet))

    def balance(self, bond_id: i64, packet: Packet) -> None:
        """Send the packet through the member of a bond that its hash says."""
        bond = self.bonds.get(bond_id)
        if bond is None:
            self.drop(DROP_BOND)
            return
        bucket: i64 = self.executor.hash_l4(packet, 0) & (len(bond.members) - 1)
        bond.n_bytes[bucket] += len(packet.frame.data)
        self.send(bond.members[bucket], packet)

    def userspace(self, step: Step, packet: Packet) -> None:
        """Queue an action upcall, a segment each if the packet stands for several."""
        limit = packet.max_len
        self.executor.extract(packet)
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
        self.executor.extract(packet)
        words = packet.flow.words
        words[at.W_RECIRC_ID] = high32(recirc_id, words[at.W_IN_PORT] & 0xFFFFFFFF)
        self.look_up(packet)

    def look_up(self, packet: Packet) -> None:
        """Run the flow of a packet whose headers are extracted."""
        self.n_recirc += 1
        words = packet.flow.words
        entry = self.dpcls.lookup(words)
        if entry is None:
            frame = packet.frame
            frame.conn = packet.conn
            frame.conn_serial = packet.conn_serial
            self.miss(frame, packet.flow, packet.in_port)
            return
        self.n_hit += 1
        entry.n_packets += 1
        entry.n_bytes += len(packet.frame.data)
        entry.used = self.now
        entry.tcp_flags |= words[at.W_TCP_FLAGS] & 0xFFF if words[at.W_NW_PROTO] & 0xFF == 6 else 0
        packet.ufid = entry.ufid
        self.run(entry.program, packet)

    def push(self, step: Step, packet: Packet) -> None:
        """Put a tunnel's header around the packet, and go on with what comes of it."""
        encap = step.encap
        if encap is None:
            return
        executor = self.executor
        executor.parse(packet)
        src_port = source_port(self.parser, self.tunnel_port_min, self.tunnel_port_max)
        port = self.port(step.args[0])
        if port is None or port.tunnel is None:
            self.drop(DROP_TUNNEL_PUSH)
            return
        flow = packet.flow
        packet_type: i64 = flow.words[at.W_PACKET_TYPE] & 0xFFFFFFFF
        frames = push(encap, executor.take_truncated(packet), src_port, port.tunnel, packet_type)
        set_tunnel(flow, None)
        words = flow.words
        words[at.W_PACKET_TYPE] &= ~0xFFFFFFFF
        for frame in frames:
            outer = Packet(frame, flow.copy(), packet.in_port)
            outer.depth = packet.depth
            outer.ufid = packet.ufid
            self.run(step.then, outer)

    def refuse_pop(self, reason: str) -> None:
        """Count a packet whose outer header is not taken off."""
        self.drop(DROP_POP)
        pop_counter(reason).inc()

    def pop(self, port_no: i64, packet: Packet) -> None:
        """Take the tunnel's header off the packet, and look up what was inside."""
        executor = self.executor
        executor.parse(packet)
        port = self.port(port_no)
        if port is None or port.tunnel is None:
            self.refuse_pop("by a port that is gone")
            return
        if packet.depth >= MAX_RECIRC_DEPTH:
            self.refuse_pop("of too many tunnels")
            return
        found = self.popper.pop(port.tunnel, port_no, packet, self.parser)
        if not found:
            self.refuse_pop(self.popper.reason)
        for inner in found:
            inner.depth = packet.depth + 1
            executor.extract(inner)
            self.look_up(inner)

    def send_by_host(self, port: Port, packet: Packet) -> None:
        """Send the packet by the sockets of a tunnel port."""
        frame = self.executor.take_truncated(packet)
        end = port.tunnel
        host = port.host
        if end is None or host is None or not tunnel_host.send(host, end, frame, packet.flow):
            self.drop(DROP_TUNNEL_PUSH)

    def receive_by_host(self, port: Port, now: i64, most: i64) -> bool:
        """Take what the sockets of a tunnel port have; whether there was something."""
        end = port.tunnel
        host = port.host
        if end is None or host is None:
            return False
        self.now = now
        packets, refused = tunnel_host.receive(host, end, port.number, self.popper, most)
        for reason in refused:
            self.refuse_pop(reason)
        for packet in packets:
            self.executor.extract(packet)
            self.look_up(packet)
        return len(packets) > 0

    def port(self, port_no: i64) -> Port | None:
        """Port `port_no`, None if there is none."""
        ports = self.ports
        return ports[port_no] if 0 <= port_no < len(ports) else None

    def meter(self, meter_id: i64, packet: Packet) -> bool:
        """Run the packet through a meter; False if it was dropped."""
        meter = self.meters.get(meter_id)
        if meter is None:
            return True
        self.executor.settle(packet)
        verdict = meter.run(len(packet.frame.data), self.now)
        if verdict == PASS:
            return True
        if verdict == DROP:
            self.drop(DROP_METER)
            return False
        self.executor.parse(packet)
        tos = self.parser.nw_tos
        raised = raise_precedence(tos >> 2, verdict) << 2
        if self.parser.dl_type == ETH_TYPE_IP:
            self.executor.edit(packet).set_ipv4(0, 0, 0, 0, raised, 0xFC, 0, 0)
        elif self.parser.dl_type == ETH_TYPE_IPV6:
            self.executor.edit(packet).set_ipv6(0, 0, raised, 0xFC, 0, 0)
        return True



def set_tunnel(flow: Flow, tunnel: Flow | None) -> None:
    """Give `flow` the tunnel metadata of `tunnel`, or none."""
    words = flow.words
    i: i64 = 0
    while i <= at.W_TUN_ERSPAN_IDX:
        if i <= at.W_TUN_METADATA_PRESENT or i >= at.W_TUN_ID:
            words[i] = 0 if tunnel is None else tunnel.words[i]
        i += 1


def new_flow(in_port: i64) -> Flow:
    """A flow with no more than `in_port`."""
    flow = Flow()
    flow.words[at.W_IN_PORT] = in_port
    return flow
