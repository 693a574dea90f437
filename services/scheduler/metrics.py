"""The scheduler's measurements, on the metrics of the process."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Protocol

from libs.runtime.telemetry.metrics import Metrics


class Reason(StrEnum):
    """Why owners give up; the values are labels of the metric."""

    APPEND_FAILED = "append failed"
    LOG = "log"
    TABLES = "tables"
    FENCED = "fenced"
    HALTED = "halted"  # a record that this build cannot read, or a log that lost records
    SUPERSEDED = "superseded"
    FAILED = "failed"  # a defect


class Measured(Protocol):
    """What is measured of an owner."""

    @property
    def timer_count(self) -> int:
        """Timers in memory."""

    @property
    def waiting_count(self) -> int:
        """Due jobs that wait for a slot."""


class SchedulerMetrics:
    """Counters that owners touch, and gauges that are read from them when the metrics are scraped."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self.claims = metrics.claims
        self.void = metrics.void_decisions
        self.illegal = metrics.illegal_decisions
        self.poison = metrics.poison_records
        self.skipped = metrics.skipped_records
        self.ticks = metrics.schedule_ticks
        self.missed_ticks = metrics.schedule_missed
        self.realigned = metrics.schedules_realigned
        self.flush_seconds = metrics.flush_seconds
        self.flush_rows = metrics.flush_rows
        self._resignations = metrics.resignations
        for reason in Reason:
            self._resignations.labels(reason)  # shown from the start
        self._wheel_size = metrics.wheel_size
        self._jobs_due = metrics.jobs_due
        self._refused = metrics.accounts_over_daily_limit

    def resigned(self, reason: Reason) -> None:
        """Count an owner that gave up."""
        self._resignations.labels(reason).inc()

    def observe_owners(self, owners: Iterable[Measured]) -> None:
        """Have the gauges read from *owners* whenever the metrics are scraped."""
        self._wheel_size.set_function(lambda: sum(owner.timer_count for owner in owners))
        self._jobs_due.set_function(lambda: sum(owner.waiting_count for owner in owners))

    def observe_refused(self, count: Callable[[], int]) -> None:
        """Have the gauge of accounts that wait for the next day read from *count*."""
        self._refused.set_function(count)
