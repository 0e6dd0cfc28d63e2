"""The maps that programs and provider share, and who owns which slot of them.

- `flows`: a slot a flow. First word: what to do (kind, and its argument in the upper half); then the mask's
  number and the masked key. Written through mapped memory: a flow's actions change by one aligned 64-bit
  store, under traffic.
- `masks`: a mask's words. `order`: of each class of packets (`CLASSES`) the numbers of its masks, busiest
  first, then 0.
- `masked`: hash of a mask's number and the key under it -> slot.
- `cache`: buckets of as many ways as a line of the processor's cache has words: bits of a whole key's hash,
  and the slot that it led to. All CPUs share it, since a wrong answer is found out (`lookup.verify`).
- `lists`: the code of action lists, shared by all flows that have the same one.
- `stats`: [CPU][slot], four words: packets, bytes, when the last came (ns, monotonic), TCP flags. Mapped too.
- `counters`: [CPU][`Counter`, reasons of explicit drops].

A slot or list that was given up is used again a second later at the earliest: some CPU may be reading it.
"""

from __future__ import annotations

import errno
import sys
from collections import deque
from enum import IntEnum
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.dpif.ebpf.key import KEY_WORDS, TUNNEL_KEY_SIZE, Unfit, words_of
from vswitch.dpif.ebpf.meters import KernelMeters
from vswitch.ebpf.map import MMAPABLE, NO_PREALLOC, Map, MapType, possible_cpus
from vswitch.ebpf.syscall import BpfError
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_RARP,
)

MAX_FLOWS: Final = 1 << 17
STATS_BYTES: Final = 64 << 20
"""The most memory that statistics may take; with many CPUs there are fewer slots."""
STAT_WORDS: Final = 4
FLOW_WORDS: Final = 16
FLOW_MASK: Final = 8
FLOW_KEY: Final = 16
"""A slot of `flows`: its words, and at which bytes the mask's number and the masked key are."""
BUCKETS: Final = 1 << 15
WAYS: Final = 8
LIST_SIZE: Final = 1024
LIST_TAIL: Final = 64
"""Zeros behind every list, so that reading its last action stays within."""
MAX_LISTS: Final = 4096
MAX_MASKS: Final = 96
"""Masks of packets at ports, and of recirculated ones: more make a lookup slower than going up."""
MAX_GROUP: Final = (MAX_MASKS, MAX_MASKS, 60)
"""The same of packets out of tunnels, last: all masks have a number below MASK_NUMBERS."""
N_GROUPS: Final = len(MAX_GROUP)
MASK_NUMBERS: Final = 1 << 8
REST: Final = 1000
"""How long (ms) what was given up rests."""
GOLDEN: Final = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: multiplicative hashing (Knuth, volume 3, section 6.4)."""
_ONES: Final = (1 << 64) - 1
CLASSES: Final[dict[int, int]] = {
    ETH_TYPE_IP: 0, ETH_TYPE_IPV6: 1, ETH_TYPE_ARP: 2, ETH_TYPE_RARP: 2, ETH_TYPE_MPLS: 3,
    ETH_TYPE_MPLS_MCAST: 3,
}  # fmt: skip
"""Ethernet type -> class of packets whose masks are tried."""
OTHER_CLASS: Final = 4
N_CLASSES: Final = 5


class Kind(IntEnum):
    """What a flow's first word says."""

    UP = 0
    """No flow: the packet goes up."""
    DROP = 1
    OUTPUT = 2
    """To the interface whose index is the argument."""
    LOCAL = 3
    """The same, but into the host's own stack, as received by that interface."""
    LIST = 4
    """Run action list number argument."""


COUNTER_WORDS: Final = 64
"""Of a CPU: those of `Counter`, then explicit drops by their reasons."""
FIRST_REASON: Final = 8
OTHER_REASON: Final = COUNTER_WORDS - FIRST_REASON - 1
"""The number of all reasons that have none of their own."""


class Counter(IntEnum):
    """What the programs count a CPU: packets by where they went."""

    LOOKUP = 0
    """Found behind the cache, by a mask."""
    UP = 1
    """Sent up the ring."""
    LOST = 2
    """Not sent up: its port's quota was used up, or the ring was full."""
    ACTION_FAILED = 3
    """Dropped because the kernel refused an action."""
    METERED = 4
    """Dropped by a meter."""


