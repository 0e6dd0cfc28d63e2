"""OpenFlow actions and instructions as plain values: one frozen dataclass each.

The names are those of Open vSwitch's ofpacts (ovs-actions(7)). A flow's actions are a tuple of
them; the empty tuple drops. Instructions (`WriteActions`, `GotoTable`...) stand in the same
tuple, in the order that OpenFlow runs them. `action_text.py` parses and prints them, the wire
codec encodes them, translation executes them.

Integers are in host order, addresses are integers of their width. A `value` and a `mask` of
`n` bits count from the field's least significant bit.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from vswitch.base.records import dataclass

# Not for type checking only: compiled, a dataclass takes the class itself for its annotation.
from vswitch.flow.field import Field
from vswitch.openflow.constants import OFPP_IN_PORT, OFPR_ACTION


@dataclass(frozen=True)
class MfSubfield:
    """`n_bits` bits of `field`, beginning at bit `ofs` (0 is the least significant)."""

    field: Field
    ofs: int
    n_bits: int

    @property
    def mask(self) -> int:
        """The subfield's bits within the field."""
        return ((1 << self.n_bits) - 1) << self.ofs

    @property
    def whole(self) -> bool:
        """Whether this is all of the field."""
        return self.ofs == 0 and self.n_bits == self.field.n_bits


# Output.


@dataclass(frozen=True)
class Output:
    """Send to OpenFlow port `port`, ordinary or reserved (OFPP_*).

    `max_len` is how many bytes OFPP_CONTROLLER gets, 0xffff for all; other ports get everything.
    """

    port: int
    max_len: int = 0


@dataclass(frozen=True)
class OutputReg:
    """Send to the port whose number is in `src`; `max_len` as in `Output`."""

    src: MfSubfield
    max_len: int = 0xFFFF


@dataclass(frozen=True)
class OutputTrunc:
    """Send at most the first `max_len` bytes to `port`."""

    port: int
    max_len: int


@dataclass(frozen=True)
class Controller:
    """Send the packet to a controller as a packet-in, at most `max_len` bytes of it.

    `pause` stops processing until the controller resumes the packet with `userdata` and all
    state attached. `meter_id` None is OFPM_CONTROLLER's default. `told_as` is NXAST_CONTROLLER or
    NXAST_CONTROLLER2 if it was told as that where less would have said it, as it then is told back.
    """

    max_len: int = 0xFFFF
    reason: int = OFPR_ACTION
    controller_id: int = 0
    userdata: bytes = b""
    pause: bool = False
    meter_id: int | None = None
    told_as: int = 0


@dataclass(frozen=True)
class Enqueue:
    """Send to `port` through its queue `queue`."""

    port: int
    queue: int


@dataclass(frozen=True)
class Bundle:
    """Choose one of the ports `members` by a hash, and output to it or load it into `dst`.

    `fields` is "eth_src", "symmetric_l4"...; `algorithm` "active_backup" or "hrw".
    """

    fields: str
    basis: int
    algorithm: str
    members: tuple[int, ...]
    dst: MfSubfield | None = None


@dataclass(frozen=True)
class Group:
    """Run group `group_id`."""

    group_id: int


# Header and field changes.


@dataclass(frozen=True)
class SetVlanVid:
    """Set the VLAN ID. `push` (mod_vlan_vid) adds a tag where there is none."""

    vid: int
    push: bool = False


@dataclass(frozen=True)
class SetVlanPcp:
    """Set the VLAN priority. `push` (mod_vlan_pcp) adds a tag where there is none."""

    pcp: int
    push: bool = False


@dataclass(frozen=True)
class StripVlan:
    """Remove the outermost VLAN tag if there is one; `pop` remembers the name pop_vlan."""

    pop: bool = False


@dataclass(frozen=True)
class PushVlan:
    """Push a VLAN tag with TPID `ethertype`: 0x8100 or 0x88a8."""

    ethertype: int


@dataclass(frozen=True)
class SetEthSrc:
    """Set the Ethernet source."""

    mac: int


@dataclass(frozen=True)
class SetEthDst:
    """Set the Ethernet destination."""

    mac: int


@dataclass(frozen=True)
class SetIpv4Src:
    """Set the IPv4 source."""

    ipv4: int


@dataclass(frozen=True)
class SetIpv4Dst:
    """Set the IPv4 destination."""

    ipv4: int


@dataclass(frozen=True)
class SetIpDscp:
    """Set the DSCP bits; `tos` is the whole byte with the ECN bits 0."""

    tos: int


@dataclass(frozen=True)
class SetIpEcn:
    """Set the ECN bits (0..3)."""

    ecn: int


