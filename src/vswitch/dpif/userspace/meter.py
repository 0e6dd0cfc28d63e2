"""Meters: token buckets that drop packets or raise their drop precedence.

A band's bucket holds bits (`kbps`) or thousandths of packets (`pktps`), gains `rate` a
millisecond and holds at most the burst. Of the bands whose bucket lacks the tokens for a packet,
the one with the highest rate applies (OpenFlow 1.3.4, section 5.7.1).
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from vswitch.dpif.types import MeterBand, MeterConfig, MeterFeatures, MeterStats

MAX_METERS: Final = 1 << 18
MAX_BANDS: Final = 8
FEATURES: Final = MeterFeatures(MAX_METERS, ("drop", "dscp_remark"), MAX_BANDS)

PASS: Final = 0
DROP: Final = -1
"""What `Meter.run` says; a positive number is by how much to raise the drop precedence."""


@final
class Bucket:
    """One band with its tokens and counters."""

    def __init__(self, band: MeterBand, burst: bool) -> None:
        self.rate: i64 = band.rate
        size = band.burst if burst and band.burst > 0 else band.rate
        self.size: i64 = size * 1000
        self.tokens: i64 = self.size
        self.remark: i64 = band.prec_level if band.type == "dscp_remark" else DROP
        self.packets: i64 = 0
        self.bytes: i64 = 0


@final
class Meter:
    """One meter. `used` is the time of the last packet, in ms."""

    def __init__(self, config: MeterConfig, now: i64) -> None:
        self.config = config
        self.by_bytes: bool = config.unit == "kbps"
        self.buckets: list[Bucket] = [Bucket(band, config.burst) for band in config.bands]
        self.used: i64 = now
        self.packets: i64 = 0
        self.bytes: i64 = 0

    def run(self, size: i64, now: i64) -> i64:
        """A packet of `size` bytes passes at `now` ms: PASS, DROP, or a rise of drop precedence."""
        self.packets += 1
        self.bytes += size
        elapsed: i64 = now - self.used
        if elapsed < 0:
            elapsed = 0
        if elapsed > 60000:
            elapsed = 60000
        self.used = now
        cost: i64 = size * 8 if self.by_bytes else 1000
        exceeded: Bucket | None = None
        for bucket in self.buckets:
            tokens: i64 = bucket.tokens + elapsed * bucket.rate
            if tokens > bucket.size:
                tokens = bucket.size
            if tokens >= cost:
                tokens -= cost
            elif exceeded is None or bucket.rate > exceeded.rate:
                exceeded = bucket
            bucket.tokens = tokens
        if exceeded is None:
            return PASS
        exceeded.packets += 1
        exceeded.bytes += size
        return exceeded.remark

    def stats(self) -> MeterStats:
        """The counters so far."""
        bands = [(int(bucket.packets), int(bucket.bytes)) for bucket in self.buckets]
        return MeterStats(int(self.packets), int(self.bytes), bands)


def raise_precedence(dscp: i64, by: i64) -> i64:
    """`dscp` with its drop precedence raised by `by`, at most to 3; only AF classes have one (RFC 2597)."""
    group: i64 = dscp >> 3
    precedence: i64 = (dscp >> 1) & 3
    if dscp & 1 or group < 1 or group > 4 or precedence == 0:
        return dscp
    precedence += by
    if precedence > 3:
        precedence = 3
    return group << 3 | precedence << 1


def is_valid(config: MeterConfig) -> bool:
    """Whether this datapath can have such a meter."""
    return (
        config.unit in ("kbps", "pktps")
        and len(config.bands) <= MAX_BANDS
        and all(band.type in FEATURES.band_types and 0 < band.rate < 1 << 32 for band in config.bands)
    )
