"""`TunnelNetdev`: what a datapath has open as a tunnel's port, whatever the kind.

It receives and sends nothing by itself: packets come to it by `tnl_pop` and leave by `tnl_push` through the
bridge that the route leads to. One is shared by all tunnel interfaces of a kind and UDP port.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from vswitch.netdev.frame import Frame
from vswitch.netdev.kind import PortKind
from vswitch.netdev.memory import MemoryNetdev
from vswitch.netdev.provider import Netdev, NetdevStats
from vswitch.netdev.scope import Scope
from vswitch.netdev.tunnel_options import parse_tunnel
from vswitch.packet.tunnel import kinds


class TunnelNetdev(MemoryNetdev):
    """A tunnel's port in the datapath; `kind` as in `packet.tunnel.kinds`."""

    def __init__(self, name: str, type: str) -> None:
        super().__init__(name, type, random.getrandbits(48) & ~(1 << 40) | 1 << 41)
        self.kind: int = kinds.NUMBERS[type]
        self.dst_port: int = 0
        self.payload_type: int = 0
        self._mtu = 65464
        self.counted_elsewhere: Callable[[], Mapping[str, int]] | None = None
        """What is to be added to the statistics, by their names."""

    def set_config(self, options: dict[str, str]) -> None:
        """`dst_port` and bareudp's `payload_type`, as `TunnelConfig.dp_options` writes them."""
        self.dst_port = int(options.get("dst_port", "0"))
        self.payload_type = int(options.get("payload_type", "0"), 0)
        self._options = dict(options)

    def stats(self) -> NetdevStats:
        stats = super().stats()
        if self.counted_elsewhere is not None:
            for name, value in self.counted_elsewhere().items():
                setattr(stats, name, getattr(stats, name) + value)
        return stats

    def send(self, frames: list[Frame]) -> int:
        self.drop_tx("tx_no_outer_header", len(frames))
        return 0


def _open(type: str, name: str, _scope: Scope) -> Netdev:
    return TunnelNetdev(name, type)


def check_options(type: str, name: str, options: Mapping[str, str]) -> None:
    """Whether a tunnel of `type` can have these options. NetdevError(EINVAL)."""
    parse_tunnel(name, type, options)


KINDS: Final = tuple(
    PortKind(
        type, partial(_open, type), tunnel=True, in_datapath=False, has_device=False, has_queues=False,
        lends_mac=False, dummy_may_replace=False, options=None,
        check_options=partial(check_options, type),
    )
    for type in kinds.NUMBERS
)
"""A row for each kind of tunnel."""
