"""
Request limits: how many requests an account may make a second, and how many connections it may have, in this process.

Each API process enforces both for itself. They protect what the process has: its event loop and its connections. A limit over all
processes would cost each request a question to the database, and a fixed part for each process would refuse callers whose load
balancer does not spread them evenly. So with n processes an account may have n times the limit.

Every answer to an account with a limit says how much is left, in the fields of draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from libs.domain.token_bucket import TokenBuckets
from libs.store.control.limits import Limits
from services.api.contract.api_error import ApiError
from services.api.http.reply import NO_HEADERS
from services.api.http.request_body import LastError

CONNECTIONS_RETRY_S: Final = 1

LimitsOf = Callable[[str], Limits]


class RequestLimits:
    """The limits of all accounts in this process."""

    def __init__(self, limits_of: LimitsOf, now_s: Callable[[], float]) -> None:
        """Limit accounts as *limits_of* says; *now_s* is a monotonic clock."""
        self._limits_of = limits_of
        self._now_s = now_s
        self._buckets: TokenBuckets[str] = TokenBuckets()

    def admit(self, account: str, connection: Any) -> Mapping[str, str]:
        """
        Count a request of *account* on *connection*, and return the headers that its answer carries besides.

        Raises:
            ApiError: 429, there are too many requests.
            LastError: 429, there are too many connections; this one is closed, and its request counts.
        """
        limits = self._limits_of(account)
        said, rate = NO_HEADERS, limits.requests_per_second
        taken = self._buckets.take(account, rate, self._now_s()) if rate else None
        if taken is not None:
            said = {
                "RateLimit-Policy": f'"requests";q={rate};w=1',
                "RateLimit": f'"requests";r={taken.remaining};t={math.ceil(taken.full_in_s)}',
            }
        most = limits.connections
        if most and not connection.owner.budget.assign(connection, account, most):
            message = (
                f"the account has {most:,} connections to this server, as many as it may have: use fewer, or close some"
            )
            raise LastError(429, "too_many_connections", message, {**said, "Retry-After": str(CONNECTIONS_RETRY_S)})
        if taken is not None and not taken.is_taken:
            wait_s = max(1, math.ceil(taken.wait_s))
            message = f"the account may make {rate:,} requests a second, and made more: try again in {wait_s} s"
            raise ApiError(429, "rate_limit_exceeded", message, {**said, "Retry-After": str(wait_s)})
        return said
