"""Messages about groups: modification, statistics, description, features."""

from __future__ import annotations

from vswitch.base.records import dataclass
from vswitch.flow.field import Field
from vswitch.openflow.actions import Actions
from vswitch.openflow.constants import OFPG_ALL as OFPG_ALL
from vswitch.openflow.constants import OFPG_ANY, OFPP_ANY

OFPG_BUCKET_MAX = 0xFFFFFF00
OFPG_BUCKET_FIRST = 0xFFFFFFFD
OFPG_BUCKET_LAST = 0xFFFFFFFE
OFPG_BUCKET_ALL = 0xFFFFFFFF
OFPG_BUCKET_NONE = 0xFFFFFFFF
"""`bucket_id` of a bucket that has none yet; not to be sent in 1.5."""

OFPGC_ADD = 0
OFPGC_MODIFY = 1
OFPGC_DELETE = 2
OFPGC_INSERT_BUCKET = 3
OFPGC_REMOVE_BUCKET = 5
OFPGC_ADD_OR_MOD = 0x8000

OFPGT_ALL = 0
OFPGT_SELECT = 1
OFPGT_INDIRECT = 2
OFPGT_FF = 3


@dataclass(frozen=True)
class Bucket:
    """One bucket. OFPP_ANY and OFPG_ANY watch nothing.

    1.5 and Nicira's form tell `bucket_id`; buckets of other versions are read as 0, 1, 2...
    """

    actions: Actions = ()
    weight: int = 0
    watch_port: int = OFPP_ANY
    watch_group: int = OFPG_ANY
    bucket_id: int = OFPG_BUCKET_ALL


@dataclass(frozen=True)
class SelectionMethod:
    """How a select group chooses: `method` "hash" or "dp_hash", by `param` and `fields`.

    `fields` are those to hash, each with the bits of it that count.
    """

    method: str
    param: int = 0
    fields: tuple[tuple[Field, int], ...] = ()


@dataclass(frozen=True)
class GroupMod:
    """Add, change, delete a group, or some buckets of it (OFPGC_*)."""

    command: int
    type: int
    group_id: int
    buckets: tuple[Bucket, ...] = ()
    command_bucket_id: int = OFPG_BUCKET_ALL
    selection: SelectionMethod | None = None


@dataclass(frozen=True)
class GroupStatsRequest:
    """What did a group (OFPG_ALL... 0xffffffff: each) count?"""

    group_id: int = OFPG_ALL


@dataclass(frozen=True)
class GroupStats:
    """What a group and its buckets ((packets, bytes) each) counted. `duration_sec` None: not told."""

    group_id: int
    ref_count: int = 0
    packet_count: int = 0
    byte_count: int = 0
    duration_sec: int | None = None
    duration_nsec: int = 0
    buckets: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class GroupStatsReply:
    """The statistics; `more` of them follow in another reply."""

    groups: tuple[GroupStats, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class GroupDescRequest:
    """Describe your groups (before 1.5: all of them)."""

    group_id: int = OFPG_ALL


@dataclass(frozen=True)
class GroupDesc:
    """A group."""

    group_id: int
    type: int
    buckets: tuple[Bucket, ...] = ()
    selection: SelectionMethod | None = None


@dataclass(frozen=True)
class GroupDescReply:
    """The groups; `more` of them follow in another reply."""

    groups: tuple[GroupDesc, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class GroupFeaturesRequest:
    """What can your groups do?"""


@dataclass(frozen=True)
class GroupFeaturesReply:
    """Bits of types and capabilities; by type (all, select, indirect, ff) the maximum and action bits."""

    types: int = 0
    capabilities: int = 0
    max_groups: tuple[int, int, int, int] = (0, 0, 0, 0)
    actions: tuple[int, int, int, int] = (0, 0, 0, 0)
