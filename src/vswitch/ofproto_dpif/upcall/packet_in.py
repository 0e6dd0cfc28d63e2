"""Upcalls with a cookie: packet-ins for controllers, samples for monitors.

The cookie is the userdata of the `Userspace` action that sent the packet up (`dpif/cookie.py`).
A controller's cookie names a frozen state (`xlate/recirc.py`), which has the metadata that the packet
had at the action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.base import coverage
from vswitch.dpif.cookie import (
    ControllerCookie,
    FlowSampleCookie,
    IpfixCookie,
    SflowCookie,
    SlowPathCookie,
    decode,
)
from vswitch.dpif.ops import Upcall
from vswitch.ofproto.packet_metadata import metadata_of
from vswitch.ofproto_dpif.upcall import continuation
from vswitch.ofproto_dpif.xlate.freeze import forget_conntrack, thaw_metadata
from vswitch.ofproto_dpif.xlate.queued_packet_in import QueuedPacketIn
from vswitch.openflow.messages.packet import PacketIn

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole, DatapathRole

upcall_bad_cookie = coverage.counter("drop_upcall_bad_cookie")
upcall_no_recirc = coverage.counter("drop_upcall_unknown_recirc_id")
upcall_no_bridge = coverage.counter("drop_upcall_no_bridge")
upcall_no_monitor = coverage.counter("drop_upcall_no_monitor")

NO_COOKIE: Final = 0xFFFFFFFFFFFFFFFF
"""The cookie of a packet that no flow sent."""


def handle_cookie(backer: DatapathRole, upcall: Upcall, now: int) -> None:
    """Hand a packet over to whom its cookie is for; a cookie that makes no sense is counted."""
    cookie = decode(upcall.userdata)
    if isinstance(cookie, ControllerCookie):
        controller_packet(backer, upcall, cookie)
    elif cookie is None:
        upcall_bad_cookie.inc()
    elif not isinstance(cookie, SlowPathCookie):
        sampled_packet(backer, upcall, cookie)


def sampled_packet(backer: DatapathRole, upcall: Upcall,
                   cookie: SflowCookie | IpfixCookie | FlowSampleCookie) -> None:
    """Give a sampled packet to what the bridge that its cookie names samples it for."""
    ofproto = _sampling_bridge(backer, cookie.bridge)
    sflow = ofproto.sflow if ofproto is not None else None
    ipfix = ofproto.ipfix_export if ofproto is not None else None
    if isinstance(cookie, SflowCookie) and sflow is not None:
        sflow.received(upcall, cookie)
    elif isinstance(cookie, IpfixCookie) and ipfix is not None:
        ipfix.received(upcall, cookie)
    elif isinstance(cookie, FlowSampleCookie) and ipfix is not None:
        ipfix.received_of_flow(upcall, cookie)
    else:
        upcall_no_monitor.inc()


def _sampling_bridge(backer: DatapathRole, uuid: bytes) -> BridgeRole | None:
    """The bridge that a sample's cookie names, None if it is gone."""
    for ofproto in backer.ofprotos.values():
        if ofproto.xbridge.uuid == uuid:
            return ofproto
    return None


def controller_packet(backer: DatapathRole, upcall: Upcall, cookie: ControllerCookie) -> None:
    """Queue a packet-in on the bridge whose rule asked for it."""
    if cookie.dont_send:
        return
    frozen = backer.dp.recirc_ids.lookup(cookie.recirc_id)
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
    if not frozen.conntracked:
        # The datapath has tracked the packet, but translation does not know yet.
        forget_conntrack(flow)
    thaw_metadata(frozen.metadata, flow)
    ofproto.send_packet_in(
        QueuedPacketIn(
            upcall.packet, flow, frozen.table_id, cookie.rule_cookie, cookie.reason,
            cookie.max_len, cookie.controller_id, frozen.userdata,
            continuation.encode(frozen, odp_port) if cookie.continuation else b"",
        )
    )


def send_to_controllers(ofproto: BridgeRole, packet_in: QueuedPacketIn) -> bool:
    """Give a packet to the controllers that want it; whether any did."""
    message = PacketIn(
        packet_in.packet, len(packet_in.packet), packet_in.reason,
        metadata_of(packet_in.flow, ofproto.tlv.options), packet_in.table_id,
        None if packet_in.cookie == NO_COOKIE else packet_in.cookie,
        userdata=packet_in.userdata, continuation=packet_in.continuation,
    )  # fmt: skip
    return ofproto.connmgr.send_packet_in(
        message, packet_in.max_len, packet_in.controller_id, ofproto.now()
    )
