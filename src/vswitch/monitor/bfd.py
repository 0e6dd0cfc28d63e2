"""A BFD session (RFC 5880, asynchronous mode, no authentication, no echo; RFC 5881 over one hop).

The peers send control packets at the slower of what one wants to send and the other is willing to receive;
who hears nothing for the detection time takes the session down. `BfdSettings` has what Open vSwitch adds:

- *decay*: with no traffic on the interface but BFD's own, the session asks for the slower `decay_min_rx`;
- *forwarding_if_rx*: traffic received shows that the interface forwards, although control packets are
  late, provided that one came within 100 times `min_rx`;
- *concatenated path down*: told to the peer, which then forwards nothing this way although the session is up.

Changes of the intervals are announced by a poll sequence (section 6.5) and take effect when it ends (6.8.3).
Intervals are in ms here, in us on the wire.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.records import dataclass
from vswitch.base.vlog import Vlog
from vswitch.monitor.bfd_packet import (
    BFD_TTL,
    FLAG_FINAL,
    FLAG_POLL,
    Control,
    Diag,
    State,
    diag_text,
    flags_text,
    frame,
)
from vswitch.packet.headers import PacketError, parse_mac

log = Vlog("bfd")

bfd_sent = coverage.counter("bfd_sent")
bfd_received = coverage.counter("bfd_received")
bfd_discarded = coverage.counter("bfd_discarded")

_limit = RateLimit(60, 20)

SLOW_MIN_TX: Final = 1000
"""ms between packets at least, while the session isn't up (section 6.8.3)."""
DEFAULT_DST_MAC: Final = 0x002320000001
DEFAULT_SRC_IP: Final = 0xA9FE0101
DEFAULT_DST_IP: Final = 0xA9FE0100
DECAY_MIN_CHECK: Final = 2000
"""ms for which the interface must be quiet at least before the session decays."""
FORWARDING_IF_RX_CONTROL: Final = 100
"""How many times `min_rx` may pass without a control packet while traffic speaks for the interface."""
DATA_CHECK: Final = 500
"""ms between looks at the interface's counters."""


@dataclass(frozen=True)
class BfdSettings:
    """Interface `bfd` column. Times in ms; addresses as integers, 0 MAC: the default."""

    min_rx: int = 1000
    min_tx: int = 100
    mult: int = 3
    decay_min_rx: int = 0
    forwarding_if_rx: bool = False
    cpath_down: bool = False
    check_tnl_key: bool = False
    local_src_mac: int = 0
    local_dst_mac: int = DEFAULT_DST_MAC
    remote_dst_mac: int = 0
    src_ip: int = DEFAULT_SRC_IP
    dst_ip: int = DEFAULT_DST_IP
    oam: bool = False


DECIMAL: Final = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")
"""A number as C's strtoll(3) takes the whole of it."""


def _number(column: Mapping[str, str], key: str, default: int, low: int, high: int, errors: list[str]) -> int:
    text = column.get(key)
    if text is None:
        return default
    if DECIMAL.fullmatch(text) and low <= int(text) <= high:
        return int(text)
    errors.append(f'{key}="{text}" is no number from {low} to {high}, {default} is used')
    return default


def _mac(column: Mapping[str, str], key: str, default: int, errors: list[str]) -> int:
    text = column.get(key)
    if text is None:
        return default
    try:
        return parse_mac(text) or default
    except PacketError:
        errors.append(f'{key}="{text}" is no Ethernet address')
        return default


def _ip(column: Mapping[str, str], key: str, default: int, errors: list[str]) -> int:
    text = column.get(key)
    if text is None:
        return default
    parts = text.split(".")
    if len(parts) == 4 and all(p.isascii() and p.isdigit() and int(p) < 256 for p in parts):
        return int.from_bytes(bytes(int(p) for p in parts), "big")
    errors.append(f'{key}="{text}" is no IPv4 address')
    return default


