"""Requests about the connection: echo, features, configuration, barrier, roles, asynchronous messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.ofproto.async_config import N_KINDS, VALID13
from vswitch.ofproto.ofconn import DEFAULT_MISS_SEND_LEN, ConnKind
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import nicira as n
from vswitch.openflow.messages import session as s
from vswitch.openflow.messages.switch import DescReply, DescRequest
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP13, OFP14

if TYPE_CHECKING:
    from vswitch.ofproto.ofconn import Handler, OfConn, Replies
    from vswitch.openflow.wire.codec import Message

FRAGMENTS: Final = {
    s.OFPC_FRAG_NORMAL: "normal", s.OFPC_FRAG_DROP: "drop", s.OFPC_FRAG_NX_MATCH: "nx-match",
}  # fmt: skip
"""By OFPC_FRAG_*: how the switch treats IP fragments. It doesn't reassemble them."""
FLAGS13: Final = s.OFPC_FRAG_MASK
FLAGS10: Final = FLAGS13 | s.OFPC_INVALID_TTL_TO_CONTROLLER
"""The flags of a configuration: OpenFlow 1.3 took one away."""
ACTIONS10: Final = 0xFFF
"""OpenFlow 1.0's action types, all of which there are."""


def echo(ofconn: OfConn, message: Message, now: int) -> Replies:
    """The same data back."""
    return (s.EchoReply(message.body.data),)


def echo_reply(ofconn: OfConn, message: Message, now: int) -> Replies:
    """The peer is alive, which its carrier has noticed."""
    return ()


def features(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Who the switch is and what it can do."""
    ofproto = ofconn.ofproto
    capabilities = (
        s.OFPC_FLOW_STATS | s.OFPC_TABLE_STATS | s.OFPC_PORT_STATS | s.OFPC_QUEUE_STATS
        | s.OFPC_GROUP_STATS | s.OFPC_BUNDLES
    )  # fmt: skip
    if ofconn.version < OFP13:
        capabilities |= s.OFPC_ARP_MATCH_IP
    n_tables = sum(1 for table in ofproto.tables if not table.hidden)
    ports = tuple(ofproto.ofp_ports()) if ofconn.version < OFP13 else ()
    return (s.FeaturesReply(ofproto.datapath_id, 0, n_tables, 0, capabilities, ACTIONS10, ports),)


def get_config(ofconn: OfConn, message: Message, now: int) -> Replies:
    """The configuration that counts for this connection."""
    frag = ofconn.ofproto.frag_handling
    flags = next(flag for flag, name in FRAGMENTS.items() if name == frag)
    if ofconn.version < OFP13 and ofconn.invalid_ttl_to_controller:
        flags |= s.OFPC_INVALID_TTL_TO_CONTROLLER
    return (s.GetConfigReply(flags, ofconn.miss_send_len),)


def set_config(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Fragments concern the switch, and are not a secondary's to decide; the rest this connection."""
    config: s.SetConfig = message.body
    if config.flags & ~(FLAGS13 if message.version >= OFP13 else FLAGS10):
        raise OfpError("OFPSCFC_BAD_FLAGS", f"switch configuration flags {config.flags:#x}")
    ofproto = ofconn.ofproto
    if ofconn.kind is not ConnKind.PRIMARY or ofconn.role != s.ROLE_SECONDARY:
        wanted = FRAGMENTS.get(config.flags & s.OFPC_FRAG_MASK)
        if wanted is not None and wanted != ofproto.frag_handling:
            ofproto.set_frag_handling(wanted)
    if message.version < OFP13:
        ofconn.set_invalid_ttl(bool(config.flags & s.OFPC_INVALID_TTL_TO_CONTROLLER))
    ofconn.miss_send_len = config.miss_send_len
    return ()


def barrier(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Answered when all that came before is complete; nothing else is taken before."""
    unblock = ofconn.block()
    xid = message.xid

    def done() -> None:
        unblock()
        ofconn.send_reply(s.BarrierReply(), xid)

    ofconn.ofproto.complete(done)
    return ()


def desc(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What people want to know of the switch."""
    ofproto = ofconn.ofproto
    return (DescReply(
        ofproto.mfr_desc, ofproto.hw_desc, ofproto.sw_desc, ofproto.serial_desc, ofproto.dp_desc
    ),)  # fmt: skip


# Roles and asynchronous messages.


def role(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Take a role, or only tell which one it is."""
    request: s.RoleRequest = message.body
    connmgr = ofconn.connmgr
    if request.role != s.ROLE_NOCHANGE:
        if not ofconn.may_be_primary and request.role == s.ROLE_PRIMARY:
            raise OfpError("OFPBRC_EPERM", "this connection may not be the primary one")
        connmgr.claim_role(ofconn, request.role, request.generation_id)
    return (s.RoleReply(ofconn.role, connmgr.generation_id),)


def set_async(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Which messages the connection wants. Before 1.4 unknown reasons are passed over, but for those of
    properties."""
    request: s.SetAsync = message.body
    masks = list(ofconn.async_masks)
    valid = s.ASYNC_REASONS if ofconn.version >= OFP14 else VALID13
    for kind, mask in request.properties:
        if mask & ~valid[kind & ~1] and message.form is Form.EXTENSION2:
            raise OfpError("OFPACFC_INVALID", f"property {kind} is {mask:#x}")
        masks[kind] = mask & valid[kind & ~1]
    ofconn.async_masks = masks
    if ofconn.kind is ConnKind.SERVICE and not ofconn.miss_send_len:
        ofconn.miss_send_len = DEFAULT_MISS_SEND_LEN
    return ()


def get_async(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Which messages the connection gets."""
    masks = ofconn.async_masks
    return (s.GetAsyncReply(tuple((kind, masks[kind]) for kind in range(N_KINDS))),)


# What a connection chooses for itself.


def set_controller_id(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Controller actions name it by this number."""
    ofconn.controller_id = message.body.controller_id
    ofconn.connmgr.update_miss_config()
    return ()


def set_packet_in_format(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Which message brings packets."""
    ofconn.packet_in_form = Form(message.body.format)
    return ()


def set_flow_format(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Both formats of flow mods are taken whichever is chosen."""
    ofconn.flow_format = message.body.format
    return ()


def flow_mod_table_id(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Flow mods tell a table number from now on."""
    ofconn.flow_mod_table_id = message.body.enable
    return ()


def flow_age(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Nicira's flow statistics tell ages from now on."""
    ofconn.flow_age = True
    return ()

HANDLERS: Final[dict[type, Handler]] = {
    s.EchoRequest: echo,
    s.EchoReply: echo_reply,
    s.FeaturesRequest: features,
    s.GetConfigRequest: get_config,
    s.SetConfig: set_config,
    s.BarrierRequest: barrier,
    DescRequest: desc,
    s.RoleRequest: role,
    s.SetAsync: set_async,
    s.GetAsyncRequest: get_async,
    n.SetControllerId: set_controller_id,
    n.SetPacketInFormat: set_packet_in_format,
    n.SetFlowFormat: set_flow_format,
    n.FlowModTableId: flow_mod_table_id,
    n.FlowAge: flow_age,
}
