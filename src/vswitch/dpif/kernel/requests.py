"""`Requests`: datapath operations as requests of a batch, and what the kernel answered (linux/openvswitch.h).

Compiled, apart from the provider, since each miss makes two.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Final, final

from mypy_extensions import i64

from vswitch.dpif.kernel.flow import (
    OVS_FLOW_CMD_DEL,
    OVS_FLOW_CMD_GET,
    OVS_FLOW_CMD_NEW,
    OVS_FLOW_CMD_SET,
    compose_named,
    compose_put,
    parse_flow,
    parse_stats,
)
from vswitch.dpif.kernel.packet import compose_execute
from vswitch.dpif.ops import Execute, FlowDel, FlowGet, FlowPut, Op
from vswitch.dpif.types import PutFlags
from vswitch.netlink.attrs import NlAttrError
from vswitch.netlink.message import NLM_F_CREATE, NLM_F_ECHO, Batch

MAX_BATCH_BYTES: Final = 65536
"""A batch is full once it holds this many bytes."""

# `PutFlags` as plain integers: an enum's `&` would cost more than composing the message.
_CREATE: Final = int(PutFlags.CREATE)
_MODIFY: Final = int(PutFlags.MODIFY)
_ZERO_STATS: Final = int(PutFlags.ZERO_STATS)
_PROBE: Final = int(PutFlags.PROBE)


@final
class Requests:
    """Those to datapath `dp_ifindex`; `flow` and `packet` are the numbers of families ovs_flow and
    ovs_packet, `max_ops` how many go into a batch."""

    def __init__(self, flow: i64, packet: i64, dp_ifindex: i64, max_ops: i64) -> None:
        self._flow: i64 = flow
        self._packet: i64 = packet
        self._dp: i64 = dp_ifindex
        self._max_ops: i64 = max_ops

    def fill(self, batch: Batch, ops: Sequence[Op], first: i64, members: list[Op]) -> i64:
        """Add requests for `ops` from the `first` on until `batch` is full or all are in it; those that are
        in it go to `members`. The number of the next.

        An operation that no message can hold has failed with E2BIG.
        """
        n: i64 = len(ops)
        while first < n and len(members) < self._max_ops and batch.size() < MAX_BATCH_BYTES:
            op = ops[first]
            first += 1
            op.error = 0
            op.detail = ""
            try:
                self._compose(batch, op)
            except NlAttrError as e:
                batch.drop_last()
                op.error = errno.E2BIG
                op.detail = str(e)
                continue
            members.append(op)
        return first

    def _compose(self, batch: Batch, op: Op) -> None:
        if isinstance(op, FlowPut):
            put: i64 = int(op.flags)
            flags: i64 = 0 if put & _MODIFY else NLM_F_CREATE
            cmd: i64 = OVS_FLOW_CMD_NEW if put & _CREATE else OVS_FLOW_CMD_SET
            if op.want_stats:
                batch.begin(self._flow, flags | NLM_F_ECHO, True)
            else:
                batch.begin(self._flow, flags, False, True)
            compose_put(
                batch.builder, cmd, self._dp, op.key, op.mask, op.actions, op.ufid,
                put & _ZERO_STATS != 0, put & _PROBE != 0,
            )  # fmt: skip
        elif isinstance(op, FlowDel):
            batch.begin(self._flow, NLM_F_ECHO, True)
            compose_named(batch.builder, OVS_FLOW_CMD_DEL, self._dp, op.key, op.ufid, True)
        elif isinstance(op, FlowGet):
            batch.begin(self._flow, NLM_F_ECHO, True)
            compose_named(batch.builder, OVS_FLOW_CMD_GET, self._dp, op.key, op.ufid, False)
        elif isinstance(op, Execute):
            batch.begin(self._packet, 0, False, True)
            compose_execute(
                batch.builder, self._dp, op.packet, op.key, op.actions, op.mtu, op.hash, op.probe
            )
        else:
            raise TypeError(f"{type(op).__name__} is no datapath operation")
        batch.end()


def take_answers(batch: Batch, members: list[Op], age: int) -> None:
    """Give each of `members` what was answered to its request of `batch`: an error, statistics, a flow.
    `age` is as for `parse_stats`."""
    for i, op in enumerate(members):
        code = batch.error(i)
        if code:
            op.error = code
            op.detail = batch.detail(i)
        else:
            reply = batch.reply(i)
            if reply:
                _take(op, reply, age)


def _take(op: Op, reply: bytes, age: int) -> None:
    try:
        if isinstance(op, FlowDel | FlowPut):
            op.stats = parse_stats(reply, age)
        elif isinstance(op, FlowGet):
            op.flow = parse_flow(reply, 0, len(reply), age)
    except NlAttrError as e:
        op.error = errno.EPROTO
        op.detail = str(e)
