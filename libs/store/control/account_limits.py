"""
Account limits: what one account may use, as the settings say for all and the table `account_limits` for single ones.

Every process reads the rows that changed every `LOOK_S`, so a change holds everywhere within seconds and costs no request anything.
While the database does not answer, what was read last stays.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog

from libs.domain.heartbeat import ACCOUNT as HEARTBEAT_ACCOUNT
from libs.events.ids import told_endpoint
from libs.runtime.clock import Clock
from libs.store.control.limits import NO_LIMITS, Limits
from libs.store.errors import StoreUnavailable, answer_call, store_call

LOOK_S: Final = 2.0
_OVERLAP: Final = "interval '30 seconds'"  # a transaction that is still open has a time before those that are done

_log = structlog.get_logger("limits")


Own = Mapping[str, int | None]  # limits of one account by their names; None: as for all

_NAMES: Final = ", ".join(Limits._fields)
_SELECT: Final = f"SELECT account, {_NAMES}, changed_at FROM account_limits"  # noqa: S608 - our own names
_PUT: Final = f"""
INSERT INTO account_limits AS l (account, {_NAMES}) VALUES ($1, {", ".join(f"${n}" for n in range(2, 2 + len(Limits._fields)))})
ON CONFLICT (account) DO UPDATE SET changed_at = clock_timestamp(),
    {", ".join(f"{name} = excluded.{name}" for name in Limits._fields)}
"""  # noqa: S608 - our own names


class LimitsTable:
    """The rows. Every method raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*."""
        self._pool = pool
        self._read_until: Any = None

    @answer_call
    async def of(self, account: str) -> dict[str, int | None]:
        """Return the limits of *account* alone."""
        row = await self._pool.fetchrow(f"{_SELECT} WHERE account = $1", account)
        return {name: None if row is None else row[name] for name in Limits._fields}

    @answer_call
    async def put(self, account: str, own: Own) -> None:
        """Replace the limits of *account*, which exists."""
        await self._pool.execute(_PUT, account, *[own.get(name) for name in Limits._fields])

    @store_call
    async def changed(self) -> dict[str, dict[str, int | None]]:
        """Return the limits of the accounts that changed since the last call; at the first one of all that have any."""
        if self._read_until is None:
            found = await self._pool.fetch(_SELECT)
        else:
            found = await self._pool.fetch(
                f"{_SELECT} WHERE changed_at > $1::timestamptz - {_OVERLAP}", self._read_until
            )
        if found:
            self._read_until = max(row["changed_at"] for row in found)
        return {row["account"]: {name: row[name] for name in Limits._fields} for row in found}


class AccountLimits:
    """The limits of every account, as this process knows them."""

    def __init__(self, of_all: Limits, table: LimitsTable | None, clock: Clock) -> None:
        """Give everybody *of_all*, but those accounts that *table* names."""
        self._of_all = of_all
        self._table = table
        self._clock = clock
        self._own: dict[str, Limits] = {}
        self._is_failing = False

    def of(self, account: str) -> Limits:
        """Return the limits of *account*."""
        if account == HEARTBEAT_ACCOUNT or told_endpoint(account) is not None:
            return NO_LIMITS  # what tells a webhook endpoint counts no execution
        return self._own.get(account, self._of_all)

    def executions_per_day(self, account: str) -> int:
        """Return how many executions *account* has a day; 0 for no limit."""
        return self.of(account).executions_per_day

    def names(self) -> Iterable[str]:
        """Return the accounts that have limits of their own."""
        return self._own

    async def look(self) -> None:
        """Read what changed."""
        if self._table is None:
            return
        for account, own in (await self._table.changed()).items():
            self._own[account] = merged(self._of_all, own)

    async def look_forever(self) -> None:
        """Read what changed again and again, until cancelled."""
        while True:
            try:
                await self.look()
                self._is_failing = False
            except StoreUnavailable as error:
                if not self._is_failing:
                    _log.warning("limits_not_read", reason=str(error))
                self._is_failing = True
            await self._clock.beat(round(LOOK_S * 1000))


def merged(of_all: Limits, own: Own) -> Limits:
    """Return *of_all* with those of one account in their place."""
    return of_all._replace(**{name: value for name, value in own.items() if value is not None})
