"""The one datapath that all bridges of a type share.

Bridges of type "system" are all parts of datapath "ovs-system", those of type "netdev" of
"ovs-netdev": so a patch port costs nothing in the datapath, and `ovs-dpctl` finds what it
expects. The backer alone translates between datapath and OpenFlow port numbers.

`run` is one turn of the main loop: datapath, revalidation, upcalls, ports, expiration.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.histogram import histogram
from vswitch.base.ratelimit import RateLimit
from vswitch.base.respite import Respite
from vswitch.base.tags import TagSet
from vswitch.base.vlog import Vlog
from vswitch.dpif.open import dpif_class, dpif_create_and_open
from vswitch.dpif.probe import Support, probe
from vswitch.dpif.provider import RECV_BATCH, Dpif
from vswitch.dpif.types import DpifError, DpifPort
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.netdev.scope import Scope
from vswitch.ofproto_dpif.aids import Aids
from vswitch.ofproto_dpif.ct_timeouts import CtTimeouts
from vswitch.ofproto_dpif.facets.changed import ChangedRules
from vswitch.ofproto_dpif.facets.expiration import EXPIRATION_MS, Expiration, adapted_flow_limit
from vswitch.ofproto_dpif.facets.facet import Facet, Subfacet
from vswitch.ofproto_dpif.facets.governor import FLOW_SETUP_THRESHOLD, Governor
from vswitch.ofproto_dpif.facets.install import Installer
from vswitch.ofproto_dpif.facets.revalidate import RevReason, revalidate
from vswitch.ofproto_dpif.meters import DpifMeters
from vswitch.ofproto_dpif.ports.tunnels import TunnelDevices
from vswitch.ofproto_dpif.upcall.upcall import handle_upcalls
from vswitch.ofproto_dpif.xlate.bridge import XDatapath
from vswitch.openflow.constants import OFPP_MAX
from vswitch.packet.numbers import MAX_VLAN_HEADERS
from vswitch.packet.parse import Parser

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.ofproto_dpif.xlate.bridge import XPort

log = Vlog("ofproto_dpif")
_rl = RateLimit(1, 5)

FLOW_EVICTION_THRESHOLD: Final = 10_000
"""How many flows the datapath holds at first before they are idled out sooner; it adapts."""
MAX_FLOW_LIMIT: Final = 200_000
"""With more datapath flows than this they are idled out sooner, and the governor steps in at
twice as many."""
REVALIDATION_PAUSE: Final = 4
"""How many times as long as a revalidation took the next one waits at least..."""
MAX_REVALIDATION_PAUSE: Final = 500
"""...but not longer than this, in ms."""
BATCHES_PER_RUN: Final = 4
"""Batches of upcalls that one `run` takes before it gives way to the rest of the process."""

backer_upcall_batches = coverage.counter("upcall_batch")
upcall_times: Final = histogram("upcall", "an upcall: from its batch being read to the batch being done")
dpif_port_changes = coverage.counter("backer_port_change")


def _abandon(dpif: Dpif) -> None:
    """Let go of a datapath that is of no use; one that nobody's ports are in goes altogether."""
    with contextlib.suppress(DpifError):
        dpif.recv_set(False)
    with contextlib.suppress(DpifError):
        if [port.name for port in dpif.port_dump()] == [dpif.name]:
            dpif.destroy()
    dpif.close()


def _tags(limit: int) -> int:
    """How many tags `other_config:vlan-limit` means."""
    return MAX_VLAN_HEADERS if limit == 0 else min(limit, MAX_VLAN_HEADERS)


