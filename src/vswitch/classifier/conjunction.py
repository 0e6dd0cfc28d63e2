"""Conjunctive matches: rules that match only together with others (ovs-fields(7), "Conjunctive Match
Fields").

A rule with `Conjunctions` is a soft match: it says that the packet satisfies clause k of n of a
conjunction. When soft matches of one priority satisfy all clauses of some conjunction, the packet
is looked up again with `conj_id` set to its id, and what matches then, as rules on `conj_id` do,
is the result. A soft match whose conjunctions stay incomplete gives way to the rule of the next
lower priority with the same match.
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

from vswitch.flow.flow import signed64

ALL: Final = -1
"""Every clause of a conjunction: 64 ones."""


@final
class Conjunctions:
    """What one rule contributes to, in the order in which it says so.

    `clauses` are (id, clause, n_clauses) triples, clauses counted from 0, at most 64 of them.
    """

    def __init__(self, clauses: tuple[tuple[int, int, int], ...]) -> None:
        self.ids: vec[i64] = vec[i64]()
        self.bits: vec[i64] = vec[i64]()
        """For each, the bit of its clause."""
        self.counts: vec[i64] = vec[i64]()
        """For each, how many clauses the conjunction has."""
        self.fewest: i64 = 64
        """The least of `counts`."""
        self.absent: vec[i64] = vec[i64]()
        """For each, the bits of the clauses that its conjunction doesn't have."""
        for conj_id, clause, n_clauses in clauses:
            n: i64 = n_clauses
            self.ids = append(self.ids, i64(conj_id))
            self.bits = append(self.bits, i64(signed64(1 << clause)))
            self.absent = append(self.absent, i64(signed64(-1 << n_clauses)))
            self.counts = append(self.counts, n)
            if n < self.fewest:
                self.fewest = n

    def satisfy(self, n_soft: i64, satisfied: dict[int, int]) -> i64:
        """Count these clauses in `satisfied` (id -> bits of clauses that are, and of those that
        there are not), among `n_soft` soft matches of this priority.

        The id of the first conjunction that is complete by that, -1 for none.
        """
        if n_soft < self.fewest:
            return -1
        ids = self.ids
        bits = self.bits
        counts = self.counts
        absent = self.absent
        j: i64 = 0
        n: i64 = len(ids)
        while j < n:
            count = counts[j]
            if count <= n_soft:
                conj_id = ids[j]
                known: i64 = satisfied.get(int(conj_id), int(absent[j]))
                known |= bits[j]
                if known == ALL:
                    return conj_id
                satisfied[int(conj_id)] = int(known)
            j += 1
        return -1
