"""
Callers with keys of jobs (`waiting_key`, `singleton_key`), what must hold for them, and what breaks it.

    I25  of the jobs with one key at most one has not let go of it
    I26  a request that was answered with 200 found a job: what was merged is called so, and what was kept had not fired before

A request is looked at again whenever its replica has time; a replica may die anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Applied, Ledger, Verdict
from libs.events import AttemptDue, Event, JobMerged, JobMergeRequested, JobScheduled, Spec, Unknown, Unreadable, encode
from libs.events.ids import new_job_id, partition_of
from tests.simulation.model.actors import Owner
from tests.simulation.model.harness import Harness, Partition

KEYS: Final = ("waiting a", "waiting a", "waiting b", "singleton c")


@dataclass(slots=True, kw_only=True)
class Request:
    """A POST with a key that waits for its answer."""

    key: str
    how: Literal["keep", "replace", "extend"]
    fresh_id: str
    url: str
    fire_at: int
    began: list[int]  # the end of each partition when the request came
    stage: Literal["look", "read", "made", "merged", "done"] = "look"
    held_id: str = ""
    wrote_id: str = ""
    end: int = 0  # of the partition, as the read index has it
    position: int | None = None  # of what was appended

    @property
    def is_singleton(self) -> bool:
        """Whether the key is held until the end of its job."""
        return self.key.startswith("singleton")


@dataclass(slots=True, kw_only=True)
class Answered:
    """A request that was answered with 200 or 201."""

    request: Request
    job_id: str
    position: int | None  # of the request to merge; None if the job was kept or made


class KeyApi:
    """The part of the API, and its callers, that is about keys."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.names: dict[str, str] = {}  # written synchronously, and survives a failover
        self.requests: list[Request] = []
        self.answered: list[Answered] = []
        self.made: dict[str, str] = {}  # id -> url of every job with a key that a request of this was to make

    def post(self) -> None:
        """POST a job with a key."""
        harness, rng = self.harness, self.harness.rng
        key = rng.choice(KEYS)
        number = len(self.answered) + len(self.requests)
        self.requests.append(
            Request(
                key=key,
                how="keep" if key.startswith("singleton") else rng.choice(("keep", "replace", "replace", "extend")),
                fresh_id=new_job_id(harness.now, rng.randrange(len(harness.partitions)), harness.entropy()),
                url=f"https://example.com/keyed/{number}",
                fire_at=harness.now + rng.choice((50, 400, 3_000, 20_000)),
                began=[part.end for part in harness.partitions],
            )
        )

    @property
    def is_waiting(self) -> bool:
        """Whether some request may still be answered: one whose record was lost has no answer."""
        return any(each.stage in ("look", "read") or each.position is not None for each in self.requests)

    def poll(self) -> None:
        """Let every request do one thing."""
        for request in self.requests:
            self.step(request)
            if self.harness.rng.random() < 0.01:
                request.stage = "done"  # the replica died
        self.requests = [request for request in self.requests if request.stage != "done"]
        self.check_holders()

    def step(self, request: Request) -> None:
        """Do the next thing for *request*."""
        harness = self.harness
        if request.stage == "look":
            request.held_id = self.names.setdefault(request.key, request.fresh_id)
            request.end = self.part(request.held_id).end
            request.stage = "read"
            if request.held_id == request.fresh_id and not request.wrote_id and harness.rng.random() < 0.1:
                request.stage = "done"  # the replica died behind its reservation
        elif request.stage == "read":
            self.read(request)
        elif request.position is not None and self.is_folded(request):
            row = self.part(request.held_id).tables.jobs.get(request.held_id)
            if row is None:  # the job is forgotten, and its id never comes back
                if request.stage == "made" and self.names[request.key] == request.held_id:
                    self.names[request.key] = request.fresh_id
                request.stage = "look"
            elif request.stage == "made":
                if row.offsets[:1] == (request.position,):
                    self.answer(request, None)
                else:
                    request.stage = "look"
            elif row.more is not None and row.more.merged_to >= request.position:
                self.answer(request, request.position)
            elif has_let_go(row, request):
                request.stage = "look"

    def read(self, request: Request) -> None:
        """Look at the job that has the key, with tables that hold all that was in the log when the request asked for it."""
        tables = self.part(request.held_id).tables
        row = tables.jobs.get(request.held_id)
        is_final = row is not None and has_let_go(row, request)
        if tables.position < request.end - 1 and not is_final:
            return
        if row is None:
            self.make(request)
        elif self.may_pass_on(row, request):
            if self.names[request.key] == request.held_id:
                self.names[request.key] = request.fresh_id
            request.stage = "look"
        elif request.how == "keep":
            self.answer(request, None)
        else:
            self.merge(row, request)

    def may_pass_on(self, row: JobState, request: Request) -> bool:
        """Say whether another job may have the key."""
        return has_let_go(row, request)

    def make(self, request: Request) -> None:
        """Append the job under the id that has the key."""
        word = "singleton_key" if request.is_singleton else "waiting_key"
        event = JobScheduled(
            job_id=request.held_id,
            account="acme",
            at=self.harness.now,
            spec=Spec(url=request.url),
            fire_at=request.fire_at,
            **{word: request.key},  # type: ignore[arg-type]
        )
        request.wrote_id = request.held_id
        self.send(request, event, "made")

    def merge(self, row: JobState, request: Request) -> None:
        """Ask the owner to make the request of the job that waits."""
        new_spec_id = new_job_id(self.harness.now, partition_of(row.job_id), self.harness.entropy())
        is_replace = request.how == "replace"
        event = JobMergeRequested(
            job_id=row.job_id,
            at=self.harness.now,
            request_id=self.harness.nonce(),
            how="replace" if is_replace else "extend",
            fire_at=request.fire_at,
            spec=Spec(url=request.url) if is_replace else None,
            new_spec_id=new_spec_id if is_replace else None,
        )
        self.send(request, event, "merged")

    def send(self, request: Request, event: Event, stage: Literal["made", "merged"]) -> None:
        """Append *event*; go on once it is durable."""
        request.stage, request.position = stage, None
        envelope = encode(event)
        self.part(envelope.key).send(object(), [envelope], lambda position: setattr(request, "position", position))

    def is_folded(self, request: Request) -> bool:
        """Say whether the tables hold what *request* appended."""
        tables = self.part(request.held_id).tables
        return request.position is not None and tables.position >= request.position

    def answer(self, request: Request, position: int | None) -> None:
        """Answer *request*."""
        request.stage = "done"
        self.answered.append(Answered(request=request, job_id=request.held_id, position=position))

    def part(self, job_id: str) -> Partition:
        """Return where a job lives."""
        return self.harness.partitions[partition_of(job_id)]

    def check_holders(self) -> None:
        """I25: count the jobs of each key, by the oracle."""
        holders: Counter[str] = Counter()
        for part in self.harness.partitions:
            for job in part.oracle.states.of(JobState).values():
                if job.more is not None:
                    if job.more.waiting_key is not None and job.status == JobStatus.SCHEDULED:
                        holders[job.more.waiting_key] += 1
                    if job.more.singleton_key is not None and not job.is_terminal:
                        holders[job.more.singleton_key] += 1
        for key, count in holders.items():
            if count > 1:
                self.harness.violate(f"I25 {count} jobs have the key {key!r}")


