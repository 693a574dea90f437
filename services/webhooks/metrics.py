"""The webhooks service's measurements, on the metrics of the process."""

from collections.abc import Callable
from typing import Final, get_args

from libs.egress.caller_headers import INTERNAL_ERROR
from libs.egress.outcome import NO_ANSWER, REDIRECT_NOT_FOLLOWED
from libs.following.loader import SECRET_MISSING, SPEC_MISSING
from libs.runtime.telemetry.metrics import Metrics
from services.webhooks.ports import ToldBy

OUTCOMES: Final = NO_ANSWER | {"ok", REDIRECT_NOT_FOLLOWED, INTERNAL_ERROR, SECRET_MISSING, SPEC_MISSING}


class WebhooksMetrics:
    """Meets `ports.Meter`."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self._attempts = metrics.webhook_attempts
        self._attempts.labels("ok")  # shown from the start
        self._poison = metrics.poison_records
        self._duration = metrics.webhook_duration_seconds
        self._overdue = metrics.webhooks_overdue
        self._held = metrics.webhooks_held
        self._pending = metrics.webhooks_pending
        self._oldest = metrics.webhooks_pending_oldest_seconds
        self._deliveries = metrics.webhook_deliveries_waiting
        self._exhausted = metrics.webhook_deliveries_exhausted
        for told_by in get_args(ToldBy):  # shown from the start
            self._exhausted.labels(told_by)

    def observe(
        self,
        *,
        held: Callable[[], int],
        pending: Callable[[], int],
        oldest_s: Callable[[], float],
        deliveries: Callable[[], int],
    ) -> None:
        """Have the gauges of webhooks held and pending read whenever the metrics are scraped."""
        self._deliveries.set_function(deliveries)
        self._held.set_function(held)
        self._pending.set_function(pending)
        self._oldest.set_function(oldest_s)

    def delivery_exhausted(self, told_by: ToldBy) -> None:
        """Count a delivery whose last try failed."""
        self._exhausted.labels(told_by).inc()

    def overdue(self, count: int) -> None:
        """Count webhooks that were found pending long after their time."""
        self._overdue.inc(count)

    def webhook_ended(self, outcome: str, duration_ms: int | None = None) -> None:
        """Count one webhook: `ok`, or the word for how it failed; *duration_ms* where there was a call."""
        if duration_ms is not None:
            self._duration.observe(duration_ms / 1000)
        # One label for all statuses: their number is the target's to choose.
        known = outcome if outcome in OUTCOMES else "other"
        self._attempts.labels("http_error" if outcome.startswith("HTTP ") else known).inc()

    def poison(self, count: int) -> None:
        """Count records that cannot be decoded."""
        self._poison.inc(count)
