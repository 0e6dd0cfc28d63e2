"""Forwarding of small UDP packets while samples are exported: at least 20,000 a second by sFlow, to a
collector that listens and to one that nobody is."""

from __future__ import annotations

import socket
import struct
import tempfile
import threading
from pathlib import Path
from typing import Final, final

from bench.report import Row
from bench.stack import OURS, PEER, Stack
from bench.topology import Host, hosts
from bench.traffic import ping, udp

SAMPLES_A_SECOND: Final = 20_000
SECONDS: Final = 4.0


@final
class Collector:
    """Counts the samples of the sFlow datagrams that come to `address` (sFlow version 5, section 5)."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.samples = 0
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended:
            try:
                datagram = self._socket.recv(65536)
            except TimeoutError:
                continue
            self.samples += int(struct.unpack_from("!I", datagram, 24)[0])

    def close(self) -> None:
        """Count no more."""
        self._ended = True
        self._thread.join()
        self._socket.close()


def _sflow(stack: Stack, target: str, sampling: int) -> None:
    stack.vsctl("--", "set", "bridge", "br0", "sflow=@s", "--", "--id=@s", "create", "sFlow",
                f'targets="{target}"', f"sampling={sampling}", "agent=127.0.0.1", "polling=0")


def measure(kind: str, a: Host, b: Host) -> dict[str, float]:
    """Packets a second without samples, with them, with a collector that is not there; samples a second."""
    with tempfile.TemporaryDirectory(prefix="vswitch-bench-") as directory:
        stack = Stack(kind, Path(directory), dummy=False)
        try:
            stack.start()
            stack.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
                        "--", "add-port", "br0", a.port, "--", "add-port", "br0", b.port)
            ping(a, b, 20)
            values = {"plain": udp(a, b, SECONDS)[0]}
            sampling = max(1, int(values["plain"] / SAMPLES_A_SECOND))
            collector = Collector()
            _sflow(stack, collector.address, sampling)
            ping(a, b, 20)
            values["sampled"] = udp(a, b, SECONDS)[0]
            # At least as many samples a second as were meant, at the rate that is left with them.
            sampling = max(1, int(values["sampled"] / SAMPLES_A_SECOND))
            _sflow(stack, collector.address, sampling)
            ping(a, b, 20)
            before = collector.samples
            values["sampled"] = udp(a, b, SECONDS)[0]
            # The sender runs a second before it is measured.
            values["samples"] = (collector.samples - before) / (SECONDS + 1)
            collector.close()
            _sflow(stack, collector.address, sampling)
            ping(a, b, 20)
            values["unheard"] = udp(a, b, SECONDS)[0]
            stack.vsctl("del-br", "br0")
            return values
        finally:
            stack.close()


def bench() -> list[Row]:
    """Rows for the userspace datapath beside the peer's."""
    with hosts(prefix="vsx") as (a, b):
        peer = measure(PEER, a, b)
        ours = measure(OURS, a, b)
    told = f"{ours['samples']:,.0f} and {peer['samples']:,.0f} samples/s arrive"
    return [
        Row("UDP, no samples", "packets/s", ours["plain"], peer["plain"]),
        Row("UDP, sFlow", "packets/s", ours["sampled"], peer["sampled"], goal=">= 1", note=told),
        Row("UDP, sFlow to a collector that is not there", "packets/s", ours["unheard"], peer["unheard"],
            goal=">= 1"),
        Row("what is left of the rate with sFlow", "part", ours["sampled"] / ours["plain"],
            peer["sampled"] / peer["plain"]),
    ]
