"""A switch on dummy devices whose flow export goes to a socket of the test's own or to a collector."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.oracle.real import RealSwitch
from tests.stack import until


def set_up(switch: RealSwitch, configuration: Sequence[str], flows: Sequence[str]) -> None:
    """Bridge sw with ports e1 to e3, whose interface indexes are 1001 to 1003; time stands still."""
    ports = [word for n in (1, 2, 3) for word in
             f"-- add-port sw e{n} -- set interface e{n} type=dummy ofport_request={n} "
             f"options:ifindex={1000 + n}".split()]  # fmt: skip
    switch.run("ovs-vsctl", "add-br", "sw", "--", "set", "bridge", "sw", "datapath_type=dummy",
               "fail_mode=secure", *ports)  # fmt: skip
    switch.appctl("time/stop")
    switch.run("ovs-vsctl", "--", *configuration)
    switch.set_flows("sw", list(flows), "OpenFlow10")


def send(switch: RealSwitch, packets: Sequence[tuple[str, str]]) -> None:
    """(port, flow or hexadecimal) each, 20 ms apart."""
    for port, packet in packets:
        switch.appctl("netdev-dummy/receive", port, packet)
        switch.appctl("time/warp", "20", "10")


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """A UDP socket and its address as a target."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(0.2)
        yield collector, f"127.0.0.1:{collector.getsockname()[1]}"


def collect(switch: RealSwitch, collector: socket.socket, enough: Callable[[list[bytes]], bool],
            seconds: float = 15.0) -> list[bytes]:
    """Let time pass, a second at a time, until `enough` was received."""
    datagrams: list[bytes] = []
    end = time.monotonic() + seconds
    while not enough(datagrams):
        assert time.monotonic() < end, f"only {len(datagrams)} datagrams"
        switch.appctl("time/warp", "1000", "100")
        with contextlib.suppress(TimeoutError):
            while True:
                datagrams.append(collector.recv(9000))
    return datagrams


@contextlib.contextmanager
def capturing(program: str, directory: Path) -> Iterator[str]:
    """A collector of nfdump's that writes to `directory`; its address as a target."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory.mkdir()
    collector = subprocess.Popen(
        [program, "-b", "127.0.0.1", "-p", str(port), "-w", str(directory), "-t", "3600"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until("the collector listens", lambda: f":{port:04X} " in Path("/proc/net/udp").read_text())
        yield f"127.0.0.1:{port}"
        time.sleep(0.5)
    finally:
        collector.terminate()
        collector.wait(10)


def captured(directory: Path, form: str) -> list[list[str]]:
    """What a collector of nfdump's wrote: the fields of `form` of each flow."""
    (written,) = directory.glob("nfcapd.2*")
    command = ["nfdump", "-r", str(written), "-q", "-N", "-6", "-o", f"fmt:{form}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [[word.strip() for word in line.split(",")] for line in said.splitlines() if "," in line]
