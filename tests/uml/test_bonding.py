"""LACP with the kernel's bonding driver, which the host's kernel need not have."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml
from tests.uml.harness import DEFAULT_MODULES
from tests.whole import ALL

pytestmark = pytest.mark.system


def test_bonds_with_the_kernels_driver(uml: Uml) -> None:
    whole = "" if ALL else "-k active-balance-tcp"
    uml.pytest(
        f"tests/uml/inside/test_bonding.py {whole}", modules=(*DEFAULT_MODULES, "bonding"), timeout=580,
        env={"VSWITCH_TEST_ALL": "1"} if ALL else None,
    )  # fmt: skip
