"""
Lease keeper: holds a fair share of the partitions, and knows when to let go.

Every `INTERVAL_S` it renews what it holds, counts who lives, takes free leases up to ceil(partitions / members), and hands a few
back when it holds more than that. Two that start together thus settle within a few rounds, and nothing moves back and forth.
Every `LOOK_S` in between it looks whether a lease became free, so that the partitions of one who left wait for a moment only; while
a holder ends what it has under way, it is asked every `ENDING_EVERY_S`, as its partition is not served meanwhile.
A node that was asked to drain is not counted, takes nothing, and hands back what it holds as fast as its holder lets it.

    certain   By our own monotonic clock a lease is certain for 0.6 of its term, counted from before the request that last renewed
              it was sent. The database counts the whole term from when it got that request: by the time anybody else may take the
              lease, we have stopped. After a long stall `holds` is false before the keeper itself has woken.
    fenced    A holder whose work is fenced elsewhere (an owner: its decisions by its claim in the log, its flushes by the nonce)
              need not stop while the database is away: nobody can take a lease then. It goes on until the database says that a
              lease is another's, or until it reads the newer claim.
    outage    Nothing is taken before the second round after one: the others renew what is theirs, and are seen again.
    losing    `on_lost` is called exactly once for each `on_gained`, before the lease is given back or forgotten.

Neither callback may take long: while one runs, nothing is renewed. One that raises, or takes too long, is logged; a lease that was
not taken up for that reason goes back, and is tried again a little later.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import structlog

from libs.store.errors import StoreUnavailable, within
from libs.store.leases.lease_table import Lease
from libs.store.leases.shares import known_by_all, share

INTERVAL_S: Final = 1.0
LOOK_S: Final = 0.15  # between two looks for leases that became free
HAND_BACK_SHARE: Final = 16  # at most one in so many partitions is handed back at a time
CERTAIN_FRACTION: Final = 0.6
CALLBACK_TIMEOUT_S: Final = 5.0
RELEASE_TIMEOUT_S: Final = 2.0
DRAIN_S: Final = 35.0  # for a node that was asked to drain: longer than most calls take, so that none is made twice
ENDING_EVERY_S: Final = 0.02  # between two looks at what a holder that ends, or hands over, is done with
HAND_BACK_S: Final = 5.0  # most calls have ended by then; the partition is not served meanwhile
NOT_TAKEN_PAUSE_S: Final = 2.0  # after a lease that could not be taken up
PATIENCE_MIN_S: Final = 0.5  # for one answer of the database, when certainty has run out already
PATIENCE_MAX_S: Final = 2.0

log = structlog.get_logger("leases")

R = TypeVar("R")


class Leases(Protocol):
    """Where leases come from: `OwnerLeases` or `RoleLeases`."""

    role: str
    ttl_s: float
    is_draining: bool  # as of the last `members`
    known_by_others: tuple[int, ...]  # likewise: how many partitions each of the other members knows

    async def acquire(self, limit: int, *, avoid: Sequence[int] = ()) -> list[Lease]:
        """Take up to *limit* free leases."""

    async def renew(self, leases: Sequence[Lease]) -> set[int]:
        """Extend *leases*; return the lost partitions."""

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give *leases* back."""

    async def members(self) -> int:
        """Return how many live nodes share the partitions, this one included; learn whether it is to drain."""

    async def free(self) -> tuple[int, int]:
        """Return how many leases are free, and what `members` would return; writes nothing."""

    async def leave(self) -> None:
        """Stop being counted."""


