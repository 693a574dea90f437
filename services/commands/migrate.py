"""`fliq migrate`: the log and the tables as this build needs them."""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack
from typing import Final

from libs.runtime.settings.settings import Settings
from libs.store.schema.log_identity import database_name
from libs.store.schema.migrate import Schema, inspect_schema
from libs.store.schema.service_roles import make_roles
from services.commands.access import opened
from services.commands.output import answer, answer_json, progress
from services.process.open_log import log_partitions, open_log, prepare_tables

NAME: Final = "migrate"
MEANING: Final = "make or extend the log and the tables for this build; --check only says whether that is needed"
TEXT: Final = """\
Create the log (Kafka's topic, or its tables) if there is none, and bring the tables up to this build's schema.

Every service does this at its start. Run it by itself if services may not change a schema, or before a rollout
(Kubernetes: a Job). It is safe beside running services and beside another migration, and may be killed at any moment: each
step is a transaction, and the next run goes on where this one ended. If older builds cannot work with a step, its first line
says so ("contract"); they refuse to start afterwards, in one line.

--roles makes a role for each service that has no more rights than the service uses, and gives these rights anew. The roles
cannot log in: grant each to the login of its service (`GRANT fliq_api TO ...`). It needs a role that owns the tables and may
make roles (CREATEROLE).

exit codes: 0 nothing left to do, 1 failed, 2 wrong usage or settings, 3 --check found that something is to be done
"""
NEEDED: Final = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--check", action="store_true", help="only say what there is to do; exit 3 when there is something"
    )
    parser.add_argument(
        "--roles",
        action="store_true",
        help="also make a role of the database for each service (fliq_api, fliq_scheduler, fliq_dispatcher, fliq_webhooks)"
        " with the rights it needs and no login",
    )
    parser.add_argument("--json", action="store_true", help="answer as one JSON document")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Migrate, or say what that would do."""
    async with opened(settings) as access, AsyncExitStack() as stack:
        if args.check:
            return await _check(args, settings, access.dsn)
        log = await open_log(settings, access.dsn, stack)
        partitions = await log.partitions()
        done = await prepare_tables(log, access.dsn, lambda step: progress(f"applied {step.name}"))
        schema = await inspect_schema(access.dsn)
        roles = []
        if args.roles:
            await database_name(access.dsn)  # made here, because the services' roles may only read it
            roles = await make_roles(access.dsn)
    if args.json:
        answer_json(_facts(schema, partitions) | {"applied": [step.name for step in done], "roles": roles})
    else:
        answer(f"the tables are at schema {schema.version}, the log has {partitions} partitions")
        if roles:
            answer(f"roles with the rights of their services: {', '.join(roles)}")
    return 0


async def _check(args: argparse.Namespace, settings: Settings, dsn: str) -> int:
    schema = await inspect_schema(dsn)
    schema.check()
    partitions = await log_partitions(settings, dsn)
    is_needed = bool(schema.pending) or partitions is None or schema.partitions < partitions
    if args.json:
        answer_json(_facts(schema, partitions) | {"needed": is_needed})
    elif is_needed:
        answer(f"the tables are at schema {schema.version}; to be done:")
        if partitions is None:
            answer("  make the log")
        for step in schema.pending:
            answer(
                f"  {step.name} ({'expand' if step.is_expand else 'contract: older builds refuse to start afterwards'})"
            )
        if partitions is not None and schema.partitions < partitions:
            answer(f"  rows of partitions {schema.partitions} to {partitions - 1}")
    else:
        answer(f"the tables are at schema {schema.version}, nothing is to be done")
    return NEEDED if is_needed else 0


def _facts(schema: Schema, partitions: int | None) -> dict[str, object]:
    return {
        "schema": schema.version,
        "pending": [step.name for step in schema.pending],
        "newer": [number for number, _ in schema.unknown],
        "partitions": partitions,
    }
