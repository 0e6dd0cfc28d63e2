"""`mdb/...`: the multicast snooping table of a bridge, shown and flushed (ovs-vswitchd(8))."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, final

from vswitch.base.unixctl import CommandError, Commands, Json
from vswitch.openflow.constants import OFPP_LOCAL

if TYPE_CHECKING:
    from vswitch.l2.mcast_snooping import Group, McastSnooping
    from vswitch.ofproto_dpif.commands.bridges import Bridges
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
    from vswitch.ofproto_dpif.xlate.bridge import XBundle


def register(ofprotos: Bridges, commands: Commands) -> None:
    """Register the commands for `ofprotos`."""
    c = _Mdb(ofprotos)
    commands.register("mdb/flush", "[bridge]", 0, 1, c.flush)
    commands.register("mdb/show", "bridge", 1, 1, c.show, c.show_json)


@final
class _Mdb:
    def __init__(self, ofprotos: Bridges) -> None:
        self._ofprotos = ofprotos

    def _bridge(self, name: str) -> OfprotoDpif:
        ofproto = self._ofprotos.all_ofproto_dpifs.get(name)
        if ofproto is None:
            raise CommandError("no such bridge")
        return ofproto

    def flush(self, args: list[str]) -> str:
        if args:
            ofproto = self._bridge(args[0])
            if ofproto.mcast_snooping is None:
                raise CommandError("multicast snooping is disabled")
            bridges = [ofproto]
        else:
            bridges = list(self._ofprotos.all_ofproto_dpifs.values())
        for ofproto in bridges:
            ofproto.flush_multicast()
        return "table successfully flushed"

    def _table(self, args: list[str]) -> McastSnooping:
        table = self._bridge(args[0]).mcast_snooping
        if table is None:
            raise CommandError("multicast snooping is disabled")
        return table

    def show_json(self, args: list[str]) -> Json:
        """{bridge: {"groups": [...], "routers": [...]}}: ports by OpenFlow number, ages in s."""
        table = self._table(args)
        second = self._ofprotos.clock.now() // 1000
        return {
            args[0]: {
                "groups": [
                    {
                        "port": _number(port),
                        "vlan": group.vlan,
                        "protocol": group.protocol,
                        "group": _address(group),
                        "age": second - used // 1000,
                    }
                    for group in table.groups()
                    for port, used in group.ports.items()
                ],
                "routers": [
                    {"port": _number(port), "vlan": vlan, "age": second - used // 1000}
                    for vlan, port, used in table.all_routers()
                ],
            }
        }

    def show(self, args: list[str]) -> str:
        table = self._table(args)
        second = self._ofprotos.clock.now() // 1000
        text = " port  VLAN  protocol  GROUP                Age\n"
        for group in table.groups():
            address = _address(group)
            for port, used in group.ports.items():
                age = second - used // 1000
                text += (
                    f"{_number(port):>5}  {group.vlan:4}  {group.protocol:<8}  {address}         {age:3}\n"
                )
        for vlan, port, used in table.all_routers():
            text += f"{_number(port):>5}  {vlan:4}            querier             {second - used // 1000:3}\n"
        return text


def _address(group: Group) -> str:
    version = ipaddress.IPv6Address if group.ipv6 else ipaddress.IPv4Address
    return str(version(group.address))


def _number(bundle: XBundle) -> str:
    """The OpenFlow number of a bundle's first port."""
    number = bundle.ports[0].ofp_port if bundle.ports else 0
    return "LOCAL" if number == OFPP_LOCAL else str(number)
