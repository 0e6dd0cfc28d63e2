"""The "system" datapath on a real kernel: what is tested in `inside/`, one boot a file."""

from __future__ import annotations

import pytest

from tests.uml.conftest import Uml
from tests.uml.harness import DEFAULT_MODULES

pytestmark = pytest.mark.system


def test_the_kernel_datapath_passes_the_conformance_suite(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_conformance.py")


def test_the_channels_behave_on_a_real_kernel(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_channels.py")


def test_the_kernel_datapath_is_as_the_real_tools_see_it(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_kernel.py", modules=(*DEFAULT_MODULES, "vport-geneve"))


def test_the_daemon_switches_on_a_real_kernel(uml: Uml) -> None:
    uml.pytest("tests/uml/inside/test_daemon.py")
