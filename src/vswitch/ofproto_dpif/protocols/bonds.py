"""Bonds and LACP of one bridge: joins `l2/bond.py` and `l2/lacp.py` to bundles, packets and clock.

A balanced bond of the mode balance-tcp has the datapath hash its packets and come back with a
recirculation id (`Bond.recirc_id`). Where they go then is in hidden rules of the last flow
table, one a hash value; what those rules count is the load that rebalancing evens out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from vswitch.base import coverage
from vswitch.base.vlog import Vlog
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.l2.bond import (
    ACTIVE_BACKUP,
    BALANCE_TCP,
    CHANGED,
    LEARN,
    N_HASHES,
    Bond,
    BondMember,
    BondSettings,
    hash_mac,
)
from vswitch.l2.lacp import NEGOTIATED, OFF, Lacp
from vswitch.l2.lacpdu import frame
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ports.ports import set_aggregated
from vswitch.ofproto_dpif.settings import LacpSettings
from vswitch.ofproto_dpif.xlate.freeze import freeze_metadata
from vswitch.ofproto_dpif.xlate.recirc import FrozenState
from vswitch.ofproto_dpif.xlate.types import SLOW_LACP
from vswitch.openflow.actions import Output
from vswitch.openflow.constants import OFPP_NONE, OFPPS_LINK_DOWN, OFPRR_DELETE
from vswitch.packet.numbers import ETH_TYPE_RARP, ETH_TYPE_VLAN_8021Q

if TYPE_CHECKING:
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.ofproto_dpif.xlate.bridge import XBundle, XPort

log = Vlog("bond")

RECIRC_RULE_PRIORITY: Final = 20
_RECIRC_ID: Final = by_name("recirc_id")
_DP_HASH: Final = by_name("dp_hash")

lacp_elsewhere = coverage.counter("drop_lacp_port_not_in_bundle")
bond_learning = coverage.counter("bond_learning_packets")


def rarp(mac: int, vlan: int) -> bytes:
    """A packet that lets switches learn where `mac` is: an RARP request (RFC 903) of its own."""
    address = mac.to_bytes(6, "big")
    tag = ETH_TYPE_VLAN_8021Q.to_bytes(2, "big") + vlan.to_bytes(2, "big") if vlan else b""
    arp = b"\0\x01\x08\0\x06\x04\0\x03" + address + bytes(4) + address + bytes(4)
    return b"\xff" * 6 + address + tag + ETH_TYPE_RARP.to_bytes(2, "big") + arp


def _has_link(port: XPort) -> bool:
    """Whether the port's link is up, and nobody who watches it says that it is of no use."""
    return not port.state & OFPPS_LINK_DOWN and port.monitored


@final
class PostRecircRules:
    """The hidden rules for the packets of one bond that come back hashed."""

    def __init__(self, ofproto: BridgeRole, recirc_id: int) -> None:
        self._ofproto = ofproto
        self.recirc_id = recirc_id
        self._rules: list[Rule | None] = [None] * N_HASHES
        self._ports: list[int] = [0] * N_HASHES
        self._seen: list[int] = [0] * N_HASHES

    def update(self, bond: Bond, now: int) -> None:
        """Let the rules say what `bond` says."""
        for value in range(N_HASHES):
            member = bond.entry_member(value)
            port = member.aux.ofp_port if member is not None else 0
            if port == self._ports[value]:
                continue
            self._remove(value)
            self._ports[value] = port
            if not port:
                continue
            match = Match()
            match.set(_RECIRC_ID, self.recirc_id)
            match.set(_DP_HASH, value, N_HASHES - 1)
            self._rules[value] = self._ofproto.add_internal_rule(
                match, RECIRC_RULE_PRIORITY, (Output(port),), now
            )

    def account(self, bond: Bond) -> None:
        """Add what the rules have counted since the last call to the bond's loads."""
        for value, rule in enumerate(self._rules):
            if rule is not None:
                bond.account(value, rule.n_bytes - self._seen[value])
                self._seen[value] = rule.n_bytes

    def close(self, now: int) -> None:
        """Take the rules away."""
        for value in range(N_HASHES):
            self._remove(value)

    def _remove(self, value: int) -> None:
        rule = self._rules[value]
        if rule is not None:
            self._ofproto.tables.remove(rule, OFPRR_DELETE)
        self._rules[value] = None
        self._seen[value] = 0


