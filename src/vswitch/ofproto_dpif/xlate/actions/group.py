"""Groups in translation: which bucket a packet takes, and what the buckets do.

`all` and `indirect` run every bucket, `ff` the first live one, `select` one of the live ones:
by a hash of the packet's fields made here (`hash`), or by the hash that the datapath makes
(`dp_hash`), for which the packet is recirculated. The table from dp_hash values to buckets is
filled by Webster's method (of highest averages), so that each stretch of it is about as fair
as the whole. Without a selection method dp_hash is used if 256 values suffice for the weights.

A bucket works on a copy of the packet: nothing that follows the group sees its changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64

from vswitch.dpif.actions import Hash
from vswitch.flow.flow import signed64
from vswitch.flow.hash import hash_2words, hash_add, hash_add64, hash_finish, word_at
from vswitch.flow.hash_fields import hash_fields, mask_hash_fields
from vswitch.flow.layout import VLAN_CFI
from vswitch.flow.prereq import prereqs_ok
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
from vswitch.ofproto_dpif.xlate import tables as xlate_tables
from vswitch.ofproto_dpif.xlate.actions import dispatch as xlate_actions
from vswitch.ofproto_dpif.xlate.actions import fields as xlate_fields
from vswitch.ofproto_dpif.xlate.actions.action_set import ordered_action_set
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report, report_error
from vswitch.ofproto_dpif.xlate.effects import CreditBucket
from vswitch.ofproto_dpif.xlate.trace import OFT_BUCKET, OFT_DETAIL, OFT_WARN
from vswitch.ofproto_dpif.xlate.types import LIMITS, XLATE_OK
from vswitch.openflow.constants import OFPG_ANY, OFPP_ANY
from vswitch.openflow.messages.group import OFPGT_ALL, OFPGT_INDIRECT, OFPGT_SELECT

if TYPE_CHECKING:
    from vswitch.ofproto.groups import Group, GroupBucket

MAX_LIVENESS_RECURSION: Final = 128
"""How long a chain of watched groups may be."""
MIN_HASH_VALUES: Final = 16
MAX_HASH_VALUES: Final = 256
HASH_ALG_L4: Final = 0
"""The hash that every datapath makes."""
HASH_ALG_SYM_L4: Final = 1
N_HASH_ALGS: Final = 2


@final
class Choice:
    """How a select group chooses: by dp_hash if `slots` is not empty, by `fields_hash` of its
    fields if that is set, else by a symmetric hash of the packet's addresses and ports."""

    def __init__(self, slots: list[GroupBucket], alg: int, basis: int, fields_hash: bool) -> None:
        self.slots: list[GroupBucket] = slots
        self.alg: int = alg
        self.basis: int = basis
        self.fields_hash: bool = fields_hash


def choice_of(group: Group) -> Choice:
    """The group's way to choose, worked out once."""
    made = group.choice
    if made is None:
        made = group.choice = _make_choice(group)
    assert isinstance(made, Choice)
    return made


def _make_choice(group: Group) -> Choice:
    selection = group.selection
    if selection is None or not selection.method:
        return Choice(hash_slots(group.buckets), HASH_ALG_SYM_L4, 0, False)
    if selection.method == "hash":
        return Choice([], 0, 0, bool(selection.fields))
    alg = selection.param >> 32
    if alg >= N_HASH_ALGS:
        alg = HASH_ALG_L4
    return Choice(hash_slots(group.buckets), alg, selection.param & 0xFFFFFFFF, False)


