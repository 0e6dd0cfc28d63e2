"""Bridges of a database on a real kernel's datapath."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_bridges_on_the_kernel_s_datapath(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_bridge.py", timeout=120)
