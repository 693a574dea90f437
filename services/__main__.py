"""
The command `fliq`: one word says which services this process runs.

    fliq all          every service in one process
    fliq api          ... or one at a time, each as often as needed

The client's distribution has a script `fliq`, too, for users: jobs, schedules, failures. Both may be installed, in any order: each
does its own commands, and looks for every other word among the entry points of the group `fliq.commands`.
"""

from __future__ import annotations

import sys

try:
    from libs.runtime.curves import offer_curves_only

    offer_curves_only()  # before asyncio, which imports ssl

    import argparse
    import asyncio
    import inspect
    import os
    from collections.abc import Callable, Sequence
    from importlib import import_module
    from typing import TYPE_CHECKING, Any

    from libs.runtime.telemetry.lean_structlog import import_structlog

    import_structlog()  # before anything that imports it

    from libs.runtime.garbage import hold_off
    from libs.runtime.roles import ALL, CONSOLE
    from libs.runtime.settings.settings import Settings, SettingsError, help_text
    from services import VERSION
    from services.api.contract.token_text import is_well_formed
    from services.commands.output import CLOSED_CODE, OutputClosed, OutputFailed, open_standard_files
    from services.dev.server import command_line as dev
    from services.embedded_database import begin_database
    from services.start_error import StartError
except KeyboardInterrupt:  # people press Ctrl-C within the tenths of a second that imports take
    sys.exit(130)

if TYPE_CHECKING:
    from services.commands.registry import Command

DESCRIPTION = """\
Fliq makes an HTTP call at the instant you choose, or on a cron schedule. It retries calls that fail, signs them,
and reports the end of a job by a webhook. One log holds every request and every decision; the tables are computed from it.
"""

EXAMPLES = """\
examples:
  fliq all                                        everything in this process, PostgreSQL included
  FLIQ_DATABASE_URL=postgresql://... fliq api     one service, on your PostgreSQL; start the others likewise
  FLIQ_PORT=8000 FLIQ_DATA_DIR=/var/lib/fliq fliq all
  fliq doctor                                     what is wrong, and what to do
  fliq verify                                     compare the tables with the log, row for row
  fliq log dump --job job_01h...                  what happened to a job, from the log itself

`fliq jobs`, `fliq schedules`, `fliq failures` and `fliq login` come with the client: pip install './clients/python[cli]'

Ctrl-C or SIGTERM drains: no new calls are begun, and calls under way end and are recorded. A second one ends it at once.
exit codes: 0 stopped as asked, 1 failed or something is wrong, 2 wrong usage or settings; `fliq COMMAND --help` says more
"""

ALL_TEXT = """\
Run every service in this process: the scheduler, the dispatcher, the webhooks service, the API, and the console at /console.

Without FLIQ_DATABASE_URL it starts a PostgreSQL of its own, in FLIQ_DATA_DIR. At the first start it prints an API token and
an example that can be pasted into a shell. Calls go to public addresses only, unless FLIQ_EGRESS_ALLOW names others.
"""

DEV = "dev"

MEANINGS = {
    "all": "run every service in this process",
    "api": "take requests: write them to the log, answer reads from the tables",
    "scheduler": "decide what is due, and what follows when a call has ended",
    "dispatcher": "make the calls that are due, and write their outcomes to the log",
    "webhooks": "tell callers how their jobs ended",
    "console": "show jobs and schedules in a browser, by the public API",
    DEV: "run a Fliq for development, on a temporary database",
}


def _other_command(arguments: Sequence[str]) -> Callable[[Sequence[str]], int] | None:
    """Return what does the command, if another distribution brought it."""
    word = arguments[0] if arguments else "-"
    if word.startswith("-") or word in MEANINGS or any(word == command.NAME for command in _commands()):
        return None
    from importlib.metadata import entry_points  # it costs what only another distribution's word should cost

    for found in entry_points(group="fliq.commands", name=word):
        main_of_other: Callable[[Sequence[str]], int] = found.load()
        return main_of_other
    return None


