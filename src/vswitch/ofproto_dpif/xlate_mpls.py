"""Which actions need to see what an MPLS pop uncovered, and so must wait for a recirculation."""

from __future__ import annotations

from typing import Any, Final

from vswitch.flow.layout import W_MPLS_LSE
from vswitch.ofproto_dpif.xlate_freeze import Unroll
from vswitch.openflow import actions as of
from vswitch.openflow.constants import OFPP_TABLE

_CONTENT: Final = frozenset((
    of.Output, of.OutputReg, of.OutputTrunc, of.Controller, of.Enqueue, of.Bundle, of.Group,
    of.SetVlanVid, of.SetVlanPcp, of.StripVlan, of.PushVlan, of.SetEthSrc, of.SetEthDst,
    of.SetTunnel, of.SetQueue, of.PopQueue, of.Conjunction, of.Note, Unroll, of.Exit, of.Sample,
    of.ClearActions, of.WriteActions, of.WriteMetadata, of.Clone,
    of.DebugRecirc, of.DebugSlow, of.FinTimeout, of.Ct, of.CtClear, of.Nat, of.Meter,
))  # fmt: skip
"""Actions that do without."""


def _is_l3(field: Any) -> bool:
    """Whether `field` lies behind the Ethernet header and the VLAN tags."""
    return bool(field.word >= W_MPLS_LSE)


def needs_recirculation(action: Any) -> bool:
    """Whether `action` reads or writes what lies behind the popped label."""
    kind = type(action)
    if kind in _CONTENT:
        return kind is of.Output and bool(action.port == OFPP_TABLE)
    if kind is of.SetField:
        return _is_l3(action.field)
    if kind is of.RegMove:
        return _is_l3(action.src.field) or _is_l3(action.dst.field)
    if kind is of.StackPush:
        return _is_l3(action.src.field)
    if kind is of.StackPop:
        return _is_l3(action.dst.field)
    return True
