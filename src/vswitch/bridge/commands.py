"""The runtime commands that belong to bridges (ovs-vswitchd(8), BRIDGE COMMANDS), with their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from vswitch.base.unixctl import CommandError, Commands
from vswitch.netdev.registry import kind
from vswitch.ofproto.rule import Rule
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.openflow.action_text import format_actions

if TYPE_CHECKING:
    from vswitch.bridge.follower import Follower


def register(bridges: Follower, commands: Commands) -> None:
    """Register the commands for `bridges`."""
    c = _Commands(bridges)
    commands.register("bridge/dump-flows", "[--offload-stats] bridge", 1, 2, c.dump_flows)
    commands.register("bridge/reconnect", "[bridge]", 0, 1, c.reconnect)
    commands.register("qos/show", "interface", 1, 1, c.qos_show)
    commands.register("qos/show-types", "interface", 1, 1, c.qos_show_types)


def format_rule(ofproto: OfprotoDpif, rule: Rule, now: int, offload: bool) -> str:
    """One line of `bridge/dump-flows`: hidden rules show as well."""
    words = [f"table_id={rule.table_id}"] if rule.table_id else []
    words += [f"duration={(now - rule.created) // 1000}s", f"n_packets={rule.n_packets}",
              f"n_bytes={rule.n_bytes}"]  # fmt: skip
    if offload:
        words += ["n_offload_packets=0", "n_offload_bytes=0"]
    actions = format_actions(rule.actions) or "drop"
    words.append(f"{rule.match.format(rule.priority)},actions={actions}")
    return ", ".join(words) + "\n"


@final
class _Commands:
    def __init__(self, bridges: Follower) -> None:
        self._bridges = bridges

    def _bridge(self, name: str) -> OfprotoDpif:
        bridge = self._bridges.bridges.get(name)
        if bridge is None:
            raise CommandError("Unknown bridge")
        return bridge.ofproto

    def dump_flows(self, args: list[str]) -> str:
        offload = args[0] == "--offload-stats" and len(args) == 2
        ofproto = self._bridge(args[-1])
        now = self._bridges.clock.now()
        ofproto.backer.settle(now)
        return "".join(
            format_rule(ofproto, rule, now, offload) for table in ofproto.tables for rule in table
        )

    def reconnect(self, args: list[str]) -> str:
        if args:
            self._bridge(args[0]).controllers.reconnect()
        else:
            for bridge in self._bridges.bridges.values():
                bridge.ofproto.controllers.reconnect()
        return ""

    def _owner(self, name: str) -> OfprotoDpif:
        """The bridge that has the interface."""
        for bridge in self._bridges.bridges.values():
            if name in bridge.interfaces:
                return bridge.ofproto
        raise CommandError("no such interface")

    def qos_show(self, args: list[str]) -> str:
        self._owner(args[0])
        return self._bridges.qos.show(args[0])

    def qos_show_types(self, args: list[str]) -> str:
        owner = self._owner(args[0])
        port = owner.ports_by_name.get(args[0])
        policers = port is not None and kind(port.type).has_device and owner.backer.dpif.polices_egress()
        return self._bridges.qos.show_types(args[0], policers)
