"""Job picture: where a job is in its life, and why it is there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from services.console.showing import duration, instant_ms

ENDS: Final = ("success", "failed", "cancelled")
CAUSES: Final = {
    "exhausted": "No retry was left.",
    "not_retryable": "Its retry policy does not repeat this failure.",
    "stopped_by_target": "The target said that no other attempt may follow.",
    "stopped": "Somebody stopped it.",
    "replaced": "Its schedule replaced it by the next run.",
    "expired": "Its expiry came before an attempt could start.",
    "max_elapsed": "The next attempt would have started too long after the first.",
}


class Step(NamedTuple):
    """A state in the picture: *how* is `past`, `now` or `open`; *at* is when it began, None if it has not."""

    name: str
    how: str
    at: str | None


class Picture(NamedTuple):
    """The states on the way, and the three ends, of which one is reached at most."""

    scheduled: Step
    running: Step
    retrying: Step
    ends: tuple[Step, ...]


def picture_of(job: Mapping[str, Any], executions: Sequence[Mapping[str, Any]]) -> Picture:
    """Return the picture of *job* with its *executions*."""
    status, started_at = job["status"], job["started_at"]
    waits_again = status == "running" and job["next_attempt_at"] is not None
    has_retried = len(executions) > 1 or waits_again
    return Picture(
        Step("scheduled", "now" if status == "scheduled" else "past", job["created_at"]),
        Step(
            "running",
            "now" if status == "running" and not waits_again else "past" if started_at or executions else "open",
            started_at,
        ),
        Step(
            "retrying",
            "now" if waits_again else "past" if has_retried else "open",
            job["next_attempt_at"] if waits_again else None,
        ),
        tuple(
            Step(end, "now" if status == end else "open", job["completed_at"] if status == end else None)
            for end in ENDS
        ),
    )


def why(job: Mapping[str, Any], now: int) -> str:
    """Return in a sentence why *job* is where it is."""
    status, tries = job["status"], job["execution_count"]
    waiting_for = job.get("waiting_for")
    if waiting_for:
        reason = str(waiting_for.get("blocked_on", "")).replace("_", " ")
        return f"It is due, and waits because of the {reason}."
    if status == "scheduled":
        ms = instant_ms(job["next_attempt_at"] or job["scheduled_at"]) - now
        if ms > 0:
            return f"It waits for its instant, in {duration(ms)}."
        return "Its instant has come, and it is about to be called."
    if status == "running" and job["next_attempt_at"]:
        ms = max(0, instant_ms(job["next_attempt_at"]) - now)
        return f"Attempt {tries} failed ({_said(job)}). It waits for attempt {tries + 1}, in {duration(ms)}."
    if status == "running":
        return f"Attempt {max(1, tries)} is under way."
    if status == "success":
        return f"The target answered {job['last_status_code']} to attempt {tries}."
    if status == "cancelled":
        return "It was cancelled before its first attempt, and never fires."
    return _failed(job)


def _failed(job: Mapping[str, Any]) -> str:
    tries = job["execution_count"]
    cause = CAUSES.get(str(job.get("ended_by") or ""), "")
    if not tries:
        return f"It failed without an attempt. {cause}".strip()
    attempts = "its only attempt" if tries == 1 else f"the last of {tries} attempts"
    return f"It failed: {attempts} ended with {_said(job)}. {cause}".strip()


def _said(job: Mapping[str, Any]) -> str:
    code, error = job["last_status_code"], job["last_error"]
    if code is not None and error and not str(error).startswith("HTTP "):
        return f"HTTP {code}, {error}"
    return str(error or (f"HTTP {code}" if code is not None else "no answer"))
