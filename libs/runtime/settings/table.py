"""
The table of settings: type, default, parser and meaning of every `FLIQ_*` variable. `settings.py` reads it.

A field's variable is its name in capitals after `FLIQ_`, with `_SECONDS` for `_s`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import msgspec

from libs.runtime.settings import values


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One variable: its name, the field that it fills, its default as one would write it, and its meaning."""

    name: str
    field: str
    default: str | None
    parse: Callable[[str], Any]
    meaning: str
    unset: str  # what being unset means, where there is no default value
    is_secret: bool
    roles: tuple[str, ...]  # the only roles that read it, empty for all


class Unset(str):
    """What it means that a variable is unset, where there is no default."""

    __slots__ = ()


SECRET: Final = "secret"  # noqa: S105 - a mark


class SettingValues(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was asked for, checked: a field for each variable, None if it is unset and has no default.

    Each says its default as one would write it, or what being unset means, then its parser and its meaning; then, if so, that it is
    secret, and the only roles that read it.
    """

    host: Annotated[str, "127.0.0.1", values.host, "address the API listens on; in a `console` process, the console"]
    port: Annotated[int, "8080", values.port, "port of the API"]
    admin_port: Annotated[
        int, "9090", values.port, "port of `/healthz`, `/readyz` and `/metrics`; each separate process needs its own"
    ]
    admin_host: Annotated[
        str, "127.0.0.1", values.host, "address the admin port listens on; who can reach it can read the metrics"
    ]
    data_dir: Annotated[Path, "./.fliq", values.directory, "the embedded PostgreSQL's data and other local state"]
    database_url: Annotated[
        str | None, Unset("the embedded PostgreSQL"), values.database_url, "any PostgreSQL 15 or later", SECRET
    ]
    kafka_bootstrap: Annotated[
        str | None,
        Unset("the log is kept in PostgreSQL"),
        values.brokers,
        "Kafka brokers, a comma list of `host:port`; if set, the log is in Kafka",
    ]
    kafka_topic: Annotated[
        str, "fliq.log", values.topic, "topic of the log, one for each Fliq; made at the first start"
    ]
    kafka_tls: Annotated[bool, "off", values.switch, "`on`: speak TLS with the brokers"]
    kafka_ca_file: Annotated[
        Path | None,
        Unset("the authorities that the system trusts"),
        values.readable_file,
        "certificate authorities (PEM) that the brokers' certificates are checked against",
    ]
    kafka_cert_file: Annotated[
        Path | None, Unset("none"), values.readable_file, "our own certificate (PEM), for brokers that ask for one"
    ]
    kafka_key_file: Annotated[
        Path | None, Unset("the certificate's file holds it"), values.readable_file, "its key (PEM)"
    ]
    kafka_username: Annotated[str | None, Unset("no SASL"), values.plain, "user name for SASL"]
    kafka_password: Annotated[str | None, Unset("no SASL"), values.plain, "password for SASL", SECRET]
    kafka_mechanism: Annotated[
        str,
        "SCRAM-SHA-512",
        values.kafka_mechanism,
        "the SASL mechanism: SCRAM-SHA-512, SCRAM-SHA-256, or PLAIN (with TLS only)",
    ]
    bootstrap_tokens: Annotated[
        tuple[tuple[str, str], ...] | None,
        Unset("one is made for account `default` and printed once, at first start"),
        values.account_tokens,
        "comma list of `account=token`: accounts and tokens that are created at the start",
        SECRET,
        "api",
    ]
    egress_allow: Annotated[
        str | None,
        Unset("public addresses only"),
        values.plain,
        "comma list of `CIDR[:port]`, names and name endings (`web`, `.svc.cluster.local`, each with an optional `:port`)"
        " that targets may use in addition; `make run` sets loopback",
    ]
    egress_deny: Annotated[
        str | None,
        Unset("the built-in list only"),
        values.networks,
        "comma list of networks that targets may not use, in addition to the built-in list",
    ]
    egress_ca_file: Annotated[
        Path | None,
        Unset("the system's authorities only"),
        values.readable_file,
        "PEM file of certificate authorities that https targets may use besides the system's",
    ]
    retry_base_s: Annotated[
        float, "30", values.seconds(0.001, 3600), "delay before the first retry; it doubles with each one, up to 1 h"
    ]
    fire_lead_ms: Annotated[
        int,
        "75",
        values.integer(0, 10_000, "a number of milliseconds"),
        "how early a due event is written ahead of its time; calls never leave early",
    ]
    min_interval_s: Annotated[
        int,
        "1",
        values.integer(1, 31_536_000, "a number of seconds"),
        "the shortest interval that a schedule's `every` may have",
    ]
    daily_execution_limit: Annotated[
        int,
        "0",
        values.integer(0, 1_000_000_000),
        "executions of one account in a UTC day; more wait for the next day; 0 is no limit",
    ]
    history_days: Annotated[
        int,
        "30",
        values.integer(0, 36_500, "a number of days"),
        "for how long jobs that succeeded or were cancelled can be read; then they are forgotten; 0 is for ever",
    ]
    history_failed_days: Annotated[
        int,
        "90",
        values.integer(0, 36_500, "a number of days"),
        "the same for jobs that failed",
    ]
    capture: Annotated[
        str,
        "on_failure",
        values.one_of("none", "on_failure", "always"),
        "of which attempts the answer of the target is kept, if the job does not say it; see docs/responses.md",
    ]
    capture_bytes: Annotated[
        int,
        "8192",
        values.integer(0, 65_536, "a number of bytes"),
        "bytes of one answer's body that are kept, half from its beginning and half from its end; 0 keeps nothing at all",
    ]
    capture_headers: Annotated[
        tuple[str, ...] | None,
        Unset("those on the list in docs/responses.md only"),
        values.header_names,
        "comma list of headers of answers that are kept besides; those that hold credentials never are",
    ]
    capture_private: Annotated[
        bool,
        "off",
        values.switch,
        "`on`: keep answers of targets, too, that may be called only because `FLIQ_EGRESS_ALLOW` names them; `make run` sets it",
    ]
    capture_days: Annotated[
        int,
        "7",
        values.integer(0, 36_500, "a number of days"),
        "for how long what is kept of answers can be read; 0 is as long as the job",
    ]
    capture_daily_mb: Annotated[
        int,
        "100",
        values.integer(0, 1_000_000, "a number of MB"),
        "MB of answers that one dispatcher keeps for one account on a UTC day; then only the first 512 characters of each",
    ]
    redact: Annotated[
        tuple[str, ...] | None,
        Unset("`whsec_` and `fliq_sk_`"),
        values.beginnings,
        "comma list of texts with which secrets begin (`sk_live_`): words that begin so are taken out of answers",
    ]
    log_days: Annotated[
        int,
        "8",
        values.zero_or(2, 36_500, "a number of days"),
        "for how long records stay in the log, and half as long again at the most: what lives is carried over, then the records"
        " before are deleted; at least 2; 0 is for ever",
    ]
    history_max_rows: Annotated[
        int,
        "0",
        values.integer(0, 100_000_000_000),
        "ended jobs that are kept at the most, about; with more, the oldest are forgotten earlier, but none within a day;"
        " 0 is no limit",
    ]
    disk_min_free: Annotated[
        int,
        "10",
        values.integer(0, 50, "a percentage"),
        "per cent of the disk of the embedded PostgreSQL that are kept free: with less, ended jobs are forgotten earlier, but none"
        " within a day; below 3 nothing new is accepted; 0 is off",
    ]
    limit_requests_per_second: Annotated[
        int,
        "0",
        values.integer(0, 1_000_000),
        "requests of one account to one API process, a second; 0 is no limit, as of the four below",
    ]
    limit_connections: Annotated[
        int, "0", values.integer(0, 1_000_000), "connections of one account to one API process, at once"
    ]
    limit_waiting_jobs: Annotated[
        int, "0", values.integer(0, 1_000_000_000), "jobs of one account that wait for their instant or for a retry"
    ]
    limit_stored_mib: Annotated[
        int,
        "0",
        values.integer(0, 1_000_000_000, "a number of MiB"),
        "size of what these jobs send: URL, headers and body, as stored",
    ]
    limit_calls_per_second: Annotated[
        int, "0", values.integer(0, 1_000_000), "calls of one account to one IP address, a second; more wait"
    ]
    api_requests_mib: Annotated[
        int,
        "64",
        values.integer(2, 65_536, "a number of MiB"),
        "memory of one API for requests that it has not answered; the oldest that is not complete gives way",
    ]
    api_answers_mib: Annotated[
        int,
        "64",
        values.integer(1, 65_536, "a number of MiB"),
        "memory of one API for answers that their callers have not read; the oldest gives way",
    ]
    dispatch_concurrency: Annotated[
        int,
        "1500",
        values.integer(1, 100_000),
        "calls under way at the same time in one dispatcher; one account alone has half of them at most",
    ]
    dispatch_per_host: Annotated[
        int,
        "200",
        values.integer(1, 100_000),
        "calls under way at the same time to one host and port, or to one webhook endpoint, in one dispatcher",
    ]
    webhook_concurrency: Annotated[
        int,
        "600",
        values.integer(1, 100_000),
        "webhooks under way at the same time in one webhooks process; one account alone has half of them at most",
    ]
    webhook_per_endpoint: Annotated[
        int,
        "64",
        values.integer(1, 100_000),
        "webhooks under way at the same time to one endpoint (scheme, host, port and path), in one webhooks process",
    ]
    webhook_retries: Annotated[
        int,
        "0",
        values.integer(0, 20),
        "how often a webhook that fails is tried again if its job has no `webhook_retry`",
    ]
    heartbeat_s: Annotated[
        int,
        "60",
        values.integer(0, 86_400, "a number of seconds"),
        "how often Fliq creates a job of its own, to check that jobs get through; 0 is never",
    ]
    partitions: Annotated[
        int | None,
        Unset("4 with the embedded log, 64 with Kafka"),
        values.integer(1, 1024),
        "partitions of a log that is created; an existing log keeps its number, and `fliq partitions grow` adds to it",
    ]
    node: Annotated[
        str | None,
        Unset("made from the data directory"),
        values.name,
        "name of this process among all processes; unique, and the same after a restart",
    ]
    secret_key: Annotated[
        str | None,
        Unset("one is made and kept in the database"),
        values.secret,
        "key under which tokens are stored and sessions of the console are sealed; the same in every process of both",
        SECRET,
        "api",
        "console",
    ]
    master_key_file: Annotated[
        Path | None,
        Unset("`master.key` in the data directory with the embedded PostgreSQL; else nothing is sealed"),
        values.directory,
        "file with the master key that seals what jobs carry; the same in every process but a console; see docs/sealing.md",
    ]
    api_url: Annotated[
        str,
        "http://127.0.0.1:8080",
        values.web_address,
        "where a `console` process reaches the API; `fliq all` asks itself",
    ]
    console_path: Annotated[
        str,
        "/console",
        values.path_prefix,
        "path of the console; a proxy passes it on unchanged",
    ]
    log_level: Annotated[
        str,
        "info",
        values.one_of("debug", "info", "warning", "error", "critical"),
        "lowest level of log lines that are written",
    ]
    log_format: Annotated[
        str | None,
        Unset("`console` on a terminal, else `json`"),
        values.one_of("console", "json"),
        "form of the log lines",
    ]
    crash_at: Annotated[
        tuple[str, int] | None,
        Unset("off"),
        values.crash_point,
        "for tests: `name:n` ends the process at the n-th pass of that crash point, as kill -9 would",
    ]


def _row(field: str, default: str, parse: Callable[[str], Any], meaning: str, *marks: str) -> Setting:
    has_default = not isinstance(default, Unset)
    return Setting(
        name=re.sub("_S$", "_SECONDS", f"FLIQ_{field.upper()}"),
        field=field,
        default=default if has_default else None,
        parse=parse,
        meaning=meaning,
        unset="" if has_default else default,
        is_secret=SECRET in marks,
        roles=tuple(mark for mark in marks if mark != SECRET),
    )


TABLE: Final[tuple[Setting, ...]] = tuple(
    _row(field, *hint.__metadata__) for field, hint in get_type_hints(SettingValues, include_extras=True).items()
)
