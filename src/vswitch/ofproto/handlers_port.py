"""Requests about ports, queues, and packets that a controller sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vswitch.flow.extract import extract, limit_vlans
from vswitch.flow.fields import FIELDS, by_name
from vswitch.flow.flow import Flow
from vswitch.flow.layout import N_WORDS, W_TUN_METADATA_PRESENT
from vswitch.flow.match import Match
from vswitch.ofproto.multipart import Multipart
from vswitch.openflow.action_check import check_actions
from vswitch.openflow.actions import Output
from vswitch.openflow.constants import (
    OFPP_ANY,
    OFPP_LOCAL,
    OFPPC_NO_FLOOD,
    OFPPC_NO_FWD,
    OFPPC_NO_PACKET_IN,
    OFPPC_NO_RECV,
    OFPPC_NO_RECV_STP,
    OFPPC_NO_STP,
    OFPPC_PORT_DOWN,
)
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import port as p
from vswitch.openflow.messages import queue as q
from vswitch.openflow.messages.packet import PacketOut, Resume
from vswitch.openflow.wire.version import OFP10, OFP14, OFP15
from vswitch.packet.parse import Parser

if TYPE_CHECKING:
    from vswitch.ofproto.ofconn import Handler, OfConn, Replies
    from vswitch.ofproto.ofproto import Ofproto
    from vswitch.openflow.wire.codec import Message

_IN_PORT: Final = by_name("in_port")
CONFIG: Final = OFPPC_PORT_DOWN | OFPPC_NO_RECV | OFPPC_NO_FLOOD | OFPPC_NO_FWD | OFPPC_NO_PACKET_IN
CONFIG10: Final = CONFIG | OFPPC_NO_STP | OFPPC_NO_RECV_STP
"""The OFPPC_* bits that a controller sets; those about the spanning tree need OpenFlow 1.0."""


PIPELINE: Final = Flow()
"""All bits of the fields that a packet-out of 1.5 may set: those that are not in the packet."""
for _field in FIELDS:
    if _field.name.startswith(("tun_", "reg", "xreg", "xxreg")) or _field.name in (
        "in_port", "in_port_oxm", "metadata", "actset_output", "packet_type",
    ):  # fmt: skip
        PIPELINE.set(_field, _field.ones)
for _word in range(W_TUN_METADATA_PRESENT + 1):
    PIPELINE.words[_word] = -1

_ONES: Final = Flow()
for _word in range(N_WORDS):
    _ONES.words[_word] = -1
_parser: Final = Parser()

# Ports.


def check_port_mod(ofproto: Ofproto, mod: p.PortMod) -> p.Port:
    """The port that `mod` is about. OFPPMFC_BAD_PORT; OFPPMFC_BAD_HW_ADDR: it has another address."""
    port = ofproto.ofp_port(mod.port_no)
    if port is None:
        raise OfpError("OFPPMFC_BAD_PORT", f"port {mod.port_no}")
    if port.hw_addr != mod.hw_addr:
        raise OfpError("OFPPMFC_BAD_HW_ADDR", f"port {mod.port_no}")
    return port


def apply_port_mod(ofproto: Ofproto, mod: p.PortMod, port: p.Port, version: int) -> None:
    """Set the bits that `mod` masks."""
    mask = mod.mask & (CONFIG10 if version == OFP10 else CONFIG)
    config = port.config & ~mask | mod.config & mask
    if config != port.config:
        try:
            ofproto.port_set_config(port.name, config)
        except OSError as error:
            raise OfpError("OFPPMFC_EPERM", f"port {port.name}: {error}") from error


def port_mod(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Configure a port."""
    ofproto = ofconn.ofproto
    apply_port_mod(ofproto, message.body, check_port_mod(ofproto, message.body), message.version)
    return ()


def _ports(ofproto: Ofproto, number: int) -> list[p.Port]:
    """The ports that a request is about."""
    if number == OFPP_ANY:
        return ofproto.ofp_ports()
    port = ofproto.ofp_port(number)
    return [] if port is None else [port]


