"""Memory of frames stays with the process that forwards them."""

from __future__ import annotations

import os
import subprocess
import sys

FAULTS = """
import resource, sys
from vswitch.base.heap import keep_freed
if sys.argv[1] == "keep":
    keep_freed()
def batch():
    frames = [bytes(65000) for _ in range(20)]
    frames.clear()
for _ in range(5):
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(what: str, **environment: str) -> int:
    """Page faults of a thousand frames of 65,000 bytes, twenty at a time."""
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS, what], env={**os.environ, **environment}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return int(ran.stdout)


def test_pages_of_frames_are_not_given_back() -> None:
    # 16 pages a frame.
    assert faults("keep") < 1000
    assert faults("leave") > 8000


def test_the_environment_has_its_way() -> None:
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="131072") > 8000
