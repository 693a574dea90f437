"""The dispatcher's measurements, on the metrics of the process."""

from typing import Any

from libs.egress.outcome import Outcome
from libs.runtime.metrics import Metrics, status_class


class DispatcherMetrics:
    """Meets `ports.Meter`."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self._lateness = metrics.dispatch_lateness_seconds
        self._lead = metrics.dispatch_lead_seconds
        self._duration = metrics.attempt_duration_seconds
        self._attempts = metrics.attempts
        self._poison = metrics.poison_records
        self._overdue = metrics.attempts_overdue
        self._in_flight = metrics.in_flight
        self._children: dict[tuple[bool, int | None], Any] = {}

    def call_ended(self, *, lateness_ms: int, lead_ms: int, outcome: Outcome) -> None:
        """Observe one call."""
        self._lateness.observe(lateness_ms / 1000)
        self._lead.observe(lead_ms / 1000)
        self._duration.observe(outcome.duration_ms / 1000)
        status = outcome.status_code
        kind = (outcome.ok, status // 100 if status is not None else None)
        child = self._children.get(kind)
        if child is None:
            child = self._attempts.labels("success" if outcome.ok else "failed", status_class(status))
            self._children[kind] = child
        child.inc()

    def call_not_made(self, error: str) -> None:
        """Count an attempt that ended without a call."""
        self._attempts.labels("failed", status_class(None)).inc()

    def poison(self, count: int) -> None:
        """Count records that cannot be decoded."""
        self._poison.inc(count)

    def overdue(self, count: int) -> None:
        """Count attempts that were found running long after their time."""
        self._overdue.inc(count)

    def in_flight(self, count: int) -> None:
        """Show how many attempts are held."""
        self._in_flight.set(count)
