"""Requests about groups and meters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.ofproto.multipart import Multipart
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m

if TYPE_CHECKING:
    from vswitch.ofproto.group_refs import Undo
    from vswitch.ofproto.ofconn import Handler, OfConn, Replies
    from vswitch.ofproto.ofproto import Ofproto
    from vswitch.openflow.wire.codec import Message


def apply_group_mod(ofproto: Ofproto, mod: g.GroupMod, now: int) -> Undo:
    """Carry out a group mod; the result undoes it. OfpError: refused.

    Which packets will meet the buckets' actions is not known: whether they fit is seen then.
    """
    if mod.command == g.OFPGC_DELETE and ofproto.connmgr.n_tell_removed:
        ofproto.push_stats()
    return ofproto.groups.mod(mod, now)


def group_mod(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Change a group, and tell the other connections that want to know."""
    connmgr = ofconn.connmgr
    apply_group_mod(ofconn.ofproto, message.body, now)
    connmgr.forward_request(b.OFPRFR_GROUP_MOD, message.body)
    return ()


def group_desc(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Describe groups: all, or one where requests can say which (Nicira's for 1.0, and 1.5)."""
    return (Multipart(ofconn.ofproto.groups.desc(message.body.group_id), g.GroupDescReply),)


def group_stats(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What groups counted."""
    ofproto = ofconn.ofproto
    ofproto.push_stats()
    return (Multipart(ofproto.groups.stats(now, message.body.group_id), g.GroupStatsReply),)


def group_features(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What groups can do."""
    return (ofconn.ofproto.groups.features(message.version),)


def apply_meter_mod(ofproto: Ofproto, mod: m.MeterMod, now: int) -> None:
    """Carry out a meter mod. OfpError: refused."""
    if mod.command == m.OFPMC_DELETE and ofproto.connmgr.n_tell_removed:
        ofproto.push_stats()
    ofproto.meters.mod(mod, now)


def meter_mod(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Change a meter, and tell the other connections that want to know."""
    connmgr = ofconn.connmgr
    apply_meter_mod(ofconn.ofproto, message.body, now)
    connmgr.forward_request(b.OFPRFR_METER_MOD, message.body)
    return ()


def meter_config(ofconn: OfConn, message: Message, now: int) -> Replies:
    """How meters are configured."""
    return (Multipart(ofconn.ofproto.meters.desc(message.body.meter_id), m.MeterConfigReply),)


def meter_stats(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What meters counted."""
    return (Multipart(ofconn.ofproto.meters.stats(now, message.body.meter_id), m.MeterStatsReply),)


def meter_features(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What meters can do."""
    return (ofconn.ofproto.meters.features(),)


HANDLERS: Final[dict[type, Handler]] = {
    g.GroupMod: group_mod,
    g.GroupDescRequest: group_desc,
    g.GroupStatsRequest: group_stats,
    g.GroupFeaturesRequest: group_features,
    m.MeterMod: meter_mod,
    m.MeterConfigRequest: meter_config,
    m.MeterStatsRequest: meter_stats,
    m.MeterFeaturesRequest: meter_features,
}
SECONDARY_REFUSED: Final[tuple[type, ...]] = (g.GroupMod, m.MeterMod)
