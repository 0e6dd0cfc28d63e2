"""`Meters`: the meter table, and what meter mods do to it (OpenFlow 1.3, 5.7 and 6.4; 1.5, 7.3.4.4).

The packets are measured below: each meter here has one of its provider's, under a number that the
provider chose (`MeterProvider`). The virtual meters OFPM_SLOWPATH and OFPM_CONTROLLER are
meters like others; translation puts them before what goes to the slow path and to controllers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, final

from vswitch.base.records import dataclass
from vswitch.ofproto.group_refs import ActionRefs, remove_rules
from vswitch.openflow.constants import OFPM_MAX, OFPRR_METER_DELETE
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import meter as m

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.ofproto.tables import Tables

"""The highest number of a meter that is not virtual."""
CAPABILITIES: Final = m.OFPMF_KBPS | m.OFPMF_PKTPS | m.OFPMF_BURST | m.OFPMF_STATS


@dataclass(frozen=True)
class MeterLimits:
    """What a provider's meters can do; `max_meters` 0: it has none."""

    max_meters: int = 0
    max_bands: int = 0
    band_types: int = 0
    """Bit n for OFPMBT_* n."""


@dataclass(frozen=True)
class MeterCounts:
    """What a provider's meter counted; `bands` has (packets, bytes) that each band caught."""

    n_packets: int = 0
    n_bytes: int = 0
    bands: tuple[tuple[int, int], ...] = ()


class MeterProvider(Protocol):
    """What measures packets below. Numbers are the provider's own."""

    def meter_limits(self) -> MeterLimits:
        """What its meters can do."""

    def meter_set(self, number: int | None, config: m.MeterConfig) -> int:
        """A new meter (None) or another configuration of one; returns its number.

        OfpError: OFPMMFC_OUT_OF_METERS, OFPMMFC_BAD_RATE, OFPMMFC_BAD_BURST...; nothing changed.
        """

    def meter_get(self, number: int) -> MeterCounts:
        """The counters of a meter; zeros if it is gone."""

    def meter_del(self, number: int) -> None:
        """Delete a meter."""

    def meter_changed(self, meter_id: int) -> None:
        """A meter came or went. No rule runs it just then, but controller actions may name it."""


@final
class Meter:
    """A meter. `number` is the provider's, `created` clock ms."""

    def __init__(self, config: m.MeterConfig, number: int, now: int) -> None:
        self.config: m.MeterConfig = config
        self.number: int = number
        self.created: int = now


