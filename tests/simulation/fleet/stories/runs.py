"""Runs of a schedule that says what becomes of those that meet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from operator import itemgetter

from tests.chaos.judging.history import History
from tests.simulation.fleet.node import Harness
from tests.simulation.fleet.stories.schedules import RUN_MS, ScheduleStory


def running_beside_each_other(harness: Harness, story: ScheduleStory, history: History) -> Iterator[str]:
    """
    No run begins while another is under way. It is, until the outcome of a call is recorded: longer than its target works.

    One that is replaced ends before: by the log, its end stands before the first due of the next.
    """
    began: dict[str, float] = {}
    for call in history.calls:
        if call.schedule_id is not None and call.name == story.name:
            began.setdefault(call.job_id, call.at)
    for (one, at), (two, next_at) in pairwise(sorted(began.items(), key=itemgetter(1))):
        if story.rule["overlap"] == "replace":
            jobs = harness.store.database.jobs
            records = harness.log.records(harness.store.database.partition_of[one])
            ended = [offset for offset in jobs[one].offsets if records[offset].envelope.type == "job.finished"]
            due = [offset for offset in jobs[two].offsets if records[offset].envelope.type == "attempt.due"]
            if not ended or ended[0] > due[0]:
                yield f"runs_overlap: {story.name}: {two} was due before {one} was at its end"
        elif next_at < at + RUN_MS:
            yield f"runs_overlap: {story.name}: {one} began at {at:.0f}, {two} at {next_at:.0f}"