@final
class DatapathBuckets:
    """The members of one bond in a datapath that chooses among them itself."""

    def __init__(self, ofproto: BridgeRole, bond_id: int) -> None:
        self._dpif = ofproto.backer.dpif
        self._id = bond_id
        self._members: list[int] = []
        self._seen: list[int] = [0] * N_HASHES

    def update(self, bond: Bond, _now: int) -> None:
        """Let the datapath have what `bond` says."""
        found = [bond.entry_member(value) if bond.balanced else None for value in range(N_HASHES)]
        members = [ODPP_NONE if member is None else member.aux.odp_port for member in found]
        if members != self._members:
            self._dpif.bond_set(self._id, members)
            self._members = members

    def account(self, bond: Bond) -> None:
        """Add what the datapath has counted since the last call to the bond's loads."""
        if not self._members:
            return
        for value, n_bytes in enumerate(self._dpif.bond_stats(self._id)):
            bond.account(value, n_bytes - self._seen[value])
            self._seen[value] = n_bytes

    def close(self, _now: int) -> None:
        """Take the bond out of the datapath."""
        if self._members:
            self._dpif.bond_del(self._id)


@final
class Bundle:
    """A bundle that has a bond, speaks LACP, or both."""

    def __init__(self, xbundle: XBundle) -> None:
        self.xbundle = xbundle
        self.bond: Bond | None = None
        self.lacp: Lacp | None = None
        self.balance: PostRecircRules | DatapathBuckets | None = None
        """Where the packets of a bond go that are balanced in the datapath."""
        self.next_miimon: int = 0


