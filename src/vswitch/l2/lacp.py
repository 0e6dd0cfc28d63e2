"""LACP: which links of a bundle lead to one partner (IEEE 802.1AX-2014, 6.4).

A machine without I/O: PDUs, links and the time (`now`, ms) go in, PDUs come out of `take_sent`. As in Open
vSwitch, selection and multiplexing are one step: every member whose partner is that of the best one is
attached. `Lacp.may_enable` is what a bond asks.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.l2 import lacpdu
from vswitch.l2.lacpdu import NOBODY, LacpInfo, LacpPdu

FAST_PERIODIC: Final = 1_000
SLOW_PERIODIC: Final = 30_000
TIMEOUT_FACTOR: Final = 3
"""Periods without a PDU until a partner is given up (6.4.4)."""

CURRENT: Final = "current"
EXPIRED: Final = "expired"
DEFAULTED: Final = "defaulted"

OFF: Final = "off"
CONFIGURED: Final = "configured"
NEGOTIATED: Final = "negotiated"

_COMPARED: Final = lacpdu.ACTIVITY | lacpdu.TIMEOUT | lacpdu.SYNCHRONIZED | lacpdu.AGGREGATION
"""The states whose change is announced at once (6.4.16)."""


@final
class LacpMember:
    """A port of the bundle. `status` is that of what is known of the partner."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port_id: int = 0
        self.port_priority: int = 0xFFFF
        self.key: int = 0
        self.carrier: bool | None = None
        """Whether there was a link last; None: nobody has looked yet."""
        self.status: str = DEFAULTED
        self.attached: bool = False
        self.partner: LacpInfo = NOBODY
        self.told: LacpInfo = NOBODY
        """What the partner knows of us, from its PDUs or ours."""
        self.expires: int | None = None
        self.next_tx: int = 0
        self.tx_pdus: int = 0
        self.rx_pdus: int = 0
        self.bad_pdus: int = 0
        self.marker_pdus: int = 0
        self.expired_count: int = 0
        self.defaulted_count: int = 0
        self.carrier_count: int = 0


