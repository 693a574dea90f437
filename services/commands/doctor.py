"""`fliq doctor`: what is wrong, in plain words, and what to do."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
from contextlib import AsyncExitStack
from typing import Any, Final

from libs.runtime.clock import SystemClock
from libs.runtime.embedded_postgres import address as embedded_address
from libs.runtime.roles import ROLES as SERVICES
from libs.runtime.settings.settings import Settings, SettingsError, idle_names, unknown_names
from libs.runtime.settings.table import TABLE
from libs.runtime.telemetry import logging
from libs.store.control.account_keys import AccountKeys
from libs.store.control.stale_secrets import StaleSecrets
from libs.store.examination import findings as judge
from libs.store.examination.examination import CHECK_S, ORDER, Check, Examination, found_by, settled
from libs.store.examination.findings import Finding, ok, warning, wrong
from libs.store.health.database_report import DatabaseReport
from libs.store.leases.lease_report import LeaseReport
from libs.store.schema.log_identity import known_log
from libs.store.schema.migrate import inspect_schema
from services.commands.access import Access, opened
from services.commands.output import answer, answer_json
from services.commands.url_check import check_url
from services.process.keys.master_key import master_key_path
from services.process.open_log import LOG_CONNECTIONS, log_report
from services.process.pools import connections_max
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
    wrong     something does not work, or will be lost; the next line says what to do

    fliq doctor --url http://web:8000/     whether a job could call this URL: looked up and judged, never called

exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage or settings
"""
ADVICE_INDENT: Final = " " * 23
# Of `fliq all` with the log in PostgreSQL.
CONNECTIONS_MAX: Final = connections_max(SERVICES) + LOG_CONNECTIONS


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
            checks: dict[str, Check] = {"settings": self._of_settings}
            if access is not None:
                database = DatabaseReport(pool)
                shared = Examination(
                    database,
                    LeaseReport(pool),
                    now=self._clock.now,
                    daily_limit=self._settings.daily_execution_limit,
                    connections_max=CONNECTIONS_MAX,
                )
                checks |= {
                    "database": shared.of_server,
                    "schema": lambda: self._of_schema(access),
                    "log": lambda: self._of_log(access, shared),
                    "members": lambda: settled(shared.of_members),
                    "work": shared.of_work,
                    "sealing": lambda: self._of_sealing(pool, database),
                    "disk": lambda: self._of_disk(shared),
                }
            elif is_log_apart(self._settings):
                checks["log"] = self._of_topic
            found = await found_by(checks, also=(StartError, SettingsError))
        return found if reason is None else sorted([reason, *found], key=lambda each: ORDER.index(each.check))

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

    async def _of_schema(self, access: Access) -> list[Finding]:
        return judge.of_schema(await inspect_schema(access.dsn))

    async def _of_sealing(self, pool: Any, database: DatabaseReport) -> list[Finding]:
        path, keys = master_key_path(self._settings), AccountKeys(pool)
        file = None if path is None else str(path)
        clear = await StaleSecrets(pool).count_clear()
        return judge.of_sealing(file, await keys.master_id(), await keys.count(), await database.clear_specs(), clear)

    async def _of_disk(self, shared: Examination) -> list[Finding]:
        found = await shared.of_sizes()
        place = self._settings.data_dir.absolute()
        if self._settings.database_url is None and embedded_address.exists(place):
            usage = shutil.disk_usage(place)
            found.append(judge.of_disk(str(place), usage.free, usage.total))
        return found

    async def _of_topic(self) -> list[Finding]:
        return judge.of_log(await log_report(self._settings, ""))

    async def _of_log(self, access: Access, shared: Examination) -> list[Finding]:
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
            return [*found, *await shared.of_records(log), *await settled(lambda: shared.of_lags(log))]


__all__ = ["MEANING", "NAME", "TEXT", "Doctor", "arguments", "run"]
