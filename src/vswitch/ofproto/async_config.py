"""Which asynchronous messages a connection gets, by its role (OpenFlow 1.4, 7.3.10; "Asynchronous
Messages" in Open vSwitch's design documentation).

A configuration is a list of 12 bit masks of reasons, by the numbers of OpenFlow 1.4's properties
(`OFPACPT_*`): the even ones count in the secondary role, the odd ones in the others.
"""

from __future__ import annotations

from typing import Final

from vswitch.openflow import constants as c
from vswitch.openflow.messages import session as s
from vswitch.openflow.wire.version import OFP13, OFP14

N_KINDS: Final = 12
NOT_SECONDARY: Final = 1
"""Added to an OFPACPT_* it makes the number of the mask for the other roles."""


def _bits(*reasons: int) -> int:
    return sum(1 << reason for reason in reasons)


PACKET_IN10: Final = _bits(c.OFPR_NO_MATCH, c.OFPR_ACTION)
PACKET_IN14: Final = PACKET_IN10 | _bits(c.OFPR_ACTION_SET, c.OFPR_GROUP, c.OFPR_PACKET_OUT)
FLOW_REMOVED10: Final = _bits(c.OFPRR_IDLE_TIMEOUT, c.OFPRR_HARD_TIMEOUT, c.OFPRR_DELETE)
FLOW_REMOVED13: Final = FLOW_REMOVED10 | _bits(c.OFPRR_GROUP_DELETE)
FLOW_REMOVED14: Final = FLOW_REMOVED13 | _bits(c.OFPRR_METER_DELETE, c.OFPRR_EVICTION)
PORT_STATUS: Final = 0b111
VALID13: Final[dict[int, int]] = {
    **s.ASYNC_REASONS,
    s.OFPACPT_PACKET_IN: PACKET_IN10 | _bits(c.OFPR_INVALID_TTL),
}
"""The reasons of OpenFlow 1.3 and before, as Open vSwitch sees them."""


def default_masks(version: int) -> list[int]:
    """What a connection of `version` gets before it asks for anything."""
    masks = [0] * N_KINDS
    masks[s.OFPACPT_PACKET_IN + NOT_SECONDARY] = PACKET_IN14 if version >= OFP14 else PACKET_IN10
    flow_removed = FLOW_REMOVED10
    if version >= OFP14:
        flow_removed = FLOW_REMOVED14
    elif version == OFP13:
        flow_removed = FLOW_REMOVED13
    masks[s.OFPACPT_FLOW_REMOVED + NOT_SECONDARY] = flow_removed
    masks[s.OFPACPT_PORT_STATUS] = PORT_STATUS
    masks[s.OFPACPT_PORT_STATUS + NOT_SECONDARY] = PORT_STATUS
    return masks
