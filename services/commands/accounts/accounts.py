"""`fliq accounts`: who uses this installation; and one more."""

from __future__ import annotations

import argparse
from typing import Final

from libs.egress.signing import new_secret
from libs.runtime.clock import SystemEntropy
from libs.runtime.settings.settings import Settings
from libs.store.control.accounts import Accounts
from services.commands.access import opened
from services.commands.log.lines import instant
from services.commands.option_values import account
from services.commands.output import answer, answer_rows
from services.process.start_error import StartError

NAME: Final = "accounts"
MEANING: Final = "list the accounts; `create NAME` makes one"
TEXT: Final = """\
An account owns jobs, schedules, tokens and signing secrets, and sees nothing of any other account.

    fliq accounts list            each account, since when, and how many tokens it has
    fliq accounts create billing  make the account `billing`, with a signing secret of its own

A new account has no token yet: `fliq tokens create --account billing` makes one. Services that run need no restart.

exit codes: 0 done, 1 failed, or the account is there already, 2 wrong usage or settings
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    does = parser.add_subparsers(dest="does", required=True, metavar="list | create")
    listing = does.add_parser("list", help="list the accounts")
    listing.add_argument("--json", action="store_true", help="answer as one JSON document")
    create = does.add_parser("create", help="make an account")
    create.add_argument(
        "name", type=account, metavar="NAME", help="1 to 64 letters, digits, dots, hyphens, underscores"
    )


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """List the accounts, or make one."""
    async with opened(settings) as access:
        await access.check_schema()
        accounts = Accounts(await access.tables())
        if args.does == "create":
            if not await accounts.ensure_account(args.name, new_secret(SystemEntropy().entropy(32))):
                raise StartError(f"the account {args.name} is there already")
            answer(f"made the account {args.name}; `fliq tokens create --account {args.name}` gives it a token")
            return 0
        rows = [
            {"account": each.name, "created_at": instant(each.created_at), "tokens": each.tokens}
            for each in await accounts.all()
        ]
        answer_rows(rows, ("account", "since", "tokens"), as_json=args.json)
        return 0
