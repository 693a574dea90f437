"""
Commands: what an operator asks for, one file each.

Every module here has

    NAME, MEANING   the word after `fliq`, and one line for the list of commands
    TEXT            its own help, worth reading
    arguments(parser)            adds its options
    async run(args, settings)    does it; returns the exit code

and is listed in COMMANDS. A command that only looks must not migrate, claim or lock anything. What it prints on standard
output is its answer (`--json` where somebody may want to read it by a program); progress and complaints go to standard error.
"""

from __future__ import annotations

import argparse
from typing import Final, Protocol

from libs.runtime.settings.settings import Settings
from services.commands import doctor, drain, log, migrate, partitions, rebuild, verify


class Command(Protocol):
    """One of the modules of this room."""

    NAME: str
    MEANING: str
    TEXT: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""

    async def run(self, args: argparse.Namespace, settings: Settings) -> int:
        """Do it; returns the exit code. Raises `StartError` or `SettingsError` with one line."""


COMMANDS: Final[tuple[Command, ...]] = (doctor, partitions, drain, migrate, verify, rebuild, log)
