"""
The settings: every `FLIQ_*` variable in one table, from which parsing, `--help` and docs/settings.md are made.

To add one: a row in TABLE, a field of the same name in Settings, and `make docs`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from . import setting_values as values

_HIDDEN = "***"
# Kubernetes describes every service to every pod with such variables; a service named fliq-api is not a typing error.
_SERVICE_LINK = re.compile(r"FLIQ_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)", re.ASCII)
_OWN_PREFIX = "FLIQ_"
_TEST_PREFIX = "FLIQ_TEST_"  # read by our tests only
_MISSPELT = 0.85  # how like a setting an unknown name must be to be refused: FLIQ_PROT is, FLIQ_TOKEN is not


class SettingsError(ValueError):
    """A variable has a value that Fliq cannot use; the text is one line that begins with the variable's name."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One variable: its name, the field of Settings it fills, its default as one would write it, and its meaning."""

    name: str
    field: str
    default: str | None
    parse: Callable[[str], Any]
    meaning: str
    unset: str = ""  # what being unset means, where there is no default value
    is_secret: bool = False


TABLE: tuple[Setting, ...] = (
    Setting(
        name="FLIQ_HOST", field="host", default="127.0.0.1", parse=values.host, meaning="address the API listens on"
    ),
    Setting(name="FLIQ_PORT", field="port", default="8080", parse=values.port, meaning="port of the API"),
    Setting(
        name="FLIQ_ADMIN_PORT",
        field="admin_port",
        default="9090",
        parse=values.port,
        meaning="port of `/healthz`, `/readyz` and `/metrics`; each separate process needs its own",
    ),
    Setting(
        name="FLIQ_DATA_DIR",
        field="data_dir",
        default="./.fliq",
        parse=values.directory,
        meaning="the embedded PostgreSQL's data and other local state",
    ),
    Setting(
        name="FLIQ_DATABASE_URL",
        field="database_url",
        default=None,
        unset="the embedded PostgreSQL",
        parse=values.database_url,
        meaning="any PostgreSQL 15 or later",
        is_secret=True,
    ),
    Setting(
        name="FLIQ_KAFKA_BOOTSTRAP",
        field="kafka_bootstrap",
        default=None,
        unset="the log is kept in PostgreSQL",
        parse=values.brokers,
        meaning="Kafka brokers, a comma list of `host:port`; set, the log is Kafka",
    ),
    Setting(
        name="FLIQ_BOOTSTRAP_TOKENS",
        field="bootstrap_tokens",
        default=None,
        unset="one is made for account `default` and printed once, at first start",
        parse=values.account_tokens,
        meaning="comma list of `account=token`: accounts and tokens that exist after start",
        is_secret=True,
    ),
    Setting(
        name="FLIQ_EGRESS_ALLOW",
        field="egress_allow",
        default=None,
        unset="public addresses only",
        parse=values.plain,
        meaning="comma list of `CIDR[:port]` that targets may use besides; `make run` sets loopback",
    ),
    Setting(
        name="FLIQ_EGRESS_DENY",
        field="egress_deny",
        default=None,
        unset="nothing besides the built-in list",
        parse=values.networks,
        meaning="comma list of networks that targets may not use, besides those never allowed",
    ),
    Setting(
        name="FLIQ_RETRY_BASE_SECONDS",
        field="retry_base_s",
        default="30",
        parse=values.seconds(0.001, 3600),
        meaning="delay before the first retry; it doubles with each one, up to 1 h",
    ),
    Setting(
        name="FLIQ_FIRE_LEAD_MS",
        field="fire_lead_ms",
        default="75",
        parse=values.integer(0, 10_000, "a number of milliseconds"),
        meaning="how early a due event is written ahead of its time; calls never leave early",
    ),
    Setting(
        name="FLIQ_DAILY_EXECUTION_LIMIT",
        field="daily_execution_limit",
        default="0",
        parse=values.integer(0, 1_000_000_000),
        meaning="executions per account and UTC day; 0 is no limit",
    ),
    Setting(
        name="FLIQ_DISPATCH_CONCURRENCY",
        field="dispatch_concurrency",
        default="1000",
        parse=values.integer(1, 100_000),
        meaning="calls under way at the same time in one dispatcher",
    ),
    Setting(
        name="FLIQ_DISPATCH_PER_HOST",
        field="dispatch_per_host",
        default="50",
        parse=values.integer(1, 100_000),
        meaning="of these, calls to the same host and port",
    ),
    Setting(
        name="FLIQ_PARTITIONS",
        field="partitions",
        default=None,
        unset="4 with the embedded log, 64 with Kafka",
        parse=values.integer(1, 1024),
        meaning="partitions of the log when it is first made; later changes do not shrink it",
    ),
    Setting(
        name="FLIQ_NODE",
        field="node",
        default=None,
        unset="made from the data directory",
        parse=values.name,
        meaning="name of this process among the members; unique, and the same after a restart",
    ),
    Setting(
        name="FLIQ_SECRET_KEY",
        field="secret_key",
        default=None,
        unset="one is made and kept in the database",
        parse=values.secret,
        meaning="key under which tokens and secrets are stored; the same in every process",
        is_secret=True,
    ),
    Setting(
        name="FLIQ_LOG_LEVEL",
        field="log_level",
        default="info",
        parse=values.one_of("debug", "info", "warning", "error", "critical"),
        meaning="least important log line that is written",
    ),
    Setting(
        name="FLIQ_LOG_FORMAT",
        field="log_format",
        default=None,
        unset="`console` on a terminal, else `json`",
        parse=values.one_of("console", "json"),
        meaning="form of the log lines",
    ),
    Setting(
        name="FLIQ_CRASH_AT",
        field="crash_at",
        default=None,
        unset="off",
        parse=values.crash_point,
        meaning="for tests: `name:n` ends the process at the n-th pass of that crash point, as kill -9 would",
    ),
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, checked. Fields as in TABLE; None where the variable is unset and has no default."""

    host: str
    port: int
    admin_port: int
    data_dir: Path
    database_url: str | None
    kafka_bootstrap: str | None
    bootstrap_tokens: tuple[tuple[str, str], ...] | None
    egress_allow: str | None
    egress_deny: str | None
    retry_base_s: float
    fire_lead_ms: int
    daily_execution_limit: int
    dispatch_concurrency: int
    dispatch_per_host: int
    partitions: int | None
    node: str | None
    secret_key: str | None
    log_level: str
    log_format: str | None
    crash_at: tuple[str, int] | None

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, is_token: Callable[[str], bool] | None = None) -> Self:
        """
        Read every setting. A variable that is set to nothing counts as unset, as compose files and charts write it.

        Args:
            is_token: says whether a bootstrap token is well formed (its checksum is not this room's business).

        Raises:
            SettingsError: the first wrong value, or a `FLIQ_*` name that looks like a misspelt setting.
        """
        _refuse_misspelt(environ)
        found: dict[str, Any] = {}
        for setting in TABLE:
            text = environ.get(setting.name, "").strip() or setting.default
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
    rows = "\n".join(f"| `{row.name}` | {_default_of(row)} | {row.meaning} |" for row in TABLE)
    return (
        "# Settings\n\n"
        "Generated by `make docs` from `libs/runtime/config.py`; a test fails when this page is stale.\n\n"
        "Fliq is set by environment variables. A variable set to nothing counts as unset. A wrong value, or a name\n"
        "that looks like a misspelt one of these, ends the start with one line that says so; other `FLIQ_*` names are ignored.\n\n"
        f"| Variable | Default | Meaning |\n|---|---|---|\n{rows}\n"
    )


def _default_of(row: Setting) -> str:
    return row.default if row.default is not None else f"unset: {row.unset}"


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    known = {setting.name for setting in TABLE}
    for name in unknown_names(environ):
        close = difflib.get_close_matches(name, known, n=1, cutoff=_MISSPELT)
        if close:
            raise SettingsError(f"{name}: there is no such setting; did you mean {close[0]}?")


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


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
