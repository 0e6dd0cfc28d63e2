"""What `sample` actions leave with the kernel's psample, counted: one set of collectors of a bridge."""

from __future__ import annotations

from typing import final


@final
class LocalSample:
    """A set of collectors whose samples go to `group` of psample (its `local_group_id`).

    It counts the packets that met such an action, of which psample gets the share that the action names.
    """

    def __init__(self, group: int) -> None:
        self.group: int = group
        self.packets: int = 0
        self.bytes: int = 0
