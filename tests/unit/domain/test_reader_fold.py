"""What a reader that decides nothing picks from a partition."""

import pytest

from libs.domain.ledger import GapInLog, MustUnderstand
from libs.domain.reader_fold import ReaderFold
from libs.events import Claim, Envelope, JobCancelRequested, JobFinished, OwnerClaimed, encode
from libs.events.ids import new_job_id

JOB = new_job_id(1_000, 0, b"12345678")
CLAIM = Claim(1, "nonce0001")
FINISHED = JobFinished(job_id=JOB, account="default", at=5, status="completed", attempt=1)
WANTED = frozenset({"job.finished", "job.cancel_requested"})


def claimed(epoch: int, nonce: str) -> Envelope:
    return encode(OwnerClaimed(epoch=epoch, nonce=nonce, node="n", at=1))


def test_wanted_decisions_count_under_the_admitted_claim_only() -> None:
    """Before a claim, under another one and under a void one they are dropped; under the admitted one they are picked."""
    tail = ReaderFold(0, wanted=WANTED)

    assert tail.take(0, encode(FINISHED, CLAIM)) is None
    assert tail.take(1, claimed(1, "nonce0001")) is None
    assert tail.take(2, encode(FINISHED, CLAIM)) == FINISHED
    assert tail.take(3, claimed(1, "nonce0002")) is None
    assert tail.take(4, encode(FINISHED, Claim(1, "nonce0002"))) is None
    assert tail.take(5, claimed(2, "nonce0003")) is None
    assert tail.take(6, encode(FINISHED, CLAIM)) is None
    assert tail.take(7, encode(FINISHED, Claim(2, "nonce0003"))) == FINISHED
    assert (tail.position, tail.claim, tail.void_count) == (7, Claim(2, "nonce0003"), 4)


def test_facts_are_never_fenced() -> None:
    """A wanted fact is picked whatever the claim."""
    fact = JobCancelRequested(job_id=JOB, at=3)

    assert ReaderFold(0, wanted=WANTED).take(0, encode(fact)) == fact


def test_other_types_are_passed_undecoded() -> None:
    """Their bytes do not matter."""
    tail = ReaderFold(0, wanted=WANTED, position=6, claim=CLAIM)

    assert tail.take(7, Envelope("job.scheduled", 1, True, None, JOB, b"torn")) is None
    assert tail.position == 7
    assert tail.poison_count == 0


def test_a_gap_stops_the_reader() -> None:
    """It stays where it was."""
    tail = ReaderFold(0, wanted=WANTED, position=6)

    with pytest.raises(GapInLog):
        tail.take(8, encode(JobCancelRequested(job_id=JOB, at=3)))
    assert tail.position == 6


@pytest.mark.parametrize(("name", "version"), [("job.teleported", 1), ("job.finished", 9), ("job.scheduled", 99)])
def test_what_must_be_understood_and_is_not_stops_the_reader(name: str, version: int) -> None:
    """Unknown types and newer versions, wanted or not; the tail stays in front of them."""
    tail = ReaderFold(0, wanted=WANTED)

    with pytest.raises(MustUnderstand):
        tail.take(0, Envelope(name, version, True, None, JOB, b"{}"))
    assert tail.position == -1


def test_what_need_not_be_understood_is_passed() -> None:
    """Unknown types that say so are skipped."""
    tail = ReaderFold(0, wanted=WANTED)

    assert tail.take(0, Envelope("job.teleported", 1, False, None, JOB, b"{}")) is None
    assert tail.position == 0


@pytest.mark.parametrize("partition", [0, 1])
def test_what_cannot_be_read_is_counted_and_passed(partition: int) -> None:
    """Torn bytes, and records that stand in another partition than their id says."""
    tail = ReaderFold(partition, wanted=WANTED, claim=CLAIM)
    value = b"{" if partition == 0 else encode(FINISHED, CLAIM).value

    assert tail.take(0, Envelope("job.finished", 1, True, str(CLAIM), JOB, value)) is None
    assert (tail.position, tail.poison_count) == (0, 1)
