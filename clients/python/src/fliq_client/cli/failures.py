"""Failures: `fliq failures`: failed jobs in groups that failed alike."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from fliq_client.cli import options
from fliq_client.cli.exits import OK, UsageError
from fliq_client.cli.parsing import Commands, add_label_option, word
from fliq_client.cli.session import Session
from fliq_client.contract.models import JobItem

TEXT: Final = """\
Looks at the newest failed jobs and puts those together that failed alike: same host, same answer, same error.
`fliq jobs replay ID` makes a copy of one; `fliq jobs list --status failed --ids | xargs fliq jobs replay` of all.
"""


def add(commands: Commands) -> None:
    """Describe `fliq failures`."""
    parser = word(commands, "failures", _failures, "failed jobs, in groups that failed alike", TEXT)
    add_label_option(parser)
    parser.add_argument("-n", "--limit", type=int, default=200, metavar="COUNT", help="how many to look at (200)")


def _failures(args: argparse.Namespace, session: Session) -> int:
    if args.limit < 1:
        raise UsageError("--limit is at least 1")
    failed = session.fliq.jobs.list(status="failed", labels=options.labels(args.label))
    groups = groups_of(islice(failed, args.limit))
    shown = [
        {
            "jobs": len(jobs),
            "host": host,
            "answer": answer,
            "error": error,
            "newest": jobs[0].id,
            "at": _ended(jobs[0]),
        }
        for (host, answer, error), jobs in groups
    ]
    whole = [row | {"jobs": [job.id for job in jobs]} for row, (_, jobs) in zip(shown, groups, strict=True)]
    session.table(shown, whole, empty="no job has failed")
    return OK


def groups_of(jobs: Iterable[JobItem]) -> list[tuple[tuple[str, int | None, str | None], list[JobItem]]]:
    """Return failed *jobs*, newest first, in groups by host, answer and error; the largest group first."""
    found: dict[tuple[str, int | None, str | None], list[JobItem]] = {}
    for job in jobs:
        alike = (urlsplit(job.url).hostname or "", job.last_status_code, job.last_error or job.ended_by)
        found.setdefault(alike, []).append(job)
    return sorted(found.items(), key=lambda group: -len(group[1]))


def _ended(job: JobItem) -> Any:
    return options.shown_instant(job.completed_at)