def port_desc(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Describe ports: one, from 1.5 on."""
    number = message.body.port_no if message.version >= OFP15 else OFPP_ANY
    return (Multipart(_ports(ofconn.ofproto, number), p.PortDescReply),)


def port_stats(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What ports counted; those whose device can't tell are left out."""
    ofproto = ofconn.ofproto
    ofproto.push_stats()
    stats = [ofproto.ofp_port_stats(port.port_no) for port in _ports(ofproto, message.body.port_no)]
    return (Multipart([s for s in stats if s is not None], p.PortStatsReply),)


# Queues.


def queue_stats(ofconn: OfConn, message: Message, now: int) -> Replies:
    """What queues counted. A request for what is not there is refused, unless it is for all of all."""
    request: q.QueueStatsRequest = message.body
    ofproto = ofconn.ofproto
    ports = _ports(ofproto, request.port_no)
    if not ports and request.port_no != OFPP_ANY:
        raise OfpError("OFPQOFC_BAD_PORT", f"port {request.port_no}")
    found = [
        stats
        for port in ports
        for stats in ofproto.ofp_queue_stats(port.port_no)
        if request.queue_id in (q.OFPQ_ALL, stats.queue_id)
    ]
    if not found and (request.port_no != OFPP_ANY or request.queue_id != q.OFPQ_ALL):
        raise OfpError("OFPQOFC_BAD_QUEUE", f"queue {request.queue_id}")
    return (Multipart(found, q.QueueStatsReply),)


def queue_config(ofconn: OfConn, message: Message, now: int) -> Replies:
    """The queues of a port, or (not in 1.0) of all ports; their rates."""
    request: q.QueueGetConfigRequest = message.body
    ofproto = ofconn.ofproto
    ports = _ports(ofproto, request.port_no)
    if not ports or (request.port_no == OFPP_LOCAL and message.version < OFP14) or (
            request.port_no == OFPP_ANY and message.version == OFP10):
        raise OfpError("OFPQOFC_BAD_PORT", f"port {request.port_no}")
    found = [
        config
        for port in ports
        for config in ofproto.ofp_queues(port.port_no)
        if message.version < OFP14 or request.queue_id in (q.OFPQ_ALL, config.queue_id)
    ]
    if not found and request.queue_id != q.OFPQ_ALL:
        raise OfpError("OFPQOFC_BAD_QUEUE", f"queue {request.queue_id}")
    number = request.port_no

    def reply(queues: tuple[Any, ...]) -> q.QueueGetConfigReply:
        return q.QueueGetConfigReply(number, queues)

    return (Multipart(found, reply),) if message.version >= OFP14 else (reply(tuple(found)),)


# Packets.


def check_packet_out(ofproto: Ofproto, out: PacketOut, version: int) -> None:
    """OfpError: `out` can't be sent, whatever groups and meters there are."""
    if out.buffer_id is not None:
        raise OfpError("OFPBRC_BUFFER_UNKNOWN", f"buffer {out.buffer_id}")
    if not PIPELINE.covers(out.metadata.mask):
        raise OfpError("OFPBRC_PIPELINE_FIELDS_ONLY", f"packet-out with {out.metadata}")
    ofproto.tlv.bind_match(out.metadata)
    if any(type(action) is not Output for action in out.actions):
        match = _match_of(out, ofproto.vlan_limit)
    else:
        match = out.metadata  # outputs fit whatever packet there is
    check_actions(out.actions, match, ofproto.max_ports, strict=version != OFP10)


def _match_of(out: PacketOut, vlan_limit: int) -> Match:
    """All that is known of the packet of `out`: what it holds and its metadata, exactly."""
    match = Match(out.metadata.flow.copy(), _ONES)
    extract(out.packet, match.flow, _parser)
    limit_vlans(match.flow, vlan_limit)
    return match


def apply_packet_out(ofproto: Ofproto, out: PacketOut, version: int) -> object:
    """Send a packet as a connection of `version` asks for it; what `Ofproto.packet_out` says of it.
    OfpError: refused."""
    check_packet_out(ofproto, out, version)
    ofproto.check_references(out.actions)
    return ofproto.packet_out(out.packet, out.metadata.flow.get(_IN_PORT), out.actions, out.metadata)


def packet_out(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Send a packet as its actions say."""
    apply_packet_out(ofconn.ofproto, message.body, message.version)
    return ()


def resume(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Go on with a pipeline that a controller action paused."""
    ofconn.ofproto.resume(message.body.packet_in)
    return ()


HANDLERS: Final[dict[type, Handler]] = {
    p.PortMod: port_mod,
    p.PortDescRequest: port_desc,
    p.PortStatsRequest: port_stats,
    q.QueueStatsRequest: queue_stats,
    q.QueueGetConfigRequest: queue_config,
    PacketOut: packet_out,
    Resume: resume,
}
SECONDARY_REFUSED: Final[tuple[type, ...]] = (p.PortMod, PacketOut)
