"""
Job, changing: what requests to cancel, change and merge, and their decisions, do to a job that waits for its first attempt. Pure.

`cancel_requested` is set while any of them waits for its decision: by it an owner finds the job at take-over.
"""

from __future__ import annotations

import msgspec

from libs.domain.jobs import merges, optional_state
from libs.domain.jobs.state import MAX_OFFSETS, JobState
from libs.events import JobChanged, JobChangeRefused, JobChangeRequested, JobMerged, JobMergeRequested


def advanced(state: JobState, position: int, **changes: object) -> JobState:
    """Return *state* with *changes* after a record at *position*."""
    offsets = state.offsets
    if len(offsets) < MAX_OFFSETS:
        offsets = (*offsets, position)
    return msgspec.structs.replace(state, offsets=offsets, **changes)


def cancel_asked(state: JobState, position: int) -> JobState:
    """Return the job after a request to cancel it."""
    if state.wants_cancel:
        return state
    more = state.more
    if more is not None and more.has_open_changes:
        more = msgspec.structs.replace(more, is_cancelled_after_changes=True)
    return advanced(state, position, cancel_requested=True, more=more)


def changed(
    state: JobState,
    event: JobChangeRequested | JobChanged | JobChangeRefused | JobMergeRequested | JobMerged,
    position: int,
) -> JobState:
    """Return the job after a request to change it or to merge another one into it, or after the owner's answer."""
    match event:
        case JobChangeRequested():
            return _change_asked(state, event, position)
        case JobChanged() | JobChangeRefused():
            return _change_decided(state, event, position)
        case JobMergeRequested():
            asked = None if state.wants_cancel else merges.merge_asked(state.more, event, position)
            return state if asked is None else advanced(state, position, cancel_requested=True, more=asked)
    return _merged(state, position)


def _change_asked(state: JobState, event: JobChangeRequested, position: int) -> JobState:
    asked = None if state.wants_cancel else optional_state.change_asked(state.more, event)
    return state if asked is None else advanced(state, position, cancel_requested=True, more=asked)


def _change_decided(state: JobState, event: JobChanged | JobChangeRefused, position: int) -> JobState:
    more = state.more
    if more is None or not more.changes or more.changes[0].request_id != event.request_id:
        return state
    change = more.changes[0]
    is_left = len(more.changes) > 1 or more.merge is not None or state.wants_cancel
    if isinstance(event, JobChangeRefused):
        refused = optional_state.change_refused(more, change.request_id)
        return advanced(state, position, cancel_requested=is_left, more=refused)
    changes: dict[str, object] = {}
    if change.spec_id is not None:
        changes = {
            "shared_spec_id": change.spec_id,
            "timeout_ms": change.timeout_ms,
            "has_webhook": change.has_webhook,
        }
    return advanced(
        state,
        position,
        cancel_requested=is_left,
        scheduled_at=event.fire_at,
        fire_at=event.fire_at,
        max_retries=change.max_retries,
        more=optional_state.change_made(more, change, state.scheduled_at),
        **changes,
    )


def _merged(state: JobState, position: int) -> JobState:
    more = state.more
    if more is None or more.merge is None:
        return state
    return advanced(
        state,
        position,
        cancel_requested=bool(more.changes) or state.wants_cancel,
        more=merges.merge_made(more, more.merge),
        **merges.merged_columns(more, more.merge, state.fire_at),
    )
