"""The harness itself: a real kernel boots, runs a script, tells how it ended."""

from __future__ import annotations

import os
import sys

import pytest

import vswitch
from tests.uml.conftest import Uml

pytestmark = pytest.mark.system


def test_a_script_runs_on_a_kernel_with_openvswitch(uml: Uml) -> None:
    result = uml.run("cat /proc/modules; ls -A /tmp; echo mine > $EXCHANGE/answer; echo oops >&2; exit 3")
    assert result.status == 3
    assert "openvswitch" in result.output
    assert "oops" in result.output
    assert (uml.exchange / "answer").read_text() == "mine\n"


def test_python_inside_is_this_python(uml: Uml) -> None:
    result = uml.run(
        "import os, sys, vswitch; print(sys.prefix, os.path.dirname(vswitch.__file__))",
        interpreter=(sys.executable,),
    )
    assert result.check().split() == [sys.prefix, os.path.dirname(vswitch.__file__ or "")]


def test_a_script_that_hangs_is_killed_and_its_output_kept(uml: Uml) -> None:
    result = uml.run("echo before; sleep 100", timeout=5)
    assert result.timed_out
    assert result.status is None
    assert result.output == "before\n"
    with pytest.raises(AssertionError, match="timed out"):
        result.check()


def test_a_module_that_needs_another_is_loaded_on_demand(uml: Uml) -> None:
    script = "ip link add g0 type dummy; ip -br link show g0; lsmod | grep -c ^dummy"
    result = uml.run(script, modules=("veth",))
    assert result.check().splitlines()[-1] == "1"
