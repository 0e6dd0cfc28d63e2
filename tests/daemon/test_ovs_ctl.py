"""Open vSwitch's own start script, ovs-ctl(8), runs our switch as it does the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.own_tools import programs

pytestmark = pytest.mark.system

OVS_CTL = Path("/usr/share/openvswitch/scripts/ovs-ctl")


@pytest.mark.parametrize("own", [False, True], ids=["its own tools", "our tools"])
def test_start_status_restart_stop(require: Callable[..., None], tmp_path: Path, own: bool) -> None:
    require("command:ovs-vswitchd", "command:ovsdb-server", "root")
    assert OVS_CTL.exists()
    if own:
        directory = programs(tmp_path)
    else:
        directory = tmp_path / "bin"
        directory.mkdir()
    (tmp_path / "openvswitch").mkdir()
    switch = directory / "ovs-vswitchd"
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / part) for part in os.environ.get("PYTHONPATH", "").split(":") if part])
    switch.write_text(
        f"#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} -c "
        "'from vswitch.cli.entry import vswitchd; vswitchd()' --enable-dummy=override \"$@\"\n"
    )
    switch.chmod(0o755)
    environment = dict(os.environ, PATH=f"{directory}:{os.environ['PATH']}:/usr/sbin:/sbin")
    for variable in ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR"):
        environment[f"OVS_{variable}"] = str(tmp_path)

    def run(*words: str) -> str:
        with (tmp_path / "said").open("w+") as said:  # daemons keep a pipe open
            code = subprocess.run(words, env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL,
                                  check=False, timeout=90).returncode  # fmt: skip
            said.seek(0)
            text = said.read()
        assert code == 0, text
        return text

    try:
        started = run(str(OVS_CTL), "start", "--system-id=random", "--no-monitor")
        assert "Starting ovs-vswitchd" in started
        assert "|INFO|" not in started
        assert "ovs-vswitchd is running with pid" in run(str(OVS_CTL), "status")
        assert run("ovs-vsctl", "get", "open_vswitch", ".", "ovs_version").strip() == '"3.1.0"'
        assert run("ovs-appctl", "version").startswith("ovs-vswitchd (Open vSwitch) 3.1.0\nvswitch ")
        run("ovs-vsctl", "-t", "20", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
            "--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy")  # fmt: skip
        run("ovs-ofctl", "-O", "OpenFlow13", "add-group", "br0", "group_id=5,type=all,bucket=output:1")
        run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0", "table=3,priority=7,ip,actions=group:5")
        run(str(OVS_CTL), "restart", "--system-id=random", "--no-monitor", "--save-flows=yes")
        assert "ovs-vswitchd is running with pid" in run(str(OVS_CTL), "status")
        flows = run("ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", "br0")
        assert "table=3, priority=7,ip actions=group:5" in flows
        assert "priority=0 actions=NORMAL" in flows
    finally:
        run(str(OVS_CTL), "stop")
    assert not (tmp_path / "ovs-vswitchd.pid").exists()
