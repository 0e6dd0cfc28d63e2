"""Connectivity fault management: continuity checks (IEEE 802.1Q-2022, clause 20) as Open vSwitch does them.

A maintenance point sends a CCM each interval and remembers those from which it hears. Every 3.5 intervals it
looks: no CCM from any remote point, one that says it hears nothing (RDI), one of another association or
interval, or one of our own id is a fault. No list of remote points is configured: hearing from one is enough.

Extended mode (its own address, so that it disturbs no standard implementation) has intervals of any ms, ids
of 64 bits, an operational state, and *demand*: traffic that the interface receives stands for CCMs.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.records import dataclass
from vswitch.base.vlog import Vlog
from vswitch.monitor.cfm_packet import (
    CCM_ADDRESS,
    CCM_ADDRESS_EXTENDED,
    INTERVALS,
    MAID,
    Ccm,
    frame,
    interval_code,
)
from vswitch.packet.headers import PacketError

log = Vlog("cfm")

cfm_sent = coverage.counter("cfm_sent")
cfm_received = coverage.counter("cfm_received")
cfm_discarded = coverage.counter("cfm_discarded")

MAX_RMPS: Final = 256
"""Remote maintenance points that are remembered."""
MAX_MPID: Final = 8191
HEALTH_CHECKS: Final = 6
"""Fault checks a health: 6 times 3.5 intervals, 21 CCMs. The first health takes one more."""
HEALTH_CCMS: Final = 21
DEMAND_MIN_INTERVAL: Final = 500
"""ms: what the interval counts as in demand mode at least, for the datapath's counters to come up."""
DEMAND_CCM_INTERVALS: Final = 100
"""Intervals within which one CCM must come in demand mode, whatever else is received."""
RANDOM_VLAN: Final = -1

_limit = RateLimit(60, 20)


class Fault(enum.IntFlag):
    """Reasons, as `cfm_fault_status` names them."""

    RECV = 1
    RDI = 2
    MAID = 4
    LOOPBACK = 8
    OVERFLOW = 16
    OVERRIDE = 32
    INTERVAL = 64


def fault_names(faults: Fault) -> list[str]:
    """`faults` in the words of the database."""
    return [fault.name.lower() for fault in Fault if faults & fault and fault.name]


@dataclass(frozen=True)
class CfmSettings:
    """Interface `cfm_mpid` and `other_config:cfm_*`: `interval` in ms, `vlan` a number or RANDOM_VLAN."""

    mpid: int
    interval: int = 1000
    extended: bool = False
    demand: bool = False
    opup: bool = True
    vlan: int = 0
    pcp: int = 0
    check_tnl_key: bool = False


def parse_settings(
    mpid: int | None, other_config: Mapping[str, str], check_tnl_key: bool = False
) -> tuple[CfmSettings | None, list[str]]:
    """The columns as settings, None where CFM is not enabled; and what is wrong in them."""
    if mpid is None:
        return None, []
    errors: list[str] = []

    def number(key: str, default: int, low: int, high: int) -> int:
        text = other_config.get(key)
        if text is None:
            return default
        if text.isascii() and text.isdigit() and low <= int(text) <= high:
            return int(text)
        errors.append(f'{key}="{text}" is no number from {low} to {high}, {default} is used')
        return default

    extended = other_config.get("cfm_extended", "").lower() == "true"
    if not mpid or (not extended and not 1 <= mpid <= MAX_MPID):
        why = f"is not from 1 to {MAX_MPID}, CFM is off (cfm_extended takes any but 0)"
        errors.append(f"cfm_mpid {mpid} {why}")
        return None, errors
    vlan = RANDOM_VLAN if other_config.get("cfm_ccm_vlan") == "random" else number("cfm_ccm_vlan", 0, 1, 4095)
    demand = other_config.get("cfm_demand", "").lower() == "true"
    if demand and not extended:
        errors.append("cfm_demand needs cfm_extended, no demand mode")
    settings = CfmSettings(
        mpid=mpid,
        interval=number("cfm_interval", 1000, 1, 65535 if extended else 600_000),
        extended=extended,
        demand=demand and extended,
        opup=other_config.get("cfm_opstate", "up").lower() == "up",
        vlan=vlan,
        pcp=number("cfm_ccm_pcp", 0, 1, 7),
        check_tnl_key=check_tnl_key,
    )
    return settings, errors


