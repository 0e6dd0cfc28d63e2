"""Which build this is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import vswitch
from vswitch.cli.version import compiled_modules, version_text


def test_version_tells_compiled_from_interpreted() -> None:
    how = version_text()
    assert how.startswith(f"vswitch {vswitch.__version__} (")
    assert ("interpreted" in how) == (not compiled_modules())
    if os.environ.get("VSWITCH_INTERPRETED"):
        assert "interpreted" in how


def test_a_compiled_module_is_what_python_loads() -> None:
    from vswitch.flow import flow

    compiled = (flow.__file__ or "").endswith(".so")
    assert compiled == ("vswitch.flow.flow" in compiled_modules())


def test_the_command_prints_it() -> None:
    ran = subprocess.run([sys.executable, "-m", "vswitch", "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, version_text() + "\n")


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, vswitch; print([m for m in sys.modules if m.startswith('vswitch.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_switch_is_loaded_when_asked_for() -> None:
    assert vswitch.Switch.__module__.startswith("vswitch.switch")
    assert Path(vswitch.__file__ or "").with_name("py.typed").exists()
    assert re.fullmatch(r"\d+\.\d+\.\d+", vswitch.__version__)
