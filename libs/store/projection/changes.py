"""
Changes: what folding some records of one partition changed, gathered until it is flushed. Pure.

If a job or schedule changed several times, only its latest state is kept: a flush costs what changed, not what happened.
This is the second half of the fold: together with `Ledger` it says what every row must be after a position.
"""

from typing import NamedTuple

import msgspec

from libs.domain.history.floors import NOTHING_FORGOTTEN, Floors
from libs.domain.instants import day_of
from libs.domain.job import JobState
from libs.domain.ledger import Applied, Verdict
from libs.domain.state_registry import State, States
from libs.events import (
    AttemptDue,
    AttemptFinished,
    Claim,
    Envelope,
    HistoryForgotten,
    JobChangeRequested,
    JobMergeRequested,
    JobScheduled,
    LogCarried,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    Spec,
)
from libs.events.ids import changed_spec_id
from libs.events.protocol import protocol_of

_WITH_SPEC = (JobScheduled, ScheduleCreated, ScheduleDefined)
_WITH_NEW_SPEC = (JobChangeRequested, JobMergeRequested)

_encode = msgspec.json.Encoder().encode


def stored_size(spec: Spec) -> int:
    """Return how many bytes *spec* takes as it is stored."""
    return len(_encode(spec))


class ExecutionRow(NamedTuple):
    """
    One attempt as the tables keep it.

    Args:
        ok: whether it succeeded; None while the outcome is not known.
        executed_at: the instant at which the request left; while the outcome is not known, the instant at which it is due.
        error_detail: why an answer could not be read; None for every other end.
        resent: True if the request was sent a second time; None if not.
    """

    job_id: str
    attempt: int
    executed_at: int
    ok: bool | None = None
    status_code: int | None = None
    error: str | None = None
    duration_ms: int | None = None
    error_detail: str | None = None
    resent: bool | None = None


class LabelRow(NamedTuple):
    """One label of a job, as the tables keep it beside the job: from the job's creation until it is forgotten."""

    account: str
    key: str
    value: str
    job_id: str

    @property
    def name(self) -> str:
        """How people are told of it."""
        return f"{self.job_id} {self.key}={self.value}"


class ResponseRow(NamedTuple):
    """
    What was kept of the answer to one attempt, as the tables keep it: written once.

    Args:
        at: when the record was made that brought it; it is forgotten by this instant.
        key: the id of the data key that seals *data*; None if it is not sealed.
    """

    job_id: str
    attempt: int
    at: int
    key: str | None
    data: bytes


