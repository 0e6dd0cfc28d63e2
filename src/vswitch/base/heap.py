"""What the C library does with memory that is free again: kept, for a process that forwards frames.

A frame with segmentation left to others has up to 64 KB. glibc gives the end of its heap back to the kernel
as soon as 128 KB of it are free, so that every batch of such frames would have its pages taken away, and
given back, emptied, with the next (mallopt(3)).
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_TOP_PAD: Final = -2
M_MMAP_THRESHOLD: Final = -3
TRIM_THRESHOLD: Final = 16 << 20
"""Bytes at the heap's end that stay: a few batches of the longest frames."""
TOP_PAD: Final = 1 << 20
MMAP_THRESHOLD: Final = 4 << 20
"""What glibc would adjust by itself, if the others were left alone."""
VARIABLES: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")

_kept: bool = False


def keep_freed() -> None:
    """Have memory that is free again stay with the process. Nothing happens where the environment says what
    should be, or where the C library has no such settings."""
    global _kept
    if _kept or any(name in os.environ for name in VARIABLES):
        return
    _kept = True
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in (
        (M_TRIM_THRESHOLD, TRIM_THRESHOLD), (M_TOP_PAD, TOP_PAD), (M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    ):  # fmt: skip
        mallopt(option, value)
