"""Requests about flows: modification, statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.ofproto.multipart import Multipart
from vswitch.openflow.action_check import check_actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.messages import flow as f
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.match import fits_match, get_match, put_match
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP15

if TYPE_CHECKING:
    from vswitch.flow.match import Match
    from vswitch.ofproto.ofconn import Handler, OfConn, Replies
    from vswitch.ofproto.ofproto import Ofproto
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto.tables import FlowModResult
    from vswitch.openflow.wire.codec import Message

log: Final = Vlog("ofp_flow")
_too_long_rl: Final = RateLimit(60, 5)

NO_BUFFER: Final = 0xFFFFFFFF
DELETES: Final = (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT)


def check_flow_mod(ofproto: Ofproto, fm: FlowMod, version: int, form: Form) -> None:
    """OfpError: `fm`, as a connection of `version` sent it, can't be carried out whatever the tables hold."""
    ofproto.tlv.bind_flow_mod(fm)
    if fm.actions:
        check_actions(fm.actions, fm.match, ofproto.max_ports, fm.table_id, strict=version != OFP10)
    if fm.command in DELETES:
        return
    mask = fm.match.mask
    if mask.dp_hash or (mask.recirc_id and fm.match.flow.recirc_id):
        raise OfpError("OFPBRC_EPERM", "dp_hash and recirc_id are the datapath's")
    if fm.buffer_id != NO_BUFFER:
        ofproto.tables.check_writable(fm)
        raise OfpError("OFPBRC_BUFFER_UNKNOWN", f"buffer {fm.buffer_id}: nothing is buffered")


def apply_flow_mod(ofproto: Ofproto, fm: FlowMod, version: int, form: Form) -> FlowModResult:
    """Carry out a flow mod as a connection of `version` asks for it. OfpError: refused."""
    check_flow_mod(ofproto, fm, version, form)
    if fm.command in DELETES and ofproto.connmgr.n_tell_removed:
        ofproto.push_stats()
    return ofproto.flow_mod(fm)


def flow_mod(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Add, modify or delete flows."""
    apply_flow_mod(ofconn.ofproto, message.body, message.version, message.form)
    ofconn.flow_mods.note(message.body.command, now)
    return ()


def _selected(ofproto: Ofproto, request: f.FlowStatsRequest | f.AggregateStatsRequest) -> list[Rule]:
    ofproto.tlv.bind_match(request.match)
    ofproto.push_stats()
    return ofproto.tables.collect(
        request.match, request.table_id, request.cookie, request.cookie_mask,
        request.out_port, request.out_group,
    )  # fmt: skip


def _sayable(match: Match) -> Match:
    """As much of `match` as OpenFlow 1.0's own form can say."""
    if fits_match(match, OFP10):
        return match
    w = Writer()
    put_match(w, match, OFP10)
    return get_match(Reader(w.getvalue()), OFP10)


def flow_stats(ofconn: OfConn, message: Message, now: int) -> Replies:
    """List flows. Ages need Nicira's form or OpenFlow 1.5; OpenFlow 1.0's own form tells only as much
    of a match as it can say. Packets are counted for flows with OFPFF_NO_PKT_COUNTS too."""
    ofproto = ofconn.ofproto
    rules = _selected(ofproto, message.body)
    plain10 = message.version == OFP10 and message.form is Form.OPENFLOW
    ages = message.form is Form.EXTENSION or message.version >= OFP15

    def entry(rule: Rule) -> f.FlowStats:
        age = now - rule.created
        return f.FlowStats(
            _sayable(rule.match) if plain10 else rule.match,
            rule.actions, rule.priority, rule.table_id, rule.cookie, age // 1000, age % 1000 * 1_000_000,
            rule.idle_timeout, rule.hard_timeout,
            (now - rule.used) // 1000 if ages else None,
            (now - rule.modified) // 1000 if ages else None,
            rule.importance, rule.flags, rule.n_packets, rule.n_bytes,
        )  # fmt: skip

    def too_long() -> None:
        log.warn_rl(_too_long_rl, now, "Flow exceeded the maximum flow statistics reply size and was excluded"
                                       " from the response set")  # fmt: skip

    return (Multipart(rules, f.FlowStatsReply, entry, too_long),)


def aggregate(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Sum flows up."""
    rules = _selected(ofconn.ofproto, message.body)
    packets = sum(rule.n_packets for rule in rules)
    n_bytes = sum(rule.n_bytes for rule in rules)
    return (f.AggregateStatsReply(packets, n_bytes, len(rules)),)


HANDLERS: Final[dict[type, Handler]] = {
    FlowMod: flow_mod,
    f.FlowStatsRequest: flow_stats,
    f.AggregateStatsRequest: aggregate,
}
SECONDARY_REFUSED: Final[tuple[type, ...]] = (FlowMod,)
