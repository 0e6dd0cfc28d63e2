"""BFD, CFM and LLDP over a cable with implementations that others wrote, set up through the database."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack import OURS, REAL, Stack, until
from tests.whole import datapaths

pytestmark = [pytest.mark.system]


class Pair:
    """Our switch and another with one cable between them: device `p` at our end, `q` at the other."""

    def __init__(self, directory: Path, datapath: str) -> None:
        (directory / "a").mkdir()
        self.datapath = datapath
        self.ours = Stack(directory / "a", OURS)
        self.other: Stack | None = None
        self.directory = directory

    def start_real(self) -> Stack:
        (self.directory / "b").mkdir()
        self.other = Stack(self.directory / "b", REAL)
        self.other.start()
        self.ours.run("ip", "link", "add", "p", "type", "veth", "peer", "name", "q", "netns", self.other.name)
        for stack, device, datapath in ((self.ours, "p", self.datapath), (self.other, "q", "netdev")):
            stack.run("ip", "link", "set", device, "up")
            stack.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", f"datapath_type={datapath}",
                      "--", "add-port", "br0", device)  # fmt: skip
        return self.other

    def close(self) -> None:
        if self.other is not None:
            self.other.close()
        self.ours.close()


@pytest.fixture(params=datapaths())
def pair(
    tmp_path: Path, require: Callable[..., None], request: pytest.FixtureRequest
) -> Iterator[Pair]:
    require("root", "netns", "packet-socket", "command:ovs-vswitchd", "command:ovs-vsctl",
            *["ebpf"] * (request.param == "ebpf"))  # fmt: skip
    pair = Pair(tmp_path, request.param)
    try:
        pair.ours.start()
        yield pair
    finally:
        pair.close()


def column(stack: Stack, device: str, name: str) -> str:
    return stack.run("ovs-vsctl", "get", "interface", device, name).strip()


def show(stack: Stack, command: str, device: str) -> str:
    """The command's text without what no two runs have in common."""
    text = stack.run("ovs-appctl", "-t", "ovs-vswitchd", command, device)
    text = re.sub(r"(Discriminator|Detect Time|Next TX Time|Last TX Time|next [\w ]*): .*", r"\1: X", text)
    return re.sub(r"health: \d+", "health: H", text)


def test_bfd_comes_up_fails_and_recovers_with_open_vswitch(pair: Pair) -> None:
    real = pair.start_real()
    for stack, device in ((pair.ours, "p"), (real, "q")):
        stack.run("ovs-vsctl", "set", "interface", device, "bfd:enable=true", "bfd:min_tx=200",
                  "bfd:min_rx=300", "bfd:mult=5")  # fmt: skip

    def both_up() -> bool:
        return all("state=up" in column(s, d, "bfd_status").replace("remote_state", "")
                   for s, d in ((pair.ours, "p"), (real, "q")))  # fmt: skip

    until("both sessions up", both_up)
    until("no poll under way", lambda: "Flags: none" in show(pair.ours, "bfd/show", "p"))
    ours, theirs = show(pair.ours, "bfd/show", "p"), show(real, "bfd/show", "q")
    assert ours == theirs
    assert column(pair.ours, "p", "bfd_status") == column(real, "q", "bfd_status")

    pair.ours.run("ovs-vsctl", "set", "interface", "p", "bfd:cpath_down=true")
    until("the real one hears of the path", lambda: 'forwarding="false"' in column(real, "q", "bfd_status"))
    assert 'remote_diagnostic="Concatenated Path Down"' in column(real, "q", "bfd_status")
    pair.ours.run("ovs-vsctl", "remove", "interface", "p", "bfd", "cpath_down")
    until("the path is up again", lambda: 'forwarding="true"' in column(real, "q", "bfd_status"))

    real.run("ovs-vsctl", "set", "interface", "q", "bfd:min_rx=600")
    until("the new interval holds", lambda: "TX Interval: Approx 600ms" in show(pair.ours, "bfd/show", "p"))

    real.run("ovs-vsctl", "set", "interface", "q", "bfd:enable=false")
    until("our session down", lambda: "forwarding=\"false\"" in column(pair.ours, "p", "bfd_status"))
    status = column(pair.ours, "p", "bfd_status")
    assert 'diagnostic="Control Detection Time Expired"' in status
    assert "state=down" in status
    assert "live" not in pair.ours.run("ovs-ofctl", "-OOpenFlow15", "dump-ports-desc", "br0", "p").lower()
    real.run("ovs-vsctl", "set", "interface", "q", "bfd:enable=true")
    until("both sessions up again", both_up)
    pair.ours.run("ovs-vsctl", "clear", "interface", "p", "bfd")
    until("no status without BFD", lambda: column(pair.ours, "p", "bfd_status") == "{}")


