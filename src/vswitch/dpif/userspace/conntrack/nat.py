"""NAT: which address and port a new connection gets.

A connection that is translated has a reply tuple which is not just the reverse of its original one.
`choose` finds one that nobody has. The order of ports is Open vSwitch's: the port that the packet has
if the range allows it, then the following ones, around. Without a range a source port stays among those
of its kind: below 512, up to 1023, or above. For the destination all its ports are tried before the
source port changes too.
"""

from __future__ import annotations

from typing import Final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif import odp_step as op
from vswitch.dpif.userspace.conntrack.key import SCTP, TCP, UDP, Key, ports_meta
from vswitch.dpif.userspace.conntrack.table import F_DST_NAT, F_SRC_NAT, Table, round_of
from vswitch.flow.flow import signed64

MAX_TRIES: Final = 2048
"""Tuples that are tried for one packet (about 0.3 ms) until the range counts as exhausted."""
IN_ORDER: Final = 512
"""Of a larger range this many ports are tried in order, then others from all over it."""

_WORD: Final = (1 << 64) - 1


def choose(table: Table, orig: Key, reply: Key, args: vec[i64], roll: i64) -> bool:
    """Make `reply`, which is the reverse of `orig`, the key of the answers; False if all are taken.

    `roll` decides where a search begins that the packet itself does not: 31 random bits.
    """
    flags = args[op.CT_FLAGS]
    source = flags & op.CT_NAT_SRC != 0
    if flags & op.CT_NAT_RANDOM:
        start = roll
    elif flags & op.CT_NAT_PERSISTENT:
        # The same host always gets the same address.
        start = round_of(round_of(0x3C6EF372, orig.src_hi), orig.src_lo)
    else:
        start = round_of(round_of(round_of(table.basis, orig.src_lo), orig.dst_lo), orig.meta)
    low, high = bounds(args)
    size = high - low + 1
    begin = int(start)
    tries: i64 = MAX_TRIES
    n = 0
    while n < size and tries > 0:
        if low:
            put_address(reply, source, low + (begin + n) % size)
        used = ports(table, orig, reply, args, source, start, tries)
        if used < 0:
            return True
        tries -= used
        n += 1
    return False


def expected_reply(table: Table, orig: Key, wanted: Key, reply: Key) -> i64:
    """Make `reply` the answers' key of an expected connection: which NAT that is (F_*), -1 if it is taken.

    `wanted` has no destination port: it is the first packet's source port, or another one if NAT changes
    the source and that is taken.
    """
    sport: i64 = (orig.meta >> 48) & 0xFFFF
    wanted.copy_to(reply)
    kinds: i64 = 0
    if reply.dst_hi != orig.src_hi or reply.dst_lo != orig.src_lo:
        kinds |= F_SRC_NAT
    if reply.src_hi != orig.dst_hi or reply.src_lo != orig.dst_lo:
        kinds |= F_DST_NAT
    port: i64 = sport
    tries: i64 = 0
    while tries < IN_ORDER:
        reply.meta = (wanted.meta >> 48) << 48 | port << 32 | wanted.meta & 0xFFFFFFFF
        if table.lookup(reply) == 0:
            return kinds
        if kinds & F_SRC_NAT == 0:
            break
        port = port + 1 if port < 65535 else 1024
        tries += 1
    return -1


def bounds(args: vec[i64]) -> tuple[int, int]:
    """The lowest and highest address of the range; zero: the address stays."""
    low = (int(args[op.CT_NAT_MIN]) & _WORD) << 64 | int(args[op.CT_NAT_MIN + 1]) & _WORD
    high = (int(args[op.CT_NAT_MAX]) & _WORD) << 64 | int(args[op.CT_NAT_MAX + 1]) & _WORD
    return low, high


def put_address(reply: Key, source: bool, address: int) -> None:
    """What answers are sent to (for a source), or come from."""
    high, low = signed64(address >> 64), signed64(address & _WORD)
    if source:
        reply.dst_hi = high
        reply.dst_lo = low
    else:
        reply.src_hi = high
        reply.src_lo = low


def ports(
    table: Table, orig: Key, reply: Key, args: vec[i64], source: bool, roll: i64, tries: i64
) -> i64:
    """Find ports that make `reply` a key of nobody: -1 if there are, else how many were tried."""
    proto = orig.proto()
    if proto != TCP and proto != UDP and proto != SCTP:
        return -1 if table.lookup(reply) == 0 else 1
    sport: i64 = (orig.meta >> 48) & 0xFFFF
    dport: i64 = (orig.meta >> 32) & 0xFFFF
    rest: i64 = orig.meta & 0xFFFFFFFF
    low = args[op.CT_NAT_PORTS]
    high = args[op.CT_NAT_PORTS + 1]
    s_low: i64
    s_high: i64
    if source and low:
        s_low = low
        s_high = high
    elif sport < 512:
        s_low = 1
        s_high = 511
    elif sport < 1024:
        s_low = 600
        s_high = 1023
    else:
        s_low = 1024
        s_high = 65535
    d_low = dport
    d_high = dport
    if not source and low:
        d_low = low
        d_high = high
    first_s = sport if s_low <= sport <= s_high else s_low + roll % (s_high - s_low + 1)
    first_d = dport if d_low <= dport <= d_high else d_low + roll % (d_high - d_low + 1)
    if source and args[op.CT_FLAGS] & op.CT_NAT_RANDOM and low:
        first_s = s_low + roll % (s_high - s_low + 1)
    n_s = s_high - s_low + 1
    n_d = d_high - d_low + 1
    tried: i64 = 0
    i: i64 = 0
    while i < n_s:
        now_s = s_low + (first_s - s_low + spread(i, n_s, roll)) % n_s
        j: i64 = 0
        while j < n_d:
            now_d = d_low + (first_d - d_low + spread(j, n_d, roll)) % n_d
            # Answers come the other way around.
            reply.meta = ports_meta(now_d, now_s) | rest
            if table.lookup(reply) == 0:
                return -1
            tried += 1
            if tried >= tries:
                return tried
            j += 1
        i += 1
    return tried


def spread(n: i64, size: i64, roll: i64) -> i64:
    """How far from the first port the n-th try is: in order at first, then in strides over the range."""
    if n < IN_ORDER or size <= MAX_TRIES:
        return n
    return IN_ORDER + round_of(roll, n) % (size - IN_ORDER)