def build_parser(*, is_service: bool = False) -> argparse.ArgumentParser:
    """
    Return the parser of the command line; a service's own help is its card, the text of its package.

    Args:
        is_service: a service is to be run, so the commands of an operator are left out, whose imports take their time.
    """
    parser = argparse.ArgumentParser(
        prog="fliq",
        description=DESCRIPTION,
        epilog=EXAMPLES + "\n" + help_text(),
        formatter_class=_layout,
    )
    parser.add_argument("--version", action="version", version=f"fliq {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command", title="commands")
    texts = {"all": ALL_TEXT, DEV: dev.TEXT} | {role: _card(role) for role in ALL}
    for name, meaning in MEANINGS.items():
        added = _add(commands, name, meaning, texts[name])
        if name == DEV:
            dev.arguments(added)
    for command in () if is_service else _commands():
        command.arguments(_add(commands, command.NAME, command.MEANING, command.TEXT))
    return parser


def _add(commands: Any, name: str, meaning: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=meaning,
        description=text,
        epilog="`fliq --help` lists the settings; all are environment variables.",
        formatter_class=_layout,
    )
    return parser


def _card(role: str) -> str:
    """Return the card of a service with what it takes to run it alone."""
    card = inspect.cleandoc(import_module(f"services.{role}").__doc__ or "")
    if role == CONSOLE:
        return (
            f"{card}\n\nNeeds FLIQ_API_URL, where the API is, and no database. It listens on FLIQ_PORT, and its pages begin at"
            " FLIQ_CONSOLE_PATH.\nAs many as you like may run if all have the same FLIQ_SECRET_KEY."
        )
    many = "any of them may answer" if role == "api" else "they share the partitions"
    return (
        f"{card}\n\nNeeds FLIQ_DATABASE_URL, the database that the other services use. As many as you like may run"
        f" ({many}); on one machine each\nneeds a FLIQ_ADMIN_PORT of its own."
    )


def _layout(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=16, width=110)


def _commands() -> tuple[Command, ...]:
    from services.commands.registry import COMMANDS

    return COMMANDS


def _serve(settings: Settings, roles: Sequence[str]) -> int:
    """Run a service or all; the embedded PostgreSQL starts while the rest of Fliq is imported."""
    embedded = begin_database(settings) if roles == ALL else None
    try:
        hold_off()
        import uvloop

        if roles == (CONSOLE,):
            from services.process.console import run_console

            return uvloop.run(run_console(settings))
        from services.process.run import run_services

        return uvloop.run(run_services(settings, roles, embedded))
    finally:
        if embedded is not None:
            embedded.stop()


def _develop(args: argparse.Namespace) -> int:
    """Run a dev server; its PostgreSQL is made while the rest of Fliq is imported."""
    from services.dev.server.place import begun

    with begun(args, os.environ) as place:
        hold_off()
        import uvloop

        from services.dev.server.run import run_dev

        return uvloop.run(run_dev(args, place))


def _operate(args: argparse.Namespace, settings: Settings) -> int:
    import uvloop

    command = next(each for each in _commands() if args.command == each.NAME)
    return uvloop.run(command.run(args, settings))


def _refused(error: Exception, code: int) -> int:
    """Say what is wrong, after all that was logged: it is the last line that a person reads."""
    from libs.runtime.telemetry import logging

    logging.flush()
    sys.stderr.write(f"fliq: {error}\n")
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    try:
        open_standard_files()
        arguments = sys.argv[1:] if arguments is None else arguments
        if (other := _other_command(arguments)) is not None:
            return other(arguments)
        args = build_parser(is_service=next(iter(arguments), None) in MEANINGS).parse_args(arguments)
        if args.command == DEV:
            return _develop(args)
        roles = ALL if args.command == "all" else (args.command,) if args.command in ALL else None
        settings = Settings.from_env(os.environ, is_token=is_well_formed, roles=roles)
        return _operate(args, settings) if roles is None else _serve(settings, roles)
    except SettingsError as error:
        return _refused(error, 2)
    except (StartError, OutputFailed) as error:
        return _refused(error, 1)
    except OutputClosed:
        return CLOSED_CODE
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    sys.exit(main())