def parse_settings(column: Mapping[str, str]) -> tuple[BfdSettings | None, list[str]]:
    """The `bfd` column as settings, None where BFD is not enabled; and what is wrong in it."""
    if column.get("enable", "").lower() != "true":
        return None, []
    errors: list[str] = []
    top = 0xFFFFFFFF // 1000
    min_rx = _number(column, "min_rx", 1000, 1, top, errors)
    decay = _number(column, "decay_min_rx", 0, 0, top, errors)
    if 0 < decay < min_rx:
        errors.append(f"decay_min_rx {decay} is less than min_rx {min_rx}, no decay")
        decay = 0
    settings = BfdSettings(
        min_rx=min_rx,
        min_tx=_number(column, "min_tx", 100, 1, top, errors),
        mult=_number(column, "mult", 3, 1, 255, errors),
        decay_min_rx=decay,
        forwarding_if_rx=column.get("forwarding_if_rx", "").lower() == "true",
        cpath_down=column.get("cpath_down", "").lower() == "true",
        check_tnl_key=column.get("check_tnl_key", "").lower() == "true",
        local_src_mac=_mac(column, "bfd_local_src_mac", 0, errors),
        local_dst_mac=_mac(column, "bfd_local_dst_mac", DEFAULT_DST_MAC, errors),
        remote_dst_mac=_mac(column, "bfd_remote_dst_mac", 0, errors),
        src_ip=_ip(column, "bfd_src_ip", DEFAULT_SRC_IP, errors),
        dst_ip=_ip(column, "bfd_dst_ip", DEFAULT_DST_IP, errors),
        oam=column.get("oam", "").lower() == "true",
    )
    return settings, errors


