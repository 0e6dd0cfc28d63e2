"""What there is in action lists, in nested ones too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vswitch.dpif import actions as act
from vswitch.dpif.drop_reasons import drop_reason

MPLS: Final = (act.PushMpls, act.PopMpls, act.AddMpls)


def labels(actions: act.Actions) -> bool:
    """Whether `actions` push or pop labels, so that GSO packets have them all in userspace (`Op.WHOLE`)."""
    return any_of(actions, MPLS)


def any_of(actions: Sequence[act.Action], kinds: tuple[type, ...]) -> bool:
    """Whether one of `actions` is of `kinds`."""
    for action in actions:
        if isinstance(action, kinds):
            return True
        if isinstance(action, act.Clone | act.Sample) and any_of(action.actions, kinds):
            return True
        if isinstance(action, act.CheckPktLen) and any_of((*action.greater, *action.less_equal), kinds):
            return True
    return False


def meters(actions: act.Actions) -> set[int]:
    """Every meter that `actions` name."""
    found: set[int] = set()
    for action in actions:
        if isinstance(action, act.Meter):
            found.add(action.meter_id)
        elif isinstance(action, act.Clone | act.Sample):
            found |= meters(action.actions)
        elif isinstance(action, act.CheckPktLen):
            found |= meters(action.greater) | meters(action.less_equal)
    return found


def until_drop(actions: act.Actions) -> tuple[act.Actions, str]:
    """What is done to every packet before an explicit drop, and that one's reason. With "" there is none, or
    some packets end before it, so that the list itself counts."""
    for n, action in enumerate(actions):
        if isinstance(action, act.Meter | act.DecTtl):
            break
        if isinstance(action, act.Drop):
            return actions[:n], drop_reason(action.reason)
    return actions, ""


def outputs(actions: act.Actions) -> list[int]:
    """Every port that `actions` output to."""
    found: list[int] = []
    for action in actions:
        if isinstance(action, act.Output):
            found.append(action.port)
        elif isinstance(action, act.Clone | act.Sample):
            found += outputs(action.actions)
        elif isinstance(action, act.CheckPktLen):
            found += outputs(action.greater) + outputs(action.less_equal)
    return found
