"""All bridges of a process, and the datapaths below them: what a daemon holds.

`Ofprotos` makes bridges, opens the datapath that they share, and runs them.
"""

from __future__ import annotations

import contextlib

from vswitch.base.clock import Clock
from vswitch.base.respite import Respite
from vswitch.base.unixctl import Commands
from vswitch.base.vlog import Vlog
from vswitch.dpif.open import dpif_class
from vswitch.dpif.types import DpifError
from vswitch.netdev.scope import PROCESS, Scope
from vswitch.ofproto_dpif.aids import Aids
from vswitch.ofproto_dpif.backer import Backer
from vswitch.ofproto_dpif.commands.commands import ofproto_dpif_unixctl_init
from vswitch.ofproto_dpif.completions import Clog
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ofp_stats import PortQueues
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.ofproto_dpif.tunnel.underlay import Underlay
from vswitch.openflow.actions import Output
from vswitch.openflow.constants import OFPP_LOCAL, OFPP_TABLE
from vswitch.vconn.listener import Listener
from vswitch.vconn.poller import Poller
from vswitch.vconn.tls import Tls

log = Vlog("ofproto_dpif")


class Ofprotos:
    """All bridges of a process, and the datapaths below them.

    The main loop waits on `fds()` and until `wakeup(now)`, then calls `run(now)`.
    """

    def __init__(self, clock: Clock, commands: Commands | None = None, scope: Scope = PROCESS) -> None:
        self.clock: Clock = clock
        self.scope: Scope = scope
        """Where devices and datapaths are opened."""
        self.all_ofproto_dpifs: dict[str, OfprotoDpif] = {}
        self.backers: dict[str, Backer] = {}
        """Datapath type -> the datapath that its bridges share."""
        self.datapath_names: dict[str, str] = {}
        """Datapath type -> its datapath's name, where that is not "ovs-TYPE"."""
        self.flow_restore_wait: bool = False
        """Whether datapaths that are opened now keep the flows that they have until `end_restore`."""
        self.vlan_limit: int = 1
        """How many VLAN tags flow tables of datapaths that are opened now see; 0: any number."""
        self.clog: Clog = Clog()
        self.respite: Respite = Respite(clock)
        """Lets all datapaths forward in the midst of long work."""
        self.aids: Aids = Aids()
        self.poller: Poller = Poller()
        """What waits for the OpenFlow connections of all bridges."""
        self.port_queues: PortQueues | None = None
        """Set by who configures quality of service."""
        self.underlay: Underlay = Underlay(scope)
        """Routes, neighbours and listeners of tunnels."""
        self.tls: Tls = Tls(clock)
        """Keys and certificates of those that are TLS."""
        if commands is not None:
            ofproto_dpif_unixctl_init(self, commands)

    def backer(self, type: str) -> Backer:
        """The datapath of `type`, opened if it is not yet."""
        backer = self.backers.get(type)
        if backer is None:
            backer = self.backers[type] = Backer.open(
                type, self.clock, self.scope, self.datapath_names.get(type, ""), self.flow_restore_wait,
                self.respite, self.vlan_limit,
            )
            backer.dp.underlay = self.underlay
            backer.apply_aids(self.aids)
            backer.dpif.set_tunnel_source_ports(*self.underlay.source_ports)
        return backer

    def create(self, name: str, type: str = "system", mgmt: str = "") -> OfprotoDpif:
        """A new bridge with its local port, and with a socket for management at the path `mgmt`: that is
        there before datapath and devices take their time, for clients that saw the bridge in the database and
        don't wait. DpifError names what failed; nothing is left then."""
        if name in self.all_ofproto_dpifs:
            raise ValueError(f"there is a bridge {name} already")
        listener = None
        if mgmt:
            # Where there can't be one, `set_mgmt` says so, and tries again.
            with contextlib.suppress(OSError, ValueError):
                listener = Listener(f"punix:{mgmt}", self.tls)
        ofproto = OfprotoDpif(name, type or "system", self)
        try:
            ofproto.construct()
        except BaseException:
            self._close_if_unused(ofproto.type)
            if listener is not None:
                listener.close()
            raise
        self.all_ofproto_dpifs[name] = ofproto
        if mgmt:
            ofproto.controllers.set_mgmt(mgmt, listener=listener)
        try:
            ofproto.port_add(name, "internal", OFPP_LOCAL)
            ofproto.bundle_set(name, BundleSettings(name, (name,)))
        except (DpifError, OSError) as error:
            log.err("%s: cannot add the local port: %s", name, error)
            self.destroy(name)
            raise
        return ofproto

    def end_restore(self) -> None:
        """The flow tables hold what an earlier life's held: datapaths forward by them from now on."""
        self.flow_restore_wait = False
        for backer in self.backers.values():
            backer.end_restore()

    def delete_garbage_ports(self) -> None:
        """Detach datapath ports that an earlier life left and no bridge has asked for."""
        for backer in self.backers.values():
            backer.delete_garbage_ports()

    def destroy(self, name: str) -> None:
        """Delete a bridge; the last one of a type takes the datapath along."""
        ofproto = self.all_ofproto_dpifs.pop(name)
        ofproto.destruct()
        self._close_if_unused(ofproto.type)

    def _close_if_unused(self, type: str) -> None:
        """Delete the datapath of `type` if it has no bridge."""
        backer = self.backers.get(type)
        if backer is not None and not backer.ofprotos:
            del self.backers[type]
            backer.close(destroy=True)

    def close(self, destroy: bool = True) -> None:
        """Delete all bridges (`destroy`), or only let go of their datapaths, which go on."""
        if destroy:
            for name in list(self.all_ofproto_dpifs):
                self.destroy(name)
        for ofproto in self.all_ofproto_dpifs.values():
            ofproto.controllers.close()
        for backer in list(self.backers.values()):
            backer.close(destroy=dpif_class(backer.type).ends_with_process)
        self.backers.clear()
        self.underlay.close(self.poller)
        self.poller.close()

    def run(self, now: int) -> bool:
        """One turn of the main loop. True if there is more to do at once."""
        more = False
        self.poller.in_turn = True
        try:
            self.poller.poll()
            self._run_underlay(now)
            for backer in list(self.backers.values()):
                if backer.run(now):
                    more = True
            for ofproto in list(self.all_ofproto_dpifs.values()):
                if ofproto.run(now):
                    more = True
        finally:
            self.poller.in_turn = False
        return more

    def _run_underlay(self, now: int) -> None:
        """Translate anew what routes and neighbours changed, and ask for neighbours."""
        if self.underlay.run(now):
            for backer in self.backers.values():
                if backer.dp.tunnels.maps:
                    backer.need(RevReason.TUNNELS)
        for bridge, packet in self.underlay.take_questions(now):
            ofproto = self.all_ofproto_dpifs.get(bridge)
            if ofproto is not None:
                ofproto.packet_out(packet, OFPP_LOCAL, (Output(OFPP_TABLE),))

    def answers(self) -> int:
        """How often OpenFlow peers were sent something, to which the next question may follow at once."""
        return self.poller.answers

    def wakeup(self, now: int) -> int:
        """Clock ms of the next timer."""
        times = [self.underlay.wakeup(now)]
        times += [backer.wakeup(now) for backer in self.backers.values()]
        times += [ofproto.wakeup(now) for ofproto in self.all_ofproto_dpifs.values()]
        return min([now + 3_600_000, *times])

    def fds(self) -> list[int]:
        """Descriptors whose readability means that `run` has work."""
        fds = [fd for backer in self.backers.values() for fd in backer.fds()]
        return fds + self.poller.fds()

    def write_fds(self) -> list[int]:
        """Descriptors whose writability means that `run` has work."""
        return []
