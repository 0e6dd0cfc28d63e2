"""Tunnels of the userspace datapath with a real kernel's devices at the other end."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_userspace_tunnels(uml: Uml) -> None:
    print(uml.pytest("tests/uml/inside/test_userspace_tunnels.py", timeout=200))
