"""The MAC learning table: which port an Ethernet address was last seen on, per VLAN.

State only: the time comes in as `now` (clock ms) and what must be looked at again comes out as
tags (`base.tags`), which facets that depended on an entry, or on there being none, carry.

Times count in whole seconds of the clock, as Open vSwitch's do: an entry goes when `idle_ms`
have passed since the second in which the address was last seen.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable
from typing import Any, Final, final

from vswitch.base import coverage
from vswitch.base.tags import Tag, TagSet, tag_deterministic, tag_random

MAC_ENTRY_DEFAULT_IDLE_TIME: Final = 300
"""Seconds until an entry that is not refreshed goes."""
MAC_ENTRY_AGE_STATIC_ENTRY: Final = -1
"""The age of an entry that never goes."""
MAC_DEFAULT_MAX: Final = 8192
"""How many entries there are at most unless configured (Bridge `other_config:mac-table-size`)."""
COUNTED_WITHIN: Final = 10_000
"""ms within which the datapath's counters have told of every packet."""
MAC_GRAT_ARP_LOCK_TIME: Final = 5
"""Seconds for which an entry made by a gratuitous ARP resists those reflected by a bond."""

mac_learning_learned = coverage.counter("mac_learning_learned")
mac_learning_expired = coverage.counter("mac_learning_expired")
mac_learning_evicted = coverage.counter("mac_learning_evicted")
mac_learning_moved = coverage.counter("mac_learning_moved")
mac_learning_static_none_move = coverage.counter("mac_learning_static_none_move")


@final
class MacEntry:
    """One address in one VLAN. `port` is whatever the caller learns (a bundle)."""

    __slots__ = ("grat_arp_lock", "mac", "port", "static", "tag", "used", "vlan")

    def __init__(self, mac: int, vlan: int, port: Any, now: int) -> None:
        self.mac: int = mac
        self.vlan: int = vlan
        self.port: Any = port
        self.used: int = now
        """Clock ms at which the address was last seen."""
        self.grat_arp_lock: int = -1
        """Clock ms until which gratuitous ARPs from bonds are not learned from."""
        self.static: bool = False
        self.tag: Tag = tag_random()
        """What depends on this entry has this tag."""

    def __repr__(self) -> str:
        return f"MacEntry({self.mac:012x}, vlan {self.vlan}, {self.port})"


