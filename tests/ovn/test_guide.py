"""The commands of docs/ovn.md work as they stand, on a machine that has nothing yet."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ovn.conftest import NEEDS

pytestmark = pytest.mark.system

GUIDE = Path(__file__).parents[2] / "docs" / "ovn.md"
HIDDEN = (
    "/run", "/etc/openvswitch", "/etc/ovn", "/var/lib/openvswitch", "/var/lib/ovn", "/var/log/openvswitch",
    "/var/log/ovn",
)  # fmt: skip
"""What the machine has of earlier ones; /var/run leads to /run."""


def test_the_guide_leads_to_a_network(require: Callable[..., None], tmp_path: Path) -> None:
    require(*NEEDS, "command:unshare")
    blocks = re.findall(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    start, end = ([line.removeprefix("# ") for line in block.splitlines()] for block in blocks)
    assert any("ping" in line for line in start)
    script = [
        "set -e",
        *(f"[ ! -d {path} ] || mount -t tmpfs tmpfs {path}" for path in HIDDEN),
        "mkdir -p /run/netns /run/openvswitch",
        "ip link set lo up",
        "end() {",
        *end,
        "}",
        "trap end EXIT",
        *start,
    ]
    text = "\n".join(script).replace(".venv/bin/vswitch", f"{Path(sys.executable).parent}/vswitch")
    ran = subprocess.run(
        ["unshare", "--net", "--mount", "bash", "-c", text],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 received, 0% packet loss" in ran.stdout
    assert "Port_Binding vm2" in ran.stdout
