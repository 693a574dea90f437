"""Which jobs are forgotten, and that none of them comes back."""

from __future__ import annotations

import msgspec
import pytest

from libs.domain.heartbeat import ACCOUNT
from libs.domain.history.floors import NOTHING_FORGOTTEN, Floors
from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.domain.ledger import Ledger, Verdict
from libs.events import Claim, HistoryForgotten, LogCarried, WebhookAttempted
from libs.events.ids import delivery_id, new_job_id
from tests.fakes import events

NOW = 1_800_000_000_000
JOB_ID = new_job_id(NOW, 0, bytes(8))
ENDED = JobState(
    job_id=JOB_ID,
    account="acme",
    status=JobStatus.COMPLETED,
    scheduled_at=NOW,
    fire_at=NOW,
    created_at=NOW,
    completed_at=NOW + 100,
    offsets=(3, 5, 8),
)
DELIVERY = DeliveryState(
    delivery_id=delivery_id(JOB_ID),
    account="acme",
    job_id=JOB_ID,
    event="job.completed",
    status=DeliveryStatus.DELIVERED,
    created_at=NOW + 200,
    last_at=NOW + 200,
    offsets=(9,),
)
FLOORS = Floors(through=9, success_before=NOW + 101, failed_before=NOW + 50)
CLAIM = Claim(1, "a" * 16)


def changed(**fields: object) -> JobState:
    return msgspec.structs.replace(ENDED, **fields)


@pytest.mark.parametrize(
    ("state", "is_forgotten"),
    [
        (ENDED, True),
        (changed(status=JobStatus.CANCELLED), True),
        (changed(completed_at=NOW + 101), False),
        (changed(offsets=(3, 5, 9)), False),
        (changed(offsets=(3, 8, 7)), True),
        (changed(status=JobStatus.FAILED), False),
        (changed(status=JobStatus.FAILED, completed_at=NOW + 49), True),
        (changed(status=JobStatus.RUNNING, completed_at=None), False),
        (changed(status=JobStatus.SCHEDULED, completed_at=None), False),
        (changed(has_webhook=True), False),
        (changed(has_webhook=True, webhook_at=NOW + 100), True),
        (changed(account=ACCOUNT), False),
        (changed(job_id=new_job_id(NOW + 101, 0, bytes(8))), False),
        (changed(job_id=new_job_id(NOW + 100, 0, bytes(8))), True),
    ],
)
def test_which_jobs_are_forgotten(state: JobState, is_forgotten: bool) -> None:
    """Those at their end that wait for nothing, by age, by position, and by their id."""
    assert FLOORS.forget(state, {}) is is_forgotten


@pytest.mark.parametrize(
    ("delivery", "is_forgotten"),
    [
        (DELIVERY, False),  # tried too lately
        (msgspec.structs.replace(DELIVERY, last_at=NOW + 100), False),  # its record stands at the floor
        (msgspec.structs.replace(DELIVERY, last_at=NOW + 100, offsets=(8,)), True),
        (msgspec.structs.replace(DELIVERY, last_at=NOW + 100, offsets=(8,), next_at=NOW + 9), False),
        (msgspec.structs.replace(DELIVERY, last_at=NOW + 100, offsets=(8,), held=True), False),
        (msgspec.structs.replace(DELIVERY, last_at=NOW + 100, offsets=(8,), event="job.failed"), False),
    ],
)
def test_a_job_goes_with_its_delivery(delivery: DeliveryState, is_forgotten: bool) -> None:
    """While a delivery may be tried again, or asked for again, its job is there."""
    job = changed(has_webhook=True, webhook_at=NOW + 100)

    assert FLOORS.forget(job, {delivery.delivery_id: delivery}) is is_forgotten
    assert FLOORS.forget(delivery, {}) is is_forgotten


def test_heartbeats_have_a_floor_of_their_own() -> None:
    """They are forgotten after an hour, whatever else is kept."""
    floors = Floors(through=9, heartbeat_before=NOW + 101)

    assert floors.forget(changed(account=ACCOUNT), {})
    assert not floors.forget(ENDED, {})
    assert floors.bars(events.asked(JOB_ID, NOW, account=ACCOUNT), {})
    assert not floors.bars(events.asked(JOB_ID, NOW), {})


def test_floors_never_go_down() -> None:
    """A decision of an owner whose clock is behind, or with other settings, brings nothing back."""
    lower = HistoryForgotten(through=1, success_before=NOW, failed_before=NOW + 60, at=NOW)

    assert FLOORS.after(lower) == msgspec.structs.replace(FLOORS, failed_before=NOW + 60)


def read(ledger: Ledger, *items: object) -> list[Verdict]:
    """Read records to *ledger*, all of them with the claim that counts."""
    return [ledger.apply(ledger.position + 1, item, str(CLAIM)).verdict for item in items]  # type: ignore[arg-type]


