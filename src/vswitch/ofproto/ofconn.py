"""`OfConn`: one OpenFlow connection, from version negotiation to its end, without its socket.

Whole messages come in by `receive`; what goes out is given to the connection's `Peer`. All that
one controller chose for itself lives here: role, asynchronous messages, packet-in format, flow
monitors, open bundles. What needs to know of several connections is in `connmgr.py`.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.ofproto.async_config import NOT_SECONDARY, default_masks
from vswitch.ofproto.bundle import Bundle
from vswitch.ofproto.flow_mod_log import FlowModLog
from vswitch.ofproto.flow_monitor import Changes, Monitors
from vswitch.ofproto.multipart import Multipart
from vswitch.ofproto.partial_requests import OFPT_MULTIPART_REQUEST, TIMEOUT, PartialRequests
from vswitch.ofproto.pinsched import PacketInQueues
from vswitch.openflow.constants import (
    OFPP_MAX,
    OFPR_EXPLICIT_MISS,
    OFPR_IMPLICIT_MISS,
    OFPR_INVALID_TTL,
    OFPR_NO_MATCH,
)
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import nicira as n
from vswitch.openflow.messages import session as s
from vswitch.openflow.messages.packet import PacketIn
from vswitch.openflow.wire.codec import Message, decode, encodable, encode
from vswitch.openflow.wire.errors import encodable as error_encodable
from vswitch.openflow.wire.messages_base import Form, NotInVersion
from vswitch.openflow.wire.version import OFP10, VERSIONS

if TYPE_CHECKING:
    from vswitch.ofproto.ofproto import Ofproto
    from vswitch.openflow.messages.group import GroupMod
    from vswitch.openflow.messages.meter import MeterMod

log = Vlog("connmgr")
error_rl = RateLimit(10, 10)
errors_log = Vlog("ofp_errors")
errors_rl = RateLimit(1, 5)

MAX_REPLIES: Final = 100
"""No request is taken while so many messages wait for a peer that does not read."""
MAX_QUEUED: Final = 10_000
"""A peer with more messages waiting than this is disconnected: it asked and never reads."""
MAX_ASYNC: Final = 100
"""Asynchronous messages of a kind are dropped while so many messages wait."""
MISSES: Final = frozenset((OFPR_NO_MATCH, OFPR_EXPLICIT_MISS, OFPR_IMPLICIT_MISS))
"""Why packet-ins come that have a rate limit of their own."""
MAX_WAITING: Final = 1000
"""Requests that may wait behind a barrier before the connection is closed."""
MAX_ERROR_DATA: Final = 0xFFFF - 24
"""Bytes of a refused request that its error carries: all of it, as far as a message has room."""
DEFAULT_MISS_SEND_LEN: Final = 128

async_dropped = coverage.counter("drop_async_queue_full")
reply_overflow = coverage.counter("ofconn_closed_reply_overflow")
error_sent = coverage.counter("ofconn_error_sent")
bad_message = coverage.counter("ofconn_bad_message")
unencodable = coverage.counter("drop_async_not_in_version")


class ConnKind(enum.Enum):
    """Who is at the other end."""

    PRIMARY = "primary"
    """A controller that the switch connects to: gets asynchronous messages from the start."""
    SERVICE = "service"
    """A client that connected to the switch, such as ovs-ofctl: gets them only when it has asked for
    them with a `SetConfig` of a nonzero miss_send_len."""


class Peer(Protocol):
    """What carries an `OfConn`: a socket with its queues. Nothing here blocks or raises."""

    name: str
    """The target, such as "tcp:127.0.0.1:6653", or the client's name, such as "unix#3"."""
    version: int
    """The version that was negotiated (1 is OpenFlow 1.0, 6 is OpenFlow 1.5)."""

    def send(self, data: bytes) -> None:
        """Queue one whole message. After a failure or `close` it is dropped."""

    def queued(self) -> int:
        """How many messages are not yet on the wire."""

    def queued_bytes(self) -> int:
        """How many bytes those have."""

    def flush(self) -> None:
        """Begin to write what is queued, as far as there is room, rather than when the request is done."""

    def close(self, reason: str) -> None:
        """Disconnect soon, and then `ConnMgr.detach`, not within this call. `reason` is for the log."""


