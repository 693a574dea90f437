"""
Retry: when a failed job is due again.

The back-off of attempt n is ``base × 2^(n−1)``, at most an hour. The delay is drawn uniformly from ±25 % around it, and
that window ends at an hour as well. So no job waits longer than an hour, and jobs that fail for a long time stay spread over
45-60 min instead of all waiting exactly an hour.

Source: exponential back-off; docs/api.md, "Retries".
"""

from __future__ import annotations

import math
from typing import Final

DELAY_MAX_MS: Final = 3_600_000  # one hour, for back-off and Retry-After alike; docs/api.md, "Retries"
JITTER_SHARE: Final = 0.25  # ±, of the back-off; the same

_DOUBLINGS_MAX: Final = 64  # keeps 2^(n−1) a small number for any n; an hour is reached long before for any usable base


def next_attempt_at(
    failed_at: int, attempt_num: int, *, base_s: float, jitter: float, retry_after_ms: int | None
) -> int:
    """
    Return the instant at which a failed job is due again, in ms since the epoch; never before *failed_at*.

    Args:
        failed_at: when the attempt ended, ms since the epoch.
        attempt_num: ordinal of the attempt that failed, 1-based.
        base_s: back-off after the first attempt, in seconds; the setting `FLIQ_RETRY_BASE_SECONDS`.
        jitter: fraction in [0, 1), drawn by the caller so that this stays pure; 0.5 gives the back-off itself below the cap.
        retry_after_ms: the delay that the target asked for with 429 or 503; None if it asked for none that can be parsed.
            It replaces the back-off, without jitter; a negative delay counts as 0, more than an hour as an hour.

    Raises:
        ValueError: *attempt_num* < 1, *jitter* outside [0, 1), *base_s* negative or not finite.
    """
    if attempt_num < 1:
        raise ValueError(f"attempt_num is 1-based, not {attempt_num}")
    if not 0 <= jitter < 1:
        raise ValueError(f"jitter is a fraction in [0, 1), not {jitter}")
    if not (math.isfinite(base_s) and base_s >= 0):
        raise ValueError(f"base_s is a number of seconds from 0, not {base_s}")
    if retry_after_ms is not None:
        return failed_at + min(max(retry_after_ms, 0), DELAY_MAX_MS)
    # The seconds are capped before they are doubled, too, so that no product overflows.
    first_ms = min(base_s * 1000, float(DELAY_MAX_MS))
    backoff_ms = min(first_ms * 2.0 ** min(attempt_num - 1, _DOUBLINGS_MAX), float(DELAY_MAX_MS))
    shortest_ms = backoff_ms * (1 - JITTER_SHARE)
    longest_ms = min(backoff_ms * (1 + JITTER_SHARE), float(DELAY_MAX_MS))
    return failed_at + round(shortest_ms + (longest_ms - shortest_ms) * jitter)
