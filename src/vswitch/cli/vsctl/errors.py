"""What ends a command line of `vswitch vsctl`."""

from __future__ import annotations


class VsctlError(Exception):
    """The command line can't be carried out; its text is the message, in ovs-vsctl's words."""


class Exit(Exception):
    """End at once with this status, having said nothing (`br-exists`)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class TryLater(Exception):
    """`wait-until`: what is waited for is not so yet."""
