"""The table of settings: name, default, parser and meaning of every `FLIQ_*` variable. `settings.py` reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from libs.runtime.settings import values


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
        meaning="Kafka brokers, a comma list of `host:port`; if set, the log is in Kafka",
    ),
    Setting(
        name="FLIQ_KAFKA_TOPIC",
        field="kafka_topic",
        default="fliq.log",
        parse=values.topic,
        meaning="topic of the log, one for each Fliq; made at the first start",
    ),
    Setting(
        name="FLIQ_KAFKA_TLS",
        field="kafka_tls",
        default="off",
        parse=values.switch,
        meaning="`on`: speak TLS with the brokers",
    ),
    Setting(
        name="FLIQ_KAFKA_CA_FILE",
        field="kafka_ca_file",
        default=None,
        unset="the authorities that the system trusts",
        parse=values.readable_file,
        meaning="certificate authorities (PEM) that the brokers' certificates are checked against",
    ),
    Setting(
        name="FLIQ_KAFKA_CERT_FILE",
        field="kafka_cert_file",
        default=None,
        unset="none",
        parse=values.readable_file,
        meaning="our own certificate (PEM), for brokers that ask for one",
    ),
    Setting(
        name="FLIQ_KAFKA_KEY_FILE",
        field="kafka_key_file",
        default=None,
        unset="the certificate's file holds it",
        parse=values.readable_file,
        meaning="its key (PEM)",
    ),
    Setting(
        name="FLIQ_KAFKA_USERNAME",
        field="kafka_username",
        default=None,
        unset="no SASL",
        parse=values.plain,
        meaning="user name for SASL",
    ),
    Setting(
        name="FLIQ_KAFKA_PASSWORD",
        field="kafka_password",
        default=None,
        unset="no SASL",
        parse=values.plain,
        meaning="password for SASL",
        is_secret=True,
    ),
    Setting(
        name="FLIQ_KAFKA_MECHANISM",
        field="kafka_mechanism",
        default="SCRAM-SHA-512",
        parse=values.kafka_mechanism,
        meaning="the SASL mechanism: SCRAM-SHA-512, SCRAM-SHA-256, or PLAIN (with TLS only)",
    ),
    Setting(
        name="FLIQ_BOOTSTRAP_TOKENS",
        field="bootstrap_tokens",
        default=None,
        unset="one is made for account `default` and printed once, at first start",
        parse=values.account_tokens,
        meaning="comma list of `account=token`: accounts and tokens that are created at the start",
        is_secret=True,
    ),
    Setting(
        name="FLIQ_EGRESS_ALLOW",
        field="egress_allow",
        default=None,
        unset="public addresses only",
        parse=values.plain,
        meaning="comma list of `CIDR[:port]`, names and name endings (`web`, `.svc.cluster.local`, each with an optional `:port`)"
        " that targets may use in addition; `make run` sets loopback",
    ),
    Setting(
        name="FLIQ_EGRESS_DENY",
        field="egress_deny",
        default=None,
        unset="the built-in list only",
        parse=values.networks,
        meaning="comma list of networks that targets may not use, in addition to the built-in list",
    ),
    Setting(
        name="FLIQ_EGRESS_CA_FILE",
        field="egress_ca_file",
        default=None,
        unset="the system's authorities only",
        parse=values.readable_file,
        meaning="PEM file of certificate authorities that https targets may use besides the system's",
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
        meaning="calls under way at the same time to one host and port, in one dispatcher",
    ),
    Setting(
        name="FLIQ_HEARTBEAT_SECONDS",
        field="heartbeat_s",
        default="60",
        parse=values.integer(0, 86_400, "a number of seconds"),
        meaning="how often Fliq creates a job of its own, to check that jobs get through; 0 is never",
    ),
    Setting(
        name="FLIQ_PARTITIONS",
        field="partitions",
        default=None,
        unset="4 with the embedded log, 64 with Kafka",
        parse=values.integer(1, 1024),
        meaning="partitions of a log that is created; an existing log keeps its number, and `fliq partitions grow` adds to it",
    ),
    Setting(
        name="FLIQ_NODE",
        field="node",
        default=None,
        unset="made from the data directory",
        parse=values.name,
        meaning="name of this process among all processes; unique, and the same after a restart",
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
        meaning="lowest level of log lines that are written",
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
