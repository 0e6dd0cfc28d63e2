"""The build where no C compiler is: everything installs, interpreted, and says so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vswitch
from tests.whole import sample

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("CC", "/nonexistent/cc", "no C compiler (No such file or directory: /nonexistent/cc)"),
        ("CC", "false", "the C compiler can't build against Python.h"),
        ("VSWITCH_NO_COMPILE", "1", "VSWITCH_NO_COMPILE is set"),
    ],
)
def test_without_a_compiler_the_build_is_interpreted(
    variable: str, value: str, why: str, tmp_path: Path
) -> None:
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    left_out = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=left_out)
    ran = subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-lib", "lib"],
        cwd=tmp_path, env={**os.environ, variable: value}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert f"vswitch: INTERPRETED build (works, slower): {why}" in ran.stderr
    assert not list((tmp_path / "lib").rglob("*.so"))
    said = subprocess.run(
        [sys.executable, "-m", "vswitch", "--version"],
        cwd=tmp_path / "lib", env={**os.environ, "PYTHONPATH": str(tmp_path / "lib")},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "(interpreted; Python " in said


IMPORTS = """
import os, sys
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        __import__(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
print(*failed)
"""


def test_every_module_can_be_the_first_that_is_imported() -> None:
    """All that are compiled, else some, but for `xlate`, whose files need each other.

    A compiled dataclass takes the classes of its annotations as they are when its module is imported, and
    the process ends where they aren't there yet."""
    top = Path(str(vswitch.__file__)).parent
    sources = (f for f in sorted(top.rglob("[a-z]*.py")) if "xlate" not in f.parts)
    files = sorted(top.rglob("*.so")) or sample(sources, 40)
    modules = [
        ".".join(("vswitch", *f.relative_to(top).parent.parts, f.name.partition(".")[0])) for f in files
    ]
    assert len(modules) >= 40
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTS, *modules], capture_output=True, text=True, check=True, timeout=300
    )
    assert ran.stdout.split() == [], ran.stderr[-2000:]


@pytest.mark.system
def test_no_literal_loses_bits_when_it_is_shifted(require: Callable[..., None]) -> None:
    """C shifts a literal below 2**31 as an int of 32 bits, and mypyc leaves such literals as they are."""
    require("compiled")
    sources = sorted(ROOT.glob("build/__native_vswitch___*.c"))
    assert sources
    lost = [f"{path.name}: {line}" for path in sources for line in shifted_short(path.read_text())]
    assert not lost, "write `0x7FFFFFFFFFFFFFFF >> n`, or a `Final` of the shifted value:\n" + "\n".join(lost)


@pytest.mark.parametrize("shift", ["= 256 << 32;", "= 1 << cpy_r_n;", "= -1 << 31;"])
def test_a_shift_that_loses_bits_is_found(shift: str) -> None:
    kept = "cpy_r_r1 = 1 << 30;\ncpy_r_r2 = cpy_r_r1 << 40;\ncpy_r_r3 = 4294967295LL << 16;\n"
    assert shifted_short(f"{kept}    cpy_r_r4 {shift}\n") == [shift]


def shifted_short(c: str) -> list[str]:
    """Assignments in C that shift a literal without suffix beyond what 32 bits hold, or by a variable."""
    found = re.finditer(r"= (-?\d+) << (\w+);", c)
    return [m[0] for m in found if not m[2].isdigit() or not -(2**31) < int(m[1]) << int(m[2]) < 2**31]
