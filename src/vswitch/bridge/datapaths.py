"""Which datapath a bridge runs on: the type that its row names, or the best that this machine has."""

from __future__ import annotations

from typing import final

from vswitch.base.vlog import Vlog
from vswitch.dpif.open import best_type, dpif_class

log = Vlog("bridge")


@final
class Choice:
    """The datapath type for bridges that leave it open, chosen once a process and said then."""

    def __init__(self) -> None:
        self._chosen = ""
        self._why = ""

    def resolve(self, type: str) -> tuple[str, str]:
        """(datapath type, why it is another than the default, if it is) for Bridge.datapath_type `type`."""
        if type:
            return type, ""
        if not self._chosen:
            self._chosen, self._why = best_type()
            if self._why:
                log.warn("%s: bridges without datapath_type use the %s datapath (%s)",
                         self._why, dpif_class(self._chosen).title, self._chosen)
        return self._chosen, self._why
