"""
Entrance: the script `fliq` of this distribution.

The server's distribution has a script of the same name. Both may be installed into one environment, in any order: each does its own
commands, and looks for every other word among the entry points of the group `fliq.commands`, where each distribution names its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Final

from fliq_client.cli import completion, exits, failures, jobs, login, manifests, schedules
from fliq_client.cli.events import listen, tail
from fliq_client.cli.parsing import Parser
from fliq_client.cli.profiles import chosen
from fliq_client.cli.session import Session, is_interactive
from fliq_client.client import Fliq
from fliq_client.errors import FliqError
from fliq_client.version import __version__

WORDS: Final = (
    *("jobs", "schedules", "failures", "events", "listen", "apply", "diff", "export"),
    *("login", "logout", "completion"),
)

DESCRIPTION: Final = """\
Jobs and schedules of a Fliq, from a shell.

  fliq login http://127.0.0.1:8080                            once
  fliq jobs create https://example.com/charge --in 15m
  fliq failures                                               what failed, in groups that failed alike
  fliq jobs replay job_01h...
  fliq events tail                                            what happens, as it happens
  fliq diff -f schedules.yaml; fliq apply -f schedules.yaml   schedules as code
"""


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(prog="fliq", description=DESCRIPTION, epilog=exits.MEANING + _others_named())
    parser.add_argument("--version", action="version", version=f"fliq-client {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="command", title="commands", parser_class=Parser
    )
    for each in (jobs, schedules, failures, tail, listen, manifests, login):
        each.add(commands)
    completion.add(commands, parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and not arguments[0].startswith("-") and arguments[0] not in WORDS:
        for found in entry_points(group="fliq.commands", name=arguments[0]):
            return int(found.load()(arguments))
    args, unknown = build_parser().parse_known_args(arguments)
    if unknown:
        args.parser.error(
            f"unrecognized arguments: {' '.join(unknown)}"
        )  # of the command, whose help says what there is
    session = Session(
        lambda: _connected(args.profile), as_json=args.as_json, may_ask=is_interactive() and not args.no_input
    )
    try:
        code = int(args.does(args, session))
        sys.stdout.flush()
        return code
    except exits.UsageError as error:
        return _said(str(error), exits.USAGE)
    except exits.Declined as error:
        return _said(str(error), exits.FAILED)
    except FliqError as error:
        return _said(str(error), exits.exit_code(error))
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # so that the interpreter's last flush goes nowhere
        return exits.CLOSED
    finally:
        session.close()


def _connected(profile: str | None) -> Fliq:
    found = chosen(profile, os.environ)
    try:
        return Fliq(found.url, found.token)
    except ValueError as error:
        raise exits.UsageError(str(error)) from None


def _said(text: str, code: int) -> int:
    sys.stderr.write(f"fliq: {text}\n")
    return code


def _others_named() -> str:
    """Name the commands that other distributions bring, such as the server's."""
    names = sorted({found.name for found in entry_points(group="fliq.commands")} - set(WORDS))
    return f"\nalso installed here: {', '.join(names)}\n" if names else ""
