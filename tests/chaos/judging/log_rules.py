"""
Log rules: what the records themselves must say, beside what is seen from outside.

The rules are those by which the protocol's model is judged (tests/simulation/model/policy_rules.py): arithmetic over records, and
the calls that arrived. Here they judge the log of real processes. The model's mutations show that they find what they are for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Final

from libs.domain.ledger import Ledger, Verdict
from libs.events import Envelope, JobScheduled, ScheduleSpawned, ScheduleTicked, read
from tests.chaos.judging.history import Fault
from tests.chaos.judging.view import FREEZES
from tests.fakes.running.sink import Arrival
from tests.simulation.model.harness import Stored
from tests.simulation.model.policy_rules import broken_policies, broken_runs, ignored_stops, lost_job_changes

RECORDS_MAX: Final = 300_000  # of a partition; what is looked at is held in memory
NAMES: Final = {
    "I16": "policy_ignored",
    "I20": "stop_ignored",
    "I21": "change_lost",
    "I27": "overlap_broken",
    "I28": "too_many_runs",
}
_ON_ITS_WAY_MS: Final = 500.0  # from the last look at an expiry to the arrival of the call, on a busy machine


class LogRules:
    """What is broken in the log of one partition, once it took all its records in order."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.oracle = Ledger(partition)
        self.records: list[Stored] = []

    def take(self, position: int, envelope: Envelope) -> None:
        """Take in the next record."""
        if len(self.records) < RECORDS_MAX:
            item = read(self.partition, envelope)
            applied = self.oracle.apply(position, item, envelope.claim)
            self.records.append(Stored(position, envelope, item, applied))

    def broken(self, arrivals: Sequence[Arrival], sink_url: str, faults: Iterable[Fault]) -> list[tuple[str, str]]:
        """Return the invariants that are broken, each with what was seen; *arrivals* are the calls at the sink."""
        frozen = [fault for fault in faults if fault.kind.startswith(FREEZES)]
        calls = [
            SimpleNamespace(
                job_id=each.headers["X-Fliq-Job-Id"],
                attempt=int(each.headers["X-Fliq-Attempt"]),
                at=each.at - _ON_ITS_WAY_MS,
                url=sink_url + each.path,
            )
            for each in arrivals
            if "X-Fliq-Job-Id" in each.headers and not any(fault.at <= each.at <= fault.until for fault in frozen)
        ]
        part, harness = _part(self), SimpleNamespace(calls=calls)
        found = [
            *broken_policies(harness, part),
            *lost_job_changes(harness, part),
            *ignored_stops(part),
            *broken_runs(part),
        ]
        return [(NAMES[line.split()[0]], line) for line in found] + [("tick_doubled", line) for line in self._doubled()]

    def _doubled(self) -> Iterator[str]:
        """Say which ticks got two jobs."""
        jobs: dict[tuple[str, int], set[str]] = defaultdict(set)
        for stored in self.records:
            item = stored.item
            if stored.applied.verdict is Verdict.APPLIED and _makes_up(item):
                jobs[item.schedule_id, item.tick_at].add(item.job_id)  # type: ignore[union-attr]
        for tick, ids in jobs.items():
            if len(ids) > 1:
                yield f"{tick} spawned {sorted(ids)}"


def _makes_up(item: Any) -> bool:
    """Whether a record gives a tick its job."""
    if isinstance(item, ScheduleTicked):
        return item.action == "spawned"
    return isinstance(item, ScheduleSpawned) or (isinstance(item, JobScheduled) and item.tick_at is not None)


def _part(rules: LogRules) -> Any:
    return SimpleNamespace(records=rules.records, oracle=rules.oracle)
