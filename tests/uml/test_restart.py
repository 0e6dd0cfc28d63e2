"""The daemon's end and return on a real kernel."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_the_daemon_ends_and_returns_under_traffic(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_restart.py")
