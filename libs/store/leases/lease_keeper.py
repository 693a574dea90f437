"""
LeaseKeeper: holds a fair share of the partitions for one role of one process, and decides when to let go of them.

Every `INTERVAL_S` it renews its leases, counts the live members, takes free leases up to ceil(partitions / members), and hands a
few back if it holds more than that. So two processes that start together settle within a few rounds, and no partition moves back
and forth. In between, unless it holds them all, it checks every `CHECK_S` whether a lease became free, so that the partitions of
a process that left wait only a moment. While leases are handed back, it asks their holder every `ENDING_EVERY_S`, because nobody
serves their partitions meanwhile. A node that was asked to drain is not counted, takes nothing, and hands back each lease as soon
as its holder allows it.

    certain   By our own monotonic clock a lease is certain for 0.6 of its term, counted from before the request that last renewed
              it was sent. The database counts the whole term from when it got that request. So before another process may take
              the lease, we have stopped. After a long stall `holds` is false even before the keeper itself has run again.
    fenced    A fenced holder is an owner: its decisions are fenced by its claim in the log, its flushes by the nonce. It need not
              stop while the database is away, because then nobody can take a lease. It goes on until the database says that
              another process has the lease, or until it reads the newer claim in the log.
    left      A lease that stays free although every member has its share is one that somebody cannot serve, such as an older
              build that met a record which it does not know. After `LEFT_S` whoever sees it takes it, whatever its share.
    outage    After an outage, wait one round before taking leases, so that live members can renew theirs and are counted again.
    losing    `on_lost` is called exactly once for each `on_gained`, before the lease is given back or forgotten.

The callbacks must be quick: while one runs, nothing is renewed. If a callback raises or takes too long, this is logged. If that was
`on_gained`, the lease goes back and is tried again a little later.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from libs.runtime.clock import Clock
from libs.store.errors import StoreUnavailable, within
from libs.store.leases.held_leases import DRAIN_S, HeldLeases
from libs.store.leases.lease_table import Lease, LeaseTable
from libs.store.leases.shares import may_hold_none, share

INTERVAL_S: Final = 1.0
CHECK_S: Final = 0.15  # between two checks whether a lease became free
LEFT_S: Final = 3.0  # a lease that is free for so long is taken beyond the share: those who should take it cannot
CALLBACK_TIMEOUT_S: Final = 5.0
RELEASE_TIMEOUT_S: Final = 2.0
ENDING_EVERY_S: Final = 0.02  # between two questions whether a holder is done with a lease that goes back
HAND_BACK_S: Final = 5.0  # most calls have ended by then; the partition is not served meanwhile
NOT_TAKEN_PAUSE_S: Final = 2.0  # before a lease is taken again after `on_gained` failed
PATIENCE_MIN_S: Final = 0.5  # for one answer of the database, even if a lease is not certain any more
PATIENCE_MAX_S: Final = 2.0

_log = structlog.get_logger("leases")

R = TypeVar("R")


class LeaseKeeper:
    """Keeps leases for one role of one process."""

    def __init__(
        self,
        leases: LeaseTable,
        *,
        partitions: int,
        on_gained: Callable[[Lease], Awaitable[None]],
        on_lost: Callable[[int], Awaitable[None]],
        may_release: Callable[[int], bool] | None = None,
        before_release: Callable[[int], Awaitable[None]] | None = None,
        hand_back_s: float = HAND_BACK_S,
        is_fenced: bool = False,
        stands_aside: Callable[[], object] = lambda: None,
        clock: Clock,
    ) -> None:
        """
        Keep a share of *partitions* leases. The module docstring says when the callbacks come, and what *is_fenced* means.

        Args:
            may_release: asked again and again, for at most *hand_back_s*, before a lease is handed back. A holder that was asked
                starts nothing new for the partition, and returns True when nothing is under way any more.
            before_release: awaited just before a lease is handed back: it does what shortens the gap until the next holder
                serves the partition.
            stands_aside: while it returns a reason, nothing is taken or held, and this node is not counted.
            clock: only its monotonic time is used.
        """
        self._leases = leases
        self._partitions = partitions
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._clock = clock
        self._held = HeldLeases(leases.ttl_s)
        self._may_release = may_release or (lambda _: True)
        self._before_release = before_release
        self._hand_back_s = hand_back_s
        self._is_fenced = is_fenced
        self._stands_aside = stands_aside
        self._is_ending = False
        self._answered_at = -math.inf
        self._may_take = False  # the last round succeeded, and was not the first after an outage
        self._members = 0
        self._free_since = math.inf
        self._task: asyncio.Task[None] | None = None
        self._resting: asyncio.Future[float] | None = None
        self._busy = asyncio.Lock()  # only one task at a time gains, loses or releases

    @property
    def is_spare(self) -> bool:
        """Whether it is right to hold none: the others may rightly hold all, or this node drains."""
        leases = self._leases
        return not self._held and (
            leases.is_draining or may_hold_none(self._partitions, self._members, leases.known_by_others)
        )

    @property
    def held(self) -> dict[int, Lease]:
        """The leases held now, by partition."""
        return dict(self._held.by_partition)

    def holds(self, partition: int) -> bool:
        """Whether the lease of *partition* is certain now, by the monotonic clock: False after a long stall."""
        return self._held.is_certain(partition, self._now_s())

    def _now_s(self) -> float:
        """Return monotonic time: setting the wall clock must neither keep nor cost a lease."""
        return self._clock.steady() / 1000

    async def _pause(self, pause_s: float) -> None:
        await self._clock.pause(round(pause_s * 1000))

    async def start(self) -> None:
        """Begin to take and renew leases in the background; return at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"lease keeper {self._leases.role}")

    async def end(self, timeout_s: float) -> None:
        """
        Take no more leases, and give each back as soon as its holder is done with it.

        Return when none is left, or after *timeout_s*. Leases that are still held are renewed meanwhile. The others no longer
        count this node, and take over what it gives back.
        """
        if self._task is None:
            return
        self._is_ending = True
        async with self._busy:
            await self._bounded(self._leases.leave())
        ends_at = self._now_s() + timeout_s
        while self._held and self._now_s() < ends_at:
            async with self._busy:
                done = [lease for lease in self._held.by_partition.values() if self._may_release(lease.partition)]
                for lease in done:
                    await self._lose(lease.partition)
                if done:
                    await self._bounded(self._leases.release(done))
            if self._held:
                await self._pause(ENDING_EVERY_S)

    async def stop(self) -> None:
        """Lose and release everything. May be called before `start`, and twice."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with self._busy:
            leases = await self._lose_all()
            # In this order: a member that still counts us when it sees the free leases would take too few.
            await self._bounded(self._leases.leave())
            await self._bounded(self._leases.release(leases))

    async def give_up(self, partition: int, *, pause_s: float = 0.0) -> None:
        """
        Give the lease of *partition* back, and do not take it again before *pause_s* has passed.

        For a holder that cannot go on: it has stopped already, so `on_lost` is not called.
        """
        self._held.pause(partition, self._now_s() + pause_s)
        lease = self._held.remove(partition)
        if lease is not None:
            if self._resting is not None:
                self._resting.cancel()
            await self._bounded(self._leases.release([lease]))

    async def _run(self) -> None:
        while True:
            try:
                await self.tick()
            except StoreUnavailable as error:
                _log.warning("leases_not_renewed", role=self._leases.role, reason=str(error))
            except Exception:  # noqa: BLE001 - as said below
                # A defect must not end this loop: all leases would run out without a log line.
                _log.exception("lease_keeping_failed", role=self._leases.role)
            next_at = self._now_s() + INTERVAL_S
            while (left_s := next_at - self._now_s()) > 0:
                pause_s = ENDING_EVERY_S if self._held.is_handing_back else CHECK_S
                if self._holds_all and not self._held.is_handing_back:
                    if await self._rest(left_s):
                        break
                elif pause_s < left_s:
                    await self._pause(pause_s)
                    await self._check_between_rounds()
                else:
                    await self._pause(left_s)
                    break

    async def _rest(self, left_s: float) -> bool:
        """
        Pause until the next round, but no longer than all partitions are held, so that there is nothing to check.

        Return whether the next round has come.
        """
        self._resting = resting = asyncio.ensure_future(self._clock.beat(round(left_s * 1000)))
        try:
            await asyncio.wait([resting])
        finally:
            resting.cancel()
        return not resting.cancelled()

    @property
    def _holds_all(self) -> bool:
        return len(self._held) == self._partitions

    async def _check_between_rounds(self) -> None:
        """Hand back the leases whose holder is done; if there are none to hand back, take free leases up to our share."""
        if self._is_ending or not (self._may_take or self._held.is_handing_back):
            return
        try:
            async with self._busy:
                if self._held.is_handing_back:
                    await self._hand_back()
                    return
                if self._holds_all:  # so none is free; a process alone has nothing to ask
                    self._free_since = math.inf
                    return
                free, self._members = await self._answer(self._leases.free())
                now = self._now_s()
                self._free_since = min(self._free_since, now) if free else math.inf
                is_left = now - self._free_since >= LEFT_S and not self._leases.is_draining
                if is_left or (free and len(self._held) < self._share):
                    await self._take(at_least=int(is_left))
        except StoreUnavailable:
            return  # the next round logs it
        except Exception:  # noqa: BLE001 - as in `_run`
            _log.exception("lease_keeping_failed", role=self._leases.role)

    async def tick(self) -> None:
        """
        Do one round: renew, drop the leases that are not certain any more, balance.

        Raises:
            StoreUnavailable: the database did not answer; leases that are certain are still held.
        """
        async with self._busy:
            self._may_take = False
            try:
                await self._renew()
            except Exception:
                # Not `finally`: a round that is cancelled, or thrown away with its loop, begins nothing more.
                await self._drop_uncertain()
                raise
            await self._drop_uncertain()
            if not self._is_ending:
                await self._balance()

    async def _renew(self) -> None:
        leases = list(self._held.by_partition.values())
        if not leases:
            return
        sent_at = self._now_s()
        lost = await self._answer(self._leases.renew(leases))
        for lease in leases:
            if lease.partition not in lost:
                self._held.renew(lease.partition, sent_at)
        for partition in lost:
            await self._lose(partition)

    async def _drop_uncertain(self) -> None:
        if self._is_fenced:
            return
        for lease in self._held.uncertain(self._now_s()):
            if not self._held.is_held(lease):
                continue  # its holder gave it up while another one was dropped
            await self._lose(lease.partition)
            # So that it is free when the database is back, also for this node itself.
            await self._bounded(self._leases.release([lease]))

    @property
    def _share(self) -> int:
        """How many partitions this node should hold."""
        if self._leases.is_draining:
            return 0
        return share(self._partitions, self._members, self._leases.known_by_others)

    async def _balance(self) -> None:
        if self._stands_aside():
            await self._step_aside()
            return
        self._members = await self._answer(self._leases.members())
        now = self._now_s()
        was_away = self._answered_at > -math.inf and now > self._answered_at + self._leases.ttl_s
        self._answered_at = now
        self._held.forget_gone()
        if not self._held.is_handing_back and len(self._held) > self._share:
            self._held.choose_to_hand_back(
                partitions=self._partitions,
                members=self._members,
                known_by_others=self._leases.known_by_others,
                share=self._share,
                is_draining=self._leases.is_draining,
                until=self._now_s() + (DRAIN_S if self._leases.is_draining else self._hand_back_s),
            )
        if self._held.is_handing_back:
            await self._hand_back()
        elif len(self._held) < self._share and not was_away:
            await self._take()
        self._may_take = not was_away

    async def _step_aside(self) -> None:
        """Give everything back at once; the others take it over."""
        self._members = 0
        leases = await self._lose_all()
        # In this order: a member that still counts us when it sees the free leases would take too few.
        await self._answer(self._leases.leave())
        await self._bounded(self._leases.release(leases))

    async def _take(self, *, at_least: int = 0) -> None:
        """Take free leases, up to our share; *at_least* so many, even beyond it."""
        now = self._now_s()
        wanted = max(self._share - len(self._held), at_least)
        for lease in await self._answer(self._leases.acquire(wanted, avoid=self._held.paused(now))):
            self._held.add(lease, now)
            if not await self._call(self._on_gained(lease)):
                await self._return(lease)

    async def _return(self, lease: Lease) -> None:
        """Give back a lease whose `on_gained` failed, and try again later. If we kept it, its partition would not be served."""
        self._held.pause(lease.partition, self._now_s() + NOT_TAKEN_PAUSE_S)
        await self._lose(lease.partition)
        await self._bounded(self._leases.release([lease]))

    async def _hand_back(self) -> None:
        """Give those chosen leases back whose holder is done with them, or whose time is over."""
        done = self._held.take_done(self._may_release, self._now_s())
        given = await asyncio.gather(*[self._give(lease) for lease in done], return_exceptions=True)
        # All have ended before an error is raised: the next round must find no other task at work on the leases.
        for error in filter(None, given):
            raise error

    async def _give(self, lease: Lease) -> None:
        """Give one lease back to the members that have too few."""
        if self._before_release is not None:
            await self._call(self._before_release(lease.partition))
            if not self._held.is_held(lease):
                return  # its holder gave it up meanwhile
        await self._lose(lease.partition)
        await self._bounded(self._leases.release([lease]))

    async def _answer(self, question: Awaitable[R]) -> R:
        """Wait for the database only while our leases are certain: if it hangs, we must still drop them in time."""
        # A fenced holder drops nothing. If it waited less, it could never renew on a slow database.
        certain_s = math.inf if self._is_fenced else self._held.all_certain_until()
        certain_s -= self._now_s()
        try:
            return await within(min(max(certain_s, PATIENCE_MIN_S), PATIENCE_MAX_S), question)
        except TimeoutError as error:
            raise StoreUnavailable("no answer while the leases were certain") from error

    async def _lose(self, partition: int) -> None:
        if self._held.remove(partition) is not None:
            await self._call(self._on_lost(partition))

    async def _lose_all(self) -> list[Lease]:
        leases = list(self._held.by_partition.values())
        for lease in leases:
            await self._lose(lease.partition)
        return leases

    async def _call(self, callback: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(CALLBACK_TIMEOUT_S):
                await callback
        except Exception:  # noqa: BLE001 - the holder's defect must not end the keeper
            _log.exception("lease_callback_failed", role=self._leases.role)
            return False
        return True

    async def _bounded(self, call: Awaitable[None]) -> None:
        """Wait for *call*, but only for a short time: a lease that is not given back runs out by itself."""
        try:
            await within(RELEASE_TIMEOUT_S, call)
        except (StoreUnavailable, TimeoutError) as error:
            _log.warning("lease_not_given_back", role=self._leases.role, reason=str(error))
