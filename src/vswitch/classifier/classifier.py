"""`Classifier`: tuple space search by priority, with the bits that decided.

Rules with the same mask share a subtable (`subtable.py`). A lookup goes through the subtables
by descending highest priority and stops when no remaining one can beat the rule found. Among
subtables of equal highest priority the order is that of Open vSwitch's pvector (new ones last,
the last one into the gap of a removed one, stable sort), since it shows in the megaflow.

What a lookup adds to the wildcards is what it looked at: the stages of each subtable visited,
fewer bits where a trie of prefixes (`prefix.py`) or of ports tells enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

from vswitch.base.clock import Clock
from vswitch.base.respite import Respite
from vswitch.classifier.prefix import TrieCtx
from vswitch.classifier.rule import ClsRule
from vswitch.classifier.subtable import Subtable, place_of
from vswitch.flow import fields
from vswitch.flow.flow import Flow
from vswitch.flow.layout import N_WORDS, STAGE_ENDS
from vswitch.flow.match import Match
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6

DEFAULT_PREFIX_FIELDS: Final = ("ip_dst", "ip_src")
"""Open vSwitch 3.1's default (Flow_Table's `prefixes`)."""
PREFIX_FIELDS: Final = {
    "tun_id": 0, "tun_src": 0, "tun_dst": 0, "tun_ipv6_src": 0, "tun_ipv6_dst": 0,
    "ip_src": ETH_TYPE_IP, "ip_dst": ETH_TYPE_IP, "ipv6_src": ETH_TYPE_IPV6, "ipv6_dst": ETH_TYPE_IPV6,
}  # fmt: skip
"""Fields that can be tracked -> the Ethernet type that they need, 0 for any."""
MAX_TRIES: Final = 3
NO_RESPITE: Final = Respite(Clock(virtual=True))


def prefix_contexts(prefix_fields: Sequence[str]) -> list[TrieCtx]:
    """An empty trie for each field; ValueError names one that cannot be tracked."""
    if len(prefix_fields) > MAX_TRIES:
        raise ValueError(f"{len(prefix_fields)} prefix fields, but at most {MAX_TRIES} can be tracked")
    found: list[TrieCtx] = []
    for name in prefix_fields:
        try:
            field = fields.by_name(name)
        except KeyError:
            raise ValueError(f"{name}: no such field") from None
        if field.name not in PREFIX_FIELDS:
            raise ValueError(f"{name}: prefixes of this field cannot be tracked")
        found.append(TrieCtx(field.name, field.word, field.shift, field.n_bits, PREFIX_FIELDS[field.name]))
    return found


def by_max_priority(subtable: Subtable) -> int:
    """Sorting key: the highest priority first."""
    return -subtable.max_priority


def without_none(rules: list[ClsRule | None]) -> list[ClsRule]:
    """The rules that are there; the last takes the place of each that is not."""
    kept: list[ClsRule] = []
    end: i64 = len(rules)
    i: i64 = 0
    while i < end:
        rule = rules[i]
        if rule is None:
            end -= 1
            rules[i] = rules[end]
        else:
            kept.append(rule)
            i += 1
    return kept


@final
class Classifier:
    """A set of rules to look packets up in.

    `prefix_fields` are the fields whose prefixes are tracked; `stage_ends` the word numbers
    that end each stage of a lookup (one stage: `(N_WORDS,)`).
    """

    def __init__(self, prefix_fields: Sequence[str] | None = None,
                 stage_ends: tuple[int, ...] = STAGE_ENDS) -> None:
        self.stage_ends: tuple[int, ...] = stage_ends
        self.tries: list[TrieCtx] = prefix_contexts(
            DEFAULT_PREFIX_FIELDS if prefix_fields is None else prefix_fields)
        self.subtables: dict[bytes, Subtable] = {}
        self.order: list[Subtable] = []
        """The subtables as lookups visit them."""
        self.n_rules: i64 = 0
        self.respite: Respite = NO_RESPITE
        """Taken while tables of many rules grow; nothing in it may look at rules or change them."""
        self._recent: Subtable | None = None
        """The subtable of the last change: most changes come many to a mask."""

    # Lookup.

    def lookup(self, flow: Flow, wc: Flow | None = None) -> ClsRule | None:
        """The rule of highest priority that matches `flow`; the bits that decided go into `wc`.

        `wc` must have the Ethernet type already: a prefix-tracked field exists only in packets
        of its type.
        """
        best: ClsRule | None = None
        best_priority: i64 = -1
        words = flow.words
        if wc is None:
            for subtable in self.order:
                if subtable.max_priority <= best_priority:
                    break
                rule = subtable.find(words)
                if rule is not None and rule.cls_rank > best_priority:
                    if rule.conj is not None:
                        return self._lookup_conjunctive(flow, wc)
                    best = rule
                    best_priority = rule.cls_rank
            return best
        tries = self.tries
        for ctx in tries:
            ctx.done = False
        wc_words = wc.words
        for subtable in self.order:
            if subtable.max_priority <= best_priority:
                break
            rule = subtable.find_wc(words, wc_words, tries)
            if rule is not None and rule.cls_rank > best_priority:
                if rule.conj is not None:
                    return self._lookup_conjunctive(flow, wc)
                best = rule
                best_priority = rule.cls_rank
        return best

    def _lookup_conjunctive(self, flow: Flow, wc: Flow | None) -> ClsRule | None:
        """As `lookup`, from the start, where a conjunctive rule may win."""
        soft: list[ClsRule] = []
        best = self._lookup_soft(flow, wc, soft)
        return self._conjunctive_match(flow, wc, best, soft)

    def _lookup_soft(self, flow: Flow, wc: Flow | None, soft: list[ClsRule] | None) -> ClsRule | None:
        """The best rule that matches by itself. The conjunctive ones go into `soft`, those that
        were seen before a better one included."""
        best: ClsRule | None = None
        best_priority: i64 = -1
        words = flow.words
        tries = self.tries
        for ctx in tries:
            ctx.done = False
        for subtable in self.order:
            if subtable.max_priority <= best_priority:
                break
            rule = subtable.find(words) if wc is None else subtable.find_wc(words, wc.words, tries)
            if rule is None or rule.cls_rank <= best_priority:
                continue
            if rule.conj is None:
                best = rule
                best_priority = rule.cls_rank
            elif soft is not None:
                soft.append(rule)
        return best

    def _conjunctive_match(self, flow: Flow, wc: Flow | None, best: ClsRule | None,
                           soft: list[ClsRule]) -> ClsRule | None:
        """The rule that matches if the soft matches `soft` are seen together, or `best`.

        From priority to priority down: with several conjunctions complete, the first one counts
        that a rule completes, in the order in which subtables are visited (and a removed soft
        match leaves its place to the last), as in Open vSwitch.
        """
        best_priority: i64 = -1 if best is None else best.cls_rank
        while True:
            i: i64 = 0
            while i < len(soft):
                if soft[i].cls_rank <= best_priority:
                    last = soft.pop()
                    if i < len(soft):
                        soft[i] = last
                else:
                    i += 1
            if not soft:
                return best
            priority: i64 = -1
            n: i64 = 0
            for rule in soft:
                if rule.cls_rank > priority:
                    priority = rule.cls_rank
                    n = 1
                elif rule.cls_rank == priority:
                    n += 1
            satisfied: dict[int, int] = {}
            for rule in soft:
                conj = rule.conj
                if conj is not None and rule.cls_rank == priority:
                    conj_id = conj.satisfy(n, satisfied)
                    if conj_id >= 0:
                        found = self._with_conj_id(flow, wc, conj_id)
                        if found is not None:
                            return found
            # What has the same match at a lower priority counts now.
            kept: list[ClsRule | None] = []
            for rule in soft:
                lower: ClsRule | None = rule
                if rule.cls_rank == priority:
                    lower = rule.cls_next
                    if lower is not None and lower.conj is None:
                        if lower.cls_rank > best_priority:
                            best = lower
                            best_priority = lower.cls_rank
                        lower = None
                kept.append(lower)
            soft = without_none(kept)

    def _with_conj_id(self, flow: Flow, wc: Flow | None, conj_id: i64) -> ClsRule | None:
        """What matches `flow` with this `conj_id`; other conjunctive rules don't count."""
        before = flow.conj_id
        flow.conj_id = conj_id
        found = self._lookup_soft(flow, wc, None)
        flow.conj_id = before
        return found

    # Changes.

    def insert(self, rule: ClsRule) -> ClsRule | None:
        """Add `rule`; returns the rule of equal match and priority that it replaced, if any.

        The rule's mask becomes one that it shares with others: it must not be changed.
        """
        subtable = self._subtable(rule.mask)
        if subtable is None:
            subtable = self._add_subtable(rule.mask)
        rule.pack(subtable.mask, subtable.words)
        before = subtable.max_priority
        fresh = subtable.n_rules == 0
        n_heads = subtable.n_heads
        replaced = subtable.insert(rule, self.respite)
        if subtable.has_tries and subtable.n_heads != n_heads:
            self._count_prefixes(subtable, rule)
        if replaced is None:
            self.n_rules += 1
            if fresh or subtable.max_priority != before:
                self._sort()
        return replaced

    def remove(self, rule: ClsRule) -> None:
        """Remove `rule`; KeyError if it is not here."""
        self.remove_all([rule])

    def remove_all(self, rules: list[ClsRule]) -> None:
        """Remove each of `rules`, quickest if those of a mask come together; KeyError: one is not here."""
        n: i64 = len(rules)
        first: i64 = 0
        while first < n:
            mask = rules[first].mask
            end: i64 = first + 1
            while end < n and rules[end].mask is mask:
                end += 1
            self._remove_some(mask, rules, first, end)
            first = end

    def _remove_some(self, mask: Flow, rules: list[ClsRule], first: i64, end: i64) -> None:
        """Remove those of `rules` from `first` to before `end`, whose mask is `mask`."""
        subtable = self._subtable(mask)
        if subtable is None:
            raise KeyError("rule is not in the classifier")
        before = subtable.max_priority
        gone = subtable.remove(rules, first, end)
        if subtable.has_tries:
            self._discount_prefixes(subtable, gone)
        self.n_rules -= end - first
        if subtable.n_rules == 0:
            del self.subtables[subtable.mask.key()]
            if self._recent is subtable:
                self._recent = None
            i = 0
            while self.order[i] is not subtable:
                i += 1
            last = self.order.pop()
            if last is not subtable:
                self.order[i] = last
                self._sort()
        elif subtable.max_priority != before:
            self._sort()

    def move_last(self, rule: ClsRule) -> None:
        """Have `rule`, which is here, come last among the rules of its mask in `rules`."""
        self.subtables[rule.mask.key()].move_last(rule)

    def set_prefix_fields(self, prefix_fields: Sequence[str]) -> bool:
        """Track the prefixes of these fields instead; whether that changes anything.

        ValueError: a field whose prefixes cannot be tracked, or too many.
        """
        tries = prefix_contexts(prefix_fields)
        if [t.name for t in tries] == [t.name for t in self.tries]:
            return False
        self.tries = tries
        for subtable in self.order:
            self._place_tries(subtable)
            for head in subtable.heads:
                if head is not None and subtable.has_tries:
                    self._count_prefixes(subtable, head)
        return True

    def clear(self) -> None:
        """Remove all rules."""
        for rule in list(self):
            rule.cls_next = None
        for ctx in self.tries:
            ctx.trie.clear()
        self.subtables = {}
        self._recent = None
        self.order = []
        self.n_rules = 0

    # Other ways to find rules.

    def find_exactly(self, match: Match, priority: int) -> ClsRule | None:
        """The rule with just this match and priority."""
        subtable = self._subtable(match.mask)
        rule = None if subtable is None else subtable.find_match(match)
        rank: i64 = priority
        while rule is not None and rule.cls_rank > rank:
            rule = rule.cls_next
        return rule if rule is not None and rule.cls_rank == rank else None

    def find_loosely(self, match: Match) -> list[list[ClsRule | None]]:
        """The rules whose match is `match` or more specific, as flow mods that aren't strict mean, in the
        order of `rules`: a list for each mask, None among them, to go through before anything changes."""
        found: list[list[ClsRule | None]] = []
        mask = match.mask
        flow = match.flow
        if mask.is_zero():
            found.extend([subtable.listed for subtable in self.order])
            return found
        for subtable in self.order:
            if not subtable.mask.covers(mask):
                continue
            if subtable.mask != mask:
                found.append(subtable.agreeing(flow.words, mask.words))
                continue
            same: list[ClsRule | None] = []
            head = subtable.find(flow.words)
            while head is not None:
                same.append(head)
                head = head.cls_next
            same.sort(key=place_of)
            found.append(same)
        return found

    def find_overlap(self, match: Match, priority: int) -> ClsRule | None:
        """A rule of this priority that some packet matches together with `match`."""
        rank: i64 = priority
        flow = match.flow.words
        mask = match.mask.words
        for subtable in self.order:
            if rank > subtable.max_priority:
                break
            theirs = subtable.mask.words
            both: vec[i64] = vec[i64]()
            w: i64 = 0
            while w < N_WORDS:
                if mask[w] & theirs[w] != 0:
                    both = append(both, w)
                w += 1
            n: i64 = len(both)
            for rule in subtable.rules():
                if rule.cls_rank != rank:
                    continue
                words = rule.match.flow.words
                j: i64 = 0
                while j < n:
                    w = both[j]
                    if (words[w] ^ flow[w]) & mask[w] & theirs[w] != 0:
                        break
                    j += 1
                if j == n:
                    return rule
        return None

    def rules(self) -> list[ClsRule]:
        """All rules, subtable by subtable, by descending priority of the subtables; within each in the order
        in which they came."""
        found: list[ClsRule] = []
        for subtable in self.order:
            found.extend(subtable.rules())
        return found

    def __iter__(self) -> Iterator[ClsRule]:
        return iter(self.rules())

    def __len__(self) -> int:
        return self.n_rules

    # Upkeep.

    def _subtable(self, mask: Flow) -> Subtable | None:
        """The subtable of `mask`."""
        recent = self._recent
        if recent is not None and (recent.mask is mask or recent.mask == mask):
            return recent
        found = self.subtables.get(mask.key())
        if found is not None:
            self._recent = found
        return found

    def _add_subtable(self, mask: Flow) -> Subtable:
        subtable = Subtable(mask, self.stage_ends)
        self._place_tries(subtable)
        self.subtables[subtable.mask.key()] = subtable
        self._recent = subtable
        self.order.append(subtable)
        return subtable

    def _place_tries(self, subtable: Subtable) -> None:
        """Tell the subtable which tries concern it, and at which stage."""
        plens: vec[i64] = vec[i64]()
        stages: vec[i64] = vec[i64]()
        places: vec[i64] = vec[i64]()
        subtable.has_tries = False
        for ctx in self.tries:
            plen = ctx.plen_of(subtable.mask.words)
            stage: i64 = 0
            j: i64 = 0
            while j < subtable.n and subtable.words[j] != ctx.word:
                j += 1
            while stage < len(subtable.ends) - 1 and subtable.ends[stage] <= j:
                stage += 1
            plens = append(plens, plen)
            stages = append(stages, stage)
            places = append(places, j)
            if plen > 0:
                subtable.has_tries = True
        subtable.trie_plens = plens
        subtable.trie_stages = stages
        subtable.trie_places = places

    def _count_prefixes(self, subtable: Subtable, rule: ClsRule) -> None:
        """Count a rule's match in the tries that concern its subtable."""
        values = rule.values()
        t: i64 = 0
        n: i64 = len(self.tries)
        while t < n:
            ctx = self.tries[t]
            plen = subtable.trie_plens[t]
            if plen > 0:
                at = subtable.trie_places[t]
                hi = ctx.left_aligned(values[at])
                lo: i64 = values[at + 1] if plen > 64 else 0
                ctx.trie.insert(hi, lo, plen)
            t += 1

    def _discount_prefixes(self, subtable: Subtable, rules: list[ClsRule]) -> None:
        """Count the rules' matches out of the tries that concern their subtable."""
        t: i64 = 0
        n: i64 = len(self.tries)
        while t < n:
            ctx = self.tries[t]
            trie = ctx.trie
            plen = subtable.trie_plens[t]
            if plen > 0:
                at = subtable.trie_places[t]
                for rule in rules:
                    values = rule.values()
                    lo: i64 = values[at + 1] if plen > 64 else 0
                    trie.remove(ctx.left_aligned(values[at]), lo, plen)
            t += 1

    def _sort(self) -> None:
        self.order.sort(key=by_max_priority)