@final
class MacLearning:
    """A table of at most `max_entries` addresses, idle ones of which go after `idle_ms`.

    When it is full, the entry that gives way is the one longest unseen on the port that has the
    most entries (`fair`), so that one port's flood costs that port, or else of all ports.
    """

    def __init__(self, idle_ms: int = MAC_ENTRY_DEFAULT_IDLE_TIME * 1000,
                 max_entries: int = MAC_DEFAULT_MAX, fair: bool = True) -> None:
        self.idle_ms: int = idle_ms
        self.max_entries: int = max_entries
        self.fair: bool = fair
        self.flood_vlans: frozenset[int] = frozenset()
        """VLANs in which nothing is learned, so that everything floods."""
        self.secret: int = random.getrandbits(31)
        self._flushed: int = -1
        """Clock ms of the last flush; what was seen before it teaches nothing any more."""
        self._forgotten: dict[Hashable, int] = {}
        """The same for a port's addresses, of those forgotten of late."""
        # Both dictionaries keep the order in which entries were last seen, oldest first.
        self._entries: dict[tuple[int, int], MacEntry] = {}
        self._by_port: dict[Hashable, dict[tuple[int, int], MacEntry]] = {}
        self.n_static: int = 0
        self.total_learned: int = 0
        self.total_expired: int = 0
        self.total_evicted: int = 0
        self.total_moved: int = 0

    # Questions.

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> list[MacEntry]:
        """All entries, the one longest unseen first."""
        return list(self._entries.values())

    def may_learn(self, mac: int, vlan: int) -> bool:
        """Whether `mac` may be learned in `vlan`: no group address, no VLAN that floods."""
        return not mac & (1 << 40) and vlan not in self.flood_vlans

    def lookup(self, mac: int, vlan: int) -> MacEntry | None:
        """The entry for a destination, None if it must flood."""
        if mac & (1 << 40) or vlan in self.flood_vlans:
            return None
        return self._entries.get((mac, vlan))

    def lookup_tag(self, mac: int, vlan: int) -> Tag:
        """What depends on `lookup` of this address has this tag, found or not."""
        entry = self.lookup(mac, vlan)
        if entry is not None:
            return entry.tag
        return tag_deterministic(((mac * 0x9E3779B1) ^ (vlan << 20) ^ self.secret) & 0xFFFFFFFFFFFFFFFF)

    def age(self, entry: MacEntry, now: int) -> int:
        """Seconds since the address was seen, MAC_ENTRY_AGE_STATIC_ENTRY for a static entry."""
        if entry.static:
            return MAC_ENTRY_AGE_STATIC_ENTRY
        return now // 1000 - entry.used // 1000

    def is_grat_arp_locked(self, entry: MacEntry, now: int) -> bool:
        """Whether `entry` resists gratuitous ARPs from bonds just now."""
        return now < entry.grat_arp_lock

    def needs_update(self, mac: int, vlan: int, port: Any, now: int, gratuitous_arp: bool = False,
                     is_bond: bool = False) -> bool:
        """Whether `learn` of the same would do anything."""
        if not self.may_learn(mac, vlan):
            return False
        entry = self._entries.get((mac, vlan))
        if entry is None:
            return True
        if entry.static:
            return False
        if self.age(entry, now):
            return True
        if gratuitous_arp:
            if not is_bond:
                return True
            if self.is_grat_arp_locked(entry, now):
                return False
        return entry.port is not port

    # Changes; those that return tags return what has to be looked at again.

    def learn(self, mac: int, vlan: int, port: Any, now: int, gratuitous_arp: bool = False,
              is_bond: bool = False) -> Tag:
        """`mac` was seen in `vlan` on `port`: learn, move or refresh it. 0: nothing moved.

        A gratuitous ARP from a port that is no bond locks the entry for 5 s: a bond's other end
        may reflect the packet, and learning from the reflection would send traffic astray.

        `now` is when the packet came. Counters of the datapath tell of it later: one from before the
        port's addresses were forgotten teaches nothing, and one older than the last seen moves nothing.
        """
        if not self.may_learn(mac, vlan) or now < self._flushed or now < self._forgotten.get(port, -1):
            return 0
        key = (mac, vlan)
        entry = self._entries.get(key)
        if entry is None:
            tag = self.lookup_tag(mac, vlan) | self._make_room()
            entry = MacEntry(mac, vlan, port, now)
            if gratuitous_arp and not is_bond:
                entry.grat_arp_lock = now + MAC_GRAT_ARP_LOCK_TIME * 1000
            self._entries[key] = entry
            self._by_port.setdefault(port, {})[key] = entry
            self.total_learned += 1
            mac_learning_learned.inc()
            return tag
        if entry.static:
            if entry.port is not port:
                mac_learning_static_none_move.inc()
            return 0
        if now < entry.used:
            return 0
        entry.used = now
        self._entries[key] = self._entries.pop(key)
        mine = self._by_port[entry.port]
        mine[key] = mine.pop(key)
        if gratuitous_arp:
            if not is_bond:
                entry.grat_arp_lock = now + MAC_GRAT_ARP_LOCK_TIME * 1000
            elif self.is_grat_arp_locked(entry, now):
                return 0
        if entry.port is port:
            return 0
        self._forget_port_of(entry)
        entry.port = port
        self._by_port.setdefault(port, {})[key] = entry
        self.total_moved += 1
        mac_learning_moved.inc()
        old = entry.tag
        entry.tag = tag_random()
        return old

    def add_static(self, mac: int, vlan: int, port: Any, now: int) -> Tag:
        """Put `mac` on `port` for good (`fdb/add`); learning doesn't move it."""
        key = (mac, vlan)
        entry = self._entries.get(key)
        if entry is None:
            tag = self.lookup_tag(mac, vlan) | self._make_room()
            entry = self._entries[key] = MacEntry(mac, vlan, port, now)
        else:
            tag = entry.tag
            entry.tag = tag_random()
            self._forget_port_of(entry)
            entry.port = port
        self._by_port.setdefault(port, {})[key] = entry
        if not entry.static:
            entry.static = True
            self.n_static += 1
        return tag

    def remove(self, mac: int, vlan: int) -> Tag:
        """Forget one address; 0 if it was not there."""
        entry = self._entries.get((mac, vlan))
        return 0 if entry is None else self._remove(entry)

    def expire(self, now: int) -> TagSet:
        """Forget what has been idle for too long."""
        tags = TagSet()
        limit = self.idle_ms // 1000
        second = now // 1000
        gone = []
        for entry in self._entries.values():
            if entry.static:
                continue
            if entry.used // 1000 + limit > second:
                break
            gone.append(entry)
        for entry in gone:
            tags.add(self._remove(entry))
        self.total_expired += len(gone)
        mac_learning_expired.inc(len(gone))
        return tags

    def flush(self, now: int) -> TagSet:
        """Forget everything but static entries."""
        self._flushed = now
        self._forgotten.clear()
        return self._remove_all(e for e in list(self._entries.values()) if not e.static)

    def forget_port(self, port: Any, now: int) -> TagSet:
        """Forget all addresses on `port`."""
        self._forget_before(port, now)
        return self._remove_all(list(self._by_port.get(port, {}).values()))

    def move_port(self, old: Any, new: Any, now: int) -> TagSet:
        """The addresses on port `old` are on `new` from now on, static ones too. They keep their age."""
        self._forget_before(old, now)
        tags = TagSet()
        for key in list(self._by_port.get(old, {})):
            entry = self._entries[key]
            tags.add(entry.tag)
            entry.tag = tag_random()
            self._forget_port_of(entry)
            entry.port = new
            self._by_port.setdefault(new, {})[key] = entry
        return tags

    def on_port(self, port: Any) -> list[tuple[int, int]]:
        """The (MAC, VLAN) pairs that were learned on `port`."""
        return list(self._by_port.get(port, {}))

    def forget_pair(self, mac: int, vlan: int) -> TagSet:
        """Forget one address in one VLAN, wherever it is."""
        entry = self._entries.get((mac, vlan))
        return self._remove_all([] if entry is None else [entry])

    def set_flood_vlans(self, vlans: Iterable[int]) -> bool:
        """Set the VLANs in which everything floods; whether that changed something."""
        new = frozenset(vlans)
        if new == self.flood_vlans:
            return False
        self.flood_vlans = new
        return True

    def set_idle_time(self, idle_ms: int) -> None:
        """Set the idle time, within 15 s and 3600 s, or anything below in tests as it is given."""
        self.idle_ms = idle_ms

    def set_max_entries(self, max_entries: int) -> TagSet:
        """Set how many entries there may be (10 to 1,000,000); those too many go."""
        self.max_entries = min(max(max_entries, 10), 1_000_000)
        tags = TagSet()
        while len(self._entries) > self.max_entries:
            tags.add(self._evict())
        return tags

    def clear_statistics(self) -> None:
        """Set the totals to 0."""
        self.total_learned = self.total_expired = self.total_evicted = self.total_moved = 0

    # Within.

    def _forget_before(self, port: Any, now: int) -> None:
        self._forgotten = {p: ms for p, ms in self._forgotten.items() if now - ms < COUNTED_WITHIN}
        self._forgotten[port] = now

    def _make_room(self) -> Tag:
        return self._evict() if len(self._entries) >= self.max_entries else 0

    def _evict(self) -> Tag:
        if self.fair:
            candidates: Iterable[MacEntry] = max(self._by_port.values(), key=len).values()
        else:
            candidates = self._entries.values()
        victim = next((e for e in candidates if not e.static), None)
        if victim is None:
            victim = next((e for e in self._entries.values() if not e.static), None)
        if victim is None:
            victim = next(iter(self._entries.values()))
        self.total_evicted += 1
        mac_learning_evicted.inc()
        return self._remove(victim)

    def _remove(self, entry: MacEntry) -> Tag:
        del self._entries[entry.mac, entry.vlan]
        self._forget_port_of(entry)
        if entry.static:
            self.n_static -= 1
        return entry.tag

    def _remove_all(self, entries: Iterable[MacEntry]) -> TagSet:
        tags = TagSet()
        for entry in entries:
            tags.add(self._remove(entry))
        return tags

    def _forget_port_of(self, entry: MacEntry) -> None:
        mine = self._by_port[entry.port]
        del mine[entry.mac, entry.vlan]
        if not mine:
            del self._by_port[entry.port]
