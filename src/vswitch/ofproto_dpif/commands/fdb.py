"""`fdb/...`: the MAC learning table of a bridge, shown, changed and counted (ovs-vswitchd(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from vswitch.base.unixctl import CommandError, Commands, Json, leading_number
from vswitch.flow.values import format_mac, parse_mac
from vswitch.openflow.constants import OFPP_LOCAL

if TYPE_CHECKING:
    from vswitch.base.tags import Tag
    from vswitch.l2.mac_learning import MacEntry
    from vswitch.ofproto_dpif.commands.bridges import Bridges
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif

NO_SUCH_BRIDGE: Final = "no such bridge"


def register(ofprotos: Bridges, commands: Commands) -> None:
    """Register the commands for `ofprotos`."""
    fdb = _Fdb(ofprotos)
    commands.register_all((
        ("fdb/add", "bridge port vlan mac", 4, 4, fdb.add),
        ("fdb/del", "bridge vlan mac", 3, 3, fdb.delete),
        ("fdb/flush", "[bridge]", 0, 1, fdb.flush),
        ("fdb/stats-clear", "[bridge]", 0, 1, fdb.stats_clear),
    ))
    commands.register("fdb/show", "bridge", 1, 1, fdb.show, fdb.show_json)
    commands.register("fdb/stats-show", "bridge", 1, 1, fdb.stats_show, fdb.stats_json)


def _mac(text: str) -> int:
    mac = parse_mac(text)
    if mac is None:
        raise CommandError("bad MAC address")
    return mac


def _port_number(entry: MacEntry) -> str:
    ports = entry.port.ports
    number = ports[0].ofp_port if ports else 0
    return "LOCAL" if number == OFPP_LOCAL else str(number)


@final
class _Fdb:
    def __init__(self, ofprotos: Bridges) -> None:
        self.ofprotos = ofprotos

    def _bridge(self, name: str) -> OfprotoDpif:
        ofproto = self.ofprotos.all_ofproto_dpifs.get(name)
        if ofproto is None:
            raise CommandError(NO_SUCH_BRIDGE)
        return ofproto

    def _these(self, args: list[str]) -> list[OfprotoDpif]:
        if args:
            return [self._bridge(args[0])]
        return list(self.ofprotos.all_ofproto_dpifs.values())

    @staticmethod
    def _changed(ofproto: OfprotoDpif, tag: Tag) -> None:
        """What was decided by the entry with `tag` is decided anew."""
        ofproto.backer.revalidate_set.add(tag)

    def add(self, args: list[str]) -> str:
        ofproto = self._bridge(args[0])
        mac = _mac(args[3])
        vlan = leading_number(args[2]) & 0xFFFF
        port = ofproto.ports_by_name.get(args[1])
        if port is None or port.bundle is None:
            raise CommandError("software error, odp port is present but no ofp port")
        table = ofproto.mac_learning
        known = table.lookup(mac, vlan)
        said = ""
        if known is not None:
            if known.static and known.port is port.bundle:
                return ""
            kind = "static" if known.static else "dynamic"
            said = f"Overriding already existing {kind} entry on {_port_number(known)}"
            self._changed(ofproto, table.remove(mac, vlan))
        self._changed(ofproto, table.add_static(mac, vlan, port.bundle, self.ofprotos.clock.now()))
        return said

    def delete(self, args: list[str]) -> str:
        ofproto = self._bridge(args[0])
        mac = _mac(args[2])
        vlan = leading_number(args[1]) & 0xFFFF
        table = ofproto.mac_learning
        known = table.lookup(mac, vlan)
        if known is None or not known.static:
            raise CommandError("could not find static mac entry")
        self._changed(ofproto, table.remove(mac, vlan))
        return ""

    def flush(self, args: list[str]) -> str:
        for ofproto in self._these(args):
            ofproto.flush_mac_table()
        return "table successfully flushed"

    def show(self, args: list[str]) -> str:
        """Port, VLAN, address, seconds since it was seen; least recently seen first."""
        ofproto = self._bridge(args[0])
        now = self.ofprotos.clock.now()
        lines = [" port  VLAN  MAC                Age\n"]
        for entry in ofproto.mac_learning.entries():
            age = "static" if entry.static else f"{ofproto.mac_learning.age(entry, now):3d}"
            lines.append(f"{_port_number(entry):>5}  {entry.vlan:4d}  {format_mac(entry.mac)}  {age}\n")
        return "".join(lines)

    def show_json(self, args: list[str]) -> Json:
        """{bridge: [{"port", "vlan", "mac", and "age" (s) or "static"}]}, in the text's order."""
        ofproto = self._bridge(args[0])
        table, now = ofproto.mac_learning, self.ofprotos.clock.now()
        return {
            ofproto.name: [
                {
                    "port": entry.port.ports[0].ofp_port if entry.port.ports else 0,
                    "vlan": entry.vlan,
                    "mac": format_mac(entry.mac),
                    **({"static": True} if entry.static else {"age": table.age(entry, now)}),
                }
                for entry in table.entries()
            ]
        }

    def stats_json(self, args: list[str]) -> Json:
        """{bridge: {"entries": numbers now, "events": counters}}."""
        ofproto = self._bridge(args[0])
        ml = ofproto.mac_learning
        return {
            ofproto.name: {
                "entries": {"current": len(ml), "maximum": ml.max_entries, "static": ml.n_static},
                "events": {
                    "learned": ml.total_learned,
                    "expired": ml.total_expired,
                    "evicted": ml.total_evicted,
                    "moved": ml.total_moved,
                },
            }
        }

    def stats_show(self, args: list[str]) -> str:
        ofproto = self._bridge(args[0])
        ml = ofproto.mac_learning
        return (
            f'Statistics for bridge "{ofproto.name}":\n'
            f"  Current/maximum MAC entries in the table: {len(ml)}/{ml.max_entries}\n"
            f"  Current static MAC entries in the table : {ml.n_static}\n"
            f"  Total number of learned MAC entries     : {ml.total_learned}\n"
            f"  Total number of expired MAC entries     : {ml.total_expired}\n"
            f"  Total number of evicted MAC entries     : {ml.total_evicted}\n"
            f"  Total number of port moved MAC entries  : {ml.total_moved}\n"
        )

    def stats_clear(self, args: list[str]) -> str:
        for ofproto in self._these(args):
            ofproto.mac_learning.clear_statistics()
        return "statistics successfully cleared"
