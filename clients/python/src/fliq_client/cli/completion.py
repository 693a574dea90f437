"""Completion: `fliq completion bash | zsh | tcsh` prints what the shell needs to complete words and options."""

from __future__ import annotations

import argparse
from typing import Final

from fliq_client.cli.exits import OK, UsageError
from fliq_client.cli.parsing import Commands, Parser, word
from fliq_client.cli.session import Session

TEXT: Final = """\
  fliq completion bash > ~/.local/share/bash-completion/completions/fliq
  fliq completion zsh > "${fpath[1]}/_fliq"
"""


def add(commands: Commands, parser: Parser) -> None:
    """Describe `fliq completion`, for all that *parser* knows."""

    def does(args: argparse.Namespace, session: Session) -> int:
        try:
            import shtab
        except ImportError:
            raise UsageError("completion needs the package shtab: pip install 'fliq-client[cli]'") from None
        session.say(shtab.complete(parser, args.shell))
        return OK

    shells = word(commands, "completion", does, "print the completion of a shell", TEXT)
    shells.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="which shell")
