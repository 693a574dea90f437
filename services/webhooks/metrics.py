"""The webhooks service's measurements, on the metrics of the process."""

from libs.runtime.metrics import Metrics


class WebhooksMetrics:
    """Meets `ports.Meter`."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self._attempts = metrics.webhook_attempts
        self._poison = metrics.poison_records

    def told(self, outcome: str) -> None:
        """Count one webhook: `ok`, or the word for how it failed."""
        # One label for all statuses: their number is the target's to choose.
        self._attempts.labels("http_error" if outcome.startswith("HTTP ") else outcome).inc()

    def poison(self, count: int) -> None:
        """Count records that cannot be decoded."""
        self._poison.inc(count)
