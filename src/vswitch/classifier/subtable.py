"""`Subtable`: the rules of one mask, in a hash table over the masked words.

A lookup goes stage by stage (metadata, L2, L3, L4: `layout.STAGE_ENDS`). After each stage but
the last, a set of hashes tells whether any rule agrees so far; if none does, only the words
looked at so far go into the wildcards. The hash of a stage continues that of the one before.

Only words in which the mask has bits are kept: `words[j]` is the j-th such word's number,
`masks[j]` the mask's bits in it, `values[slot * n + j]` a rule's.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

from vswitch.base.respite import Respite
from vswitch.base.signed import signed32
from vswitch.classifier.prefix import TrieCtx
from vswitch.classifier.rule import ClsRule
from vswitch.classifier.slots import DELETED, EMPTY, FIRST_HASH, HashCounts, mix, zeros
from vswitch.classifier.trie import Trie
from vswitch.flow.flow import Flow
from vswitch.flow.layout import STAGE_ENDS, W_TP_SRC
from vswitch.flow.mask_words import picked, words_with_bits
from vswitch.flow.match import Match

BASIS: Final = 0x3C6EF372
AT_ONCE: Final = 0xFFF
"""Slots between two looks at the time."""


def place_of(rule: ClsRule | None) -> int:
    """Sorting key: the rule that came first comes first."""
    return 0 if rule is None else rule.cls_at


@final
class PriorityCount:
    """How many rules of a subtable have `priority`."""

    def __init__(self, priority: i64) -> None:
        self.priority: i64 = priority
        self.n: i64 = 0


@final
class Subtable:
    """All rules of a classifier whose mask is `mask`, which is not to be changed from now on."""

    def __init__(self, mask: Flow, stage_ends: tuple[int, ...] = STAGE_ENDS) -> None:
        self.mask: Flow = mask
        self.words: vec[i64] = words_with_bits(mask.words)
        self.masks: vec[i64] = picked(mask.words, self.words)
        self.ends: vec[i64] = vec[i64]()
        """For each stage that has words, one past its last in `words`; never empty."""
        self.indices: list[HashCounts] = []
        """For each stage but the last, the hashes of its rules so far."""
        n: i64 = 0
        for end in stage_ends:
            before = n
            while n < len(self.words) and self.words[n] < end:
                n += 1
            if n != before:
                self.ends = append(self.ends, n)
        if len(self.ends) == 0:
            self.ends = append(self.ends, i64(0))
        self.n: i64 = len(self.words)
        for _ in range(len(self.ends) - 1):
            self.indices.append(HashCounts())

        self.trie_plens: vec[i64] = vec[i64]()
        """For each of the classifier's tries, the length of this mask's prefix of its field; 0: none."""
        self.trie_stages: vec[i64] = vec[i64]()
        """For each trie, the stage in which its field lies."""
        self.trie_places: vec[i64] = vec[i64]()
        """For each trie, which of `words` its field begins in."""
        self.has_tries: bool = False

        ports: i64 = (mask.words[W_TP_SRC] >> 32) & 0xFFFFFFFF
        self.ports_mask: i64 = ports
        self.ports_plen: i64 = 32 if ports else 0
        while ports and not ports & 1:
            ports >>= 1
            self.ports_plen -= 1
        self.ports_trie: Trie = Trie()
        self.ports_at: i64 = 0
        """Which of `words` has the ports."""
        while ports and self.words[self.ports_at] != W_TP_SRC:
            self.ports_at += 1

        self.hashes: vec[i64] = zeros(8)
        self.values: vec[i64] = zeros(8 * self.n)
        self.heads: list[ClsRule | None] = [None] * 8
        self.slot_mask: i64 = 7
        self.used: i64 = 0
        self.listed: list[ClsRule | None] = []
        """The rules in the order in which they came; None where one was that left."""
        self.n_heads: i64 = 0
        self.n_rules: i64 = 0
        self.max_priority: i64 = 0
        self.counts: dict[int, PriorityCount] = {}
        """By priority, how many rules have it."""
        self._recent: PriorityCount | None = None
        """The one of the last change: most changes come many to a priority."""
        self.priorities: list[int] = []
        """A heap of the keys of `counts`, negated; those without rules go when they are on top."""

    # Lookup.

    def hash_of(self, flow: vec[i64]) -> i64:
        """The hash of the flow's words under this mask."""
        words = self.words
        masks = self.masks
        n = self.n
        h: i64 = BASIS
        j: i64 = 0
        while j < n:
            h = mix(h, flow[words[j]] & masks[j])
            j += 1
        return h

    def slot_of(self, flow: vec[i64], h: i64) -> i64:
        """The slot whose rules agree with the flow, of hash `h`; -1 if there is none."""
        h += FIRST_HASH
        hashes = self.hashes
        slot_mask = self.slot_mask
        i: i64 = h & slot_mask
        while True:
            found = hashes[i]
            if found == h:
                words = self.words
                masks = self.masks
                values = self.values
                n = self.n
                k: i64 = i * n
                j: i64 = 0
                while j < n:
                    if values[k + j] != flow[words[j]] & masks[j]:
                        break
                    j += 1
                if j == n:
                    return i
            elif found == EMPTY:
                return -1
            i = (i + 1) & slot_mask

    def find(self, flow: vec[i64]) -> ClsRule | None:
        """The highest rule that agrees with the flow."""
        slot = self.slot_of(flow, self.hash_of(flow))
        return None if slot < 0 else self.heads[slot]

    def find_wc(self, flow: vec[i64], wc: vec[i64], tries: list[TrieCtx]) -> ClsRule | None:
        """As `find`, and adds the bits that decided to `wc`.

        `tries` are those of the classifier for this lookup.
        """
        words = self.words
        masks = self.masks
        ends = self.ends
        last: i64 = len(ends) - 1
        h: i64 = BASIS
        j: i64 = 0
        stage: i64 = 0
        while True:
            if self.has_tries and self._tries_exclude(stage, flow, wc, tries):
                self._fold(wc, j)
                return None
            end = ends[stage]
            while j < end:
                h = mix(h, flow[words[j]] & masks[j])
                j += 1
            if stage == last:
                break
            if not self.indices[stage].has(h):
                self._fold(wc, j)
                return None
            stage += 1
        slot = self.slot_of(flow, h)
        if slot < 0 and self.ports_plen > 0:
            ports: i64 = (flow[W_TP_SRC] >> 32) & self.ports_mask
            trie = self.ports_trie
            n_bits = trie.lookup(signed32(ports) << 32, 0, 32)
            if not trie.has_plen(self.ports_plen):
                # All that was hashed counts, but of the ports only the bits that the trie needed.
                known = wc[W_TP_SRC] | (self.mask.words[W_TP_SRC] & 0xFFFFFFFF)
                self._fold(wc, j)
                bits: i64 = self.ports_mask & (0xFFFFFFFF ^ (0xFFFFFFFF >> n_bits))
                wc[W_TP_SRC] = known | (signed32(bits) << 32)
                return None
        self._fold(wc, j)
        return None if slot < 0 else self.heads[slot]

    def _fold(self, wc: vec[i64], end: i64) -> None:
        """Add the first `end` of the mask's words to `wc`."""
        words = self.words
        masks = self.masks
        j: i64 = 0
        while j < end:
            wc[words[j]] |= masks[j]
            j += 1

    def _tries_exclude(self, stage: i64, flow: vec[i64], wc: vec[i64], tries: list[TrieCtx]) -> bool:
        """Whether a trie tells that no rule here agrees; if so the deciding bits are in `wc`.

        The trie belongs to the whole classifier, so its answer may take more bits than this
        subtable would look at: then it is of use only if those are in `wc` already.
        """
        plens = self.trie_plens
        stages = self.trie_stages
        t: i64 = 0
        n: i64 = len(plens)
        while t < n:
            plen = plens[t]
            if plen > 0 and stages[t] == stage:
                ctx = tries[t]
                if not ctx.done:
                    ctx.look_up(flow)
                if not ctx.all_plens and not ctx.trie.has_plen(plen):
                    if ctx.n_bits <= plen:
                        ctx.set_prefix(wc)
                        return True
                    if ctx.prefix_set(wc):
                        return True
            t += 1
        return False

    # Changes. Of a rule or match that is asked for here, `values` are the words in which the mask has bits.

    def find_match(self, match: Match) -> ClsRule | None:
        """The highest rule of just this match, whose mask is the subtable's."""
        values = match.values(self.words)
        slot = self._slot_of_values(values, self._hash_of_values(values))
        return None if slot < 0 else self.heads[slot]

    def _hash_of_values(self, values: vec[i64]) -> i64:
        """`hash_of` a flow that has them."""
        n = self.n
        h: i64 = BASIS
        j: i64 = 0
        while j < n:
            h = mix(h, values[j])
            j += 1
        return h

    def _slot_of_values(self, wanted: vec[i64], h: i64) -> i64:
        """`slot_of` a flow that has them."""
        h += FIRST_HASH
        hashes = self.hashes
        slot_mask = self.slot_mask
        values = self.values
        n = self.n
        i: i64 = h & slot_mask
        while True:
            found = hashes[i]
            if found == h:
                k: i64 = i * n
                j: i64 = 0
                while j < n:
                    if values[k + j] != wanted[j]:
                        break
                    j += 1
                if j == n:
                    return i
            elif found == EMPTY:
                return -1
            i = (i + 1) & slot_mask

    def insert(self, rule: ClsRule, respite: Respite) -> ClsRule | None:
        """Add a rule, packed; returns the one of equal match and priority that it replaced, if any."""
        values = rule.values()
        h = self._hash_of_values(values)
        slot = self._slot_of_values(values, h)
        priority: i64 = rule.priority
        rule.cls_rank = priority
        if slot < 0:
            if (self.used + 1) * 2 > self.slot_mask:
                self._rebuild(respite)
            rule.cls_next = None
            self._place(rule, values, h)
            self.n_heads += 1
            self._count_stages(values, True)
            if self.ports_plen > 0:
                self.ports_trie.insert(self._ports(values), 0, self.ports_plen)
            self._count_priority(priority)
            self._list(rule)
            return None
        above: ClsRule | None = None
        at = self.heads[slot]
        while at is not None and at.cls_rank > priority:
            above = at
            at = at.cls_next
        replaced: ClsRule | None = None
        if at is not None and at.cls_rank == priority:
            replaced = at
            rule.cls_next = at.cls_next
            at.cls_next = None
        else:
            rule.cls_next = at
        if above is None:
            self.heads[slot] = rule
        else:
            above.cls_next = rule
        if replaced is None:
            self._count_priority(priority)
        else:
            self.listed[replaced.cls_at] = None
        self._list(rule)
        return replaced

    def remove(self, rules: list[ClsRule], first: i64, end: i64) -> list[ClsRule]:
        """Remove those of `rules` from `first` to before `end`; of these, the ones whose match no other rule
        has. KeyError: one is not here."""
        gone: list[ClsRule] = []
        listed = self.listed
        heads = self.heads
        n: i64 = end - first
        # In loops as short as these the processor waits for the memory of several rules at once.
        slots = zeros(n)
        i: i64 = 0
        while i < n:
            values = rules[first + i].values()
            if len(values) != self.n:
                raise KeyError("rule is not in the classifier")
            slots[i] = self._first_slot(self._hash_of_values(values) + FIRST_HASH)
            i += 1
        tops: list[ClsRule | None] = []
        i = 0
        while i < n:
            tops.append(heads[slots[i]])
            i += 1
        i = 0
        while i < n:
            rule = rules[first + i]
            slot = slots[i]
            if tops[i] is rule:
                below = rule.cls_next
                rule.cls_next = None
                heads[slot] = below
                if below is not None:
                    slot = -1
            else:
                slot = self._take(rule, slot)
            i += 1
            if slot >= 0:
                values = rule.values()
                self.hashes[slot] = DELETED
                self.n_heads -= 1
                self._count_stages(values, False)
                if self.ports_plen > 0:
                    self.ports_trie.remove(self._ports(values), 0, self.ports_plen)
                gone.append(rule)
            self._discount_priority(rule.cls_rank)
            listed[rule.cls_at] = None
        self._close_gaps()
        return gone

    def _first_slot(self, stored: i64) -> i64:
        """The first slot that has this hash. KeyError: none has."""
        hashes = self.hashes
        slot_mask = self.slot_mask
        slot: i64 = stored & slot_mask
        while hashes[slot] != stored:
            if hashes[slot] == EMPTY:
                raise KeyError("rule is not in the classifier")
            slot = (slot + 1) & slot_mask
        return slot

    def _take(self, rule: ClsRule, slot: i64) -> i64:
        """Take a rule out of the chain that it is in, at `slot` or further on; the chain's slot if that is
        empty now, else -1. KeyError: it is in none."""
        while True:
            above: ClsRule | None = None
            at = self.heads[slot]
            while at is not None and at is not rule:
                above = at
                at = at.cls_next
            if at is not None:
                below = rule.cls_next
                rule.cls_next = None
                if above is not None:
                    above.cls_next = below
                    return -1
                self.heads[slot] = below
                return slot if below is None else -1
            slot = (slot + 1) & self.slot_mask
            if self.hashes[slot] == EMPTY:
                raise KeyError("rule is not in the classifier")

    def move_last(self, rule: ClsRule) -> None:
        """Have a rule that is here take its place in `rules` as if it came only now."""
        self.listed[rule.cls_at] = None
        self._list(rule)

    def _list(self, rule: ClsRule) -> None:
        rule.cls_at = len(self.listed)
        self.listed.append(rule)
        self._close_gaps()

    def _close_gaps(self) -> None:
        """Make the list of rules short again if most of it is gaps."""
        if len(self.listed) <= 2 * self.n_rules + 16:
            return
        kept: list[ClsRule | None] = []
        at: i64 = 0
        for rule in self.listed:
            if rule is not None:
                rule.cls_at = at
                kept.append(rule)
                at += 1
        self.listed = kept

    def rules(self) -> list[ClsRule]:
        """All rules, in the order in which they came."""
        return [rule for rule in self.listed if rule is not None]

    def agreeing(self, flow: vec[i64], mask: vec[i64]) -> list[ClsRule | None]:
        """The rules that agree with `flow` in the bits of `mask`, which are some of this mask's, in the order
        in which they came."""
        found: list[ClsRule | None] = []
        n = self.n
        words = self.words
        values = self.values
        slot: i64 = 0
        while slot <= self.slot_mask:
            rule = self.heads[slot]
            if rule is not None:
                k: i64 = slot * n
                j: i64 = 0
                while j < n:
                    w = words[j]
                    if (values[k + j] ^ flow[w]) & mask[w] != 0:
                        break
                    j += 1
                if j == n:
                    while rule is not None:
                        found.append(rule)
                        rule = rule.cls_next
            slot += 1
        found.sort(key=place_of)
        return found

    def _ports(self, values: vec[i64]) -> i64:
        """The masked transport ports, left-aligned."""
        bits: i64 = (values[self.ports_at] >> 32) & self.ports_mask
        return signed32(bits) << 32

    def _count_priority(self, priority: i64) -> None:
        """Count in a rule of this priority."""
        self.n_rules += 1
        count = self._recent
        if count is None or count.priority != priority:
            found = self.counts.get(priority)
            if found is None:
                found = self.counts[priority] = PriorityCount(priority)
                heappush(self.priorities, -priority)
            count = self._recent = found
        count.n += 1
        if self.n_rules == 1 or priority > self.max_priority:
            self.max_priority = priority

    def _discount_priority(self, priority: i64) -> None:
        """Count out a rule of this priority. A priority without rules stays in the heap until it
        comes to the top, so that removing rules one by one stays cheap."""
        self.n_rules -= 1
        count = self._recent
        if count is None or count.priority != priority:
            count = self._recent = self.counts[priority]
        count.n -= 1
        if count.n > 0:
            return
        self._recent = None
        heap = self.priorities
        while heap and self.counts[-heap[0]].n == 0:
            del self.counts[-heappop(heap)]
        if heap:
            self.max_priority = -heap[0]

    def _count_stages(self, values: vec[i64], more: bool) -> None:
        """Count a rule in, or out of, the stages' hashes."""
        h: i64 = BASIS
        j: i64 = 0
        stage: i64 = 0
        last: i64 = len(self.indices)
        while stage < last:
            end = self.ends[stage]
            while j < end:
                h = mix(h, values[j])
                j += 1
            if more:
                self.indices[stage].add(h)
            else:
                self.indices[stage].discard(h)
            stage += 1

    def _place(self, rule: ClsRule, wanted: vec[i64], h: i64) -> None:
        """Put the first rule of a match into a free slot."""
        h += FIRST_HASH
        i: i64 = h & self.slot_mask
        while self.hashes[i] != EMPTY:
            i = (i + 1) & self.slot_mask
        self.hashes[i] = h
        self.heads[i] = rule
        self.used += 1
        n = self.n
        values = self.values
        j: i64 = 0
        while j < n:
            values[i * n + j] = wanted[j]
            j += 1

    def _rebuild(self, respite: Respite) -> None:
        """Make room, or get rid of deleted slots. With many rules that takes long, and what is there stays
        as it is until it is done."""
        heads = self.heads
        hashes = self.hashes
        values = self.values
        n = self.n
        old_size: i64 = self.slot_mask + 1
        size: i64 = 8
        while size < self.n_heads * 3 + 8:
            size *= 2
        slot_mask: i64 = size - 1
        new_hashes = zeros(size)
        respite.give()
        new_values = zeros(size * n)
        respite.give()
        new_heads: list[ClsRule | None] = [None] * size
        i: i64 = 0
        while i < old_size:
            if i & AT_ONCE == 0:
                respite.give()
            head = heads[i]
            if head is not None:
                h: i64 = hashes[i]
                to: i64 = h & slot_mask
                while new_hashes[to] != EMPTY:
                    to = (to + 1) & slot_mask
                new_hashes[to] = h
                new_heads[to] = head
                j: i64 = 0
                while j < n:
                    new_values[to * n + j] = values[i * n + j]
                    j += 1
            i += 1
        self.hashes = new_hashes
        self.values = new_values
        self.heads = new_heads
        self.slot_mask = slot_mask
        self.used = self.n_heads
