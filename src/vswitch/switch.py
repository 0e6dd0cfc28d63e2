"""`Switch`: the whole switch as an object in memory, for unit-testing flow tables.

No root, no devices, no threads, and a clock that stands still until `advance` moves it. Below
it is everything that a daemon runs: bridge, translation, facets, expiration, the userspace
datapath; only the devices are dummies. Flow, group, meter and port mods are checked and carried out
by the functions that messages of OpenFlow connections end in; table mods, packet-outs, bundles and
whatever else `request` is given are such messages.

    sw = Switch("br0", ports=["p1", "p2"])
    sw.add_flow("in_port=p1,tcp,tp_dst=80,actions=output:p2")
    sw.send("p1", "tcp,tp_dst=80")
    assert len(sw.received("p2")) == 1
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from vswitch.base.clock import Clock
from vswitch.base.unixctl import CommandError, Commands
from vswitch.flow.compose import flow_compose, flow_compose_sized
from vswitch.flow.match_text import parse_exact_flow
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.flow.values import parse_port
from vswitch.netdev import dummy
from vswitch.netdev.registry import enable_dummy, kind
from vswitch.netdev.scope import Scope
from vswitch.ofproto.handlers_flow import apply_flow_mod
from vswitch.ofproto.handlers_group import apply_group_mod, apply_meter_mod
from vswitch.ofproto.handlers_port import apply_port_mod, check_port_mod
from vswitch.ofproto.request import bundle as carry_out_bundle
from vswitch.ofproto.request import request
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tables import FlowModResult
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.settings import BundleSettings, MirrorSettings
from vswitch.ofproto_dpif.xlate.queued_packet_in import QueuedPacketIn
from vswitch.openflow.constants import OFPFF_RESET_COUNTS, OFPP_LOCAL, OFPP_MAX, OFPPC_NO_FLOOD, OFPTT_ALL
from vswitch.openflow.flow_mod import COOKIE_NONE, FlowMod, FlowModCommand
from vswitch.openflow.flow_text import format_flow, parse_flow, parse_flow_file
from vswitch.openflow.group_text import parse_group, parse_meter
from vswitch.openflow.messages.port import PortMod
from vswitch.openflow.packet_out_text import packet_out, parse_bundle_line
from vswitch.openflow.table_text import parse_table_mod
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP14

MAX_TURNS: Final = 1000
"""Turns of the main loop after which a switch that does not come to rest is an error."""
DEFAULT_PAYLOAD: Final = bytes(64)
"""What packets made of flow text carry."""


@runtime_checkable
class SupportsBytes(Protocol):
    """Such as a Scapy packet."""

    def __bytes__(self) -> bytes: ...


Packet: TypeAlias = bytes | bytearray | str | SupportsBytes


def as_openflow10(fm: FlowMod) -> FlowMod:
    """Give `fm` the meaning that it has by ovs-ofctl's default, OpenFlow 1.0: an addition starts
    counting anew, a modification sets the cookie (to 0 if it gives none and selects by none)."""
    if fm.command == FlowModCommand.ADD:
        fm.flags |= OFPFF_RESET_COUNTS
    elif fm.command in (FlowModCommand.MODIFY, FlowModCommand.MODIFY_STRICT):
        fm.modify_cookie = fm.new_cookie != COOKIE_NONE
    return fm


class Switch:
    """A bridge `name` over a userspace datapath of its own.

    `ports` are names, numbered from 1 on. The flow table is empty at first, so that everything
    is dropped; "actions=NORMAL" makes a learning switch. `close` (or `with`) gives everything
    back. `ofproto` is the bridge itself, for tests that look inside.
    """

    def __init__(self, name: str = "br0", ports: Iterable[str] = (), flows: str = "") -> None:
        self.name: str = name
        self.clock: Clock = Clock(virtual=True)
        self.clock.warp(10_000)  # at 0 ms, "used" would mean "never"
        self._scope: Scope = Scope()
        self._commands: Commands = Commands()
        enable_dummy("override", self._scope)
        self._ofprotos: Ofprotos = Ofprotos(self.clock, self._commands, self._scope)
        dummy.register_commands(self._commands, self._compose, self._scope)
        self.ofproto: OfprotoDpif = self._ofprotos.create(name, "netdev")
        self._run()
        for port in ports:
            self.add_port(port)
        self.add_flows(flows)

    # Ports.

    def add_port(self, name: str, number: int | None = None, *, tag: int | None = None,
                 trunks: Iterable[int] | None = None, vlan_mode: str = "", bridge: str = "",
                 peer: str = "", **settings: Any) -> int:
        """Add a port, and return its OpenFlow number (`number` if that is free).

        `tag`, `trunks` and `vlan_mode` are as in the database's Port table; `settings` are
        further ones (`priority_tags`, `cvlans`, `protected`...). `peer` makes it a patch port to
        the port of that name. `bridge` is the bridge that gets it, made by `add_bridge`.
        OSError: the name or number is taken, or a setting is invalid.
        """
        ofproto = self._bridge(bridge)
        options = {"peer": peer} if peer else {}
        port = ofproto.port_add(name, "patch" if peer else "dummy", number, options)
        ofproto.bundle_set(name, BundleSettings(
            name, (name,), vlan_mode, tag, None if trunks is None else frozenset(trunks), **settings
        ))
        self._run()
        return port.ofp_port

    def set_port(self, name: str, *, up: bool | None = None, carrier: bool | None = None,
                 flood: bool | None = None, tag: int | None = None, trunks: Iterable[int] | None = None,
                 vlan_mode: str | None = None, bridge: str = "") -> None:
        """Change a port: its device's state, whether it floods, its VLANs (all three at once)."""
        ofproto = self._bridge(bridge)
        if up is not None:
            dummy.find(name, self._scope).set_up(up)
        if carrier is not None:
            dummy.find(name, self._scope).set_carrier(carrier)
        if flood is not None:
            number = ofproto.ports_by_name[name].ofp_port
            address = next(port.hw_addr for port in ofproto.ofp_ports() if port.port_no == number)
            mod = PortMod(number, address, 0 if flood else OFPPC_NO_FLOOD, OFPPC_NO_FLOOD)
            apply_port_mod(ofproto, mod, check_port_mod(ofproto, mod), OFP10)
        if tag is not None or trunks is not None or vlan_mode is not None:
            allowed = None if trunks is None else frozenset(trunks)
            ofproto.bundle_set(name, BundleSettings(name, (name,), vlan_mode or "", tag, allowed))
        self._run()

    def del_port(self, name: str, bridge: str = "") -> None:
        """Remove a port. OSError(ENODEV): there is none of that name."""
        self._bridge(bridge).port_del(name)
        self._run()

    def add_bridge(self, name: str) -> None:
        """A second bridge on the same datapath, for patch ports to lead to."""
        self._ofprotos.create(name, "netdev")
        self._run()

    def add_mirror(self, name: str, out: str, *, srcs: Iterable[str] = (), dsts: Iterable[str] = (),
                   vlans: Iterable[int] | None = None, select_all: bool = False) -> None:
        """Copy packets to port `out`: those that come in at `srcs`, go out at `dsts`, or all."""
        self.ofproto.mirror_set(name, MirrorSettings(
            name, tuple(srcs), tuple(dsts), select_all, None if vlans is None else frozenset(vlans), out
        ))
        self._run()

    @property
    def ports(self) -> dict[str, int]:
        """Port names and their OpenFlow numbers, without the local port."""
        return {p.name: n for n, p in sorted(self.ofproto.ports.items()) if n < OFPP_MAX}

    # Flows.

    def add_flow(self, text: str, bridge: str = "") -> None:
        """Add a flow, in ovs-ofctl's syntax: "table=0,priority=1,in_port=p1,actions=output:2".

        FlowSyntaxError points at a bad word; OfpError is OpenFlow's refusal.
        """
        self._flow_mods([self._parse(text, FlowModCommand.ADD, bridge)], bridge)

    def add_flows(self, text: str, bridge: str = "") -> None:
        """Add the flows of a file's text, one a line; "#" begins a comment. A line may begin
        with add, modify, modify_strict, delete or delete_strict."""
        names, _ = self._names(bridge)
        self._flow_mods([as_openflow10(fm) for fm in parse_flow_file(text, ports=names)], bridge)

    def add_group(self, text: str, bridge: str = "") -> None:
        """Add a group, in ovs-ofctl's syntax: "group_id=1,type=select,bucket=output:p1,bucket=output:p2".

        A first word `modify`, `add_or_mod`, `delete`, `insert_bucket` or `remove_bucket` does that
        instead. FlowSyntaxError points at a bad word; OfpError is OpenFlow's refusal.
        """
        names, _ = self._names(bridge)
        apply_group_mod(self._bridge(bridge), parse_group(text, ports=names), self.clock.now())
        self._settle()

    def add_meter(self, text: str, bridge: str = "") -> None:
        """Add a meter, in ovs-ofctl's syntax: "meter=1,kbps,bands=type=drop,rate=1000".

        FlowSyntaxError points at a bad word; OfpError is OpenFlow's refusal.
        """
        apply_meter_mod(self._bridge(bridge), parse_meter(text), self.clock.now())
        self._settle()

    def bundle(self, text: str, bridge: str = "") -> None:
        """Carry out the lines of a file for `ovs-ofctl bundle`, all or none: "flow add ...", "group ...",
        "packet-out ...", one a line; "#" begins a comment.

        FlowSyntaxError points at a bad word; OfpError is OpenFlow's refusal of one line.
        """
        names, _ = self._names(bridge)
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        bodies = [parse_bundle_line(line, names) for line in lines if line]
        carry_out_bundle(self._bridge(bridge), bodies, OFP14, self.clock.now())
        self._run()

    def mod_table(self, table: int | None, setting: str, bridge: str = "") -> None:
        """Configure a table (None: all), in the words of ovs-ofctl's mod-table: "continue", "drop",
        "controller", "evict", "noevict", "vacancy:20,80", "novacancy". FlowSyntaxError, OfpError."""
        body, versions = parse_table_mod(OFPTT_ALL if table is None else table, setting)
        self.request(body, versions[0], bridge)

    def request(self, body: Any, version: int = OFP14, bridge: str = "") -> list[Any]:
        """What an OpenFlow connection of `version` gets for a message (`vswitch.openflow.messages`): the
        bodies of the replies. OfpError is OpenFlow's refusal."""
        replies = request(self._bridge(bridge), [body], version, self.clock.now())
        self._run()
        return replies

    def mod_flows(self, text: str, strict: bool = False, bridge: str = "") -> None:
        """Change the actions of flows, all narrower ones or (`strict`) just the one."""
        command = FlowModCommand.MODIFY_STRICT if strict else FlowModCommand.MODIFY
        self._flow_mods([self._parse(text, command, bridge)], bridge)

    def del_flows(self, text: str = "", strict: bool = False, bridge: str = "") -> None:
        """Delete flows: all, or those at least as narrow as `text`, or (`strict`) just the one."""
        command = FlowModCommand.DELETE_STRICT if strict else FlowModCommand.DELETE
        self._flow_mods([self._parse(text, command, bridge)], bridge)

    def flows(self, text: str = "", bridge: str = "") -> list[Rule]:
        """The flows at least as narrow as `text`, their counters up to date: by table, then by
        falling priority."""
        fm = self._parse(text, FlowModCommand.DELETE, bridge)
        self._settle()
        found = self._bridge(bridge).tables.collect(
            fm.match, fm.table_id, fm.cookie, fm.cookie_mask, fm.out_port, fm.out_group
        )
        return sorted(found, key=lambda r: (r.table_id, -r.priority, str(r.match)))

    def n_packets(self, text: str = "", bridge: str = "") -> int:
        """How many packets matched the flows that `text` selects."""
        return sum(rule.n_packets for rule in self.flows(text, bridge))

    def dump_flows(self, text: str = "", stats: bool = True, names: bool = False, bridge: str = "") -> str:
        """As `ovs-ofctl dump-flows`, a flow a line; `stats` False as with --no-stats."""
        now = self.clock.now()
        _, numbers = self._names(bridge)
        lines = []
        for rule in self.flows(text, bridge):
            hard = (now - rule.modified) // 1000
            lines.append(format_flow(
                rule.match, rule.actions, rule.priority, table_id=rule.table_id, cookie=rule.cookie,
                idle_timeout=rule.idle_timeout, hard_timeout=rule.hard_timeout, importance=rule.importance,
                flags=rule.flags & ~OFPFF_RESET_COUNTS, duration_ms=now - rule.created,
                n_packets=rule.n_packets, n_bytes=rule.n_bytes, idle_age=(now - rule.used) // 1000,
                hard_age=hard if hard != (now - rule.created) // 1000 else -1, stats=stats,
                names=numbers if names else None,
            ))
        return "".join(f"{line}\n" for line in lines)

    # Packets.

    def send(self, port: str, *packets: Packet) -> None:
        """Packets arrive at `port`, and the switch does all that follows from them.

        A packet is bytes from the Ethernet header on, a Scapy packet, or flow text such as
        "tcp,dl_src=00:00:00:00:00:01,tp_dst=80".
        """
        frames = [self._packet(packet) for packet in packets]
        device = dummy.find(port, self._scope)
        for frame in frames:
            device.inject(frame)
        self._run()

    def packet_out(self, packet: Packet, actions: str, in_port: str | int = "controller",
                   bridge: str = "") -> None:
        """A controller sends a packet (as for `send`), which the switch gives `actions` as if it had
        come from `in_port`. FlowSyntaxError, OfpError."""
        names, _ = self._names(bridge)
        number = parse_port(str(in_port), names)
        if number is None:
            raise FlowSyntaxError(f"{in_port} is not a valid OpenFlow port", str(in_port))
        self.request(packet_out(self._packet(packet), actions, number, names), OFP10, bridge)

    def received(self, port: str) -> list[bytes]:
        """Take what came out of `port` since the last call."""
        return dummy.find(port, self._scope).transmitted()

    def received_all(self) -> dict[str, list[bytes]]:
        """Take what came out of every port; ports without packets are left out."""
        taken: dict[str, list[bytes]] = {}
        for bridge in self._ofprotos.all_ofproto_dpifs.values():
            for port in bridge.ports.values():
                with contextlib.suppress(OSError):
                    packets = dummy.find(port.name, self._scope).transmitted()
                    if packets:
                        taken[port.name] = packets
        return taken

    def packet_ins(self) -> list[QueuedPacketIn]:
        """Take the packets that went to controllers."""
        queue = self.ofproto.packet_ins
        taken = list(queue)
        queue.clear()
        return taken

    def trace(self, text: str, packet: Packet | None = None, bridge: str = "") -> str:
        """What would happen to a packet, as `ofproto/trace` tells it; `text` is its flow, with
        in_port by name or number. Nothing is sent, counted or (without `packet`) learned."""
        args = [self._bridge(bridge).name, text]
        if packet is not None:
            args.append(self._packet(packet).hex())
        return self.command("ofproto/trace", *args)

    # Time and introspection.

    def advance(self, seconds: float) -> None:
        """Time passes, and with it timeouts: at most a second at once, as in a running switch."""
        left = round(seconds * 1000)
        while left > 0:
            step = min(left, 1000)
            self.clock.warp(step)
            left -= step
            self._run()

    def command(self, name: str, *args: str) -> str:
        """A runtime command, as `ovs-appctl NAME ARGS...`; the bridge's name may be left out of
        those that want just that. CommandError is its error reply."""
        if not args and " " in name:
            name, *rest = shlex.split(name)
            args = tuple(rest)
        ok, text = self._commands.run(name, args)
        if not ok and not args:
            ok, text = self._commands.run(name, [self.name])
        self._run()
        if not ok:
            raise CommandError(text)
        return text

    def dump_dp_flows(self, names: bool = False) -> str:
        """The datapath's flows, as `dpctl/dump-flows`, sorted."""
        args = ["--names"] if names else []
        lines = self.command("dpctl/dump-flows", *args).splitlines()
        return "".join(f"{line}\n" for line in sorted(lines) if not line.startswith("flow-dump from"))

    def stats(self, port: str) -> dict[str, int]:
        """rx_packets, tx_packets, rx_bytes, tx_bytes, rx_dropped, tx_dropped... of a port."""
        self._settle()
        ofport = next(
            (b.ports_by_name[port] for b in self._ofprotos.all_ofproto_dpifs.values()
             if port in b.ports_by_name), None)
        if ofport is None:
            raise KeyError(port)
        if not kind(ofport.type).in_datapath:
            return {name: getattr(ofport, name)
                    for name in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes")}
        return self.ofproto.backer.dpif.port_stats(ofport.odp_port)

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self._ofprotos.close()

    def __enter__(self) -> Switch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Switch({self.name!r}, ports={list(self.ports)})"

    # Within.

    def _bridge(self, name: str) -> OfprotoDpif:
        if not name:
            return self.ofproto
        found = self._ofprotos.all_ofproto_dpifs.get(name)
        if found is None:
            raise KeyError(f"no bridge {name}")
        return found

    def _names(self, bridge: str) -> tuple[Mapping[str, int], Mapping[int, str]]:
        ports = self._bridge(bridge).ports
        return (
            {p.name: n for n, p in ports.items() if n != OFPP_LOCAL},
            {n: p.name for n, p in ports.items() if n != OFPP_LOCAL},
        )

    def _parse(self, text: str, command: FlowModCommand, bridge: str) -> FlowMod:
        names, _ = self._names(bridge)
        fm = parse_flow(text, command, names)
        return as_openflow10(fm)

    def _flow_mods(self, mods: Iterable[FlowMod], bridge: str) -> list[FlowModResult]:
        ofproto = self._bridge(bridge)
        results = [apply_flow_mod(ofproto, fm, OFP10, Form.EXTENSION) for fm in mods]
        self._run()
        return results

    def _compose(self, text: str, size: int | None = None) -> bytes:
        flow = parse_exact_flow(text, self._names("")[0])
        return flow_compose(flow, DEFAULT_PAYLOAD) if size is None else flow_compose_sized(flow, size)

    def _packet(self, packet: Packet) -> bytes:
        return self._compose(packet) if isinstance(packet, str) else bytes(packet)

    def _settle(self) -> None:
        self.ofproto.backer.settle(self.clock.now())

    def _run(self) -> None:
        """Turns of the main loop until there is nothing more to do."""
        for _ in range(MAX_TURNS):
            if not self._ofprotos.run(self.clock.now()):
                return
        raise RuntimeError(f"{self.name} does not come to rest")
