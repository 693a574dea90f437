"""
Examination: gathers the facts that findings.py judges, for `fliq doctor` and for `GET /v1/system/findings`. It only reads.

Each check is apart from the others and takes a few seconds at most, so one that does not answer does not hide the others. A check
that finds nothing wrong asks once; one that does asks again a little later, so that what lasts a moment is not reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from libs.events import Unknown, read
from libs.log.ends import all_ends
from libs.log.port import Log, LogError
from libs.runtime.roles import OWNER
from libs.store.errors import StoreUnavailable
from libs.store.examination import findings as judge
from libs.store.examination.findings import Finding, ok, warning, wrong
from libs.store.health.database_report import DatabaseReport
from libs.store.leases.lease_report import HeldLease, LeaseReport

CHECK_S: Final = 15.0
AGAIN_S: Final = 3.0  # what is still wrong after so long is reported
CLOCK_TRIES: Final = 3
BETWEEN_S: Final = 1.5  # between two readings of positions: a position that does not move in between stands still
ORDER: Final = (
    "settings",
    "database",
    "schema",
    "log",
    "clocks",
    "members",
    "leases",
    "lag",
    "halted",
    "work",
    "sealing",
    "disk",
)

Check = Callable[[], Awaitable[Sequence[Finding]]]


class Examination:
    """
    The checks that need the tables and the log alone.

    Args:
        database, leases: where the facts are.
        now: this machine's clock in ms since 1970.
        daily_limit: executions a day of an account without a limit of its own; 0 for none.
        connections_max: how many connections a process of Fliq opens at the most.
    """

    def __init__(
        self,
        database: DatabaseReport,
        leases: LeaseReport,
        *,
        now: Callable[[], float],
        daily_limit: int,
        connections_max: int,
    ) -> None:
        self._database = database
        self._leases = leases
        self._now = now
        self._daily_limit = daily_limit
        self._connections_max = connections_max

    async def findings(self, log: Log) -> list[Finding]:
        """Return what every check found, in the order in which it is worth reading."""
        return await found_by(
            {
                "database": self.of_server,
                "members": lambda: settled(self.of_members),
                "lag": lambda: settled(lambda: self.of_lags(log)),
                "clocks": lambda: self.of_records(log),
                "work": self.of_work,
                "disk": self.of_sizes,
            }
        )

    async def of_server(self) -> list[Finding]:
        """Judge the server of the database, and its clock by ours."""
        least = (float("inf"), 0.0)  # how long an answer took, and by how much our clock was ahead in its middle
        for _ in range(CLOCK_TRIES):
            asked_at = self._now()
            server = await self._database.server()
            answered_at = self._now()
            least = min(least, (answered_at - asked_at, (asked_at + answered_at) / 2 - server.at))
        took_ms, skew_ms = least
        # The answer may have been made at any moment of the time that it took.
        sure_ms = max(0.0, abs(skew_ms) - took_ms / 2) * (1 if skew_ms >= 0 else -1)
        return [*judge.of_server(server, self._connections_max), judge.of_clock("clocks", "PostgreSQL", sure_ms)]

    async def of_work(self) -> list[Finding]:
        """Judge what waits for longer than it should."""
        now = round(self._now())
        return judge.of_work(await self._database.work(now, daily_limit=self._daily_limit), now)

    async def of_members(self) -> list[Finding]:
        """Judge who lives, and who serves which partition."""
        members, leases = await asyncio.gather(self._leases.members(), self._leases.leases())
        count = len({lease.partition for lease in leases})
        return [*judge.of_members(members, count), *judge.of_leases(leases)]

    async def of_sizes(self) -> list[Finding]:
        """Judge what the tables take on the disk."""
        total, sizes = await self._database.sizes()
        largest = ", ".join(f"{size.table} {size.bytes / 1e6:.0f} MB" for size in sizes[:3])
        kept = next((size.bytes for size in sizes if size.table == "fliq.responses"), 0)
        share = f"answers of targets {kept / 1e6:.0f} MB ({kept / max(total, 1):.0%})"
        found = [ok("disk", f"database {total / 1e6:.0f} MB; {largest}; {share}")]
        for size in sizes:
            if size.dead > 0.5 and size.bytes > 100_000_000:
                advice = "look whether autovacuum keeps up, and for a transaction that is open for long"
                found.append(warning("disk", f"{size.table}: {size.dead:.0%} of its rows are dead", advice))
        return found

    async def of_lags(self, log: Log) -> list[Finding]:
        """Judge how far the tables are behind the log; where they are, look again to see whether they move."""
        before = await self._leases.leases()
        ends = await all_ends(log)
        mine = {lease.partition: lease for lease in before if lease.role == OWNER}
        after: Sequence[HeldLease] = before
        if any(ends.get(each.partition, 0) - 1 != each.position for each in mine.values()):
            await asyncio.sleep(BETWEEN_S)
            after = await self._leases.leases()
        now = [lease for lease in after if lease.role == OWNER and lease.partition in mine]
        return [*judge.of_lag(mine, now, ends), *await self._of_halted(log, mine, now, ends)]

    async def of_records(self, log: Log) -> list[Finding]:
        """Compare the log's clock with ours, by its newest record: one from the future tells that a clock is wrong."""
        newest = [
            record.at
            for partition, end in (await all_ends(log)).items()
            if end > await log.begin(partition)
            for record in await log.read(partition, end - 1, max_records=1)
        ]
        if not newest:
            return []
        age_ms = self._now() - max(newest)
        if age_ms < -judge.SKEW_WARNING_MS:
            return [judge.of_clock("clocks", "the log's newest record", age_ms)]
        return [ok("clocks", f"the log's newest record is {judge.seconds(max(0, age_ms))} old")]

    async def _of_halted(
        self, log: Log, before: Mapping[int, HeldLease], after: Sequence[HeldLease], ends: Mapping[int, int]
    ) -> list[Finding]:
        """Look at the record before which a partition stands: may nobody here read it?"""
        found = []
        for lease in after:
            partition, position = lease.partition, lease.position
            if position != before[partition].position or position >= ends.get(partition, 0) - 1:
                continue
            if (begin := await log.begin(partition)) > position + 1:
                text = f"partition {partition}: the tables are at {position}, and the log begins at {begin}: records are gone"
                found.append(wrong("halted", text, 'docs/operations.md, "The log lost records"'))
                continue
            for record in await log.read(partition, position + 1, max_records=1):
                item = read(partition, record.envelope)
                if isinstance(item, Unknown) and item.must_understand:
                    text = f"partition {partition} stands before {position + 1}: {item.type} v{item.version} is unknown here"
                    found.append(
                        wrong("halted", text, "a newer build wrote it: finish the upgrade, this build cannot go on")
                    )
        return found


