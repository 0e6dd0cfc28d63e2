"""TCP: the states of both ends of a connection, and whether a segment fits its window.

Sequence tracking is Guido van Rooij's ("Real Stateful TCP Packet Filtering in IP Filter", 2001), as
in pf, whose states Open vSwitch follows: of each end it is known up to where it has sent (`low`), up
to where it may send (`high`), and the largest window it has offered. A segment must end within the
other's window, may be retransmitted from one window back, and must not acknowledge more than a window
off. A connection may also be picked up in its midst, with windows that open with its first segments.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i32_be
from librt.vecs import vec
from mypy_extensions import i64

from vswitch.base.signed import signed32
from vswitch.dpif.userspace.conntrack import timeouts
from vswitch.dpif.userspace.conntrack.table import STATE_AT

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20

CLOSED: Final = 0
LISTEN: Final = 1
SYN_SENT: Final = 2
SYN_RECV: Final = 3
ESTABLISHED: Final = 4
CLOSE_WAIT: Final = 5
FIN_WAIT_1: Final = 6
CLOSING: Final = 7
LAST_ACK: Final = 8
FIN_WAIT_2: Final = 9
TIME_WAIT: Final = 10
NAMES: Final = (
    "CLOSED", "LISTEN", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING",
    "LAST_ACK", "FIN_WAIT_2", "TIME_WAIT",
)  # fmt: skip

VALID: Final = 0
BAD: Final = 1
RENEW: Final = 2
"""The connection was over: this segment begins another one."""
VALID_NEW: Final = 3
"""Valid, but nothing has come from the other side yet."""
KIND_SHIFT: Final = 4
"""A verdict has the kind of timeout (`timeouts.TCP_*`) above these bits."""

KEEP: Final = 15
"""In place of a kind: the connection's time stays as it is."""

MAX_ACK_WINDOW: Final = 0xFFFF + 1500
"""How far off an acknowledgment, or a segment of a connection that is picked up, may be."""
MAX_SCALE: Final = 14
"""RFC 7323, section 2.3."""
HAS_SCALE: Final = 0x80
"""An end has said its window scale."""
SCALE_UNKNOWN: Final = 0x40
"""The connection was picked up in its midst."""
SCALE_BITS: Final = 0x0F


def after(a: i64, b: i64) -> bool:
    """Whether sequence number `a` is `b` or behind it, modulo 2**32."""
    return (a - b) & 0x80000000 == 0


def difference(a: i64, b: i64) -> i64:
    """`a` - `b` as a signed 32-bit number."""
    return signed32(a - b)


def scale_option(data: bytes, l4: i64, end: i64) -> i64:
    """The window scale that a SYN offers, with HAS_SCALE; 0 if it offers none (RFC 7323, section 2.2)."""
    at = l4 + 20
    while at < end:
        kind: i64 = i64(data[at])
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if at + 1 >= end:
            break
        length: i64 = i64(data[at + 1])
        if length < 2:
            break
        if kind == 3 and length == 3 and at + 2 < end:
            scale: i64 = i64(data[at + 2])
            return (scale if scale < MAX_SCALE else MAX_SCALE) | HAS_SCALE
        at += length
    return 0


def sound(flags: i64) -> bool:
    """Whether a segment may have these flags at all."""
    if flags & SYN:
        return flags & (RST | FIN) == 0
    return flags & (ACK | RST) != 0


def may_begin(flags: i64) -> bool:
    """Whether a segment may begin a connection: a SYN, or one of a connection that is there already."""
    return sound(flags) and flags & (SYN | ACK) != SYN | ACK


def pack_window(window: i64, scale: i64, state: i64) -> i64:
    """The second word of an end."""
    return window | scale << 32 | state << 40


