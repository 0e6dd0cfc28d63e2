"""NetFlow, sFlow and IPFIX of real traffic: the same from every datapath and from the real switch, as
collectors that others wrote read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.monitor.live import FLOWS, SENT, WANTED, exported
from tests.stack import OURS, REAL, Stack, until
from tests.whole import ALL

pytestmark = pytest.mark.system
NEEDED = ("root", "netns", "tun", "command:nfacctd", "command:sfacctd", "command:ovsdb-server")
DISSECT = ("-o", "cflow.max_template_fields:100")
WRONG = re.compile(r"(?i)malformed|undecoded|not dissected|no template found|expert info \(error")


@pytest.mark.parametrize(
    ("vswitchd", "datapath_type"), [(REAL, "netdev"), (OURS, "netdev"), (OURS, "ebpf")],
    ids=["real", "userspace", "ebpf"],
)  # fmt: skip
def test_collectors_read_the_traffic_that_was_sent(
    require: Callable[..., None], tmp_path: Path, vswitchd: Sequence[str], datapath_type: str
) -> None:
    require(*NEEDED, "command:ovs-vswitchd", "command:tshark", "command:tcpdump",
            *["ebpf"] * (datapath_type == "ebpf"))  # fmt: skip
    stack = Stack(tmp_path, vswitchd)
    capture = tmp_path / "exports.pcap"

    def watch() -> None:
        stack.spawn("tcpdump", "-i", "lo", "-U", "-w", str(capture), "udp")
        until("tcpdump listens", capture.exists)

    try:
        found = exported(stack, datapath_type, before_export=watch)
        said = stack.run("tshark", "-r", str(capture), "-V", *DISSECT)
    finally:
        stack.close()
    wanted = dict(WANTED)
    if vswitchd is REAL:
        # It forgets what it has not exported yet when NetFlow is turned off.
        wanted["netflow"] = found["netflow"]
    assert found == wanted
    assert [line for line in said.splitlines() if WRONG.search(line)] == []
    packets = sum(n for n, _ in SENT.values())
    assert len(re.findall("Flow sample, seq", said)) >= packets
    assert len(re.findall(r"Flow 1\b", said)) >= packets, "records of IPFIX and NetFlow"


@pytest.mark.parametrize("datapath_type", ["netdev", "ebpf"] if ALL else ["netdev"])
def test_one_packet_of_ten_stands_for_ten(
    require: Callable[..., None], tmp_path: Path, datapath_type: str
) -> None:
    require(*NEEDED, *["ebpf"] * (datapath_type == "ebpf"))
    stack = Stack(tmp_path)
    try:
        found = exported(stack, datapath_type, sampling=10, repeat=20)
    finally:
        stack.close()
    assert found["netflow"] == {key: (n * 20, size * 20) for key, (n, size) in WANTED["netflow"].items()}
    sent = 20 * sum(n for _, port, n, _ in FLOWS if port != 2003)
    for name, out in (("sflow", 2), ("ipfix", 0), ("ipfix", 2)):
        told = sum(n for key, (n, _) in found[name].items() if key[1] == out and key[3] != 2003)
        # Six standard deviations of that many throws with a chance of one in ten, ten for each.
        assert abs(told - sent) < 6 * 10 * (sent * 0.1 * 0.9) ** 0.5, (name, out, found)
