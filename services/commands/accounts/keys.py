"""`fliq keys`: the master key of what is sealed, and the data keys that it wraps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from libs.runtime.clock import SteadyClock, SystemEntropy
from libs.runtime.settings.settings import Settings
from libs.sealing.data_key import KEY_BYTES, NONCE_BYTES
from libs.sealing.keyring import KeysUnavailable
from libs.sealing.master_key_file import UnusableKeyFile, read_master_keys, write_master_keys
from libs.sealing.master_keys import MasterKeys, UnknownMasterKey, WrappedKey
from libs.store.control.account_keys import AccountKeys
from libs.store.control.stale_secrets import StaleSecrets
from services.commands.access import opened
from services.commands.option_values import account
from services.commands.output import answer, answer_json
from services.process.keys.master_key import keyring, master_key_path
from services.start_error import StartError

NAME: Final = "keys"
MEANING: Final = "show and replace the keys that seal what jobs carry"
TEXT: Final = """\
What jobs and webhook endpoints carry, and signing secrets, are sealed under a data key of their account. The data keys are in
the database, wrapped by the master key, which is a file: FLIQ_MASTER_KEY_FILE, or master.key in FLIQ_DATA_DIR with the embedded
PostgreSQL.

    fliq keys show                      the master key that wraps, and how many data keys there are
    fliq keys new FILE                  make a file with a new master key
    fliq keys rotate-master             replace the master key: new one first in the file, wrap all data keys anew, drop the old one
    fliq keys rewrap                    only the second step: wrap all data keys anew with the first key of the file
    fliq keys rotate --account NAME     a new data key for what is new of an account; without --account of all
    fliq keys seal                      seal the endpoints and secrets that are in clear or under an older data key

Services go on meanwhile, and need no restart. If each machine has its own copy of the file, put the new key in the first line of
every copy, run `fliq keys rewrap`, then take the old line out of every copy.

exit codes: 0 done, 1 failed, 2 wrong usage or settings
"""
PASSES_MAX: Final = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    does = parser.add_subparsers(
        dest="does", required=True, metavar="show | new | rotate-master | rewrap | rotate | seal"
    )
    show = does.add_parser("show", help="the master key that wraps, and how many data keys there are")
    show.add_argument("--json", action="store_true", help="answer as one JSON document")
    new = does.add_parser("new", help="make a file with a new master key")
    new.add_argument("file", type=Path, metavar="FILE", help="must not exist yet")
    does.add_parser("rotate-master", help="replace the master key")
    does.add_parser("rewrap", help="wrap all data keys with the first key of the file")
    rotate = does.add_parser("rotate", help="a new data key for what is new")
    rotate.add_argument("--account", type=account, metavar="NAME", help="of this account [of all]")
    does.add_parser("seal", help="seal endpoints and secrets under the newest data keys")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show or replace keys."""
    try:
        if args.does == "new":
            if args.file.exists():
                raise StartError(f"{args.file} exists already: a master key that is lost cannot be made again")
            write_master_keys(args.file, MasterKeys((SystemEntropy().entropy(KEY_BYTES),)))
            answer(f"made {args.file}; keep a copy of it apart from the backups of the database")
            return 0
        path = master_key_path(settings)
        if path is None:
            raise StartError("FLIQ_MASTER_KEY_FILE is not set: nothing is sealed here")
        async with opened(settings) as access:
            await access.check_schema()
            pool = await access.tables()
            if args.does == "seal":
                await _seal(path, pool)
            else:
                await _DOES[args.does](args, path, AccountKeys(pool))
    except (UnusableKeyFile, OSError) as error:
        raise StartError(f"FLIQ_MASTER_KEY_FILE: {error}") from error
    return 0


async def _show(args: argparse.Namespace, path: Path, keys: AccountKeys) -> None:
    used_id, count, master = await keys.master_id(), await keys.count(), read_master_keys(path)
    shown = {
        "file": str(path),
        "master_keys": list(master.ids),
        "wraps": used_id,
        "accounts": count.accounts,
        "data_keys": count.keys,
        "shredded": count.shredded,
    }
    if args.json:
        answer_json(shown)
        return
    answer(f"{path}: {', '.join(master.ids)}; data keys are wrapped by {used_id or 'none yet'}")
    answer(f"{count.keys} data keys of {count.accounts} accounts; {count.shredded} were deleted")


async def _rotate_master(_: argparse.Namespace, path: Path, keys: AccountKeys) -> None:
    write_master_keys(path, read_master_keys(path).after(SystemEntropy().entropy(KEY_BYTES)))
    count = await _rewrap_all(path, keys)
    write_master_keys(path, read_master_keys(path).first_alone())
    answer(f"{count} data keys are wrapped by the new master key {read_master_keys(path).master_id}; copy {path} anew")


async def _rewrap(_: argparse.Namespace, path: Path, keys: AccountKeys) -> None:
    count = await _rewrap_all(path, keys)
    answer(f"{count} data keys are wrapped by {read_master_keys(path).master_id}; the other lines of the file may go")


async def _rewrap_all(path: Path, keys: AccountKeys) -> int:
    master, entropy = read_master_keys(path), SystemEntropy().entropy

    def rewrapped(key: WrappedKey) -> WrappedKey:
        return master.wrap(key.key_id, key.account, master.unwrap(key), entropy(NONCE_BYTES))

    total = 0
    try:
        for _ in range(PASSES_MAX):
            count = await keys.rewrap(rewrapped, master.master_id)
            total += count
            if not count:
                break
    except UnknownMasterKey as error:
        raise StartError(
            f"{path} lacks the master key {error}, which wraps some data keys: nothing was changed"
        ) from None
    return total


async def _rotate(args: argparse.Namespace, path: Path, keys: AccountKeys) -> None:
    known, master, entropy = await keys.accounts(), read_master_keys(path), SystemEntropy().entropy
    if args.account is not None and args.account not in known:
        raise StartError(
            f"the account {args.account} has no data key (there are keys of: {', '.join(known) or 'none'})"
        )
    wanted = known if args.account is None else [args.account]
    for name in wanted:
        key = master.wrap(f"dk_{entropy(8).hex()}", name, entropy(KEY_BYTES), entropy(NONCE_BYTES))
        if not await keys.add(key):
            raise StartError(f"{path} does not hold the master key that wraps: `fliq keys rewrap` first")
    answer(f"{len(wanted)} accounts have a new data key; services use it within five minutes, `fliq keys seal` at once")


async def _seal(path: Path, pool: Any) -> None:
    used_id = await AccountKeys(pool).master_id()
    if used_id is None:
        raise StartError("nothing is sealed here yet: start the services with this master key first")
    if used_id != read_master_keys(path).master_id:
        raise StartError(f"{path} does not begin with the master key {used_id} that wraps: `fliq keys rewrap` first")
    try:
        sealed = await StaleSecrets(pool).seal(keyring(path, pool, SystemEntropy(), SteadyClock()))
    except KeysUnavailable as error:
        raise StartError(str(error)) from error
    answer(
        f"sealed {sealed.endpoints} webhook endpoints and {sealed.secrets} signing secrets under the newest data keys"
    )


_DOES: Final[dict[str, Any]] = {"show": _show, "rotate-master": _rotate_master, "rewrap": _rewrap, "rotate": _rotate}
