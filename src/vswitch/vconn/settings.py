"""What a configuration says of a bridge's connections, and what can be reported of them.

The units and defaults are those of the Controller table, ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.ofproto.ofconn import MAX_ASYNC, ConnKind

DEFAULT_MAX_BACKOFF_MS: Final = 8000
DEFAULT_INACTIVITY_PROBE_MS: Final = 5000
DEFAULT_DSCP: Final = 48
"""Class selector 6, internetwork control."""

ACTIVE: Final = ("tcp", "ssl", "unix")
PASSIVE: Final = ("ptcp", "pssl", "punix")


@dataclass(frozen=True)
class ControllerSettings:
    """One controller, or one place where clients may connect.

    `target`: "tcp:HOST[:PORT]", "ssl:HOST[:PORT]", "unix:FILE", or the passive "ptcp:[PORT][:HOST]",
    "pssl:[PORT][:HOST]", "punix:FILE". Times in ms; 0 turns probes off.
    """

    target: str
    kind: ConnKind | None = None
    """None: primary if the target is active, service if it is passive."""
    max_backoff: int = DEFAULT_MAX_BACKOFF_MS
    inactivity_probe: int = DEFAULT_INACTIVITY_PROBE_MS
    in_band: bool = True
    """Whether packets to and from a primary controller may go through the bridge (`connection_mode`)."""
    rate_limit: int = 0
    """Packet-ins a second, 0 for no limit."""
    burst_limit: int = 0
    queue_size: int = MAX_ASYNC
    """No packet-in is sent while so many messages wait for the controller."""
    enable_async: bool = True
    dscp: int = DEFAULT_DSCP

    @property
    def passive(self) -> bool:
        """Whether the target waits for others to connect."""
        return self.target.partition(":")[0] in PASSIVE

    @property
    def conn_kind(self) -> ConnKind:
        """The kind of its connections."""
        if self.kind is not None:
            return self.kind
        return ConnKind.SERVICE if self.passive else ConnKind.PRIMARY

    @property
    def supported(self) -> bool:
        """Whether the target's method exists."""
        return self.target.partition(":")[0] in (*ACTIVE, *PASSIVE)


@dataclass(frozen=True)
class ControllerStatus:
    """How a controller fares: the status columns of the Controller table."""

    is_connected: bool = False
    role: str = "other"
    """"other", "master" or "slave"."""
    status: dict[str, str] = field(default_factory=dict)
    """"state", "last_error", "sec_since_connect", "sec_since_disconnect"; with a rate limit what became
    of packet-ins ("packet-in-miss-queued"...)."""
