"""Carrying out the effects of a translation, for packets that really passed.

The same effects are applied when a packet is handled here and again whenever the datapath
reports more packets of the flow: then the MAC entries are refreshed too, so that a busy
address stays known although its packets are not seen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.ofproto_dpif.learned import learn_flow, reduce_timeouts
from vswitch.ofproto_dpif.xlate.effects import (
    CreditBucket,
    CreditMirrors,
    CreditPort,
    CreditRule,
    CreditTable,
    Effect,
    LearnFlow,
    LearnMac,
    ReduceTimeouts,
    SendPacketIn,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FIN_OR_RST: Final = 0x005
"""The TCP flags that end a connection."""


def credit(effects: Sequence[Effect], n_packets: int, n_bytes: int, now: int, tcp_flags: int = 0) -> None:
    """Apply `effects` for `n_packets` packets of `n_bytes` bytes, the last one at clock ms `now`;
    `tcp_flags` are those of all of them.

    With `n_packets` 0 nothing is counted but addresses and flows are learned all the same: the
    packets are counted elsewhere.
    """
    for effect in effects:
        if isinstance(effect, CreditRule):
            if n_packets:
                effect.rule.credit(n_packets, n_bytes, now)
        elif isinstance(effect, CreditTable):
            effect.ofproto.credit_table(effect.table_id, n_packets, effect.hit)
        elif isinstance(effect, LearnMac):
            effect.ofproto.update_learning_table(effect, now)
        elif isinstance(effect, CreditPort):
            port = effect.port
            if effect.tx:
                port.tx_packets += n_packets
                port.tx_bytes += n_bytes
            else:
                port.rx_packets += n_packets
                port.rx_bytes += n_bytes
        elif isinstance(effect, CreditMirrors):
            effect.ofproto.credit_mirrors(effect.mirrors, n_packets, n_bytes)
        elif isinstance(effect, CreditBucket):
            effect.group.credit(effect.bucket, n_packets, n_bytes)
        elif isinstance(effect, LearnFlow):
            learn_flow(effect, now)
        elif isinstance(effect, ReduceTimeouts):
            if tcp_flags & FIN_OR_RST:
                reduce_timeouts(effect)
        elif isinstance(effect, SendPacketIn):
            effect.ofproto.send_packet_in(effect)


def same_effects(a: Sequence[Effect], b: Sequence[Effect]) -> bool:
    """Whether both lists count on the same things in the same order."""
    if len(a) != len(b):
        return False
    for i, x in enumerate(a):
        y = b[i]
        if isinstance(x, CreditRule):
            if not isinstance(y, CreditRule) or x.rule is not y.rule:
                return False
        elif isinstance(x, CreditTable):
            if not isinstance(y, CreditTable) or x.ofproto is not y.ofproto \
                    or x.table_id != y.table_id or x.hit is not y.hit:
                return False
        elif isinstance(x, LearnMac):
            if not isinstance(y, LearnMac) or x.ofproto is not y.ofproto or x.mac != y.mac \
                    or x.vlan != y.vlan or x.bundle is not y.bundle:
                return False
        elif isinstance(x, CreditPort):
            if not isinstance(y, CreditPort) or x.port is not y.port or x.tx is not y.tx:
                return False
        elif isinstance(x, LearnFlow):
            if not isinstance(y, LearnFlow) or x.ofproto is not y.ofproto or x.limit != y.limit \
                    or x.flow_mod != y.flow_mod:
                return False
        elif isinstance(x, ReduceTimeouts):
            if not isinstance(y, ReduceTimeouts) or x.rule is not y.rule or x.idle != y.idle \
                    or x.hard != y.hard:
                return False
        elif isinstance(x, CreditMirrors):
            if not isinstance(y, CreditMirrors) or x.ofproto is not y.ofproto or x.mirrors != y.mirrors:
                return False
        elif isinstance(x, CreditBucket):
            if not isinstance(y, CreditBucket) or x.group is not y.group or x.bucket is not y.bucket:
                return False
        else:
            return False
    return True