@pytest.mark.parametrize("extended", ["false", "true"])
def test_cfm_comes_up_fails_and_recovers_with_open_vswitch(pair: Pair, extended: str) -> None:
    real = pair.start_real()
    interval = "700" if extended == "true" else "1000"
    for stack, device, mpid in ((pair.ours, "p", 10), (real, "q", 11)):
        stack.run(
            "ovs-vsctl", "set", "interface", device, f"cfm_mpid={mpid}",
            f"other_config:cfm_interval={interval}", f"other_config:cfm_extended={extended}",
        )  # fmt: skip
    until("no fault at our end", lambda: column(pair.ours, "p", "cfm_fault") == "false")
    until("no fault at theirs", lambda: column(real, "q", "cfm_fault") == "false")
    until("remote points", lambda: column(pair.ours, "p", "cfm_remote_mpids") == "[11]")
    until("remote points", lambda: column(real, "q", "cfm_remote_mpids") == "[10]")
    changes = (r"health: .*|since check: .*|---- . ----", "")
    ours = re.sub(*changes, show(pair.ours, "cfm/show", "p"))
    theirs = re.sub(*changes, show(real, "cfm/show", "q"))
    swapped = {"MPID 10": "MPID 11", "MPID 11": "MPID 10"}
    assert re.sub("MPID 1[01]", lambda m: swapped[m[0]], ours) == theirs
    for name in ("cfm_fault_status", "cfm_remote_opstate"):
        assert column(pair.ours, "p", name) == column(real, "q", name), name
    if extended == "true":
        pair.ours.run("ovs-vsctl", "set", "interface", "p", "other_config:cfm_opstate=down")
        until("we say that we are down", lambda: column(real, "q", "cfm_remote_opstate") == "down")
    real.run("ovs-vsctl", "clear", "interface", "q", "cfm_mpid")
    until("our fault", lambda: column(pair.ours, "p", "cfm_fault_status") == "[recv]")
    assert column(pair.ours, "p", "cfm_remote_mpids") == "[]"


