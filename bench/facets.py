"""Memory of a facet with its subfacet, as translation of distinct flows makes them."""

from __future__ import annotations

import gc
import os

from bench.miss import BATCH, DP_IFINDEX, FAMILY, TABLES, BatchOnly, messages
from bench.report import Row
from vswitch import Switch
from vswitch.dpif.kernel.packet import UpcallParser
from vswitch.ofproto_dpif.upcall.upcall import handle_upcalls

FACETS = 16_000


def resident() -> int:
    """Bytes of memory that this process has in RAM."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def bench() -> list[Row]:
    """Bytes a facet."""
    with Switch("br0", ports=["p1", "p2"], flows=TABLES["NORMAL"]) as switch:
        backer = switch.ofproto.backer
        backer.flow_eviction_threshold = 10 * FACETS
        recorded = messages(switch.ofproto.ports_by_name["p1"].odp_port, FACETS)
        dpif = backer.dpif
        backer.dpif = BatchOnly(dpif)  # type: ignore[assignment]
        parser = UpcallParser(FAMILY, DP_IFINDEX)
        gc.collect()
        before = resident()
        for at in range(0, FACETS, BATCH):
            upcalls = [parser.parse(m) for m in recorded[at : at + BATCH]]
            handle_upcalls(backer, [u for u in upcalls if u is not None], switch.clock.now())
        gc.collect()
        size = (resident() - before) / FACETS
        backer.dpif = dpif
        if len(backer.subfacets) != FACETS:
            raise RuntimeError(f"{len(backer.subfacets)} datapath flows for {FACETS} misses")
    return [Row("memory of a facet and its subfacet", "bytes", size, better="lower")]
