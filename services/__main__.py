"""
The command `fliq`: one word says which services this process runs.

    fliq all          every service in one process
    fliq api          ... or one at a time, each as often as needed
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

import uvloop

from libs.runtime.config import Settings, SettingsError, help_text
from services import VERSION
from services.api.auth import is_well_formed
from services.wiring import ROLES, StartError, run_services, run_verify

DESCRIPTION = """\
Fliq calls a URL at a time: one-shot jobs and cron schedules, retries, signed calls, a webhook at the end.
Everything that is asked for and decided stands in one log; the tables are a fold of it.
"""

EXAMPLES = """\
examples:
  fliq all                                   all services in this process, on the embedded PostgreSQL
  FLIQ_DATABASE_URL=postgresql://... fliq api          one service, on your PostgreSQL
  fliq verify                                compare the tables with the log, row for row

exit codes: 0 stopped as asked · 1 failed, or `verify` found a difference · 2 wrong usage or settings
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="fliq",
        description=DESCRIPTION,
        epilog=EXAMPLES + "\n" + help_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fliq {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    meanings = {
        "all": "run every service in this process",
        "api": "take requests: command -> log, query -> tables",
        "scheduler": "decide what is due: log -> timer wheel -> due",
        "dispatcher": "make the calls: due -> HTTP -> outcome",
        "webhooks": "report the end: terminal -> webhook",
    }
    for role, meaning in meanings.items():
        commands.add_parser(role, help=meaning, description=meaning)
    commands.add_parser("verify", help="compare the tables with the log, row for row; exit 1 on a difference")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    command = build_parser().parse_args(arguments).command
    try:
        settings = Settings.from_env(os.environ, is_token=is_well_formed)
        if command == "verify":
            return uvloop.run(run_verify(settings))
        roles = ROLES if command == "all" else (command,)
        return uvloop.run(run_services(settings, roles))
    except SettingsError as error:
        sys.stderr.write(f"fliq: {error}\n")
        return 2
    except StartError as error:
        sys.stderr.write(f"fliq: {error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    sys.exit(main())
