"""What a translation would change, as values that know how to make themselves real.

Translation is pure: it returns these, in the order in which they happen, and the caller
decides. There are two kinds, told apart by their type and kept in two lists of `XlateOut`:

- A `CreditedEffect` stands for any number of packets. A live packet applies it with the packet's
  count; a facet keeps it and applies it again whenever its datapath flow reports new packets: so
  MAC entries and learned flows are refreshed too, and a busy address stays known although its
  packets are not seen here. Revalidation compares (`same`) and drops them.
- A `PacketEffect` stands for one packet that is here to be looked at: "this BPDU arrived". It is
  applied once for each packet that comes up, and no facet keeps it. What must see every packet of
  a flow therefore also sets a bit of `XlateOut.slow`.

A new effect is one class here or in a feature's file; nothing else has to know of it. It holds
what the translation knew (port, VLAN, group), for by the time that it is applied the packet's
flow is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from vswitch.ofproto_dpif.learned import learn_flow, reduce_timeouts

if TYPE_CHECKING:
    from vswitch.ofproto.groups import Group, GroupBucket
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
    from vswitch.ofproto_dpif.ports.bundle import Bundle, OfportDpif
    from vswitch.openflow.flow_mod import FlowMod

FIN_OR_RST: Final = 0x005
"""The TCP flags that end a connection."""


class CreditedEffect:
    """An effect of packets in any number, now and whenever the datapath reports more of them."""

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        """Make it real for `n_packets` packets of `n_bytes` bytes, the last one at clock ms `now`;
        `tcp_flags` are those of all of them together.

        With `n_packets` 0 nothing may be counted, but addresses and flows are learned all the
        same: the packets are counted elsewhere.
        """
        raise NotImplementedError

    def same(self, other: CreditedEffect) -> bool:
        """Whether `other` is of this type and counts on the same things."""
        raise NotImplementedError


class PacketEffect:
    """An effect of one packet: it is applied for each that comes up, and never replayed."""

    def apply(self, packet: bytes, now: int) -> None:
        """Make it real for `packet`, as it was when it came in, at clock ms `now`."""
        raise NotImplementedError


def credit(effects: Sequence[CreditedEffect], n_packets: int, n_bytes: int, now: int,
           tcp_flags: int = 0) -> None:
    """Apply `effects`, in their order (`CreditedEffect.apply`)."""
    for effect in effects:
        effect.apply(n_packets, n_bytes, now, tcp_flags)


def same_effects(a: Sequence[CreditedEffect], b: Sequence[CreditedEffect]) -> bool:
    """Whether both lists count on the same things in the same order."""
    return len(a) == len(b) and all(one.same(b[i]) for i, one in enumerate(a))


@final
class CreditRule(CreditedEffect):
    """Count the packet on `rule`, which refreshes its idle timeout."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        if n_packets:
            self.rule.credit(n_packets, n_bytes, now)

    def same(self, other: CreditedEffect) -> bool:
        return isinstance(other, CreditRule) and self.rule is other.rule

    def __repr__(self) -> str:
        return f"CreditRule({self.rule})"


@final
class CreditTable(CreditedEffect):
    """Count a lookup in table `table_id`, and a match if `hit`."""

    def __init__(self, ofproto: OfprotoDpif, table_id: int, hit: bool) -> None:
        self.ofproto = ofproto
        self.table_id: int = table_id
        self.hit: bool = hit

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        self.ofproto.credit_table(self.table_id, n_packets, self.hit)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, CreditTable) and self.ofproto is other.ofproto
            and self.table_id == other.table_id and self.hit is other.hit
        )

    def __repr__(self) -> str:
        return f"CreditTable({self.table_id}, hit={self.hit})"


