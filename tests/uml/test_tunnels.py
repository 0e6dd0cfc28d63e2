"""Tunnels over the kernel's datapath, with the kernel's own devices at the other end."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_tunnels(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_tunnels.py")
