"""Requests from within the process, on the way that those of OpenFlow connections take: encoded, decoded,
checked, carried out and answered by the same functions. Only the socket is left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from vswitch.ofproto.connmgr import connmgr_of
from vswitch.ofproto.ofconn import ConnKind
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages.session import Error
from vswitch.openflow.wire.codec import decode, encode

if TYPE_CHECKING:
    from vswitch.ofproto.ofproto import Ofproto

_XID: Final = 1
_BUNDLE_ID: Final = 0


class _Peer:
    """The other end of a connection, which keeps what it is sent."""

    def __init__(self, version: int) -> None:
        self.name = "request"
        self.version = version
        self.received: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.received.append(data)

    def queued(self) -> int:
        return 0

    def queued_bytes(self) -> int:
        return 0

    def flush(self) -> None:
        """Nothing: all is there at once."""

    def close(self, reason: str) -> None:
        """Nothing: the connection ends with its last request."""


def request(ofproto: Ofproto, bodies: Iterable[Any], version: int, now: int) -> list[Any]:
    """Carry out `bodies`, bodies of messages, one after the other, as on a connection of `version`; the
    replies to them.

    OfpError: one is refused, and those after it are not looked at, or the version has no words for it.
    """
    peer = _Peer(version)
    connmgr = connmgr_of(ofproto)
    conn = connmgr.attach(peer, ConnKind.SERVICE, now)
    replies: list[Any] = []
    try:
        for body in bodies:
            conn.receive(encode(body, version, _XID), now)
            received, peer.received = peer.received, []
            for message in map(decode, received):
                if isinstance(message.body, Error):
                    raise OfpError(message.body.name, f"{type(body).__name__} is refused")
                if message.xid == _XID:
                    replies.append(message.body)
    finally:
        connmgr.detach(conn, now)
    return replies


def bundle(ofproto: Ofproto, bodies: Iterable[Any], version: int, now: int) -> None:
    """Carry out `bodies` as an ordered, atomic bundle (OpenFlow 1.4, 6.8). OfpError: one is
    refused, and nothing has changed."""
    flags = b.OFPBF_ATOMIC | b.OFPBF_ORDERED
    request(ofproto, [
        b.BundleControl(_BUNDLE_ID, b.OFPBCT_OPEN_REQUEST, flags),
        *(b.BundleAdd(_BUNDLE_ID, encode(body, version, _XID), flags) for body in bodies),
        b.BundleControl(_BUNDLE_ID, b.OFPBCT_COMMIT_REQUEST, flags),
    ], version, now)  # fmt: skip
