"""NetFlow, sFlow and IPFIX of traffic that the kernel forwards, as collectors that others wrote read it; and
what becomes of samples for psample on a kernel that has it, but no action of the datapath's to reach it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.monitor.live import WANTED, exported
from tests.stack import Stack, until
from vswitch.netlink.genl import lookup_family
from vswitch.ovsdb.vswitch_schema import VSWITCH


def test_collectors_read_the_traffic_that_was_sent(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    try:
        assert exported(stack, "system") == WANTED
        flows = stack.run("ovs-appctl", "-t", str(next(tmp_path.glob("ovs-vswitchd.*.ctl"))), "coverage/show")
        assert "sflow_flow_samples" in flows
    finally:
        stack.close()


def test_a_local_group_is_refused_aloud_before_linux_6_11(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The datapath is asked, and not the kernel's version or its family "psample"."""
    subprocess.run(["modprobe", "psample"], check=True)
    assert lookup_family("psample").id > 0
    schema = tmp_path / "our.ovsschema"
    schema.write_text(json.dumps(VSWITCH))
    monkeypatch.setattr("tests.stack.SCHEMA", str(schema))
    stack = Stack(tmp_path)
    try:
        stack.start()
        stack.run(sys.executable, "-m", "vswitch", "vsctl", "add-br", "br0",
                  "--", "set", "bridge", "br0", "datapath_type=system", "--", "--id=@b", "get", "bridge",
                  "br0", "--", "create", "Flow_Sample_Collector_Set", "id=7", "bridge=@b",
                  "local_group_id=9")  # fmt: skip
        said = "the datapath can't sample locally (no psample action); local_group_id of collector set 7 has"
        until("a warning", lambda: said in stack.log("vswitchd"))
        sample = "sample(probability=65535,collector_set_id=7)"
        stack.run("ovs-ofctl", "add-flow", "br0", f"actions={sample},LOCAL")
        traced = stack.run("ovs-appctl", "ofproto/trace", "br0", "in_port=1,udp")
        assert re.search(r"Datapath actions: \d+$", traced.strip()), traced
    finally:
        stack.close()
