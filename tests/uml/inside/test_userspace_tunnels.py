"""The userspace datapath's tunnels with devices of this kernel that the host's has not: GTP."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.tunnels.test_traffic import Make, check_traffic, datapath, hosts, ours

__all__ = ["datapath", "hosts"]


@pytest.mark.parametrize("underlay", [True, False])
def test_with_the_kernels_gtp_device(hosts: Make, tmp_path: Path, underlay: bool) -> None:
    subprocess.run(["modprobe", "-a", "gtp", "ipv6"], check=True)
    pair = hosts("gtpu", ours(tmp_path / "ours"), None, 4, "", underlay)
    check_traffic(pair)
    side = pair[0].side
    assert side is not None
    flows = side.appctl("dpctl/dump-flows")
    assert ("tnl_pop(" in flows and "tnl_push(" in flows) == underlay
    side.wait(lambda: int(side.get("interface", "t0", "statistics:rx_packets")) > 50, "the tunnel's counters")
