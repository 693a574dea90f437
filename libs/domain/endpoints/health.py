"""
Health: when an endpoint that takes nothing is disabled.

Failures that follow each other without a delivery between them are a run. A run that has lasted 12 hours counts: it goes on until
something is delivered, or until five days pass without a failure. A shorter one is forgotten after a day, so that a failure now
and then disables nothing. An endpoint is disabled by the failure that makes its run five days old, or by an answer of 410.
"""

from typing import Final

import msgspec

from libs.domain.endpoints.webhook_event import FAILING, GONE

_HOUR_MS: Final = 3_600_000
COUNTS_AFTER_MS: Final = 12 * _HOUR_MS
FORGOTTEN_AFTER_MS: Final = 24 * _HOUR_MS
DISABLED_AFTER_MS: Final = 5 * 24 * _HOUR_MS
GONE_STATUS: Final = 410


class Health(msgspec.Struct, frozen=True, gc=False):
    """A run of failures: the instants of its first and its last one, ms since 1970."""

    first_failure_at: int
    last_failure_at: int


def after_failure(before: Health | None, at: int) -> Health:
    """Return the run after a failure at *at*; *before* is None if something was delivered since the last failure."""
    if before is None:
        return Health(at, at)
    counts = before.last_failure_at - before.first_failure_at >= COUNTS_AFTER_MS
    if at - before.last_failure_at > (DISABLED_AFTER_MS if counts else FORGOTTEN_AFTER_MS):
        return Health(at, at)
    return Health(before.first_failure_at, max(at, before.last_failure_at))


def disabling_reason(health: Health, status_code: int | None) -> str | None:
    """Return why an endpoint is disabled whose run is *health* after an answer of *status_code*; None if it is not."""
    if status_code == GONE_STATUS:
        return GONE
    return FAILING if health.last_failure_at - health.first_failure_at >= DISABLED_AFTER_MS else None
