"""Timeout policies of connection tracking's zones (the database's CT_Zone and CT_Timeout_Policy)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifError
from vswitch.ofproto_dpif.xlate.bridge import XDatapath

Timeouts = tuple[tuple[str, int], ...]
"""Seconds by key, sorted."""


@final
class CtTimeouts:
    """The policies that a datapath was told of. Zones of the same timeouts share one."""

    def __init__(self, dpif: Dpif, dp: XDatapath) -> None:
        self.dpif = dpif
        self.dp = dp
        self.names: dict[Timeouts, str] = {}

    def set(self, zones: Mapping[int, Mapping[str, int]]) -> bool:
        """Make `zones` (zone -> seconds by key) the only ones with a policy; whether that changes how
        actions are translated. DpifError: EOPNOTSUPP if the datapath has no policies.

        Connections keep the policy that they were committed with.
        """
        wanted: dict[int, str] = {}
        failed: DpifError | None = None
        for zone, timeouts in zones.items():
            key = tuple(sorted(timeouts.items()))
            name = self.names.get(key)
            if name is None:
                try:
                    name = self.dpif.ct_set_timeouts(len(self.names) + 1, timeouts)
                except DpifError as e:
                    failed = e
                    continue
                self.names[key] = name
            wanted[zone] = name
        changed = wanted != self.dp.ct_timeouts
        self.dp.ct_timeouts = wanted
        if failed is not None:
            raise failed
        return changed
