"""Messages about flow tables: modification, description, status, statistics, features."""

from __future__ import annotations

from vswitch.base.records import dataclass

# What to do with a packet that no flow matches (ofp_table_config of 1.1 and 1.2).
OFPTC_TABLE_MISS_CONTROLLER = 0
OFPTC_TABLE_MISS_CONTINUE = 1
OFPTC_TABLE_MISS_DROP = 2
OFPTC_TABLE_MISS_MASK = 3
# ofp_table_config of 1.4.
OFPTC_EVICTION = 1 << 2
OFPTC_VACANCY_EVENTS = 1 << 3

OFPTMPEF_OTHER = 1 << 0
OFPTMPEF_IMPORTANCE = 1 << 1
OFPTMPEF_LIFETIME = 1 << 2

OFPTR_VACANCY_DOWN = 3
OFPTR_VACANCY_UP = 4


@dataclass(frozen=True)
class Vacancy:
    """Vacancy events: thresholds and (in a description) what is vacant now, in %."""

    down: int
    up: int
    now: int = 0


@dataclass(frozen=True)
class TableConfig:
    """A table's `config` (OFPTC_*); `eviction` flags (OFPTMPEF_*) and `vacancy` if told (1.4+)."""

    table_id: int
    config: int = 0
    eviction: int | None = None
    vacancy: Vacancy | None = None


@dataclass(frozen=True)
class TableMod:
    """Configure a table (255: all)."""

    table: TableConfig


@dataclass(frozen=True)
class TableDescRequest:
    """How are your tables configured?"""


@dataclass(frozen=True)
class TableDescReply:
    """The tables; `more` of them follow in another reply."""

    tables: tuple[TableConfig, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class TableStatus:
    """A table's vacancy went below (OFPTR_VACANCY_DOWN) or above its threshold."""

    reason: int
    table: TableConfig


@dataclass(frozen=True)
class TableStatsRequest:
    """What did your tables count?"""


@dataclass(frozen=True)
class TableStats:
    """What a table counted and, before 1.3, can do.

    `name` and `max_entries` are told up to 1.2. `wildcards` is OFPFW10_* in 1.0, OFPFW11_* in 1.1 and
    OXM bits in 1.2; `match`, the action and instruction bits: 1.1 and 1.2; the rest only 1.2.
    """

    table_id: int
    active_count: int = 0
    lookup_count: int = 0
    matched_count: int = 0
    name: str = ""
    max_entries: int = 0
    match: int = 0
    wildcards: int = 0
    write_actions: int = 0
    apply_actions: int = 0
    write_setfields: int = 0
    apply_setfields: int = 0
    metadata_match: int = 0
    metadata_write: int = 0
    instructions: int = 0
    config: int = 0


@dataclass(frozen=True)
class TableStatsReply:
    """The statistics; `more` of them follow in another reply."""

    tables: tuple[TableStats, ...] = ()
    more: bool = False


OFPTFPT_INSTRUCTIONS = 0
OFPTFPT_NEXT_TABLES = 2
OFPTFPT_WRITE_ACTIONS = 4
OFPTFPT_APPLY_ACTIONS = 6
OFPTFPT_MATCH = 8
OFPTFPT_WILDCARDS = 10
OFPTFPT_WRITE_SETFIELD = 12
OFPTFPT_APPLY_SETFIELD = 14
OFPTFPT_TABLE_SYNC_FROM = 16
OFPTFPT_WRITE_COPYFIELD = 18
OFPTFPT_APPLY_COPYFIELD = 20


@dataclass(frozen=True)
class TableProperty:
    """One property of a table's features: OFPTFPT_* and a list.

    `type` is even for all entries, odd for the table-miss entry. `items` are table numbers (NEXT_TABLES),
    numbers of action or instruction types, or OXM headers, of 8 bytes for an experimenter's field.
    """

    type: int
    items: tuple[int, ...] = ()


# ofp_table_features_command of 1.5.
OFPTFC_REPLACE = 0
OFPTFC_MODIFY = 1
OFPTFC_ENABLE = 2
OFPTFC_DISABLE = 3


@dataclass(frozen=True)
class TableFeatures:
    """What a table can do; `properties` in the order told.

    `command` (1.5): OFPTFC_*;
    `features` (1.5): 1 ingress, 2 egress, 16 first egress.
    """

    table_id: int
    name: str = ""
    metadata_match: int = 0
    metadata_write: int = 0
    capabilities: int = 0
    max_entries: int = 0
    command: int = 0
    features: int = 0
    properties: tuple[TableProperty, ...] = ()


@dataclass(frozen=True)
class TableFeaturesRequest:
    """What can your tables do? With `tables`: let them do this."""

    tables: tuple[TableFeatures, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class TableFeaturesReply:
    """The tables; `more` of them follow in another reply."""

    tables: tuple[TableFeatures, ...] = ()
    more: bool = False
