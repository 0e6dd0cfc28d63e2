"""The datapath action that sends a packet up here."""

from __future__ import annotations

from vswitch.dpif.actions import Userspace
from vswitch.ofproto_dpif.xlate.ctx import Ctx


def to_userspace(ctx: Ctx, userdata: bytes, tunnel_out_port: int | None = None,
                 include_actions: bool = False) -> Userspace:
    """An upcall with the cookie `userdata` (`dpif/cookie.py`), to the channel of the port where the packet
    came in; it may bring the outer header of datapath port `tunnel_out_port` and the flow's actions."""
    port = ctx.bridge.ports.get(ctx.base.in_port)
    pid = 0 if port is None else ctx.bridge.dp.port_pid(port.odp_port)
    return Userspace(pid, userdata, tunnel_out_port, include_actions)
