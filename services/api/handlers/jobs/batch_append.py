"""Batch append: the new jobs of a batch, together if there is room for them, else in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from libs.events import Envelope
from libs.events.ids import partition_of
from services.api.contract.api_error import ApiError
from services.api.handlers.context import APPEND_S, Context
from services.api.http.reply import error_body
from services.api.state.unfolded_records import units_of

PIECE_UNITS: Final = 50  # of a batch, so that others append in between


async def append_batch(
    context: Context, account: str, envelopes: list[Envelope], results: list[dict[str, Any]]
) -> None:
    """
    Append *envelopes*, all of a partition together if the account's share has room for them, else in pieces.

    If not all pieces are taken, the results of those that are not say why; raises if none is.
    """
    by_partition: dict[int, list[Envelope]] = {}
    for envelope in envelopes:
        by_partition.setdefault(partition_of(envelope.key), []).append(envelope)
    ends_at = asyncio.get_running_loop().time() + APPEND_S
    refused: dict[str, ApiError] = {}

    async def append(partition: int, group: list[Envelope]) -> None:
        for piece in [group] if context.unfolded.has_room(account, partition, units_of(group)) else pieces(group):
            try:
                await context.append(account, partition, piece, ends_at=ends_at)
            except ApiError as error:
                refused.update((envelope.key, error) for envelope in piece)

    await all_of([append(partition, group) for partition, group in by_partition.items()])
    if refused and len(refused) == len(envelopes):
        raise next(iter(refused.values()))
    if refused:
        for index, result in enumerate(results):
            error = refused.get(result["job"]["id"]) if "job" in result else None
            if error is not None:
                results[index] = error_body(error)


def pieces(envelopes: Sequence[Envelope]) -> list[list[Envelope]]:
    """Return *envelopes* in pieces of `PIECE_UNITS`, or of one that is larger."""
    cut: list[list[Envelope]] = []
    units = PIECE_UNITS
    for envelope in envelopes:
        if units >= PIECE_UNITS:
            cut.append([])
            units = 0
        cut[-1].append(envelope)
        units += units_of([envelope])
    return cut


async def all_of(calls: Sequence[Awaitable[object]]) -> None:
    """Await every call, then raise the first failure: an answer must not leave calls running behind it."""
    if len(calls) == 1:
        await calls[0]
        return
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