@dataclass(eq=False)
class Subtable:
    """A mask of flows of one Ethernet type (-1: any)."""

    number: int
    mask: bytes
    eth_type: int
    again: bool
    """For recirculated packets."""
    words: tuple[int, ...]
    count: int = 0
    hits: int = 0
    """Of its flows, as far as statistics were read."""
    lately: int = 0
    """The same, old ones counting less: the busiest mask is tried first."""

    @property
    def tunnel(self) -> bool:
        """For packets out of tunnels."""
        return len(self.words) > KEY_WORDS

    @property
    def group(self) -> int:
        """Which classifier tries it."""
        return 2 if self.tunnel else int(self.again)

    @property
    def id(self) -> tuple[bytes, int, bool]:
        return self.mask, self.eth_type, self.again

    def masked(self, key: bytes) -> tuple[int, ...]:
        """The words of `key` that count."""
        return tuple([word & bits for word, bits in zip(words_of(key), self.words, strict=True)])

    def hash(self, masked: tuple[int, ...]) -> bytes:
        """Where `masked` is found (`lookup.try_masks` does the same)."""
        h = self.number
        for word in masked:
            h = h * GOLDEN & _ONES ^ word
        h = h * GOLDEN & _ONES
        return (h ^ h >> 32).to_bytes(8, sys.byteorder)

    def classes(self) -> range:
        """The classes (in `order`) whose packets may be under the mask."""
        base = self.group * N_CLASSES
        if self.eth_type < 0:
            return range(base, base + N_CLASSES)
        number = base + CLASSES.get(self.eth_type, OTHER_CLASS)
        return range(number, number + 1)


@dataclass(eq=False)
class ActionList:
    """A list in the kernel: `number` in `lists`, used by `users` flows."""

    number: int
    code: bytes
    users: int = 0


@dataclass
class _Resting:
    """Numbers that were given up, and since when (ms)."""

    free: list[int]
    resting: deque[tuple[int, int]] = field(default_factory=deque)

    def take(self, now: int) -> int:
        """A number that nobody uses; -1 if there is none."""
        while self.resting and now - self.resting[0][0] >= REST:
            self.free.append(self.resting.popleft()[1])
        if self.free:
            return self.free.pop()
        return -1

    def give(self, number: int, now: int) -> None:
        self.resting.append((now, number))


