"""
Daily grants: which part of an account's executions of a UTC day the owner of each partition may decide.

Several owners decide for one account, and each knows only its own count at once: how many executions of the day it has decided. So
an owner asks before it decides. It says how many it has decided (*used*) and how many it wants besides (*need*). What it is granted
is a number that its count may reach. All numbers of an account's day together never exceed the limit:

    limit >= sum over the partitions of max(granted, executions counted in the tables)

A grant says how far a count may go, not how many calls may follow. So nothing has to be given back after a crash: the next owner's
count is the fold of the log, and its first question replaces the grant of the owner before. The count in the tables covers what no
grant is known for: another build, tables that were restored.

Old owners that do not know yet that they were replaced are told by their epoch, which is lower: what they ask changes nothing.
Their decisions are void.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from libs.store.errors import store_call

_LOCK: Final = 0x666C6967  # one question at a time: the sums of two would not know of each other

_OF_DAYS: Final = (
    "WHERE account = ANY ($1::text[]) AND day = ANY (SELECT DATE '1970-01-01' + d FROM unnest($2::int4[]) AS d)"
)
_CHARGED: Final = f"""
SELECT account, day - DATE '1970-01-01' AS day, part, coalesce(epoch, 0) AS epoch,
    greatest(coalesce(granted, 0), coalesce(executions, 0)) AS charged
FROM (SELECT * FROM daily_grants {_OF_DAYS}) AS g
FULL JOIN (SELECT * FROM usage_daily {_OF_DAYS}) AS u USING (account, day, part)
"""  # noqa: S608 - our own names
_GRANT: Final = """
INSERT INTO daily_grants (account, day, part, epoch, granted)
SELECT account, DATE '1970-01-01' + day, part, epoch, granted
FROM unnest($1::text[], $2::int4[], $3::int4[], $4::int8[], $5::int8[]) AS t(account, day, part, epoch, granted)
ON CONFLICT (account, day, part) DO UPDATE SET epoch = excluded.epoch, granted = excluded.granted
"""


class GrantAsk(NamedTuple):
    """
    What an owner asks.

    Args:
        day: UTC day, counted from 1970-01-01.
        epoch: of the owner's claim.
        used: how many executions of the account it knows to be decided in its partition on that day.
        need: how many it would decide now.
        limit: of the account and day, over all partitions.
    """

    account: str
    day: int
    partition: int
    epoch: int
    used: int
    need: int
    limit: int


Charged = Mapping[tuple[str, int], Mapping[int, tuple[int, int]]]  # (account, day) -> partition -> epoch, charged


def share_out(charged: Charged, asks: Sequence[GrantAsk]) -> list[int | None]:
    """
    Return what is granted to each of *asks*, in their order; None to an owner that was replaced.

    Args:
        charged: the epoch of the last grant and what counts so far, by account and day, and by partition.
    """
    now = {key: dict(by_partition) for key, by_partition in charged.items()}
    granted: list[int | None] = []
    for ask in asks:
        held = now.setdefault((ask.account, ask.day), {})
        if held.get(ask.partition, (0, 0))[0] > ask.epoch:
            granted.append(None)
            continue
        others = sum(count for partition, (_, count) in held.items() if partition != ask.partition)
        number = ask.used + min(ask.need, max(0, ask.limit - others - ask.used))
        held[ask.partition] = ask.epoch, number
        granted.append(number)
    return granted


class DailyGrants:
    """The grants in the tables."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*, whose commits must be synchronous: a grant that is used must not be forgotten."""
        self._pool = pool

    @store_call
    async def ask(self, asks: Sequence[GrantAsk]) -> list[int | None]:
        """
        Return how far the count of each of *asks* may go; None for an owner that was replaced.

        Raises:
            StoreUnavailable: the database did not answer in time. The grants may be written; asking again replaces them.
        """
        accounts = sorted({ask.account for ask in asks})
        days = sorted({ask.day for ask in asks})
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            found = await connection.fetch(_CHARGED, accounts, days)
            charged: dict[tuple[str, int], dict[int, tuple[int, int]]] = {}
            for row in found:
                charged.setdefault((row["account"], row["day"]), {})[row["part"]] = row["epoch"], row["charged"]
            granted = share_out(charged, asks)
            rows = {
                (ask.account, ask.day, ask.partition): (ask.epoch, number)
                for ask, number in zip(asks, granted, strict=True)
                if number is not None
            }
            if rows:
                columns = zip(*[(*key, *value) for key, value in rows.items()], strict=True)
                await connection.execute(_GRANT, *map(list, columns))
        return granted

    @store_call
    async def forget_before(self, day: int) -> None:
        """Delete the grants of days before *day*, counted from 1970-01-01."""
        await self._pool.execute("DELETE FROM daily_grants WHERE day < DATE '1970-01-01' + $1::int4", day)
