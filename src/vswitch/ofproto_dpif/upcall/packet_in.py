"""Upcalls with a cookie: packet-ins for controllers, samples for monitors.

The cookie is the userdata of the `Userspace` action that sent the packet up (`dpif/cookie.py`).
A controller's cookie names a frozen state (`xlate/recirc.py`), which has the metadata that the packet
had at the action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.base import coverage
from vswitch.dpif.cookie import ControllerCookie, decode
from vswitch.dpif.types import Upcall
from vswitch.ofproto_dpif.upcall import continuation
from vswitch.ofproto_dpif.xlate.effects import SendPacketIn
from vswitch.ofproto_dpif.xlate.freeze import thaw_metadata

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.backer import Backer

upcall_bad_cookie = coverage.counter("drop_upcall_bad_cookie")
upcall_no_recirc = coverage.counter("drop_upcall_unknown_recirc_id")
upcall_no_bridge = coverage.counter("drop_upcall_no_bridge")
upcall_no_monitor = coverage.counter("drop_upcall_no_monitor")


def handle_cookie(backer: Backer, upcall: Upcall, now: int) -> None:
    """Hand a packet over to whom its cookie is for; a cookie that makes no sense is counted."""
    cookie = decode(upcall.userdata)
    if isinstance(cookie, ControllerCookie):
        controller_packet(backer, upcall, cookie)
    elif cookie is None:
        upcall_bad_cookie.inc()
    else:
        upcall_no_monitor.inc()


def controller_packet(backer: Backer, upcall: Upcall, cookie: ControllerCookie) -> None:
    """Queue a packet-in on the bridge whose rule asked for it."""
    if cookie.dont_send:
        return
    frozen = backer.recirc_ids.lookup(cookie.recirc_id)
    if frozen is None:
        upcall_no_recirc.inc()
        return
    ofproto = backer.ofprotos.get(frozen.bridge)
    if ofproto is None:
        upcall_no_bridge.inc()
        return
    odp_port = upcall.key.in_port
    flow = upcall.key.copy()
    flow.recirc_id = 0
    thaw_metadata(frozen.metadata, flow)
    ofproto.send_packet_in(
        SendPacketIn(
            ofproto, upcall.packet, flow, frozen.table_id, cookie.rule_cookie, cookie.reason,
            cookie.max_len, cookie.controller_id, frozen.userdata,
            continuation.encode(frozen, odp_port) if cookie.continuation else b"",
        )
    )
