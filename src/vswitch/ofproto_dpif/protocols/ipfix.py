"""IPFIX of a bridge and of the sets of collectors that its flows name, joined to the clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, final

from vswitch.base import coverage
from vswitch.dpif.cookie import DIRECTIONS, FlowSampleCookie, IpfixCookie
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow.flow import Flow
from vswitch.flow.layout import S_TUN_TP_DST, S_TUN_TP_SRC, W_TUN_FLAGS
from vswitch.monitor.ipfix import PORT_DEFAULT, Ipfix, IpfixSampling, IpfixSettings
from vswitch.monitor.ipfix_record import NOWHERE, IpfixInterface, IpfixPacket, IpfixTunnel
from vswitch.netdev.tunnel_options import is_v4
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ports.device import ifindex
from vswitch.ofproto_dpif.protocols.collectors import Collectors
from vswitch.ofproto_dpif.xlate.tunnel_match import outer_destination, outer_source
from vswitch.openflow.messages.nicira import IpfixStats
from vswitch.packet.numbers import IPPROTO_GRE, IPPROTO_UDP
from vswitch.packet.parse import Parser
from vswitch.packet.tunnel import kinds

if TYPE_CHECKING:
    from vswitch.dpif.ops import Upcall
    from vswitch.ofproto_dpif.roles import BridgeRole

ALL_OF_U16: Final = 0xFFFF
"""The probability 1 of `sample` actions."""
EGRESS: Final = DIRECTIONS.index("egress")
TUNNEL_TYPES: Final = {kinds.VXLAN: (1, 3), kinds.GRE: (2, 4), kinds.GENEVE: (7, 3)}
"""Kind of tunnel -> VMware's number for it, and the bytes of its key."""

ipfix_no_exporter = coverage.counter("drop_sample_unknown_collector_set")


@final
class Exporter:
    """One exporter and its collectors."""

    def __init__(self, settings: IpfixSettings, process: int) -> None:
        self.ipfix = Ipfix(settings, process)
        self.collectors = Collectors(settings.targets, PORT_DEFAULT)

    def run(self, now: int, wall: float) -> None:
        """Send what is due."""
        if now >= self.ipfix.wakeup(now):
            self._send(self.ipfix.run(now, wall), now)

    def close(self, now: int, wall: float) -> None:
        """Send what was not sent yet, and stop."""
        self._send(self.ipfix.finish(now, wall), now)
        self.collectors.close()

    def _send(self, messages: list[bytes], now: int) -> None:
        counts = self.ipfix.counts
        for message in messages:
            sent, failed = self.collectors.send(message, now)
            counts.messages += sent
            counts.message_errors += failed

    def stats(self, collector_set_id: int) -> IpfixStats:
        """What was counted, as OpenFlow tells it."""
        c = self.ipfix.counts
        return IpfixStats(
            collector_set_id, c.flows, len(self.ipfix.flows), c.packets, c.ipv4, c.ipv6, c.errors,
            c.ipv4_errors, c.ipv6_errors, c.messages, c.message_errors,
        )  # fmt: skip


