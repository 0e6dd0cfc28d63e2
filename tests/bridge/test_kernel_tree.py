"""STP with the kernel's bridge: two cables between it and ours are one too many."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stack import Stack, until
from tests.whole import datapaths

pytestmark = [pytest.mark.system, pytest.mark.slow]


def kernel_states(stack: Stack, bridge: str) -> list[str]:
    """The states of the kernel's ports, by name."""
    shown = stack.run("bridge", "link", "show").splitlines()
    return [line.split("state ")[1].split()[0] for line in sorted(shown) if f"master {bridge}" in line]


def tx_packets(stack: Stack, device: str) -> int:
    return int(stack.run("cat", f"/sys/class/net/{device}/statistics/tx_packets"))


ROOTS = ["kernel", "ours"] if os.environ.get("VSWITCH_TEST_ALL") else ["kernel"]


@pytest.mark.parametrize("datapath", datapaths())
@pytest.mark.parametrize("root", ROOTS)
def test_a_ring_with_the_kernels_bridge_has_no_loop(
    require: Callable[..., None], tmp_path: Path, root: str, datapath: str
) -> None:
    require("root", "command:ip", "command:bridge", "command:ovsdb-server", "command:ovs-vsctl",
            *["ebpf"] * (datapath == "ebpf"))  # fmt: skip
    stack = Stack(tmp_path)
    try:
        stack.start()
        for n in (1, 2):
            stack.run("ip", "link", "add", f"o{n}", "type", "veth", "peer", "name", f"k{n}")
        stack.run(
            "ip",
            "link",
            "add",
            "kbr",
            "type",
            "bridge",
            "stp_state",
            "1",
            "forward_delay",
            "400",
            "hello_time",
            "100",
            "max_age",
            "600",
            "priority",
            "4096" if root == "kernel" else "32768",
        )
        for n in (1, 2):
            stack.run("ip", "link", "set", f"k{n}", "master", "kbr")
            stack.run("ip", "link", "set", f"k{n}", "up")
            stack.run("ip", "link", "set", f"o{n}", "up")
        stack.run("ip", "link", "set", "kbr", "up")
        stack.run(
            "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", f"datapath_type={datapath}",
            "stp_enable=true", f"other_config:stp-priority={'8192' if root == 'ours' else '40000'}",
            "other_config:stp-hello-time=1",
            "other_config:stp-max-age=6", "other_config:stp-forward-delay=4",
            "--", "add-port", "br0", "o1", "--", "add-port", "br0", "o2",
        )  # fmt: skip

        def settled() -> bool:
            shown = stack.run("ovs-appctl", "stp/show", "br0")
            ours = sorted(line.split()[2] for line in shown.splitlines() if line.startswith("  o"))
            if root == "ours":
                return ours == ["forwarding"] * 2 and sorted(kernel_states(stack, "kbr")) == [
                    "blocking",
                    "forwarding",
                ]
            return ours == ["blocking", "forwarding"] and kernel_states(stack, "kbr") == ["forwarding"] * 2

        until("one blocked port", settled, 30)
        assert ("This bridge is the root" in stack.run("ovs-appctl", "stp/show", "br0")) == (root == "ours")
        before = [tx_packets(stack, d) for d in ("o1", "o2", "k1", "k2")]
        stack.ask("ping", "-b", "-c", "3", "-i", "0.2", "-I", "kbr", "255.255.255.255")
        time.sleep(0.5)
        sent = [tx_packets(stack, d) - b for d, b in zip(("o1", "o2", "k1", "k2"), before, strict=True)]
        assert max(sent) < 60, f"a storm: {sent}"
        blocked = kernel_states(stack, "kbr")
        gone = "o1" if root == "ours" and blocked[0] == "forwarding" else "o2"
        if root == "kernel":
            line = next(
                x for x in stack.run("ovs-appctl", "stp/show", "br0").splitlines() if "forwarding" in x
            )
            gone = line.split()[0]
        stack.run("ip", "link", "set", gone, "down")
        other = "k2" if gone == "o1" else "k1"

        def healed() -> bool:
            shown = stack.run("ovs-appctl", "stp/show", "br0")
            forwards = [x.split()[0] for x in shown.splitlines() if x.startswith("  o") and "forwarding" in x]
            lines = stack.run("bridge", "link", "show", "dev", other)
            return forwards == [f"o{other[1]}"] and "state forwarding" in lines

        until("the other cable forwards", healed, 30)
    finally:
        stack.close()
