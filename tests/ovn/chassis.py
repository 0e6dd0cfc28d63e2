"""One hypervisor of the deployment, and the machines on it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.ovn.network import MAC, Machine
from tests.stack import REAL, Stack, until

LEASE = """\
#!/bin/sh
# What udhcpc is to do with a lease: $ip, $mask, $router, $mtu are OVN's.
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip link set "$interface" mtu "$mtu"
ip route add default via "$router"
"""

RARP = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
mac = bytes.fromhex(sys.argv[2].replace(":", ""))
s.send(b"\\xff" * 6 + mac + b"\\x80\\x35\\0\\1\\x08\\0\\6\\4\\0\\3" + mac + bytes(4) + mac + bytes(4))
"""
"""What a hypervisor sends for a machine that has just come (RFC 903)."""


def on(host: str, *words: str) -> None:
    """`ip` in a host's namespace."""
    subprocess.run(["ip", "-n", host, *words], check=True)


class Chassis(Stack):
    """A hypervisor: what `Stack` has, and its `ovn-controller`.

    `under` leads to the other chassis, `phys` to the physical network. With `bridged` the tunnels' address
    is on a bridge br-phys that has `under` as a port, otherwise on `under` itself.
    """

    def __init__(
        self, directory: Path, number: int, vswitchd: Sequence[str], datapath: str, bridged: bool
    ) -> None:
        super().__init__(directory, vswitchd)
        self.real = tuple(vswitchd) == REAL
        self.number = number
        self.system_id = f"hv{number}"
        self.datapath = datapath
        self.bridged = bridged
        self.address = f"10.98.0.{number}"
        self.environment["OVN_RUNDIR"] = str(directory)
        self.controller: subprocess.Popen[bytes]

    def wire(self) -> None:
        """The bridges of the host, and the tunnels' address."""
        self.run("ip", "link", "set", "under", "up")
        self.run("ip", "link", "set", "phys", "up")
        if self.datapath == "system":
            # The kernel that this runs on has no zones of connection tracking, and OVN has flows with them
            # even where no packet comes.
            self.run("ovs-vsctl", "set", "open", ".", "other_config:accept-unsupported-flows=true")
        kind = f"datapath_type={self.datapath}"
        bridges = [("br-ex", "phys"), ("br-phys", "under")]
        for bridge, port in bridges if self.bridged else bridges[:1]:
            set_kind = ("--", "set", "bridge", bridge, kind)
            self.run("ovs-vsctl", "add-br", bridge, *set_kind, "--", "add-port", bridge, port)
        self.take_address()

    def take_address(self) -> None:
        """Give the tunnels' device its address, as the host's network setup does when it appears."""
        device = "br-phys" if self.bridged else "under"
        self.run("ip", "link", "set", device, "up")
        self.run("ip", "addr", "replace", f"{self.address}/24", "dev", device)

    def join(self, southbound: Path) -> None:
        """Have OVN run the switch."""
        settings = {
            "system-id": self.system_id,
            "ovn-remote": f"unix:{southbound}",
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": self.address,
            "ovn-bridge-datapath-type": self.datapath,
            "ovn-bridge-mappings": "physical:br-ex",
            "ovn-monitor-all": "true",
        }
        words = [f'external_ids:{key}="{value}"' for key, value in settings.items()]
        self.run("ovs-vsctl", "set", "open", ".", *words)
        self.start_controller()

    def start_controller(self) -> None:
        self.controller = self.spawn("ovn-controller", f"unix:{self.directory}/db.sock")

    def start_switch(self) -> subprocess.Popen[bytes]:
        self.switch = super().start_switch()
        return self.switch

    def start_database(self) -> subprocess.Popen[bytes]:
        self.database = super().start_database()
        return self.database

    def end(self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGKILL) -> None:
        """Kill one of `switch`, `database` and `controller` (as a crash does), or end it another way."""
        process.send_signal(how)
        process.wait()
        if process is self.switch:
            (self.directory / "ovs-vswitchd.pid").unlink(missing_ok=True)

    def switch_back(self) -> None:
        """The switch once more, and what the host does when its devices appear."""
        self.start_switch()
        if self.bridged:
            until("br-phys", lambda: self.ask("ip", "link", "show", "br-phys").returncode == 0)
            self.take_address()

    def lose(self) -> None:
        """All of it is gone at once, as with its power."""
        for process in (self.controller, self.switch, self.database):
            self.end(process)

    def come_back(self) -> None:
        """After `lose`."""
        self.start_database()
        self.switch_back()
        self.start_controller()

    def appctl(self, *words: str) -> str:
        """What a command of the switch prints."""
        return self.run("ovs-appctl", "-t", f"{self.directory}/ovs-vswitchd.{self.pid()}.ctl", *words)

    def pid(self) -> int:
        return int((self.directory / "ovs-vswitchd.pid").read_text())

    def machine(self, machine: Machine) -> str:
        """A machine on a cable, bound to its logical port; its namespace."""
        host = self.host(machine.number, "" if machine.dhcp else f"{machine.address}/24")
        on(host, "link", "set", "lo", "up")
        if machine.dhcp:
            on(host, "addr", "flush", "dev", "eth0", "scope", "global")
        else:
            self.settle(host, machine)
        if self.real:
            # The real userspace datapath finishes no checksums.
            self.inside(host, "ethtool", "-K", "eth0", "tx", "off")
        self.plug(machine)
        return host

    def settle(self, host: str, machine: Machine, device: str = "eth0") -> None:
        """A machine's addresses and routes on one of its devices."""
        on(host, "link", "set", device, "mtu", "1400", "up")
        on(host, "addr", "replace", f"{machine.address}/24", "dev", device)
        if machine.address6 and Path("/proc/sys/net/ipv6").exists():
            network = machine.address6.split("::")[0]
            on(host, "addr", "replace", f"{machine.address6}/64", "dev", device, "nodad")
            on(host, "-6", "route", "replace", "default", "via", f"{network}::fe", "dev", device)
        if machine.gateway:
            on(host, "route", "replace", "default", "via", machine.gateway, "dev", device)

    def plug(self, machine: Machine) -> None:
        """Tell OVN that a machine's cable is here."""
        device = f"h{machine.number}"
        self.run(
            "ovs-vsctl", "add-port", "br-int", device,
            "--", "set", "interface", device, f"external_ids:iface-id={machine.name}",
        )  # fmt: skip

    def unplug(self, machine: Machine) -> None:
        self.run("ovs-vsctl", "del-port", "br-int", f"h{machine.number}")

    def lease(self, host: str) -> subprocess.CompletedProcess[str]:
        """Have a machine ask for its address by DHCP, and use it."""
        script = self.directory / "lease.sh"
        script.write_text(LEASE)
        script.chmod(0o755)
        words = ["udhcpc", "-f", "-q", "-n", "-t", "5", "-T", "1", "-i", "eth0", "-s", str(script)]
        return self.inside(host, *words)

    def announce(self, host: str, machine: Machine, device: str) -> None:
        """Send the RARP of a machine that has just come."""
        self.inside(host, sys.executable, "-c", RARP, device, f"{MAC}{machine.number}")

    def serve(self, host: str, port: int, says: str) -> subprocess.Popen[bytes]:
        """A TCP server on a machine that says one word to everybody."""
        listen = f"TCP-LISTEN:{port},fork,reuseaddr"
        server = subprocess.Popen(["ip", "netns", "exec", host, "socat", listen, f"SYSTEM:echo {says}"])
        self.processes.append(server)
        return server
