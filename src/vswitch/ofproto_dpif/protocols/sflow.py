"""sFlow of a bridge: sampled packets and counters of ports, joined to the clock and to collectors."""

from __future__ import annotations

import resource
import struct
from typing import TYPE_CHECKING, Final, final

from vswitch.base import coverage
from vswitch.dpif.actions import Actions, Clone, Output, PopMpls, PushMpls, Set, TnlPush
from vswitch.dpif.cookie import SflowCookie
from vswitch.dpif.odp_nested import tunnel_into
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow import key_attr
from vswitch.flow.flow import Flow
from vswitch.flow.layout import S_TUN_TOS, S_TUN_TP_DST, S_TUN_TP_SRC, W_TUN_FLAGS
from vswitch.flow.mpls import MAX_MPLS_LABELS, MPLS_BOS, is_mpls, lse
from vswitch.monitor import sflow as wire
from vswitch.monitor.sflow import IfCounters, SampledPacket, SFlow, SFlowSettings, TunnelEnd
from vswitch.netdev.tunnel_options import is_v4
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ports.device import SPEEDS, current_features, device_info, ifindex
from vswitch.ofproto_dpif.ports.ports import port_stats
from vswitch.ofproto_dpif.protocols.collectors import Collectors
from vswitch.ofproto_dpif.xlate.bridge import XPort
from vswitch.ofproto_dpif.xlate.tunnel_match import outer_destination, outer_source
from vswitch.packet.numbers import ETH_TYPE_IP, IPPROTO_GRE, IPPROTO_UDP
from vswitch.packet.tunnel import kinds

if TYPE_CHECKING:
    from vswitch.dpif.ops import Upcall
    from vswitch.ofproto_dpif.roles import BridgeRole

TICK: Final = 1000
"""ms in which what was sampled is sent at the latest."""
MOST_SAID: Final = 4096
"""Flows whose actions are remembered."""
SPEED_UNKNOWN: Final = 100_000_000
"""bit/s that is said of a link whose device doesn't say, as in Open vSwitch."""
HALF_DUPLEX: Final = 0b010101
"""The OFPPF_* bits of speeds that are half duplex."""
_VXLAN_HEADER: Final = 8
ADMINISTRATIVE: Final = 0x07
"""LACP's states that are configured: activity, timeout, aggregation (IEEE 802.1AX-2008 section 5.4.2.2)."""

sflow_port_gone = coverage.counter("sflow_port_gone")


