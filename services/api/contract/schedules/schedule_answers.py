"""
Schedule answers: schedules and previews as the JSON that the contract documents. Pure.

A schedule of `schedule.created` is shown with the same fields as every other, at their defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from libs.domain.calendar.preview import ComingTick
from libs.domain.instants import rfc3339
from libs.domain.schedule import ScheduleState, ScheduleStatus
from libs.domain.schedules.optional_state import ScheduleMore
from libs.events import RunPolicy, SchedulePolicy, Spec
from libs.events.retry_policy import JobTerms
from services.api.contract.fields.capture_fields import shown_capture
from services.api.contract.fields.retry_fields import shown_policy

STATUSES: Final = ("active", "paused", "finished")


class PreviewRow(NamedTuple):
    """A coming tick, and when its call is made."""

    tick: ComingTick
    run_at: int


def created(state: ScheduleState, spec: Spec, now: int) -> dict[str, Any]:
    """Return the 201's six fields, as of *now*."""
    return {
        "id": state.schedule_id,
        "url": spec.url,
        "cron": state.rule.cron,
        "status": _status(state, now),
        "created_at": rfc3339(state.created_at),
        "next_run_at": _instant(state.next_run_at),
    }


def schedule(state: ScheduleState, spec: Spec, now: int, *, with_payload: bool) -> dict[str, Any]:
    """Return the schedule object of `GET /v1/schedules/{schedule_id}`; without its payload it is as in lists."""
    payload = {"headers": spec.headers, "body": spec.body, "webhook_headers": spec.webhook_headers}
    return item(state, spec, now) | (payload if with_payload else {})


def item(state: ScheduleState, spec: Spec, now: int) -> dict[str, Any]:
    """Return the same without headers, body and webhook_headers, as lists show it."""
    rule, more = state.rule, state.more
    is_paused = state.is_paused_at(now)
    is_cron = rule.every_s is None
    return created(state, spec, now) | {
        "http_method": spec.method,
        "max_retries": state.max_retries,
        "timeout_seconds": state.timeout_ms // 1000,
        "webhook_url": spec.webhook_url,
        "last_run_at": _instant(state.last_run_at),
        "every": None if is_cron else {"seconds": rule.every_s, "anchor": rfc3339(rule.anchor_at)},
        "timezone": rule.zone if is_cron else None,
        "dst": {"gap": rule.gap, "fold": rule.fold} if is_cron else None,
        "starts_at": _instant(rule.starts_at),
        "ends_at": _instant(rule.ends_at),
        "exclude": list(rule.exclude),
        "spread": None if rule.spread_s is None else {"seconds": rule.spread_s, "by": rule.spread_by},
        "max_runs": None if more is None else more.max_runs,
        **policy_fields(None if more is None else more.policy),
        **run_fields(None if more is None else more.runs),
        "next_tick_at": _instant(state.next_tick_at),
        "run_count": None if more is None else more.run_count,
        "missed_count": None if more is None else more.missed_count,
        "skipped_count": None if more is None else more.skipped_count,
        "failures_in_row": None if more is None or more.runs is None else more.failures_in_row,
        "active_jobs": [] if more is None else list(more.active),
        "overlap_grace_until": _instant(more.grace_until)
        if more is not None and (more.grace_until or 0) > now
        else None,
        "buffered": [] if more is None else [rfc3339(tick_at) for tick_at in more.buffered],
        "zone_data": (more.zone_data or None) if more is not None else None,
        "version": state.version,
        "key": None if more is None else more.key,
        "paused_until": _instant(more.paused_until) if more is not None and is_paused and state.is_active else None,
        "note": more.note if more is not None and is_paused else None,
        **terms_of(more),
        **({} if more is None or more.labels is None else {"labels": more.labels}),
        **({} if spec.webhook_retry is None else {"webhook_retry": shown_policy(spec.webhook_retry)}),
        **shown_capture(spec.capture),
    }


def terms_of(more: ScheduleMore | None) -> dict[str, Any]:
    """Return what the jobs inherit besides, as a request would give it."""
    terms = more.terms if more is not None and more.terms is not None else JobTerms()
    return {
        "retry": shown_policy(terms.retry),
        "success_on": list(terms.success_on or ("2xx",)),
        "expires_in_seconds": None if terms.expires_in_ms is None else terms.expires_in_ms / 1000,
    }


def policy_fields(policy: SchedulePolicy | None) -> dict[str, Any]:
    """Return the fields of a request that say *policy*."""
    policy = policy or SchedulePolicy()
    return {
        "misfire": policy.misfire,
        "catchup_window_seconds": policy.window_s,
        "catchup_max": policy.catchup_max if policy.misfire == "fire_all" else None,
    }


def run_fields(runs: RunPolicy | None) -> dict[str, Any]:
    """Return the fields of a request that say *runs*."""
    runs = runs or RunPolicy()
    return {
        "overlap": runs.overlap,
        "buffer_max": runs.buffer_max if runs.overlap == "buffer_all" else None,
        "overlap_grace_seconds": runs.grace_s,
        "pause_after_failures": runs.pause_after_failures,
    }


def preview(rows: Sequence[PreviewRow], *, zone_data: str, warnings: Sequence[str], text: str) -> dict[str, Any]:
    """Return the object of a preview; *zone_data* is empty for an interval."""
    return {
        "runs": [
            {
                "at": rfc3339(row.run_at),
                "tick_at": rfc3339(row.tick.at),
                "local": row.tick.local,
                "nominal_local": row.tick.nominal_local,
                "note": row.tick.note,
            }
            for row in rows
        ],
        "text": text,
        "zone_data": zone_data or None,
        "warnings": list(warnings),
    }


def has_status(state: ScheduleState, status: str | None, now: int) -> bool:
    """Say whether *state* is shown with *status*; None: with any. A deleted schedule is not shown."""
    return state.status != ScheduleStatus.DELETED and status in (None, _status(state, now))


def _status(state: ScheduleState, now: int) -> str:
    if state.is_paused_at(now):
        return "paused"
    return "finished" if state.next_run_at is None else "active"


def _instant(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
