"""`fliq accounts`: who uses this installation; and one more."""

from __future__ import annotations

import argparse
from typing import Any, Final

from libs.egress.signing import new_secret
from libs.runtime.clock import SteadyClock, SystemClock, SystemEntropy
from libs.runtime.settings.settings import Settings
from libs.sealing.keyring import AccountErased, KeysUnavailable
from libs.store.control.account_erasure import AccountRest
from libs.store.control.account_keys import AccountKeys
from libs.store.control.account_limits import LimitsTable, merged
from libs.store.control.accounts import Accounts
from libs.store.projection.progress import ProgressWatch
from services.commands.access import Access, opened
from services.commands.accounts.erase import erase
from services.commands.log.lines import instant
from services.commands.option_values import DEFAULT, account, limit
from services.commands.output import answer, answer_rows
from services.process.keys.master_key import keyring, prepare_sealing
from services.process.resources import limits_of_all
from services.start_error import StartError

NAME: Final = "accounts"
MEANING: Final = "list the accounts; make one; say what it may use"
TEXT: Final = """\
An account owns jobs, schedules, tokens and signing secrets, and sees nothing of any other account.

    fliq accounts list            each account, since when, and how many tokens it has
    fliq accounts create billing  make the account `billing`, with a signing secret of its own

    fliq accounts limits billing                             what it may use
    fliq accounts limits billing --executions-per-day 5000   change that; `off`: no limit, `default`: as the settings say

    fliq accounts erase billing --yes                        end all it has, and delete its keys: nobody can read it again

Erasing cancels the jobs of the account and deletes its schedules, endpoints, tokens and secrets, then the keys that sealed what its
jobs carry; log, tables and backups keep ciphertext that nothing opens. The services must run. The name cannot be used again.

A new account has no token yet: `fliq tokens create --account billing` makes one. Services that run need no restart: a limit holds
within five seconds.

exit codes: 0 done, 1 failed, or the account is there already, 2 wrong usage or settings
"""

# Limits of an account that an operator can set, by the names of `Limits`.
LIMITS: Final = {
    "requests_per_second": "requests to one API process",
    "connections": "connections to one API process",
    "waiting_jobs": "jobs that wait for their instant or for a retry",
    "stored_bytes": "bytes that these jobs send",
    "calls_per_second": "calls to one IP address; more wait",
    "executions_per_day": "executions in a UTC day; more wait for the next day",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    does = parser.add_subparsers(dest="does", required=True, metavar="list | create | limits | erase")
    listing = does.add_parser("list", help="list the accounts")
    listing.add_argument("--json", action="store_true", help="answer as one JSON document")
    create = does.add_parser("create", help="make an account")
    create.add_argument(
        "name", type=account, metavar="NAME", help="1 to 64 letters, digits, dots, hyphens, underscores"
    )
    limits = does.add_parser("limits", help="show what an account may use, and change it")
    limits.add_argument("name", type=account, metavar="NAME", help="whose")
    for name, meaning in LIMITS.items():
        option = f"--{name.replace('_', '-')}"
        limits.add_argument(option, dest=name, type=limit, metavar="N", help=f"{meaning}; or `off`, or `default`")
    limits.add_argument("--json", action="store_true", help="answer as one JSON document")
    erasing = does.add_parser("erase", help="end all that an account has, and delete its keys for ever")
    erasing.add_argument("name", type=account, metavar="NAME", help="whose")
    erasing.add_argument("--yes", action="store_true", help="do it: it cannot be undone")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """List the accounts, make one, or show and change what one may use."""
    async with opened(settings) as access:
        await access.check_schema()
        pool = await access.tables()
        accounts = Accounts(pool)
        if args.does == "limits":
            await _limits(args, settings, accounts, LimitsTable(pool))
            return 0
        if args.does == "erase":
            await _erase(args.name, access, pool, is_sure=args.yes)
            return 0
        if args.does == "create" and await accounts.is_erased(args.name):
            raise StartError(f"the account {args.name} was erased: its name cannot be used again")
        if args.does == "create":
            await _create(args.name, settings, pool)
            answer(f"made the account {args.name}; `fliq tokens create --account {args.name}` gives it a token")
            return 0
        rows = [
            {"account": each.name, "created_at": instant(each.created_at), "tokens": each.tokens}
            for each in await accounts.all()
        ]
        answer_rows(rows, ("account", "since", "tokens"), as_json=args.json)
        return 0


async def _create(name: str, settings: Settings, pool: Any) -> None:
    """Make the account, with a signing secret that is sealed as a start of the API would seal it."""
    entropy = SystemEntropy()
    path = await prepare_sealing(settings, ("api",), AccountKeys(pool), entropy)
    accounts = Accounts(pool, keyring(path, pool, entropy, SteadyClock()))
    try:
        is_new = await accounts.ensure_account(name, new_secret(entropy.entropy(32)))
    except KeysUnavailable as error:
        raise StartError(str(error)) from error
    except AccountErased:  # it was not, as the caller looked
        raise StartError(f"{path} does not begin with the master key that wraps: `fliq keys rewrap` first") from None
    if not is_new:
        raise StartError(f"the account {name} is there already")


async def _erase(name: str, access: Access, pool: Any, *, is_sure: bool) -> None:
    if not is_sure:
        raise StartError(f"`fliq accounts erase {name} --yes` deletes all that the account has; it cannot be undone")
    watch = ProgressWatch(pool)
    try:
        log = await access.log()
        count = await erase(
            name,
            log=log,
            rest=AccountRest(pool),
            accounts=Accounts(pool),
            keys=AccountKeys(pool),
            watch=watch,
            clock=SystemClock(),
        )
    finally:
        await watch.stop()
    answer(
        f"erased the account {name}: {count} data keys are deleted; delete older backups of the table account_keys, too"
    )


async def _limits(args: argparse.Namespace, settings: Settings, accounts: Accounts, table: LimitsTable) -> None:
    known = [each.name for each in await accounts.all()]
    if args.name not in known:
        raise StartError(f"there is no account {args.name} (there are: {', '.join(known) or 'none'})")
    own = await table.of(args.name)
    changed = {name: value for name in LIMITS if (value := getattr(args, name)) is not None}
    if changed:
        own |= {name: None if value == DEFAULT else value for name, value in changed.items()}
        await table.put(args.name, own)
    in_force = merged(limits_of_all(settings), own)
    rows = [
        {
            "limit": name.replace("_", " "),
            "value": getattr(in_force, name) or None,
            "from": "settings" if own[name] is None else "account",
        }
        for name in LIMITS
    ]
    answer_rows(rows, ("limit", "value", "set by"), as_json=args.json)
