"""The API's measurements, on the metrics of the process."""

from typing import Any, Final

from libs.runtime.telemetry.metrics import Metrics

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ApiMetrics:
    """Called with every answer; keeps the labelled metrics, so that no request looks them up by their labels."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self._requests = metrics.http_requests
        self._seconds = metrics.http_request_seconds
        # Show these from the start: a series that appears with its first request shows no increase.
        self._requests.labels("/v1/jobs", "POST", "201")
        self._requests.labels("/v1/jobs", "POST", "503")
        self._seconds.labels("/v1/jobs")
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def __call__(self, route: str, method: str, status: int, seconds: float, /) -> None:
        """Count one answer; *route* is a route's pattern, never a path."""
        # A caller may send any word as a method, and must not choose our labels.
        key = (route, method if method in _METHODS else "other", status)
        children = self._children.get(key)
        if children is None:
            children = (self._requests.labels(route, key[1], str(status)), self._seconds.labels(route))
            self._children[key] = children
        requests, histogram = children
        requests.inc()
        histogram.observe(seconds)