@final
class BfdSession:
    """One session, on interface `name`. `discriminators` are those of the other sessions here.

    `changed` is set whenever `status()` or `forwarding(now)` may say something new; the reader clears it.
    """

    def __init__(self, name: str, settings: BfdSettings, discriminators: set[int], now: int) -> None:
        self.name: str = name
        self.settings: BfdSettings = settings
        self.state: State = State.DOWN
        self.diag: int = Diag.NONE
        self.disc: int = random.randint(1, 0xFFFFFFFF)
        while self.disc in discriminators:
            self.disc = random.randint(1, 0xFFFFFFFF)
        self.flags: int = 0
        self.min_rx: int = settings.min_rx
        """What we ask for and count with: `poll_min_rx` once the peer has confirmed it."""
        self.min_tx: int = max(settings.min_tx, SLOW_MIN_TX)
        self.poll_min_rx: int = self.min_rx
        self.poll_min_tx: int = self.min_tx
        self.polling: bool = False
        self.in_decay: bool = False
        self.rmt_state: State = State.DOWN
        self.rmt_diag: int = Diag.NONE
        self.rmt_flags: int = 0
        self.rmt_disc: int = 0
        self.rmt_min_tx: int = 0
        self.rmt_min_rx: int = 1
        self.rmt_mult: int = 0
        self.last_tx: int = 0
        self.next_tx: int = now
        self.detect_time: int = 0
        self.override: bool | None = None
        self.last_forwarding: bool = False
        self.flap_count: int = 0
        self.changed: bool = True
        self._rx_packets: int = -1
        """Packets that the interface had received when its counters were last looked at."""
        self._rx_control: int = 0
        """Control packets among those since."""
        self._decay_rx_packets: int = -1
        self._decay_rx_control: int = 0
        self._next_data_check: int = now
        self._decay_check: int = now + max(settings.decay_min_rx, DECAY_MIN_CHECK)
        self._data_until: int = 0
        self._control_until: int = now + FORWARDING_IF_RX_CONTROL * settings.min_rx
        log.info("%s: BFD state change: %s->%s \"%s\"->\"%s\".", name, State.ADMIN_DOWN.text, self.state.text,
                 diag_text(Diag.NONE), diag_text(Diag.NONE))  # fmt: skip
        if settings.cpath_down:
            self._set_state(State.DOWN, Diag.CPATH_DOWN, now)

    # Configuration.

    def configure(self, settings: BfdSettings, now: int) -> None:
        """Take new settings; those that the peer must hear of are announced by a poll sequence."""
        old = self.settings
        if settings == old:
            return
        self.settings = settings
        if (settings.min_rx, settings.decay_min_rx) != (old.min_rx, old.decay_min_rx):
            self.in_decay = False
            self._decay_check = now + max(settings.decay_min_rx, DECAY_MIN_CHECK)
            self._decay_rx_packets = -1
        if settings.cpath_down != old.cpath_down and self.diag in (Diag.NONE, Diag.CPATH_DOWN):
            self._set_state(self.state, Diag.CPATH_DOWN if settings.cpath_down else Diag.NONE, now)
            self._poll(now)
        self._set_intervals(now)
        self.changed = True

    def set_override(self, forwarding: bool | None, now: int) -> None:
        """`bfd/set-forwarding`: what `forwarding` says from now on; None for what is true."""
        self.override = forwarding
        self.forwarding(now)
        self.changed = True

    def _set_intervals(self, now: int) -> None:
        settings = self.settings
        min_tx = settings.min_tx if self.state is State.UP else max(settings.min_tx, SLOW_MIN_TX)
        min_rx = settings.decay_min_rx if self.in_decay else settings.min_rx
        if (min_tx, min_rx) == (self.poll_min_tx, self.poll_min_rx):
            return
        self.poll_min_tx = min_tx
        self.poll_min_rx = min_rx
        if self.state is State.UP:
            self._poll(now)
        else:
            self.min_tx = min_tx
            self.min_rx = min_rx

    def _poll(self, now: int) -> None:
        """Section 6.5. Without a peer that is up there is nobody to ask: what changed holds at once."""
        if self.state is not State.UP:
            return
        self.polling = True
        self.next_tx = now
        log.info_rl(_limit, now, "%s: Initiating poll sequence", self.name)

    # Packets.

    def takes(self, dl_dst: int, nw_dst: int, tun_id: int) -> bool:
        """Whether a BFD packet with these headers is this session's to process: one for our own address, or
        for any while that is the default."""
        settings = self.settings
        if settings.remote_dst_mac and dl_dst != settings.remote_dst_mac:
            return False
        if settings.check_tnl_key and tun_id != 0:
            return False
        return settings.src_ip in (nw_dst, DEFAULT_SRC_IP)

    def receive(self, payload: bytes, ttl: int, now: int) -> None:
        """Process the UDP payload of a packet that `takes` accepted (section 6.8.6). What isn't for this
        session, or is malformed, costs a counter and a line in the log."""
        try:
            if ttl != BFD_TTL:
                raise PacketError(f"TTL {ttl} instead of {BFD_TTL}")
            control = Control.unpack(payload)
            if control.your_disc not in (0, self.disc):
                raise PacketError(f"discriminator {control.your_disc:#x} instead of {self.disc:#x}")
        except PacketError as e:
            bfd_discarded.inc()
            log.info_rl(_limit, now, "%s: discarded BFD control packet: %s", self.name, e)
            return
        bfd_received.inc()
        self._rx_control += 1
        self._decay_rx_control += 1
        self._control_until = now + FORWARDING_IF_RX_CONTROL * self.settings.min_rx
        self._learn(control, now)
        self._advance(control, now)
        if control.flags & FLAG_POLL:
            self.flags |= FLAG_FINAL
            self.next_tx = now
        self.forwarding(now)

    def _learn(self, control: Control, now: int) -> None:
        """What the peer says of itself."""
        if control.mult != self.rmt_mult:
            log.info_rl(
                _limit, now, "Interface %s remote mult value %d changed to %d", self.name, self.rmt_mult,
                control.mult,
            )  # fmt: skip
        rmt_min_rx = max(control.min_rx // 1000, 1) if control.min_rx else 0
        if (control.state, control.diag) != (self.rmt_state, self.rmt_diag):
            self.changed = True
        self.rmt_disc = control.my_disc
        self.rmt_state = control.state
        self.rmt_diag = control.diag
        self.rmt_flags = control.flags
        self.rmt_mult = control.mult
        self.rmt_min_tx = control.min_tx // 1000
        if rmt_min_rx != self.rmt_min_rx:
            self.rmt_min_rx = rmt_min_rx
            self._schedule(now)
            log.info_rl(_limit, now, "%s: New remote min_rx.", self.name)
        if control.flags & FLAG_FINAL and self.polling:
            self.polling = False
            self.min_tx = self.poll_min_tx
            self.min_rx = self.poll_min_rx
            log.info_rl(_limit, now, "%s: Poll sequence terminated.", self.name)
        self.detect_time = now + control.mult * max(self.rmt_min_tx, self.min_rx)

    def _advance(self, control: Control, now: int) -> None:
        """The state machine of section 6.2, as section 6.8.6 spells it."""
        if control.state is State.ADMIN_DOWN:
            if self.state is not State.DOWN:
                self._set_state(State.DOWN, Diag.RMT_DOWN, now)
        elif self.state is State.DOWN:
            if control.state is State.DOWN:
                self._set_state(State.INIT, self._quiet_diag(), now)
            elif control.state is State.INIT:
                self._set_state(State.UP, self._quiet_diag(), now)
        elif self.state is State.INIT:
            if control.state in (State.INIT, State.UP):
                self._set_state(State.UP, self._quiet_diag(), now)
        elif control.state is State.DOWN:
            self._set_state(State.DOWN, Diag.RMT_DOWN, now)

    def _quiet_diag(self) -> int:
        return Diag.CPATH_DOWN if self.settings.cpath_down else self.diag

    def _set_state(self, state: State, diag: int, now: int) -> None:
        if (state, diag) == (self.state, self.diag):
            return
        log.info_rl(
            _limit, now, "%s: BFD state change: %s->%s \"%s\"->\"%s\".", self.name, self.state.text,
            state.text, diag_text(self.diag), diag_text(diag),
        )  # fmt: skip
        moved = state is not self.state
        self.state = state
        self.diag = diag
        if moved and state is State.DOWN:
            self.rmt_state = State.DOWN
            self.rmt_diag = Diag.NONE
            self.rmt_min_rx = 1
            self.rmt_flags = 0
            self.rmt_disc = 0
            self.rmt_min_tx = 0
            self.polling = False
            self.in_decay = False
        if moved:
            settings = self.settings
            self.min_tx = settings.min_tx if state is State.UP else max(settings.min_tx, SLOW_MIN_TX)
            self.poll_min_tx = self.min_tx
            if state is not State.UP:
                self.min_rx = self.poll_min_rx = settings.min_rx
            self.next_tx = now  # the peer should hear of it at once (section 6.8.7)
        self.changed = True

    # Time.

    def tx_interval(self) -> int:
        """ms between packets, before jitter; 0: the peer wants none."""
        return max(self.min_tx, self.rmt_min_rx) if self.rmt_min_rx else 0

    def _schedule(self, now: int) -> None:
        """Set `next_tx` from the last packet: 75 to 100 % of the interval (75 to 90 % if one loss is enough
        to fail, section 6.8.7)."""
        interval = self.tx_interval()
        least = 0.75
        most = 0.9 if self.settings.mult == 1 else 1.0
        self.next_tx = max(self.last_tx + int(interval * random.uniform(least, most)), now)

    def run(self, rx_packets: int, now: int) -> None:
        """Let time pass. `rx_packets` is what the interface has received in all."""
        if self.state in (State.INIT, State.UP) and now >= self.detect_time:
            self._set_state(State.DOWN, Diag.EXPIRED, now)
        if now >= self._next_data_check:
            self._next_data_check = now + DATA_CHECK
            self._look_at_data(rx_packets, now)
        self.forwarding(now)

    def _look_at_data(self, rx_packets: int, now: int) -> None:
        known = self._rx_packets
        if known >= 0 and rx_packets - known > self._rx_control:
            self._data_until = now + max(self.settings.mult * self.min_rx, 2 * DATA_CHECK)
        self._rx_packets = rx_packets
        self._rx_control = 0
        if not self.settings.decay_min_rx or self.state is not State.UP:
            return
        if self._decay_rx_packets < 0:
            self._decay_rx_packets = rx_packets
            self._decay_rx_control = 0
            self._decay_check = now + max(self.settings.decay_min_rx, DECAY_MIN_CHECK)
            return
        busy = rx_packets - self._decay_rx_packets > self._decay_rx_control
        if now >= self._decay_check or (busy and self.in_decay):
            self._decay_rx_packets = rx_packets
            self._decay_rx_control = 0
            self._decay_check = now + max(self.settings.decay_min_rx, DECAY_MIN_CHECK)
            if busy is self.in_decay:
                self.in_decay = not busy
                self._set_intervals(now)

    def wakeup(self) -> int:
        """Clock ms at which `run` or `packet` has something to do."""
        at = self.next_tx if self.sends() else self._next_data_check
        if self.state in (State.INIT, State.UP):
            at = min(at, self.detect_time)
        if self.settings.forwarding_if_rx or self.settings.decay_min_rx:
            at = min(at, self._next_data_check)
        return at

    def sends(self) -> bool:
        """Whether the peer wants packets at all."""
        return bool(self.rmt_min_rx) or bool(self.flags & FLAG_FINAL)

    def packet(self, eth_src: int, now: int) -> bytes | None:
        """The frame that is due at `now`, None if none is. `eth_src` is the interface's own address."""
        if now < self.next_tx or not self.sends():
            return None
        final_due = self.flags & FLAG_FINAL
        flags = final_due or (FLAG_POLL if self.polling else 0)
        settings = self.settings
        control = Control(
            self.state, self.diag, flags, settings.mult, self.disc, self.rmt_disc, self.poll_min_tx * 1000,
            self.poll_min_rx * 1000,
        )  # fmt: skip
        self.flags &= ~FLAG_FINAL
        self.last_tx = now
        self._schedule(now)
        bfd_sent.inc()
        source = settings.local_src_mac or eth_src
        return frame(control, source, settings.local_dst_mac, settings.src_ip, settings.dst_ip)

    # Answers.

    def forwarding(self, now: int) -> bool:
        """Whether the interface may be used to forward. Counts how often that changed."""
        if self.override is not None:
            result = self.override
        else:
            alive = self.state is State.UP
            if self.settings.forwarding_if_rx:
                alive = (alive or now < self._data_until) and now < self._control_until
            result = alive and self.rmt_diag not in (Diag.CPATH_DOWN, Diag.RCPATH_DOWN)
        if result is not self.last_forwarding:
            self.last_forwarding = result
            self.flap_count += 1
            self.changed = True
        return result

    def status(self, now: int) -> dict[str, str]:
        """Interface `bfd_status`."""
        return {
            "forwarding": "true" if self.forwarding(now) else "false",
            "state": self.state.text,
            "diagnostic": diag_text(self.diag),
            "remote_state": self.rmt_state.text,
            "remote_diagnostic": diag_text(self.rmt_diag),
            "flap_count": str(self.flap_count),
        }

    def show(self, now: int) -> str:
        """`bfd/show`'s lines for the session, without its heading."""
        flags = self.flags | (FLAG_POLL if self.polling else 0)
        rows = (
            ("Forwarding", _bool(self.forwarding(now))),
            ("Detect Multiplier", str(self.settings.mult)),
            ("Concatenated Path Down", _bool(self.settings.cpath_down)),
            ("TX Interval", f"Approx {self.tx_interval()}ms"),
            ("RX Interval", f"Approx {max(self.rmt_min_tx, self.min_rx)}ms"),
            ("Detect Time", f"now {self.detect_time - now:+d}ms"),
            ("Next TX Time", f"now {self.next_tx - now:+d}ms"),
            ("Last TX Time", f"now {self.last_tx - now:+d}ms"),
            None,
            ("Local Flags", flags_text(flags)),
            ("Local Session State", self.state.text),
            ("Local Diagnostic", diag_text(self.diag)),
            ("Local Discriminator", f"{self.disc:#x}"),
            ("Local Minimum TX Interval", f"{self.min_tx}ms"),
            ("Local Minimum RX Interval", f"{self.min_rx}ms"),
            None,
            ("Remote Flags", flags_text(self.rmt_flags)),
            ("Remote Session State", self.rmt_state.text),
            ("Remote Diagnostic", diag_text(self.rmt_diag)),
            ("Remote Discriminator", f"{self.rmt_disc:#x}"),
            ("Remote Minimum TX Interval", f"{self.rmt_min_tx}ms"),
            ("Remote Minimum RX Interval", f"{self.rmt_min_rx}ms"),
            ("Remote Detect Multiplier", str(self.rmt_mult)),
        )
        return "".join("\n" if row is None else f"  {row[0]}: {row[1]}\n" for row in rows)


def _bool(value: bool) -> str:
    return "true" if value else "false"
