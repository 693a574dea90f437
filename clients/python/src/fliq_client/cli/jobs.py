"""Jobs: `fliq jobs create | get | list | cancel | run | stop | replay | watch`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from fliq_client.cli import options
from fliq_client.cli.exits import FAILED, OK, UsageError
from fliq_client.cli.parsing import Commands, add_call_options, add_label_option, group, word
from fliq_client.cli.session import Session
from fliq_client.contract.models import Job
from fliq_client.errors import ApiError

STATUSES: Final = ("scheduled", "running", "success", "failed", "cancelled")
_ENDS: Final = frozenset(STATUSES[2:])
_WATCH_S: Final = 1.0  # between two looks
_ANSWER_MAX: Final = 1_000  # characters of an answer that are shown

TEXT: Final = """\
A job is one HTTP call at an instant, with its retries.

  fliq jobs create https://example.com/charge --in 15m --json-body '{"amount": 100}' --max-retries 3
  fliq jobs list --status failed
  fliq jobs list --status failed --ids | xargs fliq jobs replay
  fliq jobs watch job_01h...
"""


def add(commands: Commands) -> None:
    """Describe `fliq jobs`."""
    jobs = group(commands, "jobs", "calls that are made once: create, list, cancel, replay, watch", TEXT)
    create = word(jobs, "create", _create, "create a job", "When this ends with 0, the job is safe on disk.")
    create.add_argument("url", help="what is called")
    when = create.add_mutually_exclusive_group(required=True)
    when.add_argument("--at", metavar="INSTANT", help="when, such as 2027-01-31T09:00:00Z")
    when.add_argument("--in", dest="delay", metavar="DURATION", help="when, from now: 90s, 15m, 2h, 7d")
    add_call_options(create)
    create.add_argument("--key", help="an idempotency key of your own: sent again, no second job is made")
    create.add_argument(
        "--file", metavar="FILE", help="the body, from a file; - is standard input", type=Path, dest="body_file"
    )
    _with_id(word(jobs, "get", _get, "show a job, with its attempts, and what the target answered if it failed"))
    listed = word(jobs, "list", _list, "list jobs, newest first")
    listed.add_argument("--status", choices=STATUSES, help="only those with this status")
    listed.add_argument("--schedule", metavar="ID", help="only those that this schedule made")
    add_label_option(listed)
    listed.add_argument("-n", "--limit", type=int, default=50, metavar="COUNT", help="at most so many (50)")
    listed.add_argument("--ids", action="store_true", help="print the ids alone, for xargs")
    for name, does, meaning, text in (
        ("cancel", _cancel, "cancel jobs", "When this ends with 0, none of them ever fires; 3: one has fired already."),
        ("run", _run, "call jobs that wait now", ""),
        ("stop", _stop, "stop jobs, also those under way", "A call under way is cut off."),
        ("replay", _replay, "make copies of failed jobs, due at once", ""),
    ):
        word(jobs, name, does, meaning, text).add_argument("ids", nargs="+", metavar="ID", help="a job")
    watch = word(
        jobs,
        "watch",
        _watch,
        "print a job's records until it has ended",
        "Prints each record of the job as it is written. Exit code: 0 if the job succeeded, else 1.",
    )
    _with_id(watch)
    watch.add_argument("--for", dest="patience", metavar="DURATION", default="1h", help="at most so long (1h)")


def _with_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the job")


def _create(args: argparse.Namespace, session: Session) -> int:
    fields = options.given(
        http_method=args.method,
        headers=options.headers(args.header) or None,
        max_retries=args.max_retries,
        webhook_url=args.webhook,
        key=args.key,
        at=None if args.at is None else options.instant(args.at),
        delay_seconds=None if args.delay is None else options.seconds(args.delay),
    )
    fields |= options.body(_body_of(args), args.json_body) | options.settings(args.set)
    job = session.fliq.jobs.create(args.url, **fields)
    session.show(job, f"{job.id}  {job.status}  {options.shown_instant(job.scheduled_at)}")
    return OK


def _body_of(args: argparse.Namespace) -> str | None:
    if args.body_file is None:
        text: str | None = args.body
        return text
    if args.body is not None:
        raise UsageError("--body and --file are both given: a request has one body")
    try:
        place = Path("/dev/stdin") if str(args.body_file) == "-" else args.body_file
        return str(place.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {args.body_file} as UTF-8: {error}") from None


def _get(args: argparse.Namespace, session: Session) -> int:
    job = session.fliq.jobs.get(args.id)
    if session.as_json:
        session.show(job, "")
        return OK
    facts: Mapping[str, Any] = {
        "id": job.id,
        "status": job.status if job.ended_by in (None, job.status) else f"{job.status} ({job.ended_by})",
        "call": f"{job.http_method} {job.url}",
        "scheduled": options.shown_instant(job.scheduled_at),
        "next attempt": options.shown_instant(job.next_attempt_at),
        "waits for": None if job.waiting_for is None else job.waiting_for.blocked_on,
        "ended": options.shown_instant(job.completed_at),
        "error": job.last_error,
        "schedule": job.schedule_id,
        "labels": options.shown_labels(job.labels),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            session.say(f"{name.ljust(width)}  {value}")
    attempts = session.fliq.jobs.executions(args.id)
    if attempts:
        session.say("")
        session.table(
            (
                {
                    "attempt": each.attempt_num,
                    "at": options.shown_instant(each.executed_at),
                    "status": each.status,
                    "answer": each.status_code,
                    "ms": each.duration_ms,
                    "error": each.error,
                }
                for each in attempts
            ),
            attempts,
            empty="",
        )
    if job.status == "failed" and attempts:
        _show_answer(job.id, attempts[-1].attempt_num, session)
    return OK


def _show_answer(job_id: str, attempt_num: int, session: Session) -> None:
    """Show the beginning of what the target answered: it says why more often than the status does."""
    try:
        head = session.fliq.jobs.response(job_id, attempt_num).head
    except ApiError:  # nothing was kept, or the token may not read it
        return
    if head is not None:
        session.say(f"\nwhat the target answered to attempt {attempt_num}:\n{head[:_ANSWER_MAX]}")


def _list(args: argparse.Namespace, session: Session) -> int:
    if args.limit < 1:
        raise UsageError("--limit is at least 1")
    fliq, schedule, labels = session.fliq, args.schedule, options.labels(args.label)
    listed = (
        fliq.schedules.jobs(schedule, status=args.status, labels=labels)
        if schedule
        else fliq.jobs.list(status=args.status, labels=labels)
    )
    jobs = list(islice(listed, args.limit))
    if args.ids:
        for job in jobs:
            session.say(job.id)
        return OK
    session.table(
        (
            {
                "id": job.id,
                "status": job.status,
                "scheduled": options.shown_instant(job.scheduled_at),
                "attempts": job.execution_count,
                "answer": job.last_status_code,
                "call": f"{job.http_method} {job.url}",
            }
            for job in jobs
        ),
        jobs,
        empty="no jobs; make one with: fliq jobs create URL --in 1m",
    )
    return OK


def _cancel(args: argparse.Namespace, session: Session) -> int:
    for each in args.ids:
        session.fliq.jobs.cancel(each)
        if not session.as_json:
            session.say(f"{each}  cancelled")
    return OK


def _run(args: argparse.Namespace, session: Session) -> int:
    return _each(args, session, session.fliq.jobs.run)


def _stop(args: argparse.Namespace, session: Session) -> int:
    return _each(args, session, session.fliq.jobs.stop)


def _each(args: argparse.Namespace, session: Session, act: Callable[[str], Job]) -> int:
    for each in args.ids:
        job = act(each)
        session.show(job, f"{job.id}  {job.status}")
    return OK


def _replay(args: argparse.Namespace, session: Session) -> int:
    for each in args.ids:
        copy = session.fliq.jobs.replay(each)
        session.show(copy, f"{copy.id}  {copy.status}  replay of {each}")
    return OK


def _watch(args: argparse.Namespace, session: Session) -> int:
    ends_at = time.monotonic() + options.seconds(args.patience)
    seen = 0
    while True:  # until the job or the patience ends
        job = session.fliq.jobs.get(args.id)  # first the state: what is told afterwards has its last record
        records = session.fliq.jobs.events(args.id)
        for record in records[seen:]:
            said = " ".join(f"{name}={value}" for name, value in record.fields.items() if _is_short(value))
            session.show(record, f"{options.shown_instant(record.at)}  {record.type}  {said}".rstrip())
        seen = max(seen, len(records))
        if job.status in _ENDS:
            return OK if job.status == "success" else FAILED
        if time.monotonic() >= ends_at:
            session.note(f"{job.id} is still {job.status}")
            return FAILED
        time.sleep(_WATCH_S)


def _is_short(value: object) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) <= 60
