"""What is installed beside the program: manual pages, the service, the dashboard, the container's recipe."""

from __future__ import annotations

import configparser
import json
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.place import FRAME, Place
from tests.cli.sandbox import VSWITCH
from tests.cli.test_exporter import Metrics

PACKAGING = Path("packaging")


def test_manual_pages_say_what_help_says(tmp_path: Path, require: Any) -> None:
    require("command:groff")
    ran = subprocess.run([*VSWITCH, "manual", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    pages = {Path(line).name: Path(line) for line in ran.stdout.splitlines()}
    assert {"vswitch.1", "vswitch-up.1", "vswitch-vsctl.1", "vswitch-web.1"} <= pages.keys()
    for path in pages.values():
        shown = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", path], capture_output=True, text=True, timeout=60
        )
        assert shown.returncode == 0
        assert not shown.stderr, f"{path.name}: {shown.stderr[:500]}"
        assert "NAME" in shown.stdout
    text = pages["vswitch-web.1"].read_text()
    for option in ("listen", "token", "control"):
        assert f"\\-\\-{option}" in text
    assert "add\\-br" in pages["vswitch-vsctl.1"].read_text()


def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [*VSWITCH, "manual", str(tmp_path / "file")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert str(tmp_path / "file") in ran.stderr


def test_the_service_starts_what_there_is() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(PACKAGING / "vswitch.service")
    program, *words = unit["Service"]["ExecStart"].split()
    assert program == "/usr/local/bin/vswitch"
    usage = subprocess.run([*VSWITCH, words[0], "--help"], capture_output=True, text=True, timeout=60).stdout
    assert all(word in usage for word in words[1:])
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_recipe_runs_what_there_is() -> None:
    lines = (PACKAGING / "Containerfile").read_text().splitlines()
    entry = json.loads(next(line for line in lines if line.startswith("ENTRYPOINT")).partition(" ")[2])
    assert entry[0] == "vswitch"
    usage = subprocess.run([*VSWITCH, entry[1], "--help"], capture_output=True, text=True, timeout=60).stdout
    assert all(word in usage for word in entry[2:])


@pytest.mark.system
def test_the_dashboard_asks_for_metrics_that_there_are(place: Place) -> None:
    made = runpy.run_path(str(PACKAGING / "grafana_dashboard.py"))["dashboard"]()
    dashboard = json.loads((PACKAGING / "grafana.json").read_text())
    assert dashboard == made, "made by packaging/grafana_dashboard.py"
    place.run("vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
    place.run("vsctl", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy")
    place.run("vsctl", "set-controller", "br0", "tcp:127.0.0.1:9")
    place.run("ofctl", "add-flow", "br0", "table=4,actions=drop")
    place.run("appctl", "netdev-dummy/receive", "p1", FRAME)
    metrics = Metrics(place.export())
    names = {name for name, _ in metrics.samples}
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked = re.findall(r"vswitch_\w+", target["expr"])
            assert asked
            assert set(asked) - {"vswitch_drops_total"} <= names | {"vswitch_conntrack_connections_limit"}
    assert metrics("vswitch_table_flows", bridge="br0", table="4") == 1
    assert metrics("vswitch_upcall_duration_seconds_count") == 1
    assert metrics("vswitch_upcall_duration_seconds_bucket", le="+Inf") == 1
    assert metrics("vswitch_main_loop_duration_seconds_count") > 1
    assert place.run("appctl", "perf/show").startswith(("upcall: 1, mean", "main-loop: "))
