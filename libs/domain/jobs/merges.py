"""
Job merges: what becomes of a job that waits when other requests with its `waiting_key` arrive. Pure.

A request to merge is no job. It changes the one that waits: `replace` makes it another one, `extend` moves its instant on. The
owner decides them as it decides changes, in one order with the first due: a merge that is decided is what the target sees, and one
that a due overtakes is none; then its request makes a job of its own.

Those that wait for their decision are one: what they make of the job together, in the order of the log. So a thousand of them take
the room of one, and no request waits for more than one decision. Which of them were made is told by their positions.
"""

from typing import Final

import msgspec

from libs.domain.jobs.optional_state import NOTHING, JobMerge, JobMore
from libs.events import JobMergeRequested

IDS_KEPT: Final = 8  # ids of the last requests to merge, by which a repeat is known


def merge_asked(more: JobMore | None, event: JobMergeRequested, position: int) -> JobMore | None:
    """Return what is known after a request to merge, which stands at *position*; None if it is a repeat."""
    more = more or NOTHING
    if event.request_id in more.merge_ids:
        return None
    merge = more.merge
    if event.how == "extend" or event.spec is None:
        if merge is None:
            merge = JobMerge(request_id=event.request_id, version=0, fire_at=event.fire_at, position=position)
        else:
            fire_at = later(merge.fire_at, event.fire_at, merge.expires_at)
            merge = msgspec.structs.replace(merge, fire_at=fire_at, position=position)
    else:
        merge = JobMerge(
            request_id=event.request_id,
            version=0,
            fire_at=event.fire_at,
            max_retries=event.max_retries,
            retry=event.retry,
            success_on=event.success_on,
            expires_at=event.expires_at,
            spec_id=event.new_spec_id,
            timeout_ms=event.spec.timeout_ms,
            has_webhook=event.spec.webhook_url is not None,
            position=position,
        )
    return msgspec.structs.replace(more, merge=merge, merge_ids=(*more.merge_ids, event.request_id)[-IDS_KEPT:])


def later(fire_at: int, asked_at: int, expires_at: int | None) -> int:
    """Return the later of two instants, but none at or after *expires_at* unless it is *fire_at* itself."""
    return max(fire_at, asked_at if expires_at is None else min(asked_at, expires_at - 1))


def merge_made(more: JobMore, merge: JobMerge) -> JobMore:
    """Return what is known after *merge*, which waited, was made."""
    made = msgspec.structs.replace(more, version=more.version + 1, merge=None, merged_to=merge.position)
    if merge.spec_id is None:
        return made
    return msgspec.structs.replace(made, retry=merge.retry, success_on=merge.success_on, expires_at=merge.expires_at)


def merged_columns(more: JobMore, merge: JobMerge, fire_at: int) -> dict[str, object]:
    """Return what else of a job with *fire_at* changes with *merge*, by the name of its field."""
    if merge.spec_id is None:
        fire_at = later(fire_at, merge.fire_at, more.expires_at)
        return {"fire_at": fire_at, "scheduled_at": fire_at}
    return {
        "fire_at": merge.fire_at,
        "scheduled_at": merge.fire_at,
        "max_retries": merge.max_retries,
        "shared_spec_id": merge.spec_id,
        "timeout_ms": merge.timeout_ms,
        "has_webhook": merge.has_webhook,
    }
