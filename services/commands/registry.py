"""
Registry: the commands of an operator.

Every module that is listed has

    NAME, MEANING   the word after `fliq`, and one line for the list of commands
    TEXT            its help
    arguments(parser)            adds its options
    async run(args, settings)    does it; returns the exit code

A command that only reads must not migrate, claim or lock anything. Standard output is its answer, with
`--json` for programs; progress and errors go to standard error.
"""

from __future__ import annotations

import argparse
from typing import Final, Protocol

from libs.runtime.settings.settings import Settings
from services.commands import doctor, drain, log, migrate, partitions, rebuild, retention, verify
from services.commands.accounts import accounts, keys, tokens


class Command(Protocol):
    """One of the modules of this room."""

    NAME: str
    MEANING: str
    TEXT: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""

    async def run(self, args: argparse.Namespace, settings: Settings) -> int:
        """Do it; returns the exit code. Raises `StartError` or `SettingsError` with one line."""


COMMANDS: Final[tuple[Command, ...]] = (
    doctor,
    tokens,
    accounts,
    partitions,
    drain,
    retention,
    keys,
    migrate,
    verify,
    rebuild,
    log,
)
