"""What a campaign writes about itself: for people, for tools, and as a picture."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from tests.chaos.campaign import Order, Outcome
from tests.chaos.hurting.cluster import Cluster
from tests.chaos.hurting.faults import KINDS, clash
from tests.chaos.hurting.nemesis import Nemesis
from tests.chaos.judging.checker import check
from tests.chaos.judging.history import Execution, Fault
from tests.chaos.judging.invariants import INVARIANTS
from tests.chaos.judging.view import Violation
from tests.chaos.proving import good_history
from tests.chaos.report import write


def _outcome(out: Path, *violations: Violation) -> Outcome:
    history = good_history.make()
    faults = tuple(replace(fault, healed_at=fault.until - 500) for fault in history.faults)
    return Outcome(
        order=Order(topology="kafka", seed=7, out=out, seconds=60, brokers=3),
        begun_at=good_history.START,
        history=replace(history, faults=faults),
        violations=list(violations),
        differences=[],
        wrong=[],
        deaths=[],
    )


def test_a_report_says_how_it_went_and_how_to_replay_it(tmp_path: Path) -> None:
    """Counts, lateness, every invariant with its verdict, every fault; the command with the seed."""
    text = write(_outcome(tmp_path))
    figures = json.loads((tmp_path / "report.json").read_text())

    assert "kept its word" in text
    assert "make chaos TOPOLOGY=kafka SEED=7 MINUTES=1 RATE=60 BROKERS=3" in text
    assert figures["invariants"] == dict.fromkeys(INVARIANTS, 0)
    assert figures["faults"] == 1
    assert figures["fault_log"][0]["recovered_s"] == 0.5
    assert figures["lateness"]["all"]["count"] == len({call.job_id for call in good_history.make().calls})
    assert "<svg" in ET.parse(tmp_path / "lateness.svg").getroot().tag.replace("{http://www.w3.org/2000/svg}", "<")  # noqa: S314
    assert "kill" in (tmp_path / "lateness.svg").read_text()


def test_a_report_names_what_was_broken(tmp_path: Path) -> None:
    """The verdict, the invariant, whom it is about."""
    text = write(_outcome(tmp_path, Violation("lost", "job_1", "never called")))

    assert "broke its word" in text
    assert "job_1: never called" in text
    assert (tmp_path / "history.json.gz").exists()


def test_a_record_that_came_late_is_no_reason_not_to_repeat() -> None:
    """Who calls again before the first one's outcome is in the log is right; who does so long afterwards is not."""
    history = good_history.make()
    job = next(each for each in history.jobs.values() if each.name.startswith("in_flight"))
    calls = sorted((call for call in history.calls if call.job_id == job.id), key=lambda call: call.at)

    created = next(each for each in history.operations if each.kind == "create" and each.id == job.id)

    def broken(recorded_at: float, *faults: Fault, acknowledged_at: float | None = None) -> set[str]:
        row = replace(job.executions[0], executed_at=calls[0].at, recorded_at=recorded_at)
        assert isinstance(row, Execution)
        changed = replace(job, executions=(row,))
        of = replace(history, jobs={**history.jobs, job.id: changed}, faults=(*history.faults, *faults))
        if acknowledged_at is not None:
            write = replace(created, invoked_at=recorded_at + 1, returned_at=acknowledged_at)
            of = replace(of, operations=(*of.operations, write))
        return {each.name for each in check(of)}

    assert broken(calls[1].at + 10) == set()
    assert broken(calls[1].at - 2_000) == {"repeated_after_record"}
    assert broken(calls[1].at - 2_000, Fault(kind="freeze dispatcher-1", at=calls[0].at, until=calls[1].at)) == set()
    # A broker that is hurt may have taken it long before the others had it, and before anybody could read it.
    hurt = Fault(kind="broker kill broker-2", at=calls[0].at, until=calls[1].at)
    assert broken(calls[1].at - 2_000, hurt) == set()
    assert broken(calls[1].at - 2_000, hurt, acknowledged_at=calls[1].at - 1_900) == {"repeated_after_record"}
    assert broken(calls[1].at - 2_000, hurt, acknowledged_at=calls[1].at + 100) == set()


def test_a_backlog_has_the_time_for_recovery_and_no_more() -> None:
    """What was asked for before all was in order again may leave until the bound after the heal; what came later may not."""
    history = good_history.make()
    fault = history.faults[0]
    call = next(call for call in history.calls if call.name.startswith("plain"))

    def is_late(asked_at: float, called_at: float) -> bool:
        plan = replace(history.plans[call.name], fire_at=asked_at)
        moved = replace(call, scheduled_at=asked_at, at=called_at)
        operations = tuple(each for each in history.operations if each.name != call.name)
        of = replace(
            history,
            plans={**history.plans, call.name: plan},
            calls=tuple(moved if each is call else each for each in history.calls),
            operations=operations,
            faults=(replace(fault, healed_at=fault.until - 1_000),),
        )
        return "late" in {each.name for each in check(of)}

    healed_at = fault.until - 1_000
    assert not is_late(fault.until - 10, healed_at + history.recovery_ms - 10)
    assert is_late(fault.until - 10, healed_at + history.recovery_ms + 10)
    assert is_late(fault.until + 10, fault.until + 1_200)


def test_what_is_drawn_depends_on_the_seed_alone(tmp_path: Path) -> None:
    """The same seed draws the same kinds against the same processes; every kind fits some topology, and is drawn."""

    def drawn(seed: int) -> list[tuple[str, str]]:
        cluster = Cluster("kafka", {}, tmp_path, brokers_count=3)
        cluster.clocks.why_not = None
        cluster.members = [_Named(name) for name in ("scheduler-1", "dispatcher-1", "api-1")]  # type: ignore[misc]
        shutil.rmtree(cluster.place)  # nothing is started here
        nemesis = Nemesis(cluster, seed, lambda _: 0, lambda _: None)
        return [(kind.name, given) for kind, given in (nemesis._one() for _ in range(400))]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert {name for name, _ in drawn(3)} == {kind.name for kind in KINDS}


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name


def test_two_faults_at_once_do_not_take_the_same_thing() -> None:
    """One process is hurt by one fault at a time, and so is the cluster of brokers."""
    assert clash("scheduler-1", "scheduler-1")
    assert clash("kafka", "broker-2")
    assert clash("broker-1", "broker-2")
    assert not clash("scheduler-1", "postgres")
