"""What those who test a switch turn off and on, for all datapaths of the process."""

from __future__ import annotations

from typing import final


@final
class Aids:
    """Switched by `upcall/disable-megaflows`, `upcall/enable-megaflows`, `upcall/disable-ufid` and
    `upcall/enable-ufid`."""

    def __init__(self) -> None:
        self.megaflows: bool = True
        """Whether a datapath flow takes in all packets that fare alike, not only those that look alike."""
        self.terse_dumps: bool = True
        """Whether flows are dumped by their UFIDs alone where the datapath can."""
