"""
Versions: an event is written in the lowest version that holds its fields.

A made-up newer build knows two more versions of `job.scheduled`: the first adds a field, the second adds one to the spec.
The real codec and the real fold play the older build.
"""

from __future__ import annotations

import msgspec
import pytest

from libs.domain.ledger import Ledger, MustUnderstand, Verdict
from libs.domain.reader_fold import ReaderFold
from libs.events import Envelope, JobScheduled, Spec, codec, decode, encode, read, versions
from libs.events.codec import KINDS, Kind
from libs.events.ids import new_job_id

JOB = new_job_id(1_800_000_000_000, 0, bytes(8))


class NewerSpec(Spec, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The spec of a newer build."""

    capture: int = 0


class NewerJob(JobScheduled, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The event of a newer build."""

    spec: NewerSpec  # type: ignore[assignment]
    flow: str | None = None


OURS = codec._BY_CLASS[JobScheduled]
LATEST = OURS.version
NEWER = Kind(
    name="job.scheduled",
    event=NewerJob,
    version=LATEST + 2,
    added=(*OURS.added, ("flow",), ("spec.capture",)),
    role="fact",
    key="job_id",
)


def job(flow: str | None = None, capture: int = 0) -> NewerJob:
    """Return the event that the newer build wants to write."""
    spec = NewerSpec(url="https://example.com/", capture=capture)
    return NewerJob(job_id=JOB, account="acme", at=1, spec=spec, fire_at=2, flow=flow)


def written(event: NewerJob) -> Envelope:
    """Return what the newer build writes."""
    with pytest.MonkeyPatch.context() as newer:
        newer.setitem(codec._BY_CLASS, NewerJob, NEWER)  # type: ignore[arg-type]
        return encode(event)


@pytest.mark.parametrize(
    ("event", "version"),
    [(job(), 1), (job("stripe"), LATEST + 1), (job(capture=64), LATEST + 2), (job("stripe", capture=64), LATEST + 2)],
)
def test_the_lowest_version_that_holds_the_event_is_written(event: NewerJob, version: int) -> None:
    """A field that keeps its default needs no version that knows it, wherever the field stands."""
    assert written(event).version == version


def test_bytes_of_the_oldest_version_are_those_of_an_older_build() -> None:
    """An event that uses nothing new is written to the byte as a build writes it that does not know the new fields."""
    older = JobScheduled(job_id=JOB, account="acme", at=1, spec=Spec(url="https://example.com/"), fire_at=2)

    assert written(job()) == encode(older)


@pytest.mark.parametrize("event", [job(), job("stripe"), job(capture=64)])
def test_a_newer_build_reads_every_version_that_it_writes(event: NewerJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that only added fields needs no upcaster."""
    envelope = written(event)
    monkeypatch.setitem(codec._BY_NAME, NEWER.name, NEWER)  # type: ignore[arg-type]
    monkeypatch.setitem(codec._DECODERS, NEWER.name, msgspec.json.Decoder(NewerJob))  # type: ignore[arg-type]

    assert decode(envelope) == event


def test_an_older_build_goes_on_at_its_versions_and_stops_at_the_next_one() -> None:
    """During a rolling upgrade the older build keeps the partitions in which nobody uses what is new."""
    plain, newer = written(job()), written(job("stripe"))
    ledger, reader = Ledger(0), ReaderFold(0, wanted=frozenset({"job.scheduled"}))

    assert ledger.apply(0, read(0, plain), None).verdict is Verdict.APPLIED
    assert reader.take(0, plain) is not None
    with pytest.raises(MustUnderstand, match=rf"job\.scheduled v{LATEST + 1}"):
        ledger.apply(1, read(0, newer), None)
    with pytest.raises(MustUnderstand, match=rf"job\.scheduled v{LATEST + 1}"):
        reader.take(1, newer)
    assert (ledger.position, reader.position) == (0, 0)


def test_every_added_field_has_a_default() -> None:
    """The default is what builds do that do not know the field; without one no event could leave the field out."""
    found = [default for kind in (*KINDS, NEWER) for default in versions._added(kind).defaults]

    assert len(found) == sum(len(paths) for kind in (*KINDS, NEWER) for paths in kind.added) >= 2
    assert msgspec.NODEFAULT not in found


def test_a_spec_names_what_to_call() -> None:
    """Neither a URL nor anything sealed: there would be nothing to call."""
    with pytest.raises(ValueError, match="without a URL"):
        Spec(url="")
