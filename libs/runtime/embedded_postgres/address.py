"""
The address of an embedded PostgreSQL, made from the files that the server left in the data directory.

Every user who may read the password file may connect. Nothing is started, locked or changed here. A server that runs belongs to a
Fliq process and stops with it. A command that uses the same server then loses its connection.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from libs.runtime.embedded_postgres.postmaster import PidFile, Postmaster

ROLE = "fliq"
DATABASE = "fliq"
PASSWORD_FILE = "postgres.password"  # noqa: S105 - a file's name
DATA_FOLDER = "postgres"


def address(pid_file: PidFile, password: str, database: str = DATABASE) -> str:
    """Return the DSN of *database* on the server that wrote *pid_file*."""
    if pid_file.socket_dir:
        where = f"@/{database}?host={quote(pid_file.socket_dir)}&port={pid_file.port}"
    else:
        where = f"@{pid_file.address}:{pid_file.port}/{database}?sslmode=disable"
    return f"postgresql://{ROLE}:{quote(password)}{where}"


def running_address(data_dir: Path, database: str = DATABASE) -> str | None:
    """
    Return the DSN of *database* on the server of *data_dir* that runs; None if none runs.

    Raises:
        OSError: the password cannot be read, because the Fliq is another user's.
    """
    pgdata = data_dir.absolute() / DATA_FOLDER
    server = Postmaster.find(pgdata)
    if server is None:
        return None
    server.close()
    pid_file = PidFile.read(pgdata)
    if pid_file is None or pid_file.status != "ready":
        return None
    password = (data_dir / PASSWORD_FILE).read_text(encoding="ascii").strip()
    return address(pid_file, password, database)


def ignore_pg_variables() -> None:
    """Remove the `PG*` variables from the environment: the driver reads them, and they describe another server."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def exists(data_dir: Path) -> bool:
    """Whether *data_dir* holds the data of an embedded server, running or not."""
    return (data_dir / DATA_FOLDER / "PG_VERSION").exists()
