"""The conformance suite of the dpif interface, against the kernel's datapath."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dpif.conformance import CASES, Case
from tests.uml.inside.lab import KernelLab


@pytest.fixture
def lab() -> Iterator[KernelLab]:
    lab = KernelLab()
    yield lab
    lab.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_kernel(lab: KernelLab, case: Case) -> None:
    dpif = lab.open()
    try:
        case(lab, dpif)
    finally:
        dpif.close()
