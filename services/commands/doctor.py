"""`fliq doctor`: what is wrong, in plain words, and what to do."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from libs.events import Unknown, read
from libs.log.ends import all_ends
from libs.log.port import Log, LogError
from libs.runtime.clock import SystemClock
from libs.runtime.embedded_postgres import address as embedded_address
from libs.runtime.roles import OWNER
from libs.runtime.settings.settings import Settings, SettingsError, idle_names, unknown_names
from libs.runtime.settings.table import TABLE
from libs.runtime.telemetry import logging
from libs.store.control.account_keys import AccountKeys
from libs.store.errors import StoreUnavailable
from libs.store.health.database_report import DatabaseReport
from libs.store.leases.lease_report import HeldLease, LeaseReport
from libs.store.schema.log_identity import known_log
from libs.store.schema.migrate import inspect_schema
from services.commands.access import Access, opened
from services.commands.checks import findings as judge
from services.commands.checks.findings import Finding, ok, warning, wrong
from services.commands.checks.url_check import check_url
from services.commands.output import answer, answer_json
from services.process.keys.master_key import master_key_path
from services.process.open_log import log_report
from services.process.resources import egress_policy
from services.process.start_errors import is_log_apart, start_errors
from services.start_error import StartError

NAME: Final = "doctor"
MEANING: Final = "say what is wrong, in plain words, and what to do; exit 1 when something is"
TEXT: Final = """\
Check the settings, the database, the schema, the log (on Kafka: topic, settings, replicas), the clocks, who is alive, who
holds which partition, how far each role is, what is overdue, and the disk. Each is checked by itself and for a few seconds
at most, so that one that does not answer does not hide the others. It only reads, and may run beside the services at any time.

    ok        as it should be
    warning   works, and may not go on doing so
    wrong     something does not work, or will be lost; what to do stands below it

    fliq doctor --url http://web:8000/     whether a job could call this URL: looked up and judged, never called

exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage or settings
"""
CHECK_S: Final = 15.0
AGAIN_S: Final = 3.0  # a check that finds trouble is repeated after so long: what lasts a moment is not reported
CLOCK_TRIES: Final = 3
BETWEEN_S: Final = 1.5  # between two readings of positions: a position that does not move in between stands still
ADVICE_INDENT: Final = " " * 23
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


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", action="store_true", help="answer as one JSON document")
    parser.add_argument("--url", metavar="URL", help="say only whether this URL could be called, and why not")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Check everything and say what was found."""
    logging.configure("critical", settings.log_format)  # what goes wrong is found, not logged
    if args.url is not None:
        found = await check_url(egress_policy(settings), args.url)
    else:
        found = await Doctor(settings).findings()
    count = sum(each.state == "wrong" for each in found)
    if args.json:
        answer_json({"settings": settings.masked(), "findings": found, "wrong": count})
        return 1 if count else 0
    for each in found:
        answer(f"{each.state:<9}{each.check:<13} {each.text}")
        if each.advice is not None:
            answer(f"{ADVICE_INDENT}→ {each.advice}")
    warnings = sum(each.state == "warning" for each in found)
    answer("\n" + (f"{count} wrong, {warnings} warnings" if count else f"nothing is wrong ({warnings} warnings)"))
    return 1 if count else 0


