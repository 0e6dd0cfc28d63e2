"""What crosses the dpif interface with each packet or flow: upcalls, the operations of a batch, flows.

Flows are `flow.Flow` pairs (key, mask). In a key `in_port` is a *datapath* port number and
`mask` has exactly the bits that decide. A UFID is 16 bytes naming a datapath flow.

This module is compiled: a packet that the datapath does not know makes three of these objects.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from vswitch.dpif.actions import Actions
from vswitch.dpif.types import Fitness, PutFlags, UpcallType
from vswitch.flow.flow import Flow

PERFECT: Final = Fitness.PERFECT
CREATE_OR_MODIFY: Final = PutFlags.CREATE | PutFlags.MODIFY


@mypyc_attr(acyclic=True)
class FlowStats:
    """Counters of one datapath flow. `used` is clock ms of the last packet, 0 for never."""

    def __init__(self, n_packets: int = 0, n_bytes: int = 0, used: int = 0, tcp_flags: int = 0) -> None:
        self.n_packets: int = n_packets
        self.n_bytes: int = n_bytes
        self.used: int = used
        self.tcp_flags: int = tcp_flags


@mypyc_attr(acyclic=True)
class DpifFlow:
    """One flow as `flow_dump` and `flow_get` give it."""

    def __init__(self, key: Flow, mask: Flow, actions: Actions, stats: FlowStats, ufid: bytes,
                 offloaded: str = "", dp_layer: str = "ovs") -> None:
        self.key: Flow = key
        self.mask: Flow = mask
        self.actions: Actions = actions
        self.stats: FlowStats = stats
        self.ufid: bytes = ufid
        self.offloaded: str = offloaded
        self.dp_layer: str = dp_layer


@mypyc_attr(acyclic=True)
class Upcall:
    """A packet that the datapath sent up.

    `packet` starts at the Ethernet header. `key` is the packet's flow as the datapath saw it
    (in_port: datapath number, `recirc_id`, tunnel and ct fields filled); `raw_key` the bytes
    that it came as (b"" from the userspace datapath). `userdata` and `actions` come with
    ACTION only. `mru` is nonzero for a reassembled fragment; `hash` the datapath's packet
    hash. `offload` is the device's `netdev.frame.Frame` state where the provider has it: give
    it back unchanged in `Execute`, so that a GSO segment passes a miss whole.
    """

    def __init__(self, type: UpcallType, packet: bytes, key: Flow, fitness: Fitness = PERFECT,
                 raw_key: bytes = b"", ufid: bytes = b"", userdata: bytes = b"", actions: Actions = (),
                 out_tun_key: Flow | None = None, mru: int = 0, hash: int = 0,
                 offload: object | None = None) -> None:
        self.type: UpcallType = type
        self.packet: bytes = packet
        self.key: Flow = key
        self.fitness: Fitness = fitness
        self.raw_key: bytes = raw_key
        self.ufid: bytes = ufid
        self.userdata: bytes = userdata
        self.actions: Actions = actions
        self.out_tun_key: Flow | None = out_tun_key
        self.mru: int = mru
        self.hash: int = hash
        self.offload: object | None = offload


@mypyc_attr(acyclic=True)
class Op:
    """One operation of a batch; `operate` sets `error` to 0 or an errno, `detail` to why."""

    def __init__(self) -> None:
        self.error: int = 0
        self.detail: str = ""


@mypyc_attr(acyclic=True)
class FlowPut(Op):
    """Create or change the flow `key`/`mask`. `stats` is filled if `want_stats`."""

    def __init__(self, key: Flow, mask: Flow, actions: Actions, ufid: bytes,
                 flags: PutFlags = CREATE_OR_MODIFY, want_stats: bool = False) -> None:
        super().__init__()
        self.key: Flow = key
        self.mask: Flow = mask
        self.actions: Actions = actions
        self.ufid: bytes = ufid
        self.flags: PutFlags = flags
        self.want_stats: bool = want_stats
        self.stats: FlowStats | None = None


@mypyc_attr(acyclic=True)
class FlowDel(Op):
    """Delete the flow `ufid`; its last counters come back in `stats`. `asked`: somebody says that there is
    one."""

    def __init__(self, key: Flow, ufid: bytes, asked: bool = False) -> None:
        super().__init__()
        self.asked: bool = asked
        self.key: Flow = key
        self.ufid: bytes = ufid
        self.stats: FlowStats | None = None


@mypyc_attr(acyclic=True)
class FlowGet(Op):
    """Read the flow `ufid` into `flow`. `asked`: somebody says that there is one."""

    def __init__(self, key: Flow, ufid: bytes, asked: bool = False) -> None:
        super().__init__()
        self.asked: bool = asked
        self.key: Flow = key
        self.ufid: bytes = ufid
        self.flow: DpifFlow | None = None


@mypyc_attr(acyclic=True)
class Execute(Op):
    """Run `actions` on `packet`, whose metadata (in_port, recirc_id, tunnel...) is in `key`.

    `probe`: a failure is expected and not logged. `offload` and `hash`: see `Upcall`; give
    them back as they came.
    """

    def __init__(self, packet: bytes, key: Flow, actions: Actions, mtu: int = 0, probe: bool = False,
                 offload: object | None = None, hash: int = 0) -> None:
        super().__init__()
        self.packet: bytes = packet
        self.key: Flow = key
        self.actions: Actions = actions
        self.mtu: int = mtu
        self.probe: bool = probe
        self.offload: object | None = offload
        self.hash: int = hash
