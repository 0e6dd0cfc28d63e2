"""`patch`: one of a pair; what is sent to one arrives at the other (option `peer`)."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from itertools import count

from vswitch.netdev.frame import Frame
from vswitch.netdev.memory import MemoryNetdev
from vswitch.netdev.provider import NetdevError
from vswitch.netdev.scope import Scope

_next_mac = count(0xAA55AA660000)


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Whether a patch port's options make sense (ovs-vswitchd.conf.db(5), Interface: Patch Options).

    NetdevError(EINVAL): `peer` is missing or the port itself, or there is another option.
    """
    peer = options.get("peer", "")
    if not peer:
        raise NetdevError(errno.EINVAL, f"{name}: patch type requires valid 'peer' argument")
    if len(options) > 1:
        raise NetdevError(errno.EINVAL, f"{name}: patch type takes only a 'peer' argument")
    if peer == name:
        raise NetdevError(errno.EINVAL, f"{name}: patch peer must not be self")


class PatchNetdev(MemoryNetdev):
    """A patch port. The switch above normally short-cuts pairs; frames pass here where it does not."""

    def __init__(self, name: str, scope: Scope) -> None:
        super().__init__(name, "patch", next(_next_mac))
        self._scope = scope

    def set_config(self, options: dict[str, str]) -> None:
        """`peer`, required: the other end's name. EINVAL, as `check_options`."""
        check_options(self.name, options)
        if self._options != options:
            self._options = dict(options)
            self._changed()

    def peer(self) -> PatchNetdev | None:
        """The other end, if it is open and points back here."""
        other = self._scope.find(self._options.get("peer", ""))
        if isinstance(other, PatchNetdev) and other._options.get("peer") == self.name:
            return other
        return None

    def carrier(self) -> bool:
        return self.peer() is not None

    def send(self, frames: list[Frame]) -> int:
        peer = self.peer()
        if peer is None or not self._up:
            self.drop_tx("tx_no_peer" if peer is None else "tx_down", len(frames))
            return 0
        sent = 0
        for frame in frames:
            if peer.receive(frame):
                sent += 1
                self._stats.tx_packets += 1
                self._stats.tx_bytes += len(frame.data)
        if sent < len(frames):
            self.drop_tx("tx_peer_refused", len(frames) - sent)
        return sent

