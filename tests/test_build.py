"""The build where no C compiler is: everything installs, interpreted, and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
