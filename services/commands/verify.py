"""`fliq verify`: the tables against the log."""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack
from typing import Final

from libs.runtime import logging
from libs.runtime.config import Settings
from libs.store.verify import differences
from services.parts import ROLES, Parts

NAME: Final = "verify"
MEANING: Final = "compare the tables with the log, row for row; exit 1 on a difference"
TEXT: Final = """\
Fold the log from its beginning and compare the result with every row of the tables, in one snapshot.

Prints a line for each difference and exits 1 when there is one. It only reads; with FLIQ_DATABASE_URL it may run
beside the services, with the embedded PostgreSQL while `fliq all` is stopped.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options: none yet."""


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Compare; prints every difference and returns 1 when there is one."""
    logging.configure("warning", settings.log_format)
    async with AsyncExitStack() as stack:
        parts = Parts(settings, ROLES)
        await parts.open(stack)
        found = await differences(parts.log, parts.tables_pool)
        for line in found:
            print(line)  # noqa: T201 - the command's answer
        print(f"{len(found)} differences" if found else "the tables are the fold of the log")  # noqa: T201
        return 1 if found else 0
