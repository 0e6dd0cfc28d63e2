"""collectd's plug-ins for Open vSwitch follow `vswitch up` as they follow the real pair."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.pair import Real
from tests.cli.place import Place
from tests.stack import until

pytestmark = pytest.mark.system

CONFIG = """
Hostname "h"
FQDNLookup false
BaseDir "{home}"
PIDFile "{home}/collectd.pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
Interval 0.5
LoadPlugin logfile
LoadPlugin csv
LoadPlugin ovs_stats
LoadPlugin ovs_events
<Plugin logfile>
  File "{home}/collectd.log"
</Plugin>
<Plugin csv>
  DataDir "{home}/csv"
</Plugin>
<Plugin ovs_stats>
  Socket "{socket}"
  Bridges "br0"
</Plugin>
<Plugin ovs_events>
  Socket "{socket}"
  Interfaces "p1"
  SendNotification true
  DispatchValues true
</Plugin>
"""
PACKET = "in_port(1),eth(src=02:00:00:00:00:05,dst=02:00:00:00:00:07),eth_type(0x0800)"


@contextmanager
def collecting(home: Path, socket: Path) -> Iterator[None]:
    home.mkdir()
    config = home / "collectd.conf"
    config.write_text(CONFIG.format(home=home, socket=socket))
    with (home / "out").open("wb") as out:
        process = subprocess.Popen(["collectd", "-f", "-C", str(config)], stdout=out, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def collected(switch: Path, home: Path) -> tuple[set[str], str]:
    """Have two ports and some packets; the series, and the last row of p1's packets without its time."""

    def run(*words: str) -> str:
        return subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout

    environment = dict(os.environ, OVS_RUNDIR=str(switch))
    database = f"--db=unix:{switch}/db.sock"
    control = str(next(path for path in switch.glob("*vswitchd*.ctl")))
    run("ovs-vsctl", database, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
    run("ovs-vsctl", database, "set", "open_vswitch", ".", "other_config:stats-update-interval=1000")
    run("ovs-vsctl", database, "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy")
    with collecting(home, switch / "db.sock"):
        log = home / "collectd.log"
        until("it follows", lambda: log.exists() and "Connecting to OVS DB" in log.read_text())
        time.sleep(2)
        for _ in range(5):
            run("ovs-appctl", "-t", control, "netdev-dummy/receive", "p1", PACKET)
        run("ovs-vsctl", database, "add-port", "br0", "p2", "--", "set", "interface", "p2", "type=dummy")
        run("ovs-appctl", "-t", control, "netdev-dummy/set-admin-state", "p1", "down")

        def rows() -> list[str]:
            packets = list(home.glob("csv/h/ovs_stats-br0*p1*/if_packets*"))
            return packets[0].read_text().splitlines() if packets else []

        def told() -> bool:
            return 'state of "p1" interface has been changed to "DOWN"' in log.read_text()

        until("p1's packets are counted", lambda: rows() and rows()[-1].split(",")[1] == "5")
        until("p2 is seen", lambda: any(home.glob("csv/h/ovs_stats-br0*p2*")))
        until("p1 is seen to be down", told)
        last = rows()[-1].partition(",")[2]
    names = {str(path.relative_to(home)).rpartition("-20")[0] for path in home.glob("csv/*/*/*")}
    return names, last


@pytest.fixture
def real(require: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-vsctl", "command:collectd")
    side = Real(tmp_path_factory.mktemp("real"))
    side.start()
    try:
        yield side
    finally:
        side.close()


def test_the_same_series_and_events(place: Place, tmp_path: Path, real: Real) -> None:
    names, packets = collected(tmp_path, tmp_path / "collectd")
    assert packets == "5,0"
    assert (names, packets) == collected(real.directory, real.directory / "collectd")
