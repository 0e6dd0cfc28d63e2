"""Datapath actions: what a datapath flow does to a packet, as plain values.

Each class is one `OVS_ACTION_ATTR_*` of <linux/openvswitch.h>. A flow's actions are a
`tuple[Action, ...]`; the kernel provider encodes it (`dpif/actions_nl.py`), the userspace
provider compiles it (`dpif/odp_compile.py`), `dpif/odp_text.py` prints and parses it as `ovs-dpctl` does.

Integers are in host order. `value` and `mask` of a set action are the bytes of the key
attribute's struct (network order where the struct has it), so that one layout table
(`dpif/key_struct.py`) serves keys and set actions alike.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from vswitch.base.records import dataclass


@dataclass(frozen=True)
class Output:
    """Send the packet to datapath port `port`."""

    port: int


_outputs: Final[dict[int, Output]] = {}


def output_to(port: int) -> Output:
    """`Output(port)`, the same one each time: most datapath flows end with one."""
    known = _outputs.get(port)
    if known is None:
        known = _outputs[port] = Output(port)
    return known


@dataclass(frozen=True)
class Userspace:
    """Send the packet up as an `ACTION` upcall to Netlink port `pid`.

    `userdata` is the cookie of `dpif/cookie.py`; `tunnel_out_port` asks for egress tunnel
    information; `include_actions` asks for the flow's actions in the upcall.
    """

    pid: int
    userdata: bytes = b""
    tunnel_out_port: int | None = None
    include_actions: bool = False


@dataclass(frozen=True)
class Set:
    """Overwrite the whole struct of key attribute `attr` (`OVS_KEY_ATTR_*`)."""

    attr: int
    value: bytes


@dataclass(frozen=True)
class SetMasked:
    """Overwrite the bits of key attribute `attr` that `mask` selects."""

    attr: int
    value: bytes
    mask: bytes


@dataclass(frozen=True)
class PushVlan:
    """Push an 802.1Q/802.1ad header: `tpid`, and `tci` with the CFI bit (0x1000) set."""

    tpid: int
    tci: int


@dataclass(frozen=True)
class PopVlan:
    """Remove the outermost VLAN header."""


@dataclass(frozen=True)
class PushMpls:
    """Push the label stack entry `lse` (32 bits) and set the Ethernet type."""

    lse: int
    ethertype: int


@dataclass(frozen=True)
class PopMpls:
    """Remove the outermost label stack entry; `ethertype` says what is below."""

    ethertype: int


@dataclass(frozen=True)
class PushNsh:
    """Push an NSH header (RFC 8300): the nested OVS_KEY_ATTR_NSH fields, spelled out."""

    flags: int
    ttl: int
    mdtype: int
    np: int
    path_hdr: int
    """Service path identifier (24 bits) and service index (8 bits)."""
    metadata: bytes
    """16 bytes of context (MD type 1) or the TLVs (MD type 2)."""


@dataclass(frozen=True)
class PopNsh:
    """Remove the NSH header."""


@dataclass(frozen=True)
class PushEth:
    """Prepend an Ethernet header to an L3 packet; addresses are 48-bit integers."""

    src: int
    dst: int


@dataclass(frozen=True)
class PopEth:
    """Remove the Ethernet header."""


@dataclass(frozen=True)
class Sample:
    """Run `actions` on a copy with `probability` (0..2**32-1 out of 2**32-1)."""

    probability: int
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Recirc:
    """Look the packet up again with `recirc_id` in its key."""

    recirc_id: int


@dataclass(frozen=True)
class Hash:
    """Compute `dp_hash`: `algorithm` 0 is L4, 1 is symmetric L4."""

    algorithm: int
    basis: int


@dataclass(frozen=True)
class LbOutput:
    """Send the packet through one of the ports of the datapath's bond `bond_id`: userspace only."""

    bond_id: int


@dataclass(frozen=True)
class Nat:
    """The NAT part of `Ct`. `kind` is "src", "dst" or "" (only established)."""

    kind: str = ""
    min_addr: bytes = b""
    max_addr: bytes = b""
    min_port: int = 0
    max_port: int = 0
    persistent: bool = False
    hash: bool = False
    random: bool = False


@dataclass(frozen=True)
class Ct:
    """Send the packet through connection tracking."""

    commit: bool = False
    force: bool = False
    zone: int = 0
    mark: tuple[int, int] | None = None
    """(value, mask), 32 bits each."""
    label: tuple[int, int] | None = None
    """(value, mask), 128 bits each."""
    helper: str = ""
    nat: Nat | None = None
    eventmask: int | None = None
    timeout: str = ""


@dataclass(frozen=True)
class CtClear:
    """Forget the packet's connection-tracking state."""


@dataclass(frozen=True)
class Trunc:
    """The next output sends at most `max_len` bytes."""

    max_len: int


@dataclass(frozen=True)
class Clone:
    """Run `actions` on a copy."""

    actions: tuple[Action, ...]


@dataclass(frozen=True)
class CheckPktLen:
    """Branch on the frame's length: more than `pkt_len` bytes or not."""

    pkt_len: int
    greater: tuple[Action, ...]
    less_equal: tuple[Action, ...]


@dataclass(frozen=True)
class Meter:
    """Run the packet through datapath meter `meter_id`; it may be dropped there."""

    meter_id: int


@dataclass(frozen=True)
class DecTtl:
    """Decrement the IP TTL; packets whose TTL would become 0 run `exceeded` instead."""

    exceeded: tuple[Action, ...]


@dataclass(frozen=True)
class AddMpls:
    """Push a label stack entry; `tun_flags` 1 places it after the Ethernet header."""

    lse: int
    ethertype: int
    tun_flags: int


@dataclass(frozen=True)
class Drop:
    """Drop explicitly, with an `XLATE_*` reason code that the datapath counts."""

    reason: int


@dataclass(frozen=True)
class Psample:
    """Give a copy to the kernel's psample, whose listeners get it for `group` with `cookie`, of 16 bytes at
    most (OVS_ACTION_ATTR_PSAMPLE, since Linux 6.11)."""

    group: int
    cookie: bytes = b""


@dataclass(frozen=True)
class TnlPush:
    """Put `header` in front of the packet, a tunnel's outer header from Ethernet on: userspace only.

    `kind` is of `packet.tunnel.kinds`; `tnl_port` the tunnel's datapath port, `out_port` that of the bridge
    that the route leads to. Lengths, checksums, source port and sequence number are each packet's own.
    """

    tnl_port: int
    out_port: int
    kind: int
    header: bytes


@dataclass(frozen=True)
class TnlPop:
    """Take the outer header off, and look the packet up as one that tunnel port `port` received."""

    port: int


Action: TypeAlias = (
    Output | Userspace | Set | SetMasked | PushVlan | PopVlan | PushMpls | PopMpls
    | PushNsh | PopNsh | PushEth | PopEth | Sample | Recirc | Hash | LbOutput | Ct | CtClear | Trunc
    | Clone | CheckPktLen | Meter | DecTtl | AddMpls | Drop | Psample | TnlPush | TnlPop
)
Actions: TypeAlias = tuple[Action, ...]