class KeeperClock(Protocol):
    """Monotonic time: a wall clock that is set must neither keep nor cost a lease."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""


class LoopClock:
    """The event loop's monotonic clock."""

    def monotonic_s(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""
        await asyncio.sleep(seconds)


class LeaseKeeper:
    """Keeps leases for one role of one process."""

    def __init__(
        self,
        leases: Leases,
        *,
        partitions: int,
        on_gained: Callable[[Lease], Awaitable[None]],
        on_lost: Callable[[int], Awaitable[None]],
        may_release: Callable[[int], bool] | None = None,
        before_release: Callable[[int], Awaitable[None]] | None = None,
        hand_back_s: float = HAND_BACK_S,
        is_fenced: bool = False,
        stands_aside: Callable[[], object] = lambda: None,
        clock: KeeperClock | None = None,
    ) -> None:
        """
        Keep a share of *partitions* leases; see the module for when the callbacks come, and for *is_fenced*.

        A holder with *may_release* is asked again and again, for at most *hand_back_s*, before a lease goes back for the sake of
        balance: it stops taking at once, and says true when nothing is under way any more. *before_release* is awaited just before
        such a lease is lost, for what makes the gap until it is taken up again a small one. While *stands_aside* gives a reason,
        nothing is taken or held, and nobody counts us.
        """
        self._leases = leases
        self._partitions = partitions
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._clock = clock or LoopClock()
        self._held: dict[int, Lease] = {}
        self._certain_until: dict[int, float] = {}
        self._paused_until: dict[int, float] = {}
        self._may_release = may_release or (lambda _: True)
        self._before_release = before_release
        self._hand_back_s = hand_back_s
        self._going_back: dict[int, tuple[Lease, float]] = {}
        self._is_fenced = is_fenced
        self._stands_aside = stands_aside
        self._is_ending = False
        self._answered_at = -math.inf
        self._may_look = False  # the last round came to its end, and was not the first after an outage
        self._members = 0
        self._task: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()  # one who gains, loses or releases at a time

    @property
    def is_spare(self) -> bool:
        """Whether holding none is as it should be: there are more members than partitions, or this one was drained."""
        return not self._held and (self._members > self._partitions or self._leases.is_draining)

    @property
    def held(self) -> dict[int, Lease]:
        """The leases held now, by partition."""
        return dict(self._held)

    def holds(self, partition: int) -> bool:
        """Whether the lease of *partition* is certain at this moment, by the monotonic clock: false after a long stall."""
        return self._certain_until.get(partition, -math.inf) > self._clock.monotonic_s()

    async def start(self) -> None:
        """Begin to take and renew leases; returns at once, gaining happens behind."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"lease keeper {self._leases.role}")

    async def end(self, timeout_s: float) -> None:
        """
        Take no more, and give each lease back as soon as its holder is done with it.

        Returns when none is left, or after *timeout_s*. What is still held is renewed meanwhile. Others count us no more, and take
        over what is given back.
        """
        if self._task is None:
            return
        self._is_ending = True
        async with self._busy:
            await self._bounded(self._leases.leave())
        ends_at = self._clock.monotonic_s() + timeout_s
        while self._held and self._clock.monotonic_s() < ends_at:
            async with self._busy:
                done = [lease for partition, lease in self._held.items() if self._may_release(partition)]
                for lease in done:
                    await self._lose(lease.partition)
                if done:
                    await self._bounded(self._leases.release(done))
            if self._held:
                await self._clock.sleep(ENDING_EVERY_S)

    async def stop(self) -> None:
        """Lose and release everything; harmless before `start` and twice."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with self._busy:
            leases = list(self._held.values())
            for lease in leases:
                await self._lose(lease.partition)
            # In this order: whoever sees a free lease must not count us any more, or it would take too few.
            await self._bounded(self._leases.leave())
            await self._bounded(self._leases.release(leases))

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        """
        Give the lease of *partition* back, and do not take it again before *pause_s* has passed.

        For a holder that cannot go on: it has stopped by itself, so `on_lost` is not called.
        """
        self._paused_until[partition] = self._clock.monotonic_s() + pause_s
        lease = self._held.pop(partition, None)
        self._certain_until.pop(partition, None)
        if lease is not None:
            await self._bounded(self._leases.release([lease]))

    async def _run(self) -> None:
        while True:
            try:
                await self.tick()
            except StoreUnavailable as error:
                log.warning("leases_not_renewed", role=self._leases.role, reason=str(error))
            except Exception:
                # A defect must not end the keeping of leases: they would run out one by one without a word.
                log.exception("lease_keeping_failed", role=self._leases.role)
            next_at = self._clock.monotonic_s() + INTERVAL_S
            while self._clock.monotonic_s() + (pause_s := ENDING_EVERY_S if self._going_back else LOOK_S) < next_at:
                await self._clock.sleep(pause_s)
                await self._look()
            await self._clock.sleep(max(next_at - self._clock.monotonic_s(), 0.0))

    async def _look(self) -> None:
        """Between two rounds: let go of what its holder is done with, or take what became free, if that is ours to take."""
        if self._is_ending or not (self._may_look or self._going_back):
            return
        try:
            async with self._busy:
                if self._going_back:
                    await self._let_go()
                    return
                free, self._members = await self._answer(self._leases.free())
                if free and len(self._held) < self._share:
                    await self._take()
        except StoreUnavailable:
            return  # the next round says so
        except Exception:
            log.exception("lease_keeping_failed", role=self._leases.role)

    async def tick(self) -> None:
        """
        Do one round: renew, let go of what is not certain any more, balance.

        Raises:
            StoreUnavailable: the database did not answer; what was still certain is still held.
        """
        async with self._busy:
            self._may_look = False
            try:
                await self._renew()
            finally:
                await self._drop_uncertain()
            if not self._is_ending:
                await self._balance()

    async def _renew(self) -> None:
        leases = list(self._held.values())
        if not leases:
            return
        sent_at = self._clock.monotonic_s()
        lost = await self._answer(self._leases.renew(leases))
        for lease in leases:
            if lease.partition in self._held and lease.partition not in lost:
                self._certain_until[lease.partition] = sent_at + CERTAIN_FRACTION * self._leases.ttl_s
        for partition in lost:
            await self._lose(partition)

    async def _drop_uncertain(self) -> None:
        if self._is_fenced:
            return
        for partition, lease in [each for each in self._held.items() if not self.holds(each[0])]:
            if self._held.get(partition) is not lease:
                continue  # its holder gave it up while another was being let go
            await self._lose(partition)
            # So that it counts as free when the database is back, even for this same node.
            await self._bounded(self._leases.release([lease]))

    @property
    def _share(self) -> int:
        """How many partitions are ours to hold."""
        if self._leases.is_draining:
            return 0
        return share(self._partitions, self._members, self._leases.known_by_others)

    async def _balance(self) -> None:
        if self._stands_aside():
            await self._step_aside()
            return
        self._members = await self._answer(self._leases.members())
        now = self._clock.monotonic_s()
        was_away = self._answered_at > -math.inf and now > self._answered_at + self._leases.ttl_s
        self._answered_at = now
        self._forget_gone()
        if not self._going_back and len(self._held) > self._share:
            self._choose_what_goes_back()
        if self._going_back:
            await self._let_go()
        elif len(self._held) < self._share and not was_away:
            await self._take()
        self._may_look = not was_away

    async def _step_aside(self) -> None:
        """Let everything go at once; the others take it over."""
        leases, self._members = list(self._held.values()), 0
        for lease in leases:
            await self._lose(lease.partition)
        # In this order: whoever sees a free lease must not count us any more, or it would take too few.
        await self._answer(self._leases.leave())
        await self._bounded(self._leases.release(leases))

    async def _take(self) -> None:
        """Take free leases, up to our share."""
        now = self._clock.monotonic_s()
        self._paused_until = {part: until for part, until in self._paused_until.items() if until > now}
        wanted = self._share - len(self._held)
        for lease in await self._answer(self._leases.acquire(wanted, avoid=list(self._paused_until))):
            self._held[lease.partition] = lease
            self._certain_until[lease.partition] = now + CERTAIN_FRACTION * self._leases.ttl_s
            if not await self._call(self._on_gained(lease)):
                await self._return(lease)

    async def _return(self, lease: Lease) -> None:
        """Give back a lease that nobody took up, and try again later: kept, it would leave its partition without an owner."""
        self._paused_until[lease.partition] = self._clock.monotonic_s() + NOT_TAKEN_PAUSE_S
        await self._lose(lease.partition)
        await self._bounded(self._leases.release([lease]))

    def _forget_gone(self) -> None:
        held = self._held
        self._going_back = {part: back for part, back in self._going_back.items() if held.get(part) is back[0]}

    def _choose_what_goes_back(self) -> None:
        count = len(self._held) - self._share
        if not self._leases.is_draining:
            count = min(count, math.ceil(self._partitions / HAND_BACK_SHARE))
        until = self._clock.monotonic_s() + (DRAIN_S if self._leases.is_draining else self._hand_back_s)
        common = known_by_all(self._partitions, self._members, self._leases.known_by_others)
        for partition in sorted(self._held, key=lambda part: (part < common, part))[-count:]:
            self._going_back[partition] = self._held[partition], until

    async def _let_go(self) -> None:
        """Give those leases back whose holder is done with them; once chosen, each comes to its end."""
        self._forget_gone()
        now = self._clock.monotonic_s()
        # Each is asked, also when another is not done yet: asked once, it takes no more.
        done = [part for part, (_, until) in self._going_back.items() if self._may_release(part) or now >= until]
        for partition in done:
            del self._going_back[partition]
        given = await asyncio.gather(*[self._give(self._held[partition]) for partition in done], return_exceptions=True)
        # All are done, whatever became of one: the round that follows finds nobody else at work on the leases.
        for error in filter(None, given):
            raise error

    async def _give(self, lease: Lease) -> None:
        """Give one lease back to whoever has too few."""
        if self._before_release is not None:
            await self._call(self._before_release(lease.partition))
            if self._held.get(lease.partition) is not lease:
                return  # its holder gave it up meanwhile
        await self._lose(lease.partition)
        await self._bounded(self._leases.release([lease]))

    async def _answer(self, question: Awaitable[R]) -> R:
        """Wait for the database while we are certain, no longer: one that hangs must not keep us from letting go."""
        # Who is fenced lets go of nothing: with less patience a slow database would never renew.
        certain_s = math.inf if self._is_fenced else min(self._certain_until.values(), default=math.inf)
        certain_s -= self._clock.monotonic_s()
        try:
            return await within(min(max(certain_s, PATIENCE_MIN_S), PATIENCE_MAX_S), question)
        except TimeoutError as error:
            raise StoreUnavailable("no answer while the leases were certain") from error

    async def _lose(self, partition: int) -> None:
        if self._held.pop(partition, None) is not None:
            self._certain_until.pop(partition, None)
            await self._call(self._on_lost(partition))

    async def _call(self, callback: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(CALLBACK_TIMEOUT_S):
                await callback
        except Exception:
            log.exception("lease_callback_failed", role=self._leases.role)
            return False
        return True

    async def _bounded(self, call: Awaitable[None]) -> None:
        """Wait for *call*, but not long: a lease that is not given back runs out by itself."""
        try:
            await within(RELEASE_TIMEOUT_S, call)
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("lease_not_given_back", role=self._leases.role, reason=str(error))