def has_let_go(row: JobState, request: Request) -> bool:
    """Say whether the job of *row* has let go of its key for ever."""
    return row.is_terminal if request.is_singleton else row.status != JobStatus.SCHEDULED


def broken_answers(harness: Harness, api: KeyApi) -> list[str]:
    """Return the breaches of I26."""
    found = []
    for each in api.answered:
        part = harness.partitions[partition_of(each.job_id)]
        if each.job_id not in part.oracle.states:
            found.append(f"I26 {each.job_id} was found by {each.request}, and is not in the fold")
            continue
        due_at = _first(part, each.job_id, AttemptDue, 0)
        if each.position is not None:
            merged_at = _first(part, each.job_id, JobMerged, each.position)
            if merged_at is None or (due_at is not None and due_at < merged_at):
                found.append(f"I26 {each.request} was answered as merged, and was not before the due at {due_at}")
        elif due_at is not None and not each.request.is_singleton and due_at < each.request.began[part.number]:
            found.append(f"I26 {each.request} found {each.job_id}, which had fired before it came")
    return found


def _first(part: Partition, job_id: str, kind: type, since: int) -> int | None:
    for stored in part.records[since:]:
        is_it = isinstance(stored.item, kind) and stored.applied.verdict is Verdict.APPLIED
        if is_it and getattr(stored.item, "job_id", "") == job_id:
            return stored.position
    return None


def after_merges(wanted: tuple[int, str], merges: list[JobMergeRequested]) -> tuple[int, str]:
    """Return instant and URL of a call after *merges* of a job without an expiry, by arithmetic of its own (I21)."""
    fire_at, url = wanted
    for merge in merges:
        if merge.how == "extend":
            fire_at = max(fire_at, merge.fire_at)
        elif merge.spec is not None:
            fire_at, url = merge.fire_at, merge.spec.url
    return fire_at, url


# ---- what breaks it --------------------------------------------------------------------------------------------------------


class ApiPassingKeysOn(KeyApi):
    """A key goes to the next job although the one before waits."""

    def may_pass_on(self, row: JobState, request: Request) -> bool:
        return request.how == "replace" or super().may_pass_on(row, request)


class ApiTrustingNames(KeyApi):
    """A name without a job counts as a job that waits: after the death of its taker the key leads nowhere."""

    def make(self, request: Request) -> None:
        if request.held_id == request.fresh_id:
            super().make(request)
        else:
            self.answer(request, None)


class ApiAnsweringEarly(KeyApi):
    """A request to merge is answered once it is durable."""

    def merge(self, row: JobState, request: Request) -> None:
        super().merge(row, request)
        part = self.part(row.job_id)
        self.answer(request, part.end)


class ApiReadingWhatIsThere(KeyApi):
    """A job is kept as an old row shows it."""

    def read(self, request: Request) -> None:
        request.end = 0
        super().read(request)


class PassesOverMerges(Ledger):
    """An older build that takes the owner's answer for a record that it may skip."""

    def apply(self, position: int, item: Event | Unknown | Unreadable, stamp: str | None) -> Applied:
        if isinstance(item, JobMerged):
            self.position = position
            return Applied(Verdict.SKIPPED)
        return super().apply(position, item, stamp)


class OwnerPassingOverMerges(Owner):
    ledger_type = PassesOverMerges


KEY_MUTATIONS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "key held by two": ("I25", {"keys": ApiPassingKeysOn}),
    "key lost at a crash": ("I26", {"keys": ApiTrustingNames}),
    "merge lost": ("I26", {"keys": ApiAnsweringEarly}),
    "key read from old tables": ("I26", {"keys": ApiReadingWhatIsThere}),
    "merge passed over by an older build": ("I4", {"owner": OwnerPassingOverMerges}),
}
