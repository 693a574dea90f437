"""
Erase: ends everything of an account, then deletes its keys, so that nobody can ever read again what it entrusted.

    revoke its tokens, and wait until every API refuses them
    until nothing is left: ask each job to end and delete each schedule, by facts in the log, and wait for the owners
    delete its data keys, and what it has in the control plane

A run that is broken off may be repeated: nothing is deleted before everything has ended.
"""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Final

from libs.events import Event, JobStopRequested, ScheduleDeleted, encode
from libs.events.ids import partition_of
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.store.control.account_erasure import AccountRest, Rest
from libs.store.control.account_keys import AccountKeys
from libs.store.control.accounts import Accounts
from libs.store.projection.progress import ProgressWatch
from services.commands.output import progress
from services.start_error import StartError

SETTLE_S: Final = 10.0  # tokens are refused everywhere within 5 s; requests under way end within 5 s more
FOLD_S: Final = 30.0
WAIT_S: Final = 300.0  # for everything to end; a call under way is cut off
ROUND_S: Final = 1.0


async def erase(
    account: str,
    *,
    log: Log,
    rest: AccountRest,
    accounts: Accounts,
    keys: AccountKeys,
    watch: ProgressWatch,
    clock: Clock,
) -> int:
    """
    Erase *account* and return how many data keys were deleted.

    Raises:
        StartError: there is no such account, or something of it does not end, because no service runs.
    """
    if not await rest.revoke_all(account):
        if await accounts.is_erased(account):
            raise StartError(f"the account {account} is erased already")
        raise StartError(f"there is no account {account}")
    progress(f"the tokens of {account} are revoked; waiting {SETTLE_S:g} s until every API refuses them")
    await asyncio.sleep(SETTLE_S)
    asked: set[str] = set()
    try:
        async with asyncio.timeout(WAIT_S):
            while left := _count(found := await _rest(account, log, rest, watch)):
                progress(f"{left} jobs and schedules have not ended")
                await _ask(log, found, asked, clock)
                await asyncio.sleep(ROUND_S)
    except TimeoutError:
        raise StartError(
            f"jobs or schedules of {account} have not ended; nothing is deleted yet: start the services, and repeat this"
        ) from None
    return await keys.shred(account)


async def _rest(account: str, log: Log, rest: AccountRest, watch: ProgressWatch) -> Rest:
    """Return what is left once the tables are where the log is now."""
    for partition in range(await log.partitions()):
        end = await log.end(partition)
        if end and not await watch.wait(partition, end - 1, FOLD_S):
            raise TimeoutError
    return await rest.rest(account)


async def _ask(log: Log, found: Rest, asked: set[str], clock: Clock) -> None:
    now = clock.now()
    facts: list[tuple[str, Event]] = [
        *((schedule_id, ScheduleDeleted(schedule_id=schedule_id, at=now)) for schedule_id in found.schedules),
        *((job_id, JobStopRequested(job_id=job_id, at=now)) for job_id in found.jobs),
    ]
    new = sorted(
        ((any_id, fact) for any_id, fact in facts if any_id not in asked), key=lambda each: _partition(each[0])
    )
    for partition, group in groupby(new, key=lambda each: _partition(each[0])):
        await log.append(partition, [encode(fact) for _, fact in group])
    asked.update(any_id for any_id, _ in new)


def _partition(any_id: str) -> int:
    return partition_of(any_id)


def _count(found: Rest) -> int:
    return len(found.jobs) + len(found.schedules)