class Siblings(Changes, Protocol):
    """The connections of a switch, as one of them and its requests see them: `connmgr.ConnMgr`."""

    generation_id: int | None
    """The last one that a claim to a role came with."""

    def handle(self, ofconn: OfConn, message: Message, now: int) -> Iterable[Any]:
        """The replies to one request. OfpError: it is refused."""

    def refusal(self, ofconn: OfConn, data: bytes, error: OfpError) -> OfpError:
        """What to say to the request `data`, which can't be carried out for the reason of `error`.

        A length that its kind can't have comes before all else; then that it is no request, or none
        that a secondary may make; then what is wrong with it.
        """

    def claim_role(self, ofconn: OfConn, role: int, generation_id: int | None) -> None:
        """Give `ofconn` a role. OfpError OFPRRFC_STALE: the claim is older than another one."""

    def forward_request(self, reason: int, request: GroupMod | MeterMod) -> None:
        """`request` (OFPRFR_*) of the acting connection has been done."""

    def update_miss_config(self) -> None:
        """Which packets without a flow are wanted may have changed."""


@final
class OfConn:
    """One connection. `ConnMgr.attach` makes it when the version is known, `ConnMgr.detach` ends it.

    Whoever reads the socket asks `may_receive()` before each message, gives it to `receive`, and calls
    `run` in every turn of the main loop: a barrier, or replies that the peer has not read, make the
    connection wait without blocking any other.
    """

    def __init__(
        self, ofproto: Ofproto, connmgr: Siblings, peer: Peer, kind: ConnKind, now: int
    ) -> None:
        self.ofproto = ofproto
        self.connmgr = connmgr
        self.peer: Peer = peer
        self.kind: ConnKind = kind
        self.version: int = peer.version
        self.connected_at: int = now
        self.role: int = s.ROLE_EQUAL
        """ROLE_EQUAL, ROLE_PRIMARY or ROLE_SECONDARY."""
        self.async_masks: list[int] = default_masks(self.version)
        self.miss_send_len: int = DEFAULT_MISS_SEND_LEN if kind is ConnKind.PRIMARY else 0
        self.controller_id: int = 0
        self.packet_in_form: Form = Form.OPENFLOW
        self.flow_format: int = n.NXFF_OPENFLOW10
        self.flow_mod_table_id: bool = False
        self.flow_age: bool = False
        """Whether flow statistics tell idle and hard ages."""
        self.may_be_primary: bool = True
        """Whether the configuration lets it take part in roles."""
        self.enable_async: bool = True
        """`Controller:enable_async_messages`."""
        self.bundles: dict[int, Bundle] = {}
        self.monitors: Monitors | None = None
        """Its flow monitors, once it has some."""
        self.partial_requests: PartialRequests = PartialRequests()
        self.misses: PacketInQueues = PacketInQueues(now)
        """Packet-ins of packets that matched no flow."""
        self.sent_by_actions: PacketInQueues = PacketInQueues(now)
        """The other packet-ins."""
        self.flow_mods: FlowModLog = FlowModLog(peer.name)
        self.max_packet_ins: int = MAX_ASYNC
        """No packet-in is sent while so many messages wait (`Controller:controller_queue_size`)."""
        self.n_async_dropped: int = 0
        self.closed: bool = False
        self.request: bytes = b""
        """The message that is being carried out."""
        self._waiting: deque[bytes] = deque()
        """Messages that came while `blocked`."""
        self._blockers: int = 0
        self._xid: int = 0

    # Input.

    @property
    def blocked(self) -> bool:
        """Whether a barrier, or another request whose answer takes time, holds up what follows."""
        return self._blockers > 0

    def may_receive(self) -> bool:
        """Whether another message should be read from the peer now."""
        return not self._blockers and not self.closed and self.peer.queued() < MAX_REPLIES

    def receive(self, data: bytes, now: int) -> None:
        """Take one whole message (as `wire.framing` cuts them) and answer it."""
        if self.closed:
            return
        if self._blockers or self._waiting:
            if len(self._waiting) >= MAX_WAITING:
                self.close("too many requests behind a barrier")
                return
            self._waiting.append(data)
            return
        self._handle(data, now)

    def run(self, now: int) -> None:
        """Take what waited and may go on; send packet-ins whose time has come."""
        while self._waiting and not self._blockers and not self.closed:
            self._handle(self._waiting.popleft(), now)
        for queues in (self.misses, self.sent_by_actions):
            for pin in queues.run(now):
                self._send_packet_in(pin)
        if now >= self.flow_mods.due:
            self.flow_mods.run(now)
        if self.monitors is not None:
            self.monitors.run(now)
        if self.bundles:
            self._expire_bundles(now)
        if self.partial_requests.begun:
            for data in self.partial_requests.expire(now):
                error = OfpError("OFPBRC_MULTIPART_REQUEST_TIMEOUT", "the rest did not come")
                self.send_error(error, int.from_bytes(data[4:8], "big"), data)

    def _expire_bundles(self, now: int) -> None:
        """Discard the bundles that nothing has been put in for too long, and say so."""
        limit = self.ofproto.bundle_idle_timeout * 1000
        for bundle in list(self.bundles.values()):
            if now - bundle.used >= limit:
                del self.bundles[bundle.bundle_id]
                xid = int.from_bytes(bundle.opened[4:8], "big")
                self.send_error(OfpError("OFPBFC_TIMEOUT", "bundle"), xid, bundle.opened)

    def wakeup(self, now: int) -> int:
        """Clock ms at which `run` has something to do that no event announces."""
        when = min(self.misses.wakeup(now), self.sent_by_actions.wakeup(now), self.flow_mods.due)
        for _, since in self.partial_requests.begun.values():
            when = min(when, since + TIMEOUT)
        for bundle in self.bundles.values():
            when = min(when, bundle.used + self.ofproto.bundle_idle_timeout * 1000)
        return when

    def _handle(self, data: bytes, now: int) -> None:
        xid = int.from_bytes(data[4:8], "big")
        self.request = data
        try:
            whole = data
            if data[1] == OFPT_MULTIPART_REQUEST:
                taken = self.partial_requests.take(data, now)
                if taken is None:
                    return
                whole = taken
            message = decode(whole, self.flow_mod_table_id, whole is not data)
            if message.version != self.version and not isinstance(
                    message.body, s.Hello | s.Error | s.EchoRequest | s.EchoReply):
                raise OfpError("OFPBRC_BAD_VERSION", f"version {message.version}")
            replies = self.connmgr.handle(self, message, now)
            if not replies:
                return
            for body in replies:
                if message.version == self.version:
                    self.send_reply(body, xid, message.form)
                else:
                    # An echo is answered in the version that it came in, as in Open vSwitch.
                    self.send(encode(body, message.version, xid))
        except OfpError as error:
            bad_message.inc()
            self.send_error(self.connmgr.refusal(self, data, error), xid, data)

    def block(self) -> Callable[[], None]:
        """Take no more requests until the function that is returned has been called."""
        self._blockers += 1
        return self._unblock

    def _unblock(self) -> None:
        self._blockers -= 1

    # Output.

    def send_reply(self, body: Any, xid: int, form: Form = Form.OPENFLOW) -> None:
        """Send a reply, which is never dropped; in the `form` that the request had if it has that."""
        if isinstance(body, Multipart):
            try:
                for part in body.messages(self.version, xid, form, self.ofproto.tables.respite.give):
                    self.send(part)
                    self.peer.flush()
            except NotInVersion:
                for part in body.messages(self.version, xid, Form.OPENFLOW):
                    self.send(part)
            return
        try:
            data = encode(body, self.version, xid, form)
        except NotInVersion:
            data = encode(body, self.version, xid)
        self.send(data)

    def send_error(self, error: OfpError, xid: int, data: bytes) -> None:
        """Refuse the request whose first bytes are `data`."""
        from vswitch.openflow.print import name_of_bytes  # not loaded before there is an error

        error_sent.inc()
        version = data[0] if data[0] in VERSIONS else OFP10
        now = self.ofproto.now()
        if not error_encodable(error.name, version):
            what = f"cannot encode {error.name} for OpenFlow 1.{version - 1}"
            errors_log.err_rl(errors_rl, now, "%s", what)
        what = f"sending {error.name} error reply to {name_of_bytes(data)} message"
        log.info_rl(error_rl, now, "%s: %s", self.peer.name, what)
        log.dbg("%s: %s", self.peer.name, error)
        self.send(encode(s.Error(error.name, data[:MAX_ERROR_DATA]), version, xid))

    def send(self, data: bytes) -> None:
        """Send what must arrive: a reply. A peer with too many of them waiting is disconnected."""
        if self.closed:
            return
        if self.peer.queued() >= MAX_QUEUED:
            reply_overflow.inc()
            self.close("too many replies waiting")
            return
        self.peer.send(data)

    def send_async(self, body: Any, form: Form = Form.OPENFLOW, most: int = MAX_ASYNC) -> bool:
        """Send what the connection did not ask for, unless `most` messages wait for the peer to read
        (counted)."""
        if self.closed:
            return False
        if self.peer.queued() >= most:
            async_dropped.inc()
            self.n_async_dropped += 1
            return False
        if not encodable(body, self.version):
            unencodable.inc()
            return False
        try:
            data = encode(body, self.version, self.next_xid(), form)
        except (OfpError, ValueError) as error:
            unencodable.inc()
            log.dbg("%s: can't tell %s: %s", self.peer.name, type(body).__name__, error)
            return False
        self.peer.send(data)
        return True

    def next_xid(self) -> int:
        """The number of a message that answers none."""
        return 0

    def monitor(self) -> Monitors:
        """Its flow monitors."""
        if self.monitors is None:
            self.monitors = Monitors(
                self, self.version, self.peer, self.ofproto, self.connmgr, self.send_reply
            )
        return self.monitors

    def close(self, reason: str) -> None:
        """Have the peer disconnect."""
        if not self.closed:
            self.closed = True
            self.peer.close(reason)

    # Asynchronous messages.

    def wants(self, kind: int, reason: int) -> bool:
        """Whether it wants asynchronous messages of `kind` (OFPACPT_*) with `reason`."""
        if not self.enable_async or (self.kind is ConnKind.SERVICE and not self.miss_send_len):
            return False
        if self.role != s.ROLE_SECONDARY:
            kind += NOT_SECONDARY
        return bool(self.async_masks[kind] >> reason & 1)

    @property
    def invalid_ttl_to_controller(self) -> bool:
        """Whether packets whose TTL ran out come here unless this is a secondary."""
        return bool(self.async_masks[s.OFPACPT_PACKET_IN + NOT_SECONDARY] >> OFPR_INVALID_TTL & 1)

    def set_invalid_ttl(self, enable: bool) -> None:
        """Whether packets whose TTL ran out come here: OpenFlow's older way to configure it.

        A secondary gets none of them.
        """
        bit = 1 << OFPR_INVALID_TTL
        kind = s.OFPACPT_PACKET_IN + NOT_SECONDARY
        if enable:
            self.async_masks[kind] |= bit
        else:
            self.async_masks[kind] &= ~bit

    def set_rate_limit(self, rate: int, burst: int) -> None:
        """At most `rate` packet-ins of either kind a second, `burst` at once and waiting; 0 takes the limit
        off."""
        self.misses.set_limit(rate, burst)
        self.sent_by_actions.set_limit(rate, burst)

    def rate_limit_status(self) -> dict[str, int]:
        """The keys packet-in-* of Controller.status; none without a limit."""
        status: dict[str, int] = {}
        for kind, queues in (("action", self.sent_by_actions), ("miss", self.misses)):
            if queues.rate:
                status[f"packet-in-{kind}-backlog"] = len(queues)
                status[f"packet-in-{kind}-bypassed"] = queues.n_normal
                status[f"packet-in-{kind}-dropped"] = queues.n_dropped
                status[f"packet-in-{kind}-queued"] = queues.n_limited
        return status

    def queue_packet_in(self, pin: PacketIn, now: int) -> None:
        """Send a packet-in now, or when the rate limit lets it."""
        in_port = pin.metadata.flow.in_port
        queues = self.misses if pin.reason in MISSES else self.sent_by_actions
        if queues.take(pin, in_port if in_port < OFPP_MAX else OFPP_MAX, now):
            self._send_packet_in(pin)

    def _send_packet_in(self, pin: PacketIn) -> None:
        self.send_async(pin, self.packet_in_form, self.max_packet_ins)

    def flush(self) -> None:
        """Forget what is open: at the end of the connection."""
        self.closed = True
        self._waiting.clear()
        self.bundles.clear()
        self.monitors = None
        self.misses.clear()
        self.sent_by_actions.clear()

    def __repr__(self) -> str:
        return f"OfConn({self.peer.name}, version={self.version}, {self.kind.value})"


Replies = Iterable[Any]
"""The bodies of the answers to a request, in order."""
Handler = Callable[[OfConn, Message, int], Replies]
"""What answers a request: (connection, message, now). OfpError: it is refused."""

__all__ = ["OFP10", "ConnKind", "Handler", "OfConn", "Peer", "Replies"]