class PartitionChanges:
    """
    The rows of one partition that a run of records changed.

    Attributes:
        states: latest states of all kinds by id.
        new: ids among *states* that these records created.
        specs: JSON bytes by the id of the job or schedule that brought them.
        spec_bytes: length of all *specs* and *responses*, by which the caller bounds a flush: rows are small, bodies need not be.
        executions: latest rows by (job id, attempt).
        new_executions: keys among *executions* whose attempt these records made due.
        labels: of the jobs among *new*.
        responses: of the attempts that these records ended.
        usage: attempts made due, by (account, UTC day counted from 1970-01-01).
        floors: how far these records moved what is forgotten; None if they did not.
        needs: the highest protocol among these records (libs/events/protocol.py).
    """

    __slots__ = (
        "executions",
        "floors",
        "labels",
        "needs",
        "new",
        "new_executions",
        "partition",
        "responses",
        "spec_bytes",
        "specs",
        "states",
        "usage",
    )

    def __init__(self, partition: int) -> None:
        """Start with nothing changed."""
        self.partition = partition
        self.states = States()
        self.new: set[str] = set()
        self.specs: dict[str, bytes] = {}
        self.spec_bytes = 0
        self.executions: dict[tuple[str, int], ExecutionRow] = {}
        self.new_executions: set[tuple[str, int]] = set()
        self.labels: list[LabelRow] = []
        self.responses: list[ResponseRow] = []
        self.usage: dict[tuple[str, int], int] = {}
        self.floors: Floors | None = None
        self.needs = 0

    def note(self, envelope: Envelope) -> None:
        """Note which builds may work on what a record did."""
        self.needs = max(self.needs, protocol_of(envelope))

    def add(self, applied: Applied) -> None:
        """Take in what one record did; records must come in the order of the log."""
        changed = applied.changed
        if not changed:
            if isinstance(applied.event, HistoryForgotten | LogCarried) and applied.verdict is Verdict.APPLIED:
                self.floors = (self.floors or NOTHING_FORGOTTEN).after(applied.event)
            return
        self.states.update(changed)
        new_id = applied.new_id
        event = applied.event
        if new_id is not None:
            self.new.add(new_id)
            if isinstance(event, _WITH_SPEC) and getattr(event, "spec_id", None) is None:
                self._spec(new_id, event.spec)
            self._labels(new_id, changed[new_id])
        elif isinstance(event, AttemptDue):  # what every job has comes first
            self._due(event)
        elif isinstance(event, AttemptFinished):
            self._finished(event)
        elif isinstance(event, ScheduleChanged):
            if event.spec is not None:
                self._spec(changed_spec_id(event.schedule_id, event.version), event.spec)
        elif isinstance(event, _WITH_NEW_SPEC) and event.spec is not None and event.new_spec_id is not None:
            self._spec(event.new_spec_id, event.spec)

    def _spec(self, spec_id: str, spec: Spec) -> None:
        self.carry_spec(spec_id, _encode(spec))

    def carry_state(self, state_id: str, state: State) -> None:
        """Take in a state that the log carries."""
        self.states[state_id] = state
        self.new.add(state_id)
        self._labels(state_id, state)

    def _labels(self, state_id: str, state: State) -> None:
        if isinstance(state, JobState) and state.more is not None and state.more.labels is not None:
            self.labels += [LabelRow(state.account, *label, state_id) for label in state.more.labels.items()]

    def carry_spec(self, spec_id: str, spec: bytes) -> None:
        """Take in a spec that the log carries, as it is stored."""
        self.specs[spec_id] = spec
        self.spec_bytes += len(spec)

    def _due(self, event: AttemptDue) -> None:
        key = (event.job_id, event.attempt)
        self.executions[key] = ExecutionRow(event.job_id, event.attempt, event.not_before)
        self.new_executions.add(key)
        # The attempt counts on the day on which it is made. It may have been asked for, and even decided, the day before.
        day = (event.account, day_of(max(event.at, event.not_before)))
        self.usage[day] = self.usage.get(day, 0) + 1

    def _finished(self, event: AttemptFinished) -> None:
        self.executions[event.job_id, event.attempt] = ExecutionRow(
            event.job_id,
            event.attempt,
            event.started_at,
            event.ok,
            event.status_code,
            event.error,
            event.duration_ms,
            event.error_detail,
            event.resent or None,
        )
        if event.response is not None:
            response = event.response
            self.responses.append(ResponseRow(event.job_id, event.attempt, event.at, response.key, response.data))
            self.spec_bytes += len(response.data)

    def __contains__(self, any_id: object) -> bool:
        """Whether the job or schedule with this id is among what changed."""
        return any_id in self.states

    def __len__(self) -> int:
        """Return how many rows a flush would write."""
        rows = len(self.states) + len(self.specs) + len(self.executions) + len(self.labels) + len(self.usage)
        rows += len(self.responses)
        return rows + (self.floors is not None)

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.states) or self.floors is not None


class Flush(NamedTuple):
    """
    What one partition has to write.

    Args:
        lease_nonce: the nonce of the lease under which it was folded.
        from_position: the position of the tables before the flush.
        to_position: their position after it; higher than *from_position*.
        claim: the claim admitted at *to_position*.
        changes: what the records after *from_position*, up to and including *to_position*, changed.
    """

    partition: int
    lease_nonce: str
    from_position: int
    to_position: int
    claim: Claim | None
    changes: PartitionChanges
