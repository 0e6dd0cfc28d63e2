"""Our switch behind the same calls as `real.RealSwitch`, in this process, on dummy devices."""

from __future__ import annotations

from tests.oracle.real import OracleError
from tests.oracle.setup import Bridge, Port, Query, Setup
from tests.oracle.wired import Wire
from vswitch.base.clock import Clock
from vswitch.base.unixctl import Commands
from vswitch.dpif import open
from vswitch.netdev import dummy
from vswitch.netdev.registry import enable_dummy
from vswitch.netdev.scope import Scope
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.openflow.constants import (
    OFPPC_NO_FLOOD,
    OFPPC_NO_FWD,
    OFPPC_NO_PACKET_IN,
    OFPPC_NO_RECV,
    OFPPC_PORT_DOWN,
    OFPTT_ALL,
)
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.group_text import parse_group
from vswitch.openflow.messages.nicira import NXTTMC_ADD, TlvMap, TlvTableMod
from vswitch.openflow.messages.port import PortMod
from vswitch.openflow.table_text import parse_table_mod
from vswitch.openflow.wire.actions import enable_debug_actions

CONFIG_BITS = {
    "no-flood": OFPPC_NO_FLOOD,
    "no-forward": OFPPC_NO_FWD,
    "no-receive": OFPPC_NO_RECV,
    "no-packet-in": OFPPC_NO_PACKET_IN,
    "down": OFPPC_PORT_DOWN,
}
ETHTYPES = {"802.1q": 0x8100, "802.1ad": 0x88A8}


def vlans(text: str | None) -> frozenset[int] | None:
    """`10,20` as a set; None is all."""
    return None if text is None else frozenset(map(int, text.split(",")))


class OurSwitch:
    """Bridges over the userspace datapath, or dummies' ("dummy"), no daemon around them."""

    def __init__(self, datapath_type: str = "netdev") -> None:
        self.datapath_type = datapath_type
        if datapath_type == "dummy":
            open.enable_dummy()
        self.clock = Clock(virtual=True)
        self.clock.warp(10_000)
        self.commands = Commands()
        self.scope = Scope()
        enable_dummy("override", self.scope)
        enable_debug_actions()
        dummy.register_commands(self.commands, lambda text, size: b"", self.scope)
        self.ofprotos = Ofprotos(self.clock, self.commands, self.scope)

    def close(self) -> None:
        """Take all bridges away."""
        enable_debug_actions(False)
        self.ofprotos.close()
        if self.datapath_type == "dummy":
            open.disable("dummy")

    def configure(self, setup: Setup) -> None:
        """Make the bridges of `setup` the only ones, with their ports, flows and addresses."""
        for name in list(self.ofprotos.all_ofproto_dpifs):
            self.ofprotos.destroy(name)
        for bridge in setup.bridges:
            self.ofprotos.create(bridge.name, self.datapath_type)
        for bridge in setup.bridges:
            self._configure(bridge)
        self._run()
        for query in setup.learn:
            self.learn(query)

    def _configure(self, bridge: Bridge) -> None:
        ofproto = self.ofprotos.all_ofproto_dpifs[bridge.name]
        ofproto.forward_bpdu = bridge.settings.get("forward-bpdu") == "true"
        for number, port in enumerate(bridge.ports, 1):
            peer = port.settings.get("peer")
            if peer:
                ofproto.port_add(port.name, "patch", number, {"peer": peer})
            else:
                ofproto.port_add(port.name, "dummy", number)
            ofproto.bundle_set(port.name, self._bundle(port))
            config = sum(bit for name, bit in CONFIG_BITS.items() if name in port.settings)
            if config:
                self._mod_port(ofproto, port.name, config)
        ofproto.bundle_set(bridge.name, BundleSettings(bridge.name, (bridge.name,)))
        if bridge.tlvs:
            wire = Wire(ofproto, "OpenFlow10")
            wire.send(TlvTableMod(NXTTMC_ADD, tuple(TlvMap(*each) for each in bridge.tlvs)))
            wire.close()
        if bridge.miss:
            table, setting = bridge.miss.split()
            wire = Wire(ofproto, "OpenFlow11")
            wire.send(parse_table_mod(OFPTT_ALL if table == "all" else int(table), setting)[0])
            wire.close()
        self.set_flows(bridge.name, bridge.flows, bridge.dialect, bridge.groups)

    def _mod_port(self, ofproto: OfprotoDpif, name: str, config: int) -> None:
        port = next(port for port in ofproto.ofp_ports() if port.name == name)
        wire = Wire(ofproto, "OpenFlow10")
        wire.send(PortMod(port.port_no, port.hw_addr, config, config))
        wire.close()

    @staticmethod
    def _bundle(port: Port) -> BundleSettings:
        settings = port.settings
        tag = settings.get("tag")
        return BundleSettings(
            port.name,
            (port.name,),
            vlan_mode=settings.get("vlan_mode", ""),
            vlan=None if tag is None else int(tag),
            trunks=vlans(settings.get("trunks")),
            cvlans=vlans(settings.get("cvlans")),
            qinq_ethtype=ETHTYPES[settings.get("qinq-ethtype", "802.1ad")],
            priority_tags=settings.get("priority-tags", "never"),
            protected=settings.get("protected") == "true",
        )

    def set_flows(self, bridge: str, flows: list[str], dialect: str, groups: list[str] | None = None) -> None:
        """Make `flows` the bridge's only ones, after adding `groups`: as messages of `dialect`."""
        wire = Wire(self.ofprotos.all_ofproto_dpifs[bridge], dialect)
        for text in groups or ():
            wire.send(parse_group(text))
        for text in flows:
            wire.send(parse_flow(text))
        wire.close()

    def _run(self) -> None:
        while self.ofprotos.run(self.clock.now()):
            pass

    def appctl(self, command: str, *args: str) -> str:
        """A runtime command; OracleError with its error text if it fails."""
        ok, text = self.commands.run(command, list(args))
        if not ok:
            raise OracleError(text.strip())
        return text

    def learn(self, query: Query) -> None:
        """Let the bridge see a packet; NORMAL learns from it."""
        self.appctl("ofproto/trace", query.bridge, query.flow, query.packet or "-generate")
        self._run()

    def trace(self, query: Query) -> str:
        """What `ofproto/trace` prints."""
        args = [query.packet] if query.packet else []
        return self.appctl("ofproto/trace", query.bridge, query.flow, *args)

    def dump_flows(self) -> str:
        """The datapath's flows, ports by name."""
        self._run()
        return self.appctl("dpctl/dump-flows", "--names")

    def port_names(self) -> dict[str, str]:
        """Datapath port number, as text -> port name."""
        ports: dict[str, str] = {}
        for backer in self.ofprotos.backers.values():
            for number, port in backer.odp_to_ofport.items():
                ports[str(number)] = port.name
        return ports
