"""Settings of a flow table as text, as in ovs-ofctl's mod-table."""

from __future__ import annotations

from typing import Final

from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.messages import table as t
from vswitch.openflow.wire.version import OFP11, OFP12, OFP14, OFP15

MISS: Final = {
    "controller": t.OFPTC_TABLE_MISS_CONTROLLER, "continue": t.OFPTC_TABLE_MISS_CONTINUE,
    "drop": t.OFPTC_TABLE_MISS_DROP,
}  # fmt: skip


def parse_table_mod(table_id: int, text: str) -> tuple[t.TableMod, tuple[int, ...]]:
    """What makes table `table_id` (OFPTT_ALL: all) be as `text` says, and the versions that can say it:
    controller, continue, drop, evict, noevict, vacancy:LOW,HIGH, novacancy. FlowSyntaxError."""
    word, _, rest = text.partition(":")
    if text in MISS:
        return t.TableMod(t.TableConfig(table_id, MISS[text])), (OFP11, OFP12)
    if text in ("evict", "noevict"):
        config = t.TableConfig(table_id, t.OFPTC_EVICTION if text == "evict" else 0)
    elif word in ("vacancy", "novacancy"):
        vacancy = _vacancy(rest) if word == "vacancy" else None
        config = t.TableConfig(table_id, t.OFPTC_VACANCY_EVENTS if vacancy else 0, vacancy=vacancy)
    else:
        raise FlowSyntaxError(f"invalid table_mod setting {text}")
    return t.TableMod(config), (OFP14, OFP15)


def _vacancy(text: str) -> t.Vacancy:
    low, _, high = text.partition(",")
    for what, value in (("down", low), ("up", high)):
        if not value:
            raise FlowSyntaxError(f"Vacancy {what} value missing")
        if not value.isdigit() or int(value) > 100:
            raise FlowSyntaxError(f'Invalid vacancy {what} value "{value}"')
    if int(high) < int(low):
        raise FlowSyntaxError(
            "Invalid vacancy range, vacancy up should be greater than vacancy down (OFPBPC_BAD_VALUE)"
        )
    return t.Vacancy(int(low), int(high))
