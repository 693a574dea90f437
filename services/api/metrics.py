"""The API's measurements, on the metrics of the process."""

from libs.runtime.metrics import Metrics


class ApiMetrics:
    """Told of every answer; keeps the label children that the hot path needs."""

    def __init__(self, metrics: Metrics) -> None:
        """Measure on *metrics*."""
        self._requests = metrics.http_requests
        self._seconds = metrics.http_request_seconds
        self._children: dict[tuple[str, str, int], tuple[object, object]] = {}

    def __call__(self, route: str, method: str, status: int, seconds: float, /) -> None:
        """Count one answer; *route* is a route's pattern, never a path."""
        key = (route, method, status)
        children = self._children.get(key)
        if children is None:
            children = (self._requests.labels(route, method, str(status)), self._seconds.labels(route))
            self._children[key] = children
        requests, histogram = children
        requests.inc()  # type: ignore[attr-defined]
        histogram.observe(seconds)  # type: ignore[attr-defined]
