"""The scheduler's measurements, on the metrics of the process."""

from collections.abc import Iterable
from typing import Final, Protocol

from libs.runtime.telemetry.metrics import Metrics

# Why owners give up, as far as the word before the colon.
REASONS: Final = ("append failed", "log", "tables", "fenced", "halted", "superseded", "failed")


class Measured(Protocol):
    """What is measured of an owner."""

    @property
    def timer_count(self) -> int:
        """Timers in memory."""

    @property
    def waiting_count(self) -> int:
        """Due jobs that wait for concurrency."""


class SchedulerMetrics:
    """Counters that owners touch, and gauges that are read off them when somebody asks."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self.claims = metrics.claims
        self.void = metrics.void_decisions
        self.illegal = metrics.illegal_decisions
        self.poison = metrics.poison_records
        self.skipped = metrics.skipped_records
        self.ticks = metrics.schedule_ticks
        self.missed_ticks = metrics.schedule_missed
        self.flush_seconds = metrics.flush_seconds
        self.flush_rows = metrics.flush_rows
        self._resignations = metrics.resignations
        for reason in REASONS:
            self._resignations.labels(reason)  # shown from the start
        self._wheel_size = metrics.wheel_size
        self._jobs_due = metrics.jobs_due

    def resigned(self, reason: str) -> None:
        """Count an owner that gave up; *reason* is one of a few fixed texts."""
        self._resignations.labels(reason).inc()

    def observe_owners(self, owners: Iterable[Measured]) -> None:
        """Have the gauges read from *owners* whenever the metrics are scraped."""
        self._wheel_size.set_function(lambda: sum(owner.timer_count for owner in owners))
        self._jobs_due.set_function(lambda: sum(owner.waiting_count for owner in owners))
