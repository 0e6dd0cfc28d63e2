"""What a translation would change, as values.

Translation is pure: it returns these, in the order in which they happen, and the caller
decides. A live packet applies them (`facets/apply.py`) with the packet's count; a facet keeps them
and applies them again whenever its datapath flow reports new packets; revalidation and
`ofproto/trace` drop them.

No translation returns `SendPacketIn`: a controller action becomes a datapath `Userspace` action
whose cookie names a frozen state (`xlate/recirc.py`), and the upcall that it causes makes the
packet-in, so that packets that never miss reach the controller by the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, final

if TYPE_CHECKING:
    from vswitch.flow.flow import Flow
    from vswitch.ofproto.groups import Group, GroupBucket
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
    from vswitch.ofproto_dpif.ports.bundle import Bundle, OfportDpif
    from vswitch.openflow.flow_mod import FlowMod


@final
class CreditRule:
    """Count the packet on `rule`, which refreshes its idle timeout."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __repr__(self) -> str:
        return f"CreditRule({self.rule})"


@final
class CreditTable:
    """Count a lookup in table `table_id`, and a match if `hit`."""

    def __init__(self, ofproto: OfprotoDpif, table_id: int, hit: bool) -> None:
        self.ofproto = ofproto
        self.table_id: int = table_id
        self.hit: bool = hit

    def __repr__(self) -> str:
        return f"CreditTable({self.table_id}, hit={self.hit})"


@final
class LearnMac:
    """NORMAL saw `mac` (48 bits) in `vlan` on `bundle`: learn it, move it, or refresh it."""

    def __init__(self, ofproto: OfprotoDpif, mac: int, vlan: int, bundle: Bundle,
                 gratuitous_arp: bool) -> None:
        self.ofproto = ofproto
        self.mac: int = mac
        self.vlan: int = vlan
        self.bundle: Bundle = bundle
        self.gratuitous_arp: bool = gratuitous_arp

    def __repr__(self) -> str:
        return f"LearnMac({self.mac:012x}, vlan={self.vlan}, {self.bundle.name})"


@final
class CreditMirrors:
    """Count the packet on each mirror of the bit map `mirrors`."""

    def __init__(self, ofproto: OfprotoDpif, mirrors: int) -> None:
        self.ofproto = ofproto
        self.mirrors: int = mirrors

    def __repr__(self) -> str:
        return f"CreditMirrors({self.mirrors:#x})"


@final
class CreditPort:
    """Count the packet on `port`, a patch port: sent (`tx`) or received."""

    def __init__(self, port: OfportDpif, tx: bool) -> None:
        self.port: OfportDpif = port
        self.tx: bool = tx

    def __repr__(self) -> str:
        return f"CreditPort({self.port.name}, {'tx' if self.tx else 'rx'})"


@final
class CreditBucket:
    """Count the packet on `group` and its `bucket`; on all its buckets if None."""

    def __init__(self, group: Group, bucket: GroupBucket | None) -> None:
        self.group: Group = group
        self.bucket: GroupBucket | None = bucket

    def __repr__(self) -> str:
        which = "all" if self.bucket is None else self.bucket.bucket_id
        return f"CreditBucket({self.group.group_id}, {which})"


@final
class LearnFlow:
    """The packet taught a flow: carry out `flow_mod`, or refresh the flow if it is there. A new one
    only while fewer than `limit` flows of its table have its cookie (0: no limit)."""

    def __init__(self, ofproto: OfprotoDpif, flow_mod: FlowMod, limit: int) -> None:
        self.ofproto = ofproto
        self.flow_mod: FlowMod = flow_mod
        self.limit: int = limit

    def __repr__(self) -> str:
        return f"LearnFlow(table={self.flow_mod.table_id}, {self.flow_mod.match})"


@final
class ReduceTimeouts:
    """If the packet has a TCP FIN or RST, let `rule` live no longer than `idle` and `hard` seconds
    (0: leave that timeout alone)."""

    def __init__(self, ofproto: OfprotoDpif, rule: Rule, idle: int, hard: int) -> None:
        self.ofproto = ofproto
        self.rule = rule
        self.idle: int = idle
        self.hard: int = hard

    def __repr__(self) -> str:
        return f"ReduceTimeouts({self.rule}, idle={self.idle}, hard={self.hard})"


@final
class SendPacketIn:
    """A packet for a controller: `packet` as it looked at the action, and where it came from.

    `flow` has the metadata (in_port, registers, tunnel...), `max_len` bounds the copy (0xffff:
    all of it), `reason` is an OFPR_* number, `userdata` what the action carried. `continuation`
    is not empty if the packet waits for the controller to resume it with that.
    """

    def __init__(self, ofproto: OfprotoDpif, packet: bytes, flow: Flow, table_id: int, cookie: int,
                 reason: int, max_len: int, controller_id: int, userdata: bytes = b"",
                 continuation: bytes = b"") -> None:
        self.ofproto = ofproto
        self.packet: bytes = packet
        self.flow: Flow = flow
        self.table_id: int = table_id
        self.cookie: int = cookie
        self.reason: int = reason
        self.max_len: int = max_len
        self.controller_id: int = controller_id
        self.userdata: bytes = userdata
        self.continuation: bytes = continuation
        """Where the pipeline goes on when the controller resumes it; b"": it was not paused."""

    def __repr__(self) -> str:
        return f"SendPacketIn({len(self.packet)} bytes, reason={self.reason}, table={self.table_id})"


Effect: TypeAlias = (
    CreditRule | CreditTable | LearnMac | CreditMirrors | CreditPort | CreditBucket | LearnFlow
    | ReduceTimeouts | SendPacketIn
)
