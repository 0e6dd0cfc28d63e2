"""`FlowEntry`: one datapath flow with its counters and what its actions were compiled to."""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from vswitch.dpif.actions import Actions
from vswitch.dpif.odp_step import Step
from vswitch.flow.flow import Flow


@final
class FlowEntry:
    """A flow of the datapath. `key` is what it was put with, bits that `mask` leaves out and all, for whoever
    reads it; it is shared with who put it, and nobody changes it.

    `out_port` is the port if the only action is output to it, else -1. A `dead` entry was
    deleted; caches that still point at it skip it. `used` is ms, 0 for never.
    """

    def __init__(self, key: Flow, mask: Flow, ufid: bytes) -> None:
        self.key = key
        self.mask = mask
        self.ufid = ufid
        self.actions: Actions = ()
        self.program: list[Step] = []
        self.out_port: i64 = -1
        self.n_packets: i64 = 0
        self.n_bytes: i64 = 0
        self.used: i64 = 0
        self.tcp_flags: i64 = 0
        self.dead: bool = False
