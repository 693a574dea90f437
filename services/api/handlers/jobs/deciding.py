"""Deciding: waiting until the tables show what a partition's owner decided about a request that stands in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from libs.domain.job import JobState
from libs.events import Spec
from libs.events.ids import partition_of
from services.api.contract.api_error import outcome_unknown
from services.api.handlers.context import Context

DECIDE_S: Final = 3.0  # bound on the owner's decision; it usually takes some 10 ms
_STEP_S: Final = 0.1  # the row is read this often even if no progress is seen

T = TypeVar("T")


class Row(NamedTuple):
    """A job and what it calls."""

    state: JobState
    spec: Spec


async def decided(
    context: Context,
    account: str,
    job_id: str,
    position: int,
    ends_at: float,
    look: Callable[[Row], T | None],
    *,
    what: str,
) -> T:
    """
    Return what *look* finds in the job's row, once the tables hold *position* and it finds something.

    Args:
        ends_at: until when that may take, by the loop's clock; it never takes more than `DECIDE_S`.
        look: returns None as long as nothing is decided; it may raise.

    Raises:
        ApiError: 503, it was not seen in time.
    """
    partition, progress = partition_of(job_id), context.progress
    try:
        async with asyncio.timeout_at(min(ends_at, asyncio.get_running_loop().time() + DECIDE_S)):
            await progress.wait(partition, position, DECIDE_S)
            while True:
                seen = progress.known(partition)
                found = await context.queries.get_job(account, job_id)
                # If the row is missing for a moment (the database crashed, the owner folds again), nothing is decided yet.
                answer = None if found is None or seen < position else look(Row(*found))
                if answer is not None:
                    return answer
                await progress.wait(partition, max(seen, position) + 1, _STEP_S)
    except TimeoutError:
        raise outcome_unknown(f"{what} stands but is not decided yet; read the job again") from None