async def found_by(checks: Mapping[str, Check], *, also: tuple[type[Exception], ...] = ()) -> list[Finding]:
    """Return what all *checks* found, in `ORDER`. An outage of tables or log, and what is of *also*, is told in its own words."""
    answers = await asyncio.gather(*[_bounded(name, check, also) for name, check in checks.items()])
    return sorted((finding for each in answers for finding in each), key=lambda each: ORDER.index(each.check))


async def settled(check: Check) -> Sequence[Finding]:
    """Return what *check* finds; when something is wrong, what it finds a little later."""
    found = await check()
    if any(each.state == "wrong" for each in found):
        await asyncio.sleep(AGAIN_S)
        found = await check()
    return found


async def _bounded(name: str, check: Check, also: tuple[type[Exception], ...]) -> Sequence[Finding]:
    """Return what *check* finds; what goes wrong with it is a finding."""
    try:
        async with asyncio.timeout(CHECK_S):
            return await check()
    except TimeoutError:
        return [wrong(name, f"no answer within {CHECK_S:g} s", "is it overloaded, frozen, or cut off?")]
    except Exception as error:  # noqa: BLE001 - a check that fails must not hide the others
        if isinstance(error, (StoreUnavailable, LogError, OSError, *also)):
            advice = "mend what the line names; the services need it, too"
            return [wrong(name, str(error) or type(error).__name__, advice)]
        return [
            wrong(name, f"could not be looked at: {type(error).__name__}: {error}"[:200], "look at the findings above")
        ]
