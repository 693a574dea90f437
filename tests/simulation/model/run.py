"""
The script of one run: chaos for a while, then calm until nothing is owed, then the checker.

The seed decides everything. `Cast` names the classes of owners, dispatchers and tables; each mutation replaces some of them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState
from tests.simulation.model.actors import SKEW_MS, Dispatcher, Owner
from tests.simulation.model.carry.carrying import Carrier
from tests.simulation.model.checker import check, is_quiet
from tests.simulation.model.clients import Api, Gremlin
from tests.simulation.model.harness import Harness, Partition, Tables
from tests.simulation.model.history import Janitor
from tests.simulation.model.keys.keys import KeyApi, broken_answers
from tests.simulation.model.webhooks import Webhooks

CHAOS_STEPS = 220
CALM_TURNS = 1_500  # a run that is not quiet by then is stuck


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The classes of the actors and of the tables."""

    owner: type[Owner] = Owner
    dispatcher: type[Dispatcher] = Dispatcher
    tables: type[Tables] = Tables
    webhooks: type[Webhooks] = Webhooks
    janitor: type[Janitor] = Janitor
    keys: type[KeyApi] = KeyApi
    carrier: type[Carrier] = Carrier


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    seed: int
    violations: list[str]
    due_count: int
    call_count: int
    record_count: int
    tick_count: int
    failover_count: int


