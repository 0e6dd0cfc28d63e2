"""A bond of the datapath: the port of each value that packets hash to, and what has left by it."""

from __future__ import annotations

from typing import final

from librt.vecs import vec
from mypy_extensions import i64


@final
class DatapathBond:
    """One bond. `members`: a datapath port for each of `N_BUCKETS` values."""

    def __init__(self, members: vec[i64]) -> None:
        self.members = members
        self.n_bytes: vec[i64] = vec[i64]([0] * len(members))
