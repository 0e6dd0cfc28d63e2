"""What a translation would change, as values that know how to make themselves real.

Translation is pure: it returns these, in the order in which they happen, and the caller
decides. There are two kinds, distinguished by their type and kept in two lists of `XlateOut`:

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
from typing import TYPE_CHECKING, final

from vswitch.base.vlog import Level
from vswitch.flow.values import format_mac
from vswitch.ofproto_dpif.xlate.debug import debug, log

if TYPE_CHECKING:
    from vswitch.l2.bond import Bond
    from vswitch.ofproto.groups import Group, GroupBucket
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto_dpif.xlate.bridge import XBridge, XBundle, XPort


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
        self.rule: Rule = rule

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

    def __init__(self, bridge: XBridge, table_id: int, hit: bool) -> None:
        self.bridge: XBridge = bridge
        self.table_id: int = table_id
        self.hit: bool = hit

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        table = self.bridge.tables[self.table_id]
        table.n_lookup += n_packets
        if self.hit:
            table.n_matched += n_packets

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, CreditTable) and self.bridge is other.bridge
            and self.table_id == other.table_id and self.hit is other.hit
        )

    def __repr__(self) -> str:
        return f"CreditTable({self.table_id}, hit={self.hit})"


@final
class LearnMac(CreditedEffect):
    """NORMAL saw `mac` (48 bits) in `vlan` on `bundle`: learn it, move it, or refresh it. Of one that is
    `traced` the trace tells, and not the log."""

    def __init__(self, bridge: XBridge, mac: int, vlan: int, bundle: XBundle,
                 gratuitous_arp: bool, traced: bool) -> None:
        self.bridge: XBridge = bridge
        self.mac: int = mac
        self.vlan: int = vlan
        self.bundle: XBundle = bundle
        self.gratuitous_arp: bool = gratuitous_arp
        self.traced: bool = traced

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        bridge = self.bridge
        bundle = self.bundle
        if not bundle.learns or bridge.bundles.get(bundle.aux) is not bundle:
            # The port has gone or been blocked since; these are the last packets of its flows.
            return
        tag = bridge.mac_learning.learn(
            self.mac, self.vlan, bundle, now, self.gratuitous_arp, bundle.bond is not None
        )
        if tag:
            if not self.traced and log.enabled(Level.DBG):
                where = f"port {bundle.name} in VLAN {self.vlan}"
                debug(now, bridge.name, f"learned that {format_mac(self.mac)} is on {where}")
            # Facets that used the old entry, or flooded for lack of one.
            bridge.revalidate_set.add(tag)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, LearnMac) and self.bridge is other.bridge
            and self.mac == other.mac and self.vlan == other.vlan and self.bundle is other.bundle
        )

    def __repr__(self) -> str:
        return f"LearnMac({self.mac:012x}, vlan={self.vlan}, {self.bundle.name})"


@final
class CreditBond(CreditedEffect):
    """Count the packet on the load of a bond's hash `value`."""

    def __init__(self, bond: Bond, value: int) -> None:
        self.bond = bond
        self.value: int = value

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        self.bond.account(self.value, n_bytes)

    def same(self, other: CreditedEffect) -> bool:
        return isinstance(other, CreditBond) and self.bond is other.bond and self.value == other.value

    def __repr__(self) -> str:
        return f"CreditBond({self.bond.name}, {self.value})"


@final
class CreditMirrors(CreditedEffect):
    """Count the packet on each mirror of the bit map `mirrors`."""

    def __init__(self, bridge: XBridge, mirrors: int) -> None:
        self.bridge: XBridge = bridge
        self.mirrors: int = mirrors

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        for mirror in self.bridge.mirrors:
            if mirror is not None and self.mirrors & mirror.bit:
                mirror.packets += n_packets
                mirror.bytes += n_bytes

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, CreditMirrors) and self.bridge is other.bridge
            and self.mirrors == other.mirrors
        )

    def __repr__(self) -> str:
        return f"CreditMirrors({self.mirrors:#x})"


@final
class CreditPort(CreditedEffect):
    """Count the packet on `port`, a patch port: sent (`tx`) or received."""

    def __init__(self, port: XPort, tx: bool) -> None:
        self.port: XPort = port
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
class DependsOnLiveness(CreditedEffect):
    """The translation depends on which ports of `bridge` are live: they are to be watched."""

    def __init__(self, bridge: XBridge) -> None:
        self.bridge: XBridge = bridge

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        self.bridge.has_bundle_action = True

    def same(self, other: CreditedEffect) -> bool:
        return isinstance(other, DependsOnLiveness) and self.bridge is other.bridge

    def __repr__(self) -> str:
        return f"DependsOnLiveness({self.bridge.name})"