class Tables:
    """The maps, and what they hold."""

    def __init__(self) -> None:
        """BpfError where the kernel refuses a map; nothing stays open then."""
        self.n_cpus = possible_cpus()
        self.n_slots = min(MAX_FLOWS, STATS_BYTES // (8 * STAT_WORDS * self.n_cpus))
        self.subtables: dict[tuple[bytes, int, bool], Subtable] = {}
        self._opened: list[Map] = []
        self._lists: dict[bytes, ActionList] = {}
        self._mask_numbers = list(range(MASK_NUMBERS - 1, 0, -1))
        self._orders = [b""] * (N_GROUPS * N_CLASSES)
        self._slots = _Resting(list(range(self.n_slots - 1, -1, -1)))
        self._list_numbers = _Resting(list(range(MAX_LISTS - 1, 0, -1)))
        try:
            self.flows = self._make(MapType.ARRAY, 4, 8 * FLOW_WORDS, self.n_slots, "vs_flows", MMAPABLE)
            self.masks = self._make(MapType.ARRAY, 4, TUNNEL_KEY_SIZE, MASK_NUMBERS, "vs_masks")
            self.order = self._make(MapType.ARRAY, 4, MAX_MASKS, N_GROUPS * N_CLASSES, "vs_order")
            self.masked = self._make(MapType.HASH, 8, 4, self.n_slots, "vs_masked", NO_PREALLOC)
            self.lists = self._make(MapType.ARRAY, 4, LIST_SIZE + LIST_TAIL, MAX_LISTS, "vs_lists")
            size = 8 * STAT_WORDS
            self.stats = self._make(MapType.ARRAY, 4, size, self.n_slots * self.n_cpus, "vs_stats", MMAPABLE)
            self.cache = self._make(MapType.ARRAY, 4, 8 * WAYS, BUCKETS, "vs_cache")
            self.programs = self._make(MapType.PROG_ARRAY, 4, 4, 4, "vs_programs")
            size = 8 * COUNTER_WORDS
            self.counters = self._make(MapType.ARRAY, 4, size, self.n_cpus, "vs_counters", MMAPABLE)
            self.meters = KernelMeters()
            self._opened.append(self.meters.map)
            self.flow_words = self.flows.mapped()
            self.stat_words = self.stats.mapped()
            self.counter_words = self.counters.mapped()
        except OSError:
            self.close()
            raise

    def _make(self, type: MapType, key: int, value: int, n: int, name: str, flags: int = 0) -> Map:
        made = Map(type, key, value, n, name, flags)
        self._opened.append(made)
        return made

    def counter(self, which: int) -> int:
        """The sum over all CPUs."""
        return sum(self.counter_words[cpu * COUNTER_WORDS + which] for cpu in range(self.n_cpus))

    # Flows.

    def add_slot(self, subtable: Subtable, masked: tuple[int, ...], now: int) -> int:
        """A slot with empty statistics for a flow that does nothing yet. Unfit if all are taken."""
        slot = self._slots.take(now)
        if slot < 0:
            raise Unfit(f"the kernel's table has no room for more than {self.n_slots} flows")
        for cpu in range(self.n_cpus):
            at = (cpu * self.n_slots + slot) * STAT_WORDS
            for word in range(STAT_WORDS):
                self.stat_words[at + word] = 0
        words, at = self.flow_words, slot * FLOW_WORDS
        words[at + FLOW_MASK // 8] = subtable.number
        at += FLOW_KEY // 8
        for n, word in enumerate(masked):
            words[at + n] = word
        return slot

    def set_actions(self, slot: int, kind: Kind, argument: int) -> None:
        """What packets of the flow in `slot` have done to them from now on."""
        self.flow_words[FLOW_WORDS * slot] = argument << 32 | kind

    def drop_slot(self, slot: int, now: int) -> None:
        """The flow is gone."""
        self.flow_words[FLOW_WORDS * slot] = Kind.UP
        self._slots.give(slot, now)

    def packets(self, slot: int) -> int:
        """Packets of the flow in `slot`."""
        words, at, step = self.stat_words, slot * STAT_WORDS, self.n_slots * STAT_WORDS
        return sum([words[at + cpu * step] for cpu in range(self.n_cpus)])

    def read_stats(self, slot: int) -> tuple[int, int, int, int]:
        """(packets, bytes, ns of the last, TCP flags in network order) of the flow in `slot`."""
        n = [0, 0, 0, 0]
        for cpu in range(self.n_cpus):
            at = (cpu * self.n_slots + slot) * STAT_WORDS
            packets, size, used, flags = self.stat_words[at : at + STAT_WORDS]
            n[0] += packets
            n[1] += size
            n[2] = max(n[2], used)
            n[3] |= flags
        return n[0], n[1], n[2], n[3]

    # Masks.

    def subtable(self, mask: bytes, eth_type: int, again: bool) -> Subtable:
        """The subtable of `mask`, made if it is new. Unfit."""
        found = self.subtables.get((mask, eth_type, again))
        if found is not None:
            return found
        found = Subtable(self._mask_numbers[-1], mask, eth_type, again, words_of(mask))
        if sum(s.group == found.group for s in self.subtables.values()) >= MAX_GROUP[found.group]:
            raise Unfit(f"the kernel has {MAX_GROUP[found.group]} masks already")
        self._mask_numbers.pop()
        self.masks.put(found.number, mask.ljust(TUNNEL_KEY_SIZE, b"\0"))
        self.subtables[mask, eth_type, again] = found
        self.rank()
        return found

    def insert(self, subtable: Subtable, masked: tuple[int, ...], slot: int) -> None:
        """Packets that are `masked` under the subtable's mask belong to the flow in `slot`. Unfit."""
        try:
            self.masked.put(subtable.hash(masked), slot, new=True)
        except BpfError as e:
            if e.errno in (errno.E2BIG, errno.ENOMEM):
                raise Unfit("the kernel has no memory for it") from e
            if e.errno == errno.EEXIST:
                raise Unfit("another flow has the same packets, or their hash") from e
            raise
        subtable.count += 1

    def remove(self, subtable: Subtable, masked: tuple[int, ...]) -> None:
        """No more."""
        self.masked.delete(subtable.hash(masked))
        subtable.count -= 1
        self.drop_unused(subtable)

    def drop_unused(self, subtable: Subtable) -> None:
        """Forget a subtable without flows."""
        if not subtable.count and subtable.id in self.subtables:
            del self.subtables[subtable.id]
            self.rank()
            self._mask_numbers.append(subtable.number)

    def rank(self) -> None:
        """Have the busiest masks tried first."""
        lists = [bytearray() for _ in self._orders]
        for one in sorted(self.subtables.values(), key=lambda s: -s.lately):
            for number in one.classes():
                lists[number].append(one.number)
        for number, order in enumerate(lists):
            if order != self._orders[number]:
                self._orders[number] = bytes(order)
                self.order.put(number, bytes(order).ljust(MAX_MASKS, b"\0"))

    def age(self) -> None:
        """Rank the masks by what was lately; call it once a second."""
        self.rank()
        for one in self.subtables.values():
            one.lately >>= 1

    # Action lists.

    def use_list(self, code: bytes, now: int) -> ActionList:
        """The list of `code`, one user more. Unfit."""
        found = self._lists.get(code)
        if found is None:
            number = self._list_numbers.take(now)
            if number < 0:
                raise Unfit(f"the kernel has {MAX_LISTS} different action lists already")
            found = self._lists[code] = ActionList(number, code)
            self.lists.put(number, code)
        found.users += 1
        return found

    def leave_list(self, used: ActionList, now: int) -> None:
        """One user less."""
        used.users -= 1
        if not used.users:
            del self._lists[used.code]
            self._list_numbers.give(used.number, now)

    def close(self) -> None:
        """Let go of all maps. Idempotent."""
        for one in self._opened:
            one.close()
        self._opened = []
