"""The dispatcher's measurements, on the metrics of the process."""

from collections.abc import Callable
from typing import Any, Final, get_args

from libs.domain.endpoints.delivery import NOT_SENT
from libs.domain.endpoints.order import WAITS
from libs.domain.endpoints.webhook_event import FAILING, GONE
from libs.egress.caller_headers import INTERNAL_ERROR
from libs.egress.outcome import NO_ANSWER, REDIRECT_NOT_FOLLOWED, ConnectionUse, Outcome
from libs.following.loader import SECRET_MISSING, SPEC_MISSING
from libs.runtime.telemetry.metrics import Metrics, status_class
from services.dispatcher.attempt import STOPPED, TOO_LATE

# What the label `reason` may say: a target chooses its status, and must not choose our labels.
REASONS: Final = NO_ANSWER | {REDIRECT_NOT_FOLLOWED, INTERNAL_ERROR, SPEC_MISSING, SECRET_MISSING, STOPPED, TOO_LATE}


def reason_of(error: str | None) -> str:
    """Return the label for an attempt's error text."""
    if error is None:
        return "none"
    if error.startswith("HTTP "):
        return "http_status"
    return error if error in REASONS else "other"


class DispatcherMetrics:
    """Meets `ports.Meter`."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self._lateness = metrics.dispatch_lateness_seconds
        self._lead = metrics.dispatch_lead_seconds
        self._duration = metrics.attempt_duration_seconds
        self._attempts = metrics.attempts
        self._connections = {use: metrics.connections.labels(use) for use in get_args(ConnectionUse)}
        self._poison = metrics.poison_records
        self._deliveries = metrics.webhook_deliveries
        self._endpoints_disabled = metrics.webhook_endpoints_disabled
        self._overdue = metrics.attempts_overdue
        self._in_flight = metrics.in_flight
        self._calls_active = metrics.calls_active
        self._calls_waiting = metrics.calls_waiting
        # Shown from the start: a counter that appears with its first event shows no increase for that event.
        self._attempts.labels("success", "2xx", "none")
        self._attempts.labels("failed", "5xx", "http_status")
        self._deliveries.labels("ok")
        for reason in (GONE, FAILING):
            self._endpoints_disabled.labels(reason)
        self._children: dict[tuple[int | None, str | None], Any] = {}

    def call_ended(self, *, lateness_ms: int, lead_ms: int, outcome: Outcome) -> None:
        """Observe one call."""
        self._lateness.observe(lateness_ms / 1000)
        self._lead.observe(lead_ms / 1000)
        self._duration.observe(outcome.duration_ms / 1000)
        self._connections[outcome.connection].inc()
        status = outcome.status_code
        # By class and, where there was none, by word: a target's statuses must not fill this dictionary.
        kind = (status // 100, None) if status is not None else (None, outcome.error)
        child = self._children.get(kind)
        if child is None:
            child = self._attempts.labels(
                "success" if outcome.ok else "failed", status_class(status), reason_of(outcome.error)
            )
            self._children[kind] = child
        child.inc()

    def delivery_ended(self, outcome: Outcome) -> None:
        """Count one call of a webhook endpoint: its event is in the past, so it is not late."""
        self._deliveries.labels("ok" if outcome.ok else reason_of(outcome.error)).inc()

    def endpoint_disabled(self, reason: str) -> None:
        """Count a webhook endpoint that was disabled."""
        self._endpoints_disabled.labels(reason).inc()

    def call_not_made(self, error: str) -> None:
        """Count an attempt that ended without a call."""
        if error in (NOT_SENT, WAITS):
            self._deliveries.labels(error).inc()
            return
        self._attempts.labels("failed", status_class(None), reason_of(error)).inc()

    def poison(self, count: int) -> None:
        """Count records that cannot be decoded."""
        self._poison.inc(count)

    def overdue(self, count: int) -> None:
        """Count attempts that were found running long after their time."""
        self._overdue.inc(count)

    def in_flight(self, count: int) -> None:
        """Show how many attempts are held."""
        self._in_flight.set(count)

    def observe_calls(self, *, active: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Have the gauges of calls read whenever the metrics are scraped."""
        self._calls_active.set_function(active)
        self._calls_waiting.set_function(waiting)
