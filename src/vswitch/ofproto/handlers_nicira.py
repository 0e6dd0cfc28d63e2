"""Nicira's requests that belong to no other topic: tunnel options, connection tracking, IPFIX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.ofproto.tlv import options_in_use
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import nicira as n

if TYPE_CHECKING:
    from vswitch.ofproto.ofconn import Handler, OfConn, Replies
    from vswitch.openflow.wire.codec import Message


def tlv_table_mod(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Change what tun_metadata fields stand for."""
    ofproto = ofconn.ofproto
    adds = message.body.command == n.NXTTMC_ADD
    ofproto.tlv.mod(message.body, () if adds else options_in_use(ofproto.tables.rules(hidden=True)))
    ofproto.options_reconfigured()
    return ()


def tlv_table(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What tun_metadata fields stand for."""
    return (ofconn.ofproto.tlv.reply(),)


def ct_flush_zone(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Forget the connections of a zone."""
    ofconn.ofproto.ct_flush(n.CtFlush(zone_id=message.body.zone_id))
    return ()


def ct_flush(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Forget connections by what is known of them."""
    ofconn.ofproto.ct_flush(message.body)
    return ()


def ipfix_bridge(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What the bridge's exporter counted."""
    stats = ofconn.ofproto.ipfix_bridge_stats()
    if stats is None:
        raise OfpError("NXST_NOT_CONFIGURED", "no IPFIX exporter of the bridge")
    return (n.IpfixBridgeStatsReply(stats),)


def ipfix_flow(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What the exporters of sample actions counted."""
    stats = ofconn.ofproto.ipfix_flow_stats()
    if stats is None:
        raise OfpError("NXST_NOT_CONFIGURED", "no IPFIX exporter of flows")
    return (n.IpfixFlowStatsReply(tuple(stats)),)


HANDLERS: Final[dict[type, Handler]] = {
    n.TlvTableMod: tlv_table_mod,
    n.TlvTableRequest: tlv_table,
    n.CtFlushZone: ct_flush_zone,
    n.CtFlush: ct_flush,
    n.IpfixBridgeStatsRequest: ipfix_bridge,
    n.IpfixFlowStatsRequest: ipfix_flow,
}
SECONDARY_REFUSED: Final[tuple[type, ...]] = (n.TlvTableMod,)
