"""
Profiles: where `fliq login` keeps addresses and tokens, so that no command has to name them.

    $XDG_CONFIG_HOME/fliq/profiles.json (~/.config), mode 0600: {"default": {"url": ..., "token": ...}, ...}

FLIQ_URL and FLIQ_TOKEN come before a profile that nobody named; `--profile` and FLIQ_PROFILE come before them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from fliq_client.cli.exits import UsageError

DEFAULT: Final = "default"
_OTHERS: Final = 0o077


class Profile(NamedTuple):
    """Where Fliq is, and the token for it."""

    url: str
    token: str


def place(environ: Mapping[str, str]) -> Path:
    """Return the file of the profiles."""
    config = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(config) if config.startswith("/") else Path(environ.get("HOME", "/")) / ".config"
    return folder / "fliq/profiles.json"


def load(path: Path) -> dict[str, Profile]:
    """Return the profiles by their names; raises UsageError if the file is broken, or others may read it."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise UsageError(f"others may read the tokens in {path}: run chmod 600 {path}")
            return msgspec.json.decode(file.read(), type=dict[str, Profile])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not a file of profiles: {error}; remove it and log in again") from None


def save(path: Path, profiles: Mapping[str, Profile]) -> None:
    """Replace the file of the profiles as a whole, readable by its owner alone; raises UsageError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:  # mkstemp's mode is 0600
            file.write(msgspec.json.format(msgspec.json.encode(profiles), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def chosen(name: str | None, environ: Mapping[str, str]) -> Profile:
    """
    Return what a command goes by: the profile *name*, else FLIQ_URL and FLIQ_TOKEN, else the profile `default`.

    Raises:
        UsageError: there is none, or no profile of this name.
    """
    name = name or environ.get("FLIQ_PROFILE") or None
    url, token = environ.get("FLIQ_URL", ""), environ.get("FLIQ_TOKEN", "")
    if name is None and url and token:
        return Profile(url, token)
    profiles = load(place(environ))
    if (found := profiles.get(name or DEFAULT)) is not None:
        return found
    if name is not None:
        known = ", ".join(sorted(profiles)) or "none yet"
        raise UsageError(f"there is no profile {name!r} (there is: {known}): run fliq login --profile {name}")
    missing = "FLIQ_TOKEN is" if url else "FLIQ_URL is" if token else "Fliq's address and a token are"
    raise UsageError(f"{missing} missing: run fliq login, or set both FLIQ_URL and FLIQ_TOKEN")