@final
class LearnMac(CreditedEffect):
    """NORMAL saw `mac` (48 bits) in `vlan` on `bundle`: learn it, move it, or refresh it."""

    def __init__(self, ofproto: OfprotoDpif, mac: int, vlan: int, bundle: Bundle,
                 gratuitous_arp: bool) -> None:
        self.ofproto = ofproto
        self.mac: int = mac
        self.vlan: int = vlan
        self.bundle: Bundle = bundle
        self.gratuitous_arp: bool = gratuitous_arp

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        self.ofproto.update_learning_table(self, now)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, LearnMac) and self.ofproto is other.ofproto
            and self.mac == other.mac and self.vlan == other.vlan and self.bundle is other.bundle
        )

    def __repr__(self) -> str:
        return f"LearnMac({self.mac:012x}, vlan={self.vlan}, {self.bundle.name})"


@final
class CreditMirrors(CreditedEffect):
    """Count the packet on each mirror of the bit map `mirrors`."""

    def __init__(self, ofproto: OfprotoDpif, mirrors: int) -> None:
        self.ofproto = ofproto
        self.mirrors: int = mirrors

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        self.ofproto.credit_mirrors(self.mirrors, n_packets, n_bytes)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, CreditMirrors) and self.ofproto is other.ofproto
            and self.mirrors == other.mirrors
        )

    def __repr__(self) -> str:
        return f"CreditMirrors({self.mirrors:#x})"


@final
class CreditPort(CreditedEffect):
    """Count the packet on `port`, a patch port: sent (`tx`) or received."""

    def __init__(self, port: OfportDpif, tx: bool) -> None:
        self.port: OfportDpif = port
        self.tx: bool = tx

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        port = self.port
        if self.tx:
            port.tx_packets += n_packets
            port.tx_bytes += n_bytes
        else:
            port.rx_packets += n_packets
            port.rx_bytes += n_bytes

    def same(self, other: CreditedEffect) -> bool:
        return isinstance(other, CreditPort) and self.port is other.port and self.tx is other.tx

    def __repr__(self) -> str:
        return f"CreditPort({self.port.name}, {'tx' if self.tx else 'rx'})"


@final
class CreditBucket(CreditedEffect):
    """Count the packet on `group` and its `bucket`; on all its buckets if None."""

    def __init__(self, group: Group, bucket: GroupBucket | None) -> None:
        self.group: Group = group
        self.bucket: GroupBucket | None = bucket

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        self.group.credit(self.bucket, n_packets, n_bytes)

    def same(self, other: CreditedEffect) -> bool:
        return isinstance(other, CreditBucket) and self.group is other.group and self.bucket is other.bucket

    def __repr__(self) -> str:
        which = "all" if self.bucket is None else self.bucket.bucket_id
        return f"CreditBucket({self.group.group_id}, {which})"


@final
class LearnFlow(CreditedEffect):
    """The packet taught a flow: carry out `flow_mod`, or refresh the flow if it is there. A new one
    only while fewer than `limit` flows of its table have its cookie (0: no limit)."""

    def __init__(self, ofproto: OfprotoDpif, flow_mod: FlowMod, limit: int) -> None:
        self.ofproto = ofproto
        self.flow_mod: FlowMod = flow_mod
        self.limit: int = limit

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        learn_flow(self, now)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, LearnFlow) and self.ofproto is other.ofproto
            and self.limit == other.limit and self.flow_mod == other.flow_mod
        )

    def __repr__(self) -> str:
        return f"LearnFlow(table={self.flow_mod.table_id}, {self.flow_mod.match})"


@final
class ReduceTimeouts(CreditedEffect):
    """If the packet has a TCP FIN or RST, let `rule` live no longer than `idle` and `hard` seconds
    (0: leave that timeout alone)."""

    def __init__(self, ofproto: OfprotoDpif, rule: Rule, idle: int, hard: int) -> None:
        self.ofproto = ofproto
        self.rule = rule
        self.idle: int = idle
        self.hard: int = hard

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        if tcp_flags & FIN_OR_RST:
            reduce_timeouts(self)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, ReduceTimeouts) and self.rule is other.rule and self.idle == other.idle
            and self.hard == other.hard
        )

    def __repr__(self) -> str:
        return f"ReduceTimeouts({self.rule}, idle={self.idle}, hard={self.hard})"
