"""An OpenFlow connection to our switch without its socket: what `ovs-ofctl` would send, byte for byte.

A flow's actions change on the way: what a version has no word for is written in others, and is
shown so in traces.
"""

from __future__ import annotations

from typing import Any

from tests.ofproto.ends import RecordingPeer
from tests.oracle.real import OracleError
from vswitch.ofproto.connmgr import ConnKind
from vswitch.ofproto.ofproto import Ofproto
from vswitch.openflow.action_check import check_actions
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages.group import GroupMod
from vswitch.openflow.messages.session import Error
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, OFP15

VERSIONS = {"OpenFlow10": OFP10, "OpenFlow11": OFP11, "OpenFlow12": OFP12, "OpenFlow13": OFP13,
            "OpenFlow14": OFP14, "OpenFlow15": OFP15}  # fmt: skip


def encoded(body: Any, version: int) -> bytes:
    """`body` as a message, in the form that has words for the most."""
    form = Form.EXTENSION if version == OFP10 and isinstance(body, FlowMod | GroupMod) else Form.OPENFLOW
    return encode(body, version, 1, form, True)


def over_wire(text: str, dialect: str) -> FlowMod:
    """The flow mod that arrives when `text` is sent in `dialect`. FlowSyntaxError, OfpError, ValueError:
    it can't be sent, or is refused."""
    version = VERSIONS[dialect]
    body = decode(encoded(parse_flow(text), version), True).body
    assert isinstance(body, FlowMod)
    # What 1.1 and later insist on.
    check_actions(body.actions, body.match, table_id=body.table_id, strict=version != OFP10)
    return body


class Wire:
    """A connection of `dialect` to a bridge, which takes a whole message at a time."""

    def __init__(self, ofproto: Ofproto, dialect: str) -> None:
        self.ofproto = ofproto
        self.version = VERSIONS[dialect]
        self.peer = RecordingPeer(self.version)
        self.conn = ofproto.connmgr.attach(self.peer, ConnKind.SERVICE, ofproto.now())
        self.conn.flow_mod_table_id = True

    def send(self, body: Any) -> None:
        """Send one request that has no reply. OracleError: it is refused."""
        self.conn.receive(encoded(body, self.version), self.ofproto.now())
        for reply in self.peer.take():
            if isinstance(reply, Error):
                raise OracleError(f"{type(body).__name__}: {reply.name}")

    def close(self) -> None:
        """Hang up."""
        self.ofproto.connmgr.detach(self.conn, self.ofproto.now())
