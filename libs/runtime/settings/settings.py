"""
The settings: every `FLIQ_*` variable in one table, from which parsing, `--help` and docs/settings.md are made.

To add one: a field of `SettingValues` (`table.py`), and `make docs`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from libs.runtime.settings.table import TABLE, Setting, SettingValues

_HIDDEN = "***"
# Kubernetes describes every service to every pod with such variables; a service named fliq-api is not a typing error.
_SERVICE_LINK = re.compile(r"FLIQ_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)", re.ASCII)
_OWN_PREFIX = "FLIQ_"
_KAFKA_PREFIX = "FLIQ_KAFKA_"
_BROKERS = "FLIQ_KAFKA_BOOTSTRAP"
_TEST_PREFIX = "FLIQ_TEST_"  # read by our tests only
_MISSPELT = 0.85  # how like a setting an unknown name must be to be refused: FLIQ_PROT is, FLIQ_TOKEN is not


class SettingsError(ValueError):
    """A variable has a value that Fliq cannot use; the text is one line that begins with the variable's name."""


class Settings(SettingValues, frozen=True, kw_only=True):
    """The settings of this process; the fields are those of the table."""

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str],
        *,
        is_token: Callable[[str], bool] | None = None,
        roles: Sequence[str] | None = None,
    ) -> Self:
        """
        Read every setting. A variable that is set to nothing counts as unset, as compose files and charts write it.

        Args:
            is_token: says whether a bootstrap token is well formed (its checksum is not this room's business).
            roles: the roles of this process. A setting that none of them reads counts as unset. None reads all settings.

        Raises:
            SettingsError: the first wrong value, or a `FLIQ_*` name that looks like a misspelt setting.
        """
        _refuse_misspelt(environ)
        found: dict[str, Any] = {}
        for setting in TABLE:
            given = environ.get(setting.name, "").strip() if is_read_by(setting, roles) else ""
            text = given or setting.default
            try:
                found[setting.field] = None if text is None else setting.parse(text)
            except ValueError as error:
                shown = "the value" if setting.is_secret else _quoted(str(text))
                raise SettingsError(f"{setting.name}: {shown} {error}") from None
        settings = cls(**found)
        if settings.port == settings.admin_port:
            raise SettingsError(f"FLIQ_ADMIN_PORT: {settings.admin_port} is taken by FLIQ_PORT; each needs its own")
        for number, (account, token) in enumerate(settings.bootstrap_tokens or (), start=1):
            if is_token is not None and not is_token(token):
                raise SettingsError(
                    f"FLIQ_BOOTSTRAP_TOKENS: the token of account {account} (item {number}) is malformed"
                )
        return settings

    @property
    def partition_count(self) -> int:
        """How many partitions a new log gets."""
        return self.partitions or (64 if self.kafka_bootstrap else 4)

    def masked(self) -> dict[str, Any]:
        """The settings by variable name, fit for a log: secrets are only shown to be set."""
        shown: dict[str, Any] = {}
        for setting in TABLE:
            value = getattr(self, setting.field)
            if isinstance(value, Path):
                value = str(value)
            if value is not None and setting.field == "database_url":
                value = without_password(value)
            elif value is not None and setting.is_secret:
                value = _HIDDEN
            shown[setting.name] = value
        return shown

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.masked().items())})"

    def __rich_repr__(self) -> Any:
        yield from self.masked().items()


def without_password(url: str) -> str:
    """Return a database address with its password and its parameters (which may hold one) hidden."""
    parts = urlsplit(url)
    address = parts.netloc
    if "@" in address:
        credentials, _, place = address.rpartition("@")
        user, colon, _ = credentials.partition(":")
        address = f"{user}{colon + _HIDDEN if colon else ''}@{place}"
    # Not urlunsplit: it drops the empty host of an address that names a socket.
    return f"{parts.scheme}://{address}{parts.path}{'?' + _HIDDEN if parts.query else ''}"


def help_text() -> str:
    """The settings as `--help` shows them."""
    width = max(len(setting.name) for setting in TABLE)
    lines = ["Settings are environment variables:", ""]
    lines += [f"  {row.name:<{width}}  {row.meaning} [{_default_of(row)}]".replace("`", "") for row in TABLE]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The text of docs/settings.md."""
    rows = "\n".join(
        f"| `{row.name}` | {_default_of(row)} | {row.meaning} | {', '.join(row.roles) or 'all'} |" for row in TABLE
    )
    return (
        "# Settings\n\n"
        "Generated by `make docs` from `libs/runtime/settings/table.py`; a test fails when this page is stale.\n\n"
        "Fliq is set by environment variables. A variable set to nothing counts as unset. A wrong value, or a name\n"
        "that looks like a misspelt one of these, ends the start with one line that says so; other `FLIQ_*` names are ignored.\n\n"
        "The last column says which roles read a variable. Do not give it to other processes: they do not read it, and\n"
        "warn if it is set.\n\n"
        f"| Variable | Default | Meaning | Read by |\n|---|---|---|---|\n{rows}\n"
    )


def _default_of(row: Setting) -> str:
    return row.default if row.default is not None else f"unset: {row.unset}"


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    known = {setting.name for setting in TABLE}
    for name in unknown_names(environ):
        close = difflib.get_close_matches(name, known, n=1, cutoff=_MISSPELT)
        if close:
            raise SettingsError(f"{name}: there is no such setting; did you mean {close[0]}?")


def is_read_by(setting: Setting, roles: Sequence[str] | None) -> bool:
    """Whether a process with *roles* reads *setting*; None stands for an operator's command, which reads all."""
    return roles is None or not setting.roles or not {*setting.roles}.isdisjoint(roles)


def unread_names(environ: Mapping[str, str], roles: Sequence[str]) -> list[str]:
    """Return the settings that are set and that no process with *roles* reads: secrets that it need not be given."""
    return [row.name for row in TABLE if environ.get(row.name, "").strip() and not is_read_by(row, roles)]


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Return the `FLIQ_*` variables that are no settings: other programs' (a client's token, say), or misspelt ones."""
    known = {setting.name for setting in TABLE}
    return [
        name
        for name in sorted(environ)
        if name.startswith(_OWN_PREFIX)
        and name not in known
        and not name.startswith(_TEST_PREFIX)
        and not _SERVICE_LINK.fullmatch(name)
        and not (name.endswith("_PORT") and "://" in environ[name])
    ]


def idle_names(environ: Mapping[str, str]) -> list[str]:
    """Return the settings of Kafka that are set without brokers, and so do nothing: the log is in PostgreSQL."""
    given = [setting.name for setting in TABLE if environ.get(setting.name, "").strip()]
    return [] if _BROKERS in given else [name for name in given if name.startswith(_KAFKA_PREFIX)]


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
