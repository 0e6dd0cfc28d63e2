"""The maps that programs and provider share, and who owns which slot of them.

- `flows`: a slot a flow, two words: what to do (kind, and its argument in the upper half), and a
  generation that changes when the slot gets another flow, so that a cache can tell. Written through
  mapped memory: a flow's actions change by one aligned 64-bit store, under traffic.
- `lists`: the code of action lists, shared by all flows that have the same one.
- `stats`: [CPU][slot], four words: packets, bytes, when the last came (ns, monotonic), TCP flags. Mapped too.
- `cache`: a CPU's direct-mapped exact-match cache: key, slot, generation.
- `by_width`: masked keys -> slot. A program can use 64 maps, so masks of as many words share one hash,
  in whose keys the mask's number is last.
- `counters`: [CPU][`Counter`, reasons of explicit drops].

A slot or list that was given up is used again a second later at the earliest: some CPU may be reading it.
"""

from __future__ import annotations

import errno
import struct
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from vswitch.dpif.ebpf.key import KEY_SIZE, KEY_WORDS, Unfit, words_of
from vswitch.dpif.ebpf.meters import KernelMeters
from vswitch.ebpf.map import MMAPABLE, NO_PREALLOC, Map, MapType, possible_cpus
from vswitch.ebpf.syscall import BpfError

MAX_FLOWS: Final = 1 << 17
STATS_BYTES: Final = 64 << 20
"""The most memory that statistics may take; with many CPUs there are fewer slots."""
STAT_WORDS: Final = 4
CACHE_SLOTS: Final = 4096
LIST_SIZE: Final = 1024
LIST_TAIL: Final = 64
"""Zeros behind every list, so that reading its last action stays within."""
MAX_LISTS: Final = 4096
MAX_MASKS: Final = 96
"""Masks of one program: more make a lookup slower than going up."""
REST: Final = 1000
"""How long (ms) what was given up rests."""


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
    """A mask of flows of one Ethernet type (-1: any): its words that aren't 0, and how it is found."""

    number: int
    mask: bytes
    eth_type: int
    again: bool
    """For recirculated packets."""
    index: tuple[int, ...]
    bits: tuple[int, ...]
    table: Map
    count: int = 0
    hits: int = 0
    """Of its flows when statistics were last read; the busiest mask is tried first."""

    def masked(self, key: bytes) -> bytes:
        """The key of flow `key` in the hash."""
        words = words_of(key)
        return struct.pack(f"={len(self.index)}QI",
                           *(words[i] & b for i, b in zip(self.index, self.bits, strict=True)), self.number)


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
    """The maps. `changed` says that subtables came or went, so that the programs want making anew."""

    def __init__(self) -> None:
        """BpfError where the kernel refuses a map; nothing stays open then."""
        self.n_cpus = possible_cpus()
        self.n_slots = min(MAX_FLOWS, STATS_BYTES // (8 * STAT_WORDS * self.n_cpus))
        self.subtables: dict[tuple[bytes, int], Subtable] = {}
        self.by_width: dict[int, Map] = {}
        self.changed = False
        self._opened: list[Map] = []
        self._lists: dict[bytes, ActionList] = {}
        self._n_masks = 0
        self._slots = _Resting(list(range(self.n_slots - 1, -1, -1)))
        self._list_numbers = _Resting(list(range(MAX_LISTS - 1, 0, -1)))
        try:
            self.flows = self._make(MapType.ARRAY, 4, 16, self.n_slots, "vs_flows", MMAPABLE)
            self.lists = self._make(MapType.ARRAY, 4, LIST_SIZE + LIST_TAIL, MAX_LISTS, "vs_lists")
            size = 8 * STAT_WORDS
            self.stats = self._make(MapType.ARRAY, 4, size, self.n_slots * self.n_cpus, "vs_stats", MMAPABLE)
            self.cache = self._make(MapType.PERCPU_ARRAY, 4, KEY_SIZE + 8, CACHE_SLOTS, "vs_cache")
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

    def add_slot(self, now: int) -> int:
        """A slot with empty statistics. Unfit if all are taken."""
        slot = self._slots.take(now)
        if slot < 0:
            raise Unfit(f"the kernel's table has no room for more than {self.n_slots} flows")
        for cpu in range(self.n_cpus):
            at = (cpu * self.n_slots + slot) * STAT_WORDS
            for word in range(STAT_WORDS):
                self.stat_words[at + word] = 0
        self.flow_words[2 * slot + 1] += 1
        return slot

    def set_actions(self, slot: int, kind: Kind, argument: int) -> None:
        """What packets of the flow in `slot` have done to them from now on."""
        self.flow_words[2 * slot] = argument << 32 | kind

    def drop_slot(self, slot: int, now: int) -> None:
        """The flow is gone."""
        self.flow_words[2 * slot] = Kind.UP
        self.flow_words[2 * slot + 1] += 1
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
        found = self.subtables.get((mask, eth_type))
        if found is not None:
            return found
        if sum(s.again == again for s in self.subtables.values()) >= MAX_MASKS:
            raise Unfit(f"the kernel's program has {MAX_MASKS} masks already")
        words = words_of(mask)
        index = tuple(i for i in range(KEY_WORDS) if words[i])
        width = len(index)
        table = self.by_width.get(width)
        if table is None:
            table = self._make(MapType.HASH, 8 * width + 4, 4, self.n_slots, f"vs_masked{width}", NO_PREALLOC)
            self.by_width[width] = table
        self._n_masks += 1
        bits = tuple(words[i] for i in index)
        found = Subtable(self._n_masks, mask, eth_type, again, index, bits, table)
        self.subtables[mask, eth_type] = found
        self.changed = True
        return found

    def insert(self, subtable: Subtable, key: bytes, slot: int) -> None:
        """Packets under the subtable's mask with `key` belong to the flow in `slot`. Unfit."""
        try:
            subtable.table.put(subtable.masked(key), slot)
        except BpfError as e:
            if e.errno in (errno.E2BIG, errno.ENOMEM):
                raise Unfit("the kernel has no memory for it") from e
            raise
        subtable.count += 1

    def remove(self, subtable: Subtable, key: bytes) -> None:
        """No more."""
        subtable.table.delete(subtable.masked(key))
        subtable.count -= 1
        if not subtable.count:
            self.subtables.pop((subtable.mask, subtable.eth_type), None)
            self.changed = True

    def drop_unused(self, subtable: Subtable) -> None:
        """Forget a subtable that got no flow after all."""
        if not subtable.count:
            self.subtables.pop((subtable.mask, subtable.eth_type), None)

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
