"""Every packet counts once over the kernel's datapath, on a real kernel."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml
from tests.whole import ALL

pytestmark = pytest.mark.system


def test_every_packet_counts(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_every_packet_counts.py", timeout=3600 if ALL else 300)
