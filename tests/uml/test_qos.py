"""Disciplines and policers that the host's kernel need not have."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml
from tests.whole import ALL

pytestmark = pytest.mark.system


def test_disciplines_and_policers(uml: Uml) -> None:
    inside = "tests/uml/inside/test_qos.py tests/uml/inside/test_qos_keys.py"
    uml.pytest(inside, timeout=2400 if ALL else 300)
