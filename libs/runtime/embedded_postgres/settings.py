"""The embedded server's settings, and where it listens. A comment says why a setting differs from PostgreSQL's default."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_SOCKET_PORT = 5432  # only part of the socket's name
_SOCKET_PATH_MAX = 107  # bytes; sun_path is 108 with its closing zero

SETTINGS: Mapping[str, str] = {
    "max_connections": "200",  # enough for eight processes of `make up` under load; one that is not open costs almost nothing
    "shared_buffers": "32MB",  # the rest is in the system's cache, which gives it back
    "jit": "off",  # short statements only; compiling them costs more than running them
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",  # no replicas: less to write
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_compression": "on",
    # One call for the file system instead of one for each of a thousand files: recovery in 0.8 s instead of 3.4 s.
    "recovery_init_sync_method": "syncfs" if sys.platform == "linux" else "fsync",
    "max_wal_size": "1GB",
    "checkpoint_completion_target": "0.9",
    "autovacuum": "on",
    "max_parallel_workers_per_gather": "0",  # a dashboard query must not take every core from the dispatcher
    "password_encryption": "scram-sha-256",
    "log_min_error_statement": "panic",  # statements carry bodies and headers of customers
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",  # no DETAIL: it quotes the row that was refused
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "off",
    "unix_socket_permissions": "0600",
}


def fits_socket(pgdata: Path) -> bool:
    """Whether the kernel, the setting and the DSN can all hold the path of a socket inside *pgdata*."""
    path = str(pgdata / f".s.PGSQL.{_SOCKET_PORT}")
    return len(os.fsencode(path)) <= _SOCKET_PATH_MAX and path.isprintable() and not set(path) & set(",\"'\\@")


def on_socket(pgdata: Path) -> Mapping[str, str]:
    """Listen on a socket inside *pgdata* only."""
    return {"listen_addresses": "", "port": str(_SOCKET_PORT), "unix_socket_directories": str(pgdata)}


def on_port(port: int) -> Mapping[str, str]:
    """Listen on 127.0.0.1 only."""
    return {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}


def quoted(value: str) -> str:
    """Return *value* as postgresql.conf wants it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
