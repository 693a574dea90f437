"""What is measured of the history and of the log's length, on the metrics of the process."""

from libs.runtime.telemetry.metrics import Metrics


class HistoryMetrics:
    """Counters that the keeper touches."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self._decisions = metrics.history_decisions
        self._deleted = metrics.history_deleted
        self._is_pressed = metrics.history_shortened

    def decided(self) -> None:
        """Count a decision that jobs are forgotten."""
        self._decisions.inc()

    def deleted(self, count: int) -> None:
        """Count jobs whose rows were deleted."""
        self._deleted.inc(count)

    def is_pressed(self, is_pressed: bool) -> None:
        """Show whether the history is shortened for lack of room."""
        self._is_pressed.set(is_pressed)


class LogMetrics:
    """What the log keeper touches."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self._carried = metrics.log_carried_rows
        self._trimmed = metrics.log_trimmed_records
        self._overdue = metrics.log_carry_overdue_seconds

    def carried(self, count: int) -> None:
        """Count rows that were carried over."""
        self._carried.inc(count)

    def trimmed(self, count: int) -> None:
        """Count records that were deleted."""
        self._trimmed.inc(count)

    def overdue(self, ms: int) -> None:
        """Show for how long the partition that is furthest behind should have been carried over."""
        self._overdue.set(ms / 1000)
