"""Flow mods are normalized aloud: whoever said what falls away finds it in the log, as with Open vSwitch."""

from __future__ import annotations

import time
from typing import Final

from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Level, Vlog
from vswitch.flow.match import Match
from vswitch.flow.match_text import normalize
from vswitch.openflow.constants import OFP_DEFAULT_PRIORITY

log: Final = Vlog("ofp_match")
_changed_rl: Final = RateLimit(1, 5)
_NS_PER_MS: Final = 1_000_000


def normalize_aloud(match: Match) -> bool:
    """`normalize` what a flow mod matches; what it was and what it is now are logged. Whether it changed."""
    said = normalize(match)
    if said is None:
        return False
    if log.allows(Level.INFO, _changed_rl, time.monotonic_ns() // _NS_PER_MS):
        log.info("normalization changed ofp_match, details:")
        log.info(" pre: %s", said.format(OFP_DEFAULT_PRIORITY))
        log.info("post: %s", match.format(OFP_DEFAULT_PRIORITY))
    return True
