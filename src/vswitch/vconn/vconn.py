"""`Vconn`: one OpenFlow connection: a stream, framing, and the negotiation of the version.

Hellos are exchanged here (OpenFlow 1.3, 6.3.1 and 7.5.1) and nowhere else; from then on whole messages
go in and out. Nothing blocks, and what waits is bounded: input by reading no further while messages
are not taken, output by whoever sends (`queued`).
"""

from __future__ import annotations

import enum
import itertools
from collections import deque
from collections.abc import Iterable
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Level, Vlog
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages.session import Error, Hello
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.framing import Framing
from vswitch.openflow.wire.version import OFP10, VERSIONS, versions_from_bitmap, versions_to_bitmap
from vswitch.vconn.poller import READ, WRITE
from vswitch.vconn.retval import EAGAIN, EOF, EPROTO, error_of, retval_to_string
from vswitch.vconn.stream import Stream

log: Final = Vlog("vconn")
stream_log: Final = Vlog("vconn_stream")

READ_SIZE: Final = 65536
MAX_BUFFERS: Final = 64
"""How many messages go into one system call."""
_ANY_VERSION: Final = 4
"""Messages of types below this one (hello, error, echo) are taken in any version."""

_xids: Final = itertools.count(1)

vconn_open: Final = coverage.counter("vconn_open")
vconn_received: Final = coverage.counter("vconn_received")
vconn_sent: Final = coverage.counter("vconn_sent")
vconn_discarded: Final = coverage.counter("drop_vconn_closed")
negotiation_failed: Final = coverage.counter("vconn_negotiation_failed")
bad_version: Final = coverage.counter("vconn_bad_version")


def _printed(data: bytes) -> str:
    """A message as the log has it. What prints is not loaded before something is printed."""
    from vswitch.openflow.print import format_bytes

    return format_bytes(data)


class State(enum.Enum):
    """How far a connection is."""

    CONNECTING = "connecting"
    RECV_HELLO = "waiting for the peer's hello"
    SEND_ERROR = "refusing the peer's versions"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


_CONNECTED: Final = State.CONNECTED
_DBG: Final = Level.DBG
"""An enumeration's member takes long to find in it, and these are asked for with each message."""


def hello(versions: int) -> bytes:
    """The hello of one who speaks `versions`, a bitmap. The highest is in the header; the others are
    listed unless they are all the lower ones, which its absence says."""
    highest = versions.bit_length() - 1
    contiguous = versions == (2 << highest) - 2
    return encode(Hello(0 if contiguous else versions), highest, next(_xids) & 0xFFFFFFFF)


def describe_versions(versions: int) -> str:
    """ "version 0x04", "version 0x03 and earlier", "versions 0x01, 0x04"."""
    numbers = versions_from_bitmap(versions)
    if not numbers:
        return "no versions"
    if len(numbers) == 1:
        return f"version 0x{numbers[0]:02x}"
    if numbers == tuple(range(OFP10, numbers[-1] + 1)):
        return f"version 0x{numbers[-1]:02x} and earlier"
    return "versions " + ", ".join(f"0x{n:02x}" for n in numbers)


