"""The eBPF datapath's programs before user-mode Linux's verifier, a second one beside the host's."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_every_program_shape_loads_there(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_ebpf.py")
