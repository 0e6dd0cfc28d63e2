"""Which actions need to see what an MPLS pop uncovered, and so must wait for a recirculation."""

from __future__ import annotations

from typing import Any, Final

from vswitch.flow.layout import W_MPLS_LSE
from vswitch.ofproto_dpif.xlate.freeze import Unroll
from vswitch.openflow import actions as of
from vswitch.openflow.constants import OFPP_TABLE

_WITHOUT_CONTENT: Final = frozenset((
    of.Output, of.OutputReg, of.OutputTrunc, of.Enqueue, of.SetVlanVid,
    of.SetVlanPcp, of.SetEthSrc, of.SetEthDst, of.SetTunnel, of.SetQueue, of.Group, Unroll,
))  # fmt: skip
"""Actions that do not look at what lies behind the popped label, and that often follow a pop; the
others pay for a recirculation whether or not they need it, as they do in Open vSwitch."""


def needs_recirculation(action: Any) -> bool:
    """Whether `action` may read or write what lies behind the popped label."""
    kind = type(action)
    if kind in _WITHOUT_CONTENT:
        return kind is of.Output and bool(action.port == OFPP_TABLE)
    if kind is of.Controller:
        # What output:CONTROLLER can say is an output.
        return bool(action != of.Controller(action.max_len))
    if kind is of.SetField:
        return bool(action.field.word >= W_MPLS_LSE)
    return True
