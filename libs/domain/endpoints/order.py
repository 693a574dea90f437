"""
Order: which deliveries to an endpoint a delivery waits for, and how. Pure.

An endpoint with `ordering: "job"` is told of the events of one job in the order in which they happened. A delivery is a job of its
own. When a try of it is due, the dispatcher looks which deliveries about the same job are pending for the same endpoint. If one of
them is about an earlier event, the try is not made yet:

    the earlier one is under way            the call is kept, and looks again a moment later, up to `UNDER_WAY_MS`
    it waits for its next try, or for room  the try ends as snoozed; the next one is due after that of the earlier one
    it is delivered, exhausted or dropped   nothing waits for it

All deliveries about one job stand in the partition of that job, and fan-out appends them in the order of the events. So a delivery
that is in the tables is there with all earlier ones. One that has ended stays ended. So a look at tables that are behind may make a
delivery wait a moment longer, and never lets it overtake another one.

A wait ends. After `WAITS_MAX` tries, or if the next look would come too late for the delivery's own policy, it is sent as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from libs.domain.endpoints.delivery import EVENT_HEADER, ORDER_HEADER, SUBJECT_HEADER
from libs.domain.retry_policy import SNOOZES_MAX
from libs.events import AttemptDue

WAITS: Final = "waits_for_earlier"  # the error of a try that was not made for this reason
WAITS_MAX: Final = SNOOZES_MAX  # tries; a later snooze would use up a retry
LOOK_MS: Final = 200  # before the second look at an earlier delivery that is under way; later ones come less often
UNDER_WAY_MS: Final = 12_000  # a call takes 10 s at most; a try that takes longer waits for room
WAIT_MAX_MS: Final = 600_000  # for one that waits for room: nobody knows for how long


class Pending(NamedTuple):
    """
    A delivery about the same job to the same endpoint that has not ended.

    Args:
        at: the instant of its event.
        next_at: the instant of its last try that became due, or of the next one.
    """

    job_id: str
    at: int
    next_at: int


class Wait(NamedTuple):
    """For how long a delivery waits; *is_kept* if it is held meanwhile, so that nothing of it is recorded."""

    ms: int
    is_kept: bool


def ordered_subject(headers: Mapping[str, str] | None) -> str | None:
    """Return the job whose events are told in their order, by the *headers* of a delivery; None if it waits for nothing."""
    if headers is None or ORDER_HEADER not in headers:
        return None
    return headers.get(SUBJECT_HEADER)


def wait_of(due: AttemptDue, headers: Mapping[str, str] | None, pending: Sequence[Pending], now: int) -> Wait | None:
    """
    Return for how long the try *due* of a delivery with these *headers* waits; None if it is made now.

    Args:
        pending: the deliveries about its job to its endpoint that have not ended; it may be among them.
    """
    is_end = ((headers or {}).get(EVENT_HEADER) or "").startswith("job.")
    # An attempt and the end of its job follow from one decision, at one instant: the end is the later one.
    earlier = [
        each
        for each in pending
        if each.job_id != due.job_id and (each.at < due.scheduled_at or (is_end and each.at == due.scheduled_at))
    ]
    if not earlier or due.attempt > WAITS_MAX:
        return None
    next_ms = max(each.next_at for each in earlier) - now
    if next_ms > 0:
        wait = Wait(next_ms + LOOK_MS, is_kept=False)
    elif now < due.not_before + UNDER_WAY_MS:
        wait = Wait(max(LOOK_MS, now - due.not_before), is_kept=True)
    else:
        wait = Wait(min(max(UNDER_WAY_MS, now - due.scheduled_at), WAIT_MAX_MS), is_kept=False)
    return None if due.too_late_at is not None and now + wait.ms >= due.too_late_at else wait
