"""The job that ARCHITECTURE.md begins with leaves the records that the domain code really makes of it."""

from __future__ import annotations

import re

import msgspec

from libs.domain.job import TERMINAL, JobState
from libs.domain.ledger import Ledger, Verdict
from libs.domain.state_registry import decide
from libs.events import AttemptFinished, Claim, Event, JobScheduled, OwnerClaimed, Spec, WebhookFinished
from libs.events.codec import KINDS, kind_of
from libs.events.ids import execution_id, new_job_id
from tests.fakes.pages import read

EXAMPLE = read("ARCHITECTURE.md").partition("## One job")[2].partition("\n## ")[0]
RECORDS = re.findall(r"^(\d+) +[\d:.]{12} +([a-z_.]+) +(?:(\d+\.\w+) +)?\{(.*)\}$", EXAMPLE, re.MULTILINE)
STATUSES = re.findall(r"^\| (\d+) \| .* \| (\w*) ?\|$", EXAMPLE, re.MULTILINE)
KIND_OF_NAME = {kind.name: kind for kind in KINDS}

NOW = 1_795_977_162_467
JOB_ID = new_job_id(NOW, 0, bytes(8))
CLAIM = Claim(1, "88827d2021534ea9")


def a_life() -> list[tuple[str, str]]:
    """Return what a job leaves that succeeds at its second try: stored names of the records, and its status after each."""
    ledger = Ledger(0)
    lived: list[tuple[str, str]] = []

    def fold(event: Event) -> None:
        kind = kind_of(event)
        stamp = str(CLAIM) if kind.role == "decision" else None
        assert ledger.apply(ledger.position + 1, event, stamp).verdict is Verdict.APPLIED
        lived.append((kind.name, _job(ledger).status.name.lower() if ledger.states else ""))

    fold(OwnerClaimed(epoch=CLAIM.epoch, nonce=CLAIM.nonce, node="n1", at=NOW))
    spec = Spec(url="http://127.0.0.1/invoices", webhook_url="http://127.0.0.1/done")
    fold(JobScheduled(job_id=JOB_ID, account="default", at=NOW, spec=spec, fire_at=NOW + 3_533, max_retries=3))
    for attempt, ok in ((1, False), (2, True)):
        fold(_decided(_job(ledger)))
        fold(_finished(attempt, ok=ok))
        fold(_decided(_job(ledger)))
    assert _job(ledger).status in TERMINAL
    fold(WebhookFinished(job_id=JOB_ID, at=NOW, ok=True, duration_ms=1, status_code=200))
    return lived


def _job(ledger: Ledger) -> JobState:
    return ledger.states.of(JobState)[JOB_ID]


def _decided(job: JobState) -> Event:
    return decide(job, NOW + 3_458, jitter=0.5, retry_base_s=3.0)


def _finished(attempt: int, *, ok: bool) -> AttemptFinished:
    return AttemptFinished(
        job_id=JOB_ID,
        at=NOW,
        attempt=attempt,
        execution_id=execution_id(JOB_ID, attempt),
        ok=ok,
        started_at=NOW,
        duration_ms=4,
        status_code=200 if ok else 503,
    )


def test_the_records_are_those_that_such_a_job_leaves() -> None:
    """Their types, their order and the job's status after each are what folding and deciding make."""
    shown = [(name, status) for (_, name, _, _), (_, status) in zip(RECORDS, STATUSES, strict=True)]
    assert shown == a_life()
    assert [int(position) for position, *_ in RECORDS] == [int(position) for position, _ in STATUSES]
    assert [int(position) for position, *_ in RECORDS] == list(range(len(RECORDS)))


def test_decisions_carry_the_claim_and_nothing_else_does() -> None:
    """The claim is the one that the first record makes."""
    epoch, nonce = re.findall(r'epoch: (\d+), nonce: "(\w+)"', RECORDS[0][3])[0]
    for _, name, claim, _ in RECORDS:
        assert claim == (f"{epoch}.{nonce}" if KIND_OF_NAME[name].role == "decision" else "")


def test_every_field_shown_is_one_of_its_record() -> None:
    """No field was made up, or renamed since."""
    for _, name, _, event in RECORDS:
        shown = set(re.findall(r"(?:^|, )(\w+): ", re.sub(r"(?<=: )\{.*?\}", "", event)))
        fields = {field.name for field in msgspec.structs.fields(KIND_OF_NAME[name].event)}
        assert shown
        assert shown <= fields
