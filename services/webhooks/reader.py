"""
Ended jobs reader: finds the jobs of one partition that have ended, from the saved position on.

    begin   take position and claim from role_lease; look ahead for outcomes in the log: those jobs get no second POST
    take    for each admitted job.finished and job.cancelled with a webhook: load its spec, hand over a webhook call
    save    each second, save the position below which everything is done: a crash repeats no more than what follows it

Source: ARCHITECTURE.md, "A job's life", "What happens when something dies".
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import structlog

from libs.events import Claim, JobCancelled, JobFinished, Spec
from libs.following.calls import SECRET_MISSING, SPEC_MISSING
from libs.following.partition_reader import RETRY_FIRST_MS, RETRY_MAX_MS, PartitionReader, ReaderContext, Wanted
from libs.following.partition_trouble import trouble_of
from libs.following.ports import Progress, SigningSecrets, SpecTables
from libs.runtime.crashpoint import crash_at
from libs.store.leases.lease_table import Lease
from services.webhooks.look_ahead import LookAhead
from services.webhooks.payload import TerminalEvent
from services.webhooks.ports import Positions
from services.webhooks.watermark import Watermark
from services.webhooks.webhook_calls import WebhookCall, WebhookCalls

PROGRESS_WAIT_S: Final = 5.0

R = TypeVar("R")

_log = structlog.get_logger("webhooks")


class EndedJobsReader(PartitionReader):
    """Reads one partition and hands the ends of jobs to the webhook calls."""

    def __init__(
        self,
        lease: Lease,
        context: ReaderContext,
        *,
        positions: Positions,
        tables: SpecTables,
        progress: Progress,
        secrets: SigningSecrets,
        calls: WebhookCalls,
    ) -> None:
        """Prepare to read the partition of *lease*; nothing happens before `run`."""
        super().__init__(lease.partition, context, wanted=frozenset({"job.finished", "job.cancelled"}))
        self._lease = lease
        self._positions = positions
        self._tables = tables
        self._progress = progress
        self._secrets = secrets
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
        ends: list[tuple[int, TerminalEvent]] = []
        for at, event, event_claim in wanted:
            if (
                not isinstance(event, JobFinished | JobCancelled)
                or not event.has_webhook
                or self._look_ahead.take(event.job_id)
            ):
                continue
            watermark.read(at - 1, event_claim, is_pending=False)
            watermark.read(at, event_claim, is_pending=True)
            if self._calls.is_held(event.job_id):
                # It began under a lease that was lost in between: it is not made twice, and is done once it is recorded.
                self._calls.join(event.job_id, partial(watermark.done, at))
            else:
                ends.append((at, event))
        watermark.read(position, claim, is_pending=False)
        if ends:
            await self._deliver(watermark, ends)
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

    async def _deliver(self, watermark: Watermark, ends: list[tuple[int, TerminalEvent]]) -> None:
        spec_ids = [event.spec_id for _, event in ends]
        specs = await self._keep_asking(lambda: self._tables.specs(spec_ids))
        late = [position for position, event in ends if event.spec_id not in specs]
        if late:
            while not await self._keep_asking(lambda: self._progress.wait(self.partition, late[-1], PROGRESS_WAIT_S)):
                _log.info("waiting_for_tables", partition=self.partition, position=late[-1])
            specs = await self._keep_asking(lambda: self._tables.specs(spec_ids))
        accounts = sorted({event.account for _, event in ends})
        secrets = await self._keep_asking(lambda: self._secrets.signing_secrets(accounts))
        for position, event in ends:
            self._hand_over(position, event, specs.get(event.spec_id), secrets, partial(watermark.done, position))

    def _hand_over(
        self,
        position: int,
        event: TerminalEvent,
        spec: Spec | None,
        secrets: Mapping[str, Sequence[str]],
        on_done: Callable[[], None],
    ) -> None:
        valid = tuple(secrets.get(event.account, ()))
        if spec is None or spec.webhook_url is None:
            _log.error("spec_missing", job_id=event.job_id, partition=self.partition, position=position)
            self._calls.give_up(WebhookCall(self.partition, event, on_done), SPEC_MISSING)
        elif not valid:
            self._calls.give_up(WebhookCall(self.partition, event, on_done), SECRET_MISSING)
        else:
            self._calls.put(WebhookCall(self.partition, event, on_done, spec, valid))

    async def _keep_asking(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Return what the store answers, and ask until it does: an error must not lose what was read."""
        retry_ms = RETRY_FIRST_MS
        while True:
            try:
                return await ask()
            except Exception as error:  # noqa: BLE001 - whatever the store raises, it is asked again
                self.trouble = trouble_of(error)
                _log.warning("tables_unreachable", partition=self.partition, reason=str(error))
            await self._clock.pause(retry_ms)
            retry_ms = min(retry_ms * 2, RETRY_MAX_MS)
