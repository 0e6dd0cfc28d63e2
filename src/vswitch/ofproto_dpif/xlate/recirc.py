"""Frozen translations: what a recirculation id stands for.

A translation that needs to see the packet again (a header that a pop uncovered, the answer of
connection tracking) or that sends it to a controller freezes itself: everything that the rest
of the pipeline depends on becomes a `FrozenState`, and the datapath carries only its id.
Equal states share one id, so that revalidation finds the id that the datapath flow already
uses. Ids are counted references. One whose last reference goes is given to no state any more, not even to an
equal one, but its own can be found for another `GRACE_MS`, for packets with it may still be queued.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from vswitch.openflow.actions import Actions

GRACE_MS: Final = 250
"""How long a state outlives its last reference."""


@mypyc_attr(acyclic=True)
@final
class FrozenState:
    """Where and how translation goes on.

    A value, never changed. `bridge` is the switch's name. `metadata` holds the flow's words of tunnel,
    registers, metadata and in_port (`freeze.freeze_metadata`). `stack`: (value, n_bits) pairs, the top last.
    `actions` are still to run, `action_set` is the set so far; `table_id` is where a `Resubmit`
    without a table looks, `rule_cookie` belongs to the rule whose actions they are. `mirrors`:
    already sent to. `userdata` comes with a controller's pause or packet-in. `told`: nothing goes on from
    here, it is reported to a controller; such a state has an id of its own, whatever else it is equal to.
    """

    def __init__(
        self,
        bridge: str,
        table_id: int,
        metadata: bytes,
        stack: tuple[tuple[int, int], ...] = (),
        mirrors: int = 0,
        conntracked: bool = False,
        was_mpls: bool = False,
        actions: Actions = (),
        action_set: Actions = (),
        userdata: bytes = b"",
        rule_cookie: int = 0,
        told: bool = False,
    ) -> None:
        self.bridge: str = bridge
        self.table_id: int = table_id
        self.metadata: bytes = metadata
        self.stack: tuple[tuple[int, int], ...] = stack
        self.mirrors: int = mirrors
        self.conntracked: bool = conntracked
        self.was_mpls: bool = was_mpls
        self.actions: Actions = actions
        self.action_set: Actions = action_set
        self.userdata: bytes = userdata
        self.rule_cookie: int = rule_cookie
        self.told: bool = told
        self._hash: int = hash((metadata, table_id, rule_cookie, userdata, stack, actions, action_set))

    def resumed(self, metadata: bytes, actions: Actions) -> FrozenState:
        """The same with other `metadata` and `actions`."""
        return FrozenState(
            self.bridge, self.table_id, metadata, self.stack, self.mirrors, self.conntracked, self.was_mpls,
            actions, self.action_set, self.userdata, self.rule_cookie, self.told,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrozenState):
            return NotImplemented
        return (
            self._hash == other._hash and self.metadata == other.metadata and self.bridge == other.bridge
            and self.table_id == other.table_id and self.rule_cookie == other.rule_cookie
            and self.told == other.told and self.userdata == other.userdata and self.mirrors == other.mirrors
            and self.conntracked == other.conntracked and self.was_mpls == other.was_mpls
            and self.stack == other.stack and self.actions == other.actions
            and self.action_set == other.action_set
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"FrozenState({self.bridge}, table={self.table_id}, actions={self.actions})"


class RecircIds:
    """The recirculation ids of one datapath."""

    def __init__(self) -> None:
        self._by_id: dict[int, FrozenState] = {}
        self._by_state: dict[FrozenState, int] = {}
        self._refs: dict[int, int] = {}
        self._dying: deque[tuple[int, int]] = deque()
        self._next = 1

    def __len__(self) -> int:
        return len(self._by_id)

    def alloc(self, state: FrozenState) -> int:
        """The id of `state`, with one more reference; nonzero, 32 bits."""
        found = self._by_state.get(state)
        if found is not None:
            self._refs[found] += 1
            return found
        while self._next in self._by_id or self._next == 0:
            self._next = (self._next + 1) & 0xFFFFFFFF
        new = self._next
        self._next = (new + 1) & 0xFFFFFFFF
        self._by_id[new] = state
        self._by_state[state] = new
        self._refs[new] = 1
        return new

    def lookup(self, recirc_id: int) -> FrozenState | None:
        """The state that `recirc_id` stands for."""
        return self._by_id.get(recirc_id)

    def ref(self, recirc_id: int) -> None:
        """One more reference to `recirc_id`, which must have one."""
        self._refs[recirc_id] += 1

    def unref(self, recirc_id: int, now: int) -> None:
        """One reference less; the last one lets the state go after `GRACE_MS`."""
        left = self._refs.get(recirc_id, 1) - 1
        if recirc_id not in self._by_id:
            return
        self._refs[recirc_id] = left
        if left == 0:
            del self._by_state[self._by_id[recirc_id]]
            self._dying.append((now + GRACE_MS, recirc_id))

    def run(self, now: int) -> None:
        """Forget the states whose time has come."""
        dying = self._dying
        while dying and dying[0][0] <= now:
            _, recirc_id = dying.popleft()
            if self._refs.pop(recirc_id, None) is not None:
                del self._by_id[recirc_id]

    def flush(self, bridge: str) -> None:
        """Forget the states of `bridge`, which is going away."""
        for recirc_id, state in list(self._by_id.items()):
            if state.bridge == bridge:
                del self._by_id[recirc_id]
                del self._refs[recirc_id]
                if self._by_state.get(state) == recirc_id:
                    del self._by_state[state]
