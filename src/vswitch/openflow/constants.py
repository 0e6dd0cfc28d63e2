"""Numbers of OpenFlow that more than one layer needs: reserved ports, flags, table numbers."""

from __future__ import annotations

from typing import Final

from vswitch.flow.port_numbers import OFPP_ALL as OFPP_ALL
from vswitch.flow.port_numbers import OFPP_ANY as OFPP_ANY
from vswitch.flow.port_numbers import OFPP_CONTROLLER as OFPP_CONTROLLER
from vswitch.flow.port_numbers import OFPP_FLOOD as OFPP_FLOOD
from vswitch.flow.port_numbers import OFPP_IN_PORT as OFPP_IN_PORT
from vswitch.flow.port_numbers import OFPP_LOCAL as OFPP_LOCAL

# The reserved ports, which text about flows knows already.
from vswitch.flow.port_numbers import OFPP_MAX as OFPP_MAX
from vswitch.flow.port_numbers import OFPP_NONE as OFPP_NONE
from vswitch.flow.port_numbers import OFPP_NORMAL as OFPP_NORMAL
from vswitch.flow.port_numbers import OFPP_TABLE as OFPP_TABLE
from vswitch.flow.port_numbers import OFPP_UNSET as OFPP_UNSET

# Port configuration and state (ofp_port_config, ofp_port_state of OpenFlow 1.0 and 1.1+).
OFPPC_PORT_DOWN: Final = 1 << 0
OFPPC_NO_STP: Final = 1 << 1
OFPPC_NO_RECV: Final = 1 << 2
OFPPC_NO_RECV_STP: Final = 1 << 3
OFPPC_NO_FLOOD: Final = 1 << 4
OFPPC_NO_FWD: Final = 1 << 5
OFPPC_NO_PACKET_IN: Final = 1 << 6
OFPPS_LINK_DOWN: Final = 1 << 0
OFPPS_BLOCKED: Final = 1 << 1
OFPPS_LIVE: Final = 1 << 2

OFPG_MAX: Final = 0xFFFFFF00
OFPG_ALL: Final = 0xFFFFFFFC
"""Every group, in a deletion."""
OFPG_ANY: Final = 0xFFFFFFFF
OFPM_MAX: Final = 0xFFFF0000
OFPTT_ALL: Final = 0xFF
"""Every table, in a flow mod that deletes, and "any table" in text."""
OFP_DEFAULT_PRIORITY: Final = 32768

# Flow mod flags (ofp_flow_mod_flags of OpenFlow 1.3, and OVS's own above them).
OFPFF_SEND_FLOW_REM: Final = 1 << 0
OFPFF_CHECK_OVERLAP: Final = 1 << 1
OFPFF_RESET_COUNTS: Final = 1 << 2
OFPFF_NO_PKT_COUNTS: Final = 1 << 3
OFPFF_NO_BYT_COUNTS: Final = 1 << 4
OFPFF_HIDDEN_FIELDS: Final = 1 << 7
OFPFF_NO_READONLY: Final = 1 << 8

# Why a packet goes to a controller (ofp_packet_in_reason), by the names that text uses.
OFPR_NO_MATCH: Final = 0
OFPR_ACTION: Final = 1
OFPR_INVALID_TTL: Final = 2
OFPR_ACTION_SET: Final = 3
OFPR_GROUP: Final = 4
OFPR_PACKET_OUT: Final = 5
OFPR_EXPLICIT_MISS: Final = 6
OFPR_IMPLICIT_MISS: Final = 7
PACKET_IN_REASONS: Final = {
    OFPR_NO_MATCH: "no_match",
    OFPR_ACTION: "action",
    OFPR_INVALID_TTL: "invalid_ttl",
    OFPR_ACTION_SET: "action_set",
    OFPR_GROUP: "group",
    OFPR_PACKET_OUT: "packet_out",
    # Inside the switch only; Open vSwitch has no word for them.
    OFPR_EXPLICIT_MISS: "",
    OFPR_IMPLICIT_MISS: "",
}

# Why a flow went (ofp_flow_removed_reason, and OVS's eviction).
OFPRR_IDLE_TIMEOUT: Final = 0
OFPRR_HARD_TIMEOUT: Final = 1
OFPRR_DELETE: Final = 2
OFPRR_GROUP_DELETE: Final = 3
OFPRR_METER_DELETE: Final = 4
OFPRR_EVICTION: Final = 5