@dataclass(frozen=True)
class SetIpTtl:
    """Set the TTL or hop limit."""

    ttl: int


@dataclass(frozen=True)
class SetL4SrcPort:
    """Set the TCP, UDP or SCTP source port."""

    port: int


@dataclass(frozen=True)
class SetL4DstPort:
    """Set the TCP, UDP or SCTP destination port."""

    port: int


@dataclass(frozen=True)
class SetField:
    """Set the bits of `field` that `mask` selects to those of `value`.

    `load` remembers that it was written as `load:value->field[..]`.
    """

    field: Field
    value: int
    mask: int
    load: bool = False

    @property
    def exact(self) -> bool:
        """Whether the whole field is set."""
        return self.mask == (1 << self.field.n_bits) - 1


@dataclass(frozen=True)
class RegMove:
    """Copy `src` to `dst`, of the same width."""

    src: MfSubfield
    dst: MfSubfield


@dataclass(frozen=True)
class StackPush:
    """Push `src` on the stack."""

    src: MfSubfield


@dataclass(frozen=True)
class StackPop:
    """Pop the top of the stack into `dst`."""

    dst: MfSubfield


@dataclass(frozen=True)
class DeleteField:
    """Remove a tunnel option from the flow."""

    field: Field


@dataclass(frozen=True)
class DecTtl:
    """Decrement the TTL; a packet on which it would reach 0 goes to the controllers `ids`.

    `ids_given` tells `dec_ttl(0)` from `dec_ttl`.
    """

    ids: tuple[int, ...] = (0,)
    ids_given: bool = False


@dataclass(frozen=True)
class PushMpls:
    """Push a label stack entry with Ethernet type `ethertype`: 0x8847 or 0x8848."""

    ethertype: int


@dataclass(frozen=True)
class PopMpls:
    """Remove the outermost label stack entry; `ethertype` is what lies below."""

    ethertype: int


@dataclass(frozen=True)
class SetMplsLabel:
    """Set the outermost label (20 bits)."""

    label: int


@dataclass(frozen=True)
class SetMplsTc:
    """Set the outermost traffic class (3 bits)."""

    tc: int


@dataclass(frozen=True)
class SetMplsTtl:
    """Set the outermost MPLS TTL."""

    ttl: int


@dataclass(frozen=True)
class DecMplsTtl:
    """Decrement the outermost MPLS TTL."""


@dataclass(frozen=True)
class DecNshTtl:
    """Decrement the NSH TTL."""


@dataclass(frozen=True)
class EncapProperty:
    """One property of `Encap`: class ("nsh"), type ("md_type" or "tlv") and its value."""

    prop_class: str
    type: str
    value: int = 0
    tlv_class: int = 0
    tlv_type: int = 0
    data: bytes = b""


@dataclass(frozen=True)
class Encap:
    """Push a header of `packet_type` (namespace << 16 | type); `name` is its word in text."""

    packet_type: int
    name: str
    properties: tuple[EncapProperty, ...] = ()
    parens: bool = False


USE_NEXT_PROTO: Final = 0xFFFE
"""What decap has for a packet type on the wire if it is to find out what lies below."""


@dataclass(frozen=True)
class Decap:
    """Remove the outermost header; `packet_type` None: find out what lies below."""

    packet_type: int | None = None


# Metadata.


@dataclass(frozen=True)
class SetTunnel:
    """Set the tunnel ID; `wide` remembers set_tunnel64."""

    tun_id: int
    wide: bool = False


@dataclass(frozen=True)
class SetQueue:
    """Send what is output from here on through queue `queue`."""

    queue: int


@dataclass(frozen=True)
class PopQueue:
    """Back to the queue that the packet came with."""


@dataclass(frozen=True)
class CheckPktLarger:
    """Set the bit `dst` to whether the packet is longer than `pkt_len` bytes."""

    pkt_len: int
    dst: MfSubfield


@dataclass(frozen=True)
class Multipath:
    """Hash `fields` into `dst`, a link number in 0..max_link."""

    fields: str
    basis: int
    algorithm: str
    max_link: int
    arg: int
    dst: MfSubfield


# Flow of control.


@dataclass(frozen=True)
class Resubmit:
    """Look up again in `table_id` (255: the current table) as if received on `in_port`.

    `with_ct_orig` looks up with the connection's original direction tuple.
    """

    in_port: int = OFPP_IN_PORT
    table_id: int = 0xFF
    with_ct_orig: bool = False


@dataclass(frozen=True)
class Clone:
    """Run `actions` on a copy."""

    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Exit:
    """Run nothing more."""


@dataclass(frozen=True)
class Conjunction:
    """This flow is clause `clause` (0-based) of `n_clauses` of conjunction `id`."""

    id: int
    clause: int
    n_clauses: int


