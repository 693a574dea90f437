"""
Lease keeper: holds a fair share of the partitions, and knows when to let go.

Every `INTERVAL_S` it renews what it holds, counts who lives, takes free leases up to ceil(partitions / members), and hands one
lease back when it holds more than that. Two that start together thus settle within a few rounds, and nothing moves back and forth.

    certain   By our own monotonic clock a lease is certain for 0.6 of its term, counted from before the request that last renewed
              it was sent. The database counts the whole term from when it got that request: by the time anybody else may take the
              lease, we have stopped. After a long stall `holds` is false before the keeper itself has woken.
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
from libs.store.leases import Lease

INTERVAL_S: Final = 1.0
CERTAIN_FRACTION: Final = 0.6
CALLBACK_TIMEOUT_S: Final = 5.0
RELEASE_TIMEOUT_S: Final = 2.0
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

    async def acquire(self, limit: int, *, avoid: Sequence[int] = ()) -> list[Lease]:
        """Take up to *limit* free leases."""

    async def renew(self, leases: Sequence[Lease]) -> set[int]:
        """Extend *leases*; return the lost partitions."""

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give *leases* back."""

    async def members(self) -> int:
        """Return how many live nodes there are, this one included."""

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
        clock: KeeperClock | None = None,
    ) -> None:
        """
        Keep a share of *partitions* leases; see the module for when the callbacks come.

        A holder with *may_release* is asked each round, for at most `HAND_BACK_S`, before a lease goes back for the sake of
        balance: it stops taking at once, and says true when nothing is under way any more. *before_release* is awaited just before
        such a lease is lost, for what makes the gap until it is taken up again a small one.
        """
        self._leases = leases
        self._partitions = partitions
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._clock = clock or LoopClock()
        self._held: dict[int, Lease] = {}
        self._certain_until: dict[int, float] = {}
        self._paused_until: dict[int, float] = {}
        self._may_release = may_release
        self._before_release = before_release
        self._going_back: tuple[Lease, float] | None = None
        self._members = 0
        self._task: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()  # one who gains, loses or releases at a time

    @property
    def is_spare(self) -> bool:
        """Whether there are more members than partitions, so that holding none is as it should be."""
        return not self._held and self._members > self._partitions

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
            await self._bounded(self._leases.release(leases))
            await self._bounded(self._leases.leave())

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
                log.warning("leases cannot be renewed", role=self._leases.role, reason=str(error))
            except Exception:
                # A defect must not end the keeping of leases: they would run out one by one without a word.
                log.exception("lease keeping failed", role=self._leases.role)
            await self._clock.sleep(INTERVAL_S)

    async def tick(self) -> None:
        """
        Do one round: renew, let go of what is not certain any more, balance.

        Raises:
            StoreUnavailable: the database did not answer; what was still certain is still held.
        """
        async with self._busy:
            try:
                await self._renew()
            finally:
                await self._drop_uncertain()
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
        for partition, lease in [
            (partition, lease) for partition, lease in self._held.items() if not self.holds(partition)
        ]:
            if self._held.get(partition) is not lease:
                continue  # its holder gave it up while another was being let go
            await self._lose(partition)
            # So that it counts as free when the database is back, even for this same node.
            await self._bounded(self._leases.release([lease]))

    async def _balance(self) -> None:
        self._members = await self._answer(self._leases.members())
        share = math.ceil(self._partitions / self._members)
        now = self._clock.monotonic_s()
        self._paused_until = {part: until for part, until in self._paused_until.items() if until > now}
        if self._going_back is not None and self._held.get(self._going_back[0].partition) is not self._going_back[0]:
            self._going_back = None  # it was lost before it could be given
        if self._going_back is not None or len(self._held) > share:
            await self._hand_back()
        elif len(self._held) < share:
            wanted = share - len(self._held)
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

    async def _hand_back(self) -> None:
        """Give one lease back once its holder is done with it; once begun, this comes to its end."""
        now = self._clock.monotonic_s()
        if self._going_back is None:
            self._going_back = self._held[max(self._held)], now + HAND_BACK_S
        lease, until = self._going_back
        if self._may_release is not None and not self._may_release(lease.partition) and now < until:
            return
        self._going_back = None
        if self._before_release is not None:
            await self._call(self._before_release(lease.partition))
            if self._held.get(lease.partition) is not lease:
                return  # its holder gave it up meanwhile
        await self._lose(lease.partition)
        await self._bounded(self._leases.release([lease]))

    async def _answer(self, question: Awaitable[R]) -> R:
        """Wait for the database while we are certain, no longer: one that hangs must not keep us from letting go."""
        certain_s = min(self._certain_until.values(), default=math.inf) - self._clock.monotonic_s()
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
            log.exception("a lease callback failed", role=self._leases.role)
            return False
        return True

    async def _bounded(self, call: Awaitable[None]) -> None:
        """Wait for *call*, but not long: a lease that is not given back runs out by itself."""
        try:
            await within(RELEASE_TIMEOUT_S, call)
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("a lease was not given back", role=self._leases.role, reason=str(error))