class Doctor:
    """The checks of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()

    async def findings(self) -> list[Finding]:
        """Return what was found, in the order in which it is worth reading."""
        async with AsyncExitStack() as stack:
            access, pool, reason = await self._database(stack)
            checks: list[tuple[str, Check]] = [("settings", self._of_settings)]
            if access is not None:
                database, lease_report = DatabaseReport(pool), LeaseReport(pool)
                checks += [
                    ("database", lambda: self._of_server(database)),
                    ("schema", lambda: self._of_schema(access)),
                    ("log", lambda: self._of_log(access, lease_report)),
                    ("members", lambda: _settled(lambda: self._of_members(lease_report))),
                    ("work", lambda: self._of_work(database)),
                    ("sealing", lambda: self._of_sealing(AccountKeys(pool), database)),
                    ("disk", lambda: self._of_disk(database)),
                ]
            elif is_log_apart(self._settings):
                checks.append(("log", self._of_topic))
            answers = await asyncio.gather(*[_bounded(name, check) for name, check in checks])
        found = [finding for each in answers for finding in each]
        if reason is not None:
            found.insert(0, reason)
        return sorted(found, key=lambda each: ORDER.index(each.check))

    async def _database(self, stack: AsyncExitStack) -> tuple[Access | None, Any, Finding | None]:
        advice = "start it, or mend FLIQ_DATABASE_URL; the rest can only be checked with a database"
        try:
            async with asyncio.timeout(CHECK_S):
                with start_errors(self._settings):
                    access = await stack.enter_async_context(opened(self._settings, log_level=None, may_start=False))
                    return access, await access.tables(size=4), None
        except StartError as error:
            return None, None, wrong("database", str(error), advice)
        except TimeoutError:
            return None, None, wrong("database", f"no answer within {CHECK_S:g} s", advice)

    async def _of_settings(self) -> list[Finding]:
        settings = self._settings
        found = [
            warning("settings", f"{name} is no setting of Fliq", "is it misspelt? `fliq --help` lists them")
            for name in unknown_names(os.environ)
        ]
        if settings.database_url is not None and settings.secret_key is None:
            text = "FLIQ_SECRET_KEY is unset: the key of the tokens is kept in the database, and in its backups"
            found.append(
                warning("settings", text, 'docs/operations.md, "Rotate keys", says how to change to one of yours')
            )
        given = [row.name for row in TABLE if os.environ.get(row.name, "").strip()]
        if idle := idle_names(os.environ):
            text = f"{', '.join(idle)} without FLIQ_KAFKA_BOOTSTRAP: the log is in PostgreSQL"
            found.append(warning("settings", text, "set FLIQ_KAFKA_BOOTSTRAP, or leave these out"))
        place = "Kafka" if is_log_apart(settings) else "PostgreSQL"
        whose = "yours" if settings.database_url is not None else "embedded"
        text = f"log in {place}, PostgreSQL {whose}; set: {', '.join(given) or 'nothing, all is default'}"
        return [ok("settings", text), *found]

    async def _of_server(self, database: DatabaseReport) -> list[Finding]:
        least = (float("inf"), 0.0)  # how long an answer took, and by how much our clock was ahead in its middle
        for _ in range(CLOCK_TRIES):
            asked_at = self._clock.now()
            server = await database.server()
            answered_at = self._clock.now()
            least = min(least, (answered_at - asked_at, (asked_at + answered_at) / 2 - server.at))
        took_ms, skew_ms = least
        # The answer may have been made at any moment of the time that it took.
        sure_ms = max(0.0, abs(skew_ms) - took_ms / 2) * (1 if skew_ms >= 0 else -1)
        return [*judge.of_server(server), judge.of_clock("clocks", "PostgreSQL", sure_ms)]

    async def _of_schema(self, access: Access) -> list[Finding]:
        return judge.of_schema(await inspect_schema(access.dsn))

    async def _of_work(self, database: DatabaseReport) -> list[Finding]:
        now = self._clock.now()
        work = await database.work(now, daily_limit=self._settings.daily_execution_limit)
        return judge.of_work(work, now)

    async def _of_sealing(self, keys: AccountKeys, database: DatabaseReport) -> list[Finding]:
        path = master_key_path(self._settings)
        file = None if path is None else str(path)
        return judge.of_sealing(file, await keys.master_id(), await keys.count(), await database.clear_specs())

    async def _of_disk(self, database: DatabaseReport) -> list[Finding]:
        total, sizes = await database.sizes()
        largest = ", ".join(f"{size.table} {size.bytes / 1e6:.0f} MB" for size in sizes[:3])
        kept = next((size.bytes for size in sizes if size.table == "fliq.responses"), 0)
        share = f"answers of targets {kept / 1e6:.0f} MB ({kept / max(total, 1):.0%})"
        found = [ok("disk", f"database {total / 1e6:.0f} MB; {largest}; {share}")]
        for size in sizes:
            if size.dead > 0.5 and size.bytes > 100_000_000:
                advice = "look whether autovacuum keeps up, and for a transaction that is open for long"
                found.append(warning("disk", f"{size.table}: {size.dead:.0%} of its rows are dead", advice))
        place = self._settings.data_dir.absolute()
        if self._settings.database_url is None and embedded_address.exists(place):
            usage = shutil.disk_usage(place)
            found.append(judge.of_disk(str(place), usage.free, usage.total))
        return found

    async def _of_members(self, lease_report: LeaseReport) -> list[Finding]:
        members, leases = await asyncio.gather(lease_report.members(), lease_report.leases())
        count = len({lease.partition for lease in leases})
        return [*judge.of_members(members, count), *judge.of_leases(leases)]

    async def _of_topic(self) -> list[Finding]:
        return judge.of_log(await log_report(self._settings, ""))

    async def _of_log(self, access: Access, lease_report: LeaseReport) -> list[Finding]:
        found = judge.of_log(await log_report(self._settings, access.dsn))
        if any(each.state == "wrong" for each in found):
            return found  # the log would not open either
        with start_errors(self._settings):
            log = await access.log()
            known, identity = await known_log(access.dsn), await log.identity()
            if known is not None and known != identity:
                text = f"the tables were made from another log ({known}) than the one that is set ({identity})"
                found.append(
                    wrong("log", text, "set the log's address and topic as they were; services refuse to start")
                )
                return found
            ends = await all_ends(log)
            return [
                *found,
                *await self._of_records(log, ends),
                *await _settled(lambda: self._of_lags(log, lease_report)),
            ]

    async def _of_lags(self, log: Log, lease_report: LeaseReport) -> list[Finding]:
        found = []
        before = await lease_report.leases()
        ends = await all_ends(log)
        await asyncio.sleep(BETWEEN_S)
        after = await lease_report.leases()
        mine = {lease.partition: lease for lease in before if lease.role == OWNER}
        now = [lease for lease in after if lease.role == OWNER and lease.partition in mine]
        found += judge.of_lag(mine, now, ends)
        found += await self._of_halted(log, mine, now, ends)
        return found

    async def _of_records(self, log: Log, ends: dict[int, int]) -> list[Finding]:
        """Compare the log's clock with ours, by its newest record: one from the future tells that a clock is wrong."""
        newest = [
            record.at
            for partition, end in ends.items()
            if end > await log.begin(partition)
            for record in await log.read(partition, end - 1, max_records=1)
        ]
        if not newest:
            return []
        age_ms = self._clock.now() - max(newest)
        if age_ms < -judge.SKEW_WARNING_MS:
            return [judge.of_clock("clocks", "the log's newest record", age_ms)]
        return [ok("clocks", f"the log's newest record is {judge.seconds(max(0, age_ms))} old")]

    async def _of_halted(
        self, log: Log, before: dict[int, HeldLease], after: Sequence[HeldLease], ends: dict[int, int]
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


async def _settled(check: Check) -> Sequence[Finding]:
    """Return what *check* finds; when something is wrong, what it finds a little later."""
    found = await check()
    if any(each.state == "wrong" for each in found):
        await asyncio.sleep(AGAIN_S)
        found = await check()
    return found


async def _bounded(name: str, check: Check) -> Sequence[Finding]:
    """Return what *check* finds; what goes wrong with it is a finding."""
    try:
        async with asyncio.timeout(CHECK_S):
            return await check()
    except TimeoutError:
        return [wrong(name, f"no answer within {CHECK_S:g} s", "is it overloaded, frozen, or cut off?")]
    except (StartError, SettingsError, StoreUnavailable, LogError, OSError) as error:
        return [wrong(name, str(error) or type(error).__name__, "mend what the line names; the services need it, too")]
    except Exception as error:  # noqa: BLE001 - a check that fails must not hide the others
        return [
            wrong(name, f"could not be looked at: {type(error).__name__}: {error}"[:200], "look at the findings above")
        ]


__all__ = ["MEANING", "NAME", "TEXT", "Doctor", "arguments", "run"]
