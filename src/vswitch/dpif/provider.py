"""The datapath interface: what a switch asks of the thing that forwards its packets.

`Dpif` is an open datapath; `DpifClass` is what is known of a type of datapaths without an open one.
Providers: `kernel` ("system", the Linux module), `userspace` ("netdev", in this process) and `ebpf` ("ebpf",
which puts the userspace one's busy flows into BPF programs). Each is a
`Dpif`, a `DpifClass` and one line of `PROVIDERS` (`dpif/open.py`), and passes the conformance suite,
`tests/dpif/`.

The interface is synchronous; nothing in it waits for packets. The main loop waits on
`recv_fd()` and then calls `recv`. All methods are called from the main thread.

Ownership: keys, masks and actions handed in belong to the caller again when the method returns, and a
provider that keeps them copies what may change; what a method returns belongs to the caller. A `Dpif` may
be one of several openings of its datapath: `close` ends the opening, `destroy` the datapath. The caller
closes each `Dpif` that it opened, `destroy`ed or not, and asks nothing of it afterwards.

Providers neither log operations nor count them: `dpif_create_and_open` wraps each in a
`LoggedDpif` (`dpif/logged.py`), which does.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

from vswitch.base.clock import Clock
from vswitch.dpif.ops import DpifFlow, Op, Upcall
from vswitch.dpif.types import (
    CtEntry,
    CtLimit,
    CtSettings,
    CtTimeoutNames,
    DpifError,
    DpifPort,
    DpifStats,
    EgressPolicing,
    IpfStatus,
    MeterConfig,
    MeterFeatures,
    MeterStats,
    Policing,
    QueueCounters,
)
from vswitch.flow.flow import Flow
from vswitch.netdev.scope import Scope

MAX_OPS = 50
"""The most operations that one Netlink batch carries (OVS: `MAX_OPS` of lib/dpif-netlink.c)."""

RECV_BATCH = 50
"""The most messages one `recv` takes before it gives way (the seed's `read_tries > 50`)."""


N_BUCKETS = 256
"""The values that a bond of the datapath has a member for."""


class DpifClass(ABC):
    """A type of datapaths (Open vSwitch: `struct dpif_class`)."""

    type: str
    """Its name, as in Bridge.datapath_type."""
    title: str = "userspace"
    """What people call it, as in "the userspace datapath"."""
    datapath_version: str = "<built-in>"
    """What Bridge.datapath_version says."""
    ends_with_process: bool = True
    """Whether its datapaths are this process's, which destroys them when it ends."""
    dump_title: str = ""
    """The line that `dpctl/dump-flows` begins with."""
    counts_masks: bool = False
    """Whether `dpctl/show` shows what lookups cost: masks tried, and hits of the cache before them."""

    pushes_tunnels: bool = False
    """Whether its datapaths put outer headers on and take them off (`TnlPush`, `TnlPop`)."""
    limits_vlans: bool = False
    """Whether `set_vlan_limit` has an effect on its datapaths."""
    tunnels_are_devices: bool = False
    """Whether its ports for tunnels are devices of the kernel, each made for extensions and packet types."""
    kernel_polices: bool = False
    """Whether its ports' devices give packets to the kernel's own policers (tc-police(8)) first. Other
    datapaths take packets before those would see them, and police by `Dpif.set_policing`."""

    @abstractmethod
    def open(self, name: str, clock: Clock, create: bool, scope: Scope) -> Dpif:
        """Open datapath `name`, made if it is absent and `create`; what of it is this process's, in `scope`.
        DpifError: ENODEV if it is absent; EOPNOTSUPP where this machine can't have such datapaths, saying
        why."""

    @abstractmethod
    def enumerate(self, scope: Scope) -> list[str]:
        """The names of the datapaths that there are, whoever made them; of this process's, those in `scope`.
        DpifError."""

    def port_open_type(self, type: str) -> str:
        """The type of the device that a port of `type` is."""
        return type

    def extra_info(self, mask: Flow) -> str:
        """What such a datapath has to say of a flow of `mask` beside the flow itself; "" is nothing."""
        return ""

    def lacking(self) -> str:
        """Why this machine can't have such datapaths; "" if it can. May load what helps."""
        return ""


class Dpif(ABC):
    """One open datapath. A method that fails raises `DpifError` and changes nothing."""

    type: str
    """The type that it was opened as: "system", "netdev", or what a dummy stands in for."""
    name: str
    """The datapath's name, such as "ovs-system"."""
    logs_upcalls: bool = False
    """Whether it logs the packets that go up by itself."""

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
    def forward(self) -> None:
        """Forward what has come in by the flows that are there, in the midst of other work, if `run` is what
        forwards packets. Nothing but counters and queues changes."""

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
        """The Netlink pid that `Userspace` actions for `port_no` carry; 0 while receiving is off, and always
        where upcalls go another way."""

    @abstractmethod
    def port_stats(self, port_no: int) -> dict[str, int]:
        """rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped."""

    # Flows.

    @abstractmethod
    def flow_flush(self) -> None:
        """Delete all flows."""

    @abstractmethod
    def flow_dump(self, terse: bool = False) -> Iterator[DpifFlow]:
        """Every flow; `terse` leaves key, mask and actions of those that have a UFID empty. A flow that
        changes meanwhile appears once or not at all; one that stays put appears once. An interrupted kernel
        dump is begun again, without repeats."""

    @abstractmethod
    def operate(self, ops: Sequence[Op]) -> None:
        """Carry out `ops` in order, up to MAX_OPS a batch; failures land in each op's `error`."""

    def answer(self, ops: Sequence[Op]) -> None:
        """`operate`, for what packets that came up need."""
        self.operate(ops)

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

    def tunnel_fits(self, name: str, type: str, options: Mapping[str, str]) -> bool:
        """Whether port `name`, which is there, can be that of a tunnel of `type` with `options` as well.
        DpifError."""
        return True

    def reaches_alone(self, port_no: int) -> bool:
        """Whether a tunnel's port sends packets with their tunnel set by itself, so that no bridge of ours
        has to lead to the remote."""
        return False

    def why_not_alone(self, port_no: int) -> str:
        """Why a tunnel's port that could do so can't; "" for all others."""
        return ""

    def set_policing(self, port_no: int, policing: Policing) -> None:
        """Drop what comes in at a port in excess of `policing`. DpifError: EOPNOTSUPP where the datapath has
        no policers."""
        raise self.lacks("set policing", str(port_no))

    def polices_egress(self) -> bool:
        """Whether `set_egress_policing` does something."""
        return False

    def set_egress_policing(self, port_no: int, policing: EgressPolicing | None) -> None:
        """Drop what leaves by a port in excess of `policing`; None: let all of it out. DpifError: EOPNOTSUPP
        where the datapath has no policers, ENODEV."""
        raise self.lacks("set egress policing", str(port_no))

    def egress_queues(self, port_no: int) -> dict[int, QueueCounters]:
        """What left by the policed queues of a port; {} if it has none."""
        return {}

    def set_tunnel_source_ports(self, low: int, high: int) -> None:
        """The range of UDP source ports of outer packets, where the datapath chooses them."""
        return None

    def set_vlan_limit(self, limit: int) -> None:
        """How many VLAN tags of a packet are part of its key, 1 or 2, where the datapath can choose."""
        return None

    def cache_sizes(self) -> dict[str, int]:
        """The caches in front of the flow table whose size can be set, by name."""
        return {}

    def cache_set_size(self, name: str, size: int) -> None:
        """Make cache `name` hold `size` entries. EOPNOTSUPP: there is no such cache."""
        raise self.lacks(f"set size of cache {name}")

    # Bonds, among whose members `LbOutput` chooses; the defaults are a datapath's that has none.

    def bond_set(self, bond_id: int, members: Sequence[int]) -> None:
        """Make or change a bond: the port of each of the `N_BUCKETS` values that packets hash to."""
        raise self.lacks("bond set", str(bond_id))

    def bond_del(self, bond_id: int) -> None:
        """Delete a bond. ENOENT."""
        raise self.lacks("bond del", str(bond_id))

    def bond_stats(self, bond_id: int) -> Sequence[int]:
        """Bytes that have left by a bond, by the value that they hashed to. ENOENT."""
        raise self.lacks("bond stats", str(bond_id))

    def bonds(self) -> dict[int, Sequence[int]]:
        """The members of all bonds, as they were set, by bond."""
        return {}

    # Meters; the defaults are a datapath's that has none.

    def meter_features(self) -> MeterFeatures:
        """What this datapath's meters can do."""
        return MeterFeatures()

    def meter_set(self, meter_id: int, config: MeterConfig) -> None:
        """Create or replace a meter. EINVAL: bands; EFBIG: too many meters."""
        raise self.lacks("meter set", f"meter {meter_id}")

    def meter_get(self, meter_id: int) -> MeterStats:
        """A meter's counters; ENOENT."""
        raise self.lacks("meter get", f"meter {meter_id}")

    def meter_del(self, meter_id: int) -> MeterStats:
        """Delete a meter, returning its last counters; ENOENT."""
        raise self.lacks("meter del", f"meter {meter_id}")

    # Connection tracking; the defaults are a datapath's that tracks no connections.

    def ct_dump(self, zone: int | None = None) -> Iterator[CtEntry]:
        """Tracked connections."""
        raise self.lacks("ct dump")

    def ct_flush(
        self, zone: int | None = None, wanted: Callable[[CtEntry], bool] | None = None
    ) -> None:
        """Forget tracked connections, of one zone or all; only those for which `wanted` is true."""
        raise self.lacks("ct flush")

    def ct_set_limits(self, limits: Sequence[CtLimit]) -> None:
        """Limit the number of connections per zone."""
        raise self.lacks("ct set limits")

    def ct_get_limits(self, zones: Sequence[int]) -> list[CtLimit]:
        """Limits and counts of `zones`, or of all that have one, the default first."""
        raise self.lacks("ct get limits")

    def ct_del_limits(self, zones: Sequence[int]) -> None:
        """Return `zones` to the default limit."""
        raise self.lacks("ct del limits")

    def lacks(self, operation: str, obj: str = "") -> DpifError:
        """The error for what this datapath can't do: EOPNOTSUPP."""
        name = f"{self.type}@{self.name}"
        return DpifError(errno.EOPNOTSUPP, operation, f"{name}: {obj}" if obj else name)

    # Connection tracking in the datapath itself: EOPNOTSUPP where somebody else does it.

    def ct_count(self) -> int:
        """How many connections there are."""
        raise self.lacks("ct count")

    def ct_settings(self) -> CtSettings:
        """What is set about connection tracking."""
        raise self.lacks("ct settings")

    def ct_configure(self, settings: CtSettings) -> None:
        """Set it."""
        raise self.lacks("ct configure")

    def ct_set_timeouts(self, number: int, timeouts: Mapping[str, int]) -> CtTimeoutNames:
        """Make or change timeout policy `number` (from 1 on): seconds by the keys of the database's
        CT_Timeout_Policy. The names that `Ct` actions ask for it by."""
        raise self.lacks("ct set timeouts")

    def ct_del_timeouts(self, number: int) -> None:
        """Take timeout policy `number` away. DpifError(EBUSY) while a flow's action asks for it."""
        raise self.lacks("ct del timeouts")

    def ct_dump_timeouts(self) -> set[int]:
        """The numbers of the timeout policies that there are, be they another process's."""
        raise self.lacks("ct dump timeouts")

    def ipf_enable(self, family: int, enabled: bool) -> None:
        """Put fragments of IP version 4 or 6 together, or not."""
        raise self.lacks("ipf enable")

    def ipf_set_min_size(self, family: int, size: int) -> None:
        """The least size (bytes) of fragments but the last. EPERM: no network has such small ones."""
        raise self.lacks("ipf set min frag")

    def ipf_set_max_fragments(self, n: int) -> None:
        """How many fragments may be held. EPERM: that is too many."""
        raise self.lacks("ipf set max nfrags")

    def ipf_status(self) -> IpfStatus:
        """Settings, counters, and what is being put together."""
        raise self.lacks("ipf status")

    # Introspection.

    def paths(self) -> dict[str, int]:
        """Packets by the path that they took, where there are several (`dpctl/show`)."""
        return {}

    @abstractmethod
    def show_channels(self) -> str:
        """The text of `dpif/show-channels`: where upcalls wait, and what was lost there, by port."""

    @abstractmethod
    def cached(self) -> dict[str, int]:
        """Numbers for `memory/show` ("masks", "emc entries"...)."""