class Backer:
    """An open datapath and the bridges on it.

    `Backer.open` makes one. What translation sees of it is `dp`.
    """

    def __init__(self, type: str, dpif: Dpif, clock: Clock, scope: Scope, respite: Respite) -> None:
        self.type: str = type
        """"system" or "netdev"."""
        self.name: str = dpif.name
        """The datapath's name: "ovs-system", "ovs-netdev"."""
        self.dpif: Dpif = dpif
        self.clock: Clock = clock
        self.scope: Scope = scope
        """Where the devices of its ports are open, if they are this process's."""
        self.respite: Respite = respite
        respite.forward.append(dpif.forward)
        self.dp: XDatapath = XDatapath(dpif)
        """What translation sees of it: what it can do, recirculation ids, upcall pids."""
        self.ct_timeouts: CtTimeouts = CtTimeouts(dpif, self.dp)
        """Timeout policies of connection tracking's zones."""
        self.max_ports: int = OFPP_MAX
        """How many ports a bridge here can have: the datapath's limit or OpenFlow's."""
        self.ofprotos: dict[str, BridgeRole] = {}
        """The bridges on this datapath, by name."""
        self.odp_to_ofport: dict[int, XPort] = {}
        """Datapath port number -> the port of the bridge that has it."""
        self.initial_ports: dict[str, DpifPort] = {}
        """Ports of an earlier life that no bridge has asked for yet."""
        self.tunnel_devices: TunnelDevices = TunnelDevices(dpif)
        """The datapath's ports that tunnels share."""
        self.meters: DpifMeters = DpifMeters(dpif)
        """The datapath's meters, which all bridges share."""
        self.installer: Installer = Installer(
            self.name, dpif, self.dp, clock, self.odp_to_ofport, respite)
        self.subfacets: dict[bytes, Subfacet] = self.installer.subfacets
        """UFID -> every flow that we put into the datapath."""
        self.governor: Governor | None = None
        """There while misses come faster than flows are worth installing."""
        self.flow_eviction_threshold: int = FLOW_EVICTION_THRESHOLD
        self.max_flow_limit: int = MAX_FLOW_LIMIT
        """The most that it adapts to (`other_config:flow-limit`)."""
        self.max_idle: int = 10000
        """The longest, in ms, that an unused datapath flow lives (`other_config:max-idle`)."""
        self.vlan_limit: int = 1
        """How many VLAN tags a packet can have to flow tables (`other_config:vlan-limit`)."""
        self.megaflows: bool = True
        """Whether datapath flows match no more than what decided; otherwise all that the packet has."""
        self.expiration: Expiration = Expiration(self.installer, clock.now())
        self.need_revalidate: int = 0
        """`RevReason` of the next full revalidation, 0 for none."""
        self.revalidate_set: TagSet = TagSet()
        """Tags of the facets that the next revalidation must look at."""
        self.changed_rules: ChangedRules = ChangedRules()
        """Rules of tables without tags: the next revalidation must look at the facets that they concern."""
        self.port_changes: int = 0
        """How often a port of the datapath came, went or changed."""
        self.restoring: bool = False
        """Whether flows of an earlier life go on forwarding until the flow tables are filled again:
        nothing is received, flushed or expired until then (`other_config:flow-restore-wait`)."""
        self.paused: bool = False
        """Whether datapath flows stay as they are, uncounted, until a test has done with them
        (`revalidator/pause`)."""
        self.next_revalidation: int = 0
        """Clock ms before which nothing is revalidated..."""
        self.next_catch_up: int = 0
        """...and before which not even a barrier has it done."""
        self._parser: Parser = Parser()

    @classmethod
    def open(
        cls, type: str, clock: Clock, scope: Scope, name: str = "", restoring: bool = False,
        respite: Respite | None = None, vlan_limit: int = 1,
    ) -> Backer:
        """Open datapath `name` in `scope` ("ovs-TYPE" if not given), made if absent, emptied of an earlier
        life's flows and upcalls, and with upcalls on; it forwards in the midst of long work as `respite`
        has it. DpifError names the datapath; nothing stays open then."""
        name = name or f"ovs-{type}"
        try:
            dpif = dpif_create_and_open(name, type, clock, scope)
        except DpifError as error:
            log.err("failed to open datapath %s: %s", name, error)
            raise
        if respite is None:
            respite = Respite(clock)
        try:
            backer = cls(type, dpif, clock, scope, respite)
            backer.max_ports = min(dpif.get_max_ports(), OFPP_MAX)
            backer.initial_ports = {port.name: port for port in dpif.port_dump() if port.name != dpif.name}
            backer.restoring = restoring
            if not restoring:
                backer._begin()
            support = backer.dp.support = probe(dpif)
            support.tnl_push_pop = dpif_class(type).pushes_tunnels
            backer.vlan_limit = _tags(vlan_limit)
            dpif.set_vlan_limit(backer.vlan_limit)
            if dpif_class(type).limits_vlans:
                support.max_vlan_headers = min(support.max_vlan_headers, backer.vlan_limit)
            dpif.recv_purge()
        except BaseException:
            if dpif.forward in respite.forward:
                respite.forward.remove(dpif.forward)
            _abandon(dpif)
            raise
        return backer

    def _begin(self) -> None:
        """Flush what an earlier life left, and have upcalls from now on. DpifError."""
        dpif = self.dpif
        dpif.flow_flush()
        dpif.recv_purge()
        try:
            dpif.recv_set(True)
        except DpifError as error:
            log.err("failed to listen on datapath %s: %s", self.name, error)
            raise

    def end_restore(self) -> None:
        """The flow tables are as they should be: forward by them from now on. DpifError."""
        if self.restoring:
            self.restoring = False
            # Upcalls first: what the flush makes miss must find somebody listening.
            self.dpif.recv_set(True)
            self.dpif.flow_flush()

    def close(self, destroy: bool = False) -> None:
        """Let go of the datapath, which goes on forwarding by the flows in it; or (`destroy`) take our
        flows out and delete it."""
        if self.dpif.forward in self.respite.forward:
            self.respite.forward.remove(self.dpif.forward)
        if destroy:
            for ofproto in list(self.ofprotos.values()):
                self.installer.flush(ofproto.facets, self.clock.now())
            self.dpif.destroy()
        self.dpif.close()

    # Ports.

    @property
    def support(self) -> Support:
        """What the datapath can do, as probed when it was opened."""
        return self.dp.support

    def delete_garbage_ports(self) -> None:
        """Detach what is left of an earlier life's ports, once all bridges have theirs."""
        for port in self.initial_ports.values():
            if port.port_no not in self.odp_to_ofport:
                log.info("%s: detaching port %s, which no bridge has", self.name, port.name)
                with contextlib.suppress(DpifError):
                    self.dpif.port_del(port.port_no)
        self.initial_ports.clear()

    def _drop_unclaimed_ports(self, names: set[str] | None) -> None:
        """Take out those of the ports `names` (None: any) that somebody else put into the datapath
        (`dpctl/add-if`) and no bridge has."""
        owned = self.port_numbers()
        with contextlib.suppress(DpifError):
            for port in list(self.dpif.port_dump()):
                if (names is not None and port.name not in names) or port.name in owned:
                    continue
                if port.name != self.dpif.name and port.name not in self.initial_ports:
                    log.info("%s: detaching port %s, which no bridge has", self.name, port.name)
                    self.dpif.port_del(port.port_no)

    def ports_changed(self) -> None:
        """A datapath port came or went: pids and drop flows of unknown ports are stale."""
        self.dp.forget_pids()
        self.installer.forget_drop_keys()

    # Revalidation.

    def need(self, reason: RevReason) -> None:
        """Ask that all facets be translated anew, because of `reason` (the first one counts)."""
        if not self.need_revalidate:
            self.need_revalidate = reason

    def is_settled(self) -> bool:
        """Whether nothing asks for revalidation."""
        return (
            not self.need_revalidate and self.revalidate_set.is_empty() and self.changed_rules.is_empty()
        )

    def _wants_revalidation(self) -> bool:
        return not self.paused and not self.is_settled()

    def _revalidate(self, now: int) -> None:
        """Revalidate, and then leave time for other work: with many facets and changes that
        never end, revalidation takes a fifth of the time, not all of it."""
        began = self.clock.now()
        for ofproto in self.ofprotos.values():
            ofproto.learned.flush()
        reason = self.need_revalidate
        self.need_revalidate = 0
        changed = self.changed_rules
        if not changed.is_empty():
            self.changed_rules = ChangedRules()
        facets = self.facets()
        revalidate(self.installer, facets, reason, self.revalidate_set.take(), changed, now)
        self.respite.drop(facets)
        took = self.clock.now() - began
        self.next_revalidation = now + took + min(REVALIDATION_PAUSE * took, MAX_REVALIDATION_PAUSE)
        self.next_catch_up = now + 2 * took

    def catch_up(self, now: int) -> None:
        """Have the datapath do what the tables say by now: a barrier is to mean that it is so.

        Where that takes time and is asked for again and again, as by one barrier after another, it
        is done half of the time at most, and the rest comes with the next turns.
        """
        if self._wants_revalidation() and now >= self.next_catch_up and not self.restoring:
            self._revalidate(now)

    def set_explicit_sampled_drops(self, explicit: bool) -> None:
        """Have packets that are sampled and go nowhere dropped by an action of their own, or not."""
        if explicit != self.dp.explicit_sampled_drops:
            self.dp.explicit_sampled_drops = explicit
            self.need(RevReason.RECONFIGURE)

    def apply_aids(self, aids: Aids) -> None:
        """Do as `aids` say from now on."""
        self.megaflows = aids.megaflows
        self.expiration.terse = aids.terse_dumps and self.support.ufid

    def set_vlan_limit(self, limit: int) -> None:
        """Let flow tables see up to `limit` VLAN tags; 0: as many as a flow can have."""
        limit = _tags(limit)
        if limit != self.vlan_limit:
            self.vlan_limit = limit
            self.dpif.set_vlan_limit(limit)
            for ofproto in self.ofprotos.values():
                self.installer.flush(ofproto.facets, self.clock.now())

    # Governor.

    def should_install(self, flow_hash: int, n_packets: int, now: int) -> bool:
        """Whether a flow that just missed gets a datapath flow."""
        governor = self.governor
        if governor is None:
            if len(self.subfacets) // 2 <= self.flow_eviction_threshold:
                return True
            governor = self.governor = Governor(self.name, now)
            log.info("%s: many new flows, installing only those of %d packets and more",
                     self.name, FLOW_SETUP_THRESHOLD)
        return governor.should_install_flow(flow_hash, n_packets)

    def _run_governor(self, now: int) -> None:
        governor = self.governor
        if governor is not None:
            governor.run(now)
            if governor.is_idle():
                log.info("%s: few new flows, installing all again", self.name)
                self.governor = None

    # The main loop.

    def run(self, now: int) -> bool:
        """One turn. True if there is more to do at once."""
        more = self.dpif.run()
        for ofproto in self.ofprotos.values():
            ofproto.completions.run()
        if self.restoring:
            self._poll_ports()
            return more
        if self._wants_revalidation() and now >= self.next_revalidation:
            self._revalidate(now)
        batches = self.handle_waiting(now)
        self._poll_ports()
        if now >= self.expiration.next_expiration:
            if self.paused:
                self.expiration.timer_set_duration(now, EXPIRATION_MS)
            else:
                self.expiration.run(now, self.flow_eviction_threshold, self.max_idle)
                self.flow_eviction_threshold = adapted_flow_limit(
                    self.flow_eviction_threshold, self.max_flow_limit, len(self.subfacets),
                    self.expiration.dump_duration,
                )
            for ofproto in self.ofprotos.values():
                ofproto.expire(now)
            if self.ct_timeouts.unwanted:
                self._sweep_ct_timeouts(now)
        elif now >= self.expiration.next_dump and not self.paused:
            self.expiration.dump(now)
        self._run_governor(now)
        self.dp.recirc_ids.run(now)
        return (
            more or batches == BATCHES_PER_RUN
            or (self._wants_revalidation() and now >= self.next_revalidation)
        )

    def _sweep_ct_timeouts(self, now: int) -> None:
        try:
            self.ct_timeouts.sweep()
        except DpifError as e:
            log.warn_rl(_rl, now, "%s", e)

    def handle_waiting(self, now: int) -> int:
        """Handle the packets that wait, up to BATCHES_PER_RUN batches of them; how many batches."""
        batches = 0
        while batches < BATCHES_PER_RUN:
            upcalls = self.dpif.recv(RECV_BATCH)
            if not upcalls:
                break
            backer_upcall_batches.inc()
            started = time.perf_counter_ns()
            handle_upcalls(self, upcalls, now)
            upcall_times.observe(time.perf_counter_ns() - started, len(upcalls))
            batches += 1
        return batches

    def _poll_ports(self) -> None:
        names = self.dpif.port_poll()
        if names is None or names:
            dpif_port_changes.inc()
            for ofproto in self.ofprotos.values():
                ofproto.ports_polled(names)
            self._drop_unclaimed_ports(names)

    def port_of(self, flow: Flow) -> XPort | None:
        """The bridge port that a packet came in at: `flow` has datapath port and tunnel fields."""
        odp_port = flow.in_port
        port = self.odp_to_ofport.get(odp_port)
        return port if port is not None else self.dp.tunnels.find(flow, odp_port)

    def port_numbers(self) -> dict[str, int]:
        """The datapath ports that bridges have, by name; tunnels' under the name of what they share."""
        numbers = {port.name: odp for odp, port in self.odp_to_ofport.items()}
        numbers.update({name: odp for name, (odp, _) in self.tunnel_devices.ports.items()})
        return numbers

    def refine(self, flow: Flow, packet: bytes) -> None:
        """Fill in what the datapath's key lacks, from the packet itself."""
        extract(packet, flow, self._parser)

    def settle(self, now: int) -> None:
        """Bring all facets and their counters up to date at once, unless they are `paused`."""
        if self.paused:
            return
        if self._wants_revalidation():
            self._revalidate(now)
        self.expiration.update_stats(now)

    def wakeup(self, now: int) -> int:
        """Clock ms of the next timer."""
        if self.restoring:
            return now + 1000
        when = self.expiration.next_expiration
        if not self.paused:
            when = min(when, self.expiration.next_dump)
        if self.governor is not None:
            when = min(when, self.governor.wakeup())
        if self._wants_revalidation():
            when = min(when, self.next_revalidation)
        return when

    def fds(self) -> list[int]:
        """Descriptors whose readability means that `run` has work."""
        fds = [self.dpif.recv_fd(), self.dpif.port_poll_fd(), *self.dpif.run_fds()]
        return [fd for fd in fds if fd >= 0]

    def has_facets(self) -> bool:
        """Whether there is a facet, in any bridge: without one a change concerns nothing."""
        return any(ofproto.facets.n_facets for ofproto in self.ofprotos.values())

    def facets(self) -> list[Facet]:
        """The facets of all bridges here. Packets are let through while many are gathered."""
        found: list[Facet] = []
        for ofproto in self.ofprotos.values():
            for group in ofproto.facets.groups.values():
                for facet in group.facets.values():
                    found.append(facet)
                    if not len(found) & 0xFF:
                        self.respite.give()
        return found
