"""A history, indexed for the rules that judge it, and what they find."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from libs.events.ids import partition_of
from tests.chaos.judging.history import Call, Fault, History, Operation, Plan, Terms
from tests.chaos.judging.invariants import INVARIANTS

FREEZES: Final = ("freeze", "stall")
_BROKERS: Final = ("broker", "leader", "all brokers")


@dataclass(frozen=True)
class Violation:
    """One broken invariant: its name, whom it is about, what was seen."""

    name: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name} ({INVARIANTS[self.name]}): {self.subject}: {self.detail}"


class View:
    """A history with what every check looks up."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.faults = sorted(history.faults, key=lambda each: each.at)
        self.calls_of: dict[str, list[Call]] = defaultdict(list)
        for call in sorted(history.calls, key=lambda each: each.at):
            self.calls_of[call.job_id].append(call)
        self.operations_of: dict[str, list[Operation]] = defaultdict(list)
        for operation in history.operations:
            self.operations_of[operation.name].append(operation)
        self.ids_of: dict[str, set[str]] = defaultdict(set)
        for operation in history.operations:
            if operation.kind == "create" and operation.id is not None and operation.outcome == "ok":
                self.ids_of[operation.name].add(operation.id)
        # What its create says a job's name is; where nobody was told of its id, what its body says.
        self.name_of = {job_id: job.name for job_id, job in history.jobs.items() if job.schedule_id is None}
        self.name_of |= {job_id: name for name, ids in self.ids_of.items() for job_id in ids}
        for job_id, name in self.name_of.items():
            self.ids_of[name].add(job_id)

    def did(self, name: str, kind: str, outcome: str) -> list[Operation]:
        """The operations of *kind* on *name* that ended with *outcome*."""
        return [each for each in self.operations_of[name] if each.kind == kind and each.outcome == outcome]

    def fault_between(self, start: float, end: float) -> Fault | None:
        """A fault that overlaps start..end, except graceful ones: those excuse nothing but lateness."""
        for fault in self.faults:
            if fault.excuses_repetition and fault.at <= end and fault.until >= start:
                return fault
        return None

    def readable_from(self, job_id: str, at: float) -> float:
        """
        When others could read what the log took of a job's partition at *at*, as far as is known.

        At once, unless a broker was hurt then: what one has taken counts, and is shown, once the others have it. A write to the
        partition that was begun later and acknowledged proves that they had.
        """
        if not any(fault.kind.startswith(_BROKERS) and fault.at <= at <= fault.until for fault in self.faults):
            return at
        later = [
            each.returned_at
            for each in self.history.operations
            if each.kind == "create" and each.outcome == "ok" and each.id and each.invoked_at >= at
            and partition_of(each.id) == partition_of(job_id)
        ]  # fmt: skip
        return min(later, default=math.inf)

    def free_from(self, at: float, within_ms: float) -> float:
        """The first instant from *at* on from which *within_ms* pass without a fault."""
        for fault in self.faults:
            if fault.at <= at + within_ms and at < fault.until:
                at = fault.until
        return at

    def terms_of(self, job_id: str) -> Terms | None:
        """What a job with rules of its own must come to."""
        plan = self.plan_of(job_id)
        return None if plan is None else plan.terms

    def plan_of(self, job_id: str) -> Plan | None:
        """What the client wanted of a job; None for a tick's job, and for one that nobody asked for."""
        return self.history.plans.get(self.name_of.get(job_id, ""))

    def asked_at(self, call: Call) -> float:
        """When *call* was to leave: at its instant, or once its job was accepted."""
        accepted = [each.returned_at for each in self.did(call.name, "create", "ok")]
        return max(call.scheduled_at, min(accepted, default=0.0))
