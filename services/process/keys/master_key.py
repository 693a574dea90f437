"""
Sealing at the start: which master key file this process uses, and whether it is the one of the installation.

    embedded PostgreSQL          `master.key` in FLIQ_DATA_DIR, made by the first start, unless FLIQ_MASTER_KEY_FILE names another
    a database of the operator   FLIQ_MASTER_KEY_FILE; without it nothing is sealed, unless something was already
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from libs.runtime.clock import Entropy, SteadyClock
from libs.runtime.settings.settings import Settings
from libs.sealing.data_key import KEY_BYTES
from libs.sealing.keyring import Keyring
from libs.sealing.master_key_file import UnusableKeyFile, read_master_keys, write_master_keys
from libs.sealing.master_keys import MasterKeys
from libs.store.control.account_keys import AccountKeys
from libs.store.errors import StoreUnavailable
from libs.store.pool import connected
from services.start_error import StartError

FILE_NAME: Final = "master.key"
SEALERS: Final = ("api", "webhooks")  # the roles that append what is sealed
READERS: Final = ("api", "dispatcher", "webhooks")  # the roles that open it


def master_key_path(settings: Settings) -> Path | None:
    """Return the file that holds the master key, whether it is there or not; None if nothing is to be sealed."""
    if settings.master_key_file is not None:
        return settings.master_key_file
    return settings.data_dir / FILE_NAME if settings.database_url is None else None


async def prepare_sealing(settings: Settings, roles: Sequence[str], keys: AccountKeys, entropy: Entropy) -> Path | None:
    """
    Return the master key file of this installation, and make the one of an embedded PostgreSQL; None if nothing is sealed.

    Raises:
        StartError: the file is missing, cannot be used, or is not that of the installation.
        StoreUnavailable: the database does not answer.
    """
    if not {*roles} & {*READERS}:
        return None
    path, used_id = master_key_path(settings), await keys.master_id()
    if path is None:
        if used_id is None:
            return None
        raise StartError(
            "FLIQ_MASTER_KEY_FILE is not set, but what jobs carry is sealed in this database: name the file with the master key"
            f" {used_id}"
        )
    if not path.exists() and settings.master_key_file is None:
        if used_id is not None:
            raise StartError(
                f"{path} is missing: put the file with the master key {used_id} back from your backup; without it nothing opens"
                " what jobs carry"
            )
        write_master_keys(path, MasterKeys((entropy.entropy(KEY_BYTES),)))
    master = _read(path)
    if used_id is None and {*roles} & {*SEALERS}:
        used_id = await keys.begin(master.master_id)
    if used_id is not None and used_id not in master.ids:
        raise StartError(
            f"FLIQ_MASTER_KEY_FILE: {path} does not hold the master key {used_id} of this installation: put the right file there"
        )
    return path


async def embedded_key_file(settings: Settings, dsn: str, entropy: Entropy) -> Path:
    """
    Return the master key file for separate processes on an embedded PostgreSQL; make it if nothing is sealed there yet.

    Raises:
        StoreUnavailable: the database *dsn* does not answer.
    """
    path = settings.master_key_file or (settings.data_dir / FILE_NAME).absolute()
    if not path.exists() and settings.master_key_file is None:
        async with connected(dsn, "keys") as connection:
            has_table = await connection.fetchval("SELECT to_regclass('fliq.master_key') IS NOT NULL")
            if not has_table or not await connection.fetchval("SELECT EXISTS (SELECT FROM master_key)"):
                write_master_keys(path, MasterKeys((entropy.entropy(KEY_BYTES),)))
    return path


def keyring(path: Path | None, pool: Any, entropy: Entropy, clock: SteadyClock) -> Keyring:
    """Return a keyring that asks *pool* for keys, under the master keys of the file *path*."""
    read = None if path is None else partial(read_master_keys, path)
    return Keyring(read, AccountKeys(pool), entropy=entropy.entropy, steady=clock.steady, away=StoreUnavailable)


def _read(path: Path) -> MasterKeys:
    try:
        return read_master_keys(path)
    except UnusableKeyFile as error:
        raise StartError(f"FLIQ_MASTER_KEY_FILE: {error}") from None
