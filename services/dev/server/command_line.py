"""Command line: the options of `fliq dev`. Light, since every start of Fliq reads it."""

from __future__ import annotations

import argparse
from typing import Final

TEXT: Final = """\
Run a Fliq for development: everything in this process, on a temporary database that is deleted at the end. It listens on 127.0.0.1,
may call this machine, has the console, and prints an API token, the same at each start.

  fliq dev
  fliq dev --virtual-clock                        the clock stands still until you move it
  curl -X POST 127.0.0.1:8080/dev/clock/advance -H "Authorization: Bearer $TOKEN" -d '{"by": "P30D"}'

docs/development.md has the routes below /dev, and the pytest plugin.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--port", type=int, default=8080, help="where it listens on 127.0.0.1 (8080); 0 takes a free one"
    )
    parser.add_argument(
        "--virtual-clock",
        nargs="?",
        const="",
        metavar="INSTANT",
        help="stop the clock, at this instant or now; POST /dev/clock/advance moves it",
    )
    parser.add_argument("--json", action="store_true", help="print address and token as one line of JSON")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started it")
