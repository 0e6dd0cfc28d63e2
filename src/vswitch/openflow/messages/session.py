"""Messages about the connection itself: hello, error, echo, features, config, barrier, role, async."""

from __future__ import annotations

from vswitch.base.records import dataclass
from vswitch.openflow.messages.port import Port

# Capabilities of a switch (ofp_capabilities), numbered as in OpenFlow 1.1+; STP, which only 1.0 has
# and whose bit later versions gave to GROUP_STATS, moved out of the way.
OFPC_FLOW_STATS = 1 << 0
OFPC_TABLE_STATS = 1 << 1
OFPC_PORT_STATS = 1 << 2
OFPC_GROUP_STATS = 1 << 3
OFPC_IP_REASM = 1 << 5
OFPC_QUEUE_STATS = 1 << 6
OFPC_ARP_MATCH_IP = 1 << 7
OFPC_PORT_BLOCKED = 1 << 8
OFPC_BUNDLES = 1 << 9
OFPC_FLOW_MONITORING = 1 << 10
OFPC_STP = 1 << 31

# Flags of a switch's configuration.
OFPC_FRAG_NORMAL = 0
OFPC_FRAG_DROP = 1
OFPC_FRAG_REASM = 2
OFPC_FRAG_NX_MATCH = 3
OFPC_FRAG_MASK = 3
OFPC_INVALID_TTL_TO_CONTROLLER = 1 << 2

# Roles, by OpenFlow 1.2's numbers.
ROLE_NOCHANGE = 0
ROLE_EQUAL = 1
ROLE_PRIMARY = 2
ROLE_SECONDARY = 3

# Properties of an asynchronous configuration (ofp_async_config_prop_type): the even ones count in
# the secondary role, the odd ones in the others.
OFPACPT_PACKET_IN = 0
OFPACPT_PORT_STATUS = 2
OFPACPT_FLOW_REMOVED = 4
OFPACPT_ROLE_STATUS = 6
OFPACPT_TABLE_STATUS = 8
OFPACPT_REQUESTFORWARD = 10
ASYNC_REASONS: dict[int, int] = {
    OFPACPT_PACKET_IN: 0b111111, OFPACPT_PORT_STATUS: 0b111, OFPACPT_FLOW_REMOVED: 0b111111,
    OFPACPT_ROLE_STATUS: 0b111, OFPACPT_TABLE_STATUS: 0b11000, OFPACPT_REQUESTFORWARD: 0b11,
}  # fmt: skip
"""The reasons that OpenFlow 1.4 has for each kind of asynchronous message, as a mask."""


@dataclass(frozen=True)
class Hello:
    """The beginning: `bitmap` has bit n for each version n that is spoken; 0: no such element. `unknown`:
    something else is in it."""

    bitmap: int = 0
    unknown: bool = False


@dataclass(frozen=True)
class Error:
    """A refused request: the error's `name`, and the beginning of the request (or a text) in `data`.

    An error that this implementation has no name for has name "" and its (vendor, type, code).
    """

    name: str
    data: bytes = b""
    numbers: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class EchoRequest:
    """Are you there?"""

    data: bytes = b""


@dataclass(frozen=True)
class EchoReply:
    """Yes, with the request's `data`."""

    data: bytes = b""


@dataclass(frozen=True)
class FeaturesRequest:
    """What are you?"""


@dataclass(frozen=True)
class FeaturesReply:
    """A switch. `capabilities` are OFPC_*, `actions` 1.0's action type bits (told in 1.0 only).

    1.3 and later tell no `ports` here, only they tell `auxiliary_id`.
    """

    datapath_id: int
    n_buffers: int = 0
    n_tables: int = 0
    auxiliary_id: int = 0
    capabilities: int = 0
    actions: int = 0
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True)
class GetConfigRequest:
    """How are you configured?"""


@dataclass(frozen=True)
class GetConfigReply:
    """`flags` are OFPC_FRAG_* and, before 1.3, OFPC_INVALID_TTL_TO_CONTROLLER; `miss_send_len` bytes."""

    flags: int = 0
    miss_send_len: int = 128


@dataclass(frozen=True)
class SetConfig:
    """Be so configured."""

    flags: int = 0
    miss_send_len: int = 128


@dataclass(frozen=True)
class BarrierRequest:
    """Do all that came before before what comes after."""


@dataclass(frozen=True)
class BarrierReply:
    """All that came before is done."""


@dataclass(frozen=True)
class RoleRequest:
    """Give me `role` (ROLE_*); `generation_id` goes with primary and secondary."""

    role: int
    generation_id: int | None = None


@dataclass(frozen=True)
class RoleReply:
    """Your role."""

    role: int
    generation_id: int | None = None


@dataclass(frozen=True)
class RoleStatus:
    """Your role has changed. `reason`: 0 another's request, 1 configuration, 2 experimenter."""

    role: int
    reason: int
    generation_id: int | None = None


@dataclass(frozen=True)
class SetAsync:
    """Which asynchronous messages I want: (OFPACPT_* plus 1 if not secondary, bit mask of reasons)."""

    properties: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class GetAsyncRequest:
    """Which asynchronous messages do I get?"""


@dataclass(frozen=True)
class GetAsyncReply:
    """As in `SetAsync`."""

    properties: tuple[tuple[int, int], ...] = ()
