"""OVN's central and chassis of it, each with a database, a switch and an `ovn-controller` of its own.

    vm1 -- ovs -- hv1 ==== Geneve ==== hv2 -- ovs -- vm2, vm3
                   |
                br-ex -- outside

`a` is 10.1.0.0/24 (vm1, vm2), `b` 10.2.0.0/24 (vm3), `public` 172.16.0.0/24, whose gateway is on hv1.
The host's own stack carries the tunnel, or with `underlay` a bridge br-under that the wire is a port of.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.stack import OURS, Stack, until

SCHEMAS = Path("/usr/share/ovn")
MAC = "02:00:00:00:00:0"

NETWORK = f"""
ls-add a -- ls-add b -- ls-add public
lsp-add a vm1 -- lsp-set-addresses vm1 {MAC}1\\ 10.1.0.1
lsp-add a vm2 -- lsp-set-addresses vm2 {MAC}2\\ 10.1.0.2
lsp-add b vm3 -- lsp-set-addresses vm3 {MAC}3\\ 10.2.0.3
lr-add r
lrp-add r r-a 02:00:00:00:01:01 10.1.0.254/24 -- lrp-add r r-b 02:00:00:00:01:02 10.2.0.254/24
lrp-add r r-public 02:00:00:00:01:03 172.16.0.1/24 -- lrp-set-gateway-chassis r-public hv1
lsp-add a a-r
    -- lsp-set-type a-r router
    -- lsp-set-addresses a-r router
    -- lsp-set-options a-r router-port=r-a
lsp-add b b-r
    -- lsp-set-type b-r router
    -- lsp-set-addresses b-r router
    -- lsp-set-options b-r router-port=r-b
lsp-add public p-r
    -- lsp-set-type p-r router
    -- lsp-set-addresses p-r router
    -- lsp-set-options p-r router-port=r-public
lsp-add public outer
    -- lsp-set-type outer localnet
    -- lsp-set-addresses outer unknown
    -- lsp-set-options outer network_name=physical
