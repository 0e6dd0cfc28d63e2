"""What can go wrong on a Netlink socket, as one exception."""

from __future__ import annotations

import os


class NlError(OSError):
    """A request failed: `errno` is the kernel's (or this end's) and `detail` the extended ack.

    `request` says what was asked. EPROTO stands for an answer that makes no sense.
    """

    def __init__(self, errno: int, request: str, detail: str = "") -> None:
        text = f"{request}: {os.strerror(errno)}"
        super().__init__(errno, f"{text} ({detail})" if detail else text)
        self.request = request
        self.detail = detail


class NlOverrun(NlError):
    """ENOBUFS on a socket that only listens: messages were lost, nobody can say which."""
