"""
Evidence: everything that a campaign leaves behind, read back as a history.

All jobs come from the tables (which `verify` compares with the log, row by row) and their timelines from a dump of the log; the API
is asked for the list and for a sample of jobs, which must say the same.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from typing import Any, Final

from libs.domain.job import JobState
from libs.events.ids import execution_id
from libs.log.port import Log
from tests.chaos.judging import record
from tests.chaos.judging.history import Execution, Fault, History, JobRead
from tests.chaos.judging.log_rules import LogRules
from tests.chaos.load import Load
from tests.fakes.running.all_rows import AllRows, all_rows
from tests.fakes.running.topologies import Client

SAMPLE: Final = 500
AT_ONCE: Final = 4
ACCOUNT: Final = "default"  # that of the load; Fliq's own heartbeats are another's
BATCH: Final = 2_000
_STATUS: Final = {"COMPLETED": "success", "FINISHING": "running", "RETRYING": "running"}  # the rest is called the same


async def dump(log: Log, partition: int, rules: LogRules) -> list[tuple[str, int]]:
    """Return the types of the records of *partition*, in order, and when the log took them; *rules* look at each."""
    found: list[tuple[str, int]] = []
    end = await log.end(partition)
    while len(found) < end:
        records = await log.read(partition, len(found), max_records=BATCH)
        found += [(sys.intern(each.envelope.type), each.at) for each in records]
        for each in records:
            rules.take(each.position, each.envelope)
    return found


def jobs_of(rows: AllRows, records: Sequence[tuple[str, int]]) -> list[JobRead]:
    """Return the account's jobs of a partition as the tables have them."""
    outcomes = {
        job.job_id: [records[position][1] for position in job.offsets if records[position][0] == "attempt.finished"]
        for job in rows.states.of(JobState).values()
    }
    executions: dict[str, list[Execution]] = {}
    for (job_id, attempt), row in sorted(rows.executions.items()):
        executions.setdefault(job_id, []).append(
            Execution(
                id=execution_id(job_id, attempt),
                attempt=attempt,
                status=None if row.ok is None else "success" if row.ok else "failed",
                status_code=row.status_code,
                executed_at=row.executed_at,
                recorded_at=dict(enumerate(outcomes[job_id], start=1)).get(attempt),
            )
        )
    return [
        JobRead(
            id=job.job_id,
            name=_body(rows.specs[job.spec_id]),
            status=_STATUS.get(job.status.name, job.status.name.lower()),
            execution_count=len(executions.get(job.job_id, ())),
            executions=tuple(executions.get(job.job_id, ())),
            timeline=tuple(records[position][0] for position in job.offsets),
            schedule_id=job.schedule_id,
            ended_by=job.ended_by,
            **_instants([records[position] for position in job.offsets]),
        )
        for job in rows.states.of(JobState).values()
        if job.account == ACCOUNT
    ]


def _instants(records: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """When the log took a job's first record, its first due and its end."""
    ends = ("job.finished", "job.cancelled")
    return {
        "born_at": records[0][1],
        "due_at": next((at for kind, at in records if kind == "attempt.due"), None),
        "gone_at": next((at for kind, at in records if kind in ends), None),
    }


def _body(spec: bytes) -> str:
    return record.name_of(json.loads(spec).get("body", ""))


async def collect(
    load: Load,
    sink: Any,
    client: Client,
    faults: list[Fault],
    log: Log,
    pool: Any,
    *,
    ended_at: float,
    more: dict[str, Any],
) -> History:
    """Return the history; *more* are its parameters."""
    jobs: dict[str, JobRead] = {}
    breaches: list[tuple[str, str]] = []
    for partition in range(await log.partitions()):
        rows, rules = await all_rows(pool, partition), LogRules(partition)
        jobs |= {job.id: job for job in jobs_of(rows, await dump(log, partition, rules))}
        breaches += rules.broken(sink.arrivals, sink.url, faults)
    more = more | {"breaches": tuple(breaches), "told": record.told(sink)}
    unread = await _disagreements(client, jobs)
    try:
        listed = await record.patiently(lambda: record.list_all(client, "jobs"))
    except AssertionError as error:
        listed, unread = list(jobs), [*unread, f"the API does not list the jobs: {error}"]
    return record.history_of(load, sink, jobs.values(), listed, faults, ended_at=ended_at, unread=tuple(unread), **more)


async def _disagreements(client: Client, jobs: dict[str, JobRead]) -> list[str]:
    sample = random.Random(len(jobs)).sample(sorted(jobs), min(SAMPLE, len(jobs)))
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(job_id: str) -> str:
        async with slots:
            try:
                read = await record.patiently(lambda: record.read_job(client, job_id))
            except AssertionError as error:
                return f"the API does not show {job_id}: {error}"
        return "" if read == jobs[job_id] else f"the API says {read}, the tables {jobs[job_id]}"

    return [each for each in await asyncio.gather(*[one(job_id) for job_id in sample]) if each]