lr-nat-add r snat 172.16.0.1 10.1.0.0/24
lr-nat-add r dnat_and_snat 172.16.0.33 10.2.0.3
lb-add lb 10.9.9.9:80 10.2.0.3:8080 tcp -- ls-lb-add a lb
pg-add guarded vm3
acl-add guarded to-lport 1000 outport==@guarded&&ip4 drop
acl-add guarded to-lport 1001 outport==@guarded&&icmp4 allow-related
acl-add guarded to-lport 1001 outport==@guarded&&tcp.dst==8080 allow-related
"""
"""A line is a command of ovn-nbctl; an indented one goes on with it."""


ADDRESSES = {"vm1": "10.1.0.1", "vm2": "10.1.0.2", "vm3": "10.2.0.3", "outside": "172.16.0.9"}


class Chassis(Stack):
    """A hypervisor: what `Stack` has, and its `ovn-controller`."""

    def __init__(self, directory: Path, name: str, address: str, vswitchd: Sequence[str]) -> None:
        super().__init__(directory, vswitchd)
        self.system_id = name
        self.address = address
        self.environment["OVN_RUNDIR"] = str(directory)
        self.controller: subprocess.Popen[bytes] | None = None

    def wire(self, datapath: str, underlay: bool) -> None:
        """Give `under` its address, itself or through a bridge."""
        self.run("ip", "link", "set", "under", "up")
        # A socket does not hear what the wire leaves to a device to be finished.
        self.run("ethtool", "-K", "under", "tx", "off")
        device = "under"
        if underlay:
            device = "br-under"
            kind = ("--", "set", "bridge", device, f"datapath_type={datapath}")
            self.run("ovs-vsctl", "add-br", device, *kind, "--", "add-port", device, "under")
            self.run("ip", "link", "set", device, "up")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", device)

    def join(self, southbound: Path, datapath: str) -> None:
        """Have OVN run the switch."""
        settings = {
            "system-id": self.system_id,
            "ovn-remote": f"unix:{southbound}",
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": self.address,
            "ovn-bridge-datapath-type": datapath,
            "ovn-bridge-mappings": "physical:br-ex",
        }
        words = [f'external_ids:{key}="{value}"' for key, value in settings.items()]
        self.run("ovs-vsctl", "add-br", "br-ex", "--", "set", "bridge", "br-ex", f"datapath_type={datapath}")
        self.run("ovs-vsctl", "set", "open", ".", *words)
        self.start_controller()

    def start_controller(self) -> None:
        self.controller = self.spawn("ovn-controller", f"unix:{self.directory}/db.sock")

    def start_switch(self) -> subprocess.Popen[bytes]:
        self.switch = super().start_switch()
        return self.switch

    def end_switch(self) -> None:
        """Kill it: what it forwarded in its own process stops."""
        self.switch.kill()
        self.switch.wait()
        (self.directory / "ovs-vswitchd.pid").unlink()

    def end_controller(self) -> None:
        """Kill it, as a crash would: it cleans nothing up."""
        assert self.controller is not None
        self.controller.kill()
        self.controller.wait()

    def machine(self, number: int, address: str, gateway: str) -> str:
        """vm`number`, bound to its logical port; its namespace."""
        host = self.host(number, f"{address}/24")
        for words in (
            ["link", "set", "eth0", "mtu", "1400"],
            ["link", "set", "lo", "up"],
            ["route", "add", "default", "via", gateway],
        ):
            subprocess.run(["ip", "-n", host, *words], check=True)
        # The real userspace datapath finishes no checksums.
        subprocess.run(["ip", "netns", "exec", host, "ethtool", "-K", "eth0", "tx", "off"],
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        self.run(
            "ovs-vsctl", "add-port", "br-int", f"h{number}",
            "--", "set", "interface", f"h{number}", f"external_ids:iface-id=vm{number}",
        )  # fmt: skip
        return host

    def serve(self, host: str, port: int, says: str) -> None:
        """A TCP server on a machine that says one word to everybody."""
        listen = f"TCP-LISTEN:{port},fork,reuseaddr"
        self.processes.append(
            subprocess.Popen(["ip", "netns", "exec", host, "socat", listen, f"SYSTEM:echo {says}"])
        )


class Deployment:
    """Central and two chassis; `start` returns when every machine's port is up."""

    def __init__(
        self,
        directory: Path,
        vswitchd: Sequence[str] = OURS,
        datapath: str = "netdev",
        underlay: bool = False,
    ) -> None:
        self.directory = directory
        self.datapath = datapath
        self.underlay = underlay
        self.chassis: list[Chassis] = []
        for n in (1, 2):
            home = directory / f"hv{n}"
            home.mkdir()
            self.chassis.append(Chassis(home, f"hv{n}", f"10.98.0.{n}", vswitchd))
        self.machines: dict[str, tuple[Chassis, str]] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = dict(os.environ, OVN_RUNDIR=str(directory), OVN_NB_DB=f"unix:{directory}/nb.sock")
        self.environment["OVN_SB_DB"] = f"unix:{directory}/sb.sock"

    def _spawn(self, *words: str) -> None:
        log = (self.directory / f"{Path(words[0]).name}.{len(self.processes)}.out").open("wb")
        self.processes.append(
            subprocess.Popen(words, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        )

    def run(self, *words: str) -> str:
        """The output of a command about the deployment."""
        ran = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode == 0, f"{words}: {ran.stderr}"
        return ran.stdout

    def start(self) -> None:
        for name in ("nb", "sb"):
            database = self.directory / f"{name}.db"
            self.run("ovsdb-tool", "create", str(database), str(SCHEMAS / f"ovn-{name}.ovsschema"))
            self._spawn(
                "ovsdb-server", f"--remote=punix:{self.directory}/{name}.sock",
                f"--unixctl={self.directory}/{name}.ctl", str(database),
            )  # fmt: skip
            until(f"the {name} database", (self.directory / f"{name}.sock").exists)
        self._spawn(
            "ovn-northd", f"--unixctl={self.directory}/northd.ctl",
            f"--ovnnb-db=unix:{self.directory}/nb.sock", f"--ovnsb-db=unix:{self.directory}/sb.sock",
        )  # fmt: skip
        one, two = self.chassis
        for chassis in self.chassis:
            chassis.start()
        one.run("ip", "link", "add", "under", "type", "veth", "peer", "name", "under", "netns", two.name)
        for chassis in self.chassis:
            chassis.wire(self.datapath, self.underlay)
            chassis.join(self.directory / "sb.sock", self.datapath)
        for line in NETWORK.strip().replace("\n    ", " ").splitlines():
            self.run("ovn-nbctl", *(w.replace("\0", " ") for w in line.replace("\\ ", "\0").split()))
        for chassis in self.chassis:
            until("br-int", lambda c=chassis: c.ask("ovs-vsctl", "br-exists", "br-int").returncode == 0)
        self.machines["vm1"] = one, one.machine(1, "10.1.0.1", "10.1.0.254")
        self.machines["vm2"] = two, two.machine(2, "10.1.0.2", "10.1.0.254")
        self.machines["vm3"] = two, two.machine(3, "10.2.0.3", "10.2.0.254")
        self.machines["outside"] = one, one.host(9, "172.16.0.9/24")
        one.inside(self.machines["outside"][1], "ethtool", "-K", "eth0", "tx", "off")
        one.run("ovs-vsctl", "add-port", "br-ex", "h9")
        two.serve(self.machines["vm3"][1], 8080, "vm3")
        two.serve(self.machines["vm3"][1], 22, "closed")
        self.run("ovn-nbctl", "--wait=hv", "--timeout=40", "sync")
        for name in ("vm1", "vm2", "vm3"):
            until(f"{name} up", lambda n=name: "up" in self.run("ovn-nbctl", "lsp-get-up", n))

    def reachability(self) -> dict[str, bool]:
        """Who reaches whom, by ping and TCP."""
        wanted = [
            (a, ADDRESSES[b])
            for a in ("vm1", "vm2", "vm3")
            for b in ("vm1", "vm2", "vm3", "outside")
            if a != b
        ]
        reached = {f"{a} ping {b}": self.pings(a, b) for a, b in [*wanted, ("outside", "172.16.0.33")]}
        for a, address, port in (
            ("vm1", "10.2.0.3", 8080), ("vm1", "10.2.0.3", 22), ("vm2", "10.2.0.3", 8080),
            ("vm1", "10.9.9.9", 80), ("vm2", "10.9.9.9", 80),
            ("outside", "172.16.0.33", 8080), ("outside", "172.16.0.33", 22),
        ):  # fmt: skip
            reached[f"{a} tcp {address}:{port}"] = self.says(a, address, port) != ""
        return reached

    def inside(self, machine: str, *words: str) -> str:
        """What a program on a machine prints, "" if it fails."""
        chassis, host = self.machines[machine]
        return chassis.inside(host, *words).stdout

    def chassis_of(self, machine: str) -> str:
        """The chassis that a machine's port is bound to, "" if to none."""
        find = ("find", "port_binding", f"logical_port={machine}")
        uuid = self.run("ovn-sbctl", "--bare", "--columns=chassis", *find).strip()
        return self.run("ovn-sbctl", "--bare", "get", "chassis", uuid, "name").strip(' "\n') if uuid else ""

    def move(self, number: int, there: int) -> None:
        """As a live migration does: vm`number`'s port goes from one chassis and comes to chassis `there`."""
        name, device = f"vm{number}", f"h{number}"
        old, host = self.machines[name]
        new = self.chassis[there]
        old.run("ovs-vsctl", "del-port", "br-int", device)
        subprocess.run(["ip", "-n", old.name, "link", "set", device, "netns", new.name], check=True)
        new.run("ip", "link", "set", device, "up")
        new.run(
            "ovs-vsctl", "add-port", "br-int", device,
            "--", "set", "interface", device, f"external_ids:iface-id={name}",
        )  # fmt: skip
        self.machines[name] = new, host
        until(f"{name} on {new.system_id}", lambda: self.chassis_of(name) == new.system_id)
        self.run("ovn-nbctl", "--wait=hv", "--timeout=40", "sync")

    def pings(self, machine: str, address: str) -> bool:
        chassis, host = self.machines[machine]
        return chassis.pings(host, address, 3) >= 2

    def says(self, machine: str, address: str, port: int) -> str:
        """What the server at an address says to a machine, "" if it is not reached."""
        return self.inside(
            machine, "socat", "-T2", "-u", f"TCP:{address}:{port},connect-timeout=2", "-"
        ).strip()

    def close(self) -> None:
        for chassis in reversed(self.chassis):
            chassis.close()
        for process in reversed(self.processes):
            process.terminate()
            process.wait(10)
