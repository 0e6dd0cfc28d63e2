"""The datapath action that sends a packet up here."""

from __future__ import annotations

from vswitch.dpif.actions import Userspace
from vswitch.ofproto_dpif.xlate.ctx import Ctx


def to_userspace(ctx: Ctx, userdata: bytes) -> Userspace:
    """An upcall with the cookie `userdata` (`dpif/cookie.py`), to the channel of the port where the packet
    came in."""
    port = ctx.bridge.ports.get(ctx.base.in_port)
    return Userspace(0 if port is None else ctx.bridge.dp.port_pid(port.odp_port), userdata)
