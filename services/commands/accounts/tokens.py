"""`fliq tokens`: make, list and revoke API tokens without having one."""

from __future__ import annotations

import argparse
from typing import Final

from libs.runtime.clock import SystemClock, SystemEntropy
from libs.runtime.settings.settings import Settings
from libs.store.control.accounts import TOKENS_MAX, Accounts, Token
from services.api.contract.token_text import ALL_SCOPES, SCOPES, new_token, token_hash
from services.commands.access import opened
from services.commands.log.lines import instant
from services.commands.option_values import account, scopes
from services.commands.output import answer, answer_json, answer_rows
from services.process.keys.bootstrap_tokens import DEFAULT_ACCOUNT, installation_key
from services.start_error import StartError

NAME: Final = "tokens"
MEANING: Final = "make, list and revoke API tokens, also when the only one is lost"
TEXT: Final = f"""\
Make, list and revoke the API tokens of an account. A token is shown once, when it is made: the tables keep a hash of it.

    fliq tokens create --account default                    a new token that may read and write
    fliq tokens create --account default --scopes read      one that may only look
    fliq tokens create --scopes read:jobs,write:jobs        one that works with jobs, and sees no header, body or secret
    fliq tokens list --account default                      ids, names, scopes and the last four characters
    fliq tokens revoke --account default tok_0123456789     refuse it, and the tokens that it made, within 5 s on every replica

{chr(10).join(f"    {name:<16}{meaning}" for name, meaning in SCOPES.items())}

This needs the database, not a token. Services that run need no restart.

exit codes: 0 done, 1 failed, or there is no such account or token, 2 wrong usage or settings
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    does = parser.add_subparsers(dest="does", required=True, metavar="create | list | revoke")
    create = does.add_parser("create", help="make a token and show it")
    listing = does.add_parser("list", help="list the tokens that are not revoked")
    revoke = does.add_parser("revoke", help="refuse a token from now on")
    for each in (create, listing, revoke):
        each.add_argument("--account", type=account, default=DEFAULT_ACCOUNT, metavar="NAME", help="whose [default]")
    create.add_argument(
        "--name", default="operator", metavar="TEXT", help="what it is for, as lists show it [operator]"
    )
    create.add_argument(
        "--scopes",
        type=scopes,
        default=frozenset(ALL_SCOPES),
        metavar="LIST",
        help="a comma list of the scopes above [read,write]",
    )
    for each in (create, listing):
        each.add_argument("--json", action="store_true", help="answer as one JSON document")
    revoke.add_argument("token_id", metavar="ID", help="as `fliq tokens list` shows it: tok_...")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Make a token, list those of an account, or revoke one."""
    async with opened(settings) as access:
        await access.check_schema()
        accounts = Accounts(await access.tables())
        known = [each.name for each in await accounts.all()]
        if args.account not in known:
            names = ", ".join(known) or "none"
            raise StartError(
                f"there is no account {args.account} (there are: {names}): `fliq accounts create` makes one"
            )
        match args.does:
            case "create":
                await _create(args, settings, accounts)
            case "list":
                rows = [_shown(token) for token in await accounts.tokens(args.account)]
                answer_rows(rows, ("id", "name", "scopes", "last four", "created"), as_json=args.json)
            case _:
                revoked = await accounts.revoke(args.account, args.token_id)
                if args.token_id not in revoked:
                    raise StartError(f"the account {args.account} has no valid token {args.token_id}")
                also = sorted({*revoked} - {args.token_id})
                answer(
                    f"revoked {args.token_id}" + (f" and the tokens that it made: {', '.join(also)}" if also else "")
                )
        return 0


async def _create(args: argparse.Namespace, settings: Settings, accounts: Accounts) -> None:
    entropy = SystemEntropy().entropy
    secret = new_token(entropy)
    token = Token(
        token_id="tok_" + entropy(10).hex(),
        account=args.account,
        name=args.name,
        scopes=args.scopes,
        last_four=secret[-4:],
        created_at=SystemClock().now(),
    )
    if not await accounts.add_token(token, token_hash(await installation_key(settings.secret_key, accounts), secret)):
        raise StartError(f"the account {args.account} has {TOKENS_MAX:,} tokens already: revoke those it needs no more")
    if args.json:
        answer_json(_shown(token) | {"token": secret})
    else:
        answer(f"API token {token.token_id} of account {args.account}, shown this once:\n\n    {secret}\n")


def _shown(token: Token) -> dict[str, object]:
    return {
        "id": token.token_id,
        "name": token.name,
        "scopes": ",".join(sorted(token.scopes)),
        "last_four": token.last_four,
        "created_at": instant(token.created_at),
        "expires_at": None if token.expires_at is None else instant(token.expires_at),
        "parent": token.parent,
    }