@dataclass(frozen=True)
class LearnSpec:
    """One element of a learned flow.

    `kind` "match" puts `src` (or the constant `value`) into the match on `dst`, "load" makes an
    action of it, "output" outputs to the port in `src`.
    """

    kind: str
    n_bits: int
    src: MfSubfield | None
    value: int
    dst: MfSubfield | None


@dataclass(frozen=True)
class Learn:
    """Add or change a flow in `table_id` that is made from this packet by `specs`."""

    specs: tuple[LearnSpec, ...]
    idle_timeout: int = 0
    hard_timeout: int = 0
    priority: int = 32768
    cookie: int = 0
    table_id: int = 1
    fin_idle_timeout: int = 0
    fin_hard_timeout: int = 0
    send_flow_rem: bool = False
    delete_learned: bool = False
    limit: int = 0
    result_dst: MfSubfield | None = None


@dataclass(frozen=True)
class FinTimeout:
    """Lower the flow's timeouts (s) to these when a TCP FIN or RST passes; 0 leaves one alone."""

    idle: int = 0
    hard: int = 0


# Connection tracking.


@dataclass(frozen=True)
class Nat:
    """Address translation of a connection; `kind` "src", "dst" or "" (only established).

    `family` is 4, 6 or 0 without addresses; `max_addr` None and `max_port` 0: no range.
    """

    kind: str = ""
    family: int = 0
    min_addr: int | None = None
    max_addr: int | None = None
    min_port: int = 0
    max_port: int = 0
    persistent: bool = False
    hash: bool = False
    random: bool = False


@dataclass(frozen=True)
class Ct:
    """Send the packet to connection tracking; `recirc_table` None: and forget the answer.

    The zone is `zone` or, if `zone_src` is given, what that subfield holds. `actions` run on
    the connection (ct_mark, ct_label, nat).
    """

    commit: bool = False
    force: bool = False
    zone: int = 0
    zone_src: MfSubfield | None = None
    recirc_table: int | None = None
    alg: int = 0
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class CtClear:
    """Forget the packet's connection tracking state."""


# The rest.


@dataclass(frozen=True)
class Sample:
    """Sample packets into IPFIX with `probability` out of 65535.

    What observes is `obs_domain_id` and `obs_point_id` or, if their sources are given, what those subfields
    of at most 32 bits hold.
    """

    probability: int
    collector_set_id: int = 0
    obs_domain_id: int = 0
    obs_point_id: int = 0
    sampling_port: int = 0xFFFF
    direction: str = ""
    obs_domain_src: MfSubfield | None = None
    obs_point_src: MfSubfield | None = None


@dataclass(frozen=True)
class Note:
    """Do nothing; carry `data`, padded with zeros to a length that plus 10 is a multiple of 8."""

    data: bytes


@dataclass(frozen=True)
class DebugRecirc:
    """Recirculate here (for tests)."""


@dataclass(frozen=True)
class DebugSlow:
    """Handle this flow's packets in the slow path (for tests)."""


# Instructions.


@dataclass(frozen=True)
class Meter:
    """Run the packet through meter `meter_id`."""

    meter_id: int


@dataclass(frozen=True)
class ClearActions:
    """Empty the action set."""


@dataclass(frozen=True)
class WriteActions:
    """Merge `actions` into the action set."""

    actions: tuple[Action, ...]


@dataclass(frozen=True)
class WriteMetadata:
    """Set the bits `mask` of the metadata field to those of `metadata`."""

    metadata: int
    mask: int = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class GotoTable:
    """Go on in table `table_id`, which is higher than the current one."""

    table_id: int


Action: TypeAlias = (
    Output | OutputReg | OutputTrunc | Controller | Enqueue | Bundle | Group
    | SetVlanVid | SetVlanPcp | StripVlan | PushVlan | SetEthSrc | SetEthDst | SetIpv4Src | SetIpv4Dst
    | SetIpDscp | SetIpEcn | SetIpTtl | SetL4SrcPort | SetL4DstPort | SetField | RegMove
    | StackPush | StackPop | DeleteField | DecTtl | PushMpls | PopMpls | SetMplsLabel | SetMplsTc
    | SetMplsTtl | DecMplsTtl | DecNshTtl | Encap | Decap | SetTunnel | SetQueue | PopQueue
    | CheckPktLarger | Multipath | Resubmit | Clone | Exit | Conjunction | Learn | FinTimeout
    | Nat | Ct | CtClear | Sample | Note | DebugRecirc | DebugSlow
    | Meter | ClearActions | WriteActions | WriteMetadata | GotoTable
)  # fmt: skip
Actions: TypeAlias = tuple[Action, ...]
