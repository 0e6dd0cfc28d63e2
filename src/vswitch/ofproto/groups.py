"""`Groups`: the group table, and what group mods do to it (OpenFlow 1.5, 5.10 and 7.3.4.3).

A modified group is a new `Group` in the old one's place: whoever cached what the old one did still
counts there, and undoing the modification is putting the old one back. As in Open vSwitch,
counters start again at 0 with each modification, a group may name groups that are not there
(such a bucket does nothing), and chains that bite their tail are found when packets follow
them, at the depth where translation gives up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from vswitch.ofproto.group_refs import ActionRefs, Undo, remove_rules
from vswitch.openflow.constants import OFPG_ANY, OFPG_MAX, OFPP_ANY, OFPRR_GROUP_DELETE
from vswitch.openflow.errors import OfpError
from vswitch.openflow.group_check import check_group, check_selection, in_order
from vswitch.openflow.messages import group as g

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.ofproto.tables import Tables
    from vswitch.openflow.actions import Actions

"""The highest group number that a group can have."""
CAPABILITIES: Final = 0x7
"""OFPGFC_SELECT_WEIGHT, OFPGFC_SELECT_LIVENESS, OFPGFC_CHAINING (OpenFlow 1.5, 7.3.5.10)."""
_ACTIONS12: Final = sum(1 << n for n in (0, *range(15, 26)))
_ACTIONS11: Final = sum(1 << n for n in (*range(11), *range(13, 25)))
_ACTIONS10: Final = (1 << 12) - 1


@final
class GroupBucket:
    """One bucket of a group, and what it counted."""

    def __init__(self, spec: g.Bucket, selected: bool) -> None:
        self.spec: g.Bucket = spec
        self.bucket_id: int = spec.bucket_id
        self.actions: Actions = spec.actions
        self.weight: int = spec.weight
        self.watch_port: int = spec.watch_port
        self.watch_group: int = spec.watch_group
        self.watches: bool = spec.watch_port != OFPP_ANY or spec.watch_group != OFPG_ANY
        """Whether the bucket is alive only while a port or a group is."""
        self.never: bool = selected and not spec.weight
        """Whether the bucket is one of a select group that gets no packets: it is not alive."""
        self.n_packets: int = 0
        self.n_bytes: int = 0
        self.ordered: Actions | None = None
        """The actions in the order of an action set, once translation asked for them."""


@final
class Group:
    """A group as it was defined last. `created` and `modified` are clock ms.

    `choice` is what the provider worked out from the definition, such as a table of hash
    values: made when it is first needed, gone with the group.
    """

    def __init__(self, group_id: int, type: int, buckets: tuple[g.Bucket, ...],
                 selection: g.SelectionMethod | None, created: int, modified: int) -> None:
        self.group_id: int = group_id
        self.type: int = type
        self.buckets: list[GroupBucket] = [
            GroupBucket(spec, type == g.OFPGT_SELECT) for spec in buckets
        ]
        self.selection: g.SelectionMethod | None = in_order(selection)
        self.created: int = created
        self.modified: int = modified
        self.n_packets: int = 0
        self.n_bytes: int = 0
        self.watches: bool = any(bucket.watches for bucket in self.buckets)
        self.choice: Any = None

    def credit(self, bucket: GroupBucket | None, n_packets: int, n_bytes: int) -> None:
        """Count packets that went through `bucket`, or (None) through all of them."""
        self.n_packets += n_packets
        self.n_bytes += n_bytes
        if bucket is not None:
            bucket.n_packets += n_packets
            bucket.n_bytes += n_bytes
        else:
            for each in self.buckets:
                each.n_packets += n_packets
                each.n_bytes += n_bytes

    def desc(self) -> g.GroupDesc:
        """The group's definition."""
        return g.GroupDesc(self.group_id, self.type, tuple(b.spec for b in self.buckets), self.selection)

    def stats(self, now: int, ref_count: int) -> g.GroupStats:
        """What the group counted by clock ms `now`."""
        seconds, ms = divmod(max(now - self.created, 0), 1000)
        return g.GroupStats(
            self.group_id, ref_count, self.n_packets, self.n_bytes, seconds, ms * 1_000_000,
            tuple((b.n_packets, b.n_bytes) for b in self.buckets),
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"Group({self.group_id}, type={self.type}, {len(self.buckets)} buckets)"


class GroupListener(Protocol):
    """Hears of changes after they are made."""

    def group_changed(self, group_id: int) -> None:
        """A group came, went, or was modified: what was made of it is stale."""


@final
class Groups:
    """The groups of one switch.

    `mod` is the only way to change them. `refs` tells which rules use a group; the rules of a
    deleted group are deleted too, for OFPRR_GROUP_DELETE.
    """

    def __init__(self, tables: Tables, refs: ActionRefs, listener: GroupListener) -> None:
        self.tables: Tables = tables
        self.refs: ActionRefs = refs
        self.listener: GroupListener = listener
        self.by_id: dict[int, Group] = {}

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[Group]:
        """The groups by number."""
        return iter([self.by_id[n] for n in sorted(self.by_id)])

    # Changes.

    def mod(self, mod: g.GroupMod, now: int) -> Undo:
        """Carry out `mod` at clock ms `now`; calling the result puts everything back.

        OfpError (nothing changed): OFPGMFC_GROUP_EXISTS, OFPGMFC_UNKNOWN_GROUP,
        OFPGMFC_INVALID_GROUP, OFPGMFC_UNKNOWN_BUCKET, OFPGMFC_BUCKET_EXISTS,
        OFPGMFC_BAD_COMMAND, and what `check_group` says.
        """
        command = mod.command
        if command == g.OFPGC_DELETE:
            return self._delete(mod.group_id)
        old = self.by_id.get(mod.group_id)
        if command == g.OFPGC_ADD or (command == g.OFPGC_ADD_OR_MOD and old is None):
            if old is not None:
                raise OfpError("OFPGMFC_GROUP_EXISTS", f"group {mod.group_id}")
            _check(mod)
            return self._put(Group(mod.group_id, mod.type, mod.buckets, mod.selection, now, now), None)
        if command not in (
            g.OFPGC_MODIFY, g.OFPGC_ADD_OR_MOD, g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET,
        ):  # fmt: skip
            raise OfpError("OFPGMFC_BAD_COMMAND", f"group command {command}")
        if old is None:
            raise OfpError("OFPGMFC_UNKNOWN_GROUP", f"group {mod.group_id}")
        if command in (g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET):
            # These keep the group's type and selection method (ONF EXT-570).
            edit = _insert if command == g.OFPGC_INSERT_BUCKET else _remove
            there = tuple(bucket.spec for bucket in old.buckets)
            mod = replace(
                mod, type=old.type, selection=old.selection,
                buckets=edit(there, mod.command_bucket_id, mod.buckets),
            )  # fmt: skip
        else:
            _check(mod)
        return self._put(Group(mod.group_id, mod.type, mod.buckets, mod.selection, old.created, now), old)

    def _put(self, new: Group, old: Group | None) -> Undo:
        group_id = new.group_id
        self.by_id[group_id] = new
        self.listener.group_changed(group_id)

        def undo() -> None:
            if old is None:
                del self.by_id[group_id]
            else:
                self.by_id[group_id] = old
            self.listener.group_changed(group_id)

        return undo

    def _delete(self, group_id: int) -> Undo:
        if group_id == g.OFPG_ALL:
            gone = list(self.by_id.values())
        else:
            found = self.by_id.get(group_id)
            # A group that is not there is as good as deleted (OpenFlow 1.5, 6.4).
            gone = [] if found is None else [found]
        rules = {rule: None for group in gone for rule in self.refs.group_users(group.group_id)}
        restore = remove_rules(self.tables, list(rules), OFPRR_GROUP_DELETE)
        for group in gone:
            del self.by_id[group.group_id]
            self.listener.group_changed(group.group_id)

        def undo() -> None:
            for group in gone:
                self.by_id[group.group_id] = group
                self.listener.group_changed(group.group_id)
            restore()

        return undo

    # Questions.

    def desc(self, group_id: int = g.OFPG_ALL) -> list[g.GroupDesc]:
        """The definition of a group, or of all; [] if there is none."""
        return [group.desc() for group in self._asked(group_id)]

    def stats(self, now: int, group_id: int = g.OFPG_ALL) -> list[g.GroupStats]:
        """The counters of a group, or of all; [] if there is none. Push the datapath's first."""
        users = self.refs.by_group
        return [
            group.stats(now, sum(users.get(group.group_id, {}).values())) for group in self._asked(group_id)
        ]

    def _asked(self, group_id: int) -> list[Group]:
        if group_id == g.OFPG_ALL:
            return list(self)
        found = self.by_id.get(group_id)
        return [] if found is None else [found]

    @staticmethod
    def features(version: int) -> g.GroupFeaturesReply:
        """What groups can do, the actions as bits of OpenFlow `version` (wire number)."""
        actions = _ACTIONS10 if version == 1 else _ACTIONS11 if version == 2 else _ACTIONS12
        return g.GroupFeaturesReply(
            0xF, CAPABILITIES, (OFPG_MAX, OFPG_MAX, OFPG_MAX, OFPG_MAX), (actions, actions, actions, actions)
        )


def _check(mod: g.GroupMod) -> None:
    """What a whole group must be."""
    if mod.group_id > OFPG_MAX:
        raise OfpError("OFPGMFC_INVALID_GROUP", f"group {mod.group_id:#x}")
    check_selection(mod.type, mod.selection)
    check_group(mod.type, mod.buckets)


def _index(buckets: tuple[g.Bucket, ...], bucket_id: int) -> int:
    for i, bucket in enumerate(buckets):
        if bucket.bucket_id == bucket_id:
            return i
    raise OfpError("OFPGMFC_UNKNOWN_BUCKET", f"bucket {bucket_id}")


def _insert(there: tuple[g.Bucket, ...], where: int, new: tuple[g.Bucket, ...]) -> tuple[g.Bucket, ...]:
    """`there` with `new` behind the bucket numbered `where`, or first or last."""
    if where == g.OFPG_BUCKET_FIRST:
        at = 0
    elif where == g.OFPG_BUCKET_LAST:
        at = len(there)
    else:
        at = _index(there, where) + 1
    ids = {bucket.bucket_id for bucket in there}
    for bucket in new:
        if bucket.bucket_id in ids:
            raise OfpError("OFPGMFC_BUCKET_EXISTS", f"bucket {bucket.bucket_id}")
    return there[:at] + new + there[at:]


def _remove(there: tuple[g.Bucket, ...], which: int, _: tuple[g.Bucket, ...]) -> tuple[g.Bucket, ...]:
    """`there` without the bucket numbered `which`, or without the first, the last or all."""
    if which == g.OFPG_BUCKET_ALL:
        return ()
    if which == g.OFPG_BUCKET_FIRST:
        return there[1:]
    if which == g.OFPG_BUCKET_LAST:
        return there[:-1]
    at = _index(there, which)
    return there[:at] + there[at + 1 :]
