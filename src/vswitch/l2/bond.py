"""A bond: which member packets leave through, and which arriving ones are to be taken.

A machine without I/O: links and the time (`now`, ms) go in; `take_events` tells what is to be done
because of them. Three modes (ovs-vswitchd.conf.db(5), Port table, "Bonding Configuration"): one member
at a time; by source address and VLAN; by what dp_hash makes of addresses and ports. The latter two spread
256 hash values over the members and move some of them when the members' loads differ.
"""

from __future__ import annotations

from typing import Any, Final, final

from vswitch.base.ratelimit import RateLimit
from vswitch.base.records import dataclass
from vswitch.base.vlog import Vlog
from vswitch.flow.flow import signed64
from vswitch.flow.hash import hash_add64, hash_finish
from vswitch.l2.lacp import CONFIGURED, NEGOTIATED, OFF

log: Final = Vlog("bond")
_link_rl: Final = RateLimit(5, 20)

ACTIVE_BACKUP: Final = "active-backup"
BALANCE_SLB: Final = "balance-slb"
BALANCE_TCP: Final = "balance-tcp"
MODES: Final = (ACTIVE_BACKUP, BALANCE_SLB, BALANCE_TCP)

N_HASHES: Final = 256
MIN_REBALANCE: Final = 1_000
"""ms, the shortest interval between two rebalancings."""
MIN_OVERLOAD: Final = 100_000
"""Bytes by which loads must differ at least for hashes to move."""

# What becomes of a packet that comes in at a member.
ACCEPT: Final = 0
DROP: Final = 1
DROP_IF_MOVED: Final = 2
"""Dropped if its source was learned elsewhere: then it is ours, come back."""

# Events.
CHANGED: Final = "changed"
"""Packets may leave through other members than before."""
LEARN: Final = "learn"
"""Neighbours should be informed where addresses are now."""


@dataclass(frozen=True)
class BondSettings:
    """How a bond is to be; times in ms. `active_mac` is that of the member which was active in an
    earlier life, 0 if that is not known."""

    mode: str = ACTIVE_BACKUP
    basis: int = 0
    updelay: int = 0
    downdelay: int = 0
    rebalance_interval: int = 10_000
    primary: str = ""
    all_members_active: bool = False
    lb_output: bool = False
    lacp_fallback_ab: bool = False
    active_mac: int = 0
    miimon_interval: int = 0
    """ms between two looks at links; 0: changes of carriers are reported at once."""


@final
class BondMember:
    """One link. `up`: it has a carrier and whoever watches it says that packets get through."""

    def __init__(self, name: str, aux: Any) -> None:
        self.name = name
        self.aux = aux
        """Whatever the caller has for it (a port)."""
        self.mac: int = 0
        self.up: bool = False
        self.may_enable: bool = False
        self.enabled: bool = False
        self.known: bool = False
        """Whether its link has been looked at."""
        self.delay_expires: int | None = None
        """Clock ms at which `enabled` follows the link."""
        self.tx_bytes: int = 0


@final
class BondEntry:
    """One of the 256 hash values: the member that has it, and what it has sent of late."""

    def __init__(self) -> None:
        self.member: BondMember | None = None
        self.tx_bytes: int = 0


def hash_mac(mac: int, vlan: int, basis: int) -> int:
    """Which of the 256 values a source address in a VLAN has."""
    word = signed64((vlan & 0xFFFF) << 48 | mac)
    return hash_finish(hash_add64(basis & 0xFFFFFFFF, word), 8) & (N_HASHES - 1)


