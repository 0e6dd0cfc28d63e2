"""Bridges over the kernel's datapath on a real kernel."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_bridges_over_the_kernel_datapath(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_ofproto_dpif.py")
