"""Flow export on the kernel's datapath."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_flows_that_the_kernel_forwards_are_exported(uml: Uml, require: Callable[..., None]) -> None:
    require("command:nfacctd", "command:sfacctd", "command:ovsdb-server")
    uml.pytest("tests/uml/inside/test_flow_export.py", timeout=180)
