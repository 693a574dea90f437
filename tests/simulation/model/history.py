"""
History of the protocol model: the janitor of the tables, I23 and I24, and mutations of both (mutations.py).

An owner decides what is forgotten now and then, with a history of seconds. Each call of the janitor deletes some of those rows.
What is forgotten at a decision is noted by the oracle, which holds everything: it may never change again.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from libs.domain.history.floors import Floors
from libs.domain.job import JobState
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.ledger import Verdict
from libs.events import HistoryForgotten
from libs.events.ids import delivery_id

if TYPE_CHECKING:
    from tests.simulation.model.harness import Partition, Stored, Tables

LATE_SHARE = 2  # a create that takes longer than this part of the history is looked at again before it is answered


class Janitor:
    """Deletes rows of jobs that are forgotten, and what belongs to them."""

    def forgets(self, floors: Floors, job: JobState, deliveries: Mapping[str, Any]) -> bool:
        """Say whether the row of *job* may go."""
        return floors.forget(job, deliveries)

    def sweep(self, tables: Tables, reservations: dict[str, str], rng: random.Random) -> None:
        """Delete up to three jobs."""
        gone = [job for job in tables.jobs.values() if self.forgets(tables.floors, job, tables.deliveries)]
        rng.shuffle(gone)
        for job in gone[:3]:
            self.delete(tables, job, reservations)

    def delete(self, tables: Tables, job: JobState, reservations: dict[str, str]) -> None:
        """Delete *job*, its delivery and executions, its spec if no other job has it, and its key."""
        del tables.jobs[job.job_id]
        tables.deliveries.pop(delivery_id(job.job_id), None)
        for key in [key for key in tables.executions if key[0] == job.job_id]:
            del tables.executions[key]
        if job.schedule_id is None and job.spec_id not in {each.spec_id for each in tables.jobs.values()}:
            tables.specs.pop(job.spec_id, None)
        if job.idempotency_key is not None and reservations.get(job.idempotency_key) == job.job_id:
            del reservations[job.idempotency_key]


def note_forgotten(part: Partition, stored: Stored) -> list[str]:
    """Note what a decision made forgotten; return the breaches of I24: it waited for something."""
    if not isinstance(stored.item, HistoryForgotten) or stored.applied.verdict is not Verdict.APPLIED:
        return []
    found = []
    states, floors = part.oracle.states, part.oracle.floors
    for state_id, state in states.items():
        if state_id in part.forgotten or not floors.forget(state, states):
            continue
        part.forgotten[state_id] = state
        delivery = states.get(delivery_id(state_id)) if isinstance(state, JobState) else state
        waits = isinstance(state, JobState) and (
            state.completed_at is None or (state.has_webhook and state.webhook_at is None)
        )
        if waits or (isinstance(delivery, DeliveryState) and delivery.next_at is not None):
            found.append(f"I24 {state_id} is forgotten, and waits: {state}")
    return found


def is_forgotten_at(part: Partition, state_id: str) -> bool:
    """Say whether *state_id* is forgotten at the position of the tables: its row may be gone."""
    position = part.tables.position
    state, delivery = part.truth(state_id, position), part.truth("whd_" + state_id[-26:], position)
    return state is not None and part.tables.floors.forget(
        state, {} if delivery is None else {delivery_id(state_id): delivery}
    )


def broken_history(part: Partition) -> list[str]:
    """Return the breaches of I23 and I24 in *part*, once all is quiet."""
    found = []
    tables, oracle = part.tables, part.oracle
    if tables.floors != oracle.floors:
        found.append(f"I4 the tables forget {tables.floors}, the fold {oracle.floors}")
    for state_id, state in part.forgotten.items():
        if oracle.states[state_id] is not state or tables.row(state_id) not in (None, state):
            found.append(f"I23 {state_id} was forgotten, and came back as {tables.row(state_id)}")
    rows = {**tables.jobs, **tables.deliveries}
    for state_id, known in oracle.states.items():
        if isinstance(known, JobState | DeliveryState) and state_id not in rows and state_id not in part.forgotten:
            found.append(f"I24 {state_id} has no row, and was not forgotten: {known}")
    needed = {state.spec_id for state in tables.jobs.values()} | set(tables.schedules)
    found += [f"I24 the spec {each} is gone" for each in needed if each not in tables.specs]
    return found


class JanitorOfAges(Janitor):
    """Looks at the instants alone, and not at positions."""

    def forgets(self, floors: Floors, job: JobState, deliveries: Mapping[str, Any]) -> bool:
        return super().forgets(Floors(**{**_fields(floors), "through": 10**9}), job, deliveries)


class JanitorOfWaiting(Janitor):
    """Deletes what is old by its id, whether it is at its end or not."""

    def forgets(self, floors: Floors, job: JobState, deliveries: Mapping[str, Any]) -> bool:
        return job.created_at < floors.success_before


class JanitorOfPending(Janitor):
    """Does not look at deliveries that are still to be made."""

    def forgets(self, floors: Floors, job: JobState, deliveries: Mapping[str, Any]) -> bool:
        return floors.forget(job, {})


class JanitorOfSpecs(Janitor):
    """Deletes a spec with the first job that has it."""

    def delete(self, tables: Tables, job: JobState, reservations: dict[str, str]) -> None:
        super().delete(tables, job, reservations)
        tables.specs.pop(job.spec_id, None)


class BarsNothing(Floors, frozen=True):
    """An id that is not known makes a job, whatever was forgotten."""

    def after(self, event: HistoryForgotten) -> Floors:
        return BarsNothing(**_fields(super().after(event)))

    def bars(self, event: object, states: Mapping[str, Any]) -> bool:
        return False


def _fields(floors: Floors) -> dict[str, int]:
    return {name: getattr(floors, name) for name in Floors.__struct_fields__}
