"""Which packets on their way to a bridge's local port are outer packets of a tunnel.

A classifier over the addresses of the devices that routes lead to, crossed with what the tunnels of the
datapath listen for: a UDP port, or GRE. A packet that matches is not given to the host but taken apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from vswitch.base.records import dataclass
from vswitch.classifier.classifier import Classifier
from vswitch.classifier.rule import ClsRule
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.flow.values import format_ipv4, format_ipv6, format_mac
from vswitch.netdev.tunnel_options import is_v4
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_GRE,
    IPPROTO_IPIP,
    IPPROTO_IPV6,
    IPPROTO_UDP,
)

_FIELDS: Final = {
    name: by_name(name)
    for name in ("dl_dst", "dl_type", "nw_dst", "ipv6_dst", "nw_proto", "nw_frag", "udp_dst", "vlan_tci")
}


@dataclass(frozen=True)
class Listening:
    """A tunnel's datapath port `name`, and the UDP port that its packets go to (0: GRE's protocol)."""

    name: str
    odp_port: int
    proto: int
    udp_port: int


@final
class TunnelRule(ClsRule):
    """A rule of the classifier: packets that match are for `listening`."""

    def __init__(self, match: Match, listening: Listening, mac: int, address: int) -> None:
        super().__init__(match, 0)
        self.listening: Listening = listening
        self.mac: int = mac
        self.address: int = address

    def show(self) -> str:
        """A line of `tnl/ports/show -v`."""
        it = self.listening
        eth = f"eth(dst={format_mac(self.mac)}),eth_type(0x{'0800' if is_v4(self.address) else '86dd'})"
        if is_v4(self.address):
            ip = f"ipv4(dst={format_ipv4(self.address & 0xFFFFFFFF)},proto={it.proto},frag=no)"
        else:
            ip = f"ipv6(dst={format_ipv6(self.address)},proto={it.proto},frag=no)"
        udp = f",udp(dst={it.udp_port})" if it.udp_port else ""
        return f"{it.name} ({it.odp_port}) : {eth},{ip}{udp}"


def listening_of(type: str, name: str, odp_port: int, udp_port: int) -> list[Listening]:
    """What a tunnel port of `type` listens for."""
    if type in ("gre", "ip6gre", "erspan", "ip6erspan"):
        return [Listening(name, odp_port, IPPROTO_GRE, 0)]
    if type == "srv6":
        return [Listening(name, odp_port, p, 0) for p in (IPPROTO_IPIP, IPPROTO_IPV6)]
    return [Listening(name, odp_port, IPPROTO_UDP, udp_port)]


def _match(mac: int, address: int, it: Listening) -> Match:
    match = Match()
    match.set(_FIELDS["dl_type"], ETH_TYPE_IP if is_v4(address) else ETH_TYPE_IPV6)
    match.set(_FIELDS["dl_dst"], mac)
    match.set(_FIELDS["vlan_tci"], 0)
    if is_v4(address):
        match.set(_FIELDS["nw_dst"], address & 0xFFFFFFFF)
    else:
        match.set(_FIELDS["ipv6_dst"], address)
    match.set(_FIELDS["nw_proto"], it.proto)
    match.set(_FIELDS["nw_frag"], 0)
    if it.udp_port:
        match.set(_FIELDS["udp_dst"], it.udp_port)
    return match


@final
class Listeners:
    """The classifier, rebuilt when ports or addresses change."""

    def __init__(self) -> None:
        self.rules: list[TunnelRule] = []
        self.classifier: Classifier = Classifier(())

    def rebuild(self, listening: Iterable[Listening], devices: Iterable[tuple[int, int]]) -> bool:
        """Cross what is listened for with `devices`, (Ethernet address, IP address) pairs. Whether that
        is something new. Of tunnels that listen for the same, the first one gets it."""
        wanted: dict[tuple[int, int, int, int], Listening] = {}
        for it in listening:
            for mac, address in devices:
                wanted.setdefault((mac, address, it.proto, it.udp_port), it)
        rules = [(mac, address, it) for (mac, address, _, _), it in wanted.items()]
        if rules == [(rule.mac, rule.address, rule.listening) for rule in self.rules]:
            return False
        self.rules = [TunnelRule(_match(mac, address, it), it, mac, address) for mac, address, it in rules]
        self.classifier = Classifier(())
        for rule in self.rules:
            self.classifier.insert(rule)
        return True

    def lookup(self, flow: Flow, wc: Flow) -> int | None:
        """The tunnel's datapath port that a packet like `flow` is for; notes in `wc` what decided."""
        if not self.rules:
            return None
        rule = self.classifier.lookup(flow, wc)
        return rule.listening.odp_port if isinstance(rule, TunnelRule) else None