@final
class IpfixExport:
    """A `BridgeProtocol`, there while IPFIX is configured: the bridge's own exporter, if it has one, and one
    for each set of collectors."""

    def __init__(self, ofproto: BridgeRole) -> None:
        self._ofproto = ofproto
        self.bridge: Exporter | None = None
        self.flows: dict[int, Exporter] = {}
        """By the number of the set of collectors."""
        self._process = 0
        self._parser = Parser()
        self._interfaces: dict[int, IpfixInterface] = {}
        ofproto.add_protocol(self)

    def configure(self, bridge: IpfixSettings | None, flows: Mapping[int, IpfixSettings]) -> None:
        """Take new settings; exporters whose settings are the same go on."""
        old = self.bridge
        self.bridge = self._exporter(old, bridge)
        for number in self.flows.keys() | flows.keys():
            exporter = self._exporter(self.flows.pop(number, None), flows.get(number))
            if exporter is not None:
                self.flows[number] = exporter
        sampling = IpfixSampling()
        if bridge is not None and self.bridge is not None and self.bridge.collectors.any:
            sampling = IpfixSampling(
                max(0xFFFFFFFF // max(bridge.sampling, 1), 1), bridge.input_sampling, bridge.output_sampling,
                bridge.tunnel_sampling,
            )  # fmt: skip
        if self._ofproto.xbridge.ipfix != sampling:
            self._ofproto.xbridge.ipfix = sampling
            self._ofproto.backer.need(RevReason.RECONFIGURE)
        self._interfaces.clear()

    def _exporter(self, old: Exporter | None, settings: IpfixSettings | None) -> Exporter | None:
        if old is not None:
            if old.ipfix.settings == settings:
                return old
            old.close(self._ofproto.now(), self._ofproto.clock.wall())
        if settings is None:
            return None
        self._process += 1
        return Exporter(settings, self._process)

    # Packets.

    def received(self, upcall: Upcall, cookie: IpfixCookie) -> None:
        """A packet came up that the bridge samples."""
        exporter = self.bridge
        if exporter is None:
            ipfix_no_exporter.inc()
            return
        settings = exporter.ipfix.settings
        egress = cookie.output_port != ODPP_NONE
        tunnel = self._tunnel(upcall, egress) if settings.tunnel_sampling else None
        self._sample(exporter, upcall, cookie.output_port, egress, cookie.dropped, tunnel,
                     settings.sampling, settings.obs_domain_id, settings.obs_point_id)

    def received_of_flow(self, upcall: Upcall, cookie: FlowSampleCookie) -> None:
        """A packet came up that a `sample` action took."""
        exporter = self.flows.get(cookie.collector_set_id)
        if exporter is None:
            ipfix_no_exporter.inc()
            return
        egress = cookie.direction == EGRESS or (not cookie.direction and cookie.output_port != ODPP_NONE)
        settings = exporter.ipfix.settings
        tunnel = self._tunnel(upcall, egress) if settings.tunnel_sampling else None
        self._sample(exporter, upcall, cookie.output_port, egress, cookie.dropped, tunnel,
                     ALL_OF_U16 // max(cookie.probability, 1), cookie.obs_domain_id, cookie.obs_point_id)

    def _sample(self, exporter: Exporter, upcall: Upcall, output: int, egress: bool, dropped: bool,
                tunnel: IpfixTunnel | None, n: int, domain: int, point: int) -> None:
        parser = self._parser
        parser.parse(upcall.packet)
        packet = IpfixPacket(
            upcall.packet, parser, self._interface(upcall.key.in_port & 0xFFFFFFFF),
            self._interface(output) if egress and output != ODPP_NONE else None, egress, dropped, tunnel,
        )  # fmt: skip
        exporter.ipfix.sample(packet, n, domain, point, self._ofproto.now())

    def _interface(self, odp_port: int) -> IpfixInterface:
        found = self._interfaces.get(odp_port)
        if found is None:
            port = next((p for p in self._ofproto.ports.values() if p.odp_port == odp_port), None)
            if port is None:
                return NOWHERE
            number = ifindex(self._ofproto.backer.scope, port.name, port.type)
            found = self._interfaces[odp_port] = IpfixInterface(number, port.name)
        return found

    def _tunnel(self, upcall: Upcall, egress: bool) -> IpfixTunnel | None:
        """The outer header that a packet came with, or leaves with where the datapath tells."""
        flow: Flow | None = upcall.out_tun_key if egress else upcall.key
        if flow is None:
            return None
        destination = outer_destination(flow)
        if not destination or not is_v4(destination):
            return None
        port = self._ofproto.backer.port_of(upcall.key)
        kind = port.tunnel.kind if port is not None and port.tunnel is not None else kinds.VXLAN
        number, size = TUNNEL_TYPES.get(kind, (0, 0))
        rest = flow.words[W_TUN_FLAGS]
        return IpfixTunnel(
            outer_source(flow) & 0xFFFFFFFF, destination & 0xFFFFFFFF,
            IPPROTO_UDP if kind in kinds.OVER_UDP else IPPROTO_GRE,
            rest >> S_TUN_TP_SRC & 0xFFFF, rest >> S_TUN_TP_DST & 0xFFFF, number,
            (flow.tun_id & (1 << 8 * size) - 1).to_bytes(size, "big"),
        )  # fmt: skip

    # Turns.

    def run(self, now: int) -> None:
        """Send what is due."""
        wall = self._ofproto.clock.wall()
        if self.bridge is not None:
            self.bridge.run(now, wall)
        for exporter in self.flows.values():
            exporter.run(now, wall)

    def wakeup(self, now: int) -> int:
        """Clock ms of the next flow that is due."""
        when = 1 << 62
        if self.bridge is not None:
            when = self.bridge.ipfix.wakeup(now)
        for exporter in self.flows.values():
            when = min(when, exporter.ipfix.wakeup(now))
        return when

    def close(self) -> None:
        """Send what was not sent yet, and stop."""
        self.configure(None, {})
        self._ofproto.xbridge.ipfix = None
        self._ofproto.remove_protocol(self)
        self._ofproto.backer.need(RevReason.RECONFIGURE)