def test_lldp_and_auto_attach_are_as_the_real_ones(pair: Pair) -> None:
    real = pair.start_real()
    for stack, device in ((pair.ours, "p"), (real, "q")):
        stack.run("ovs-vsctl", "add-aa-mapping", "br0", "1000", "20")
        stack.run("ovs-vsctl", "set", "interface", device, "lldp:enable=true")

    def texts(stack: Stack, command: str, device: str) -> str:
        return stack.run("ovs-appctl", "-t", "ovs-vswitchd", command).replace(f": {device}\n", ": X\n")

    for stack in (pair.ours, real):
        until("a neighbour", lambda s=stack: "insert cnt: 1" in texts(s, "autoattach/statistics", ""))  # type: ignore[misc]
    status = r"((?:[0-9a-f]{2}:){5}[0-9a-f]{2}|Descr: .*)"
    ours = re.sub(status, "M", texts(pair.ours, "autoattach/status", "p"))
    assert ours == re.sub(status, "M", texts(real, "autoattach/status", "q"))
    assert "Primary Server Id: M" in ours
    assert texts(pair.ours, "autoattach/show-isid", "p") == texts(real, "autoattach/show-isid", "q")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory for daemons that are users of their own, who may not look into the test's."""
    path = Path(tempfile.mkdtemp(prefix="peer"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_lldpd_sees_the_switch_and_the_switch_sees_lldpd(
    pair: Pair, open_directory: Path, require: Callable[..., None]
) -> None:
    require("command:lldpd", "command:lldpcli")
    host = pair.ours.host(1)
    pair.ours.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
                  "--", "add-port", "br0", "h1", "--", "set", "interface", "h1", "lldp:enable=true",
                  "--", "--id=@a", "create", "AutoAttach", "system_name=edge7", "--", "set", "bridge", "br0",
                  "auto_attach=@a")  # fmt: skip
    socket = open_directory / "lldpd.socket"
    lldpd = subprocess.Popen(
        ["ip", "netns", "exec", host, "lldpd", "-d", "-u", str(socket), "-I", "eth0", "-C", "eth0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until("its socket", socket.exists)
        subprocess.run(["lldpcli", "-u", str(socket), "resume"], check=True, stdout=subprocess.DEVNULL)

        def neighbours() -> str:
            ask = ["lldpcli", "-u", str(socket), "-f", "json", "show", "neighbors"]
            return subprocess.run(ask, capture_output=True, text=True, check=False).stdout

        until("lldpd knows us", lambda: "edge7" in neighbours())
        found = json.dumps(json.loads(neighbours()))
        assert '"h1"' in found
        assert '"Bridge"' in found
        statistics = ("ovs-appctl", "-t", "ovs-vswitchd", "autoattach/statistics")
        until("we know lldpd", lambda: "insert cnt: 1" in pair.ours.run(*statistics), 40)
        assert "rx discarded cnt: 0" in pair.ours.run(*statistics)
    finally:
        lldpd.terminate()
        lldpd.wait(10)


BFDD = "/usr/lib/frr/bfdd"
ZEBRA = "/usr/lib/frr/zebra"


def test_frrs_bfdd_keeps_a_session_with_us(
    pair: Pair, open_directory: Path, require: Callable[..., None]
) -> None:
    require(f"command:{BFDD}", f"command:{ZEBRA}", "command:vtysh")
    host = pair.ours.host(1)
    ours = "02:00:00:00:00:99"
    pair.ours.run(
        "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
        "--", "add-port", "br0", "h1", "--", "set", "interface", "h1", "bfd:enable=true",
        "bfd:bfd_src_ip=10.0.0.9", "bfd:bfd_dst_ip=10.0.0.1", "bfd:min_tx=300", "bfd:min_rx=300",
        "bfd:bfd_local_dst_mac=02:00:00:00:00:01", f"bfd:bfd_local_src_mac={ours}",
    )  # fmt: skip
    for words in ("link set lo up", f"neigh replace 10.0.0.9 lladdr {ours} dev eth0"):
        subprocess.run(["ip", "-n", host, *words.split()], check=True)
    run = open_directory
    (run / "zebra.conf").touch()
    (run / "bfdd.conf").write_text(
        "bfd\n peer 10.0.0.9 interface eth0\n  transmit-interval 300\n  receive-interval 300\n  no shutdown\n"
    )
    for path in (run, *run.iterdir()):
        shutil.chown(path, "frr", "frr")
    processes = []
    try:
        for daemon in (ZEBRA, BFDD):
            name = Path(daemon).name
            command = [
                "ip", "netns", "exec", host, daemon, "-f", f"{run}/{name}.conf", "-i", f"{run}/{name}.pid",
                "-z", f"{run}/zserv.api", "--vty_socket", str(run),
            ]  # fmt: skip
            if name == "bfdd":
                command += ["--bfdctl", f"{run}/bfdd.sock"]
            out = (run / f"{name}.out").open("wb")
            processes.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT))
            until(f"{name}'s socket", (run / f"{name}.vty").exists)

        def peer() -> str:
            ask = ["vtysh", "--vty_socket", str(run), "-d", "bfdd", "-c", "show bfd peers json"]
            return subprocess.run(ask, capture_output=True, text=True, check=False).stdout

        until("FRR's session up", lambda: '"status":"up"' in peer().replace(" ", ""), 30)
        until("ours up", lambda: 'forwarding="true"' in column(pair.ours, "h1", "bfd_status"))
        assert "remote_state=up" in column(pair.ours, "h1", "bfd_status")
        processes[1].kill()
        processes[1].wait()
        until("ours down", lambda: 'forwarding="false"' in column(pair.ours, "h1", "bfd_status"))
    finally:
        for process in processes:
            process.kill()
            process.wait()
