"""
Ended jobs reader: finds the jobs of one partition that have ended and whose webhook is to be sent.

    snapshot  position, claim, and of each account with pending webhooks the oldest: all of them are left, and recalled in pages
    tail      each admitted job.finished and job.cancelled with a webhook
    due       deliveries whose next try is due: left in the same way, and recalled
    recall    up to `PAGES_MAX` pages at a time, each from an account's mark on (libs/following/left_calls.py)

Source: ARCHITECTURE.md, "A job's life", "What happens when something dies".
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import structlog

from libs.events import JobCancelled, JobFinished, WebhookAttempted, WebhookRedeliverRequested
from libs.following.held_calls import Stage
from libs.following.left_calls import Place
from libs.following.partition_reader import ReaderContext, Wanted
from libs.following.ports import Progress
from libs.following.snapshot_reader import OVERDUE_MS, SnapshotReader
from libs.runtime.crashpoint import crash_at
from libs.store.reads.pending_webhooks import DueDeliveries, PendingSnapshot
from services.webhooks.ports import Meter, PendingTables
from services.webhooks.webhook_calls import WebhookCall, WebhookCalls, deliveries_of

PAGE: Final = 500  # pending webhooks read at a time
PAGES_MAX: Final = 8  # before the log is read again: about 0.1 s
RECALL_EVERY_MS: Final = 250
LOOK_MS: Final = 1_000  # after a try that failed, and between two looks: how late a try may be
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
            wanted=frozenset({"job.finished", "job.cancelled", "webhook.attempted", "webhook.redeliver_requested"}),
            progress=progress,
            calls=calls,
            recall_every_ms=RECALL_EVERY_MS,
        )
        self._tables = tables
        self._calls = calls
        self._meter = meter
        self.pending: PendingSnapshot | None = None  # as it was when it was last looked at
        self.due: DueDeliveries | None = None  # the same
        self._look_at: int | None = None  # when a delivery may be due; None: not before one is tried, or asked for
        self._look_since = 0  # what became due before was left, or handed over

    async def read_snapshot(self) -> PendingSnapshot:
        """Read what is pending."""
        self.pending = await self._tables.pending(self.partition)
        crash_at("webhooks.after_snapshot")
        return self.pending

    async def take_snapshot(self, snapshot: PendingSnapshot) -> bool:
        """Leave everything where it stands, and recall the first of it."""
        for account, oldest in snapshot.oldest.items():
            self.held.left.leave(self.partition, account, None, oldest)
        self._look_at = self._look_since = 0
        return await self.recall()

    def take_wanted(self, wanted: Sequence[Wanted]) -> None:
        """Hand over the jobs that ended and have a webhook; note when a delivery may be due."""
        for _, event, _ in wanted:
            if isinstance(event, WebhookRedeliverRequested):
                self._look_within(0, since=event.at)
            elif isinstance(event, WebhookAttempted) and (event.outcome != "success" or event.attempt > 1):
                self._look_within(LOOK_MS, since=event.at)
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
        """Whether webhooks are left for which there is room, or deliveries may be due."""
        return self._may_be_due() or any(
            self._lanes_with_room(account) for account in self.held.left.accounts(self.partition)
        )

    def next_look_at(self) -> int | None:
        """Return when a delivery may be due."""
        return self._look_at

    async def recall(self) -> bool:
        """Read pages of pending webhooks, of each account in turn; return whether there is room for more."""
        if self._may_be_due():
            await self._look()
        ended: set[str] = set()
        for _ in range(PAGES_MAX):
            waiting = [account for account in self.held.left.accounts(self.partition) if account not in ended]
            account = next((account for account in waiting if self._lanes_with_room(account)), None)
            if account is None:
                return False
            if not await self._recall_page(account):
                ended.add(account)
        return True

    def _may_be_due(self) -> bool:
        return self._look_at is not None and self._look_at <= self._clock.now()

    def _look_within(self, ms: int, *, since: int) -> None:
        """Look for what becomes due from *since* on, *ms* from now at the latest."""
        self._look_since = min(self._look_since, since)
        at = self._clock.now() + ms
        self._look_at = at if self._look_at is None else min(self._look_at, at)

    async def _look(self) -> None:
        """Leave the deliveries that are due where they stand; note when the next ones will be due."""
        now = self._clock.now()
        self._look_at = None
        self.due = due = await self._tables.due(self.partition, self._look_since, now)
        self.check_tables()
        self._look_since = now
        for account, oldest in due.oldest.items():
            self.held.left.leave(self.partition, deliveries_of(account), None, oldest)
        if due.next_at is not None:
            self._look_within(max(LOOK_MS, due.next_at - now), since=now)

    async def _page_of(self, group: str, place: Place, limit: int) -> list[WebhookCall]:
        """Return up to *limit* calls of *group*, from *place* on."""
        partition, position, now = self.partition, self.position, self._clock.now()
        account, slash, _ = group.partition("/")
        if slash:
            found = await self._tables.due_page(partition, account, place, now, limit)
            return [WebhookCall(partition, each.end, position, each.delivery) for each in found]
        events = await self._tables.pending_page(partition, account, place, limit)
        return [WebhookCall(partition, event, position) for event in events]

    async def _take_loaded(self, calls: Sequence[WebhookCall]) -> None:
        """Hand over calls and wait until they are loaded: the next page finds room only if those of full endpoints are left."""
        self._calls.take(calls)
        for _ in range(BATCHES_MAX):
            if not any(call.stage is Stage.LOADING and call.places for call in calls):
                break
            await self._calls.loader.wait_batch()

    def _lanes_with_room(self, group: str) -> list[str | None]:
        """Return the lanes of *group* that have left something here and have room for more."""
        marks = self.held.left.marks(self.partition, group)
        return [lane for lane in marks if self.held.may_recall_lane(group.partition("/")[0], lane)]

    async def _recall_page(self, group: str) -> bool:
        """Hand over one page of *group*, and of those after it; return whether more follows for which there is room."""
        left, partition = self.held.left, self.partition
        lanes = self._lanes_with_room(group)
        # Before the tables are asked, and not afterwards: meanwhile more may be left.
        start = left.take(partition, group, lanes)
        limit = max(1, min(PAGE, self.held.room_of(group.partition("/")[0])))
        found = await self._page_of(group, start, limit + 1)
        self.check_tables()
        page, rest = found[:limit], {call.group: call.place for call in found[limit:]}
        for name, calls in groupby(page, lambda call: call.group):
            if name != group:
                # The page goes on with the next account. If that is left as a whole, these are its first.
                if None not in left.marks(partition, name):
                    break
                left.take(partition, name, [None])
                lanes = [None]
            if name in rest:
                for lane in lanes:
                    left.leave(partition, name, lane, rest[name])
            await self._take_loaded(list(calls))
        return group in rest and left.marks(partition, group).get(lanes[0]) == rest[group]
