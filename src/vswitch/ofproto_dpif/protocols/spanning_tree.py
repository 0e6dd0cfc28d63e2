"""What STP and RSTP have in common in a bridge: ports that they let learn and forward, or not.

A spanning tree takes every BPDU that comes in at any port of the bridge, and decides for the ports
that take part. Link changes reach it by `BridgeRole.link_changes`. `TreeBridge` is its place among the
bridge's protocols; what it has of ports and packets goes to one of the machines of `l2`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from vswitch.base import coverage
from vswitch.l2.bpdu import Bpdu, frame, from_frame
from vswitch.ofproto_dpif.ports import device
from vswitch.ofproto_dpif.ports.configure import forget_learned, tree_changed
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
    forget: Callable[[BridgeRole, XPort], None],
) -> None:
    """Let `port` do what `tree` says; `state` is the OFPPS_STP_* that controllers see.

    Where addresses were learned or a packet went may have changed then: `forget` empties what it should of
    the MAC table, and facets are translated anew.
    """
    before = (port.tree, port.learns, port.forwards, port.sends_bpdus)
    if before != (tree, learns, forwards, sends_bpdus):
        if port.learns != learns:
            forget(ofproto, port)
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
    set_port(ofproto, port, "", True, True, True, 0, flush_all)


def listen(ofproto: BridgeRole, receiver: PacketReceiver | None) -> None:
    """Give the BPDUs of all ports that there are now to `receiver`; None: to nobody."""
    for port in ofproto.ports.values():
        ofproto.listen(port, SLOW_STP, receiver)


def flush_all(ofproto: BridgeRole, _port: XPort) -> None:
    """Forget all learned addresses of the bridge."""
    ofproto.flush_mac_table()


def keep(_ofproto: BridgeRole, _port: XPort) -> None:
    """Forget nothing."""


def flush_bundle(ofproto: BridgeRole, port: XPort) -> None:
    """Forget the addresses and groups that were learned at `port`."""
    if port.bundle is not None:
        forget_learned(ofproto, port.bundle)


def mbps(port: XPort) -> int:
    """The speed of the port's link; 10 Gbit/s where that is not known, as in Open vSwitch."""
    bits = port.up.features.get("current", 0) if port.up is not None else 0
    return device.mbps(bits) or 10_000


class TreePort(Protocol):
    """A port of a machine."""

    number: int


P = TypeVar("P", bound=TreePort)
S = TypeVar("S")


class TreeBridge(ABC, Generic[P, S]):
    """The spanning tree of a bridge, with ports `P` of its machine and settings `S` of each.

    A `BridgeProtocol` and the `PacketReceiver` of the bridge's BPDUs.
    """

    def __init__(self, ofproto: BridgeRole) -> None:
        self.ofproto = ofproto
        self.ports: dict[str, P] = {}
        """By the names of the bridge's ports."""
        self._settings: dict[str, S] = {}
        self._seen_links = -1
        ofproto.add_protocol(self)

    @abstractmethod
    def _received(self, port: P, bpdu: Bpdu | None, now: int) -> None:
        """The machine gets a BPDU; None: one that makes no sense."""

    @abstractmethod
    def _sync(self, now: int) -> None:
        """Let the machine have the ports that are wanted and there, with their links as they are."""

    @abstractmethod
    def _turn(self, now: int) -> None:
        """What is due at `now`, and what the machine has to send."""

    @abstractmethod
    def _deadline(self) -> int | None:
        """Clock ms of the machine's next timer; None: there is none."""

    def close(self) -> None:
        """Leave the bridge: its ports forward at once."""
        self.ofproto.remove_protocol(self)
        listen(self.ofproto, None)
        for name in self.ports:
            self._release(name)
        self.ofproto.flush_mac_table()

    def port_of(self, port_id: int) -> XPort | None:
        """The bridge's port that has the number in `port_id` in the spanning tree."""
        for name, port in self.ports.items():
            if port.number == port_id & 0xFFF:
                return self.ofproto.ports_by_name.get(name)
        return None

    def _listen(self) -> None:
        """Follow the ports that there are now."""
        self._seen_links = self.ofproto.link_changes
        listen(self.ofproto, self)

    def _release(self, name: str) -> None:
        there = self.ofproto.ports_by_name.get(name)
        if there is not None:
            release_port(self.ofproto, there)

    def _send(self, sent: Iterable[tuple[int, Bpdu]]) -> None:
        """Send BPDUs, each by the port of a number."""
        for number, bpdu in sent:
            there = self.port_of(number)
            if there is not None and there.up is not None:
                self.ofproto.send_packet(there, frame(bpdu, there.up.mac))

    # PacketReceiver

    def receive(self, ofp_port: int, packet: bytes, now: int) -> None:
        there = self.ofproto.ports.get(ofp_port)
        port = self.ports.get(there.name) if there is not None else None
        if port is None:
            bpdu_elsewhere.inc()
            return
        self._received(port, read(packet), now)

    # BridgeProtocol

    def run(self, now: int) -> None:
        if self._seen_links != self.ofproto.link_changes:
            self._sync(now)
        self._turn(now)

    def wakeup(self, now: int) -> int:
        if self._seen_links != self.ofproto.link_changes:
            return now
        when = self._deadline()
        return now + 3_600_000 if when is None else when
