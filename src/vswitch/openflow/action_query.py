"""Questions about actions: what is within them, where they output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vswitch.openflow.actions import (
    Action,
    Bundle,
    Clone,
    Controller,
    Ct,
    Enqueue,
    Group,
    Output,
    OutputTrunc,
    WriteActions,
)
from vswitch.openflow.constants import OFPP_CONTROLLER


def flattened(actions: Iterable[Action]) -> Iterator[Action]:
    """All actions, those within `write_actions`, `clone` and `ct` included."""
    for action in actions:
        yield action
        if isinstance(action, (WriteActions, Clone, Ct)):
            yield from flattened(action.actions)


def outputs_to_port(actions: Iterable[Action], port: int) -> bool:
    """Whether some action outputs to OpenFlow port `port` (OpenFlow 1.3, 6.4: `out_port`)."""
    for action in flattened(actions):
        if isinstance(action, (Output, OutputTrunc, Enqueue)):
            if action.port == port:
                return True
        elif isinstance(action, Bundle):
            if action.dst is None and port in action.members:
                return True
        elif isinstance(action, Controller) and port == OFPP_CONTROLLER:
            return True
    return False


def uses_group(actions: Iterable[Action], group_id: int) -> bool:
    """Whether some action runs group `group_id`."""
    return any(isinstance(a, Group) and a.group_id == group_id for a in flattened(actions))
