"""Meters of the kernel's datapath on a real kernel."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_the_kernel_measures_packets(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_meters.py")
