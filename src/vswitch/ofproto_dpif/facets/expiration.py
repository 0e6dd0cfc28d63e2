"""Statistics come up from the datapath, twice a second; and once a second what is not used goes.

The time that an unused datapath flow lives adapts to how many there are. Up to the eviction
threshold it is `max_idle` or 5 s; with more flows a histogram of their idle times decides: the
threshold's worth of the most recently used ones, or 1 % of all if that is more, may stay. The threshold
itself follows what a dump takes, as Open vSwitch's flow limit does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from vswitch.base import coverage
from vswitch.base.respite import Respite
from vswitch.base.vlog import Vlog
from vswitch.dpif.ops import FlowDel, FlowGet, Op
from vswitch.dpif.types import DpifError
from vswitch.ofproto_dpif.facets.facet import SF_SLOW_PATH, Subfacet

if TYPE_CHECKING:
    from vswitch.dpif.ops import DpifFlow
    from vswitch.ofproto_dpif.facets.install import Installer

log = Vlog("ofproto_dpif")

EXPIRATION_MS: Final = 1000
DUMP_MS: Final = 500
"""Between two dumps of statistics (`other_config:max-revalidator`'s default)."""
CHEAP_DUMP_MS: Final = 50
"""While a dump takes longer than this there is one an expiration."""
MIN_FLOW_LIMIT: Final = 1000
SLOW_DUMP_MS: Final = 1300
VERY_SLOW_DUMP_MS: Final = 2000
FEW_FLOWS: Final = 2000
FLOW_LIMIT_STEP: Final = 1000
BUCKET_WIDTH: Final = 100
"""ms of idle time that one bucket of the histogram spans."""
N_BUCKETS: Final = 50
MAX_IDLE: Final = BUCKET_WIDTH * N_BUCKETS
"""ms that an unused flow lives while there are few."""
SPECIAL_IDLE: Final = 10000
"""ms that an unused flow of a protocol handled here (LACP, STP...) lives."""
SLOW_PROTOCOLS: Final = 0x1F
"""`SLOW_*` bits of protocols handled here: CFM, BFD, LACP, STP, LLDP."""

upcall_lost = coverage.counter("drop_upcall_lost")
facet_unexpected = coverage.counter("facet_unexpected")
subfacet_lost = coverage.counter("subfacet_lost")
subfacet_expired = coverage.counter("subfacet_expired")
dump_failed = coverage.counter("flow_dump_failed")
dumped_flow = coverage.counter("dumped_datapath_flow")


def subfacet_max_idle(idle_times: list[int], threshold: int, respite: Respite | None = None) -> int:
    """The idle time, in ms, at which to expire flows, given how long each has been idle."""
    if len(idle_times) <= threshold:
        return MAX_IDLE
    buckets = [0] * N_BUCKETS
    for n, idle in enumerate(idle_times):
        buckets[min(max(idle, 0) // BUCKET_WIDTH, N_BUCKETS - 1)] += 1
        if respite is not None and not n & 0xFF:
            respite.give()
    keep = max(threshold, len(idle_times) // 100)
    subtotal = 0
    bucket = 0
    while bucket < N_BUCKETS and subtotal < keep:
        subtotal += buckets[bucket]
        bucket += 1
    return bucket * BUCKET_WIDTH


def adapted_flow_limit(limit: int, most: int, n_flows: int, dump_ms: int) -> int:
    """How many flows the datapath is to hold, after a dump of `n_flows` took `dump_ms`; `most` is what the
    database allows. Dumps are to take about a second at most."""
    took = max(dump_ms, 1)
    if took > VERY_SLOW_DUMP_MS:
        limit //= took // 1000
    elif took > SLOW_DUMP_MS:
        limit = limit * 3 // 4
    elif took < EXPIRATION_MS and n_flows > FEW_FLOWS and limit < n_flows * 1000 // took:
        limit += FLOW_LIMIT_STEP
    return min(most, max(limit, MIN_FLOW_LIMIT))


@final
class Expiration:
    """The timer of one datapath's flows, and what `upcall/show` tells of the last runs."""

    def __init__(self, installer: Installer, now: int) -> None:
        self.installer: Installer = installer
        self.next_expiration: int = 0
        self.dump_duration: int = 0
        """ms that the last dump took."""
        self.next_dump: int = 0
        self.dump_interval: int = DUMP_MS
        """ms between two dumps (`other_config:max-revalidator`)."""
        self.timer_set_duration(now, EXPIRATION_MS)
        self.max_idle: int = MAX_IDLE
        self.n_lost: int = -1
        """Upcalls that the datapath says were lost, when it was last asked; -1: not yet."""
        self.terse: bool = False
        """Whether flows are dumped by their UFIDs alone, where the datapath can (`upcall/enable-ufid`)."""
        self._dump_number: int = 0
        self.max_flows: int = 0
        self.avg_flows: float = 0.0

    def timer_set_duration(self, now: int, ms: int) -> None:
        """Run again `ms` from `now`."""
        self.next_expiration = now + ms
        cheap = self.dump_duration <= CHEAP_DUMP_MS
        self.next_dump = now + min(self.dump_interval if cheap else ms, ms)

    def dump(self, now: int) -> None:
        """Bring all counters up to date."""
        self.next_dump = now + self.dump_interval
        began = self.installer.clock.now()
        self._datapath_stats()
        self.update_stats(now)
        self.dump_duration = self.installer.clock.now() - began

    def run(self, now: int, threshold: int, max_idle: int) -> None:
        """One round: statistics, then idle flows: those idle for longer than `max_idle` ms, or less long
        where there are more than `threshold`."""
        self.dump(now)
        self.timer_set_duration(now, EXPIRATION_MS)
        self.expire_subfacets(now, threshold, max_idle)
        n_flows = len(self.installer.subfacets)
        self.max_flows = max(self.max_flows, n_flows)
        self.avg_flows = (self.avg_flows * 99 + n_flows) / 100 if self.avg_flows else float(n_flows)

    def _datapath_stats(self) -> None:
        """Read the datapath's own counters, which also lets the provider see to its settings."""
        try:
            n_lost = self.installer.dpif.stats().n_lost
        except DpifError as error:
            log.warn("%s: reading statistics failed (%s)", self.installer.name, error)
            return
        if n_lost > self.n_lost >= 0:
            upcall_lost.inc(n_lost - self.n_lost)
        self.n_lost = n_lost

    def update_stats(self, now: int) -> None:
        """Bring the counters of all datapath flows up to date, and both sides to agreement.

        A flow that the dump shows and nobody here put there is deleted. A flow that the dump
        lacks is asked for by name, for a dump may miss one that changes; if it is gone, so is
        its subfacet.
        """
        subfacets = self.installer.subfacets
        self._dump_number += 1
        number = self._dump_number
        missing = False
        unexpected: list[DpifFlow] = []
        respite = self.installer.respite
        n = 0
        n_ours = 0
        try:
            for flow in self.installer.dpif.flow_dump(self.terse):
                n += 1
                respite.give()
                subfacet = subfacets.get(flow.ufid)
                if subfacet is not None:
                    n_ours += subfacet.dumped != number
                    subfacet.dumped = number
                    subfacet.update_stats(flow.stats, now)
                elif not self.installer.is_drop_key(flow.ufid):
                    unexpected.append(flow)
            missing = n_ours != len(subfacets)
        except DpifError as error:
            dump_failed.inc()
            log.warn("%s: dumping flows failed (%s)", self.installer.name, error)
        dumped_flow.inc(n)
        if unexpected:
            facet_unexpected.inc(len(unexpected))
            log.dbg("%s: deleting %d datapath flows that are not ours", self.installer.name, len(unexpected))
            deletions: list[Op] = [FlowDel(flow.key, flow.ufid) for flow in unexpected]
            self.installer.dpif.operate(deletions)
        if missing:
            self._look_for([s for s in subfacets.values() if s.dumped != number], now)

    def _look_for(self, subfacets: list[Subfacet], now: int) -> None:
        gets = [FlowGet(subfacet.key(), subfacet.ufid) for subfacet in subfacets]
        self.installer.dpif.operate(gets)
        for subfacet, op in zip(subfacets, gets, strict=True):
            if op.error or op.flow is None:
                subfacet_lost.inc()
                self.installer.lost(subfacet, now)
            else:
                subfacet.update_stats(op.flow.stats, now)

    def expire_subfacets(self, now: int, threshold: int, max_idle: int) -> None:
        """Remove the flows that have not been used for too long."""
        subfacets = self.installer.subfacets
        respite = self.installer.respite
        longest = MAX_IDLE
        if len(subfacets) > threshold:
            idle_times: list[int] = []
            for subfacet in subfacets.values():
                idle_times.append(now - subfacet.used)
                if not len(idle_times) & 0xFF:
                    respite.give()
            longest = subfacet_max_idle(idle_times, threshold, respite)
        self.max_idle = min(longest, max_idle)
        normal_cutoff = now - self.max_idle
        special_cutoff = now - SPECIAL_IDLE
        idle: list[Subfacet] = []
        for n, subfacet in enumerate(subfacets.values()):
            if not n & 0xFF:
                respite.give()
            special = subfacet.path == SF_SLOW_PATH and subfacet.facet.slow & SLOW_PROTOCOLS
            if subfacet.used < (special_cutoff if special else normal_cutoff):
                idle.append(subfacet)
        if idle:
            subfacet_expired.inc(len(idle))
            self.installer.uninstall(idle, now)
