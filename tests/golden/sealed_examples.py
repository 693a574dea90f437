"""Events whose specs are sealed, under a key and with a nonce that never change, so that their bytes do not either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.events import (
    Event,
    JobChangeRequested,
    JobMergeRequested,
    JobScheduled,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleRule,
    Spec,
)
from libs.sealing.data_key import DataKey
from libs.sealing.sealed_event import sealed_event
from libs.sealing.sealed_spec import seal_spec
from tests.golden.schedule_examples import AT, JOB, SCHEDULE, SPEC

ACCOUNT: Final = "acme"
KEY: Final = DataKey("dk_0123456789abcdef", bytes(range(32)))
NEW_SPEC: Final = "job_01mcc5rm3v001g000000000000"


def seal(spec: Spec, spec_id: str) -> Spec:
    """Return *spec* sealed for the account of the examples; outside of them a nonce is never used twice."""
    return seal_spec(spec, KEY, account=ACCOUNT, spec_id=spec_id, entropy=bytes)


_OPEN: Final[Mapping[str, Event]] = {
    "job.scheduled sealed": JobScheduled(job_id=JOB, account=ACCOUNT, at=AT, spec=SPEC, fire_at=AT),
    "job.change_requested sealed": JobChangeRequested(
        job_id=JOB, at=AT, request_id="r", version=1, fire_at=AT, spec=SPEC, new_spec_id=NEW_SPEC
    ),
    "job.merge_requested sealed": JobMergeRequested(
        job_id=JOB, at=AT, request_id="r", how="replace", fire_at=AT, spec=SPEC, new_spec_id=NEW_SPEC
    ),
    "schedule.created sealed": ScheduleCreated(
        schedule_id=SCHEDULE, account=ACCOUNT, at=AT, spec=SPEC, cron="* * * * *", next_run_at=AT + 60_000
    ),
    "schedule.defined sealed": ScheduleDefined(
        schedule_id=SCHEDULE, account=ACCOUNT, at=AT, spec=SPEC, rule=ScheduleRule(every_s=60), next_run_at=AT + 60_000
    ),
    "schedule.changed sealed": ScheduleChanged(
        schedule_id=SCHEDULE, at=AT, version=2, change_id="c", rule=ScheduleRule(every_s=60), spec=SPEC
    ),
}
SEALED_EXAMPLES: Final[Mapping[str, Event]] = {name: sealed_event(event, seal) for name, event in _OPEN.items()}
