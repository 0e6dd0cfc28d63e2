"""A whole switch in memory for tests: bridges over the userspace datapath, dummy devices, a clock
that stands still."""

from __future__ import annotations

from itertools import count

from tests.dpif.lab import tcp, udp
from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.unixctl import Commands
from vswitch.flow.match_text import parse_match
from vswitch.netdev import dummy, registry
from vswitch.netdev.scope import PROCESS
from vswitch.ofproto.handlers_flow import apply_flow_mod
from vswitch.ofproto.rule import Rule
from vswitch.ofproto_dpif.backer import Backer
from vswitch.ofproto_dpif.facets.facet import Facet
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10

__all__ = ["Counted", "Lab", "from_host", "tcp", "udp"]

_datapaths = count(1)


def from_host(n: int) -> bytes:
    """A UDP packet from Ethernet address 02:00:00:00:01:00 + `n`: rules on such addresses, unlike
    those on IP addresses and ports, make facets of single addresses."""
    packet = udp()
    return packet[:6] + (0x020000000100 + n).to_bytes(6, "big") + packet[12:]


class Lab:
    """Bridge br0 with ports p1..pn, each its own bundle. `run` takes turns until all is quiet."""

    def __init__(self, ports: int = 3, *flows: str) -> None:
        registry.enable_dummy("override")
        self.clock = Clock(virtual=True)
        self.clock.warp(10_000)
        self.commands = Commands()
        self.ofprotos = Ofprotos(self.clock, self.commands)
        self.ofprotos.datapath_names["netdev"] = f"lab{next(_datapaths)}"
        self.bridge = self.add_bridge("br0")
        for number in range(1, ports + 1):
            self.add_port(self.bridge, f"p{number}", number)
        for flow in flows:
            self.flow(flow)
        self.run()

    def close(self) -> None:
        self.ofprotos.close()
        registry.enable_dummy("")

    @property
    def backer(self) -> Backer:
        return self.bridge.backer

    def add_bridge(self, name: str) -> OfprotoDpif:
        return self.ofprotos.create(name, "netdev")

    def add_port(self, bridge: OfprotoDpif, name: str, number: int | None = None, type: str = "dummy",
                 vlan: int | None = None, **options: str) -> None:
        bridge.port_add(name, type, number, options)
        bridge.bundle_set(name, BundleSettings(name, (name,), vlan=vlan))

    def flow(self, text: str, bridge: OfprotoDpif | None = None) -> None:
        apply_flow_mod(bridge or self.bridge, parse_flow(text), OFP10, Form.EXTENSION)

    def add_geneve(self, number: int) -> bytes:
        """Port t0, a Geneve tunnel that takes all that comes in by device u1 for the Ethernet address given
        back and 10.95.0.1."""
        self.add_port(self.bridge, "t0", number, "geneve", remote_ip="flow", key="flow")
        under = self.add_bridge("under")
        self.add_port(under, "u1", 1)
        self.flow("actions=LOCAL", under)
        dummy.register_commands(self.commands)
        self.ask("netdev-dummy/ip4addr under 10.95.0.1/24")
        self.ask("ovs/route/add 10.95.0.0/24 under")
        self.run()
        return dummy.find("under").mac().to_bytes(6, "big")

    def del_flows(self, match: str = "", table_id: int = 0, out_port: int | None = None) -> None:
        flow_mod = FlowMod(parse_match(match), table_id=table_id, command=FlowModCommand.DELETE)
        if out_port is not None:
            flow_mod.out_port = out_port
        apply_flow_mod(self.bridge, flow_mod, OFP10, Form.EXTENSION)

    def run(self, limit: int = 50) -> None:
        for _ in range(limit):
            if not self.ofprotos.run(self.clock.now()):
                return
        raise AssertionError("the switch does not come to rest")

    def seconds(self, n: int) -> None:
        """Time passes, a second at a time."""
        for _ in range(n):
            self.clock.warp(1000)
            self.run()

    def send(self, port: str, *packets: bytes) -> None:
        """Packets arrive at `port` and are dealt with."""
        self.arrive(port, *packets)
        self.run()

    def arrive(self, port: str, *packets: bytes) -> None:
        """Packets arrive at `port` and wait there."""
        for packet in packets:
            assert dummy.find(port).inject(packet)

    def received(self) -> dict[str, int]:
        """How many packets came out of each port since the last call; ports without are left out."""
        counts = {netdev.name: len(dummy.find(netdev.name).transmitted()) for netdev in PROCESS.devices()}
        return {name: n for name, n in counts.items() if n}

    def packets(self, port: str) -> list[bytes]:
        return dummy.find(port).transmitted()

    def rule(self, match: str = "", table_id: int = 0) -> Rule:
        """The one rule with `match`."""
        wanted = parse_match(match)
        rules = [rule for rule in self.bridge.tables[table_id] if rule.match == wanted]
        assert len(rules) == 1, rules
        return rules[0]

    def facets(self) -> list[Facet]:
        return self.backer.facets()

    def dp_flows(self) -> list[str]:
        """The datapath's flows, their actions as a list of output ports' names."""
        return sorted(
            f"packets:{flow.stats.n_packets} {flow.actions}" for flow in self.backer.dpif.flow_dump()
        )

    def ask(self, command: str) -> str:
        name, *args = command.split()
        ok, text = self.commands.run(name, args)
        assert ok, text
        return text


class Counted:
    """How often the events `names` happened since this was made."""

    def __init__(self, *names: str) -> None:
        self._counters = {name: coverage.counter(name) for name in names}
        self._before = {name: counter.total for name, counter in self._counters.items()}

    def __getitem__(self, name: str) -> int:
        return self._counters[name].total - self._before[name]
