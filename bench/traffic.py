"""TCP, small UDP packets and ping between two hosts, through the userspace datapath.

The peer gets each measurement right before or after ours, on the same veth pairs. Its TCP
needs `ethtool -K eth0 tx off` to work at all over AF_PACKET; ours runs with offloads on.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import Row
from bench.topology import Host, Running, cpu_seconds, hosts, our_switch, peer_switch, run, stop, stop_group

PAYLOAD = 64


def tcp(client: Host, server: Host, seconds: float) -> float:
    """Gbit/s of one iperf3 stream; 0 when the connection never works."""
    listener = subprocess.Popen(server.command("iperf3", "-s", "-1"), stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.4)
        out = run(*client.command("iperf3", "-J", "-c", server.address, "-t", str(seconds)),
                  check=False, timeout=seconds + 30)
        end = json.loads(out).get("end", {})
        return float(end.get("sum_received", {}).get("bits_per_second", 0)) / 1e9
    finally:
        stop(listener)


def udp(client: Host, server: Host, seconds: float) -> tuple[float, float]:
    """(delivered, offered) packets/s of 64-byte payloads sent as fast as one trafgen can."""
    octets = ",".join(f"0x{part}" for part in f"{server.mac}:{client.mac}".split(":"))
    with TemporaryDirectory() as scratch:
        packet = Path(scratch, "udp.cfg")
        packet.write_text(
            "{ " + octets + ", c16(0x0800),\n"
            f"  0x45, 0, c16({28 + PAYLOAD}), c16(1), c16(0x4000), 64, 17, csumip(14, 33),\n"
            f"  {client.address.replace('.', ',')}, {server.address.replace('.', ',')},\n"
            f"  c16(4001), c16(4002), c16({8 + PAYLOAD}), c16(0), fill(0x55, {PAYLOAD}) " + "}\n")
        sent_before = int(run(*client.command("cat", "/sys/class/net/eth0/statistics/tx_packets")))
        sender = subprocess.Popen(
            client.command("trafgen", "--cpp", "-i", str(packet), "-o", "eth0", "-P", "1", "-q"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(1)
            begin, received = time.monotonic(), server.received_packets()
            sent_start = int(run(*client.command("cat", "/sys/class/net/eth0/statistics/tx_packets")))
            time.sleep(seconds)
            duration = time.monotonic() - begin
            delivered = (server.received_packets() - received) / duration
            sent = int(run(*client.command("cat", "/sys/class/net/eth0/statistics/tx_packets")))
            if sent == sent_before:
                raise RuntimeError("trafgen sent nothing")
            return delivered, (sent - sent_start) / duration
        finally:
            stop_group(sender)


def ping(client: Host, server: Host, count: int = 200, patience: float = 10) -> float:
    """Median round trip in ms. Before that, ports may need up to `patience` s to come up."""
    end = time.monotonic() + patience
    while " 0% packet loss" not in run(
        *client.command("ping", "-c", "1", "-W", "0.2", server.address), check=False
    ):
        if time.monotonic() > end:
            raise RuntimeError(f"{server.address} answers no ping within {patience:.0f} s")
    out = run(*client.command("ping", "-c", str(count), "-i", "0.01", server.address), check=False)
    times = [float(t) for t in re.findall(r"time=([\d.]+)", out)]
    if not times:
        raise RuntimeError(f"no ping came back:\n{out}")
    return statistics.median(times)


def measure(switch: AbstractContextManager[Running], a: Host, b: Host, seconds: float,
            offloads: bool) -> dict[str, float]:
    """All quantities for one switch."""
    with switch as running:
        for host in (a, b):
            run(*host.command("ethtool", "-K", "eth0", "tx", "on" if offloads else "off"))
        ping(a, b, 20)
        values = {"ping": ping(a, b)}
        values["tcp"] = tcp(a, b, seconds)
        before = cpu_seconds(running.pid)
        values["udp"], values["offered"] = udp(a, b, seconds)
        values["cpu"] = cpu_seconds(running.pid) - before
        return values


def bench(seconds: float = 5) -> list[Row]:
    """Rows for the userspace datapath beside the peer's (AF_PACKET, datapath_type=netdev)."""
    with hosts() as (a, b):
        peer = measure(peer_switch([a.port, b.port]), a, b, seconds, offloads=False)
        ours = measure(our_switch([a.port, b.port]), a, b, seconds, offloads=True)
    return [
        Row("TCP, one stream", "Gbit/s", ours["tcp"], peer["tcp"], goal=">= 5, aim 8",
            note="peer with tx offload off, ours with it on"),
        Row(f"UDP, {PAYLOAD}-byte payload", "packets/s", ours["udp"], peer["udp"], goal=">= 1, aim 1.5",
            note=f"offered {ours['offered']:,.0f} and {peer['offered']:,.0f}"),
        Row("ping, median", "ms", ours["ping"], peer["ping"], better="lower", goal=">= 1"),
    ]
