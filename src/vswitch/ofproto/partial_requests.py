"""`PartialRequests`: multipart requests that come in several messages (OpenFlow 1.3, 7.3.5).

The parts of a request have its xid and, but for the last, the flag OFPMPF_REQ_MORE.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.version import OFP13

OFPT_MULTIPART_REQUEST: Final = 18
OFPMPF_REQ_MORE: Final = 1
HEADER: Final = 16
"""Bytes before a part's own contents."""
MAX_REQUESTS: Final = 16
"""Requests that one connection may have begun and not finished."""
TIMEOUT: Final = 1000
"""ms until a request that is not finished is forgotten (OpenFlow 1.3, 7.3.5: 100 ms at least)."""


@final
class PartialRequests:
    """What one connection has sent of requests that are not whole yet."""

    def __init__(self) -> None:
        self.begun: dict[int, tuple[bytes, int]] = {}
        """xid -> (what is there, as one message but for its length; clock ms of the last part)."""

    def take(self, data: bytes, now: int) -> bytes | None:
        """A message; the request that is whole with it, or None if more follows.

        OfpError: OFPBRC_BAD_STAT: a part of another request than the one begun with this xid;
        OFPBRC_MULTIPART_BUFFER_OVERFLOW.
        """
        if len(data) < HEADER or data[1] != OFPT_MULTIPART_REQUEST or data[0] < OFP13:
            return data
        more = data[11] & OFPMPF_REQ_MORE
        xid = int.from_bytes(data[4:8], "big")
        there = self.begun.pop(xid, None)
        if there is None and not more:
            return data
        whole = data
        if there is not None:
            if there[0][8:10] != data[8:10]:
                raise OfpError("OFPBRC_BAD_STAT", "a part of another request")
            whole = there[0] + data[HEADER:]
        if len(whole) > 0xFFFF or len(self.begun) >= MAX_REQUESTS:
            raise OfpError("OFPBRC_MULTIPART_BUFFER_OVERFLOW", f"{len(whole)} bytes so far")
        if more:
            self.begun[xid] = (whole, now)
            return None
        return whole[:2] + len(whole).to_bytes(2, "big") + whole[4:10] + b"\0\0" + whole[12:]

    def expire(self, now: int) -> list[bytes]:
        """Forget requests that nothing was added to for too long; what there was of them."""
        old = [xid for xid, (_, since) in self.begun.items() if now - since >= TIMEOUT]
        return [self.begun.pop(xid)[0] for xid in old]
