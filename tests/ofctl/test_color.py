"""`vswitch ofctl --color` paints as ovs-ofctl does: every action, every kind of match, every kind of line."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ofctl.scenario import prepare
from tests.oracle.real import RealSwitch
from tests.own_tools import run_own
from vswitch.cli.ofctl.color import Painter, wanted

pytestmark = pytest.mark.system

FLOWS = Path(__file__).with_name("colored_flows.txt").read_text().splitlines()
SGR = re.compile(r"\033\[[0-9;]*[mK]")
TIMES = re.compile(r"(duration=(?:\033\[m\033\[K)?|xid=0x|idle_age=(?:\033\[m\033\[K)?)[0-9a-f.]+")
COMMANDS = (
    "dump-flows br0", "-O OpenFlow13 dump-flows br0", "-O OpenFlow15 dump-flows br0",
    "--names dump-flows br0", "--no-stats --sort dump-flows br0",
    "-O OpenFlow15 dump-groups br0", "-O OpenFlow15 dump-meters br0",
    "show br0", "dump-aggregate br0", "dump-tables br0", "diff-flows br0 OTHERS",
)  # fmt: skip
OTHERS = ("ip,actions=output:2", "priority=3,cookie=5,in_port=1,udp,tp_dst=5,actions=learn(table=2),exit",
          "table=3,importance=4,idle_timeout=7,actions=drop")  # fmt: skip


def printed(version: str, flow: str, colors: str = "") -> str:
    """What ovs-ofctl makes of a flow, in colours; "" if that version can't say it."""
    words = ["ovs-ofctl", "-O", version, "--color=always", "parse-flow", flow]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, env={"OVS_COLORS": colors,
                         "PATH": "/usr/bin:/usr/sbin"})  # fmt: skip
    line = ran.stdout.splitlines()[-1] if ran.stdout and not ran.returncode else ""
    return line if "FLOW_MOD" in line else ""


def test_actions_and_matches(require: Callable[..., None]) -> None:
    require("command:ovs-ofctl")
    cases = [(version, flow) for version in ("OpenFlow10", "OpenFlow13") for flow in FLOWS]
    with ThreadPoolExecutor(2) as pool:
        lines = list(pool.map(lambda case: printed(*case), cases))
    assert sum(map(bool, lines)) > 280
    painter = Painter()
    for line in filter(None, lines):
        assert painter.paint(SGR.sub("", line)) == line


def test_ovs_colors(require: Callable[..., None]) -> None:
    require("command:ovs-ofctl")
    colors = "pm=7:xx=3:sp=01;35:vl="
    line = printed("OpenFlow10", "in_port=1,actions=output:2", colors)
    assert "\033[01;35m" in line
    assert Painter(colors).paint(SGR.sub("", line)) == line


def test_when() -> None:
    assert wanted("always", False, "")
    assert not wanted("never", True, "xterm")
    for when in ("", "auto"):
        assert wanted(when, True, "xterm")
        assert not wanted(when, True, "dumb")
        assert not wanted(when, False, "xterm")


def test_commands(switches: tuple[RealSwitch, RealSwitch], tmp_path: Path) -> None:
    """Both tools at the same switch, the real one."""
    real = switches[0]
    prepare(real)
    environment = {**real.environment, "OVS_COLORS": ""}
    real.run("ovs-ofctl", "-O", "OpenFlow13", "add-meter", "br0", "meter=4,kbps,band=type=drop,rate=9")
    for n in (4, 5):
        group = f"group_id={n},type=select,bucket=weight:2,actions=output:1,bucket=actions=drop"
        real.run("ovs-ofctl", "-O", "OpenFlow13", "add-group", "br0", group)
    added = 0
    for n, flow in enumerate(FLOWS):
        match, _, actions = flow.rpartition("actions=")
        if "meter_id" in flow or "goto_table" in flow or "write_" in flow or "clear_actions" in flow:
            continue
        table = [] if "table=" in match else [f"table={n}"]
        text = ",".join([*table, *filter(None, [match.strip(",")]), f"actions={actions}"])
        ran = subprocess.run(["ovs-ofctl", "add-flow", "br0", text], env=environment, check=False,
                             capture_output=True)  # fmt: skip
        added += not ran.returncode
    assert added > 90
    (tmp_path / "others").write_text("\n".join(OTHERS))
    for command in COMMANDS:
        words = ["ovs-ofctl", "--color=always", *command.replace("OTHERS", str(tmp_path / "others")).split()]
        theirs = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        ours = run_own(words, environment)
        texts = [TIMES.sub(r"\1?", ran.stdout) for ran in (ours, theirs)]
        if command.startswith("diff"):
            # In the order of a hash table.
            texts = ["\n".join(sorted(text.splitlines())) for text in texts]
        assert texts[0] == texts[1], command
    for when, exit_status in (("never", 0), ("bogus", 1)):
        own = run_own(["ovs-ofctl", f"--color={when}", "dump-flows", "br0"], environment)
        assert (own.returncode, "\033" in own.stdout) == (exit_status, False)