def forgetting_ledger() -> Ledger:
    """Return a fold in which every id made before `NOW` + 1 may be forgotten."""
    ledger = Ledger(0)
    read(ledger, events.claimed(CLAIM, NOW), HistoryForgotten(through=2, success_before=NOW + 1, at=NOW))
    return ledger


def test_an_old_id_makes_no_job() -> None:
    """What is repeated after it was forgotten, by a caller or by the network, does not come back."""
    ledger = forgetting_ledger()
    young = new_job_id(NOW + 1, 0, bytes(8))

    assert read(ledger, events.asked(JOB_ID, NOW), events.asked(young, NOW)) == [Verdict.REPEATED, Verdict.APPLIED]
    assert list(ledger.states) == [young]


def test_a_late_outcome_makes_no_delivery() -> None:
    """Neither of a job that is gone, nor of one whose webhook had an outcome before."""
    ledger = forgetting_ledger()
    outcome = WebhookAttempted(
        delivery_id=delivery_id(JOB_ID),
        account="acme",
        at=NOW,
        attempt=1,
        outcome="failure",
        duration_ms=1,
        job_id=JOB_ID,
    )
    verdicts = read(ledger, outcome)
    ledger.states[JOB_ID] = changed(has_webhook=True, webhook_at=NOW + 150)
    verdicts += read(ledger, outcome)
    ledger.states[JOB_ID] = changed(has_webhook=True)
    verdicts += read(ledger, outcome)

    assert verdicts == [Verdict.REPEATED, Verdict.REPEATED, Verdict.APPLIED]


def test_an_owner_that_was_replaced_forgets_nothing() -> None:
    """It is a decision: it counts under the claim that counts."""
    ledger = Ledger(0)
    read(ledger, events.claimed(CLAIM, NOW))
    late = HistoryForgotten(through=2, success_before=NOW + 1, at=NOW)

    assert ledger.apply(1, late, "1.bbbbbbbbbbbbbbbb").verdict is Verdict.VOID
    assert ledger.floors is NOTHING_FORGOTTEN


def test_a_closed_id_makes_no_job_unless_it_is_that_of_a_tick() -> None:
    """A request from before is void, however late it comes; a back-filled run has the id of its tick, and is made."""
    ledger = Ledger(0)
    read(ledger, events.claimed(CLAIM, NOW), HistoryForgotten(through=0, closed_before=NOW + 1, at=NOW))
    young = new_job_id(NOW + 1, 0, bytes(8))
    schedule_id = "sched_" + JOB_ID[4:]
    run = events.asked(JOB_ID, NOW, schedule_id=schedule_id, tick_at=NOW)

    assert read(ledger, events.asked(JOB_ID, NOW), events.asked(young, NOW)) == [Verdict.REPEATED, Verdict.APPLIED]
    assert read(ledger, run) == [Verdict.APPLIED]


def test_a_job_that_was_over_before_the_fold_began_is_not_made_again() -> None:
    """Its state is not known, its id is."""
    ledger = Ledger(0)
    ledger.over = {JOB_ID}
    read(ledger, events.claimed(CLAIM, NOW), HistoryForgotten(through=0, closed_before=1, at=NOW))

    assert read(ledger, events.asked(JOB_ID, NOW)) == [Verdict.REPEATED]


def test_once_ids_are_closed_a_webhook_of_an_unknown_job_makes_no_delivery() -> None:
    """However young it is: its job was over."""
    ledger = Ledger(0)
    read(ledger, events.claimed(CLAIM, NOW), HistoryForgotten(through=0, closed_before=1, at=NOW))
    outcome = WebhookAttempted(
        delivery_id=delivery_id(JOB_ID),
        job_id=JOB_ID,
        account="acme",
        at=NOW,
        attempt=1,
        outcome="success",
        duration_ms=1,
        event="job.completed",
    )

    assert read(ledger, outcome) == [Verdict.REPEATED]


def test_what_is_carried_moves_its_own_floors() -> None:
    """They rise, and what is forgotten stays as it was."""
    ledger = Ledger(0)
    read(ledger, events.claimed(CLAIM, NOW), HistoryForgotten(through=2, success_before=NOW, at=NOW))
    read(
        ledger, LogCarried(begin=9, rows=0, at=NOW), LogCarried(begin=20, rows=0, prior_to=9, prior_at=NOW, at=NOW + 5)
    )
    read(ledger, LogCarried(begin=12, rows=0, trim_to=4, at=NOW + 3))

    assert ledger.floors == Floors(
        through=2,
        success_before=NOW,
        trim_to=4,
        carried_to=20,
        carried_at=NOW + 5,
        prior_to=9,
        prior_at=NOW,
    )