@final
class Meters:
    """The meters of one switch. Rules of a deleted meter go with it, for OFPRR_METER_DELETE."""

    def __init__(self, tables: Tables, refs: ActionRefs, provider: MeterProvider) -> None:
        self.tables: Tables = tables
        self.refs: ActionRefs = refs
        self.provider: MeterProvider = provider
        self.by_id: dict[int, Meter] = {}

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[Meter]:
        """The meters by OpenFlow number."""
        return iter([self.by_id[n] for n in sorted(self.by_id)])

    def number(self, meter_id: int) -> int | None:
        """The provider's number of an OpenFlow meter; None if there is no such meter."""
        meter = self.by_id.get(meter_id)
        return None if meter is None else meter.number

    def mod(self, mod: m.MeterMod, now: int) -> None:
        """Carry out `mod` at clock ms `now`. A bundle can't hold it, so there is no way back.

        OfpError (nothing changed): OFPMMFC_INVALID_METER, OFPMMFC_METER_EXISTS,
        OFPMMFC_UNKNOWN_METER, OFPMMFC_OUT_OF_BANDS, OFPMMFC_BAD_BAND, OFPMMFC_OUT_OF_METERS,
        OFPMMFC_BAD_COMMAND, or what the provider says.
        """
        config = mod.meter
        if mod.command == m.OFPMC_DELETE:
            self._delete(config.meter_id)
            return
        if mod.command not in (m.OFPMC_ADD, m.OFPMC_MODIFY):
            raise OfpError("OFPMMFC_BAD_COMMAND", f"meter command {mod.command}")
        limits = self.provider.meter_limits()
        virtual = config.meter_id in (m.OFPM_CONTROLLER, m.OFPM_SLOWPATH)
        if not limits.max_meters or not (0 < config.meter_id <= OFPM_MAX or virtual):
            raise OfpError("OFPMMFC_INVALID_METER", f"meter {config.meter_id}")
        if len(config.bands) > limits.max_bands:
            raise OfpError("OFPMMFC_OUT_OF_BANDS", f"{len(config.bands)} bands")
        old = self.by_id.get(config.meter_id)
        if mod.command == m.OFPMC_ADD and old is not None:
            raise OfpError("OFPMMFC_METER_EXISTS", f"meter {config.meter_id}")
        if mod.command == m.OFPMC_MODIFY and old is None:
            raise OfpError("OFPMMFC_UNKNOWN_METER", f"meter {config.meter_id}")
        if not config.flags & (m.OFPMF_KBPS | m.OFPMF_PKTPS):
            raise OfpError("OFPMMFC_BAD_FLAGS", "a meter counts kbps or pktps")
        if not config.bands:
            raise OfpError("OFPMMFC_OUT_OF_BANDS", "no bands")
        if config.flags & ~CAPABILITIES:
            raise OfpError("OFPMMFC_BAD_FLAGS", f"meter flags {config.flags:#x}")
        for band in config.bands:
            if not band.rate:
                raise OfpError("OFPMMFC_BAD_RATE", "a band of rate 0")
            if not limits.band_types >> band.type & 1:
                raise OfpError("OFPMMFC_BAD_BAND", f"band type {band.type}")
        # A burst as long as a second's worth where none is given; it is listed so, too.
        bands = tuple(replace(band, burst_size=band.burst_size or band.rate) for band in config.bands)
        config = replace(config, bands=bands)
        if old is None:
            number = self.provider.meter_set(None, config)
            self.by_id[config.meter_id] = Meter(config, number, now)
            self.provider.meter_changed(config.meter_id)
        else:
            self.provider.meter_set(old.number, config)
            old.config = config

    def _delete(self, meter_id: int) -> None:
        gone = list(self.by_id) if meter_id == m.OFPM_ALL else [meter_id] if meter_id in self.by_id else []
        rules = {rule: None for number in gone for rule in self.refs.meter_users(number)}
        remove_rules(self.tables, list(rules), OFPRR_METER_DELETE)
        for number in gone:
            self.provider.meter_del(self.by_id.pop(number).number)
            self.provider.meter_changed(number)

    def close(self) -> None:
        """Give all meters back to the provider."""
        for meter in self.by_id.values():
            self.provider.meter_del(meter.number)
        self.by_id.clear()

    # Questions.

    def desc(self, meter_id: int = m.OFPM_ALL) -> list[m.MeterConfig]:
        """The configuration of a meter, or of all. OFPMMFC_UNKNOWN_METER."""
        return [meter.config for meter in self._asked(meter_id)]

    def stats(self, now: int, meter_id: int = m.OFPM_ALL) -> list[m.MeterStats]:
        """The counters of a meter, or of all, by clock ms `now`. OFPMMFC_UNKNOWN_METER."""
        out = []
        for meter in self._asked(meter_id):
            counts = self.provider.meter_get(meter.number)
            seconds, ms = divmod(max(now - meter.created, 0), 1000)
            flows = len(self.refs.by_meter.get(meter.config.meter_id, ()))
            out.append(
                m.MeterStats(meter.config.meter_id, flows, counts.n_packets, counts.n_bytes,
                             seconds, ms * 1_000_000, counts.bands)
            )  # fmt: skip
        return out

    def _asked(self, meter_id: int) -> list[Meter]:
        if meter_id == m.OFPM_ALL:
            return list(self)
        found = self.by_id.get(meter_id)
        if found is None:
            raise OfpError("OFPMMFC_UNKNOWN_METER", f"meter {meter_id}")
        return [found]

    def features(self) -> m.MeterFeaturesReply:
        """What meters can do."""
        limits = self.provider.meter_limits()
        if not limits.max_meters:
            return m.MeterFeaturesReply()
        return m.MeterFeaturesReply(limits.max_meters, limits.band_types, CAPABILITIES, limits.max_bands, 0)
