"""Connection tracking by a real kernel, told by our flows."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_connections_are_tracked_by_the_kernel(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_conntrack.py", "tests/uml/inside/test_packet_ins.py", timeout=150.0)
