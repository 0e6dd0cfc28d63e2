"""Fail-open: without a working controller for long enough, the bridge forwards by itself.

ovs-vswitchd.conf.db(5), Bridge:fail_mode "standalone". After three probe intervals (time to notice
silence, to wait for the probe's answer, and to connect again) all flows go, and one above all others
does NORMAL until a controller has taken the switch in its charge.
"""

from __future__ import annotations

import random
from typing import Final, Protocol, final

from vswitch.base import coverage
from vswitch.base.clock import NEVER
from vswitch.base.vlog import Vlog
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.ofproto.ofproto import Ofproto
from vswitch.ofproto.rule import Rule
from vswitch.openflow.actions import Actions, Controller, Output
from vswitch.openflow.constants import OFPP_LOCAL, OFPP_NORMAL, OFPR_NO_MATCH
from vswitch.openflow.messages.packet import PacketIn
from vswitch.vconn.connection import Connection
from vswitch.vconn.settings import DEFAULT_INACTIVITY_PROBE_MS

log: Final = Vlog("fail_open")
_IN_PORT: Final = by_name("in_port")

FAIL_OPEN_PRIORITY: Final = 0xF0F0F0
"""Above every flow of a controller (16 bits) and of in-band control."""
BOGUS_INTERVAL_MS: Final = 2000
STILL_INTERVAL_MS: Final = 60_000
fail_open_entered: Final = coverage.counter("fail_open_entered")

_NORMAL: Final[Actions] = (Output(OFPP_NORMAL),)
_NORMAL_AND_TELL: Final[Actions] = (Output(OFPP_NORMAL), Controller(max_len=0xFFFF, reason=OFPR_NO_MATCH))


class Owner(Protocol):
    """What is seen here of the `Controllers`."""

    ofproto: Ofproto

    def primaries(self) -> list[Connection]:
        """The connections to primary controllers, connected or not."""

    def any_connected(self) -> bool:
        """Whether a primary controller is connected."""

    def failure_duration(self, now: int) -> int:
        """ms for which no primary controller has worked."""

    def flush_flows(self) -> None:
        """Take all flows, groups and meters away."""


@final
class FailOpen:
    """The state of one bridge in mode standalone with controllers."""

    def __init__(self, controllers: Owner) -> None:
        self._controllers = controllers
        self._rule: Rule | None = None
        self._next_bogus: int = NEVER
        self._last_disconnected: int = 0

    @property
    def active(self) -> bool:
        """Whether the bridge is forwarding by itself."""
        return self._rule is not None

    def _trigger(self) -> int:
        """ms without a working controller after which to fail open."""
        probes = [c.settings.inactivity_probe for c in self._controllers.primaries()]
        return 3 * (max(probes, default=0) or DEFAULT_INACTIVITY_PROBE_MS)

    def run(self, now: int) -> None:
        """Fail open, or recover, if it is time."""
        failed = self._controllers.failure_duration(now)
        if self._rule is None:
            if failed >= self._trigger():
                self._enter(failed, now)
            return
        if not failed:
            self.recover(now)
            return
        if failed >= self._last_disconnected + STILL_INTERVAL_MS:
            log.info(
                "Still in fail-open mode after %d seconds disconnected from controller", failed // 1000
            )
            self._last_disconnected = failed
        self._tell(now)

    def _enter(self, failed: int, now: int) -> None:
        fail_open_entered.inc()
        log.warn(
            "Could not connect to controller (or switch failed controller's post-connection admission "
            "control policy) for %d seconds, failing open",
            failed // 1000,
        )
        self._last_disconnected = failed
        self._controllers.flush_flows()
        self._install(_NORMAL, now)

    def _install(self, actions: Actions, now: int) -> None:
        tables = self._controllers.ofproto.tables
        if self._rule is not None:
            tables.remove(self._rule)
        rule = self._rule = Rule(Match(), FAIL_OPEN_PRIORITY, 0, actions, now=now)
        rule.hidden = True
        rule.readonly = True
        tables.insert(rule)

    def _tell(self, now: int) -> None:
        """Give a controller that is connected but does nothing yet reason to do something: packets
        that match no flow of its own, made up if none come."""
        connected = self._controllers.any_connected()
        wanted = _NORMAL_AND_TELL if connected else _NORMAL
        assert self._rule is not None
        if self._rule.actions != wanted:
            self._install(wanted, now)
        if not connected:
            self._next_bogus = NEVER
        elif self._next_bogus == NEVER:
            self._next_bogus = now + BOGUS_INTERVAL_MS
        elif now >= self._next_bogus:
            self._next_bogus = now + BOGUS_INTERVAL_MS
            packet = _bogus_packet()
            metadata = Match()
            metadata.set(_IN_PORT, OFPP_LOCAL)
            pin = PacketIn(packet, len(packet), OFPR_NO_MATCH, metadata)
            self._controllers.ofproto.connmgr.send_packet_in(pin, 0xFFFF, 0, now)

    def recover(self, now: int) -> None:
        """Leave the forwarding to controllers again."""
        if self._rule is None:
            return
        log.warn("No longer in fail-open mode")
        self._controllers.ofproto.tables.remove(self._rule)
        self._rule = None
        self._next_bogus = NEVER

    def deadline(self, now: int) -> int:
        """Clock ms at which `run` has something to do though nothing happened."""
        failed = self._controllers.failure_duration(now)
        if self._rule is None:
            return now + max(self._trigger() - failed, 0)
        return min(self._next_bogus, now + STILL_INTERVAL_MS)


def _bogus_packet() -> bytes:
    """A reverse ARP request of an address that nobody has (RFC 903)."""
    mac = bytes((0x00, 0x23, 0x20)) + random.getrandbits(24).to_bytes(3, "big")
    arp = b"\x00\x01\x08\x00\x06\x04\x00\x03" + mac + bytes(4) + mac + bytes(4)
    return (b"\xff" * 6 + mac + b"\x80\x35" + arp).ljust(60, b"\0")
