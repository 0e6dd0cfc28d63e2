"""`Tracker`: what the datapath's `ct` action does to a packet, and the connections behind it.

`execute` finds the packet's connection, or makes one if the action commits it, takes the packet into
account, translates its addresses, and leaves what is known in the packet's metadata: `ct_state`,
`ct_zone`, `ct_mark`, `ct_label` and the tuple of the connection's first packet. `run` forgets
connections whose time is over, a bounded number a call.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.base import coverage
from vswitch.base.signed import high32
from vswitch.dpif import odp_step as op
from vswitch.dpif.odp_execute import Executor, Packet
from vswitch.dpif.odp_step import Step
from vswitch.dpif.userspace.conntrack import other, tcp, timeouts
from vswitch.dpif.userspace.conntrack.fragments import Fragments, cut, whole
from vswitch.dpif.userspace.conntrack.helpers import Expectation, Helpers
from vswitch.dpif.userspace.conntrack.key import ICMP, ICMPV6, INVALID, PLAIN, RELATED, TCP, UDP, Key
from vswitch.dpif.userspace.conntrack.limits import Limits
from vswitch.dpif.userspace.conntrack.nat import choose, expected_reply
from vswitch.dpif.userspace.conntrack.table import (
    EXPIRES_AT,
    F_ADJUSTED,
    F_CHILD,
    F_DST_NAT,
    F_FTP,
    F_SRC_NAT,
    F_TFTP,
    FLAGS_AT,
    LABEL_AT,
    MARK_AT,
    META_AT,
    ORIG_AT,
    POLICY_AT,
    REPLY_AT,
    SERIAL_AT,
    Table,
    base_of,
    get_key,
)
from vswitch.dpif.userspace.conntrack.timeouts import Policy
from vswitch.dpif.userspace.conntrack.translate import translate, translate_error
from vswitch.flow import layout as at
from vswitch.netdev.frame import VNET_DATA_VALID, VNET_NEEDS_CSUM, Frame

EXPIRE_BUDGET: Final = 500
"""Connections that one `run` forgets at most: about half a millisecond."""

INVALID_STATE: Final = at.CS_TRACKED | at.CS_INVALID

full: Final = coverage.counter("conntrack_full")
zone_full: Final = coverage.counter("conntrack_zone_full")
nat_exhausted: Final = coverage.counter("conntrack_nat_exhausted")
renewed: Final = coverage.counter("conntrack_tcp_renewed")
invalid: Final = coverage.counter("conntrack_invalid")


@final
class Tracker:
    """The connections of one datapath."""

    def __init__(self, basis: i64) -> None:
        self.table: Table = Table(basis)
        self.limits: Limits = Limits()
        self.check_windows: bool = True
        """TCP segments out of window are invalid."""
        self.policies: dict[int, Policy] = {}
        self.numbers: dict[bytes, int] = {}
        """Timeout policies by the name that a `ct` action gives."""
        self.set_timeouts(0, {})
        self.key: Key = Key()
        self.reply_key: Key = Key()
        self.quote: Key = Key()
        self.helpers: Helpers = Helpers()
        self.fragments: Fragments = Fragments()

    # Timeouts.

    def set_timeouts(self, number: int, seconds: Mapping[str, int]) -> None:
        """Set timeout policy `number` (0: the default); connections take it up with their next packet."""
        lists = vec[i64]([self.table.list_for(ms) for ms in timeouts.durations(seconds)])
        self.policies[number] = Policy(number, lists)

    def policy(self, number: i64) -> Policy:
        """Policy `number`, or the default one if it is gone."""
        found = self.policies.get(number)
        return self.policies[0] if found is None else found

    def wait(self, conn: i64, kind: i64, now: i64) -> None:
        """`conn` was seen, and is to be kept as long as its policy says for `kind`."""
        rec = self.table.rec(conn)
        policy = self.policy(rec[base_of(conn) + POLICY_AT])
        self.table.seen(conn, policy.lists[kind], now)

    # The action.

    def gather(self, step: Step, executor: Executor, packet: Packet, now: i64) -> list[Packet] | None:
        """Do the `ct` action to a fragment: [] if it is held until its packet is whole, or all of that
        packet's fragments, tracked. None: the packet is no fragment, or one that can't be put together."""
        executor.parse(packet)
        parser = executor.parser
        zone = step.args[op.CT_ZONE]
        words = packet.flow.words
        if parser.nw_frag == 0 or (packet.conn and (words[at.W_CT_ZONE] >> at.S_CT_ZONE) & 0xFFFF == zone):
            return None
        parts = self.fragments.take(packet, parser, zone, now)
        if parts is None:
            return None
        if len(parts) == 0:
            return []
        put_together = whole(parts)
        if not self.execute(step, executor, put_together, now):
            return []
        executor.parse(put_together)
        return cut(parts, put_together, parser.l3_ofs, parser.l4_ofs)

    def execute(self, step: Step, executor: Executor, packet: Packet, now: i64) -> bool:
        """Do the `ct` action `step` to `packet`; False if it must end here: no address is left for it."""
        args = step.args
        flags = args[op.CT_FLAGS]
        zone = args[op.CT_ZONE]
        words = packet.flow.words
        table = self.table
        conn: i64 = 0
        reply: i64 = 0
        known = packet.conn
        if known and flags & op.CT_FORCE == 0 and (words[at.W_CT_ZONE] >> at.S_CT_ZONE) & 0xFFFF == zone:
            # It has been here before, in the same zone.
            conn = known >> 1
            if table.is_alive(conn, packet.conn_serial):
                if flags & op.CT_NAT:
                    self.translate(known, executor, packet)
                self.write(table.rec(conn), base_of(conn), args, words)
                return True
            conn = 0
        executor.parse(packet)
        parser = executor.parser
        frame = packet.frame
        data = frame.data
        key = self.key
        found = key.extract(parser, data, zone, frame.flags & (VNET_NEEDS_CSUM | VNET_DATA_VALID) == 0)
        packet.conn = 0
        if found == INVALID:
            invalid.inc()
            clear(words)
            words[at.W_CT_STATE] = zone << at.S_CT_ZONE | INVALID_STATE
            return True
        state: i64 = at.CS_TRACKED
        expected: Expectation | None = None
        node = table.lookup(key)
        if node != 0:
            conn = node >> 1
            reply = node & 1
            if table.rec(conn)[base_of(conn) + EXPIRES_AT] <= now or (flags & op.CT_FORCE and reply):
                self.forget(conn)
                conn = 0
                reply = 0
        if conn != 0 and found != RELATED:
            verdict = self.update(conn, reply, parser.l4_ofs, parser.l3_end, data, now)
            if verdict == tcp.BAD:
                invalid.inc()
                state |= at.CS_INVALID
            elif verdict == tcp.RENEW:
                renewed.inc()
                self.forget(conn)
                conn = 0
                reply = 0
            elif verdict == tcp.VALID_NEW:
                state |= at.CS_NEW
            else:
                state |= at.CS_ESTABLISHED
                if reply:
                    state |= at.CS_REPLY_DIR
        elif found == RELATED:
            if conn == 0:
                invalid.inc()
                state |= at.CS_INVALID
            else:
                state |= at.CS_RELATED
                if reply:
                    state |= at.CS_REPLY_DIR
        if conn == 0 and state & at.CS_INVALID == 0:
            if not may_begin(key, data, parser.l4_ofs):
                invalid.inc()
                state |= at.CS_INVALID
            else:
                state |= at.CS_NEW
                expected = self.helpers.find(key)
                if expected is not None:
                    state |= at.CS_RELATED
                if flags & op.CT_COMMIT:
                    conn = self.commit(step, parser.l4_ofs, parser.l3_end, data, expected, now)
                    if conn < 0:
                        return False
        clear(words)
        if conn == 0:
            words[at.W_CT_STATE] = zone << at.S_CT_ZONE | state
            if expected is not None:
                self.inherit(expected, words)
            elif state & at.CS_INVALID == 0:
                write_tuple(words, key.src_hi, key.src_lo, key.dst_hi, key.dst_lo, key.meta)
            return True
        rec = table.rec(conn)
        base = base_of(conn)
        kinds = rec[base + FLAGS_AT]
        packet.conn = conn << 1 | reply
        packet.conn_serial = rec[base + SERIAL_AT]
        if kinds & F_CHILD:
            state |= at.CS_RELATED
        words[at.W_CT_STATE] = high32(rec[base + MARK_AT], zone << at.S_CT_ZONE | state)
        words[at.W_CT_LABEL] = rec[base + LABEL_AT]
        words[at.W_CT_LABEL + 1] = rec[base + LABEL_AT + 1]
        if kinds & F_CHILD:
            parent = self.helpers.parents[conn]
            write_tuple(words, parent.src_hi, parent.src_lo, parent.dst_hi, parent.dst_lo, parent.meta)
        else:
            write_tuple(words, rec[base], rec[base + 1], rec[base + 2], rec[base + 3], rec[base + 4])
        if flags & op.CT_NAT and kinds & (F_SRC_NAT | F_DST_NAT):
            self.translate(packet.conn, executor, packet)
        if kinds & (F_FTP | F_TFTP) and found == PLAIN and state & at.CS_INVALID == 0:
            self.help(conn, reply, kinds, executor, packet)
        self.write(rec, base, args, words)
        return True

    def translate(self, node: i64, executor: Executor, packet: Packet) -> None:
        """Translate the addresses of a packet of `node` (connection << 1 | direction), if not done yet."""
        words = packet.flow.words
        state = words[at.W_CT_STATE]
        conn = node >> 1
        reply = node & 1
        rec = self.table.rec(conn)
        base = base_of(conn)
        nat = rec[base + FLAGS_AT] & (F_SRC_NAT | F_DST_NAT)
        if nat == 0 or state & (at.CS_SRC_NAT | at.CS_DST_NAT):
            return
        # The state tells of this packet: an answer gets another destination where the source was changed.
        if nat & (F_DST_NAT if reply else F_SRC_NAT):
            words[at.W_CT_STATE] |= at.CS_SRC_NAT
        if nat & (F_SRC_NAT if reply else F_DST_NAT):
            words[at.W_CT_STATE] |= at.CS_DST_NAT
        if state & at.CS_RELATED:
            executor.parse(packet)
            quote = self.quote
            if quote.extract(executor.parser, packet.frame.data, 0, False) == RELATED:
                translate_error(executor, packet, rec, base, reply, nat, quote)
                return
        translate(executor, packet, rec, base, reply, nat)

    def help(self, conn: i64, reply: i64, kinds: i64, executor: Executor, packet: Packet) -> None:
        """Look into a packet of a connection that has a helper; it may come out with another length."""
        executor.parse(packet)
        parser = executor.parser
        data = packet.frame.data
        rec = self.table.rec(conn)
        base = base_of(conn)
        get_key(rec, base + ORIG_AT, self.key)
        get_key(rec, base + REPLY_AT, self.reply_key)
        l4 = parser.l4_ofs
        if kinds & F_TFTP:
            if reply == 0 and parser.nw_proto == UDP:
                self.helpers.tftp(conn, self.key, self.reply_key, data[l4 + 8 : parser.l3_end])
            return
        if parser.nw_proto != TCP:
            return
        payload = data[l4 + (i64(data[l4 + 12]) >> 4) * 4 : parser.l3_end]
        changed = self.helpers.ftp(conn, reply != 0, self.key, self.reply_key, payload) if payload else None
        if changed is not None:
            rec[base + FLAGS_AT] |= F_ADJUSTED
        elif kinds & F_ADJUSTED == 0:
            return
        made = self.helpers.rewrite(conn, reply, data, parser, changed)
        packet.frame = Frame(made, packet.frame.flags & ~VNET_NEEDS_CSUM)
        packet.parsed = False
        packet.extracted = False

    def inherit(self, expected: Expectation, words: vec[i64]) -> None:
        """Give a packet that is expected, but of no connection, its parent's tuple, mark and label."""
        rec = self.table.rec(expected.conn)
        base = base_of(expected.conn)
        words[at.W_CT_MARK] = high32(rec[base + MARK_AT], words[at.W_CT_MARK] & 0xFFFFFFFF)
        words[at.W_CT_LABEL] = rec[base + LABEL_AT]
        words[at.W_CT_LABEL + 1] = rec[base + LABEL_AT + 1]
        parent = expected.parent
        write_tuple(words, parent.src_hi, parent.src_lo, parent.dst_hi, parent.dst_lo, parent.meta)

    def update(self, conn: i64, reply: i64, l4: i64, l3_end: i64, data: bytes, now: i64) -> i64:
        """Take a packet of `conn` into account: the verdict of its protocol."""
        rec = self.table.rec(conn)
        base = base_of(conn)
        proto: i64 = (rec[base + META_AT] >> 8) & 0xFF
        verdict: i64
        if proto == TCP:
            verdict = tcp.update(rec, base, reply, data, l4, l3_end, self.check_windows)
        else:
            verdict = other.update(rec, base, reply, proto)
        kind = verdict >> tcp.KIND_SHIFT
        verdict &= 0xF
        if verdict != tcp.BAD and verdict != tcp.RENEW and kind != tcp.KEEP:
            self.wait(conn, kind, now)
        return verdict

    def write(self, rec: vec[i64], base: i64, args: vec[i64], words: vec[i64]) -> None:
        """Change the mark and label of a connection as the action says, and the packet's alike."""
        mask = args[op.CT_MARK + 1]
        if mask:
            mark = (words[at.W_CT_MARK] >> 32) & 0xFFFFFFFF & ~mask | args[op.CT_MARK]
            rec[base + MARK_AT] = mark
            words[at.W_CT_MARK] = high32(mark, words[at.W_CT_MARK] & 0xFFFFFFFF)
        if args[op.CT_LABEL + 2] | args[op.CT_LABEL + 3]:
            i: i64 = 0
            while i < 2:
                word = words[at.W_CT_LABEL + i] & ~args[op.CT_LABEL + 2 + i] | args[op.CT_LABEL + i]
                rec[base + LABEL_AT + i] = word
                words[at.W_CT_LABEL + i] = word
                i += 1

    def commit(
        self, step: Step, l4: i64, l3_end: i64, data: bytes, expected: Expectation | None, now: i64
    ) -> i64:
        """Make a connection of the packet of `self.key`: 0 if it may not be, -1 if no address is left."""
        key = self.key
        zone: i64 = (key.meta >> 16) & 0xFFFF
        if not self.limits.admits(zone):
            zone_full.inc()
            return 0
        if self.table.count >= self.limits.maximum:
            full.inc()
            return 0
        reply = self.reply_key
        key.copy_to(reply)
        reply.reverse()
        flags = step.args[op.CT_FLAGS]
        kinds: i64 = 0
        if expected is not None and flags & op.CT_NAT:
            kinds = expected_reply(self.table, key, expected.reply, reply)
        elif flags & (op.CT_NAT_SRC | op.CT_NAT_DST):
            kinds = F_SRC_NAT if flags & op.CT_NAT_SRC else F_DST_NAT
            if not choose(self.table, key, reply, step.args, random.getrandbits(31)):
                kinds = -1
        if kinds < 0:
            nat_exhausted.inc()
            return -1
        helper = step.args[op.CT_HELPER]
        if helper:
            kinds |= F_FTP if helper == op.CT_HELPER_FTP else F_TFTP
        conn = self.table.create(key, reply, now)
        self.limits.zone(zone).count += 1
        rec = self.table.rec(conn)
        base = base_of(conn)
        if expected is not None:
            kinds |= F_CHILD
            parent = Key()
            expected.parent.copy_to(parent)
            self.helpers.parents[conn] = parent
            other_rec = self.table.rec(expected.conn)
            other_base = base_of(expected.conn)
            rec[base + MARK_AT] = other_rec[other_base + MARK_AT]
            rec[base + LABEL_AT] = other_rec[other_base + LABEL_AT]
            rec[base + LABEL_AT + 1] = other_rec[other_base + LABEL_AT + 1]
        rec[base + FLAGS_AT] = kinds
        rec[base + POLICY_AT] = self.numbers.get(step.data, 0) if step.data else 0
        proto = key.proto()
        if proto == TCP:
            tcp.begin(rec, base, data, l4, l3_end)
            self.wait(conn, timeouts.TCP_FIRST, now)
        else:
            self.wait(conn, other.first_kind(proto), now)
        return conn

    def clear(self, packet: Packet) -> None:
        """Do the `ct_clear` action: the packet is as if it had never been here."""
        clear(packet.flow.words)
        packet.conn = 0

    # Forgetting.

    def forget(self, conn: i64) -> None:
        """End a connection."""
        zone: i64 = (self.table.rec(conn)[base_of(conn) + META_AT] >> 16) & 0xFFFF
        if self.table.rec(conn)[base_of(conn) + FLAGS_AT] & (F_FTP | F_TFTP | F_CHILD):
            self.helpers.gone(conn)
        self.table.remove(conn)
        self.limits.gone(zone)

    def busy(self) -> bool:
        """Whether there is anything that time may end."""
        return self.table.count != 0 or self.fragments.held != 0

    def run(self, now: i64) -> bool:
        """Forget connections whose time is over; True if there are more of them."""
        if self.fragments.held:
            self.fragments.expire(now)
        n: i64 = 0
        while n < EXPIRE_BUDGET:
            conn = self.table.expired(now)
            if conn == 0:
                return False
            self.forget(conn)
            n += 1
        return True


