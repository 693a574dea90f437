"""The webhooks service's measurements, on the metrics of the process."""

from collections.abc import Callable
from typing import Final

from libs.egress.caller_headers import INTERNAL_ERROR
from libs.egress.outcome import NO_ANSWER, REDIRECT_NOT_FOLLOWED
from libs.following.loader import SECRET_MISSING, SPEC_MISSING
from libs.runtime.telemetry.metrics import Metrics
from services.webhooks.webhook_calls import OVERLOADED

OUTCOMES: Final = NO_ANSWER | {"ok", REDIRECT_NOT_FOLLOWED, INTERNAL_ERROR, OVERLOADED, SECRET_MISSING, SPEC_MISSING}


class WebhooksMetrics:
    """Meets `ports.Meter`."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self._attempts = metrics.webhook_attempts
        self._attempts.labels("ok")  # shown from the start
        self._poison = metrics.poison_records
        self._duration = metrics.webhook_duration_seconds
        self._held = metrics.webhooks_held

    def observe_held(self, held: Callable[[], int]) -> None:
        """Have the gauge of held webhooks read whenever the metrics are scraped."""
        self._held.set_function(held)

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