@final
class Bond:
    """A bond and its members, in the order of their names."""

    def __init__(self, name: str, settings: BondSettings, now: int) -> None:
        self.name = name
        self.settings = settings
        self.members: dict[str, BondMember] = {}
        self.active: BondMember | None = None
        self.lacp_status: str = OFF
        self.entries: list[BondEntry] = [BondEntry() for _ in range(N_HASHES)]
        self.next_rebalance: int = now + max(settings.rebalance_interval, MIN_REBALANCE)
        self.recirc_id: int = 0
        """What the datapath comes back with after it has hashed a packet; 0: it never will."""
        self.balanced: bool = False
        """The datapath hashes the packets."""
        self.in_datapath: bool = False
        """The datapath knows the members by the number `recirc_id`, and chooses among them without coming
        back (`lb_output`)."""
        self._turn: list[BondMember] = []
        """The enabled members, the one first that is to get the next hash value."""
        self._events: set[str] = set()

    # Configuration.

    def configure(self, settings: BondSettings, now: int) -> None:
        """Change what was asked for."""
        old, self.settings = self.settings, settings
        if old.rebalance_interval != settings.rebalance_interval:
            self.next_rebalance = now + max(settings.rebalance_interval, MIN_REBALANCE)
        if (old.mode, old.basis) != (settings.mode, settings.basis):
            for entry in self.entries:
                entry.member = None
                entry.tx_bytes = 0
        if old != settings:
            self._events.add(CHANGED)
        if settings.primary != old.primary and self.mode == ACTIVE_BACKUP:
            self._choose_active(now)

    def set_member(self, name: str, aux: Any, mac: int) -> BondMember:
        """Make or update a member."""
        member = self.members.get(name)
        if member is None or member.aux is not aux:
            if member is not None:
                self.remove_member(name)
            member = BondMember(name, aux)
            self.members = dict(sorted({**self.members, name: member}.items()))
            self._events.add(CHANGED)
        member.mac = mac
        return member

    def remove_member(self, name: str) -> None:
        """Forget a member."""
        member = self.members.pop(name, None)
        if member is None:
            return
        self._disable(member)
        if self.active is member:
            self.active = None
        self._events.add(CHANGED)

    # Links and time.

    def run(self, now: int, lacp_status: str) -> None:
        """Follow links, delays and LACP; rebalance when it is time."""
        if lacp_status != self.lacp_status:
            self.lacp_status = lacp_status
            self._events.add(CHANGED)
        for member in self.members.values():
            self._follow_link(member, now)
        if self.active is None or not self.active.enabled or self._primary_waits():
            self._choose_active(now)

    def _follow_link(self, member: BondMember, now: int) -> None:
        up = member.up and member.may_enable
        state = "up" if up else "down"
        if up == member.enabled:
            if member.delay_expires is not None:
                member.delay_expires = None
                what = "disabled" if up else "enabled"
                log.info_rl(_link_rl, now, "member %s: link state %s", member.name, state)
                log.info_rl(_link_rl, now, "member %s: will not be %s", member.name, what)
            member.known = True
            return
        if member.delay_expires is None:
            # LACP has its own ways of being sure.
            delay = 0 if self.lacp_status != OFF else self.settings.updelay if up else self.settings.downdelay
            member.delay_expires = now + delay
            if member.known:
                log.info_rl(_link_rl, now, "member %s: link state %s", member.name, state)
            if delay:
                what = "enabled" if up else "disabled"
                log.info_rl(_link_rl, now, "member %s: will be %s if it stays %s for %d ms",
                            member.name, what, state, delay)
            member.known = True
        if now >= member.delay_expires:
            self.set_enabled(member, up)

    def set_enabled(self, member: BondMember, enabled: bool) -> None:
        """Use `member`, or use it no longer."""
        member.delay_expires = None
        if enabled == member.enabled:
            return
        if enabled:
            member.enabled = True
            self._turn.append(member)
            # It gets its share of the values that carry nothing; rebalancing moves others.
            for entry in self.entries:
                if not entry.tx_bytes:
                    entry.member = None
            log.info("member %s: enabled", member.name)
        else:
            self._disable(member)
        self._events.add(CHANGED)

    def _disable(self, member: BondMember) -> None:
        if member.enabled:
            log.info("member %s: disabled", member.name)
        member.enabled = False
        if member in self._turn:
            self._turn.remove(member)
        for entry in self.entries:
            if entry.member is member:
                entry.member = None

    def _primary_waits(self) -> bool:
        primary = self.members.get(self.settings.primary)
        one_at_a_time = self.mode == ACTIVE_BACKUP
        return one_at_a_time and primary is not None and primary.enabled and self.active is not primary

    def _choose_active(self, now: int) -> None:
        """Choose anew: the primary; the one that was active in an earlier life; any that is enabled; or
        the one whose updelay would end first, which isn't waited for when there is no other."""
        old = self.active
        enabled = [m for m in self.members.values() if m.enabled]
        chosen: BondMember | None = None
        primary = self.members.get(self.settings.primary)
        if primary is not None and primary.enabled:
            chosen = primary
        elif old is not None and old.enabled:
            chosen = old
        elif enabled:
            mac = self.settings.active_mac
            chosen = next((m for m in enabled if old is None and mac and m.mac == mac), enabled[0])
        else:
            waiting = [m for m in self.members.values() if m.up and m.may_enable]
            if waiting:
                chosen = min(waiting, key=lambda m: m.delay_expires or 0)
                left = max(0, (chosen.delay_expires or 0) - now)
                why = f", skipping remaining {left} ms updelay (since no member was enabled)"
                self.set_active(chosen, why)
                self.set_enabled(chosen, True)
        if chosen is None and old is not None:
            log.info("bond %s: all members disabled", self.name)
        self.set_active(chosen)

    def set_active(self, member: BondMember | None, why: str = "") -> None:
        """Make `member` the active one. `why` is told with it."""
        if member is self.active:
            return
        self.active = member
        if member is not None:
            log.info("bond %s: active member is now %s%s", self.name, member.name, why)
        self._events.add(CHANGED)
        if member is not None:
            self._events.add(LEARN)

    def wakeup(self) -> int | None:
        """Clock ms at which `run` or `rebalance` has something to do next."""
        times = [m.delay_expires for m in self.members.values() if m.delay_expires is not None]
        if self.rebalances:
            times.append(self.next_rebalance)
        return min(times, default=None)

    def take_events(self) -> set[str]:
        """What has happened since the last call."""
        events, self._events = self._events, set()
        return events

    # Packets.

    @property
    def mode(self) -> str | None:
        """The mode in effect: with LACP that nobody answers, active-backup or (None) nothing."""
        if self.lacp_status == CONFIGURED:
            return ACTIVE_BACKUP if self.settings.lacp_fallback_ab else None
        if self.settings.mode == BALANCE_TCP and self.lacp_status != NEGOTIATED:
            return None
        return self.settings.mode

    @property
    def may_recirculate(self) -> bool:
        """Whether packets will come back hashed once LACP has come to an agreement."""
        settings = self.settings
        falls_back = settings.lacp_fallback_ab and self.lacp_status == CONFIGURED
        return settings.mode == BALANCE_TCP and self.recirc_id > 0 and not falls_back

    @property
    def rebalances(self) -> bool:
        """Whether hash values are moved between members."""
        settings = self.settings
        if settings.lacp_fallback_ab and self.lacp_status == CONFIGURED:
            return False
        return settings.mode != ACTIVE_BACKUP and settings.rebalance_interval > 0

    def admit(self, member: BondMember, multicast: bool) -> int:
        """ACCEPT, DROP or DROP_IF_MOVED for a packet that came in at `member`."""
        if self.lacp_status == NEGOTIATED:
            return ACCEPT if member.enabled else DROP
        mode = self.mode
        if mode is None:
            return DROP
        if multicast and member is not self.active and not self.settings.all_members_active:
            return DROP
        if mode == ACTIVE_BACKUP:
            return ACCEPT if member is self.active else DROP
        return DROP_IF_MOVED

    def entry_member(self, value: int) -> BondMember | None:
        """The member that hash `value` leaves through; enabled ones get values in turn."""
        entry = self.entries[value & (N_HASHES - 1)]
        if entry.member is None or not entry.member.enabled:
            entry.member = self._next_enabled()
        return entry.member

    def _next_enabled(self) -> BondMember | None:
        if not self._turn:
            return None
        member = self._turn.pop(0)
        self._turn.append(member)
        return member

    def account(self, value: int, n_bytes: int) -> None:
        """Packets with hash `value` have left."""
        if self.rebalances:
            self.entries[value & (N_HASHES - 1)].tx_bytes += n_bytes

    # Rebalancing.

    def rebalance(self, now: int) -> bool:
        """Move hash values from the member with the highest load to others if it is time; whether any moved.

        A move must be worth it: the loads differ by 1/32 and 100 kB, and it makes their ratio smaller by
        0.1. Loads are halved each time, so that older ones count less.
        """
        if not self.rebalances or now < self.next_rebalance:
            return False
        self.next_rebalance = now + max(self.settings.rebalance_interval, MIN_REBALANCE)
        members = [m for m in self.members.values() if m.enabled]
        held: dict[BondMember, list[BondEntry]] = {m: [] for m in members}
        for entry in self.entries:
            if entry.member in held and entry.tx_bytes:
                held[entry.member].append(entry)
        for member in members:
            member.tx_bytes = sum(entry.tx_bytes for entry in held[member])
        moved = False
        crowded = list(members)
        while len(crowded) > 1:
            crowded.sort(key=lambda m: m.tx_bytes, reverse=True)
            source = crowded[0]
            target = min(members, key=lambda m: m.tx_bytes)
            overload = source.tx_bytes - target.tx_bytes
            if overload < target.tx_bytes >> 5 or overload < MIN_OVERLOAD:
                break
            best = (
                _best_move(held[source], source.tx_bytes, target.tx_bytes) if len(held[source]) > 1 else None
            )
            if best is None:
                crowded.remove(source)
                continue
            best.member = target
            held[source].remove(best)
            held[target].append(best)
            source.tx_bytes -= best.tx_bytes
            target.tx_bytes += best.tx_bytes
            moved = True
        for entry in self.entries:
            entry.tx_bytes //= 2
        if moved:
            self._events.add(CHANGED)
        return moved

    def migrate(self, value: int, member: BondMember) -> None:
        """Move a hash value to `member`."""
        self.entries[value & (N_HASHES - 1)].member = member
        self._events.add(CHANGED)


def _best_move(entries: list[BondEntry], source: int, target: int) -> BondEntry | None:
    """The entry whose move from a load of `source` bytes to one of `target` leaves the smallest difference;
    None if it isn't worth it."""
    best = min(entries, key=lambda entry: abs(source - target - 2 * entry.tx_bytes))
    low, high = sorted((source - best.tx_bytes, target + best.tx_bytes))
    if low == 0:
        return None
    return best if target == 0 or high / low <= source / target - 0.1 else None
