"""Parsing: how commands describe their words and options to argparse."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from fliq_client.cli.exits import USAGE

if TYPE_CHECKING:
    from fliq_client.cli.session import Session

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Does: TypeAlias = "Callable[[argparse.Namespace, Session], int]"


class Parser(argparse.ArgumentParser):
    """A parser whose wrong usage is exit code 64, and whose help keeps its lines."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _layout)
        kwargs.setdefault("allow_abbrev", False)  # an option that comes later must not change what a script means
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and where its help is."""
        self.exit(USAGE, f"{self.prog}: {message}\nTry {self.prog} --help\n")


def group(commands: Commands, name: str, meaning: str, text: str) -> Commands:
    """Add a command that has words of its own; return what they are added to."""
    parser = commands.add_parser(name, help=meaning, description=text)
    return parser.add_subparsers(dest="word", required=True, metavar="command", title="commands", parser_class=Parser)


def word(commands: Commands, name: str, does: Does, meaning: str, text: str = "") -> argparse.ArgumentParser:
    """Add a word, or a command without words, that *does* something; return its parser."""
    first = f"{meaning[0].upper()}{meaning[1:]}."
    parser = commands.add_parser(name, help=meaning, description=f"{first}\n\n{text}" if text else first)
    parser.set_defaults(does=does, parser=parser)
    add_general_options(parser)
    return parser


def add_general_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes."""
    general = parser.add_argument_group("general")
    general.add_argument("--json", action="store_true", dest="as_json", help="print JSON, for programs")
    general.add_argument("--profile", metavar="NAME", help="which login (FLIQ_PROFILE, default)")
    general.add_argument("--no-input", action="store_true", help="never ask; fail where a person would be asked")


def add_label_option(parser: argparse.ArgumentParser) -> None:
    """Add the labels by which a list, or a stream, chooses."""
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="only what has this label; repeated: all of them",
    )


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Add what a command takes that follows the stream."""
    add_label_option(parser)
    parser.add_argument("--schedule-id", metavar="ID", help="only of this schedule and its jobs")
    parser.add_argument("-n", "--count", type=int, metavar="COUNT", help="stop after so many")


def add_call_options(parser: argparse.ArgumentParser) -> None:
    """Add what jobs and schedules have in common: what is called, and how."""
    call = parser.add_argument_group("the call")
    call.add_argument("--method", metavar="METHOD", help="POST unless given")
    call.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated")
    call.add_argument("--body", metavar="TEXT", help="what is sent")
    call.add_argument("--json-body", metavar="JSON", help="the same, with its Content-Type")
    call.add_argument("--max-retries", type=int, metavar="COUNT", help="how often a failed call is tried again")
    call.add_argument("--webhook", metavar="URL", help="receives a POST when the job has ended")
    add_set_option(call)


def add_set_option(parser: argparse._ActionsContainer) -> None:
    """Add the option that sets any field of the API."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field of the API, such as timeout_seconds=60; the value is JSON, or else a text",
    )


def _layout(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=28, width=110)
