"""Timeout policies of zones in a real kernel."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_timeout_policies_are_objects_of_the_kernel(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_ct_timeouts.py", timeout=150.0)
