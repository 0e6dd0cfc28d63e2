"""Two ends to ask: our switch without a socket, and the real one over its management socket.

Both take whole messages and give whole messages, so that the same bytes in can be compared by the
replies that come out, after `told` has taken out what must differ.
"""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Iterable
from typing import Any

from vswitch import Switch
from vswitch.ofproto.connmgr import ConnKind
from vswitch.openflow.messages import port as p
from vswitch.openflow.messages import session as s
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.messages_base import Form

BARRIER_XID = 0xBBBBBBBB
XID = 7
Request = Any
"""The body of a message, (body, form), or the bytes of a message."""


class RecordingPeer:
    """A peer that writes down what it is sent. `waiting` is what it pretends not to have read."""

    def __init__(self, version: int, name: str = "test") -> None:
        self.name = name
        self.version = version
        self.sent: list[bytes] = []
        self.waiting = 0
        self.waiting_bytes = 0
        self.closed = ""

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def queued(self) -> int:
        return self.waiting

    def queued_bytes(self) -> int:
        return self.waiting_bytes

    def flush(self) -> None:
        pass

    def close(self, reason: str) -> None:
        self.closed = reason

    def take(self) -> list[Any]:
        """The bodies of what was sent since the last call."""
        taken, self.sent = self.sent, []
        return [decode(data).body for data in taken]


def encoded(request: Request, version: int, xid: int = XID) -> bytes:
    """`request` as a message."""
    if isinstance(request, bytes):
        return request
    if isinstance(request, tuple):
        return encode(request[0], version, xid, Form(request[1]))
    return encode(request, version, xid)


class End:
    """A connection of one version to a switch."""

    version: int

    def exchange(self, *messages: bytes) -> list[bytes]:
        """Send messages, and then a barrier; what came back before the barrier's answer."""
        raise NotImplementedError

    def ask(self, *requests: Request) -> list[Any]:
        """The bodies of the replies to `requests`."""
        replies = self.exchange(*(encoded(request, self.version) for request in requests))
        return [decode(reply).body for reply in replies]

    def mac(self, number: int) -> int:
        """The address of a port."""
        ports = [port for reply in self.ask(p.PortDescRequest()) for port in reply.ports]
        return next(int(port.hw_addr) for port in ports if port.port_no == number)


class OurEnd(End):
    """Our switch, asked without a socket."""

    def __init__(self, switch: Switch, version: int, kind: ConnKind = ConnKind.SERVICE) -> None:
        self.switch = switch
        self.version = version
        self.peer = RecordingPeer(version)
        self.conn = switch.ofproto.connmgr.attach(self.peer, kind, switch.clock.now())

    def exchange(self, *messages: bytes) -> list[bytes]:
        now = self.switch.clock.now()
        for message in messages:
            self.conn.receive(message, now)
        self.switch._run()
        taken, self.peer.sent = self.peer.sent, []
        return taken

    def close(self) -> None:
        self.switch.ofproto.connmgr.detach(self.conn, self.switch.clock.now())


class RealEnd(End):
    """The real switch, over a Unix socket."""

    def __init__(self, path: str, version: int) -> None:
        self.version = version
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.buffer = b""
        self.socket.sendall(encode(s.Hello(1 << version), version, 1))
        hello = decode(self.message())
        assert isinstance(hello.body, s.Hello), hello

    def message(self) -> bytes:
        """The next message."""
        while True:
            if len(self.buffer) >= 8:
                length = int.from_bytes(self.buffer[2:4], "big")
                if len(self.buffer) >= length:
                    message, self.buffer = self.buffer[:length], self.buffer[length:]
                    return message
            got = self.socket.recv(1 << 16)
            assert got, "the real switch has closed the connection"
            self.buffer += got

    def exchange(self, *messages: bytes) -> list[bytes]:
        for message in messages:
            self.socket.sendall(message)
        self.socket.sendall(encode(s.BarrierRequest(), self.version, BARRIER_XID))
        replies = []
        while True:
            reply = self.message()
            if reply[4:8] == BARRIER_XID.to_bytes(4, "big"):
                return replies
            replies.append(reply)

    def close(self) -> None:
        self.socket.close()


UNREADABLE = "Error(?)"
"""What the real switch makes of some errors: it takes what follows in its memory for the request."""
DIFFERS = re.compile(
    r"(duration_sec|duration_nsec|hw_addr|sw_desc|idle_age|hard_age|rx_errors|tx_errors|rx_dropped|tx_dropped)"
    r"=[^,)]*"
)

CUSTOM = re.compile(r"CustomStat\([^)]*\)(, |,)?")
"""Counters that only the real switch's dummy devices have."""


def told(replies: Iterable[Any]) -> list[str]:
    """Replies as texts to compare: parts of one reply joined, lists sorted, without what must differ."""
    merged: list[Any] = []
    for body in replies:
        last = merged[-1] if merged else None
        if getattr(last, "more", False) and type(last) is type(body):
            name = _list_of(body)
            both = getattr(last, name) + getattr(body, name)
            merged[-1] = dataclasses.replace(body, **{name: both})
        else:
            merged.append(body)
    return [CUSTOM.sub("", DIFFERS.sub(r"\1=*", text(body))) for body in merged]


def _list_of(body: Any) -> str:
    return next(f.name for f in dataclasses.fields(body) if isinstance(getattr(body, f.name), tuple))


def text(body: Any) -> str:
    """A reply as text. Lists of what has no order are sorted."""
    if isinstance(body, s.Error):
        if not body.name and len(body.data) > 60_000:
            return UNREADABLE
        if body.name.startswith("OFPMOFC"):
            return f"Error({body.name})"  # the real switch's data is what it had not read yet
        return f"Error({body.name}, {len(body.data)} bytes: {body.data.hex()})"
    if hasattr(body, "more"):
        name = _list_of(body)
        if name == "tables":
            body = _in_order(body)
        entries = sorted(DIFFERS.sub(r"\1=*", repr(entry)) for entry in getattr(body, name))
        return f"{type(body).__name__}({', '.join(entries)})"
    return repr(body)


def _in_order(body: Any) -> Any:
    """Features of tables whose lists are sorted."""
    tables = []
    for table in body.tables:
        if hasattr(table, "properties"):
            properties = tuple(
                dataclasses.replace(prop, items=tuple(sorted(prop.items))) for prop in table.properties
            )
            table = dataclasses.replace(table, properties=properties)
        tables.append(table)
    return dataclasses.replace(body, tables=tuple(tables))


__all__ = ["End", "Form", "OurEnd", "RealEnd", "RecordingPeer", "encoded", "told"]
