"""Context: the objects that all handlers share, and appends on behalf of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from libs.events import Envelope, Event, encode
from libs.log.port import MAX_VALUE_BYTES, AppendFailed, Log, LogError, RecordTooLarge
from libs.runtime.clock import Clock
from libs.runtime.crashpoint import crash_at
from libs.sealing.keyring import Keyring
from libs.store.control.idempotency import IdempotencyKeys
from libs.store.control.limits import Limits
from libs.store.control.reserved_names import Names
from libs.store.projection.progress import ProgressWatch
from libs.store.reads.account_queries import AccountQueries
from libs.store.reads.search import Search
from services.api.contract.api_error import ApiError, outcome_unknown, unavailable
from services.api.contract.cursor import Cursors
from services.api.contract.field import CheckUrl
from services.api.contract.schedules.requests import Zones
from services.api.http.request_turns import RequestTurns
from services.api.state.account_use import AccountUse
from services.api.state.consistency import ReadIndex
from services.api.state.creation_limits import CreationLimits
from services.api.state.minting import Mint
from services.api.state.unfolded_records import UnfoldedRecords, units_of

APPEND_S: Final = 4.0  # bound on one durable write, so that a caller hears of a failure within 5 s
CHANGE_S: Final = 4.6  # bound on an append and the wait that follows it, for the same reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the handlers share."""

    log: Log
    queries: AccountQueries
    search: Search
    keys: IdempotencyKeys
    names: Names
    progress: ProgressWatch
    read_index: ReadIndex
    limits: CreationLimits
    limits_of: Callable[[str], Limits]
    use: AccountUse
    unfolded: UnfoldedRecords
    lists: RequestTurns  # of who reads many rows or records; begins before the first of its reads
    changes: RequestTurns  # of who holds a job or schedule with its body; begins when the request's own body has come
    mint: Mint
    clock: Clock
    cursors: Cursors
    check_url: CheckUrl
    zones: Zones
    keyring: Keyring

    def sealed(self, event: Event, account: str) -> Envelope:
        """Return the record of *event*, sealed for *account*: of a request that writes, so the key is at hand (http/app.py)."""
        return encode(self.keyring.seal(event, account))

    async def append(
        self, account: str, partition: int, envelopes: list[Envelope], *, ends_at: float | None = None
    ) -> int:
        """
        Append the facts of a request of *account*; return the first one's position once all are durable.

        Args:
            ends_at: until when that may take, by the loop's clock; it never takes more than `APPEND_S`.

        Raises:
            ApiError: 413 if a record is too large, 503 if the log does not take it.
        """
        now_s = asyncio.get_running_loop().time()
        ends_at = now_s + APPEND_S if ends_at is None else min(now_s + APPEND_S, ends_at)
        try:
            for envelope in envelopes:
                if len(envelope.value) > MAX_VALUE_BYTES:
                    raise RecordTooLarge
            self._check_served(partition)
            position = await self._append(account, partition, envelopes, ends_at)
        except RecordTooLarge:
            raise ApiError(413, "payload_too_large", "url, headers and body are too large together") from None
        except LogError as error:
            raise self._refused(error) from error
        return position

    async def append_change(self, account: str, partition: int, envelope: Envelope, *, what: str) -> int:
        """
        Append one fact of *account* about something that exists, within its share of what is not folded yet.

        If the outcome is unknown, the caller is told so: repeating it is harmless.

        Raises:
            ApiError: 503; `outcome_unknown` if the fact may be in the log.
        """
        self._check_served(partition)
        try:
            ends_at = asyncio.get_running_loop().time() + APPEND_S
            return await self._append(account, partition, [envelope], ends_at)
        except AppendFailed as error:
            raise outcome_unknown(f"{what} may have been taken; repeat the request") from error
        except LogError as error:
            raise self._refused(error) from error

    async def _append(self, account: str, partition: int, envelopes: list[Envelope], ends_at: float) -> int:
        crash_at("api.before_append")
        units = units_of(envelopes)
        await self.unfolded.take(account, partition, units, ends_at)
        try:
            timeout_s = max(ends_at - asyncio.get_running_loop().time(), 0.0)
            position = await self.log.append(partition, envelopes, timeout_s=timeout_s)
        except BaseException:
            self.unfolded.failed(account, partition, units)
            raise
        crash_at("api.after_append")
        self.unfolded.appended(account, partition, position + len(envelopes) - 1, units)
        return position

    def _check_served(self, partition: int) -> None:
        if not self.read_index.serves(partition):
            raise unavailable("this process was started before the log grew, and does not serve this id yet; try again")

    @staticmethod
    def _refused(error: LogError) -> ApiError:
        if isinstance(error, AppendFailed):
            return unavailable("it is not known whether the request was accepted; repeat it with its idempotency key")
        return unavailable("the log does not take new requests at the moment, try again")
