"""The real Open vSwitch: ovsdb-server and ovs-vswitchd on dummy devices, in a directory of their own.

Configuration goes through ovs-vsctl and ovs-ofctl or our own tools, questions over one connection to the
daemon's runtime command socket, so that thousands of traces take seconds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.oracle.setup import Bridge, Port, Query, Setup
from tests.own_tools import run_both, run_mixed

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
REAL = ("ovs-vswitchd",)


class OracleError(Exception):
    """The real switch refused; the text is its own."""


class UnixctlClient:
    """One JSON-RPC connection to a runtime command socket."""

    def __init__(self, path: str, timeout: float = 20.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.decoder = json.JSONDecoder()
        self.buffer = ""
        self.next_id = 0

    def call(self, command: str, *args: str) -> str:
        """The command's reply; OracleError with the daemon's words if it fails."""
        self.next_id += 1
        request = {"id": self.next_id, "method": command, "params": list(args)}
        self.socket.sendall(json.dumps(request).encode())
        while True:
            self.buffer = self.buffer.lstrip()
            if self.buffer:
                try:
                    reply, end = self.decoder.raw_decode(self.buffer)
                except ValueError:
                    pass
                else:
                    self.buffer = self.buffer[end:]
                    break
            got = self.socket.recv(1 << 20)
            if not got:
                raise OracleError(f"{command}: the daemon closed its socket")
            self.buffer += got.decode()
        if reply.get("error"):
            raise OracleError(str(reply["error"]).strip())
        return str(reply.get("result") or "")

    def close(self) -> None:
        self.socket.close()


class RealSwitch:
    """The two daemons, running until `close`; `vswitchd` is the command that is the switch."""

    def __init__(self, directory: Path, vswitchd: Sequence[str] = REAL) -> None:
        self.directory = directory
        self.vswitchd = tuple(vswitchd)
        self.environment = dict(
            os.environ,
            OVS_RUNDIR=str(directory),
            OVS_DBDIR=str(directory),
            OVS_LOGDIR=str(directory),
            OVS_SYSCONFDIR=str(directory),
            PATH=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        )
        self.processes: list[subprocess.Popen[bytes]] = []
        self.client: UnixctlClient | None = None
        self.bridges: list[str] = []
        self._ports: dict[str, str] = {}

    def start(self) -> None:
        """Start both daemons and connect to the switch's runtime commands."""
        database = self.directory / "conf.db"
        self.run("ovsdb-tool", "create", str(database), SCHEMA)
        remote = self.directory / "db.sock"
        self._spawn(
            "ovsdb-server", f"--remote=punix:{remote}", f"--unixctl={self.directory}/db.ctl", str(database)
        )
        self._wait_for(remote)
        self.run("ovs-vsctl", "--no-wait", "init")
        control = self.directory / "vswitchd.ctl"
        self._spawn(*self.vswitchd, "--enable-dummy=override", "--disable-system", f"--unixctl={control}",
                    f"unix:{remote}")  # fmt: skip
        self._wait_for(control)
        self.client = UnixctlClient(str(control))
        self.run("ovs-vsctl", "add-br", "warmup", "--", "set", "bridge", "warmup", "datapath_type=dummy")
        self.run("ovs-vsctl", "del-br", "warmup")

    def _spawn(self, program: str, *args: str) -> None:
        path = shutil.which(program, path=self.environment["PATH"])
        assert path is not None, f"no {program}"
        log = (self.directory / f"{Path(program).name}.out").open("wb")
        self.processes.append(
            subprocess.Popen(
                [path, *args], env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        )

    def _wait_for(self, path: Path, seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if path.exists() and self._accepts(path):
                return
            for process in self.processes:
                if process.poll() is not None:
                    break
            time.sleep(0.01)
        logs = "".join(p.read_text(errors="replace") for p in self.directory.glob("*.out"))
        raise OracleError(f"{path.name} did not appear:\n{logs}")

    @staticmethod
    def _accepts(path: Path) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                return False
        return True

    def close(self) -> None:
        """End both daemons, the switch first."""
        if self.client is not None:
            self.client.close()
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def run(self, *args: str, stdin: str = "") -> str:
        """Run a tool, or ours for it; OracleError with what it says if it fails."""
        by = run_mixed if self.vswitchd == REAL else run_both
        ran = by(args, self.environment, stdin)
        if ran.returncode:
            raise OracleError(f"{' '.join(args)}: {ran.stderr.strip()}")
        return ran.stdout

    def appctl(self, command: str, *args: str) -> str:
        """A runtime command of the switch."""
        assert self.client is not None
        return self.client.call(command, *args)

    # Setups.

    def configure(self, setup: Setup) -> None:
        """Make the bridges of `setup` the only ones, with their ports, flows and addresses."""
        args: list[str] = []
        for name in self.bridges:
            args += ["--", "--if-exists", "del-br", name]
        if args:
            self.run("ovs-vsctl", *args[1:])
        # One port a transaction: NORMAL then floods to ports in the order of the file.
        for bridge in setup.bridges:
            for step in " ".join(self._bridge_args(bridge)).split("-- add-")[1:]:
                self.run("ovs-vsctl", *f"add-{step}".split())
        self.bridges = [bridge.name for bridge in setup.bridges]
        self._ports = {}
        for bridge in setup.bridges:
            self._port_bits(bridge)
            if bridge.tlvs:
                self.run("ovs-ofctl", "add-tlv-map", bridge.name, ",".join(
                    f"{{class={kind},type={number},len={length}}}->tun_metadata{index}"
                    for kind, number, length, index in bridge.tlvs
                ))
            if bridge.miss:
                self.run("ovs-ofctl", "-O", "OpenFlow11", "mod-table", bridge.name, *bridge.miss.split())
            self.set_flows(bridge.name, bridge.flows, bridge.dialect, bridge.groups)
        for query in setup.learn:
            self.learn(query)

    @staticmethod
    def _bridge_args(bridge: Bridge) -> list[str]:
        args = ["--", "add-br", bridge.name]
        args += ["--", "set", "bridge", bridge.name, "datapath_type=dummy", "fail_mode=secure"]
        args.append("protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15")
        for key, value in bridge.settings.items():
            args.append(f"{key}={value}" if key == "mcast_snooping_enable" else f"other_config:{key}={value}")
        for number, port in enumerate(bridge.ports, 1):
            args += RealSwitch._port_args(bridge.name, port, number)
        return args

    @staticmethod
    def _port_args(bridge: str, port: Port, number: int) -> list[str]:
        args = ["--", "add-port", bridge, port.name]
        for key, value in port.settings.items():
            if key in ("tag", "vlan_mode", "protected"):
                args.append(f"{key}={value}")
            elif key in ("trunks", "cvlans"):
                args.append(f"{key}=[{value}]")
            elif key in ("priority-tags", "qinq-ethtype"):
                args.append(f"other_config:{key}={value}")
        args += ["--", "set", "interface", port.name, f"ofport_request={number}"]
        peer = port.settings.get("peer")
        return args + (["type=patch", f"options:peer={peer}"] if peer else ["type=dummy"])

    def _port_bits(self, bridge: Bridge) -> None:
        for port in bridge.ports:
            for bit in port.settings:
                if bit.startswith("no-"):
                    self.run("ovs-ofctl", "mod-port", bridge.name, port.name, bit)

    def set_flows(self, bridge: str, flows: list[str], dialect: str, groups: list[str] | None = None) -> None:
        """Make `flows` the bridge's only ones."""
        tool = ["ovs-ofctl", "-O", dialect]
        if groups:
            self.run(*tool, "add-groups", bridge, "-", stdin="\n".join(groups) + "\n")
        self.run("ovs-ofctl", "del-flows", bridge)
        if flows:
            self.run(*tool, "add-flows", bridge, "-", stdin="\n".join(flows) + "\n")

    def learn(self, query: Query) -> None:
        """Let the bridge see a packet; NORMAL learns from it."""
        self.appctl("ofproto/trace", query.bridge, query.flow, query.packet or "-generate")

    def flush_fdb(self, bridge: str) -> None:
        """Forget learned addresses."""
        self.appctl("fdb/flush", bridge)

    def trace(self, query: Query) -> str:
        """What `ofproto/trace` prints."""
        args = [query.packet] if query.packet else []
        return self.appctl("ofproto/trace", query.bridge, query.flow, *args)

    def port_names(self) -> dict[str, str]:
        """Datapath port number, as text -> port name; asked once a setup."""
        if not self._ports:
            found = re.findall(r"^    (\S+) \S+/(\d+): ", self.appctl("dpif/show"), re.MULTILINE)
            self._ports = {number: name for name, number in found}
        return self._ports

    def receive(self, port: str, packet: str) -> None:
        """Give port `port` a packet, as bytes in hexadecimal."""
        self.appctl("netdev-dummy/receive", port, packet)

    def dump_flows(self) -> str:
        """The datapath's flows, ports by name."""
        return self.appctl("dpctl/dump-flows", "--names", "dummy@ovs-dummy")
