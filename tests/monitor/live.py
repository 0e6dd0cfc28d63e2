"""One load of traffic through a bridge that exports it in every way, and what collectors that others wrote
make of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.stack import Stack, until

SENDER = """
import socket, sys, time
for sport, dport, n, size in {flows}:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("10.0.0.1", sport))
    for _ in range(n):
        s.sendto(bytes(size), ("10.0.0.2", dport))
        time.sleep({pause})
"""
FLOWS = ((1003, 2003, 10, 200), (1001, 2001, 40, 100), (1002, 2002, 25, 500))
"""Source and destination port, packets, bytes of each one's payload. What goes to port 2003 is dropped."""
SENT = {(sport, dport): (n, n * (size + 28)) for sport, dport, n, size in FLOWS}
"""Ports -> packets, bytes of IP."""
NETFLOW, SFLOW, IPFIX = 2055, 6343, 4739
KEYS = "src_host, dst_host, proto, src_port, dst_port, in_iface, out_iface"
Records = dict[tuple[int, int, int, int], tuple[int, int]]
"""Input and output interface, ports -> packets, bytes."""
DROPPED = {"netflow": 0xFFFD, "sflow": 0x40000100, "ipfix": 0}
"""What stands for no output interface. IPFIX has none of a packet that is sampled as it comes in."""
LAYERS_2 = {"netflow": 14, "sflow": 18, "ipfix": 0}
"""Bytes of a packet that are counted beside those of IP: the Ethernet header, and the check sequence."""


def wanted() -> dict[str, Records]:
    """What collectors are to get of `FLOWS`, sent once."""
    found: dict[str, Records] = {}
    for name, layer_2 in LAYERS_2.items():
        found[name] = {}
        for ports, (n, size) in SENT.items():
            counted = (n, size + n * layer_2)
            dropped = ports[1] == 2003
            if dropped or name == "ipfix":
                found[name][1, DROPPED[name], *ports] = counted
            if not dropped:
                found[name][1, 2, *ports] = counted
    return found


WANTED = wanted()


class Collectors:
    """nfacctd and sfacctd of pmacct in a stack's namespace, printing what they got when they end."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name, program, port in (
            ("netflow", "nfacctd", NETFLOW), ("sflow", "sfacctd", SFLOW), ("ipfix", "nfacctd", IPFIX),
        ):  # fmt: skip
            config = stack.directory / f"{name}.conf"
            config.write_text(
                f"plugins: print[p]\naggregate[p]: {KEYS}\nprint_output[p]: json\n"
                f"print_refresh_time[p]: 600\n"
                f"print_output_file[p]: {stack.directory}/{name}.json\n{program}_ip: 127.0.0.1\n"
                f"{program}_port: {port}\n" + "sfacctd_renormalize: true\n" * (name == "sflow")
            )
            self.processes[name] = stack.spawn(program, "-f", str(config), name=name)
        listening = [f":{port:04X} " for port in (NETFLOW, SFLOW, IPFIX)]

        def ready() -> bool:
            sockets = stack.run("cat", "/proc/net/udp")
            return all(port in sockets for port in listening)

        until("the collectors listen", ready)

    def records(self) -> dict[str, Records]:
        """End them; what each has got of UDP, added up."""
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)
        found: dict[str, Records] = {}
        for name, process in self.processes.items():
            process.wait(20)
            path = self.stack.directory / f"{name}.json"
            until(f"{name}'s records", path.exists)
            packets: Counter[tuple[int, int, int, int]] = Counter()
            sizes: Counter[tuple[int, int, int, int]] = Counter()
            for line in path.read_text().splitlines():
                record = json.loads(line)
                if record["ip_proto"] != "udp" or record["ip_src"] != "10.0.0.1":
                    continue
                key = tuple(record[k] for k in ("iface_in", "iface_out", "port_src", "port_dst"))
                packets[key] += record["packets"]
                sizes[key] += record["bytes"]
            found[name] = {key: (packets[key], sizes[key]) for key in packets}
        return found


def exported(
    stack: Stack, datapath_type: str, sampling: int = 1, repeat: int = 1,
    before_export: Callable[[], None] | None = None,
) -> dict[str, Records]:
    """What NetFlow, sFlow and IPFIX collectors got of `FLOWS`, sent `repeat` times; interfaces are 1 (the
    sender's), 2 (the receiver's), or what stands for none."""
    stack.start()
    one, two = stack.host(1), stack.host(2)
    ports = (f"-- add-port br0 h{n} -- set interface h{n} ofport_request={n}" for n in (1, 2))
    stack.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", f"datapath_type={datapath_type}",
              "fail_mode=secure", *" ".join(ports).split())  # fmt: skip
    stack.run("ovs-ofctl", "add-flows", f"unix:{stack.directory}/br0.mgmt", "-",
              stdin="in_port=1,actions=output:2\nin_port=2,actions=output:1\n"
              "priority=40000,udp,tp_dst=2003,actions=drop\n")  # fmt: skip
    for host, number in ((one, 2), (two, 1)):
        stack.inside(host, "ip", "neigh", "add", f"10.0.0.{number}", "lladdr", f"02:00:00:00:00:0{number}",
                     "dev", "eth0")  # fmt: skip
    collectors = Collectors(stack)
    if before_export is not None:
        before_export()
    for column, table, port, more in (
        ("netflow", "NetFlow", NETFLOW, ["active_timeout=1"]),
        ("sflow", "sFlow", SFLOW, [f"sampling={sampling}", "polling=0", "agent=127.0.0.1"]),
        ("ipfix", "IPFIX", IPFIX, [f"sampling={sampling}"]),
    ):  # fmt: skip
        stack.run("ovs-vsctl", "--", "set", "bridge", "br0", f"{column}=@x", "--", "--id=@x", "create", table,
                  f'targets="127.0.0.1:{port}"', *more)  # fmt: skip
    assert stack.pings(one, "10.0.0.2", 1) == 1
    flows = FLOWS * repeat
    pause = 0.01 if repeat == 1 else 0.001
    stack.inside(one, sys.executable, "-c", SENDER.format(flows=flows, pause=pause))
    time.sleep(4)
    stack.run("ovs-vsctl", "clear", "bridge", "br0", "netflow", "sflow", "ipfix")
    time.sleep(0.5)
    found = collectors.records()
    indexes = {json.loads(stack.run("ip", "-j", "link", "show", f"h{n}"))[0]["ifindex"]: n for n in (1, 2)}
    for name in ("sflow", "ipfix"):
        found[name] = {
            (indexes.get(key[0], key[0]), indexes.get(key[1], key[1]), *key[2:]): value
            for key, value in found[name].items()
        }
    return found
