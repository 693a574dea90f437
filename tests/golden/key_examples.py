"""The events behind the golden bytes of jobs with keys (examples.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.events import Event, JobMerged, JobMergeRequested, JobScheduled, Spec
from libs.events.retry_policy import RetryPolicy

AT: Final = 1_800_000_000_123
JOB: Final = "job_01mcc5rm3v001h4d2pf28aqkff"
OLDER_JOB: Final = "job_01mcc5rm3v001g000000000000"
SPEC: Final = Spec(url="https://example.com/")

KEY_EXAMPLES: Final[Mapping[str, Event]] = {
    "job.scheduled with a waiting key": JobScheduled(
        job_id=JOB, account="acme", at=AT, spec=SPEC, fire_at=AT + 60_000, waiting_key="index of shop 7"
    ),
    "job.scheduled with a singleton key": JobScheduled(
        job_id=JOB, account="acme", at=AT, spec=SPEC, fire_at=AT + 60_000, singleton_key="report"
    ),
    "job.merge_requested full": JobMergeRequested(
        job_id=JOB,
        at=AT,
        request_id="0123456789abcdef",
        how="replace",
        fire_at=AT + 60_000,
        max_retries=5,
        retry=RetryPolicy(max_retries=5),
        success_on=("2xx", "404"),
        expires_at=AT + 120_000,
        spec=SPEC,
        new_spec_id=OLDER_JOB,
    ),
    "job.merge_requested plain": JobMergeRequested(
        job_id=JOB, at=AT, request_id="0123456789abcdef", how="extend", fire_at=AT
    ),
    "job.merged": JobMerged(job_id=JOB, at=AT),
}
