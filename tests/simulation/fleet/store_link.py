"""
Store link: how one process reaches the tables. The tables are `tests/fakes/database.py`; each call is executed there in one step,
some time after it was made, whatever became of the caller meanwhile, and its answer may be lost on the way back.

A server that crashes or is replaced breaks every connection. The first call over a new one says so first (`on_connect`), as the
pool does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from libs.events.protocol import PROTOCOL
from libs.store.errors import ANSWER_TIMEOUT_S, CALL_TIMEOUT_S, StoreUnavailable
from libs.store.leases.lease_table import ALL_PARTITIONS, TTL_S, Lease
from libs.store.projection.changes import Flush
from libs.store.projection.progress import ProgressWatch
from libs.store.projection.projector import TRIES
from tests.fakes.database import Database
from tests.simulation import first_build
from tests.simulation.fleet.chronicle import Chronicle
from tests.simulation.fleet.loop import Process, SimLoop, never_if_dead

FLUSHED_WITHIN_S: Final = 0.6  # a commit that nobody waited for is on the disk by then: three rounds of the WAL writer


class StoreServer:
    """The database, and the weather on the way to it."""

    def __init__(self, loop: SimLoop, chronicle: Chronicle, *, seed: str) -> None:
        """Begin with empty tables and fair weather."""
        self.loop = loop
        self.chronicle = chronicle
        self.database = Database(now=chronicle.now)
        self.draw = random.Random(f"{seed} store")
        self.is_down = False
        self.generation = 0
        self.trouble = 0.0

    def crash(self) -> None:
        """Go down, with some of the commits of the last moments that nobody had to wait for."""
        journal = self.database.journal
        since = self.chronicle.now() - FLUSHED_WITHIN_S * 1000
        loose = 0
        for commit in reversed(journal):
            if commit.is_durable or commit.at < since:
                break
            loose += 1
        self._go_down(self.draw.randint(0, loose))

    def fail_over(self, lag_s: float) -> None:
        """
        Go down, and come back as a replica that lagged by *lag_s*: everything since is lost.

        But not what is no fold of the log (reservations, grants): who replaces a database by an older one loses those, and the
        promise that hangs on them; nothing in Fliq can bring them back.
        """
        since = self.chronicle.now() - lag_s * 1000
        lost = 0
        for commit in reversed(self.database.journal):
            if commit.at < since:
                break
            lost += 1
        self._go_down(lost)

    def _go_down(self, lost: int) -> None:
        self.database.take_back(lost, keep=[id(self.database.keys), id(self.database.names), id(self.database.grants)])
        self.is_down = True
        self.generation += 1
        self.chronicle.note(f"store down, {lost} commits lost")

    def come_back(self) -> None:
        """Answer again."""
        self.is_down = False
        self.chronicle.note("store up")


class StoreLink:
    """The connections of one life of a process."""

    def __init__(self, server: StoreServer, process: Process) -> None:
        """Reach *server* from *process*."""
        self.server = server
        self.on_connect: Callable[[], None] = lambda: None
        self.is_cut = False
        self.is_first_build = process.is_first_build
        self._process = process
        self._loop = server.loop
        self._generation = server.generation

    async def ask(self, name: str, work: Callable[[], Any], timeout_s: float) -> Any:
        """Have the server do *work*; raises `StoreUnavailable` whenever that is not known to have happened."""
        server, loop, draw = self.server, self._loop, self.server.draw
        await never_if_dead(loop, self._process)
        if self._generation != server.generation and not server.is_down:
            self._generation = server.generation
            self.on_connect()
        way_s, end = draw.uniform(0.0002, 0.002), "answered"
        if draw.random() < server.trouble:
            end = draw.choice(("unasked", "untold", "slow", "slow"))
            if end == "slow":
                way_s += draw.choice((0.1, 1.0, 8.0)) * draw.random()
        future = loop.create_future()
        now = loop.time()
        loop.outside(now + way_s, self._execute, name, future, work, end, self._generation)
        if way_s > timeout_s:
            loop.outside(now + timeout_s, _fail, future, "no answer in time")
        return await future

    def _execute(self, name: str, future: Any, work: Callable[[], Any], end: str, generation: int) -> None:
        server = self.server
        if server.is_down or self.is_cut or end == "unasked" or generation != server.generation:
            _fail(future, "the connection is gone")
            return
        try:
            answer = work()
        except Exception as error:  # what the memory of a planted defect does to a query is that defect's
            if not future.done():
                future.set_exception(error)
            return
        if name in ("flush", "acquire", "release", "reserve"):
            shown = answer.is_new if name == "reserve" else answer
            server.chronicle.note(f"store {self._process} {name} {shown!s:.120}")
        if end == "untold":
            _fail(future, "the answer was lost")
        elif not future.done():
            future.set_result(answer)


def _fail(future: Any, reason: str) -> None:
    if not future.done():
        future.set_exception(StoreUnavailable(reason))


class Remote:
    """Every method of the database, asked over a link."""

    def __init__(self, link: StoreLink, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Wait for each answer for *timeout_s* at most."""
        self._link = link
        self._timeout_s = timeout_s

    def __getattr__(self, name: str) -> Any:
        work = getattr(self._link.server.database, name)
        if self._link.is_first_build:
            work = first_build.asked(name, work)

        async def call(*args: Any, **options: Any) -> Any:
            return await self._link.ask(name, partial(work, *args, **options), self._timeout_s)

        setattr(self, name, call)
        return call

    async def fetchval(self, _: str) -> int:
        """Meet what `ClockCheck` asks of a pool."""
        server = self._link.server
        now: int = await self._link.ask("clock", server.chronicle.now, self._timeout_s)
        return now

    async def fetch(self, _: str) -> list[dict[str, int]]:
        """Meet what `ProgressWatch` asks of a pool."""
        found: list[dict[str, int]] = await self.all_positions()
        return found


