"""A mask's words that have bits: what hash tables of masked flows go through. Compiled by mypyc.

Three keep flows by mask: the classifier of rules (`classifier/subtable.py`), whose hashes go on from stage to
stage; that of datapath flows (`dpif/userspace/dpcls.py`), whose one hash must be quick; and the facets
(`ofproto_dpif/facets/facet.py`), whose keys are bytes.
"""

from __future__ import annotations

from librt.vecs import append, vec
from mypy_extensions import i64


def words_with_bits(words: vec[i64]) -> vec[i64]:
    """The numbers of the words that aren't 0, in order."""
    found = vec[i64]()
    n: i64 = len(words)
    i: i64 = 0
    while i < n:
        if words[i] != 0:
            found = append(found, i)
        i += 1
    return found


def picked(words: vec[i64], numbers: vec[i64]) -> vec[i64]:
    """The words of these numbers."""
    n: i64 = len(numbers)
    found = vec[i64]([0] * n)
    i: i64 = 0
    while i < n:
        found[i] = words[numbers[i]]
        i += 1
    return found
