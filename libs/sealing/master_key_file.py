"""Master key file: read with a look at who else may read it, and made with mode 0600."""

from __future__ import annotations

import os
from pathlib import Path

from libs.sealing.master_keys import MasterKeys, WrongMasterKeys


class UnusableKeyFile(Exception):
    """The file cannot be used; the message says why and what to do, and shows nothing of it."""


def read_master_keys(path: Path) -> MasterKeys:
    """Return the keys of the file; raises `UnusableKeyFile`."""
    try:
        mode = path.stat().st_mode
        if mode & 0o007:
            raise UnusableKeyFile(f"{path} can be used by everybody on this machine: chmod 600 it")
        return MasterKeys.parse(path.read_text(encoding="ascii"))
    except OSError as error:
        raise UnusableKeyFile(f"cannot read {path}: {error.strerror}") from None
    except (WrongMasterKeys, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, WrongMasterKeys) else "it is not text"
        raise UnusableKeyFile(f"{path} is no master key file: {reason}; `fliq keys new FILE` makes one") from None


def write_master_keys(path: Path, keys: MasterKeys) -> None:
    """Write the file, of mode 0600, in one step: a crash leaves the old one or the new one, on the disk."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(keys.text())
        file.flush()
        os.fsync(file.fileno())
    os.rename(beside, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
