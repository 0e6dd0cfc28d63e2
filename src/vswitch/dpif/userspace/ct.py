"""Connection tracking as the `Dpif` interface has it: connections listed and forgotten, limits, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mypy_extensions import mypyc_attr

from vswitch.base.clock import Clock
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import CtEntry, CtLimit, CtSettings
from vswitch.dpif.userspace.conntrack import show
from vswitch.dpif.userspace.conntrack.tracker import Tracker


@mypyc_attr(allow_interpreted_subclasses=True)
class CtDpif(Dpif):
    """The part of the userspace datapath's interface that is about its tracker."""

    tracker: Tracker
    clock: Clock

    def ct_dump(self, zone: int | None = None) -> Iterator[CtEntry]:
        """A chunk of connections at a time, so that what ends meanwhile is not shown."""
        tracker = self.tracker
        table = tracker.table
        now = self.clock.now()
        number = 0
        while number < len(table.chunks):
            for conn in table.connections_of(number):
                entry = show.entry(table, conn, now, tracker.helpers.parents.get(conn))
                if zone is None or entry.zone == zone:
                    yield entry
            number += 1

    def ct_flush(
        self, zone: int | None = None, wanted: Callable[[CtEntry], bool] | None = None
    ) -> None:
        tracker = self.tracker
        table = tracker.table
        now = self.clock.now()
        for conn in table.connections():
            if zone is not None and show.zone_of(table, conn) != zone:
                continue
            if wanted is None or wanted(show.entry(table, conn, now)):
                tracker.forget(conn)

    def ct_set_limits(self, limits: Sequence[CtLimit]) -> None:
        held = self.tracker.limits
        for limit in limits:
            if limit.zone is None:
                held.set_default(limit.limit)
            else:
                held.set_zone(limit.zone, limit.limit)

    def ct_get_limits(self, zones: Sequence[int]) -> list[CtLimit]:
        held = self.tracker.limits
        asked = zones or sorted(number for number, zone in held.zones.items() if zone.explicit)
        limits = [CtLimit(None, int(held.default))]
        for number in asked:
            zone = held.zones.get(number)
            if zone is None:
                limits.append(CtLimit(number, int(held.default)))
            else:
                limits.append(CtLimit(number, int(zone.limit), int(zone.count)))
        return limits

    def ct_del_limits(self, zones: Sequence[int]) -> None:
        held = self.tracker.limits
        for number in zones:
            held.unset_zone(number)

    def ct_count(self) -> int:
        return int(self.tracker.table.count)

    def ct_settings(self) -> CtSettings:
        tracker = self.tracker
        return CtSettings(int(tracker.limits.maximum), tracker.check_windows)

    def ct_configure(self, settings: CtSettings) -> None:
        tracker = self.tracker
        tracker.limits.maximum = settings.max_connections
        tracker.check_windows = settings.tcp_seq_chk