class BondBridge:
    """The bonds of a bridge. `sync` after every change of bundles."""

    def __init__(self, ofproto: BridgeRole) -> None:
        self.ofproto = ofproto
        self.bundles: dict[str, Bundle] = {}
        """By the names of the bridge's bundles."""
        self._seen_links = -1
        ofproto.add_protocol(self)

    def close(self) -> None:
        """Leave the bridge."""
        now = self.ofproto.clock.now()
        for name in list(self.bundles):
            self._remove(name, now)
        self.ofproto.remove_protocol(self)

    # Configuration.

    def sync(self, now: int) -> None:
        """Follow the bridge's bundles and their settings."""
        ofproto = self.ofproto
        self._seen_links = ofproto.link_changes
        wanted: dict[str, tuple[XBundle, BondSettings | None, LacpSettings | None]] = {}
        for aux, xbundle in ofproto.bundles.items():
            settings = ofproto.bundle_settings.get(aux)
            if settings is not None and (settings.bond is not None or settings.lacp is not None):
                wanted[xbundle.name] = (xbundle, settings.bond, settings.lacp)
        for name, bundle in list(self.bundles.items()):
            if name not in wanted or wanted[name][0] is not bundle.xbundle:
                self._remove(name, now)
        for name, (xbundle, bond, lacp) in wanted.items():
            bundle = self.bundles.setdefault(name, Bundle(xbundle))
            self._configure_lacp(bundle, lacp, now)
            self._configure_bond(bundle, bond, now)
        ofproto.has_bonded_bundles = any(b.bond is not None for b in self.bundles.values())
        self._turn(now, True)

    def _remove(self, name: str, now: int) -> None:
        bundle = self.bundles.pop(name)
        self._configure_lacp(bundle, None, now)
        self._configure_bond(bundle, None, now)

    def _configure_lacp(self, bundle: Bundle, settings: LacpSettings | None, now: int) -> None:
        xbundle = bundle.xbundle
        lacp = bundle.lacp
        ofproto = self.ofproto
        there = {port.name: port for port in xbundle.ports}
        if settings is None:
            if lacp is not None:
                bundle.lacp = xbundle.lacp = None
                for name in lacp.members:
                    port = ofproto.ports_by_name.get(name)
                    if port is not None:
                        ofproto.listen(port, SLOW_LACP, None)
                        set_aggregated(ofproto, port, True)
            return
        if lacp is None:
            lacp = bundle.lacp = xbundle.lacp = Lacp(xbundle.name)
        lacp.configure(
            settings.active, settings.fast, settings.sys_id, settings.sys_priority, settings.fallback_ab
        )
        for name in [name for name in lacp.members if name not in there]:
            lacp.remove_member(name)
            port = ofproto.ports_by_name.get(name)
            if port is not None:
                ofproto.listen(port, SLOW_LACP, None)
                set_aggregated(ofproto, port, True)
        own = dict(settings.members)
        for name, port in there.items():
            port_id, priority, key = own.get(name, (0, 0xFFFF, 0))
            member = lacp.set_member(name, port_id or port.ofp_port, priority, key, now)
            lacp.set_carrier(member, _has_link(port), now)
            ofproto.listen(port, SLOW_LACP, self)

    def _configure_bond(self, bundle: Bundle, settings: BondSettings | None, now: int) -> None:
        xbundle = bundle.xbundle
        bond = bundle.bond
        if settings is None:
            if bond is not None:
                bundle.bond = xbundle.bond = None
                self._end_balance(bundle, now)
                if bond.recirc_id:
                    self.ofproto.backer.dp.recirc_ids.unref(bond.recirc_id, now)
                self.ofproto.backer.need(RevReason.BOND)
            return
        if bond is None:
            bond = bundle.bond = xbundle.bond = Bond(xbundle.name, settings, now)
        bond.configure(settings, now)
        self._set_recirc_id(bond, now)
        there = {port.name: port for port in xbundle.ports}
        for name in [name for name in bond.members if name not in there]:
            bond.remove_member(name)
        for name, port in there.items():
            bond.set_member(name, port, port.up.mac if port.up is not None else 0)

    # PacketReceiver

    def receive(self, ofp_port: int, packet: bytes, now: int) -> None:
        port = self.ofproto.ports.get(ofp_port)
        xbundle = port.bundle if port is not None else None
        bundle = self.bundles.get(xbundle.name) if xbundle is not None else None
        if port is None or bundle is None or bundle.lacp is None or port.name not in bundle.lacp.members:
            lacp_elsewhere.inc()
            return
        bundle.lacp.received(bundle.lacp.members[port.name], packet, now)

    # BridgeProtocol

    def run(self, now: int) -> None:
        if self._seen_links != self.ofproto.link_changes:
            self.sync(now)
        else:
            self._turn(now, False)

    def wakeup(self, now: int) -> int:
        if self._seen_links != self.ofproto.link_changes:
            return now
        when = now + 3_600_000
        for bundle in self.bundles.values():
            times = (
                bundle.lacp.wakeup(now) if bundle.lacp is not None else None,
                bundle.bond.wakeup() if bundle.bond is not None else None,
                bundle.next_miimon or None,
            )
            when = min(when, *(t for t in times if t is not None), when)
        return when

    def _turn(self, now: int, links: bool) -> None:
        for bundle in self.bundles.values():
            if bundle.lacp is not None:
                bundle.lacp.run(now)
                self._tell_ports(bundle.lacp)
            if bundle.bond is not None:
                self._run_bond(bundle, bundle.bond, now, links)
            if bundle.lacp is not None:
                self._send_lacp(bundle.lacp)

    def _tell_ports(self, lacp: Lacp) -> None:
        """Let ports know whether LACP lets packets over them."""
        for name, member in lacp.members.items():
            port = self.ofproto.ports_by_name.get(name)
            if port is not None:
                set_aggregated(self.ofproto, port, lacp.may_enable(member))

    def _send_lacp(self, lacp: Lacp) -> None:
        for name, pdu in lacp.take_sent():
            port = self.ofproto.ports_by_name.get(name)
            if port is not None and port.up is not None:
                self.ofproto.send_packet(port, frame(pdu, port.up.mac))

    def _run_bond(self, bundle: Bundle, bond: Bond, now: int, links: bool) -> None:
        lacp = bundle.lacp
        interval = bond.settings.miimon_interval
        if not interval or (links and not bundle.next_miimon) or now >= bundle.next_miimon:
            for member in bond.members.values():
                member.up = _has_link(member.aux)
            bundle.next_miimon = now + interval if interval else 0
        for name, member in bond.members.items():
            member.may_enable = lacp is None or lacp.may_enable(lacp.members[name])
        bond.run(now, OFF if lacp is None else lacp.status)
        if now >= bond.next_rebalance and bond.rebalances:
            if bundle.balance is not None:
                bundle.balance.account(bond)
            if bond.rebalance(now):
                log.info("bond %s: moved hashes between members", bond.name)
        events = bond.take_events()
        if CHANGED in events:
            self._bond_changed(bundle, bond, now)
        if LEARN in events and bond.active is not None:
            if lacp is None and bond.settings.mode != BALANCE_TCP:
                self._send_learning_packets(bundle.xbundle, bond)

    def _bond_changed(self, bundle: Bundle, bond: Bond, now: int) -> None:
        """Packets leave through other members: let translations, rules and the datapath know."""
        support = self.ofproto.backer.dp.support
        bond.balanced = bond.may_recirculate and bond.lacp_status == NEGOTIATED
        bond.in_datapath = bond.may_recirculate and bond.settings.lb_output and support.lb_output_action
        if bond.balanced or bond.in_datapath:
            self._balance(bundle, bond, now)
        else:
            self._end_balance(bundle, now)
        self.ofproto.backer.need(RevReason.BOND)

    def _set_recirc_id(self, bond: Bond, now: int) -> None:
        """Give the bond the number with which its packets come back hashed. A bond of mode balance-slb has
        one too, as in Open vSwitch, which shows in `bond/list`; with active-backup it gives it back."""
        dp = self.ofproto.backer.dp
        wanted = bond.settings.mode != ACTIVE_BACKUP and dp.support.recirc
        if bond.recirc_id and not wanted:
            dp.recirc_ids.unref(bond.recirc_id, now)
            bond.recirc_id = 0
        if bond.recirc_id or not wanted:
            return
        flow = Flow()
        flow.in_port = OFPP_NONE
        table = len(self.ofproto.tables) - 1
        state = FrozenState(
            self.ofproto.name, table, freeze_metadata(flow), userdata=f"bond {bond.name}".encode()
        )
        bond.recirc_id = dp.recirc_ids.alloc(state)

    def _balance(self, bundle: Bundle, bond: Bond, now: int) -> None:
        """Have the datapath spread the bond's packets, as the members are now."""
        if bundle.balance is not None:
            bundle.balance.account(bond)
        way = DatapathBuckets if bond.in_datapath else PostRecircRules
        if not isinstance(bundle.balance, way):
            if bundle.balance is not None:
                bundle.balance.close(now)
            bundle.balance = way(self.ofproto, bond.recirc_id)
        bundle.balance.update(bond, now)

    def _end_balance(self, bundle: Bundle, now: int) -> None:
        if bundle.balance is not None:
            bundle.balance.close(now)
            bundle.balance = None

    def _send_learning_packets(self, xbundle: XBundle, bond: Bond) -> None:
        """Tell neighbours where the addresses on other ports are now."""
        for entry in self.ofproto.mac_learning.entries():
            if entry.port is xbundle:
                continue
            member: BondMember | None = bond.active
            if bond.mode != "active-backup":
                member = bond.entry_member(hash_mac(entry.mac, entry.vlan, bond.settings.basis))
            if member is not None:
                port: XPort = member.aux
                if self.ofproto.send_packet(port, rarp(entry.mac, entry.vlan)):
                    bond_learning.inc()
