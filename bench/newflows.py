"""New flows a second on the real kernel datapath, in user-mode Linux, for both daemons.

Every packet is a flow of its own: the flow table reads the UDP source port and the IPv4 source
address, so that no megaflow covers two packets, and the sender changes both from packet to
packet. What arrives per second is what the daemon set up or forwarded per second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import Row
from bench.topology import Host, Running, cpu_seconds, hosts, our_switch, peer_switch, run, stop_group

FLOW = ("priority=10,udp,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],"
        "move:NXM_OF_IP_SRC[]->NXM_NX_REG1[],NORMAL")
SECONDS = 5.0


def sender(client: Host, server: Host, scratch: Path) -> subprocess.Popen[bytes]:
    """A trafgen that sends small UDP packets, each with another source port and address."""
    octets = ",".join(f"0x{part}" for part in f"{server.mac}:{client.mac}".split(":"))
    config = scratch / "flows.cfg"
    config.write_text(
        "{ " + octets + ", c16(0x0800),\n"
        "  0x45, 0, c16(46), c16(1), c16(0x4000), 64, 17, csumip(14, 33),\n"
        f"  10, 78, drnd(2), {server.address.replace('.', ',')},\n"
        "  drnd(2), c16(4002), c16(26), c16(0), fill(0x55, 18) }\n")
    return subprocess.Popen(
        client.command("trafgen", "--cpp", "-i", str(config), "-o", "eth0", "-P", "1", "-q"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def measure(switch: AbstractContextManager[Running], a: Host, b: Host) -> dict[str, float]:
    """New flows that got through a second, and CPU microseconds of the daemon for each."""
    with switch as running, TemporaryDirectory() as scratch:
        run(*b.command("ping", "-c", "3", "-i", "0.2", a.address))
        process = sender(a, b, Path(scratch))
        try:
            time.sleep(1.5)
            begin, received, cpu = time.monotonic(), b.received_packets(), cpu_seconds(running.pid)
            time.sleep(SECONDS)
            duration = time.monotonic() - begin
            count = b.received_packets() - received
            spent = cpu_seconds(running.pid) - cpu
        finally:
            stop_group(process)
    return {"rate": count / duration, "cpu": spent / max(count, 1) * 1e6}


def inside() -> None:
    """What runs in the user-mode kernel: both daemons over the same two hosts, results as JSON."""
    with hosts() as (a, b):
        ports = [a.port, b.port]
        results = {
            "peer": measure(peer_switch(ports, "system", flows=[FLOW]), a, b),
            "ours": measure(our_switch(ports, "system", flows=[FLOW]), a, b),
        }
    print("RESULT " + json.dumps(results))


def bench() -> list[Row]:
    """Rows for new flows a second and CPU a flow, both in one boot of user-mode Linux."""
    from tests.uml import harness

    with TemporaryDirectory(prefix="vswitch-bench-", dir=Path.home()) as exchange:
        result = harness.run("from bench.newflows import inside; inside()", Path(exchange),
                             interpreter=(sys.executable,), timeout=180, cwd=str(Path.cwd()))
        output = result.check()
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    values = json.loads(line.removeprefix("RESULT "))
    ours, peer = values["ours"], values["peer"]
    return [
        Row("new flows, kernel datapath in UML", "flows/s", ours["rate"], peer["rate"]),
        Row("daemon CPU a new flow, in UML", "us", ours["cpu"], peer["cpu"], better="lower"),
    ]