def answering(link: StoreLink) -> Remote:
    """Return the tables as requests see them: they wait a shorter while."""
    return Remote(link, timeout_s=ANSWER_TIMEOUT_S)


class LinkedLeases:
    """Meets `Leases` as `OwnerLeases` and `RoleLeases` do."""

    ttl_s = TTL_S

    def __init__(self, link: StoreLink, role: str, node: str) -> None:
        """Take leases of *role* as *node*."""
        self.role = role
        self.is_draining = False
        self._is_known = False
        self.known_by_others: tuple[int, ...] = ()
        self._node = node
        self._remote = Remote(link)
        self._protocol = first_build.PROTOCOL if link.is_first_build else PROTOCOL
        self._held: dict[int, str] = {}

    async def acquire(self, limit: int, *, avoid: Sequence[int] = ()) -> list[Lease]:
        if limit <= 0:
            return []
        held = list(self._held.values())
        leases: list[Lease] = await self._remote.acquire(
            self.role, self._node, self.ttl_s, limit, held, list(avoid), self._protocol
        )
        self._held.update({lease.partition: lease.nonce for lease in leases})
        return leases

    async def renew(self, leases: Sequence[Lease]) -> set[int]:
        lost: set[int] = await self._remote.renew(self.role, self.ttl_s, list(leases))
        for partition in lost:
            self._held.pop(partition, None)
        return lost

    async def release(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            if self._held.get(lease.partition) == lease.nonce:
                del self._held[lease.partition]
        if leases:
            await self._remote.release(self.role, list(leases))

    async def members(self) -> int:
        count, self.is_draining, older = await self._remote.members(
            self.role, self._node, self.ttl_s, self._is_known, self._protocol
        )
        self.known_by_others = (0,) * older + (ALL_PARTITIONS,) * (count - 1 - older)
        self._is_known = True
        return int(count)

    async def free(self) -> tuple[int, int]:
        found: tuple[int, int] = await self._remote.free(self.role, self._node, self.ttl_s, self._protocol)
        return found

    async def leave(self) -> None:
        await self._remote.leave(self.role, self._node)


class LinkedProjector:
    """Writes flushes as `Projector` does: the same one again until its outcome is known, a few times over."""

    def __init__(self, link: StoreLink, watch: ProgressWatch) -> None:
        """Publish to *watch* what was written."""
        self._link = link
        self._watch = watch
        self._database = link.server.database

    async def flush(self, flushes: Sequence[Flush]) -> set[int]:
        ordered = sorted(flushes, key=lambda flush: flush.partition)
        for attempt in range(1, TRIES + 1):
            try:
                missed: set[int] = await self._link.ask("flush", lambda: self._write(ordered), 5.0)
                doubtful = [flush for flush in ordered if flush.partition in missed]
                if doubtful:
                    missed = await self._link.ask("missed", partial(self._missed, doubtful), 5.0)
                break
            except StoreUnavailable:
                if attempt == TRIES:
                    raise
                await asyncio.sleep(0.05 * 2 ** (attempt - 1))
        for flush in ordered:
            if flush.partition not in missed:
                self._watch.publish(flush.partition, flush.to_position)
        return missed

    def _write(self, ordered: Sequence[Flush]) -> set[int]:
        if self._link.is_first_build:
            for flush in ordered:
                first_build.keep_what_it_does_not_know(flush, self._database)
        return self._database.flush(ordered)

    def _missed(self, doubtful: Sequence[Flush]) -> set[int]:
        for flush in doubtful:
            self._watch.correct(flush.partition, self._database.progress(flush.partition)[0])
        return {flush.partition for flush in doubtful if not self._database.was_written(flush)}