@final
class Lacp:
    """A bundle that speaks LACP."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.active = False
        self.fast = False
        self.sys_id = 0
        self.sys_priority = 0xFFFE
        self.fallback_ab = False
        self.negotiated = False
        self.members: dict[str, LacpMember] = {}
        self._out: list[tuple[str, LacpPdu]] = []

    # Configuration.

    def configure(self, active: bool, fast: bool, sys_id: int, sys_priority: int, fallback_ab: bool) -> None:
        """Change what holds for all members."""
        self.fast = fast
        self.sys_priority = sys_priority
        if (active, sys_id) != (self.active, self.sys_id):
            self.active = active
            self.sys_id = sys_id
        self.fallback_ab = fallback_ab
        self._update_attached()

    def set_member(self, name: str, port_id: int, port_priority: int, key: int, now: int) -> LacpMember:
        """Make or change a member; `key` 0: the bundle's own."""
        member = self.members.get(name)
        if member is None:
            member = self.members[name] = LacpMember(name)
            member.next_tx = now
            if self.active:
                self._set_expired(member, now)
        elif (member.port_id, member.port_priority, member.key) != (port_id, port_priority, key):
            if self.active or member.status == CURRENT:
                self._set_expired(member, now)
        member.port_id = port_id
        member.port_priority = port_priority
        member.key = key
        self._update_attached()
        return member

    def remove_member(self, name: str) -> None:
        """Forget a member."""
        if self.members.pop(name, None) is not None:
            self._update_attached()

    def set_carrier(self, member: LacpMember, carrier: bool, now: int) -> None:
        """A member's link went up or down: what was known of its partner is in doubt."""
        before, member.carrier = member.carrier, carrier
        if before is None or before == carrier:
            return
        member.carrier_count += 1
        if member.status == CURRENT or self.active:
            self._set_expired(member, now)
            self._update_attached()

    # What a bond asks.

    @property
    def status(self) -> str:
        """NEGOTIATED if some partner answers or may yet, else CONFIGURED."""
        return NEGOTIATED if self.negotiated else CONFIGURED

    def may_enable(self, member: LacpMember) -> bool:
        """Whether packets may go over `member`."""
        if member.status == DEFAULTED and self.fallback_ab:
            return True
        return member.attached and bool(member.partner.state & lacpdu.SYNCHRONIZED)

    def actor(self, member: LacpMember) -> LacpInfo:
        """What we say of `member`."""
        state = 0
        if self.active:
            state |= lacpdu.ACTIVITY
        if self.fast:
            state |= lacpdu.TIMEOUT
        if len(self.members) > 1:
            state |= lacpdu.AGGREGATION
        if member.attached:
            state |= lacpdu.SYNCHRONIZED
        if member.attached or not self.negotiated:
            state |= lacpdu.COLLECTING | lacpdu.DISTRIBUTING
        if member.status == DEFAULTED:
            state |= lacpdu.DEFAULTED
        elif member.status == EXPIRED:
            state |= lacpdu.EXPIRED
        return LacpInfo(
            self.sys_priority,
            self.sys_id,
            member.key or self.key,
            member.port_priority,
            member.port_id,
            state,
        )

    @property
    def key(self) -> int:
        """The aggregation key of members without one of their own."""
        first = next(iter(self.members.values()), None)
        return 0 if first is None else first.key or first.port_id

    # PDUs and time.

    def received(self, member: LacpMember, packet: bytes, now: int) -> None:
        """A slow protocol's frame came in at `member`."""
        member.rx_pdus += 1
        if lacpdu.subtype(packet) == lacpdu.SUBTYPE_MARKER:
            member.marker_pdus += 1
            return
        pdu = lacpdu.from_frame(packet)
        if pdu is None:
            member.bad_pdus += 1
            return
        changed = member.status != CURRENT or member.partner != pdu.actor
        member.status = CURRENT
        member.expires = now + TIMEOUT_FACTOR * (FAST_PERIODIC if self.fast else SLOW_PERIODIC)
        member.told = pdu.partner
        member.partner = pdu.actor
        if changed:
            self._update_attached()

    def run(self, now: int) -> None:
        """Give up partners that are silent, and say what is to be said."""
        changed = False
        for member in self.members.values():
            if member.expires is not None and now >= member.expires:
                changed = True
                if member.status == CURRENT:
                    member.expired_count += 1
                    self._set_expired(member, now)
                else:
                    member.defaulted_count += 1
                    member.status = DEFAULTED
                    member.partner = NOBODY
                    member.expires = None
        if changed:
            self._update_attached()
        for member in self.members.values():
            if not self._may_send(member):
                continue
            actor = self.actor(member)
            if now < member.next_tx and _same(actor, member.told):
                continue
            self._out.append((member.name, LacpPdu(actor, member.partner)))
            member.tx_pdus += 1
            member.told = actor
            fast = member.partner.state & lacpdu.TIMEOUT
            member.next_tx = now + (FAST_PERIODIC if fast else SLOW_PERIODIC)

    def wakeup(self, now: int) -> int | None:
        """Clock ms at which `run` has something to do next."""
        when: int | None = None
        for member in self.members.values():
            times = [] if member.expires is None else [member.expires]
            if self._may_send(member):
                times.append(member.next_tx if _same(self.actor(member), member.told) else now)
            when = min([*times, *([] if when is None else [when])], default=None)
        return when

    def take_sent(self) -> list[tuple[str, LacpPdu]]:
        """(member, PDU) to be sent, oldest first."""
        out, self._out = self._out, []
        return out

    def _may_send(self, member: LacpMember) -> bool:
        return self.active or member.status != DEFAULTED

    def _set_expired(self, member: LacpMember, now: int) -> None:
        member.status = EXPIRED
        p = member.partner
        state = (p.state | lacpdu.TIMEOUT) & ~lacpdu.SYNCHRONIZED
        member.partner = LacpInfo(p.sys_priority, p.sys_id, p.key, p.port_priority, p.port_id, state)
        member.expires = now + TIMEOUT_FACTOR * FAST_PERIODIC
        # Its partner, if there is one, is to hear of us at once.
        member.next_tx = min(member.next_tx, now)

    def _update_attached(self) -> None:
        """Attach the members that lead where the best of them leads: the port with the best priority as the
        system with the better priority has it (6.4.14)."""
        lead: LacpMember | None = None
        for member in self.members.values():
            member.attached = member.status == DEFAULTED and self.fallback_ab
            if member.status == DEFAULTED or member.partner.sys_id == self.sys_id:
                continue
            if lead is None or self._rank(member) < self._rank(lead):
                lead = member
        self.negotiated = lead is not None
        if lead is None:
            return
        its = lead.partner
        for member in self.members.values():
            p = member.partner
            member.attached = (
                member.status != DEFAULTED
                and p.sys_id != self.sys_id
                and (p.sys_id, p.key) == (its.sys_id, its.key)
            )

    def _rank(self, member: LacpMember) -> tuple[int, int, int, int]:
        p = member.partner
        if not p.sys_id:
            # Nobody has been heard there yet: no reason to leave those alone who have been.
            return (1 << 16, 0, member.port_priority, member.port_id)
        ours = (self.sys_priority, self.sys_id)
        if ours < (p.sys_priority, p.sys_id):
            return (*ours, member.port_priority, member.port_id)
        return (p.sys_priority, p.sys_id, p.port_priority, p.port_id)


def _same(a: LacpInfo, b: LacpInfo) -> bool:
    """Whether a partner that takes us for `b` need not be informed that we are `a` (6.4.16)."""
    return (
        (a.state ^ b.state) & _COMPARED == 0
        and (a.port_id, a.port_priority, a.sys_id, a.sys_priority, a.key)
        == (b.port_id, b.port_priority, b.sys_id, b.sys_priority, b.key)
    )  # fmt: skip
