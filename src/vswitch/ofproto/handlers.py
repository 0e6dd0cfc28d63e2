"""The requests of OpenFlow: a table from message class to the function that answers it.

The functions are in modules by topic, `handlers_*.py`, each with its `HANDLERS`. A handler gets the
connection, the message and the time, and returns the bodies of its replies; what it refuses it raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.ofproto import (
    handlers_bundle,
    handlers_flow,
    handlers_group,
    handlers_monitor,
    handlers_nicira,
    handlers_port,
    handlers_session,
    handlers_table,
)
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import session as s

if TYPE_CHECKING:
    from vswitch.ofproto.ofconn import Handler, OfConn, Replies
    from vswitch.openflow.wire.codec import Message

HANDLERS: Final[dict[type, Handler]] = {
    **handlers_session.HANDLERS,
    **handlers_flow.HANDLERS,
    **handlers_monitor.HANDLERS,
    **handlers_port.HANDLERS,
    **handlers_table.HANDLERS,
    **handlers_group.HANDLERS,
    **handlers_bundle.HANDLERS,
    **handlers_nicira.HANDLERS,
}
"""By class of the message's body."""
SECONDARY_REFUSED: Final[frozenset[type]] = frozenset((
    *handlers_flow.SECONDARY_REFUSED,
    *handlers_port.SECONDARY_REFUSED,
    *handlers_table.SECONDARY_REFUSED,
    *handlers_group.SECONDARY_REFUSED,
    *handlers_bundle.SECONDARY_REFUSED,
    *handlers_nicira.SECONDARY_REFUSED,
))  # fmt: skip
"""What a connection in the secondary role may not ask for (OpenFlow 1.3, 6.3.4)."""


def handle(ofconn: OfConn, message: Message, now: int) -> Replies:
    """The replies to one request. OfpError: it is refused, or not a request at all."""
    cls = type(message.body)
    handler = HANDLERS.get(cls)
    if handler is None:
        raise OfpError("OFPBRC_BAD_TYPE", f"{cls.__name__} is no request")
    if ofconn.role == s.ROLE_SECONDARY and cls in SECONDARY_REFUSED:
        raise OfpError("OFPBRC_IS_SECONDARY", cls.__name__)
    return handler(ofconn, message, now)
