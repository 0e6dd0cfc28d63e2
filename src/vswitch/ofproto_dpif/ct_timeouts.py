"""Timeout policies of connection tracking's zones (the database's CT_Zone and CT_Timeout_Policy)."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import final

from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import CtTimeoutNames, DpifError
from vswitch.ofproto_dpif.xlate.bridge import XDatapath

Timeouts = tuple[tuple[str, int], ...]
"""Seconds by key, sorted."""


@final
class CtTimeouts:
    """The policies that a datapath was given. Zones of the same timeouts share one."""

    def __init__(self, dpif: Dpif, dp: XDatapath) -> None:
        self.dpif = dpif
        self.dp = dp
        self.numbers: dict[Timeouts, int] = {}
        self.names: dict[int, CtTimeoutNames] = {}
        self.unwanted: set[int] = set()
        """Policies that no zone has any more, which flows may still ask for."""
        self._begun = False

    def set(self, zones: Mapping[int, Mapping[str, int]]) -> bool:
        """Make `zones` (zone -> seconds by key) the only ones with a policy; whether that changes how
        actions are translated. DpifError: EOPNOTSUPP if the datapath has no policies.

        Connections keep the policy that they were committed with while there is one. What another process
        left in the datapath goes when the first zone gets a policy.
        """
        wanted: dict[int, CtTimeoutNames] = {}
        failed: DpifError | None = None
        numbers: dict[Timeouts, int] = {}
        for zone, timeouts in zones.items():
            key = tuple(sorted(timeouts.items()))
            try:
                number = self._number(key, numbers)
            except DpifError as e:
                failed = e
                continue
            numbers[key] = number
            wanted[zone] = self.names[number]
        self.unwanted.update(number for key, number in self.numbers.items() if key not in numbers)
        self.numbers = numbers
        changed = wanted != self.dp.ct_timeouts
        self.dp.ct_timeouts = wanted
        if failed is not None:
            raise failed
        return changed

    def _number(self, key: Timeouts, taken: Mapping[Timeouts, int]) -> int:
        """The number of the policy with these timeouts, which the datapath has from now on."""
        number = taken.get(key) or self.numbers.get(key)
        if number is not None:
            return number
        if not self._begun:
            self.unwanted.update(self.dpif.ct_dump_timeouts())
            self._begun = True
        used = {*self.numbers.values(), *taken.values(), *self.unwanted}
        number = next(n for n in range(1, len(used) + 2) if n not in used)
        self.names[number] = self.dpif.ct_set_timeouts(number, dict(key))
        return number

    def sweep(self) -> None:
        """Take policies out of the datapath that nobody asks for any more. DpifError."""
        for number in sorted(self.unwanted):
            try:
                self.dpif.ct_del_timeouts(number)
            except DpifError as e:
                if e.errno != errno.EBUSY:
                    self.unwanted.discard(number)
                    raise
                continue
            self.unwanted.discard(number)
            self.names.pop(number, None)
