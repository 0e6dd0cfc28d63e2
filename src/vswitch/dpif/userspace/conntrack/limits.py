"""How many connections there may be: in all, by zone, and in zones without a limit of their own."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

DEFAULT_MAX: Final = 3_000_000
"""As `dpctl/ct-get-maxconns` says at first."""


@final
class Zone:
    """The limit of one zone, 0 for none, and its connections."""

    def __init__(self, limit: i64) -> None:
        self.limit = limit
        self.count: i64 = 0
        self.explicit: bool = False
        """The limit was set for this zone, and is not the default one."""


@final
class Limits:
    """Zones are here once a connection is in them or a limit was set for them."""

    def __init__(self) -> None:
        self.maximum: i64 = DEFAULT_MAX
        self.default: i64 = 0
        self.zones: dict[int, Zone] = {}

    def zone(self, number: i64) -> Zone:
        """The zone, with the default limit if it is new."""
        found = self.zones.get(number)
        if found is None:
            found = Zone(self.default)
            self.zones[number] = found
        return found

    def admits(self, number: i64) -> bool:
        """Whether zone `number` may have one more connection."""
        zone = self.zone(number)
        return zone.limit == 0 or zone.count < zone.limit

    def gone(self, number: i64) -> None:
        """A connection of the zone has ended."""
        zone = self.zones.get(number)
        if zone is not None:
            zone.count -= 1
            if zone.count <= 0 and not zone.explicit:
                del self.zones[number]

    def set_default(self, limit: i64) -> None:
        """The limit of zones that have none of their own."""
        self.default = limit
        for zone in self.zones.values():
            if not zone.explicit:
                zone.limit = limit

    def set_zone(self, number: i64, limit: i64) -> None:
        """The limit of one zone. Connections that are over it already stay."""
        zone = self.zone(number)
        zone.limit = limit
        zone.explicit = True

    def unset_zone(self, number: i64) -> bool:
        """Return the zone to the default limit; False if it had none of its own."""
        zone = self.zones.get(number)
        if zone is None or not zone.explicit:
            return False
        zone.explicit = False
        zone.limit = self.default
        if zone.count <= 0:
            del self.zones[number]
        return True
