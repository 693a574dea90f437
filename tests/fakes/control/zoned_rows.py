"""Schedules with a time zone, as an owner with newer zone data asks for them."""

from __future__ import annotations

from libs.domain.schedule import ScheduleState


class ZonedRows:
    """What `Database` answers about them."""

    schedules: dict[str, ScheduleState]
    partition_of: dict[str, int]

    def load_zoned(self, partition: int, zone_data: str, after: str, limit: int) -> list[ScheduleState]:
        found = [
            each
            for known, each in sorted(self.schedules.items())
            if self.partition_of[known] == partition
            and known > after
            and each.is_active
            and not each.held
            and each.next_run_at is not None
            and each.more is not None
            and each.more.rule.zone != "UTC"
            and each.more.zone_data != zone_data
        ]
        return found[:limit]
