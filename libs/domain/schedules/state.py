"""Schedule state: what is known of a schedule after its events; libs/domain/schedule.py says which event leads to which."""

import msgspec

from libs.domain.schedules.optional_state import ScheduleMore
from libs.domain.schedules.status import ScheduleStatus
from libs.events import ScheduleRule


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What is known of a schedule.

    Args:
        cron: the rule, five fields, UTC; empty if it stands in *more*.
        next_run_at: when the next call is made; None while it is paused, and after the last tick.
        last_run_at: instant of the last tick that spawned a job.
        changed_at: position of the last event that changed it.
        held: a record of this schedule could not be read; it spawns nothing until it can.
        more: what else was asked for; None for a schedule of `schedule.created`.
        changed_spec_id: the id under which the spec of its next jobs is kept, if a change brought it.
    """

    schedule_id: str
    account: str
    status: ScheduleStatus = ScheduleStatus.ACTIVE
    cron: str
    max_retries: int = 0
    timeout_ms: int = 30_000
    has_webhook: bool = False
    held: bool = False
    created_at: int
    next_run_at: int | None
    last_run_at: int | None = None
    changed_at: int
    more: ScheduleMore | None = None
    changed_spec_id: str | None = None

    @property
    def rule(self) -> ScheduleRule:
        """When it ticks."""
        return ScheduleRule(cron=self.cron) if self.more is None else self.more.rule

    @property
    def spec_id(self) -> str:
        """The id under which the spec of its next jobs is kept."""
        return self.changed_spec_id or self.schedule_id

    def is_paused_at(self, now: int) -> bool:
        """Whether it spawns nothing until it is resumed, or until an instant after *now*."""
        until = None if self.more is None else self.more.paused_until
        return self.status == ScheduleStatus.PAUSED or (self.is_active and until is not None and until > now)

    @property
    def is_active(self) -> bool:
        """Whether it spawns jobs."""
        return self.status == ScheduleStatus.ACTIVE

    @property
    def version(self) -> int:
        """1, and one more with each change; 0 for a schedule of `schedule.created` that was never changed."""
        return 0 if self.more is None else self.more.version

    @property
    def next_tick_at(self) -> int | None:
        """The next tick: that of `next_run_at`, and earlier than it if the calls are spread."""
        if self.next_run_at is None or self.more is None or self.more.next_tick_at is None:
            return self.next_run_at
        return self.more.next_tick_at

    @property
    def since_at(self) -> int:
        """The instant after which the next tick is looked for."""
        since_at = self.created_at if self.last_run_at is None else self.last_run_at
        return since_at if self.more is None else max(since_at, self.more.since_at or 0)

    @property
    def owes_now(self) -> bool:
        """Whether its owner owes it something at once or at the end of a grace; as the row says it."""
        return self.more is not None and self.more.owes_now

    @property
    def last_slot_at(self) -> int:
        """The last tick that was decided, whether it spawned a job or not; 0 if there is none."""
        last_run_at = self.last_run_at or 0
        return last_run_at if self.more is None else max(last_run_at, self.more.last_slot_at)
