"""
Ended jobs reader: finds the jobs of one partition that have ended, from the saved position on.

    begin   take position and claim from role_lease; look ahead for outcomes in the log: those jobs get no second POST
    take    for each admitted job.finished and job.cancelled with a webhook: hand over a webhook call
    save    each second, save the position below which everything is done: a crash repeats no more than what follows it

Source: ARCHITECTURE.md, "A job's life", "What happens when something dies".
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from libs.events import Claim, JobCancelled, JobFinished
from libs.following.partition_reader import PartitionReader, ReaderContext, Wanted
from libs.runtime.crashpoint import crash_at
from libs.store.leases.lease_table import Lease
from services.webhooks.look_ahead import LookAhead
from services.webhooks.ports import Positions
from services.webhooks.watermark import Watermark
from services.webhooks.webhook_calls import WebhookCall, WebhookCalls

_log = structlog.get_logger("webhooks")


class EndedJobsReader(PartitionReader):
    """Reads one partition and hands over a webhook call for each job that ended."""

    def __init__(
        self,
        lease: Lease,
        context: ReaderContext,
        *,
        positions: Positions,
        calls: WebhookCalls,
    ) -> None:
        """Prepare to read the partition of *lease*; nothing happens before `run`."""
        super().__init__(lease.partition, context, wanted=frozenset({"job.finished", "job.cancelled"}))
        self._lease = lease
        self._positions = positions
        self._calls = calls
        self._look_ahead = LookAhead(self._log, self.partition)
        self._watermark: Watermark | None = None
        self._saved: tuple[int, Claim | None] | None = None
        self._saving = asyncio.Lock()  # one at a time: an older position must not be written after a newer one

    async def begin(self) -> tuple[int, Claim | None]:
        """Return the saved position; after an error, the position that was reached."""
        if self._watermark is None:
            self._saved = await self._positions.position(self.partition)
            self._watermark = Watermark(*self._saved)
        position, claim = self._watermark.reached()
        await self._look_ahead.move(position)
        return position, claim

    async def take(self, wanted: Sequence[Wanted], position: int, claim: Claim | None) -> None:
        """Hand over the jobs whose POST is to be made, and look ahead of *position*."""
        watermark = self._watermark
        assert watermark is not None  # noqa: S101 - set by begin
        calls = []
        for at, event, event_claim in wanted:
            if (
                not isinstance(event, JobFinished | JobCancelled)
                or not event.has_webhook
                or self._look_ahead.take(event.job_id)
            ):
                continue
            watermark.read(at - 1, event_claim, is_pending=False)
            watermark.read(at, event_claim, is_pending=True)
            calls.append(WebhookCall(self.partition, event, at, partial(watermark.done, at)))
        watermark.read(position, claim, is_pending=False)
        self._calls.take(calls)
        await self._look_ahead.move(position)

    async def save(self) -> None:
        """Save the position, if it moved."""
        async with self._saving:
            if self._watermark is None:
                return
            mark = self._watermark.mark()
            if mark == self._saved:
                return
            crash_at("webhooks.before_save")
            try:
                await self._positions.save_position(self._lease, *mark)
            except Exception as error:  # noqa: BLE001 - saved a second later; until then a crash repeats a little more
                _log.warning("position_not_saved", partition=self.partition, reason=str(error))
            else:
                crash_at("webhooks.after_save")
                self._saved = mark
