"""`PartialRequests`: multipart requests that come in several messages (OpenFlow 1.3, 7.3.5).

The parts of a request have its xid and, but for the last, the flag OFPMPF_REQ_MORE. A request that is whole
can be longer than a message: the features of 254 tables are.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.codec import check_head
from vswitch.openflow.wire.version import OFP13

OFPT_MULTIPART_REQUEST: Final = 18
OFPMPF_REQ_MORE: Final = 1
HEADER: Final = 16
"""Bytes before a part's own contents."""
MAX_BYTES: Final = 1 << 22
"""Of requests that one connection has begun."""
MAX_REQUESTS: Final = 16
"""Requests that one connection may have begun and not finished."""
TIMEOUT: Final = 1000
"""ms until a request that is not finished is forgotten (OpenFlow 1.3, 7.3.5: 100 ms at least)."""


@final
class PartialRequests:
    """What one connection has sent of requests that are not whole yet."""

    def __init__(self) -> None:
        self.begun: dict[int, tuple[bytearray, int]] = {}
        """xid -> (what is there, as one message but for its length; clock ms of the last part)."""
        self.n_bytes: int = 0
        """Of `begun` together."""

    def take(self, data: bytes, now: int) -> bytes | None:
        """A message; the request that is whole with it, or None if more follows. One of several parts
        tells the length of the first.

        OfpError: OFPBRC_BAD_STAT: a part of another request than the one begun with this xid;
        OFPBRC_MULTIPART_BUFFER_OVERFLOW; what is wrong with a part by itself.
        """
        if len(data) < HEADER or data[1] != OFPT_MULTIPART_REQUEST or data[0] < OFP13:
            return data
        more = data[11] & OFPMPF_REQ_MORE
        xid = int.from_bytes(data[4:8], "big")
        there = self.begun.pop(xid, None)
        if there is None and not more:
            return data
        whole = bytearray(data)
        if there is not None:
            whole = there[0]
            self.n_bytes -= len(whole)
            if whole[8:10] != data[8:10]:
                raise OfpError("OFPBRC_BAD_STAT", "a part of another request")
            whole += data[HEADER:]
        if more:
            check_head(data)
        if self.n_bytes + len(whole) > MAX_BYTES or len(self.begun) >= MAX_REQUESTS:
            raise OfpError("OFPBRC_MULTIPART_BUFFER_OVERFLOW", f"{len(whole)} bytes so far")
        if more:
            self.begun[xid] = (whole, now)
            self.n_bytes += len(whole)
            return None
        whole[10:12] = b"\0\0"
        return bytes(whole)

    def expire(self, now: int) -> list[bytes]:
        """Forget requests that nothing was added to for too long; what there was of them."""
        old = [xid for xid, (_, since) in self.begun.items() if now - since >= TIMEOUT]
        gone = [bytes(self.begun.pop(xid)[0]) for xid in old]
        self.n_bytes -= sum(map(len, gone))
        return gone
