"""OVN on the kernel's datapath: two chassis, with VSWITCH_TEST_ALL=1 three and a failover."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.uml.conftest import Uml
from tests.whole import ALL

pytestmark = pytest.mark.system


def test_ovn(uml: Uml, require: Callable[..., None]) -> None:
    require("command:ovn-northd", "command:ovn-controller", "command:udhcpc", "command:socat")
    env = {"VSWITCH_TEST_ALL": "1"} if ALL else None
    print(uml.pytest("-s tests/uml/inside/test_ovn.py", timeout=550, memory="2G", env=env))