@final
class RemoteMp:
    """A maintenance point that we hear from."""

    __slots__ = ("healthy", "heard", "last_rx", "mpid", "opup", "rdi", "seq")

    def __init__(self, mpid: int) -> None:
        self.mpid: int = mpid
        self.opup: bool = True
        self.heard: bool = False
        """Whether it sent since the last check."""
        self.rdi: bool = False
        self.seq: int = 0
        """The sequence number that comes next; 0 when it isn't known."""
        self.healthy: int = 0
        """Healthy CCMs since the last health."""
        self.last_rx: int = 0


@final
class CfmSession:
    """One maintenance point, on interface `name`. `changed` is set whenever the answers may differ from
    before; the reader clears it."""

    def __init__(self, name: str, settings: CfmSettings, now: int) -> None:
        self.name: str = name
        self.settings: CfmSettings = settings
        self.rmps: dict[int, RemoteMp] = {}
        self.fault: Fault = Fault(0)
        self.override: bool | None = None
        self.remote_opup: bool = True
        self.health: int | None = None
        self.flap_count: int = 0
        self.changed: bool = True
        self.seq: int = random.getrandbits(32)
        self.remote_mpids: list[int] = []
        """Those heard from before the last check."""
        self._faults_seen: Fault = Fault(0)
        """What CCMs since the last check were wrong about."""
        self._checks: int = -1
        self._rx_packets: int = -1
        self._rx_ccms: int = 0
        self._ccm_until: int = 0
        self._next_tx: int = now
        self._next_check: int = now
        self._restart(now)

    def _restart(self, now: int) -> None:
        interval = self.interval
        self._next_tx = now + interval
        self._next_check = now + self.check_interval
        self._ccm_until = now + DEMAND_CCM_INTERVALS * interval

    @property
    def interval(self) -> int:
        """ms between CCMs."""
        if self.settings.extended:
            return self.settings.interval
        return INTERVALS[interval_code(self.settings.interval)]

    @property
    def check_interval(self) -> int:
        """ms between looks for faults: 3.5 intervals."""
        interval = max(self.interval, DEMAND_MIN_INTERVAL) if self.settings.demand else self.interval
        return interval * 7 // 2

    def configure(self, settings: CfmSettings, now: int) -> None:
        """Take new settings. A new id, mode or interval starts the checks anew."""
        old = self.settings
        if settings == old:
            return
        self.settings = settings
        kept = (settings.mpid, settings.interval, settings.extended, settings.demand)
        if kept != (old.mpid, old.interval, old.extended, old.demand):
            self._restart(now)
        self.changed = True

    def set_override(self, fault: bool | None) -> None:
        """`cfm/set-fault`: what `faults` says from now on; None for what is true."""
        before = bool(self.faults)
        self.override = fault
        self._count_flap(before)
        self.changed = True

    # Packets.

    def takes(self, dl_dst: int, tun_id: int) -> bool:
        """Whether a packet of CFM's Ethernet type is this session's."""
        if self.settings.check_tnl_key and tun_id != 0:
            return False
        return dl_dst == (CCM_ADDRESS_EXTENDED if self.settings.extended else CCM_ADDRESS)

    def receive(self, payload: bytes, now: int) -> None:
        """Process what is behind the Ethernet and VLAN headers of a packet that `takes` accepted."""
        try:
            ccm = Ccm.unpack(payload)
        except PacketError as e:
            cfm_discarded.inc()
            log.info_rl(_limit, now, "%s: discarded CFM packet: %s", self.name, e)
            return
        cfm_received.inc()
        self._rx_ccms += 1
        self._ccm_until = now + DEMAND_CCM_INTERVALS * self.interval
        if ccm.maid != MAID:
            self._faults_seen |= Fault.MAID
            log.warn_rl(_limit, now, "%s: received CCM from unexpected MAID", self.name)
            return
        self._count(ccm, now)

    def _count(self, ccm: Ccm, now: int) -> None:
        extended = self.settings.extended
        mpid = ccm.mpid64 if extended else ccm.mpid
        faults = Fault(0)
        mine = 0 if extended and self.settings.interval not in INTERVALS else interval_code(self.interval)
        if ccm.interval != mine:
            faults |= Fault.INTERVAL
            log.warn_rl(_limit, now, "%s: received a CCM with an unexpected interval (%d) from RMP %d",
                        self.name, ccm.interval, mpid)  # fmt: skip
        elif extended and mine == 0 and ccm.interval_ms != self.settings.interval:
            faults |= Fault.INTERVAL
            log.warn_rl(_limit, now, "%s: received a CCM with an unexpected extended interval (%dms) "
                        "from RMP %d", self.name, ccm.interval_ms, mpid)  # fmt: skip
        rmp = self.rmps.get(mpid)
        if mpid == self.settings.mpid:
            faults |= Fault.LOOPBACK
            log.warn_rl(_limit, now, "%s: received CCM with local MPID %d", self.name, mpid)
        elif rmp is None and len(self.rmps) >= MAX_RMPS:
            faults |= Fault.OVERFLOW
            log.warn_rl(_limit, now, "%s: dropped CCM with MPID %d: %d are known already", self.name, mpid,
                        len(self.rmps))  # fmt: skip
        self._faults_seen |= faults
        if faults & (Fault.LOOPBACK | Fault.OVERFLOW):
            return
        if rmp is None:
            rmp = self.rmps[mpid] = RemoteMp(mpid)
            self.changed = True
        in_order = rmp.seq in (0, ccm.seq)
        if not in_order:
            log.dbg_rl(_limit, now, "%s: CCM %d from RMP %d is out of sequence, %d was expected",
                       self.name, ccm.seq, mpid, rmp.seq)  # fmt: skip
        if in_order and not faults and not ccm.rdi:
            rmp.healthy += 1
        rmp.seq = (ccm.seq + 1) & 0xFFFFFFFF
        rmp.heard = True
        rmp.rdi = ccm.rdi
        rmp.opup = not (extended and ccm.opdown)
        rmp.last_rx = now

    # Time.

    def run(self, rx_packets: int, now: int) -> None:
        """Let time pass. `rx_packets` is what the interface has received in all."""
        if now < self._next_check:
            return
        self._next_check = now + self.check_interval
        before = bool(self.faults)
        was = (self.fault, self.remote_opup, self.remote_mpids)
        demand = self._by_demand(rx_packets, now)
        faults = self._faults_seen
        self._faults_seen = Fault(0)
        if not demand:
            self._check_health()
        for rmp in list(self.rmps.values()):
            if not rmp.heard and not demand:
                log.info_rl(_limit, now, "%s: Received no CCM from RMP %d in the last %dms", self.name,
                            rmp.mpid, now - rmp.last_rx)  # fmt: skip
                del self.rmps[rmp.mpid]
                continue
            rmp.heard = False
            if rmp.rdi:
                faults |= Fault.RDI
        if not self.rmps:
            faults |= Fault.RECV
        if faults != self.fault:
            log.info_rl(_limit, now, "%s: CFM faults changed from [%s] to [%s].", self.name,
                        " ".join(fault_names(self.fault)), " ".join(fault_names(faults)))  # fmt: skip
        self.fault = faults
        self.remote_opup = all(rmp.opup for rmp in self.rmps.values())
        self.remote_mpids = sorted(self.rmps)
        self._count_flap(before)
        if (self.fault, self.remote_opup, self.remote_mpids) != was:
            self.changed = True

    def _by_demand(self, rx_packets: int, now: int) -> bool:
        """Whether the interface's traffic stands for CCMs this time."""
        busy = self._rx_packets >= 0 and rx_packets - self._rx_packets > self._rx_ccms
        self._rx_packets = rx_packets
        self._rx_ccms = 0
        return self.settings.demand and busy and len(self.rmps) == 1 and now < self._ccm_until

    def _check_health(self) -> None:
        self._checks += 1
        if self._checks < HEALTH_CHECKS:
            return
        self._checks = 0
        old = self.health
        if len(self.rmps) > 1:
            self.health = None
        elif not self.rmps:
            self.health = 0
        else:
            (rmp,) = self.rmps.values()
            # The last of 21 may come behind the check.
            self.health = min(rmp.healthy * 200 // (2 * HEALTH_CCMS - 1), 100)
        for rmp in self.rmps.values():
            rmp.healthy = 0
        if self.health != old:
            self.changed = True

    def _count_flap(self, before: bool) -> None:
        if bool(self.faults) is not before:
            self.flap_count += 1

    def wakeup(self) -> int:
        """Clock ms at which `run` or `packet` has something to do."""
        return min(self._next_tx, self._next_check)

    def packet(self, eth_src: int, now: int) -> bytes | None:
        """The frame that is due at `now`, None if none is. `eth_src` is the interface's own address."""
        if now < self._next_tx:
            return None
        self._next_tx = now + self.interval
        settings = self.settings
        self.seq = (self.seq + 1) & 0xFFFFFFFF
        rdi = not self.rmps
        if settings.extended:
            code = interval_code(settings.interval) if settings.interval in INTERVALS else 0
            ccm = Ccm(
                self.seq, (settings.mpid ^ settings.mpid >> 16) & 0x1FFF, code, rdi,
                interval_ms=0 if code else settings.interval, mpid64=settings.mpid, opdown=not settings.opup,
            )  # fmt: skip
        else:
            ccm = Ccm(self.seq, settings.mpid, interval_code(settings.interval), rdi)
        vlan = random.randint(1, 4094) if settings.vlan == RANDOM_VLAN else settings.vlan
        cfm_sent.inc()
        return frame(ccm, settings.extended, eth_src, vlan, settings.pcp)

    # Answers.

    @property
    def faults(self) -> Fault:
        """Why the interface is at fault, 0 if it isn't: `cfm_fault`, `cfm_fault_status`."""
        if self.override is not None:
            return Fault.OVERRIDE if self.override else Fault(0)
        return self.fault

    def show(self, now: int) -> str:
        """`cfm/show`'s lines for the session, without its heading."""
        settings = self.settings
        words = [word for word, said in (
            ("extended", settings.extended), ("fault_override", self.override is not None),
        ) if said]  # fmt: skip
        lines = [f"MPID {settings.mpid}:" + "".join(f" {word}" for word in words)]
        if self.faults:
            lines.append(f"  fault: {' '.join(fault_names(self.faults))}")
        lines += [
            f"  average health: {'undefined' if self.health is None else self.health}",
            f"  opstate: {_opstate(settings.opup)}",
            f"  remote_opstate: {_opstate(self.remote_opup)}",
            f"  interval: {self.interval}ms",
            f"  next CCM tx: {self._next_tx - now}ms",
            f"  next fault check: {self._next_check - now}ms",
        ]
        for rmp in self.rmps.values():
            lines += [
                f"Remote MPID {rmp.mpid}",
                f"  recv since check: {'true' if rmp.heard else 'false'}",
                f"  opstate: {_opstate(rmp.opup)}",
            ]
        return "\n".join(lines) + "\n"


def _opstate(up: bool) -> str:
    return "up" if up else "down"
