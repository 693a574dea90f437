"""
Place: where a dev server keeps its data for as long as it runs, its settings, and its PostgreSQL.

The PostgreSQL is made while the rest of Fliq is still imported. So this module imports little.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from libs.runtime.embedded_postgres.address import ignore_pg_variables
from libs.runtime.embedded_postgres.server import EmbeddedPostgres
from libs.runtime.roles import ALL
from libs.runtime.settings.settings import Settings
from services.api.contract.token_text import PREFIX, checksum, is_well_formed
from services.dev.free_ports import free_ports
from services.embedded_database import begin

_RANDOM: Final = "developmentdevelopmentdevelopm"  # nothing of it is secret: whoever may call this Fliq may do so
TOKEN: Final = PREFIX + _RANDOM + checksum(_RANDOM)
ACCOUNT: Final = "dev"
# What every other Fliq takes from the environment and this one does not: it must not touch data that is meant to stay.
_NOT_READ: Final = frozenset(
    {
        "FLIQ_DATA_DIR",
        "FLIQ_DATABASE_URL",
        "FLIQ_KAFKA_BOOTSTRAP",
        "FLIQ_BOOTSTRAP_TOKENS",
        "FLIQ_PORT",
        "FLIQ_ADMIN_PORT",
    }
)
_DEFAULTS: Final = {
    "FLIQ_EGRESS_ALLOW": "127.0.0.0/8,::1/128",
    "FLIQ_CAPTURE_PRIVATE": "on",
    "FLIQ_PARTITIONS": "1",
    "FLIQ_HEARTBEAT_SECONDS": "0",
    "FLIQ_HISTORY_DAYS": "0",  # kept for ever: a test looks at a job of last year, by its clock
    "FLIQ_HISTORY_FAILED_DAYS": "0",
    "FLIQ_LOG_DAYS": "0",
    "FLIQ_LOG_LEVEL": "warning",
}
_POSTGRES: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "32MB"}


class Place(NamedTuple):
    """A dev server's *settings*, its *postgres*, which is being started, and when that began, by the monotonic clock."""

    settings: Settings
    postgres: EmbeddedPostgres
    began_s: float


@contextmanager
def begun(args: argparse.Namespace, environ: Mapping[str, str]) -> Iterator[Place]:
    """
    Make the place of a dev server, begin to start its PostgreSQL, and take all away at the end.

    Raises:
        SettingsError: something is wrong; one line says what.
    """
    began_s = time.monotonic()
    folder = tempfile.mkdtemp(prefix="fliq-dev-")
    try:
        os.chmod(folder, 0o711)  # noqa: S103 - if this is root, PostgreSQL runs as another user, who must be able to enter
        settings = settings_of(args, environ, Path(folder, "data"))
        ignore_pg_variables()
        postgres = EmbeddedPostgres(settings.data_dir, settings=_POSTGRES, say=lambda _: None)
        begin(postgres)
        try:
            yield Place(settings, postgres, began_s)
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settings_of(args: argparse.Namespace, environ: Mapping[str, str], data_dir: Path) -> Settings:
    """Return the settings of a dev server in *data_dir*; raises SettingsError."""
    port, admin_port = free_ports(2)
    given = {name: value for name, value in environ.items() if name not in _NOT_READ}
    own = {
        "FLIQ_DATA_DIR": str(data_dir),
        "FLIQ_BOOTSTRAP_TOKENS": f"{ACCOUNT}={TOKEN}",
        "FLIQ_PORT": str(args.port or port),
        "FLIQ_ADMIN_PORT": str(admin_port),
    }
    return Settings.from_env(_DEFAULTS | given | own, is_token=is_well_formed, roles=ALL)