class Run:
    """One harness with its actors, played from one seed."""

    def __init__(self, seed: int, cast: Cast) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.cast = cast
        self.harness = Harness(self.rng, cast.tables, cast.janitor)
        self.api = Api(self.harness)
        self.gremlin = Gremlin(self.harness, self.api.known)
        self.webhooks = cast.webhooks(self.harness)
        self.keys = cast.keys(self.harness)
        self.carrier = cast.carrier(self.harness)
        self.owners: list[Owner] = []
        self.dispatchers: list[Dispatcher] = []
        for part in self.harness.partitions:
            self.owners.append(cast.owner(self.harness, part))
            self.dispatchers.append(cast.dispatcher(self.harness, part))

    def play(self) -> Outcome:
        """Play it to the end."""
        for _ in range(CHAOS_STEPS):
            self.disturb()
            if self.rng.random() < 0.3:
                self.api.poll()
            self.keys.poll()
        owners = self.calm_down()
        for owner in owners:
            owner.settle()
        harness = self.harness
        return Outcome(
            self.seed,
            [*check(harness, self.api.known, owners), *broken_answers(harness, self.keys)],
            sum(len(part.due) for part in harness.partitions),
            len(harness.calls),
            sum(part.end for part in harness.partitions),
            sum(stored.envelope.type == "schedule.ticked" for part in harness.partitions for stored in part.records),
            harness.failover_count,
        )

    def disturb(self) -> None:
        """Do one random thing."""
        rng, harness = self.rng, self.harness
        if rng.random() < 0.05:
            harness.replicate()
        chance = rng.random()
        part = rng.choice(harness.partitions)
        if chance < 0.07:
            harness.now += rng.choice((5, 40, 300, 1_000, 1_000, 5_000, 20_000, 60_000))
        elif chance < 0.085:
            self.race_with_a_tick(part)
        elif chance < 0.12:
            if harness.settings.has_keys and rng.random() < 0.6:
                self.keys.post()
            else:
                self.api.post()
        elif chance < 0.135:
            self.api.cancel()
            if rng.random() < 0.4:
                self.api.stop_job()
            elif rng.random() < 0.7:
                self.api.change_job()
        elif chance < 0.17:
            self.api.schedule()
        elif chance < 0.19:
            self.hand_over(part)
        elif chance < 0.20:
            self.dispatchers.append(self.cast.dispatcher(harness, part))
        elif chance < 0.21:
            self.kill()
        elif chance < 0.235:
            self.lose(part)
        elif chance < 0.245:
            harness.fail_over()
        elif chance < 0.26:
            self.gremlin.repeat()
        elif chance < 0.265 and harness.settings.poison:
            self.gremlin.poison()
        elif chance < 0.268 and harness.settings.outages:
            self.black_out()
        elif chance < 0.285:
            self.webhooks.step(part)
        elif chance < 0.288:
            self.webhooks = self.cast.webhooks(harness)
        elif chance < 0.30:
            harness.janitor.sweep(part.tables, harness.reservations, rng)
        elif chance < 0.34 and self.owners:
            self.carrier.step(rng.choice(self.owners))
        elif chance < 0.36:
            self.carrier.trim(part)
        elif chance < 0.47:
            part.land(rng)
        elif chance < 0.84:
            self.step(self.owners)
        else:
            self.step(self.dispatchers)

    def race_with_a_tick(self, part: Partition) -> None:
        """Move time to just before a full minute; there a tick is decided, and a schedule may be paused."""
        rng, harness = self.rng, self.harness
        before_tick = rng.choice((1_800, harness.settings.lead_ms + SKEW_MS, 20))
        harness.now += (60_000 - before_tick - harness.now) % 60_000
        for _ in range(20):
            chance = rng.random()
            if chance < 0.05:
                self.api.pause()
            elif chance < 0.1:
                self.api.change_some()
            elif chance < 0.4:
                part.land(rng)
            else:
                self.step(self.owners)

    def step(self, actors: list[Owner] | list[Dispatcher]) -> None:
        """Let some living actor do one thing. If an error or a newer claim stopped it, it may come back."""
        alive = [actor for actor in actors if not actor.dead]
        if not alive:
            return
        actor = self.rng.choice(alive)
        actor.step()
        if actor.dead and isinstance(actor, Owner) and self.rng.random() < 0.7:
            self.owners.append(self.cast.owner(self.harness, actor.part))
        actors[:] = [one for one in actors if not one.dead]  # type: ignore[misc]

    def hand_over(self, part: Partition) -> None:
        """Give the lease to another owner, well ordered or not; the old one lives on as a zombie."""
        if self.rng.random() < 0.3:
            for owner in self.owners:
                if owner.part is part and not owner.dead:
                    owner.hand_over()
        self.owners.append(self.cast.owner(self.harness, part))

    def kill(self) -> None:
        """Kill -9 an owner or a dispatcher."""
        actors = [actor for actor in (*self.owners, *self.dispatchers) if not actor.dead]
        if not actors:
            return
        actor = self.rng.choice(actors)
        actor.dead = True
        actor.part.drop(actor, self.rng)
        if isinstance(actor, Dispatcher):
            self.dispatchers.append(self.cast.dispatcher(self.harness, actor.part))
        elif self.rng.random() < 0.5:
            self.owners.append(self.cast.owner(self.harness, actor.part))

    def lose(self, part: Partition) -> None:
        """Leave an append's fate open; an owner that is told so has resigned and may claim anew."""
        alive = sum(not owner.dead for owner in self.owners)
        part.fail(self.rng)
        if sum(not owner.dead for owner in self.owners) < alive and self.rng.random() < 0.7:
            self.owners.append(self.cast.owner(self.harness, part))

    def black_out(self) -> None:
        """No owner anywhere, for minutes."""
        for owner in self.owners:
            owner.dead = True
            owner.part.drop(owner, self.rng)
        self.owners.clear()
        self.harness.now += self.rng.randint(60_000, 1_500_000)
        self.owners += [self.cast.owner(self.harness, part) for part in self.harness.partitions]

    def calm_down(self) -> list[Owner]:
        """Stop disturbing, and go on until nothing is owed; return the last owners."""
        rng, harness, cast = self.rng, self.harness, self.cast
        if rng.random() < 0.5:
            self.api.delete_schedules()
        for actor in (*self.owners, *self.dispatchers):
            actor.dead = actor.dead or (harness.dispatcher_count > len(harness.partitions) and rng.random() < 0.5)
        owners = [cast.owner(harness, part) for part in harness.partitions]
        dispatchers = [self.last_dispatcher(part) for part in harness.partitions]
        others = [*self.owners, *self.dispatchers]
        self.webhooks = cast.webhooks(harness)
        zombies = [actor for actor in others if not actor.dead and actor not in dispatchers]
        for turn in range(CALM_TURNS):
            for index, part in enumerate(harness.partitions):
                if owners[index].dead:
                    owners[index] = cast.owner(harness, part)
                part.land(rng)
                owners[index].turn()
                dispatchers[index].turn()
                self.webhooks.turn(part)
                if rng.random() < 0.2:
                    owners[index].forget()
                harness.janitor.sweep(part.tables, harness.reservations, rng)
                if turn < 200 and rng.random() < 0.05:
                    self.carrier.step(owners[index])
                if rng.random() < 0.1:
                    self.carrier.trim(part)
            for zombie in zombies:
                if not zombie.dead and rng.random() < 0.2:
                    zombie.step()
            self.api.poll()
            self.keys.poll()
            if all(not part.queues for part in harness.partitions):
                if is_quiet(harness, owners) and not self.keys.is_waiting:
                    break
                if turn % 4 == 0:
                    self.move_on()
        return owners

    def last_dispatcher(self, part: Partition) -> Dispatcher:
        """Return the dispatcher that brings things to their end: the only one there ever was, or a new one."""
        if self.harness.dispatcher_count == len(self.harness.partitions):
            return next(one for one in self.dispatchers if one.part is part)
        return self.cast.dispatcher(self.harness, part)

    def move_on(self) -> None:
        """Move time to the next instant at which something is to happen, by the oracle's states and not by the decider's."""
        now = self.harness.now
        instants = [now + 5_000]
        for part in self.harness.partitions:
            for job in part.oracle.states.of(JobState).values():
                if not job.held and job.status in (JobStatus.SCHEDULED, JobStatus.RETRYING, JobStatus.RUNNING):
                    instants.append(job.fire_at)
            for delivery in part.oracle.states.of(DeliveryState).values():
                if delivery.next_at is not None:
                    instants.append(delivery.next_at)
        self.harness.now = max(now + 20, min(instants))


def run(seed: int, cast: Cast | None = None) -> Outcome:
    """Play the script of *seed*."""
    return Run(seed, cast or Cast()).play()
