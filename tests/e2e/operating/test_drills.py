"""docs/drills.md, executed: what it tells an operator to type is typed, in one shell, and every line succeeds."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from libs.runtime.embedded_postgres.binaries import PostgresBinaries
from libs.runtime.embedded_postgres.unprivileged import server_user
from tests.fakes.pages import blocks, read
from tests.fakes.running.client import TOKEN
from tests.fakes.running.postgres import fresh_server
from tests.fakes.running.processes import free_port

WITHIN_S = 600.0

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("mount"), reason="a disk of one's own takes root and mount"
    ),
]


def _server(dsn: str) -> dict[str, str]:
    """Return the address of a server as PostgreSQL's client programs take it."""
    address = urlsplit(dsn)
    where = {name: values[0] for name, values in parse_qs(address.query).items()}
    return {
        "PGHOST": where.get("host", address.hostname or ""),
        "PGPORT": where.get("port", "5432"),
        "PGUSER": address.username or "",
        "PGPASSWORD": address.password or "",
    }


@pytest.mark.timeout(WITHIN_S + 60)
async def test_the_drills_are_run_as_written(tmp_path: Path) -> None:
    """Backups are restored, lost keys and rows come back, a full disk refuses new jobs and loses none: every line holds."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o111)  # root gives the embedded PostgreSQL to another user
    script = "\n".join(f"set -x\n{block.text}" for block in blocks(read("docs/drills.md")) if block.language == "sh")
    programs = PostgresBinaries.find(server_user(Path.cwd()), say=lambda _: None).directory
    with fresh_server() as dsn:
        shell = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            f"trap 'set +ex; kill $(jobs -p); umount --lazy disk' EXIT\n{script}",
            cwd=tmp_path,
            env={
                "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "LC_ALL": "C.UTF-8",
                "NO_PROXY": "*",
                **_server(dsn),
                "PORT": str(free_port()),
                "ADMIN": str(free_port()),
                "TARGET": str(free_port()),
                "TOKEN": TOKEN,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said = (await asyncio.wait_for(shell.communicate(), WITHIN_S))[0].decode()
        finally:
            if shell.returncode is None:
                shell.kill()
        fliq = tmp_path / "fliq.log"
        print(said[-6_000:])
        print(fliq.read_text()[-3_000:] if fliq.exists() else "")
    assert shell.returncode == 0
