"""What STP and RSTP have in common in a bridge: ports that they let learn and forward, or not.

A spanning tree takes every BPDU that comes in at any port of the bridge, and decides for the ports
that take part. Link changes reach it by `BridgeRole.link_changes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.base import coverage
from vswitch.l2.bpdu import Bpdu, from_frame
from vswitch.ofproto_dpif.ports.configure import forget_learned, tree_changed
from vswitch.ofproto_dpif.ports.device import SPEEDS
from vswitch.ofproto_dpif.ports.ports import tell
from vswitch.ofproto_dpif.xlate.types import SLOW_STP
from vswitch.openflow.messages.port import OFPPR_MODIFY

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.ofproto_dpif.xlate.bridge import XPort
    from vswitch.ofproto_dpif.xlate.special import PacketReceiver

# The spanning tree's state in a port's state (OpenFlow 1.0, ofp_port_state).
OFPPS_STP_LISTEN: Final = 0 << 8
OFPPS_STP_LEARN: Final = 1 << 8
OFPPS_STP_FORWARD: Final = 2 << 8
OFPPS_STP_BLOCK: Final = 3 << 8
OFPPS_STP_MASK: Final = 3 << 8

bpdu_elsewhere = coverage.counter("drop_bpdu_port_not_in_tree")
bpdu_malformed = coverage.counter("drop_bpdu_malformed")


def read(packet: bytes) -> Bpdu | None:
    """The BPDU in `packet`; None, counted, if there is none that makes sense."""
    bpdu = from_frame(packet)
    if bpdu is None:
        bpdu_malformed.inc()
    return bpdu


def set_port(
    ofproto: BridgeRole,
    port: XPort,
    tree: str,
    learns: bool,
    forwards: bool,
    sends_bpdus: bool,
    state: int,
) -> None:
    """Let `port` do what `tree` says; `state` is the OFPPS_STP_* that controllers see.

    Where addresses were learned or a packet went may have changed then: the MAC table is emptied and
    facets are translated anew.
    """
    before = (port.tree, port.learns, port.forwards, port.sends_bpdus)
    if before != (tree, learns, forwards, sends_bpdus):
        if port.learns != learns:
            ofproto.flush_mac_table()
        port.tree = tree
        port.learns = learns
        port.forwards = forwards
        port.sends_bpdus = sends_bpdus
        tree_changed(ofproto)
    state |= port.state & ~OFPPS_STP_MASK
    if state != port.state:
        port.state = state
        if port.up is not None:
            port.up.state = state
        tell(ofproto, port, OFPPR_MODIFY)


def release_port(ofproto: BridgeRole, port: XPort) -> None:
    """No spanning tree decides for `port` any longer."""
    set_port(ofproto, port, "", True, True, True, 0)


def listen(ofproto: BridgeRole, receiver: PacketReceiver | None) -> None:
    """Give the BPDUs of all ports that there are now to `receiver`; None: to nobody."""
    for port in ofproto.ports.values():
        ofproto.listen(port, SLOW_STP, receiver)


def flush_bundle(ofproto: BridgeRole, port: XPort) -> None:
    """Forget the addresses and groups that were learned at `port`."""
    if port.bundle is not None:
        forget_learned(ofproto, port.bundle)


def mbps(port: XPort) -> int:
    """The speed of the port's link; 10 Gbit/s where that is not known, as in Open vSwitch."""
    bits = port.up.features.get("current", 0) if port.up is not None else 0
    return max((speed for i, speed in enumerate(SPEEDS) if bits >> i & 1), default=10_000)
