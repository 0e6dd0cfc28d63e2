"""Our switch with flows that come over the wire, as `ovs-ofctl` sends them to the real one.

A flow's actions change on the way: what a version has no word for is written in others, and is
shown so in traces.
"""

from __future__ import annotations

from tests.oracle.ours import OurSwitch
from vswitch.openflow.action_check import check_actions
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP13, OFP15

VERSIONS = {"OpenFlow10": OFP10, "OpenFlow13": OFP13, "OpenFlow15": OFP15}


def over_wire(text: str, dialect: str) -> FlowMod:
    """The flow mod that arrives when `text` is sent in `dialect`. FlowSyntaxError, OfpError, ValueError:
    it can't be sent, or is refused."""
    version = VERSIONS[dialect]
    form = Form.EXTENSION if version == OFP10 else Form.OPENFLOW
    body = decode(encode(parse_flow(text), version, 1, form, True), True).body
    assert isinstance(body, FlowMod)
    # What 1.1 and later insist on.
    check_actions(body.actions, body.match, table_id=body.table_id, strict=version != OFP10)
    return body


class WiredSwitch(OurSwitch):
    """`OurSwitch`, but for how flows get there."""

    def set_flows(self, bridge: str, flows: list[str], dialect: str, groups: list[str] | None = None) -> None:
        super().set_flows(bridge, [], dialect, groups)
        ofproto = self.ofprotos.all_ofproto_dpifs[bridge]
        for text in flows:
            ofproto.flow_mod(over_wire(text, dialect))