@final
class Vconn:
    """One connection. `versions`: what may be spoken.

    `run` gets it going; when `connected`, `recv` and `send` carry messages and `flush` puts them on the
    wire. After `error` is set nothing more comes or goes.
    """

    def __init__(self, stream: Stream, versions: Iterable[int] = VERSIONS, now: int = 0) -> None:
        self.stream: Stream = stream
        self.name: str = stream.name
        self.versions: int = versions_to_bitmap(versions)
        self.version: int = 0
        """The version that was negotiated."""
        self.state: State = State.CONNECTING
        self.error: int = 0
        """Why it is disconnected: an errno or `EOF`."""
        self._framing = Framing()
        self._incoming: deque[bytes] = deque()
        self._read_error: int = 0
        """What ends the connection when the messages before it have been taken."""
        self._drained: bool = False
        """Whether the last read found less than it had room for: to read again now would find nothing."""
        self._out: deque[bytes] = deque()
        self._out_bytes: int = 0
        self._first_sent: int = 0
        """How much of the first outgoing message is on the wire."""
        self._blocked: bool = False
        """Whether the last write found no room."""
        self._rl = RateLimit(60, 5)
        self._now = now
        vconn_open.inc()

    # State.

    @property
    def connected(self) -> bool:
        """Whether messages can be exchanged."""
        return self.state is State.CONNECTED

    def events(self, reading: bool = True) -> int:
        """What to watch `stream.fd` for: `reading` whether messages would be taken."""
        if self.state is State.CONNECTING:
            return self.stream.connect_events
        events = WRITE if self._out or self.stream.unsent else 0
        if reading and not self._read_error and self.state is not State.SEND_ERROR:
            events |= READ
        return events

    def has_input(self) -> bool:
        """Whether `recv` would return a message, or find the end, without reading."""
        return bool(self._incoming) or bool(self._read_error)

    def run(self, now: int) -> None:
        """Go on with connecting and negotiating, and write what waits."""
        self._now = now
        if self.state is State.CONNECTING:
            error = self.stream.connect()
            if error == EAGAIN:
                return
            if error:
                self._disconnect(error)
                return
            self.state = State.RECV_HELLO
            self._put(hello(self.versions))
        if self.state is State.RECV_HELLO:
            self._recv_hello()
        if self._out or self.stream.unsent:
            self.flush()
        if self.state is State.SEND_ERROR and not self._out and not self.stream.unsent:
            self._disconnect(EPROTO)

    def close(self) -> None:
        """Give the connection up. Whoever watches its descriptor forgets that first. Idempotent."""
        self.stream.close()
        if self._out:
            vconn_discarded.inc(len(self._out))
            self._out.clear()
        self.state = State.DISCONNECTED

    def _disconnect(self, error: int) -> None:
        if not self.error:
            self.error = error
        self.state = State.DISCONNECTED

    # Negotiation.

    def _recv_hello(self) -> None:
        data = self._next()
        if data is None:
            return
        try:
            message = decode(data)
        except OfpError as e:
            log.warn_rl(self._rl, self._now, "%s: bad message while expecting hello: %s", self.name, e)
            self._disconnect(EPROTO)
            return
        self._log_message("received", data)
        if not isinstance(message.body, Hello):
            text = _printed(data)
            log.warn_rl(self._rl, self._now, "%s: message while expecting hello: %s", self.name, text)
            self._disconnect(EPROTO)
            return
        # No list of versions means all up to the header's.
        theirs = message.body.bitmap or (2 << min(message.version, 31)) - 2
        common = self.versions & theirs & ~1
        we, they = describe_versions(self.versions), describe_versions(theirs)
        if common:
            self.version = common.bit_length() - 1
            self.state = State.CONNECTED
            log.dbg(
                "%s: negotiated OpenFlow version 0x%02x (we support %s, peer supports %s)",
                self.name, self.version, we, they,
            )  # fmt: skip
            return
        negotiation_failed.inc()
        log.warn_rl(
            self._rl, self._now, "%s: version negotiation failed (we support %s, peer supports %s)",
            self.name, we, they,
        )  # fmt: skip
        text = f"We support {we}, you support {they}, no common versions."
        version = max(theirs.bit_length() - 1, OFP10)
        self.state = State.SEND_ERROR
        self._put(encode(Error("OFPHFC_INCOMPATIBLE", text.encode()), version, 0))

    # Input.

    def recv(self, now: int) -> bytes | None:
        """The next message, None if there is none now. One in a version that was not negotiated is
        answered with OFPBRC_BAD_VERSION and skipped."""
        self._now = now
        while self.state is _CONNECTED:
            data = self._next()
            if data is None:
                return None
            vconn_received.inc()
            if log.most >= _DBG:
                self._log_message("received", data)
            if data[0] == self.version or data[1] < _ANY_VERSION:
                return data
            bad_version.inc()
            log.err_rl(
                self._rl, now, "%s: received OpenFlow version 0x%02x != expected %02x",
                self.name, data[0], self.version,
            )  # fmt: skip
            xid = int.from_bytes(data[4:8], "big")
            version = data[0] if data[0] in VERSIONS else OFP10
            self._put(encode(Error("OFPBRC_BAD_VERSION", data[:64]), version, xid))
        return None

    def _next(self) -> bytes | None:
        """A whole message, read if need be; sets `error` when there will be none any more.

        The first time after a read that emptied the socket, None without asking the kernel (epoll(7), the
        last of its questions): that is a system call a message to a client that waits for each answer.
        """
        incoming = self._incoming
        while not incoming:
            if self._read_error:
                self._disconnect(self._read_error)
                return None
            if self._drained:
                self._drained = False
                return None
            if not self._read():
                return None
        return incoming.popleft()

    def _read(self) -> bool:
        """Read once. False: there is nothing now."""
        try:
            data = self.stream.recv(READ_SIZE)
        except OSError as e:
            self._read_error = error_of(e)
            return True
        if data is None:
            return False
        if not data:
            self._read_error = EOF
            if self._framing.pending:
                stream_log.err_rl(self._rl, self._now, "connection dropped mid-packet")
                self._read_error = EPROTO
            return True
        self._drained = len(data) < READ_SIZE and self.stream.short_read_drains
        try:
            self._incoming.extend(self._framing.feed(data))
            if self._framing.pending >= 8:
                # The framing tells of a bad length only when asked for what comes after it.
                self._incoming.extend(self._framing.feed(b""))
        except OfpError as e:
            length = int.from_bytes(e.data[2:4], "big")
            stream_log.err_rl(
                self._rl, self._now, "received too-short ofp_header (%d bytes)", length
            )
            self._read_error = EPROTO
        return True

    # Output.

    def queued(self) -> int:
        """How many messages are not yet wholly on the wire."""
        return len(self._out)

    def queued_bytes(self) -> int:
        """How many bytes those have left."""
        return self._out_bytes

    def send(self, data: bytes) -> None:
        """Queue one message; `flush` or `run` writes it. After the end it is dropped and counted."""
        if self.state is not _CONNECTED:
            vconn_discarded.inc()
            return
        self._put(data)

    def _put(self, data: bytes) -> None:
        vconn_sent.inc()
        if log.most >= _DBG:
            self._log_message("sent (Success)", data)
        self._out.append(data)
        self._out_bytes += len(data)

    def flush(self) -> None:
        """Write what waits, as far as there is room."""
        out = self._out
        try:
            if len(out) == 1 and not self._first_sent and not self.stream.unsent:
                data = out[0]
                n = self.stream.send((data,))
                if n == len(data):
                    out.clear()
                    self._out_bytes = 0
                    return
                self._first_sent = n
                self._out_bytes -= n
                return
            while out or self.stream.unsent:
                buffers: list[bytes | memoryview] = list(itertools.islice(out, MAX_BUFFERS))
                if self._first_sent:
                    buffers[0] = memoryview(out[0])[self._first_sent :]
                n = self.stream.send(buffers)
                if n == 0 and (out or self.stream.unsent):
                    return
                self._out_bytes -= n
                n += self._first_sent
                while out and n >= len(out[0]):
                    n -= len(out.popleft())
                self._first_sent = n
        except OSError as e:
            # What the peer sent before it went is still worth reading, so this waits behind it.
            if self.state is State.CONNECTED and not self._read_error:
                while self._read() and not self._read_error:
                    pass
                self._read_error = self._read_error or error_of(e)
                out.clear()
                self._out_bytes = self._first_sent = 0
            else:
                self._disconnect(error_of(e))

    def _log_message(self, what: str, data: bytes) -> None:
        if log.most >= Level.DBG:
            log.dbg("%s: %s: %s", self.name, what, _printed(data).rstrip("\n"))

    def __repr__(self) -> str:
        return f"Vconn({self.name}, {self.state.value}, {retval_to_string(self.error)})"
