"""NetFlow of a bridge: what translation counts, joined to the clock and to collectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from vswitch.monitor.netflow import NetFlow, NetFlowSettings
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.protocols.collectors import Collectors

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole


@final
class NetFlowExport:
    """A `BridgeProtocol`, there while NetFlow is configured."""

    def __init__(self, ofproto: BridgeRole, settings: NetFlowSettings) -> None:
        self._ofproto = ofproto
        self.netflow = NetFlow(settings, ofproto.now())
        self.collectors = Collectors(settings.targets)
        ofproto.xbridge.netflow = self.netflow
        ofproto.add_protocol(self)
        ofproto.backer.need(RevReason.RECONFIGURE)

    def configure(self, settings: NetFlowSettings) -> None:
        """Take new settings; collectors that are the same keep their sockets."""
        if settings.targets != self.collectors.targets:
            self.collectors.close()
            self.collectors = Collectors(settings.targets)
        self.netflow.configure(settings)

    def run(self, now: int) -> None:
        """Send what is due."""
        if now < self.netflow.wakeup(now):
            return
        # What the datapath counted until now belongs to the flows that are due.
        self._ofproto.push_stats()
        for datagram in self.netflow.run(now, self._ofproto.clock.wall()):
            self.collectors.send(datagram, now)

    def wakeup(self, now: int) -> int:
        """Clock ms of the next flow that is due."""
        return self.netflow.wakeup(now)

    def close(self) -> None:
        """Send what was not sent yet, and stop."""
        ofproto = self._ofproto
        ofproto.push_stats()
        now = ofproto.now()
        for datagram in self.netflow.finish(now, ofproto.clock.wall()):
            self.collectors.send(datagram, now)
        self.collectors.close()
        ofproto.xbridge.netflow = None
        ofproto.remove_protocol(self)
        ofproto.backer.need(RevReason.RECONFIGURE)

