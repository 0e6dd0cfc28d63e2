"""`PortKind`: what a switch must know of a port's type (Interface.type) without having one open.

The rows are in `devices.py`; `registry.kind(type)` finds one. Whoever has to treat some ports in another way
asks the kind for the reason, not for its name: a new type is then one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vswitch.base.records import dataclass
from vswitch.netdev.provider import Netdev
from vswitch.netdev.scope import Scope


@dataclass(frozen=True)
class PortKind:
    """A port type. The defaults are those of an ordinary device that somebody else made."""

    type: str
    open: Callable[[str, Scope], Netdev] | None = None
    """Opens the device of a name in a scope, NetdevError; None where a datapath makes such ports itself."""
    in_datapath: bool = True
    """Whether the datapath has a port for it. Others exist in translation only."""
    has_device: bool = True
    """Whether a network device of its name has address, MTU, flags, link and counters."""
    peered: bool = False
    """Whether its option `peer` names the port at which what is sent here arrives."""
    tunnel: bool = False
    """Whether its ports are tunnels, which share ports of the datapath (`tunnel_options.py`)."""
    made_here: bool = False
    """Whether opening it makes the device, so that EINVAL is about the device."""
    comes_and_goes: bool = False
    """Whether the device is somebody else's: one that is absent is waited for."""
    announced: bool = True
    """Whether the host tells when its device comes or goes."""
    has_queues: bool = True
    """Whether QoS can be set on its device."""
    lends_mac: bool = True
    """Whether its address may become the bridge's."""
    takes_mac: bool = False
    """Whether Interface.mac sets the device's address."""
    dummy_may_replace: bool = True
    """Whether `--enable-dummy=override` opens a dummy in its place."""
    options: frozenset[str] | None = frozenset()
    """The keys of Interface.options that it has; None for any."""
    check_options: Callable[[str, Mapping[str, str]], None] | None = None
    """Whether a port of this name can have these options: NetdevError(EINVAL) says what is wrong."""
