"""Disciplines and policers that the host's kernel need not have."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml
from tests.whole import ALL

pytestmark = pytest.mark.system


def test_disciplines_and_policers(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_qos.py" + ("" if ALL else " -k 'not rates'"), timeout=300)
