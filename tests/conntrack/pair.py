"""The real switch and ours with one bridge of dummy ports each, and what comes out of them.

Both get the same flows, packets and passing of time; `RealTracker` and `OurTracker` answer in the same
form: packets as (port, bytes), connections as sorted lines of `dpctl/dump-conntrack`.
"""

from __future__ import annotations

import re
import struct
import time
from pathlib import Path
from typing import Protocol

from tests.oracle.ours import OurSwitch
from tests.oracle.real import OracleError, RealSwitch
from tests.oracle.setup import Bridge, Port, Setup
from vswitch.netdev.dummy import find
from vswitch.ofproto.request import request
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.wire.version import OFP10

PORTS = ("p1", "p2", "p3")
PCAP_HEADER, PCAP_RECORD = 24, 16
_COUNTS = re.compile(r"table=(\d+), n_packets=(\d+), n_bytes=(\d+)")


class Tracker(Protocol):
    """What both can do."""

    def flows(self, text: str) -> None:
        """Make these the only flows, and forget all connections."""

    def send(self, port: int, packet: bytes) -> list[tuple[int, bytes]]:
        """Let a packet in by a port: what comes out, by port."""

    def warp(self, ms: int) -> None:
        """Let time pass."""

    def command(self, command: str, *args: str) -> str:
        """A runtime command's answer, or the error that it gives."""


def connections(tracker: Tracker, *options: str) -> list[str]:
    """The lines of `dpctl/dump-conntrack`, sorted."""
    return sorted(tracker.command("dpctl/dump-conntrack", *options).split("\n"))


class RealTracker:
    """Bridge br0 of a running real switch. `close` takes it away."""

    def __init__(self, switch: RealSwitch) -> None:
        self.switch = switch
        self.files = [switch.directory / f"{port}.pcap" for port in PORTS]
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure"]
        for number, (port, file) in enumerate(zip(PORTS, self.files, strict=True), 1):
            words += ["--", "add-port", "br0", port, "--", "set", "interface", port, "type=dummy"]
            words += [f"ofport_request={number}", f"options:tx_pcap={file}"]
        switch.run("ovs-vsctl", *words)
        switch.appctl("time/stop")
        self.read = [PCAP_HEADER] * len(PORTS)

    def flows(self, text: str) -> None:
        self.switch.run("ovs-ofctl", "del-flows", "br0")
        # Before the new flows come: packets that aren't credited yet would be translated again by them.
        self.command("revalidator/purge")
        self.switch.run("ovs-ofctl", "add-flows", "br0", "-", stdin=text)
        self.command("dpctl/flush-conntrack")
        # What came out late, when nobody waited for it any more.
        self.sent()

    def send(self, port: int, packet: bytes, expected: int = 0) -> list[tuple[int, bytes]]:
        """Waits up to half a second until `expected` packets have come out."""
        self.switch.appctl("netdev-dummy/receive", PORTS[port - 1], packet.hex())
        # By the time that it answers, the main loop has been round.
        self.switch.appctl("version")
        found = self.sent()
        end = time.monotonic() + 0.5
        while len(found) < expected and time.monotonic() < end:
            self.switch.appctl("version")
            found += self.sent()
        return found

    def sent(self) -> list[tuple[int, bytes]]:
        """What was written to the ports' files since the last time."""
        found: list[tuple[int, bytes]] = []
        for n, file in enumerate(self.files):
            with Path(file).open("rb") as f:
                f.seek(self.read[n])
                data = f.read()
            at = 0
            while at + PCAP_RECORD <= len(data):
                size = struct.unpack_from("=IIII", data, at)[2]
                if at + PCAP_RECORD + size > len(data):
                    break
                found.append((n + 1, data[at + PCAP_RECORD : at + PCAP_RECORD + size]))
                at += PCAP_RECORD + size
            self.read[n] += at
        return found

    def warp(self, ms: int) -> None:
        self.switch.appctl("time/warp", str(ms))

    def command(self, command: str, *args: str) -> str:
        try:
            return self.switch.appctl(command, *args)
        except OracleError as e:
            return f"error: {e}"

    def counters(self) -> list[str]:
        """What the flows of each table have counted, sorted."""
        self.command("revalidator/purge")
        lines = self.switch.run("ovs-ofctl", "dump-flows", "br0").splitlines()
        found = [match for line in lines if (match := _COUNTS.search(line))]
        return sorted(f"table={match[1]} {match[2]} {match[3]}" for match in found)

    def close(self) -> None:
        self.switch.close()


class OurTracker:
    """The same over our userspace datapath in this process."""

    def __init__(self) -> None:
        self.last: dict[int, bytes] = {}
        """What came out last, by port."""
        self.switch = OurSwitch()
        self.switch.configure(Setup("ct", [Bridge("br0", ports=[Port(name) for name in PORTS])]))

    def flows(self, text: str) -> None:
        switch = self.switch
        ofproto = switch.ofprotos.all_ofproto_dpifs["br0"]
        request(ofproto, [FlowMod(command=FlowModCommand.DELETE)], OFP10, switch.clock.now())
        switch.set_flows("br0", [line for line in text.splitlines() if line], "OpenFlow10")
        self.command("dpctl/flush-conntrack")
        switch._run()

    def send(self, port: int, packet: bytes) -> list[tuple[int, bytes]]:
        switch = self.switch
        find(PORTS[port - 1], switch.scope).inject(packet)
        switch._run()
        found = [
            (n, data) for n, name in enumerate(PORTS, 1)
            for data in find(name, switch.scope).transmitted()
        ]  # fmt: skip
        self.last = dict(found)
        return found

    def warp(self, ms: int) -> None:
        self.switch.clock.warp(ms)
        self.switch._run()

    def command(self, command: str, *args: str) -> str:
        try:
            return self.switch.appctl(command, *args)
        except OracleError as e:
            return f"error: {e}"

    def counters(self) -> list[str]:
        """What the flows of each table have counted, sorted."""
        ofproto = self.switch.ofprotos.all_ofproto_dpifs["br0"]
        ofproto.push_stats()
        rules = [rule for table in ofproto.tables for rule in table if not rule.hidden]
        return sorted(f"table={rule.table_id} {rule.n_packets} {rule.n_bytes}" for rule in rules)

    def close(self) -> None:
        self.switch.close()
