"""`Bundle`: a bundle that is being filled (OpenFlow 1.4, 6.8). `bundles.py` carries it out."""

from __future__ import annotations

from typing import Any, final

from mypy_extensions import mypyc_attr

from vswitch.flow.flow import Flow
from vswitch.openflow.flow_mod import FlowMod


@mypyc_attr(acyclic=True)
@final
class Entry:
    """One message of a bundle: what it says, and the message that added it."""

    def __init__(self, body: Any, data: bytes, version: int) -> None:
        self.body: Any = body
        self.data: bytes = data
        self.version: int = version


@final
class Bundle:
    """A bundle that is being filled. `flags` are OFPBF_*, `used` clock ms of its last message."""

    def __init__(self, bundle_id: int, flags: int, opened: bytes, now: int) -> None:
        self.bundle_id: int = bundle_id
        self.flags: int = flags
        self.opened: bytes = opened
        """The message that opened it."""
        self.closed: bool = False
        self.used: int = now
        self.entries: list[Entry] = []
        self._masks: dict[bytes, Flow] = {}
        """The masks of its flow mods, by value."""
        self._mask: Flow | None = None
        """The one of the last flow mod."""

    def add(self, entry: Entry) -> None:
        """Put a message in. Many flow mods have few different masks, which are long: they share them."""
        body = entry.body
        if isinstance(body, FlowMod):
            match = body.match
            mask = self._mask
            if mask is not match.mask:
                if mask is None or mask != match.mask:
                    mask = self._mask = self._masks.setdefault(match.mask.key(), match.mask)
                match.mask = mask
        self.entries.append(entry)
