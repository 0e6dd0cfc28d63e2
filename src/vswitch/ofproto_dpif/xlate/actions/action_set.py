"""The order in which an action set is executed, whatever the order in which it was written."""

from __future__ import annotations

from typing import Final

from vswitch.openflow import actions as of

_SET_FIRST: Final[tuple[type, ...]] = (
    of.StripVlan, of.PopMpls, of.Decap, of.Encap, of.PushMpls, of.PushVlan,
    of.DecTtl, of.DecMplsTtl, of.DecNshTtl,
)  # fmt: skip
"""Of these, which come before the set actions in this order, the last one written counts."""
_SET_LAST: Final[tuple[type, ...]] = (of.Group, of.Output, of.Resubmit, of.Ct, of.CtClear)
"""The first kind of these that is there ends the action set; without any there is no point in it."""
_SETS: Final = (
    of.SetEthDst, of.SetEthSrc, of.SetField, of.SetIpDscp, of.SetIpEcn, of.SetIpTtl, of.SetIpv4Dst,
    of.SetIpv4Src, of.SetL4DstPort, of.SetL4SrcPort, of.SetMplsLabel, of.SetMplsTc, of.SetMplsTtl,
    of.SetQueue, of.SetTunnel, of.SetVlanPcp, of.SetVlanVid, of.RegMove,
)  # fmt: skip


def ordered_action_set(written: list[of.Action]) -> of.Actions:
    """The actions written to the set in the order of OpenFlow 1.5, section 5.6 (action set)."""
    by_kind: dict[type, of.Action] = {type(action): action for action in written}
    result = [by_kind[kind] for kind in _SET_FIRST if kind in by_kind]
    result += [action for action in written if isinstance(action, _SETS)]
    for kind in _SET_LAST:
        if kind in by_kind:
            result.append(by_kind[kind])
            return tuple(result)
    return ()