@final
class SFlowExport:
    """A `BridgeProtocol`, there while sFlow is configured."""

    def __init__(self, ofproto: BridgeRole, settings: SFlowSettings) -> None:
        self._ofproto = ofproto
        now = ofproto.now()
        self.sflow = SFlow(settings, now)
        self.collectors = Collectors(settings.targets, wire.PORT_DEFAULT)
        self._sample_for_somebody()
        self._next_tick = now + TICK
        self._said: dict[int, tuple[Actions, tuple[int, ...], TunnelEnd | None]] = {}
        """By the identity of a flow's actions: they themselves, and what they say of its packets."""
        self._due: dict[int, int] = {}
        """ifIndex -> clock ms at which its counters are sent; 0 for the bridge's own."""
        ofproto.xbridge.sflow = self.sflow
        ofproto.add_protocol(self)
        self._find_interfaces()
        ofproto.backer.need(RevReason.RECONFIGURE)

    def configure(self, settings: SFlowSettings) -> None:
        """Take new settings; collectors that are the same keep their sockets."""
        if settings.targets != self.collectors.targets:
            self.collectors.close()
            self.collectors = Collectors(settings.targets, wire.PORT_DEFAULT)
        old = self.sflow.settings
        if settings.polling != old.polling:
            self._due.clear()
        sampled = self.sflow.probability
        self.sflow.configure(settings)
        self._sample_for_somebody()
        if self.sflow.probability != sampled:
            self._ofproto.backer.need(RevReason.RECONFIGURE)
        self.ports_changed()

    def _sample_for_somebody(self) -> None:
        """Nothing is sampled where no collector can be sent to."""
        if not self.collectors.any:
            self.sflow.probability = 0

    def ports_changed(self) -> None:
        """Ports came, went, or changed their interfaces."""
        if self._find_interfaces():
            self._ofproto.backer.need(RevReason.RECONFIGURE)

    def _find_interfaces(self) -> bool:
        """Which datapath port is which interface; whether that changed."""
        found = {}
        for port in self._ofproto.ports.values():
            if port.odp_port != ODPP_NONE and port.tunnel is None:
                number = ifindex(self._ofproto.backer.scope, port.name, port.type)
                if number:
                    found[port.odp_port] = number
        changed = found != self.sflow.ifindexes
        self.sflow.ifindexes = found
        return changed

    # Packets.

    def received(self, upcall: Upcall, cookie: SflowCookie) -> None:
        """A sampled packet came up."""
        key = upcall.key
        labels, goes_out = self._what_actions_say(key, upcall.actions)
        self.sflow.sample(SampledPacket(
            upcall.packet, self.sflow.ifindexes.get(key.in_port & 0xFFFFFFFF, 0), cookie.output,
            key.vlan_tci, cookie.vlan_tci, self._tunnel_of(key), goes_out, labels,
        ))  # fmt: skip

    def _what_actions_say(self, key: Flow, actions: Actions) -> tuple[tuple[int, ...], TunnelEnd | None]:
        """The same as the function, which need not read a flow's actions for each of its packets."""
        if is_mpls(key.dl_type):
            return _what_actions_say(key, actions)
        known = self._said.get(id(actions))
        if known is None or known[0] is not actions:
            if len(self._said) >= MOST_SAID:
                self._said.clear()
            known = self._said[id(actions)] = (actions, *_what_actions_say(key, actions))
        return known[1], known[2]

    def _tunnel_of(self, key: Flow) -> TunnelEnd | None:
        """The tunnel that a packet came out of."""
        destination = outer_destination(key)
        if not destination or not is_v4(destination):
            return None
        port = self._ofproto.backer.port_of(key)
        kind = port.tunnel.kind if port is not None and port.tunnel is not None else 0
        return _end_of(key, kind)

    # Turns.

    def run(self, now: int) -> None:
        """Send what is full, and once a second everything and the counters that are due."""
        tick = now >= self._next_tick
        if tick:
            self._next_tick = now + TICK
            self.ports_changed()
            self._poll(now)
        if tick or self.sflow.has_full:
            for datagram in self.sflow.take(now, tick):
                self.collectors.send(datagram, now)

    def wakeup(self, now: int) -> int:
        """Clock ms of the next tick."""
        return now if self.sflow.has_full else self._next_tick

    def close(self) -> None:
        """Send what was sampled, and stop."""
        ofproto = self._ofproto
        now = ofproto.now()
        for datagram in self.sflow.take(now, True):
            self.collectors.send(datagram, now)
        self.collectors.close()
        ofproto.xbridge.sflow = None
        ofproto.remove_protocol(self)
        ofproto.backer.need(RevReason.RECONFIGURE)

    # Counters.

    def _poll(self, now: int) -> None:
        interval = self.sflow.settings.polling * 1000
        if not interval:
            return
        ports = {
            self.sflow.ifindexes[port.odp_port]: port
            for port in self._ofproto.ports.values() if port.odp_port in self.sflow.ifindexes
        }  # fmt: skip
        for gone in self._due.keys() - ports.keys() - {0}:
            del self._due[gone]
        for number in (*ports, 0):
            due = self._due.get(number)
            if due is None:
                # Interfaces take turns, so that a collector does not get everything at once.
                self._due[number] = due = now + number % self.sflow.settings.polling * 1000
            if now < due:
                continue
            self._due[number] = due + interval if due + interval > now else now + interval
            if number:
                self._count_port(number, ports[number])
            else:
                self._count_bridge()

    def _count_port(self, number: int, port: XPort) -> None:
        ofproto = self._ofproto
        try:
            stats = port_stats(ofproto, port)
        except OSError:
            sflow_port_gone.inc()
            return
        scope = ofproto.backer.scope
        device = device_info(scope, port.name, port.type)
        speed, direction = _speed(current_features(scope, port.name, port.type))
        netdev = scope.find(port.name)
        counted = netdev.counted if netdev is not None else None

        def told(name: str) -> int:
            return stats.get(name, wire.UNKNOWN) if counted is None or name in counted else wire.UNKNOWN

        counters = IfCounters(
            number, speed, direction, device.up | device.carrier << 1,
            stats.get("rx_bytes", 0), told("rx_packets"), told("multicast"), told("rx_dropped"),
            told("rx_errors"), stats.get("tx_bytes", 0), told("tx_packets"), told("tx_dropped"),
            told("tx_errors"),
        )  # fmt: skip
        lacp = self._lacp_record(port)
        records = wire.port_records(ofproto.datapath_id, port.ofp_port, port.name) + lacp + counters.pack()
        self.sflow.count(number, 5 if lacp else 4, records)

    def _lacp_record(self, port: XPort) -> bytes:
        """What LACP says of the port, if it takes part: system ids, states, counters."""
        lacp = port.bundle.lacp if port.bundle is not None else None
        member = lacp.members.get(port.name) if lacp is not None else None
        if lacp is None or member is None:
            return b""
        actor = lacp.actor(member)
        bundle = self.sflow.ifindexes.get(port.odp_port, 0)
        for first in port.bundle.ports[:1] if port.bundle is not None else ():
            bundle = self.sflow.ifindexes.get(first.odp_port, 0)
        return wire.record(wire.LACP_COUNTERS, struct.pack(
            "!6sxx6sxxIBBBB8I", actor.sys_id.to_bytes(6, "big"), member.partner.sys_id.to_bytes(6, "big"),
            bundle, actor.state & ADMINISTRATIVE, actor.state, 0, member.partner.state,
            member.rx_pdus, member.marker_pdus, wire.UNKNOWN, wire.UNKNOWN, member.bad_pdus, member.tx_pdus,
            wire.UNKNOWN, wire.UNKNOWN,
        ))  # fmt: skip

    def _count_bridge(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        stats = self._ofproto.backer.dpif.stats()
        unknown = wire.UNKNOWN
        self.sflow.count_bridge(2, wire.datapath_records(
            int(usage.ru_utime * 1000), int(usage.ru_stime * 1000), (usage.ru_maxrss * 1024, 0),
            (stats.n_hit, stats.n_missed, stats.n_lost, stats.n_mask_hit or unknown, stats.n_flows,
             stats.n_masks or unknown),
        ))  # fmt: skip


def _speed(features: int) -> tuple[int, int]:
    """bit/s, and 1 for full duplex, 2 for half; what Open vSwitch says where that is unknown."""
    bits = [bit for bit in range(len(SPEEDS)) if features >> bit & 1]
    if not bits:
        return SPEED_UNKNOWN, 0
    return SPEEDS[bits[-1]] * 1_000_000, 2 if HALF_DUPLEX >> bits[-1] & 1 else 1


def _end_of(flow: Flow, kind: int) -> TunnelEnd:
    """The IPv4 tunnel that `flow` has come out of, or is to go into."""
    proto = 0
    if kind in kinds.OVER_GRE:
        proto = IPPROTO_GRE
    elif kind in kinds.OVER_UDP:
        proto = IPPROTO_UDP
    rest = flow.words[W_TUN_FLAGS]
    has_key = kind in (kinds.VXLAN, kinds.GENEVE, kinds.GRE)
    return TunnelEnd(
        outer_source(flow) & 0xFFFFFFFF, outer_destination(flow) & 0xFFFFFFFF, proto,
        rest >> S_TUN_TOS & 0xFF, rest >> S_TUN_TP_SRC & 0xFFFF, rest >> S_TUN_TP_DST & 0xFFFF,
        flow.tun_id if has_key else -1,
    )  # fmt: skip


def _what_actions_say(key: Flow, actions: Actions) -> tuple[tuple[int, ...], TunnelEnd | None]:
    """The labels that a packet leaves with, outermost first, and the IPv4 tunnel that it is sent into;
    neither where it goes more than one way."""
    labels: list[int] = []
    if is_mpls(key.dl_type):
        for i in range(MAX_MPLS_LABELS):
            labels.append(lse(key, i))
            if labels[-1] & MPLS_BOS:
                break
    ways: list[_Way] = []
    rest = _follow(actions, (labels, None), ways)
    if len(ways) > 1:
        return (), None
    labels, end = ways[0] if ways else rest
    # The bottom of the stack is where the labels end, whatever was pushed last.
    stack = [label & ~MPLS_BOS for label in labels]
    if stack:
        stack[-1] |= MPLS_BOS
    return tuple(stack), end


_Way = tuple[list[int], TunnelEnd | None]
"""A packet's labels, and the tunnel that it is to go into."""


def _follow(actions: Actions, way: _Way, ways: list[_Way]) -> _Way:
    """Add to `ways` how packets leave by `actions` that come as `way`; how they are after the last."""
    labels, end = way
    for action in actions:
        if isinstance(action, PushMpls):
            labels = [action.lse, *labels]
        elif isinstance(action, PopMpls):
            labels = labels[1:]
        elif isinstance(action, Output):
            ways.append((labels, end))
        elif isinstance(action, TnlPush):
            # What follows is done to the outer packet.
            ways.append((labels, _end_in(action)))
            break
        elif isinstance(action, Clone):
            _follow(action.actions, (labels, end), ways)
        elif isinstance(action, Set) and action.attr == key_attr.TUNNEL:
            flow = Flow()
            if tunnel_into(action.value, flow) and is_v4(outer_destination(flow)):
                end = _end_of(flow, kinds.VXLAN)
    return labels, end


def _end_in(push: TnlPush) -> TunnelEnd | None:
    """The IPv4 tunnel whose outer header is put on."""
    header = push.header
    if len(header) < 34 or int.from_bytes(header[12:14], "big") != ETH_TYPE_IP:
        return None
    tos, proto = header[15], header[23]
    src, dst = struct.unpack_from("!II", header, 26)
    src_port = dst_port = 0
    vni = -1
    if proto == IPPROTO_UDP and len(header) >= 42 + _VXLAN_HEADER:
        src_port, dst_port = struct.unpack_from("!HH", header, 34)
        if push.kind in (kinds.VXLAN, kinds.GENEVE):
            vni = int.from_bytes(header[46:49], "big")
    elif proto == IPPROTO_GRE and len(header) >= 42 and header[34] & 0x20:
        # The key follows the checksum, if there is one (RFC 2890 section 2).
        offset = 42 if header[34] & 0x80 else 38
        vni = int.from_bytes(header[offset : offset + 4], "big")
    return TunnelEnd(src, dst, proto, tos, src_port, dst_port, vni)
