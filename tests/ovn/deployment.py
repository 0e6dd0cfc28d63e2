"""OVN's central and three chassis of it, each with a database, a switch and an `ovn-controller` of its own.

              physical network (a switch of ours) -- outside, tagged (VLAN 100)
                   |            |           |
                 br-ex        br-ex       br-ex
    vm1,6,7 ---- hv1 ========= hv2 ======== hv3 ---- vm4, vm5, vm8
                          Geneve |
                              vm2, vm3

`network.py` says what is laid over it. The host's own stack carries the tunnels, or with `underlay` a bridge
br-phys on each chassis.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.ovn.chassis import Chassis, on
from tests.ovn.network import MACHINES, NETWORK, OUTSIDE, STATEFUL, TAGGED, Machine, words
from tests.stack import OURS, Stack, until

SCHEMAS = Path("/usr/share/ovn")
LEVELS = re.compile(r"\|(WARN|ERR|EMER)\|")
ABOUT_ITSELF = re.compile(r"\|(timeval|memory_trim)(\(\w+\))?\||\|Dropped \d+ log messages")
"""That the machine is slow, that its clock is odd, and that lines were left out."""


class Deployment:
    """Central and three chassis, or fewer without the machines of the others; `start` returns when every
    machine's port is up."""

    def __init__(
        self,
        directory: Path,
        vswitchd: Sequence[str] = OURS,
        datapath: str = "netdev",
        underlay: bool = False,
        stateful: bool = True,
        n_chassis: int = 3,
    ) -> None:
        self.directory = directory
        self.inhabitants = [machine for machine in MACHINES if machine.home <= n_chassis]
        self.stateful = stateful
        self.datapath = datapath
        home = directory / "wires"
        home.mkdir()
        self.wires = Stack(home)
        self.chassis: list[Chassis] = []
        for n in range(1, n_chassis + 1):
            home = directory / f"hv{n}"
            home.mkdir()
            self.chassis.append(Chassis(home, n, vswitchd, datapath, underlay))
        self.machines: dict[str, tuple[Stack, str]] = {}
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = dict(os.environ, OVN_RUNDIR=str(directory), OVN_NB_DB=f"unix:{directory}/nb.sock")
        self.environment["OVN_SB_DB"] = f"unix:{directory}/sb.sock"
        self.environment["PATH"] = self.wires.environment["PATH"]

    def _spawn(self, *words: str) -> subprocess.Popen[bytes]:
        log = (self.directory / f"{Path(words[0]).name}.{len(self.processes)}.out").open("wb")
        process = subprocess.Popen(
            words, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        self.processes.append(process)
        return process

    def run(self, *words: str) -> str:
        """The output of a command about the deployment."""
        ran = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode == 0, f"{words}: {ran.stderr}"
        return ran.stdout

    def nbctl(self, *words: str, wait: str = "hv") -> str:
        """`ovn-nbctl`, until what it changes has arrived everywhere ("hv"), in the tables of flows ("sb"),
        or without waiting ("none")."""
        return self.run("ovn-nbctl", f"--wait={wait}", "--timeout=40", *words)

    def start(self) -> None:
        for name in ("nb", "sb"):
            database = self.directory / f"{name}.db"
            self.run("ovsdb-tool", "create", str(database), str(SCHEMAS / f"ovn-{name}.ovsschema"))
            self._spawn(
                "ovsdb-server", f"--remote=punix:{self.directory}/{name}.sock",
                f"--unixctl={self.directory}/{name}.ctl", str(database),
            )  # fmt: skip
            until(f"the {name} database", (self.directory / f"{name}.sock").exists)
        self.start_northd()
        self._wire()
        for chassis in self.chassis:
            chassis.join(self.directory / "sb.sock")
        for line in (*NETWORK, *(STATEFUL if self.stateful else ())):
            self.nbctl("--", *words(line), wait="none")
        for chassis in self.chassis:
            until("br-int", lambda c=chassis: c.ask("ovs-vsctl", "br-exists", "br-int").returncode == 0)
        for machine in self.inhabitants:
            chassis = self.chassis[machine.home - 1]
            self.machines[machine.name] = chassis, chassis.machine(machine)
        for name in self.machines.keys() & {"vm3", "vm4"}:
            self.serve(name)
        owner, host = self.machines["vm3"]
        assert isinstance(owner, Chassis)
        owner.serve(host, 22, "closed")
        self.nbctl("sync")
        for machine in self.inhabitants:
            until(f"{machine.name} up", lambda n=machine.name: "up" in self.run("ovn-nbctl", "lsp-get-up", n))
        if "vm5" in self.machines:
            leased = self.lease()
            assert leased.returncode == 0, leased.stderr

    def start_northd(self) -> None:
        self.northd = self._spawn(
            "ovn-northd", f"--unixctl={self.directory}/northd.ctl",
            f"--ovnnb-db=unix:{self.directory}/nb.sock", f"--ovnsb-db=unix:{self.directory}/sb.sock",
        )  # fmt: skip

    def stop_northd(self) -> None:
        self.northd.send_signal(signal.SIGKILL)
        self.northd.wait()

    def _wire(self) -> None:
        """The network between the chassis (a bridge of the kernel's) and the physical one (a switch)."""
        wires = self.wires
        wires.start()
        wires.run("ip", "link", "add", "between", "type", "bridge")
        wires.run("ip", "link", "set", "between", "up")
        kind = f"datapath_type={self.datapath}"
        wires.run("ovs-vsctl", "add-br", "tor", "--", "set", "bridge", "tor", kind)
        for chassis in self.chassis:
            chassis.start()
            for device in ("under", "phys"):
                end = f"{device}{chassis.number}"
                peer = ("type", "veth", "peer", "name", device, "netns", chassis.name)
                wires.run("ip", "link", "add", end, *peer)
                wires.run("ip", "link", "set", end, "up")
                if chassis.real:
                    # The real userspace datapath finishes no checksums.
                    wires.run("ethtool", "-K", end, "tx", "off")
                    chassis.run("ethtool", "-K", device, "tx", "off")
            wires.run("ip", "link", "set", f"under{chassis.number}", "master", "between")
            wires.run("ovs-vsctl", "add-port", "tor", f"phys{chassis.number}")
            chassis.wire()
        for name, number, address, tag in (("outside", 9, OUTSIDE, ""), ("tagged", 0, TAGGED, "tag=100")):
            host = wires.host(number, f"{address}/24")
            on(host, "link", "set", "eth0", "mtu", "1400")
            if self.chassis[0].real:
                wires.inside(host, "ethtool", "-K", "eth0", "tx", "off")
            wires.run("ovs-vsctl", "add-port", "tor", f"h{number}", *((tag,) if tag else ()))
            self.machines[name] = wires, host
        if not self.stateful:
            outside = self.machines["outside"][1]
            on(outside, "route", "add", "10.0.0.0/8", "via", "172.16.0.1")
            on(outside, "route", "add", "10.4.0.0/24", "via", "172.16.0.2")

    def lease(self) -> subprocess.CompletedProcess[str]:
        """Have vm5 ask for its address."""
        chassis, host = self.machines["vm5"]
        assert isinstance(chassis, Chassis)
        return chassis.lease(host)

    def serve(self, name: str) -> None:
        """Start the server of vm3 or vm4."""
        chassis, host = self.machines[name]
        assert isinstance(chassis, Chassis)
        self.servers[name] = chassis.serve(host, 8080, name)

    def inside(self, machine: str, *words: str) -> str:
        """What a program on a machine prints, "" if it fails."""
        chassis, host = self.machines[machine]
        ran = chassis.inside(host, *words)
        return "" if ran.returncode else ran.stdout

    def chassis_of(self, port: str) -> str:
        """The name of the chassis that a logical port is bound to, "" if to none."""
        uuid = self._binding(port, "chassis")
        return self.run("ovn-sbctl", "--bare", "get", "chassis", uuid, "name").strip(' "\n') if uuid else ""

    def _binding(self, port: str, column: str) -> str:
        find = ("find", "port_binding", f"logical_port={port}")
        return self.run("ovn-sbctl", "--bare", f"--columns={column}", *find).strip()

    def move(self, machine: Machine, there: int) -> None:
        """A machine is unplugged at its chassis and plugged in at chassis `there`."""
        old, host = self.machines[machine.name]
        assert isinstance(old, Chassis)
        new = self.chassis[there - 1]
        device = f"h{machine.number}"
        old.unplug(machine)
        on(old.name, "link", "set", device, "netns", new.name)
        new.run("ip", "link", "set", device, "up")
        new.plug(machine)
        self.machines[machine.name] = new, host
        until(f"{machine.name} on {new.system_id}", lambda: self.chassis_of(machine.name) == new.system_id)
        self.nbctl("sync")

    def migrate(self, machine: Machine, there: int) -> None:
        """A machine goes on at chassis `there` in the midst of its work: its port is on both for a while, and
        the RARP from there moves the traffic."""
        old, host = self.machines[machine.name]
        assert isinstance(old, Chassis)
        new = self.chassis[there - 1]
        device, name = f"h{machine.number}", machine.name
        mac = self.inside(name, "cat", "/sys/class/net/eth0/address").strip()
        both = f"requested-chassis={old.system_id},{new.system_id}"
        self.nbctl("lsp-set-options", name, both, "activation-strategy=rarp")
        new.run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth1", "netns", host)
        new.run("ip", "link", "set", device, "up")
        on(host, "link", "set", "eth1", "address", mac)
        on(host, "link", "set", "eth1", "up")
        if new.real:
            new.inside(host, "ethtool", "-K", "eth1", "tx", "off")
        new.plug(machine)
        until(f"{name} on both chassis", lambda: self._binding(name, "additional_chassis"))
        self.nbctl("sync")
        on(host, "link", "set", "eth0", "down")
        on(host, "addr", "flush", "dev", "eth0")
        old.settle(host, machine, "eth1")
        new.announce(host, machine, "eth1")
        self.machines[name] = new, host
        self.nbctl("lsp-set-options", name, f"requested-chassis={new.system_id}")
        until(f"{name} on {new.system_id}", lambda: self.chassis_of(name) == new.system_id)
        old.unplug(machine)
        self.nbctl("lsp-set-options", name)
        on(old.name, "link", "del", device)
        on(host, "link", "set", "eth1", "down")
        on(host, "link", "set", "eth1", "name", "eth0")
        old.settle(host, machine)

    def pings(self, machine: str, address: str) -> bool:
        """Whether one of up to three packets is answered within a second."""
        return any(self.inside(machine, "ping", "-n", "-c", "1", "-W", "1", address) for _ in range(3))

    def says(self, machine: str, address: str, port: int) -> str:
        """What the server at an address says to a machine, "" if it is not reached."""
        return self.inside(
            machine, "socat", "-T2", "-u", f"TCP:{address}:{port},connect-timeout=2", "-"
        ).strip()

    def complaints(self) -> dict[str, list[str]]:
        """What each ovn-controller logged at WARN and above, without the time and the line's number."""
        found = {}
        for chassis in self.chassis:
            lines = [line for line in chassis.log("ovn-controller").splitlines() if LEVELS.search(line)]
            kept = [line for line in lines if not ABOUT_ITSELF.search(line)]
            found[chassis.system_id] = [line.split("|", 2)[-1] for line in kept]
        return found

    def close(self) -> None:
        for chassis in reversed(self.chassis):
            chassis.close()
        self.wires.close()
        for process in reversed(self.processes):
            process.terminate()
            process.wait(10)
