"""Requests about flow monitors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.ofproto.multipart import Multipart
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import flow as f

if TYPE_CHECKING:
    from vswitch.ofproto.ofconn import Handler, OfConn, Replies
    from vswitch.openflow.wire.codec import Message


def flow_monitor(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Start, change and end monitors, and tell the flows that there are."""
    monitors = ofconn.monitor()
    started = monitors.change(message.body)
    return (Multipart(monitors.initial(started), f.FlowMonitorReply),)


def cancel(ofconn: OfConn, message: Message, now: int) -> Replies:
    """End a monitor."""
    if ofconn.monitors is None:
        raise OfpError("OFPMOFC_UNKNOWN_MONITOR", f"monitor {message.body.monitor_id}")
    ofconn.monitors.cancel(message.body.monitor_id)
    return ()


HANDLERS: Final[dict[type, Handler]] = {
    f.FlowMonitorRequest: flow_monitor,
    f.FlowMonitorCancel: cancel,
}
