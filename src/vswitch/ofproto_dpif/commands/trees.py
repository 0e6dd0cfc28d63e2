"""`stp/...` and `rstp/...`: spanning trees shown, and a topology change announced (ovs-vswitchd(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from vswitch.base.unixctl import CommandError, Commands
from vswitch.flow.values import format_mac

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.commands.bridges import Bridges
    from vswitch.ofproto_dpif.protocols.rstp import RstpBridge
    from vswitch.ofproto_dpif.protocols.stp import StpBridge


def register(ofprotos: Bridges, commands: Commands) -> None:
    """Register the commands for `ofprotos`."""
    c = _Trees(ofprotos)
    commands.register("stp/show", "[bridge]", 0, 1, c.stp_show)
    commands.register("stp/tcn", "[bridge]", 0, 1, c.stp_tcn)
    commands.register("rstp/show", "[bridge]", 0, 1, c.rstp_show)
    commands.register("rstp/tcn", "[bridge]", 0, 1, c.rstp_tcn)


@final
class _Trees:
    def __init__(self, ofprotos: Bridges) -> None:
        self._ofprotos = ofprotos

    def _stps(self, args: list[str]) -> list[StpBridge]:
        bridges = [b.stp for b in self._ofprotos.all_ofproto_dpifs.values() if b.stp is not None]
        if args:
            bridges = [b for b in bridges if b.ofproto.name == args[0]]
            if not bridges:
                raise CommandError("no such stp object")
        return bridges

    def _rstps(self, args: list[str]) -> list[RstpBridge]:
        bridges = [b.rstp for b in self._ofprotos.all_ofproto_dpifs.values() if b.rstp is not None]
        if args:
            bridges = [b for b in bridges if b.ofproto.name == args[0]]
            if not bridges:
                raise CommandError("No such RSTP object")
        return bridges

    def stp_show(self, args: list[str]) -> str:
        return "".join(_show_stp(bridge) for bridge in self._stps(args))

    def stp_tcn(self, args: list[str]) -> str:
        for bridge in self._stps(args):
            bridge.stp.topology_change_notification(self._ofprotos.clock.now())
        return "OK"

    def rstp_show(self, args: list[str]) -> str:
        return "".join(_show_rstp(bridge) for bridge in self._rstps(args))

    def rstp_tcn(self, args: list[str]) -> str:
        for bridge in self._rstps(args):
            bridge.rstp.topology_change_notification()
        return "OK"


def _identity(title: str, identifier: int, pad: str, hello: int, max_age: int, delay: int) -> str:
    return (
        f"{title} ID:\n"
        f"  stp-priority{pad}{identifier >> 48}\n"
        f"  stp-system-id   {format_mac(identifier & 0xFFFFFFFFFFFF)}\n"
        f"  stp-hello-time  {hello}s\n"
        f"  stp-max-age     {max_age}s\n"
        f"  stp-fwd-delay   {delay}s\n"
    )


def _show_stp(bridge: StpBridge) -> str:
    stp = bridge.stp
    text = f"---- {bridge.ofproto.name} ----\n"
    # The times are those that this bridge would have as the root, and below those in use: Open vSwitch's way.
    text += _identity(
        "Root",
        stp.designated_root,
        "  ",
        stp.bridge_hello_time // 1000,
        stp.bridge_max_age // 1000,
        stp.bridge_forward_delay // 1000,
    )
    if stp.root_port is None:
        text += "  This bridge is the root\n"
    else:
        there = bridge.port_of(stp.root_port.number)
        text += f"  root-port       {there.name if there is not None else '?'}\n"
        text += f"  root-path-cost  {stp.root_path_cost}\n"
    text += "\n" + _identity(
        "Bridge",
        stp.bridge_id,
        "  ",
        stp.hello_time // 1000,
        stp.max_age // 1000,
        stp.forward_delay // 1000,
    )
    text += "\n  Interface  Role       State      Cost  Pri.Nbr \n"
    text += "  ---------- ---------- ---------- ----- -------\n"
    names = {port.number: name for name, port in bridge.ports.items()}
    for number, port in sorted(stp.ports.items()):
        role = stp.role(port)
        if role != "disabled":
            text += (
                f"  {names.get(number, '?'):<10} {role:<10} {port.state:<10} {port.path_cost:<5} "
                f"{port.port_id >> 8}.{number}\n"
            )
    return text + "\n"


def _show_rstp(bridge: RstpBridge) -> str:
    rstp = bridge.rstp
    text = f"---- {bridge.ofproto.name} ----\n"
    times = rstp.root_times
    text += _identity(
        "Root", rstp.root_priority[0], "    ", times.hello_time, times.max_age, times.forward_delay
    )
    if rstp.is_root:
        text += "  This bridge is the root\n"
    else:
        there = bridge.port_of(rstp.root_port_id)
        text += f"  root-port       {there.name if there is not None else '?'}\n"
        text += f"  root-path-cost  {rstp.root_priority[1]}\n"
    times = rstp.times
    text += "\n" + _identity(
        "Bridge", rstp.bridge_id, "    ", times.hello_time, times.max_age, times.forward_delay
    )
    text += "\n  Interface  Role       State      Cost     Pri.Nbr \n"
    text += "  ---------- ---------- ---------- -------- -------\n"
    names = {port.number: name for name, port in bridge.ports.items()}
    for number, port in sorted(rstp.ports.items()):
        text += (
            f"  {names.get(number, '?'):<10} {port.role:<10} {port.state:<10} {port.path_cost:<8} "
            f"{port.priority}.{number}\n"
        )
    return text + "\n"
