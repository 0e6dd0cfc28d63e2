"""What translation says at debug level of what a bridge learns, in Open vSwitch's words."""

from __future__ import annotations

from typing import Final

from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog

log: Final = Vlog("ofproto_dpif_xlate")
_rl: Final = RateLimit(1, 30)


def debug(now: int, bridge: str, text: str) -> None:
    """Say `text` of the bridge of that name."""
    log.dbg_rl(_rl, now, "bridge %s: %s", bridge, text)
