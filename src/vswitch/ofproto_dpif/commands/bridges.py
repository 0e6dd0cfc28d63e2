"""What the commands ask of the process: its bridges and their datapaths."""

from __future__ import annotations

from typing import Protocol

from vswitch.base.clock import Clock
from vswitch.netdev.scope import Scope
from vswitch.ofproto_dpif.aids import Aids
from vswitch.ofproto_dpif.backer import Backer
from vswitch.ofproto_dpif.completions import Clog
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.tunnel.underlay import Underlay


class Bridges(Protocol):
    """All bridges of the process (`Ofprotos` has them)."""

    clock: Clock
    scope: Scope
    clog: Clog
    underlay: Underlay
    all_ofproto_dpifs: dict[str, OfprotoDpif]
    backers: dict[str, Backer]
    """Datapath type -> the datapath that its bridges share."""
    aids: Aids
