"""`bond/...` and `lacp/...`: bonds shown and steered (ovs-vswitchd(8))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, final

from vswitch.base.unixctl import CommandError, Commands
from vswitch.flow.values import format_mac, parse_mac
from vswitch.l2 import lacpdu
from vswitch.l2.bond import BALANCE_SLB, N_HASHES, Bond, BondMember, hash_mac
from vswitch.l2.lacp import Lacp, LacpMember
from vswitch.l2.lacpdu import LacpInfo

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.commands.bridges import Bridges
    from vswitch.ofproto_dpif.protocols.bonds import Bundle

NUMBER: Final = re.compile(r"\s*([-+]?\d+)")
ADDRESS: Final = re.compile(r"\s*((?:[0-9a-fA-F]{1,2}:){5}[0-9a-fA-F]{1,2})")
"""What a word may begin with: what follows is not looked at, as by scanf(3)."""


def register(ofprotos: Bridges, commands: Commands) -> None:
    """Register the commands for `ofprotos`."""
    c = _Bonds(ofprotos)
    commands.register_all((
        ("bond/list", "", 0, 0, c.bond_list),
        ("bond/show", "[port]", 0, 1, c.show),
        ("bond/migrate", "port hash member", 3, 3, c.migrate),
        ("bond/set-active-member", "port member", 2, 2, c.set_active),
        ("bond/enable-member", "port member", 2, 2, c.enable),
        ("bond/disable-member", "port member", 2, 2, c.disable),
        ("bond/hash", "mac [vlan] [basis]", 1, 3, c.hash),
        ("lacp/show", "[port]", 0, 1, c.lacp_show),
        ("lacp/show-stats", "[port]", 0, 1, c.lacp_stats),
    ))


def _number(text: str, what: str) -> int:
    """The number that `text` begins with, modulo 2^32. CommandError."""
    found = NUMBER.match(text)
    if found is None:
        raise CommandError(f"invalid {what}")
    return int(found[1]) & 0xFFFFFFFF


@final
class _Bonds:
    def __init__(self, ofprotos: Bridges) -> None:
        self._ofprotos = ofprotos

    def _bundles(self) -> list[Bundle]:
        bridges = [b.bonds for b in self._ofprotos.all_ofproto_dpifs.values() if b.bonds is not None]
        return [bundle for bridge in bridges for bundle in bridge.bundles.values()]

    def _all_bonds(self) -> list[Bond]:
        return [b.bond for b in self._bundles() if b.bond is not None]

    def _bond(self, name: str) -> Bond:
        for bond in self._all_bonds():
            if bond.name == name:
                return bond
        raise CommandError("no such bond")

    def _member(self, bond: Bond, name: str) -> BondMember:
        if name not in bond.members:
            raise CommandError("no such member")
        return bond.members[name]

    def bond_list(self, _args: list[str]) -> str:
        text = "bond\ttype\trecircID\tmembers\n"
        for bond in self._all_bonds():
            text += f"{bond.name}\t{bond.settings.mode}\t{bond.recirc_id}\t{', '.join(bond.members)}\n"
        return text

    def show(self, args: list[str]) -> str:
        bonds = [self._bond(args[0])] if args else self._all_bonds()
        now = self._ofprotos.clock.now()
        for bundle in self._bundles():
            if bundle.bond in bonds and bundle.bond is not None and bundle.balance is not None:
                bundle.balance.account(bundle.bond)
        return "".join(_show(bond, now) for bond in bonds)

    def migrate(self, args: list[str]) -> str:
        bond = self._bond(args[0])
        if bond.settings.mode != BALANCE_SLB:
            raise CommandError("not an SLB bond")
        if not (args[1].isascii() and args[1].isdigit()):
            raise CommandError("bad hash")
        value = int(args[1]) % N_HASHES
        member = self._member(bond, args[2])
        if not member.enabled:
            raise CommandError("cannot migrate to disabled member")
        bond.migrate(value, member)
        return "migrated"

    def set_active(self, args: list[str]) -> str:
        bond = self._bond(args[0])
        member = self._member(bond, args[1])
        if not member.enabled:
            raise CommandError("cannot make disabled member active")
        if bond.active is member:
            return "no change"
        bond.set_active(member)
        return "done"

    def enable(self, args: list[str]) -> str:
        bond = self._bond(args[0])
        bond.set_enabled(self._member(bond, args[1]), True)
        return "enabled"

    def disable(self, args: list[str]) -> str:
        bond = self._bond(args[0])
        bond.set_enabled(self._member(bond, args[1]), False)
        return "disabled"

    def hash(self, args: list[str]) -> str:
        vlan = 0
        if len(args) > 1:
            vlan = _number(args[1], "vlan")
        basis = 0
        if len(args) > 2:
            basis = _number(args[2], "basis")
        address = ADDRESS.match(args[0])
        mac = None if address is None else parse_mac(address[1])
        if mac is None:
            raise CommandError("invalid mac")
        return str(hash_mac(mac, vlan, basis))

    def _lacps(self, args: list[str]) -> list[Lacp]:
        found = [b.lacp for b in self._bundles() if b.lacp is not None]
        if args:
            found = [lacp for lacp in found if lacp.name == args[0]]
            if not found:
                raise CommandError("no such lacp object")
        return found

    def lacp_show(self, args: list[str]) -> str:
        return "".join(_show_lacp(lacp) for lacp in self._lacps(args))

    def lacp_stats(self, args: list[str]) -> str:
        return "".join(_show_stats(lacp) for lacp in self._lacps(args))


def _show(bond: Bond, now: int) -> str:
    settings = bond.settings
    recirc = f"yes, Recirc-ID : {bond.recirc_id}" if bond.may_recirculate else "no, Recirc-ID : -1"
    lb_output = f"enabled, bond-id: {bond.recirc_id}" if bond.in_datapath else "disabled, bond-id: -1"
    text = (
        f"---- {bond.name} ----\n"
        f"bond_mode: {settings.mode}\n"
        f"bond may use recirculation: {recirc}\n"
        f"bond-hash-basis: {settings.basis}\n"
        f"lb_output action: {lb_output}\n"
    )
    if settings.mode == BALANCE_SLB:
        text += f"all members active: {_bool(settings.all_members_active)}\n"
    text += f"updelay: {settings.updelay} ms\ndowndelay: {settings.downdelay} ms\n"
    if bond.rebalances:
        text += f"next rebalance: {bond.next_rebalance - now} ms\n"
    text += f"lacp_status: {bond.lacp_status}\nlacp_fallback_ab: {_bool(settings.lacp_fallback_ab)}\n"
    primary = settings.primary or "<none>"
    if settings.primary and settings.primary not in bond.members:
        primary += " (no such member)"
    text += f"active-backup primary: {primary}\n"
    active = bond.active
    mac, name = (active.mac, active.name) if active is not None else (0, "none")
    text += f"active member mac: {format_mac(mac)}({name})\n"
    for member in bond.members.values():
        text += f"\nmember {member.name}: {'enabled' if member.enabled else 'disabled'}\n"
        if member is active:
            text += "  active member\n"
        if member.delay_expires is not None:
            which = "downdelay" if member.enabled else "updelay"
            text += f"  {which} expires in {member.delay_expires - now} ms\n"
        text += f"  may_enable: {_bool(member.up and member.may_enable)}\n"
        if bond.rebalances:
            for value, entry in enumerate(bond.entries):
                if entry.member is member and entry.tx_bytes >= 1024:
                    text += f"  hash {value}: {entry.tx_bytes // 1024} kB load\n"
    return text + "\n"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _show_lacp(lacp: Lacp) -> str:
    text = f"---- {lacp.name} ----\n  status: {'active' if lacp.active else 'passive'}"
    text += " negotiated\n" if lacp.negotiated else "\n"
    text += (
        f"  sys_id: {format_mac(lacp.sys_id)}\n"
        f"  sys_priority: {lacp.sys_priority}\n"
        f"  aggregation key: {lacp.key if lacp.members else 'none'}\n"
        f"  lacp_time: {'fast' if lacp.fast else 'slow'}\n"
    )
    for name in sorted(lacp.members):
        text += _show_member(lacp, lacp.members[name])
    return text


def _show_member(lacp: Lacp, member: LacpMember) -> str:
    return (
        f"\nmember: {member.name}: {member.status} {'attached' if member.attached else 'detached'}\n"
        f"  port_id: {member.port_id}\n"
        f"  port_priority: {member.port_priority}\n"
        f"  may_enable: {_bool(lacp.may_enable(member))}\n"
        f"\n{_show_info('actor', lacp.actor(member))}\n{_show_info('partner', member.partner)}"
    )


def _show_info(who: str, info: LacpInfo) -> str:
    state = "".join(f" {name}" for i, name in enumerate(lacpdu.STATE_NAMES) if info.state >> i & 1)
    return (
        f"  {who} sys_id: {format_mac(info.sys_id)}\n"
        f"  {who} sys_priority: {info.sys_priority}\n"
        f"  {who} port_id: {info.port_id}\n"
        f"  {who} port_priority: {info.port_priority}\n"
        f"  {who} key: {info.key}\n"
        f"  {who} state:{state}\n"
    )


def _show_stats(lacp: Lacp) -> str:
    text = f"---- {lacp.name} statistics ----\n"
    for name in sorted(lacp.members):
        m = lacp.members[name]
        text += (
            f"\nmember: {name}:\n"
            f"  TX PDUs: {m.tx_pdus}\n"
            f"  RX PDUs: {m.rx_pdus}\n"
            f"  RX Bad PDUs: {m.bad_pdus}\n"
            f"  RX Marker Request PDUs: {m.marker_pdus}\n"
            f"  Link Expired: {m.expired_count}\n"
            f"  Link Defaulted: {m.defaulted_count}\n"
            f"  Carrier Status Changed: {m.carrier_count}\n"
        )
    return text
