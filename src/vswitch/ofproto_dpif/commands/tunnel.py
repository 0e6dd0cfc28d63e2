"""`ovs/route/*`, `tnl/neigh/*`, `tnl/arp/*`, `tnl/ports/show`, `tnl/egress_port_range`."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from vswitch.base.unixctl import CommandError, Commands, Json
from vswitch.flow.values import parse_mac
from vswitch.netdev.tunnel_options import TunnelConfig, format_address, is_v4, parse_address
from vswitch.ofproto_dpif.tunnel.neighbours import MAX_AGING
from vswitch.ofproto_dpif.tunnel.routes import parse_prefix

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.commands.bridges import Bridges


def register(ofprotos: Bridges, commands: Commands) -> None:
    """Register the commands for `ofprotos`."""
    c = _Commands(ofprotos)
    commands.register_all((
        ("ovs/route/add", "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark]", 2, 5,
         c.route_add),
        ("ovs/route/del", "ip_addr/prefix_len [pkt_mark=mark]", 1, 2, c.route_del),
        ("ovs/route/lookup", "ip_addr [pkt_mark=mark]", 1, 2, c.route_lookup),
        ("tnl/ports/show", "-v", 0, 1, c.ports_show),
        ("tnl/egress_port_range", "min max", 0, 2, c.egress_port_range),
    ))
    commands.register("ofproto/list-tunnels", "", 0, 0, c.list_tunnels)
    commands.register("ovs/route/show", "", 0, 0, c.route_show, c.route_show_json)
    for family in ("arp", "neigh"):
        commands.register(f"tnl/{family}/show", "", 0, 0, c.neigh_show)
        commands.register(f"tnl/{family}/set", "BRIDGE IP MAC", 3, 3, c.neigh_set)
        commands.register(f"tnl/{family}/flush", "", 0, 0, c.neigh_flush)
        commands.register(f"tnl/{family}/aging", "[SECS]", 0, 1, c.neigh_aging)


def _keyword(args: list[str], name: str) -> str | None:
    """The value of word "name=value", which is taken out of `args`."""
    for i, word in enumerate(args):
        if word.startswith(f"{name}="):
            del args[i]
            return word.partition("=")[2]
    return None


def _mark(text: str | None) -> int | None:
    """A packet mark, 0 if there is none; None if it is no number."""
    if text is None:
        return 0
    try:
        value = int(text, 0)
    except ValueError:
        return None
    return value if 0 <= value <= 0xFFFFFFFF else None


def _key(flow: bool, key: int | None, none: str) -> str:
    if flow:
        return "flow"
    return none if key is None else f"0x{key:x}" if key else "0"


def _described(config: TunnelConfig, odp_port: int) -> str:
    """What makes a tunnel, as `ofproto/list-tunnels` shows it."""
    local = "flow" if config.local_flow else format_address(config.local_ip)
    remote = "flow" if config.remote_flow else format_address(config.remote_ip)
    parts = [
        f"{config.type}: {local}->{remote}", f"key={_key(config.in_key_flow, config.in_key, '0')}",
        config.packet_type, f"dp port={odp_port}",
    ]  # fmt: skip
    if (config.out_key_flow, config.out_key) != (config.in_key_flow, config.in_key):
        parts.append(f"out_key={_key(config.out_key_flow, config.out_key, 'none')}")
    parts.append(f"ttl={'inherit' if config.ttl_inherit else config.ttl}")
    if config.tos_inherit:
        parts.append("tos=inherit")
    elif config.tos:
        parts.append(f"tos=0x{config.tos:x}")
    if not config.df:
        parts.append("df=false")
    if config.csum:
        parts.append("csum=true")
    return ", ".join(parts)


@final
class _Commands:
    def __init__(self, ofprotos: Bridges) -> None:
        self.ofprotos = ofprotos
        self.underlay = ofprotos.underlay

    def _now(self) -> int:
        return self.ofprotos.clock.now()

    def route_add(self, args: list[str]) -> str:
        prefix = parse_prefix(args[0])
        if prefix is None:
            raise CommandError("Invalid parameters")
        rest = args[2:]
        mark = _mark(_keyword(rest, "pkt_mark"))
        source_text = _keyword(rest, "src")
        source = parse_address(source_text) if source_text is not None else 0
        gateway = parse_address(rest[0]) if rest else 0
        ipv4 = is_v4(prefix[0])
        if gateway is None or (rest and is_v4(gateway) != ipv4) or (mark is None and not rest):
            raise CommandError(f"Invalid pkt_mark or {'' if ipv4 else 'IPv6 '}gateway")
        if mark is None or len(rest) > 1:
            raise CommandError("Invalid pkt_mark")
        if source is None:
            raise CommandError("Invalid src")
        own = [address for address, _ in self.underlay.addresses(args[1])]
        if source and source not in own:
            raise CommandError("Error while inserting route.")
        if not self.underlay.routes.add(*prefix, args[1], gateway, mark, source):
            raise CommandError("Error while inserting route.")
        return "OK"

    def route_show(self, args: list[str]) -> str:
        return "Route Table:\n" + "".join(f"{route.show()}\n" for route in self.underlay.routes.all())

    def route_show_json(self, args: list[str]) -> Json:
        """The routes with the keys of `ip -json route`, each with one next hop."""
        return [route.to_json() for route in self.underlay.routes.all()]

    def route_del(self, args: list[str]) -> str:
        prefix = parse_prefix(args[0])
        if prefix is None:
            raise CommandError("Invalid parameters")
        rest = args[1:]
        mark = _mark(_keyword(rest, "pkt_mark"))
        if mark is None or rest:
            raise CommandError("Invalid pkt_mark")
        if not self.underlay.routes.delete(*prefix, mark):
            raise CommandError("Not found")
        return "OK"

    def route_lookup(self, args: list[str]) -> str:
        prefix = parse_prefix(args[0])
        if prefix is None or prefix[1] != 128:
            raise CommandError("Invalid parameters")
        rest = args[1:]
        mark = _mark(_keyword(rest, "pkt_mark"))
        if mark is None or rest:
            raise CommandError("Invalid pkt_mark")
        route = self.underlay.routes.lookup(prefix[0], mark)
        if route is None:
            raise CommandError("Not found")
        gateway = format_address(route.gw)
        return f"src {format_address(route.src)}\ngateway {gateway}\ndev {route.dev}\n"

    def list_tunnels(self, _args: list[str]) -> str:
        tunnels = [
            (port.odp_port, port.name, port.tunnel)
            for ofproto in self.ofprotos.all_ofproto_dpifs.values()
            for port in ofproto.ports_by_name.values()
            if port.tunnel is not None
        ]
        return "".join(f"port {n}: {name} ({_described(config, n)})\n" for n, name, config in sorted(
            tunnels, key=lambda tunnel: tunnel[:2]))  # fmt: skip

    def ports_show(self, args: list[str]) -> str:
        underlay = self.underlay
        lines = ["Listening ports:"]
        if args == ["-v"]:
            underlay.rebuild()
            lines += [rule.show() for rule in underlay.listeners.rules]
        else:
            lines += [f"{it.name} ({it.odp_port}) ref_cnt={n}" for it, n in underlay.listening]
        return "".join(f"{line}\n" for line in lines)

    def egress_port_range(self, args: list[str]) -> str:
        if len(args) < 2:
            low, high = self.underlay.source_ports
            return f"Tunnel UDP source port range: {low}-{high}\n"
        numbers = []
        for text, name in zip(args, ("min", "max"), strict=True):
            if not text.isdigit() or not 1 <= int(text) <= 65535:
                return f"Invalid {name}.\n"
            numbers.append(int(text))
        self.underlay.source_ports = (min(numbers), max(numbers))
        for backer in self.ofprotos.backers.values():
            backer.dpif.set_tunnel_source_ports(*self.underlay.source_ports)
        return "OK"

    # Neighbours.

    def neigh_show(self, args: list[str]) -> str:
        return self.underlay.neighbours.show(self._now())

    def neigh_set(self, args: list[str]) -> str:
        bridge, ip, mac_text = args
        address = parse_address(ip)
        if address is None:
            raise CommandError("bad IP address")
        mac = parse_mac(mac_text)
        if mac is None:
            raise CommandError("bad MAC address")
        self.underlay.neighbours.set(bridge, address, mac, self._now())
        return "OK"

    def neigh_flush(self, args: list[str]) -> str:
        self.underlay.neighbours.flush()
        return "OK"

    def neigh_aging(self, args: list[str]) -> str:
        table = self.underlay.neighbours
        if not args:
            return str(table.aging)
        if not args[0].isdigit() or not 1 <= int(args[0]) <= MAX_AGING:
            raise CommandError("bad aging value")
        table.aging = int(args[0])
        return "OK"
