"""
Schedule rows: how a schedule stands in the table `schedules`.

Many schedules have the same rule, account, zone data, timeout and next run (a full minute). States that are read share these
values: a rule alone takes 300 bytes, a number 32.
"""

import sys
from functools import lru_cache
from typing import Final

from msgspec.structs import force_setattr

from libs.domain import schedule
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.schedules.optional_state import ScheduleMore
from libs.events import ScheduleRule
from libs.store.projection.rows import struct_reader
from libs.store.projection.state_table import StateTable, one_of

RULES_KEPT_MAX: Final = 4_096  # rules, and values of `more`, that are shared

_decode_more = struct_reader(ScheduleMore)
_rules: dict[ScheduleRule, ScheduleRule] = {}


@lru_cache(maxsize=RULES_KEPT_MAX)
def read_more(value: bytes) -> ScheduleMore:
    """Return what a row's `more` says: the same object for the same bytes, or one that shares its rule with others."""
    more: ScheduleMore = _decode_more(value)
    rule = _rules.get(more.rule)
    if rule is None:
        if len(_rules) >= RULES_KEPT_MAX:
            _rules.clear()
        _rules[more.rule] = more.rule
    else:
        force_setattr(more, "rule", rule)  # nobody else has seen *more* yet
    force_setattr(more, "zone_data", sys.intern(more.zone_data))
    return more


@lru_cache(maxsize=RULES_KEPT_MAX)
def shared(value: int) -> int:
    """Return *value*: the same object for the same number."""
    return value


SCHEDULES: Final[StateTable[ScheduleState]] = StateTable(
    schedule.KIND,
    "schedules",
    {
        "schedule_id": "uuid",
        "account": "text",
        "status": "int2",
        "cron": "text",
        "max_retries": "int2",
        "timeout_ms": "int8",
        "has_webhook": "bool",
        "held": "bool",
        "created_at": "int8",
        "next_run_at": "int8",
        "last_run_at": "int8",
        "changed_at": "int8",
        "more": "bytea",
        "changed_spec_id": "uuid",
    },
    changing=(
        *("status", "cron", "max_retries", "timeout_ms", "has_webhook", "held"),
        *("next_run_at", "last_run_at", "changed_at", "more", "changed_spec_id"),
    ),
    waits=f"{one_of('status', {ScheduleStatus.ACTIVE})} AND NOT held AND next_run_at IS NOT NULL",
    is_open="position('\"owes_now\":true'::bytea in more) > 0",
    readers={"account": sys.intern, "more": read_more, "timeout_ms": shared, "next_run_at": shared},
)

# Active schedules with a time zone other than UTC: exactly the condition of the index that holds them.
HAS_ZONE: Final = f"{one_of('status', {ScheduleStatus.ACTIVE})} AND position('\"zone\":'::bytea in more) > 0"
