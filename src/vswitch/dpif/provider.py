"""The datapath interface: what a switch asks of the thing that forwards its packets.

`Dpif` is an open datapath. Providers: `kernel` ("system", the Linux module) and `userspace`
("netdev", in this process). They pass one conformance suite, `tests/dpif/`.

The interface is synchronous; nothing in it waits for packets. The main loop waits on
`recv_fd()` and then calls `recv`. All methods are called from the main thread.

Logging of operations (`log_operation`) and counters are not the providers' business: callers
hold a `dpif.dpif.LoggedDpif`-free view through `dpif_create_and_open` (`dpif/open.py`), which
wraps each provider's methods once.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from vswitch.dpif.types import (
    CtEntry,
    CtLimit,
    DpifError,
    DpifFlow,
    DpifPort,
    DpifStats,
    MeterConfig,
    MeterFeatures,
    MeterStats,
    Op,
    Upcall,
)

MAX_OPS = 50
"""The most operations that one Netlink batch carries (OVS: `MAX_OPS` of lib/dpif-netlink.c)."""

RECV_BATCH = 50
"""The most messages one `recv` takes before it gives way (the seed's `read_tries > 50`)."""

PORT_NONE = 0xFFFFFFFF
"""No datapath port."""


class Dpif(ABC):
    """One open datapath. A method that fails raises `DpifError` and changes nothing."""

    type: str
    """The provider: "system" or "netdev"."""
    name: str
    """The datapath's name, such as "ovs-system"."""

    # The datapath as a whole.

    @abstractmethod
    def close(self) -> None:
        """Let go of the datapath, which goes on forwarding where it can. Idempotent."""

    @abstractmethod
    def destroy(self) -> None:
        """Delete the datapath with its ports and flows."""

    @abstractmethod
    def run(self) -> bool:
        """Housekeeping of one main-loop turn; the userspace datapath forwards packets here.

        Returns True if there is more to do at once.
        """

    @abstractmethod
    def run_fds(self) -> list[int]:
        """Descriptors whose readability means that `run` has work (device sockets)."""

    @abstractmethod
    def stats(self) -> DpifStats:
        """Hits, misses, losses, flows and masks."""

    # Ports.

    @abstractmethod
    def port_add(self, name: str, type: str, port_no: int | None = None,
                 options: dict[str, str] | None = None) -> int:
        """Attach device `name` of `type`; returns its datapath port number.

        EBUSY: `port_no` is taken; EEXIST: `name` is a port already; ENODEV: no such device;
        EFBIG: the datapath is full. If receiving is on, the port's upcall pid is right when
        this returns.
        """

    @abstractmethod
    def port_del(self, port_no: int) -> None:
        """Detach a port. ENOENT: no such port; EINVAL: the local port."""

    @abstractmethod
    def port_query_by_number(self, port_no: int) -> DpifPort:
        """The port numbered `port_no`; ENODEV if there is none."""

    @abstractmethod
    def port_query_by_name(self, name: str) -> DpifPort:
        """The port named `name`; ENODEV if there is none."""

    @abstractmethod
    def port_dump(self) -> list[DpifPort]:
        """All ports, by number."""

    @abstractmethod
    def port_poll(self) -> set[str] | None:
        """Names of ports added, deleted or changed since the last call; it may name devices
        that are no ports (yet), such as one that came back.

        None: so much changed that everything must be looked at anew.
        """

    @abstractmethod
    def port_poll_fd(self) -> int:
        """Readable when `port_poll` has something; -1 if that must be asked every turn."""

    @abstractmethod
    def get_max_ports(self) -> int:
        """How many ports this datapath can have."""

    @abstractmethod
    def port_get_pid(self, port_no: int) -> int:
        """The Netlink pid that `Userspace` actions for `port_no` carry; 0 while receiving is off."""

    @abstractmethod
    def port_stats(self, port_no: int) -> dict[str, int]:
        """rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped."""

    # Flows.

    @abstractmethod
    def flow_flush(self) -> None:
        """Delete all flows."""

    @abstractmethod
    def flow_dump(self) -> Iterator[DpifFlow]:
        """Every flow. A flow that changes meanwhile appears once or not at all; one that stays
        put appears once. An interrupted kernel dump is begun again, without repeats."""

    @abstractmethod
    def operate(self, ops: Sequence[Op]) -> None:
        """Carry out `ops` in order, up to MAX_OPS a batch; failures land in each op's `error`."""

    # Upcalls.

    @abstractmethod
    def recv_set(self, enable: bool) -> None:
        """Turn upcalls on or off. Idempotent; a failure half-way leaves nothing open."""

    @abstractmethod
    def recv_purge(self) -> None:
        """Discard queued upcalls."""

    @abstractmethod
    def recv(self, max_upcalls: int) -> list[Upcall]:
        """Up to `max_upcalls` upcalls, fair between channels, never blocking; [] if none."""

    @abstractmethod
    def recv_fd(self) -> int:
        """The descriptor that is readable when upcalls wait; -1 while receiving is off."""

    # Extras; providers without one keep the default, which says so.

    def queue_to_priority(self, queue_id: int) -> int:
        """The skb priority that puts packets into queue `queue_id` (TC handle 1:queue+1)."""
        return (1 << 16) | (queue_id + 1)

    def cache_sizes(self) -> dict[str, int]:
        """The caches in front of the flow table whose size can be set, by name."""
        return {}

    def cache_set_size(self, name: str, size: int) -> None:
        """Make cache `name` hold `size` entries. EOPNOTSUPP: there is no such cache."""
        raise DpifError(errno.EOPNOTSUPP, f"set size of cache {name}", f"{self.type}@{self.name}")

    @abstractmethod
    def meter_features(self) -> MeterFeatures:
        """What this datapath's meters can do."""

    @abstractmethod
    def meter_set(self, meter_id: int, config: MeterConfig) -> None:
        """Create or replace a meter. EINVAL: bands; EFBIG: too many meters."""

    @abstractmethod
    def meter_get(self, meter_id: int) -> MeterStats:
        """A meter's counters; ENOENT."""

    @abstractmethod
    def meter_del(self, meter_id: int) -> MeterStats:
        """Delete a meter, returning its last counters; ENOENT."""

    @abstractmethod
    def ct_dump(self, zone: int | None = None) -> Iterator[CtEntry]:
        """Tracked connections; EOPNOTSUPP where the datapath tracks none."""

    @abstractmethod
    def ct_flush(
        self, zone: int | None = None, wanted: Callable[[CtEntry], bool] | None = None
    ) -> None:
        """Forget tracked connections, of one zone or all; only those for which `wanted` is true."""

    @abstractmethod
    def ct_set_limits(self, limits: Sequence[CtLimit]) -> None:
        """Limit the number of connections per zone."""

    @abstractmethod
    def ct_get_limits(self, zones: Sequence[int]) -> list[CtLimit]:
        """Limits and counts of `zones`, or of all that have one, the default first."""

    @abstractmethod
    def ct_del_limits(self, zones: Sequence[int]) -> None:
        """Return `zones` to the default limit."""

    # Introspection.

    @abstractmethod
    def show_channels(self) -> str:
        """The text of `dpif/show-channels`: where upcalls wait, and what was lost there, by port."""

    @abstractmethod
    def cached(self) -> dict[str, int]:
        """Numbers for `memory/show` ("masks", "emc entries"...)."""