def begin(rec: vec[i64], base: i64, data: bytes, l4: i64, l3_end: i64) -> None:
    """Start the states of a new connection with its first segment."""
    flags: i64 = i64(data[l4 + 13])
    header: i64 = (i64(data[l4 + 12]) >> 4) * 4
    seq: i64 = i64(read_i32_be(data, l4 + 4)) & 0xFFFFFFFF
    window: i64 = i64(read_i16_be(data, l4 + 14)) & 0xFFFF
    high = seq + l3_end - l4 - header + 1
    scale: i64 = SCALE_UNKNOWN
    other_scale: i64 = SCALE_UNKNOWN
    window = window if window > 1 else 1
    if flags & SYN:
        high += 1
        scale = scale_option(data, l4, l4 + header)
        other_scale = 0
        shift: i64 = scale & SCALE_BITS
        # The window of a SYN itself is not scaled, those of the others are.
        window = -(-window >> shift)
    if flags & FIN:
        high += 1
    s = base + STATE_AT
    rec[s] = join(seq, high)
    rec[s + 1] = pack_window(window, scale, SYN_SENT)
    rec[s + 2] = join(0, 1)
    rec[s + 3] = pack_window(1, other_scale, CLOSED)


def join(low: i64, high: i64) -> i64:
    """The first word of an end."""
    return signed32(low) << 32 | high & 0xFFFFFFFF


