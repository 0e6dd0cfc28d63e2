"""Meters of a bridge, measured by its datapath: OpenFlow's configurations as the datapath's.

All bridges of a backer share the datapath's meter numbers, so the backer gives them out
(`MeterNumbers`): the lowest free one, so that small tables of the kernel stay small.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
from typing import TYPE_CHECKING, Final, final

from vswitch.dpif import types as dp
from vswitch.dpif.types import DpifError
from vswitch.ofproto.meters import MeterCounts, MeterLimits
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages.meter import (
    OFPMBT_DROP,
    OFPMBT_DSCP_REMARK,
    OFPMF_BURST,
    OFPMF_KBPS,
    OFPMF_STATS,
    MeterConfig,
)

if TYPE_CHECKING:
    from vswitch.dpif.provider import Dpif

BAND_TYPES: Final = {OFPMBT_DROP: "drop", OFPMBT_DSCP_REMARK: "dscp_remark"}
_REFUSED: Final = {
    errno.EFBIG: "OFPMMFC_OUT_OF_METERS",
    errno.ENOSPC: "OFPMMFC_OUT_OF_METERS",
    errno.ENOMEM: "OFPMMFC_OUT_OF_METERS",
    errno.EDOM: "OFPMMFC_BAD_RATE",
    errno.EINVAL: "OFPMMFC_BAD_BAND",
}


@final
class MeterNumbers:
    """The datapath's meter numbers, 0 to `limit` - 1: which are free."""

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self._next: int = 0
        self._free: list[int] = []

    def alloc(self) -> int | None:
        """The lowest free number; None if there is none."""
        if self._free:
            return heapq.heappop(self._free)
        if self._next >= self.limit:
            return None
        self._next += 1
        return self._next - 1

    def free(self, number: int) -> None:
        """`number` is no longer used."""
        heapq.heappush(self._free, number)


@final
class DpifMeters:
    """The meters of one datapath. `limits` is asked for once, when it is first needed."""

    def __init__(self, dpif: Dpif) -> None:
        self.dpif: Dpif = dpif
        self._limits: MeterLimits | None = None
        self._numbers: MeterNumbers = MeterNumbers(0)

    def limits(self) -> MeterLimits:
        """What the datapath's meters can do; all 0 if it has none."""
        if self._limits is None:
            try:
                found = self.dpif.meter_features()
            except DpifError:
                found = dp.MeterFeatures()
            types = sum(1 << number for number, name in BAND_TYPES.items() if name in found.band_types)
            self._limits = MeterLimits(found.max_meters, found.max_bands, types)
            self._numbers = MeterNumbers(found.max_meters)
        return self._limits

    def set(self, number: int | None, config: MeterConfig) -> int:
        """Make (None) or change a meter of the datapath. OfpError by what it answers."""
        self.limits()
        new = self._numbers.alloc() if number is None else number
        if new is None:
            raise OfpError("OFPMMFC_OUT_OF_METERS", f"the datapath has {self._numbers.limit} meters")
        try:
            self.dpif.meter_set(new, dpif_config(config))
        except DpifError as error:
            if number is None:
                self._numbers.free(new)
            raise OfpError(_REFUSED.get(error.errno or 0, "OFPMMFC_UNKNOWN"), str(error)) from error
        return new

    def get(self, number: int) -> MeterCounts:
        """A meter's counters; zeros if the datapath has lost it."""
        try:
            stats = self.dpif.meter_get(number)
        except DpifError:
            return MeterCounts()
        return MeterCounts(stats.packets_in, stats.bytes_in, tuple(stats.bands))

    def delete(self, number: int) -> None:
        """Delete a meter, whose number is free then; a datapath that has lost it did so before."""
        with contextlib.suppress(DpifError):
            self.dpif.meter_del(number)
        self._numbers.free(number)


def dpif_config(config: MeterConfig) -> dp.MeterConfig:
    """OpenFlow's configuration as the datapath's."""
    bands = tuple(
        dp.MeterBand(BAND_TYPES[band.type], band.rate, band.burst_size, band.prec_level)
        for band in config.bands
    )
    return dp.MeterConfig(
        "kbps" if config.flags & OFPMF_KBPS else "pktps",
        bands,
        burst=bool(config.flags & OFPMF_BURST),
        stats=bool(config.flags & OFPMF_STATS),
    )