def may_begin(key: Key, data: bytes, l4: i64) -> bool:
    """Whether the packet of `key`, whose payload begins at `l4`, can be the first of a connection."""
    proto = key.proto()
    if proto == TCP:
        return tcp.may_begin(i64(data[l4 + 13]))
    if proto in (ICMP, ICMPV6):
        return other.is_request(proto, (key.meta >> 40) & 0xFF)
    return True


def clear(words: vec[i64]) -> None:
    """Take all that tracking says out of a packet's metadata."""
    words[at.W_CT_LABEL] = 0
    words[at.W_CT_LABEL + 1] = 0
    words[at.W_CT_STATE] = 0
    words[at.W_CT_NW_SRC] = 0
    words[at.W_CT_IPV6_SRC] = 0
    words[at.W_CT_IPV6_SRC + 1] = 0
    words[at.W_CT_IPV6_DST] = 0
    words[at.W_CT_IPV6_DST + 1] = 0
    words[at.W_CT_TP_SRC] &= ~0xFFFFFFFF


def write_tuple(words: vec[i64], src_hi: i64, src_lo: i64, dst_hi: i64, dst_lo: i64, meta: i64) -> None:
    """Put the tuple of a connection's first packet into a packet's metadata, which has none."""
    proto: i64 = (meta >> 8) & 0xFF
    if meta & 0xFF == 4:
        words[at.W_CT_NW_SRC] = high32(src_lo, dst_lo)
    else:
        words[at.W_CT_IPV6_SRC] = src_hi
        words[at.W_CT_IPV6_SRC + 1] = src_lo
        words[at.W_CT_IPV6_DST] = dst_hi
        words[at.W_CT_IPV6_DST + 1] = dst_lo
    words[at.W_CT_NW_PROTO] |= proto << at.S_CT_NW_PROTO
    ports: i64 = (meta >> 32) & 0xFFFFFFFF
    if proto in (ICMP, ICMPV6):
        # The type and code stand where ports would.
        ports = (ports >> 8 & 0xFF) << 16 | ports & 0xFF
    words[at.W_CT_TP_SRC] |= ports