def update(rec: vec[i64], base: i64, reply: i64, data: bytes, l4: i64, l3_end: i64, check: bool) -> i64:
    """Take a segment of direction `reply` (0 or 1) into account: a verdict, VALID with its timeout.

    `check`: segments out of window are BAD.
    """
    flags: i64 = i64(data[l4 + 13])
    if not sound(flags):
        return BAD
    s = base + STATE_AT + reply * 2
    d = base + STATE_AT + 2 - reply * 2
    state: i64 = rec[s + 1] >> 40
    peer_state: i64 = rec[d + 1] >> 40
    if flags & (SYN | ACK) == SYN:
        if peer_state >= FIN_WAIT_2 and state >= FIN_WAIT_2:
            return RENEW
        if state <= SYN_SENT:
            # The first SYN once more, or both ends open at the same time.
            rec[s + 1] = rec[s + 1] & 0xFFFFFFFFFF | SYN_SENT << 40
            return VALID_NEW | timeouts.TCP_FIRST << KIND_SHIFT
    low: i64 = (rec[s] >> 32) & 0xFFFFFFFF
    high: i64 = rec[s] & 0xFFFFFFFF
    most: i64 = rec[s + 1] & 0xFFFFFFFF
    scale: i64 = (rec[s + 1] >> 32) & 0xFF
    peer_low: i64 = (rec[d] >> 32) & 0xFFFFFFFF
    peer_high: i64 = rec[d] & 0xFFFFFFFF
    peer_most: i64 = rec[d + 1] & 0xFFFFFFFF
    peer_scale: i64 = (rec[d + 1] >> 32) & 0xFF
    header: i64 = (i64(data[l4 + 12]) >> 4) * 4
    seq: i64 = i64(read_i32_be(data, l4 + 4)) & 0xFFFFFFFF
    ack: i64 = i64(read_i32_be(data, l4 + 8)) & 0xFFFFFFFF
    window: i64 = i64(read_i16_be(data, l4 + 14)) & 0xFFFF
    end = seq + l3_end - l4 - header
    if flags & SYN:
        end += 1
    if flags & FIN:
        end += 1

    shift: i64 = 0
    peer_shift: i64 = 0
    if flags & SYN == 0:
        if scale & peer_scale & HAS_SCALE:
            shift = scale & SCALE_BITS
            peer_shift = peer_scale & SCALE_BITS
        elif scale & peer_scale & SCALE_UNKNOWN:
            shift = MAX_SCALE
            peer_shift = MAX_SCALE

    opens = False
    if state < SYN_SENT:
        # The first segment of this end.
        if flags & SYN:
            if peer_scale & HAS_SCALE:
                scale = scale_option(data, l4, l4 + header)
                if scale & HAS_SCALE:
                    shift = scale & SCALE_BITS
                    window = -(-window >> shift)
                    peer_shift = peer_scale & SCALE_BITS
                else:
                    # One end doesn't scale, so neither does.
                    peer_most <<= peer_scale & SCALE_BITS
                    peer_scale = 0
        low = seq
        state = SYN_SENT
        reach = peer_most << peer_shift
        reach = end + (reach if reach > 1 else 1)
        if high == 1 or after(reach, high):
            # Whatever it acknowledges: nothing is known of what came before.
            high = reach & 0xFFFFFFFF
            opens = True
        if window > most:
            most = window
        # It counts as seen even if it turns out to be out of window.
        rec[s] = join(low, high)
        rec[s + 1] = pack_window(most, scale, state)
        rec[d + 1] = pack_window(peer_most, peer_scale, peer_state)

    first = seq
    if flags & ACK == 0 or (ack == 0 and flags & RST):
        ack = peer_low
    if seq == end:
        # Without data, the place of a segment does not matter.
        seq = low
        end = low
    skew: i64 = 0 if opens else difference(peer_low, ack)
    offered = window << shift
    fits = (
        after(high, end)
        and after(seq, low - (peer_most << peer_shift))
        and skew >= -MAX_ACK_WINDOW and -(-skew >> shift) <= MAX_ACK_WINDOW
        and (flags & RST == 0 or first == low or first == (low + 1) & 0xFFFFFFFF
             or (first + 1) & 0xFFFFFFFF == low)
    )
    kind: i64 = -1
    if fits or not check:
        if window > most:
            most = window
        if not after(low, end):
            low = end & 0xFFFFFFFF
        if after(ack + offered, peer_high):
            peer_high = ack + (offered if offered > 1 else 1)
        if flags & FIN and state < CLOSING:
            state = CLOSING
        if flags & ACK:
            if peer_state == SYN_SENT:
                peer_state = ESTABLISHED
            elif peer_state == CLOSING:
                peer_state = FIN_WAIT_2
        if flags & RST:
            state = TIME_WAIT
            peer_state = TIME_WAIT
        if state >= FIN_WAIT_2 and peer_state >= FIN_WAIT_2:
            kind = timeouts.TCP_CLOSED
        elif state >= CLOSING and peer_state >= CLOSING:
            kind = timeouts.TCP_FIN_WAIT
        elif state < ESTABLISHED or peer_state < ESTABLISHED:
            kind = timeouts.TCP_OPENING
        elif state >= CLOSING or peer_state >= CLOSING:
            kind = timeouts.TCP_CLOSING
        else:
            kind = timeouts.TCP_ESTABLISHED
    elif (
        (peer_state < SYN_SENT or peer_state >= FIN_WAIT_2 or state >= FIN_WAIT_2)
        and after(high + MAX_ACK_WINDOW, end)
        and after(seq, low - MAX_ACK_WINDOW)
    ):
        # SYNs sent in a row before an answer, or a connection picked up: the windows open as they may.
        if window > most:
            most = window
        if not after(low, end):
            low = end & 0xFFFFFFFF
        if after(ack + offered, peer_high):
            peer_high = ack + (offered if offered > 1 else 1)
        if flags & FIN and state < CLOSING:
            state = CLOSING
        if flags & RST:
            state = TIME_WAIT
            peer_state = TIME_WAIT
    else:
        return BAD
    rec[s] = join(low, high)
    rec[s + 1] = pack_window(most, scale, state)
    rec[d] = join(peer_low, peer_high)
    rec[d + 1] = pack_window(peer_most, peer_scale, peer_state)
    return VALID | (kind if kind >= 0 else KEEP) << KIND_SHIFT


def state_of(rec: vec[i64], base: i64, reply: i64) -> i64:
    """The state of one end."""
    return rec[base + STATE_AT + 1 + reply * 2] >> 40


def scale_of(rec: vec[i64], base: i64, reply: i64) -> i64:
    """The window scale of one end, with HAS_SCALE or SCALE_UNKNOWN."""
    return (rec[base + STATE_AT + 1 + reply * 2] >> 32) & 0xFF
