"""Callers that make and change schedules, and the API replicas that serve them."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from libs.domain.schedule import ScheduleState
from libs.domain.schedules.tick_decision import NextRun, next_run
from libs.events import (
    JobScheduled,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDefined,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    Spec,
    encode,
)
from libs.events.ids import from_int, new_job_id, new_schedule_id, to_int
from tests.simulation.model.rules import RULES, ModelRule, rule_of_state


class Stop(NamedTuple):
    """A pause or a deletion of a schedule that stands in the log. It is answered later, when the tables hold it."""

    schedule_id: str
    position: int
    at: int


class Change(NamedTuple):
    """A change of a schedule, by a PATCH that saw the version before."""

    schedule_id: str
    version: int
    change_id: str
    position: int


class ScheduleApi:
    """What `Api` (clients.py) does about schedules; it has the harness and what callers know."""

    harness: Any
    known: Any
    partition: Any
    append: Any
    landed: Any
    changes: list[Change]
    schedule_count: int

    def schedule(self) -> None:
        """POST a schedule, or pause, resume or delete one."""
        harness, rng = self.harness, self.harness.rng
        if self.schedule_count < harness.settings.schedules and rng.random() < 0.5:
            self.schedule_count += 1
            schedule_id = new_schedule_id(harness.now, rng.randrange(len(harness.partitions)), harness.entropy())
            rule = rng.choice(RULES)
            event = self.asked(rule, schedule_id, rng.randint(0, 1))
            self.append(encode(event), lambda _: self.known.schedules.__setitem__(schedule_id, rule))
            return
        if not self.known.schedules:
            return
        schedule_id = rng.choice(list(self.known.schedules))
        if rng.random() < 0.1:
            self.run_now(schedule_id)
            return
        if rng.random() < 0.4:
            self.change(schedule_id)
            return
        chance = rng.random()
        if chance < 0.04:
            self.stop(ScheduleDeleted(schedule_id=schedule_id, at=harness.now))
        if chance < 0.3:
            self.stop(SchedulePaused(schedule_id=schedule_id, at=harness.now))
        if chance > 0.15:
            self.resume(schedule_id)

    def asked(self, rule: ModelRule, schedule_id: str, retries: int) -> ScheduleCreated | ScheduleDefined:
        """Return the fact that a schedule was asked for."""
        now, spec = self.harness.now, Spec(url=f"https://example.com/{schedule_id}")
        first = next_run(rule.rule, schedule_id, now)
        assert first.run_at is not None
        if rule.is_plain:
            return ScheduleCreated(
                schedule_id=schedule_id,
                account="acme",
                at=now,
                spec=spec,
                cron=rule.record.cron or "",
                next_run_at=first.run_at,
                max_retries=retries,
            )
        return ScheduleDefined(
            schedule_id=schedule_id,
            account="acme",
            at=now,
            spec=spec,
            rule=rule.record,
            next_run_at=first.run_at,
            next_tick_at=first.tick_at,
            zone_data=first.zone_data,
            max_retries=retries,
            policy=rule.policy,
            runs=rule.runs,
        )

    def schedule_row(self, schedule_id: str) -> ScheduleState | None:
        """Return a schedule's row, as a replica sees it that then writes."""
        return self.partition(schedule_id).tables.schedules.get(schedule_id)

    def resume(self, schedule_id: str) -> None:
        """Let a schedule go on, by the rule and at the version of its row."""
        row, now = self.schedule_row(schedule_id), self.harness.now
        if row is None:
            return
        following = next_run(rule_of_state(row).rule, schedule_id, max(now, row.last_slot_at))
        assert following.run_at is not None
        fact = ScheduleResumed(
            schedule_id=schedule_id,
            at=now,
            next_run_at=following.run_at,
            next_tick_at=following.tick_at,
            zone_data=following.zone_data,
            version=row.version,
        )
        self.append(encode(fact))

    def run_now(self, schedule_id: str) -> None:
        """Ask for a run of a schedule: a job that shares its spec, or brings its own."""
        row, rng, now = self.schedule_row(schedule_id), self.harness.rng, self.harness.now
        if row is None:
            return
        part = self.partition(schedule_id)
        is_shared = rng.random() < 0.7
        job_id = new_job_id(now, part.number, self.harness.entropy())
        url = msgspec.json.decode(part.tables.specs[row.spec_id], type=Spec).url
        if not is_shared:
            url = f"https://example.com/{job_id}"
        fact = JobScheduled(
            job_id=job_id,
            account="acme",
            at=now,
            spec=Spec(url=url),
            fire_at=now,
            spec_id=from_int("job", to_int(row.spec_id)) if is_shared else None,
            schedule_id=schedule_id,
            is_tracked=row.more is not None and row.more.runs is not None,
        )
        self.append(encode(fact), lambda position: self.landed(job_id, None, url, position))

    def change(self, schedule_id: str) -> None:
        """PATCH a schedule: another rule or another URL; or pause it until an instant."""
        row, rng, now = self.schedule_row(schedule_id), self.harness.rng, self.harness.now
        if row is None:
            return
        version, after = row.version + 1, max(now, row.last_slot_at)
        if rng.random() < 0.25:
            until = now + rng.randint(1, 200_000)
            following = next_run(rule_of_state(row).rule, schedule_id, max(until - 1, row.last_slot_at))
            fact = SchedulePaused(
                schedule_id=schedule_id,
                at=now,
                until=until,
                next_run_at=following.run_at,
                next_tick_at=following.tick_at,
                zone_data=following.zone_data,
                version=row.version,
            )
            self.append(encode(fact))
            return
        is_moved = rng.random() < 0.6
        rule = rng.choice([rule for rule in RULES if not rule.is_plain]) if is_moved else None
        if row.more is not None and row.more.paused_until is not None:
            after = max(after, row.more.paused_until - 1)
        following = next_run(rule.rule, schedule_id, after) if rule is not None else NextRun(None, None, "")
        changed = ScheduleChanged(
            schedule_id=schedule_id,
            at=now,
            version=version,
            change_id=f"{rng.getrandbits(64):016x}",
            rule=row.rule if rule is None else rule.record,
            policy=rule_of_state(row).policy if rule is None else rule.policy,
            runs=rule_of_state(row).runs if rule is None else rule.runs,
            spec=Spec(url=f"https://example.com/{schedule_id}/{rng.getrandbits(32)}") if rng.random() < 0.6 else None,
            after_at=after if is_moved else None,
            next_run_at=following.run_at,
            next_tick_at=following.tick_at,
            zone_data=following.zone_data,
        )
        self.append(
            encode(changed),
            lambda position: self.changes.append(Change(schedule_id, version, changed.change_id, position)),
        )

    def answer_change(self, change: Change) -> bool:
        """Answer a PATCH, once the tables hold it: 200 if its own change counted, else 412."""
        row = self.schedule_row(change.schedule_id)
        if row is None or self.partition(change.schedule_id).tables.position < change.position:
            return False
        if row.more is not None and change.change_id in row.more.change_ids:
            self.known.changes.append(change)
        return True

    def change_some(self) -> None:
        """PATCH a schedule that somebody knows of."""
        if self.known.schedules:
            self.change(self.harness.rng.choice(list(self.known.schedules)))

    def pause(self) -> None:
        """Pause a schedule."""
        if self.known.schedules:
            schedule_id = self.harness.rng.choice(list(self.known.schedules))
            self.stop(SchedulePaused(schedule_id=schedule_id, at=self.harness.now))

    def stop(self, event: SchedulePaused | ScheduleDeleted) -> None:
        """Pause or delete a schedule."""
        stops = self.known.stops
        self.append(encode(event), lambda at: stops.append(Stop(event.schedule_id, at, self.harness.now)))

    def delete_schedules(self) -> None:
        """Delete every schedule."""
        for schedule_id in self.known.schedules:
            self.stop(ScheduleDeleted(schedule_id=schedule_id, at=self.harness.now))
