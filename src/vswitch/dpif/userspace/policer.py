"""Policers: what a port receives in excess of a rate is dropped.

One bucket for bits and one for packets, each full at first (ovs-vswitchd.conf.db(5), table Interface, Ingress
Policing). A packet that one of them lacks the tokens for is dropped; both are asked for every packet.
"""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from vswitch.dpif.types import KBITS_BURST, KPKTS_BURST, MeterBand, MeterConfig, Policing
from vswitch.dpif.userspace.meter import PASS, Meter
from vswitch.netdev.frame import Frame


@final
class Policer:
    """The buckets of one port."""

    def __init__(self, policing: Policing, now: i64) -> None:
        self.policing = policing
        self.meters: list[Meter] = []
        if policing.kbits:
            band = MeterBand("drop", policing.kbits, policing.kbits_burst or KBITS_BURST)
            self.meters.append(Meter(MeterConfig("kbps", (band,), burst=True), now))
        if policing.kpkts:
            burst = policing.kpkts_burst or KPKTS_BURST
            band = MeterBand("drop", policing.kpkts * 1000, burst * 1000)
            self.meters.append(Meter(MeterConfig("pktps", (band,), burst=True), now))

    def passing(self, frames: list[Frame], now: i64) -> list[Frame]:
        """Those of `frames` that may come in."""
        kept: list[Frame] = []
        for frame in frames:
            size: i64 = len(frame.data)
            passes = True
            for meter in self.meters:
                if meter.run(size, now) != PASS:
                    passes = False
            if passes:
                kept.append(frame)
        return kept
