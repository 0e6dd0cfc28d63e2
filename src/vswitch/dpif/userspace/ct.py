"""Connection tracking as the `Dpif` interface has it: connections listed and forgotten, limits, settings."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence

from mypy_extensions import mypyc_attr

from vswitch.base.clock import Clock
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import CtEntry, CtLimit, CtSettings, CtTimeoutNames, DpifError, IpfFamily, IpfStatus
from vswitch.dpif.userspace.conntrack import fragments, show
from vswitch.dpif.userspace.conntrack.fragments import Family, Incomplete
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

    def ct_set_timeouts(self, number: int, timeouts: Mapping[str, int]) -> CtTimeoutNames:
        name = str(number)
        self.tracker.set_timeouts(number, timeouts)
        self.tracker.numbers[name.encode()] = number
        return CtTimeoutNames(name)

    def ct_del_timeouts(self, number: int) -> None:
        self.tracker.policies.pop(number, None)
        self.tracker.numbers.pop(str(number).encode(), None)

    def ct_dump_timeouts(self) -> set[int]:
        return set(self.tracker.numbers.values())

    # Fragments.

    def _family(self, family: int) -> Family:
        return self.tracker.fragments.v4 if family == 4 else self.tracker.fragments.v6

    def ipf_enable(self, family: int, enabled: bool) -> None:
        self._family(family).enabled = enabled

    def ipf_set_min_size(self, family: int, size: int) -> None:
        if size < fragments.LOWEST_MIN:
            raise DpifError(errno.EPERM, "ipf set min frag", f"{self.type}@{self.name}: {size} bytes")
        self._family(family).min_size = size

    def ipf_set_max_fragments(self, n: int) -> None:
        if n > fragments.UPPER_MAX:
            raise DpifError(errno.EPERM, "ipf set max nfrags", f"{self.type}@{self.name}: {n}")
        self.tracker.fragments.max_held = n

    def ipf_status(self) -> IpfStatus:
        held = self.tracker.fragments
        packets = tuple(_waiting(packet) for packet in held.waiting.values())
        return IpfStatus(int(held.max_held), int(held.held), _ipf(held.v4), _ipf(held.v6), packets)


def _ipf(family: Family) -> IpfFamily:
    return IpfFamily(
        family.enabled, int(family.min_size), int(family.accepted), int(family.completed),
        int(family.expired), int(family.too_small), int(family.overlapped), int(family.purged),
    )  # fmt: skip


def _waiting(packet: Incomplete) -> str:
    """An incomplete packet as `dpctl/ipf-get-status -m` shows it."""
    src_hi, src_lo, dst_hi, dst_lo, identification, proto, context = packet.key
    family = 6 if proto & 0xFF == 6 else 4
    first = packet.parts[0].offset == 0
    state = "first/last frag" if first and packet.total >= 0 else "first frag" if first else "last frag"
    if not first and packet.total < 0:
        state = "reassemble frag"
    return (
        f"(src={show.address(src_hi, src_lo, family)},dst={show.address(dst_hi, dst_lo, family)},"
        f"recirc_id={context & 0xFFFFFFFF},ip_id={identification},"
        f"dl_type={'0x86dd' if family == 6 else '0x800'},zone={context >> 32},nw_proto={proto >> 8},"
        f"num_fragments={len(packet.parts)},state={state})"
    )
