"""OVN on the kernel's datapath."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_ovn(uml: Uml, require: Callable[..., None]) -> None:
    require("command:ovn-northd", "command:ovn-controller", "command:udhcpc", "command:socat")
    uml.pytest("tests/uml/inside/test_ovn.py", timeout=400, memory="2G")
