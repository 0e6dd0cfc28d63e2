"""How long an idle connection is kept: `Policy`, one number a state.

The keys are those of the database's CT_Timeout_Policy table that mean something here
(ovs-vswitchd.conf.db(5)); the numbers without a policy are what Open vSwitch's userspace datapath
shows in `dpctl/dump-conntrack -s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

TCP_FIRST: Final = 0
TCP_OPENING: Final = 1
TCP_ESTABLISHED: Final = 2
TCP_CLOSING: Final = 3
TCP_FIN_WAIT: Final = 4
TCP_CLOSED: Final = 5
OTHER_FIRST: Final = 6
OTHER_MULTIPLE: Final = 7
OTHER_BIDIR: Final = 8
ICMP_FIRST: Final = 9
ICMP_REPLY: Final = 10
N_KINDS: Final = 11

KEYS: Final = (
    "tcp_syn_sent", "tcp_syn_recv", "tcp_established", "tcp_fin_wait", "tcp_time_wait", "tcp_close",
    "udp_first", "udp_single", "udp_multiple", "icmp_first", "icmp_reply",
)  # fmt: skip
"""The database's name for each kind."""
DEFAULTS: Final = (30, 30, 86400, 900, 45, 30, 60, 60, 30, 60, 30)
"""Seconds by kind, where no policy says otherwise."""


@final
class Policy:
    """The lists of `table.Table` that connections of this policy wait on, one a kind of timeout."""

    def __init__(self, number: i64, lists: vec[i64]) -> None:
        self.number = number
        self.lists = lists


def durations(timeouts: Mapping[str, int]) -> list[int]:
    """Milliseconds by kind; keys that this datapath has no state for are passed over."""
    return [timeouts.get(key, default) * 1000 for key, default in zip(KEYS, DEFAULTS, strict=True)]
