"""Limits: what one account may use. Pure."""

from typing import Final, NamedTuple


class Limits(NamedTuple):
    """
    The limits of one account; 0 is no limit.

    Args:
        requests_per_second: to one process of the API.
        connections: to one process of the API, at once.
        waiting_jobs: jobs that wait for their instant or for a retry.
        stored_bytes: of what these jobs send: URL, headers and body, as stored.
        calls_per_second: to one IP address, over all dispatchers.
        executions_per_day: UTC.
    """

    requests_per_second: int = 0
    connections: int = 0
    waiting_jobs: int = 0
    stored_bytes: int = 0
    calls_per_second: int = 0
    executions_per_day: int = 0


NO_LIMITS: Final = Limits()
