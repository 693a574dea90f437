"""
Nemesis: draws faults, one after the other and sometimes two at once, and waits after each until everything is in order again.

    pause -- hurt ---- held ---- heal ---- recovered -- pause -- ...

A process that ends by itself meanwhile (it could not reach the database while it started, say) is started again, as a supervisor
would, and noted in `deaths`.

Recovered means: every process says that it is ready, and whatever was due before the last heal has fired. How long that took is
part of the evidence. Drawn from the seed alone; what the faults meet is another matter.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from tests.chaos.hurting.cluster import Cluster
from tests.chaos.hurting.faults import KINDS, Kind, clash
from tests.chaos.judging.history import Fault
from tests.chaos.load import now_ms

TWO_AT_ONCE: Final = 0.25
STEP_S: Final = 150.0  # for hurting, and for healing: a broker takes its time to start on a busy machine
RECOVER_S: Final = 90.0  # after that the campaign ends; the checker's own bound is tighter
STEADY: Final = 2  # looks in a row that find all in order
LOOK_S: Final = 0.1
RESTART_S: Final = 1.0  # a life is at least that long, or the next one waits


class Unrecovered(AssertionError):
    """After a fault things did not come into order again."""


@dataclass
class Nemesis:
    """
    Hurts *cluster*.

    Args:
        overdue: how many jobs were due before an instant and have not fired.
        say: receives a line per step.
        pause_s: between a recovery and the next fault, at least and at most.
        only: names of kinds; all when empty.
        hold_max_s: no fault is held for longer.
    """

    cluster: Cluster
    seed: int
    overdue: Callable[[float], int]
    say: Callable[[str], None]
    pause_s: tuple[float, float] = (0.5, 4.0)
    only: tuple[str, ...] = ()
    hold_max_s: float = 60.0
    faults: list[Fault] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    present: str = ""

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._last_wrong = "nothing"

    async def run(self, *, until: Callable[[], bool], at_most: int | None = None) -> None:
        """Go on until told, or until so many faults were made."""
        while not until() and (at_most is None or len(self.faults) < at_most):
            await asyncio.sleep(self._draw.uniform(*self.pause_s))
            await self._episode()

    async def _episode(self) -> None:
        drawn = [self._one()]
        if self._draw.random() < TWO_AT_ONCE:
            second = self._one()
            if not clash(drawn[0][1], second[1]):
                drawn.append(second)
        begun: list[Fault] = []
        self.present = " + ".join(f"{kind.name} ({given})" for kind, given in drawn)
        self.say(f"fault {len(self.faults) + 1}: {self.present}")
        await asyncio.gather(*[self._hurt(kind, given, begun) for kind, given in drawn])
        healed_at = recovered_at = now_ms()
        try:
            recovered_at = await self._recovered(healed_at)
            took = f"recovered {(recovered_at - healed_at) / 1000:.1f} s after it was healed"
            self.say(f"  {took}; the last thing out of order was: {self._last_wrong}")
        except Unrecovered:
            recovered_at = now_ms()
            raise
        finally:
            self.faults += [replace(fault, until=recovered_at, healed_at=healed_at) for fault in begun]
            self.present = ""

    def _one(self) -> tuple[Kind, str]:
        possible = [kind for kind in KINDS if (not self.only or kind.name in self.only) and kind.takes(self.cluster)]
        (kind,) = self._draw.choices(possible, [each.weight for each in possible])
        return kind, self._draw.choice(kind.takes(self.cluster))

    async def _hurt(self, kind: Kind, given: str, begun: list[Fault]) -> None:
        # Drawn here, so that the order in which two at once proceed changes nothing of what is drawn later.
        chance, held_s = random.Random(self._draw.random()), min(self._draw.uniform(*kind.hold_s), self.hold_max_s)
        hurt = kind.does(self.cluster, chance, given)
        at = now_ms()
        begun.append(Fault(kind=f"{kind.name} {given}", at=at, until=at, is_graceful=kind.graceful))
        async with asyncio.timeout(STEP_S):
            how = await hurt.__aenter__()
        if how is not None:
            begun[:] = [replace(each, detail=how) if each.at == at else each for each in begun]
            self.say(f"  {kind.name} ({given}): {how}")
        try:
            await asyncio.sleep(held_s)
        finally:
            async with asyncio.timeout(STEP_S):
                await hurt.__aexit__(None, None, None)

    async def _recovered(self, healed_at: float) -> float:
        """Wait until everything is in order; returns since when it was."""
        deadline = time.monotonic() + RECOVER_S
        in_order, since, self._last_wrong = 0, 0.0, "nothing"
        while True:
            looked_at = now_ms()
            why = await self.cluster.unready()
            overdue = self.overdue(healed_at)
            if why or overdue:
                in_order = 0
                self._last_wrong = f"{overdue} overdue" + "".join(f"; {each}" for each in why)
                await self._supervise()
            else:
                since = looked_at if not in_order else since
                in_order += 1
                if in_order >= STEADY:
                    return since
            if time.monotonic() > deadline:
                raise Unrecovered(f"{RECOVER_S:.0f} s after {self.present}: {overdue} overdue; {'; '.join(why)}")
            await asyncio.sleep(LOOK_S)

    async def _supervise(self) -> None:
        for member in self.cluster.members:
            process = member.process
            if process is not None and not member.is_alive and time.monotonic() - member.spawned_at > RESTART_S:
                self.deaths.append(
                    f"{member.name} ended by itself with {process.process.returncode}: {process.tail(1)}"
                )
                self.say(f"  {self.deaths[-1][:200]}")
                await self.cluster.spawn(member)
