"""The network device interface: one small class, documented method by method.

A `Netdev` is an open device. Providers: `linux` (an existing interface, AF_PACKET), `tap`
(made here, for internal ports), `dummy` (for tests), `patch`. `netdev/registry.py` opens
devices by (name, type).

The packet on the device side is `Frame`: the bytes as they are on the wire, plus what the
kernel said of its checksum and segmentation (virtio_net_hdr of <linux/virtio_net.h>), so
that a GSO segment and a partial checksum pass through the switch whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from vswitch.base.records import dataclass, field
from vswitch.netdev.frame import Frame


class NetdevError(OSError):
    """A device operation failed: `errno`, and a text that names operation and device."""


@dataclass
class NetdevStats:
    """Counters since the device was opened (`linux`: since the interface was made)."""

    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    collisions: int = 0
    rx_over_errors: int = 0
    rx_frame_errors: int = 0
    rx_crc_errors: int = 0
    rx_missed_errors: int = 0
    tx_aborted_errors: int = 0
    tx_carrier_errors: int = 0
    multicast: int = 0
    custom: dict[str, int] = field(default_factory=dict)
    """Counters that only this device type has, each a drop reason or an event."""

    def of_port(self) -> dict[str, int]:
        """Those that a datapath's port tells, by name."""
        return {
            "rx_packets": self.rx_packets, "tx_packets": self.tx_packets,
            "rx_bytes": self.rx_bytes, "tx_bytes": self.tx_bytes,
            "rx_errors": self.rx_errors, "tx_errors": self.tx_errors,
            "rx_dropped": self.rx_dropped, "tx_dropped": self.tx_dropped,
            "collisions": self.collisions, "rx_over_errors": self.rx_over_errors,
            "rx_frame_errors": self.rx_frame_errors, "rx_crc_errors": self.rx_crc_errors,
            "tx_aborted_errors": self.tx_aborted_errors, "tx_carrier_errors": self.tx_carrier_errors,
        }  # fmt: skip


class Netdev(ABC):
    """One open network device. All methods are called from the main thread and don't block.

    A method that fails raises `NetdevError` and leaves the device as it was.
    """

    name: str
    type: str
    on_change: Callable[[], None] | None = None
    """Called when `change_seq` has changed; the datapath that has the device attached sets it."""
    gone: bool = False
    """Whether the device was deleted by somebody else. One made again by its name is another one."""
    counted: frozenset[str] | None = None
    """The members of `NetdevStats` that mean something; None for all."""
    queues: int = 0
    """Queues that OpenFlow shows although no QoS is set."""

    @abstractmethod
    def close(self) -> None:
        """Undo what `open` did (promiscuous mode, created interface). Idempotent."""

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor that is readable when `recv` has something; -1 if there is none."""

    @abstractmethod
    def recv(self, max_frames: int) -> list[Frame]:
        """Up to `max_frames` received frames, oldest first; [] if none waits."""

    @abstractmethod
    def send(self, frames: list[Frame]) -> int:
        """Queue frames for transmission; how many were taken. The rest count as tx_dropped."""

    @abstractmethod
    def flush(self) -> None:
        """Hand everything queued by `send` to the kernel (end of a batch)."""

    @abstractmethod
    def mac(self) -> int:
        """The Ethernet address, 48 bits."""

    @abstractmethod
    def set_mac(self, mac: int) -> None:
        """Change the Ethernet address."""

    @abstractmethod
    def mtu(self) -> int:
        """The MTU in bytes, without the Ethernet header."""

    @abstractmethod
    def set_mtu(self, mtu: int) -> None:
        """Change the MTU; EINVAL outside the device's range."""

    @abstractmethod
    def carrier(self) -> bool:
        """Whether the link is up; never while the device itself is down."""

    @abstractmethod
    def carrier_resets(self) -> int:
        """How often the carrier changed since the device was opened."""

    @abstractmethod
    def up(self) -> bool:
        """Whether the device is administratively up."""

    @abstractmethod
    def set_up(self, up: bool) -> None:
        """Bring the device administratively up or down."""

    @abstractmethod
    def stats(self) -> NetdevStats:
        """A snapshot of the counters."""

    def custom_stats(self) -> dict[str, int]:
        """Counters that only this type has, for controllers (OpenFlow 1.5.1, 7.3.5.6.1)."""
        return {}

    @abstractmethod
    def change_seq(self) -> int:
        """A number that changes whenever carrier, flags, MTU, address or features changed."""

    def ifindex(self) -> int:
        """The kernel's interface index, 0 where there is none."""
        return 0

    def features(self) -> dict[str, int]:
        """OFPPF_* bit maps "current", "advertised", "supported", "peer"; 0 if unknown."""
        return {"current": 0, "advertised": 0, "supported": 0, "peer": 0}

    def config(self) -> dict[str, str]:
        """The options that the device was configured with."""
        return {}

    def set_config(self, options: dict[str, str]) -> None:
        """Apply `options`; NetdevError(EINVAL) names an option that this type lacks."""
        if options:
            raise NetdevError(22, f"{self.name}: type {self.type} has no options ({', '.join(options)})")
