"""`Follower`: what commands and status see of the part that follows the database."""

from __future__ import annotations

from typing import Protocol

from vswitch.base.clock import Clock
from vswitch.bridge.bridge import Bridge
from vswitch.bridge.idl import Idl
from vswitch.bridge.qos import Qos
from vswitch.bridge.report import Report
from vswitch.ofproto_dpif.ofprotos import Ofprotos


class Follower(Protocol):
    """All bridges, and what they are told by and report to (`bridges.Bridges`)."""

    ofprotos: Ofprotos
    rundir: str
    idl: Idl
    clock: Clock
    bridges: dict[str, Bridge]
    report: Report
    qos: Qos

    def look_again(self) -> None:
        """Carry out the configuration anew at the next turn, although the database did not change."""