def hash_slots(buckets: list[GroupBucket]) -> list[GroupBucket]:
    """A bucket for each value of so many bits of a hash that even the lightest gets one, by
    Webster's method; [] if that takes more than MAX_HASH_VALUES, or if nothing has a weight."""
    weights = [bucket.weight for bucket in buckets]
    total = sum(weights)
    if not total:
        return []
    lightest = min(weight for weight in weights if weight)
    n = MIN_HASH_VALUES
    while n < -(-total // lightest):
        n *= 2
    if n > MAX_HASH_VALUES:
        return []
    divisors = [1] * len(buckets)
    values = [float(weight) for weight in weights]
    slots: list[GroupBucket] = []
    for _ in range(n):
        winner = values.index(max(values))
        divisors[winner] += 2
        values[winner] = weights[winner] / divisors[winner]
        slots.append(buckets[winner])
    return slots


# Liveness.


def _is_alive(ctx: Ctx, bucket: GroupBucket, depth: int) -> bool:
    """Whether what `bucket` watches is up; `depth` links down a chain of watched groups."""
    if depth >= MAX_LIVENESS_RECURSION:
        report_error(ctx, f"bucket chaining exceeded {MAX_LIVENESS_RECURSION} links")
        return False
    if bucket.never:
        return False
    if not bucket.watches:
        return True
    if bucket.watch_port != OFPP_ANY:
        port = ctx.bridge.ports.get(bucket.watch_port)
        if port is not None and port.may_enable:
            return True
    return bucket.watch_group != OFPG_ANY and _is_group_alive(ctx, bucket.watch_group, depth + 1)


def _is_group_alive(ctx: Ctx, group_id: int, depth: int) -> bool:
    ctx.out.tags |= ctx.bridge.group_tag(group_id)
    group = ctx.bridge.groups.by_id.get(group_id)
    return group is not None and _first_live(ctx, group, depth) is not None


def _first_live(ctx: Ctx, group: Group, depth: int) -> GroupBucket | None:
    for bucket in group.buckets:
        if _is_alive(ctx, bucket, depth):
            return bucket
        _report_dead(ctx, bucket)
    return None


def _report_dead(ctx: Ctx, bucket: GroupBucket) -> None:
    if ctx.trace is not None:
        watched = [f"port {n}" for n in (bucket.watch_port,) if n != OFPP_ANY]
        watched += [f"port {n}" for n in (bucket.watch_group,) if n != OFPG_ANY]
        report(ctx, OFT_DETAIL, f"bucket {bucket.bucket_id}: not live due to {' and '.join(watched)}")


def _best_live(ctx: Ctx, group: Group, basis: int) -> GroupBucket | None:
    """The live bucket with the highest score: a random number of its own for each packet's hash
    `basis`, times its weight. A bucket that dies moves only its own packets."""
    best: GroupBucket | None = None
    best_score = 0
    for bucket in group.buckets:
        if _is_alive(ctx, bucket, 0):
            score = (hash_2words(bucket.bucket_id, basis) & 0xFFFF) * bucket.weight
            if score >= best_score:
                best = bucket
                best_score = score
            if ctx.trace is not None:
                report(ctx, OFT_DETAIL, f"bucket {bucket.bucket_id}: score {score}")
        else:
            _report_dead(ctx, bucket)
    return best


# Selection.


def _select(ctx: Ctx, group: Group) -> GroupBucket | None:
    """The bucket of a select group; None if none is alive, or if `ctx` freezes: then the group is
    run again when the packet comes back."""
    if ctx.was_mpls:
        # What a hash is made of is behind the label.
        xlate_freeze.trigger(ctx)
        return None
    choice = choice_of(group)
    if choice.slots:
        return _by_dp_hash(ctx, choice)
    if choice.fields_hash:
        return _best_live(ctx, group, _hash_of_fields(ctx, group))
    mask_hash_fields(ctx.flow, ctx.wc, "symmetric_l4")
    return _best_live(ctx, group, hash_fields(ctx.flow, "symmetric_l4", 0))


def _by_dp_hash(ctx: Ctx, choice: Choice) -> GroupBucket | None:
    """By the datapath's hash of the packet, which is not 0 once it is made."""
    dp_hash = ctx.flow.dp_hash
    if not dp_hash:
        alg = choice.alg if choice.alg <= ctx.support.max_hash_alg else HASH_ALG_L4
        ctx.dp_hash = Hash(alg, choice.basis)
        xlate_freeze.trigger(ctx)
        return None
    slots = choice.slots
    mask = len(slots) - 1
    ctx.wc.dp_hash |= mask
    for i in range(len(slots)):
        # The slots that follow a dead bucket's are spread over the others by their weights.
        bucket = slots[(dp_hash + i) & mask]
        if _is_alive(ctx, bucket, 0):
            return bucket
    return None


def _hash_of_fields(ctx: Ctx, group: Group) -> int:
    """The hash of the fields that the group names, as far as the packet has them."""
    selection = group.selection
    assert selection is not None
    basis = int(hash_finish(hash_add64(0, signed64(selection.param)), 8))
    flow = ctx.flow
    for field, bits in selection.fields:
        if not prereqs_ok(field, flow, None, ctx.wc):
            continue
        n_bytes = (field.n_bits + 7) // 8
        if n_bytes == 3:
            # 20 and 24 bits of a label or a path: they are kept in 32.
            n_bytes = 4
        value = flow.get(field)
        if field.name == "vlan_vid":
            # OpenFlow's VLAN has a bit that says that there is one (OpenFlow 1.3, 7.2.3.7).
            value |= flow.vlan_tci & VLAN_CFI
            bits |= VLAN_CFI
        basis = _hash_of_bytes((value & bits).to_bytes(n_bytes, "big"), basis)
        xlate_fields.mask_field(ctx.wc, field, bits)
    return basis


def _hash_of_bytes(data: bytes, basis: int) -> int:
    h: i64 = basis
    n: i64 = len(data)
    at: i64 = 0
    while at < n:
        h = hash_add(h, word_at(data, at))
        at += 4
    return int(hash_finish(h, n))


# The action.


def group(ctx: Ctx, group_id: int, last: bool) -> bool:
    """The group action. Whether it ends the actions: of a group that is not there."""
    if not xlate_tables.check_limits(ctx):
        return False
    bridge = ctx.bridge
    ctx.out.tags |= bridge.group_tag(group_id)
    found = bridge.groups.by_id.get(group_id)
    if found is None:
        if ctx.trace is not None:
            report(ctx, OFT_WARN, f"output to nonexistent group {group_id}")
        return True
    if found.type in (OFPGT_ALL, OFPGT_INDIRECT):
        n = len(found.buckets)
        for i in range(n):
            _run_bucket(ctx, found.buckets[i], last and i == n - 1)
        ctx.effects.append(CreditBucket(found, None))
        return False
    chosen = _select(ctx, found) if found.type == OFPGT_SELECT else _first_live(ctx, found, 0)
    if chosen is None:
        if ctx.trace is not None:
            report(ctx, OFT_DETAIL, "no live bucket")
        return False
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, f"using bucket {chosen.bucket_id}")
    _run_bucket(ctx, chosen, last)
    ctx.effects.append(CreditBucket(found, chosen))
    return False


def _run_bucket(ctx: Ctx, bucket: GroupBucket, last: bool) -> None:
    """Execute the bucket's actions, an action set, on a copy of the packet."""
    ordered = bucket.ordered
    if ordered is None:
        ordered = bucket.ordered = ordered_action_set(list(bucket.actions))
    trace = ctx.trace
    outer = trace.enter(OFT_BUCKET, f"bucket {bucket.bucket_id}") if trace is not None else None
    saved = ctx.saved()
    old_bucket_at = ctx.bucket_at
    ctx.bucket_at = ctx.resubmits
    ctx.depth += 1
    xlate_actions.run(ctx, ordered, last)
    ctx.depth -= 1
    ctx.bucket_at = old_bucket_at
    if ctx.freezing:
        xlate_freeze.finish(ctx)
    saved.restore_flow(ctx)
    saved.restore_headers(ctx)
    ctx.was_mpls = saved.was_mpls
    # However the bucket ended, it is not the end of what follows, unless translation is at its limits.
    ctx.exit = False
    if ctx.error not in LIMITS:
        ctx.error = XLATE_OK
    if trace is not None and outer is not None:
        trace.leave(outer)
