"""Why a packet ends at an explicit drop: the counters of the reason codes in `Drop` actions.

The codes are those of translation (`XLATE_*` in `ofproto_dpif/xlate/types.py`); a datapath and whoever does
its work count alike.
"""

from __future__ import annotations

from typing import Final

from vswitch.base import coverage
from vswitch.base.coverage import Counter

DROP_REASONS: Final = tuple(
    f"drop_action_{name}" for name in (
        "of_pipeline", "bridge_not_found", "recursion_too_deep", "too_many_resubmit", "stack_too_deep",
        "no_recirculation_context", "recirculation_conflict", "too_many_mpls_labels",
        "invalid_tunnel_metadata", "unsupported_packet_type", "congestion", "forwarding_disabled",
    )
)  # fmt: skip
"""Reason code -> counter (ovs-vswitchd 3.1, `coverage/show`)."""
_OTHER: Final = "drop_action_unknown_reason"
_COUNTERS: Final = [coverage.counter(name) for name in DROP_REASONS]


def drop_reason(code: int) -> str:
    """The counter's name for a reason code, which may be anybody's."""
    return DROP_REASONS[code] if 0 <= code < len(DROP_REASONS) else _OTHER


def drop_counter(code: int) -> Counter:
    """The counter for a reason code."""
    return _COUNTERS[code] if 0 <= code < len(_COUNTERS) else coverage.counter(_OTHER)
