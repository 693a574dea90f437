"""
Ended jobs reader: finds the jobs of one partition that have ended and whose webhook is to be sent.

    snapshot  position, claim, and of each account with pending webhooks the oldest: all of them are left, and recalled in pages
    tail      each admitted job.finished and job.cancelled with a webhook
    recall    up to `PAGES_MAX` pages at a time, each from an account's mark on (libs/following/left_calls.py)

Source: ARCHITECTURE.md, "A job's life", "What happens when something dies".
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import structlog

from libs.events import JobCancelled, JobFinished
from libs.following.held_calls import Stage
from libs.following.partition_reader import ReaderContext, Wanted
from libs.following.ports import Progress
from libs.following.snapshot_reader import OVERDUE_MS, SnapshotReader
from libs.runtime.crashpoint import crash_at
from libs.store.reads.pending_webhooks import PendingSnapshot
from services.webhooks.ports import Meter, PendingTables
from services.webhooks.webhook_calls import WebhookCall, WebhookCalls

PAGE: Final = 500  # pending webhooks read at a time
PAGES_MAX: Final = 8  # before the log is read again: about 0.1 s
RECALL_EVERY_MS: Final = 250
BATCHES_MAX: Final = 20  # of the loader that a page waits for

_log = structlog.get_logger("webhooks")


class EndedJobsReader(SnapshotReader[PendingSnapshot, WebhookCall]):
    """Reads one partition and hands over a webhook call for each job that ended."""

    def __init__(
        self,
        partition: int,
        context: ReaderContext,
        *,
        tables: PendingTables,
        progress: Progress,
        calls: WebhookCalls,
        meter: Meter,
    ) -> None:
        """Prepare to read *partition*; nothing happens before `run`."""
        super().__init__(
            partition,
            context,
            wanted=frozenset({"job.finished", "job.cancelled"}),
            progress=progress,
            calls=calls,
            recall_every_ms=RECALL_EVERY_MS,
        )
        self._tables = tables
        self._calls = calls
        self._meter = meter
        self.pending: PendingSnapshot | None = None  # as it was when it was last looked at

    async def read_snapshot(self) -> PendingSnapshot:
        """Read what is pending."""
        self.pending = await self._tables.pending(self.partition)
        crash_at("webhooks.after_snapshot")
        return self.pending

    async def take_snapshot(self, snapshot: PendingSnapshot) -> bool:
        """Leave everything where it stands, and recall the first of it."""
        for account, oldest in snapshot.oldest.items():
            self.held.left.leave(self.partition, account, None, oldest)
        return await self.recall()

    def take_wanted(self, wanted: Sequence[Wanted]) -> None:
        """Hand over the jobs that ended and have a webhook."""
        self._calls.take(
            [
                WebhookCall(self.partition, event, position)
                for position, event, _ in wanted
                if isinstance(event, JobFinished | JobCancelled) and event.has_webhook
            ]
        )

    def count_overdue(self, snapshot: PendingSnapshot) -> int:
        """Count the accounts whose oldest webhook has waited for long, although it is neither held nor left."""
        before = self._clock.now() - OVERDUE_MS
        overdue = [
            place
            for account, place in snapshot.oldest.items()
            if place[0] < before
            and not self.held.knows(self.partition, place[1])
            and not any(mark <= place for mark in self.held.left.marks(self.partition, account).values())
        ]
        if overdue:
            self._meter.overdue(len(overdue))
            _log.error("webhooks_overdue", partition=self.partition, count=len(overdue), first=overdue[0][1])
        return len(overdue)

    def may_recall(self) -> bool:
        """Whether webhooks are left for which there is room."""
        return any(self._lanes_with_room(account) for account in self.held.left.accounts(self.partition))

    async def recall(self) -> bool:
        """Read pages of pending webhooks, of each account in turn; return whether there is room for more."""
        ended: set[str] = set()
        for _ in range(PAGES_MAX):
            waiting = [account for account in self.held.left.accounts(self.partition) if account not in ended]
            account = next((account for account in waiting if self._lanes_with_room(account)), None)
            if account is None:
                return False
            if not await self._recall_page(account):
                ended.add(account)
        return True

    async def _take_loaded(self, calls: Sequence[WebhookCall]) -> None:
        """Hand over calls and wait until they are loaded: the next page finds room only if those of full endpoints are left."""
        self._calls.take(calls)
        for _ in range(BATCHES_MAX):
            if not any(call.stage is Stage.LOADING and call.places for call in calls):
                break
            await self._calls.loader.wait_batch()

    def _lanes_with_room(self, account: str) -> list[str | None]:
        """Return the lanes of *account* that have left something here and have room for more."""
        marks = self.held.left.marks(self.partition, account)
        return [lane for lane in marks if self.held.may_recall_lane(account, lane)]

    async def _recall_page(self, account: str) -> bool:
        """Hand over one page of *account*, and of those after it; return whether more follows for which there is room."""
        left, partition = self.held.left, self.partition
        lanes = self._lanes_with_room(account)
        # Before the tables are asked, and not afterwards: meanwhile more may be left.
        start = left.take(partition, account, lanes)
        limit = max(1, min(PAGE, self.held.room_of(account)))
        found = await self._tables.pending_page(partition, account, start, limit + 1)
        page, rest = found[:limit], {event.account: (event.at, event.job_id) for event in found[limit:]}
        for name, events in groupby(page, lambda event: event.account):
            if name != account:
                # The page goes on with the next account. If that is left as a whole, these are its first.
                if None not in left.marks(partition, name):
                    break
                left.take(partition, name, [None])
                lanes = [None]
            if name in rest:
                for lane in lanes:
                    left.leave(partition, name, lane, rest[name])
            await self._take_loaded([WebhookCall(partition, event, self.position) for event in events])
        return account in rest and left.marks(partition, account).get(lanes[0]) == rest[account]
