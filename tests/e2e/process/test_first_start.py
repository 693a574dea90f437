"""What a newcomer sees: the first start, its example, the second start, the end, on a terminal and without one."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from libs.egress.url_rules import EgressPolicy
from services.api.greeting import ELSEWHERE, address_of, greeting
from tests.e2e.process.starting import FLIQ, Started, environment, run
from tests.fakes.pages import read
from tests.fakes.running.topologies import Client

SERVICES = [
    "probes",
    "clock",
    "limits",
    "scheduler",
    "history",
    "heartbeats",
    "dispatcher",
    "webhooks",
    "api",
    "vitals",
]
TOKEN = re.compile(r"fliq_sk_[0-9A-Za-z]{36}")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory that PostgreSQL's own user may pass through, with a path short enough for a socket."""
    directory = Path(tempfile.mkdtemp(prefix="fliq-"))
    directory.chmod(0o711)
    yield directory / "data"
    shutil.rmtree(directory, ignore_errors=True)


async def test_case_11_and_18_surroundings_and_families(data_dir: Path) -> None:
    """`PG*` variables mean another PostgreSQL than the embedded one; `::` is both families, on both ports."""
    surroundings = {"PGSSLMODE": "verify-full", "PGHOST": "nowhere.invalid", "PGPORT": "1", "PGUSER": "nobody"}
    surroundings |= {"PGTARGETSESSIONATTRS": "standby", "FLIQ_HOST": "::", "FLIQ_ADMIN_HOST": "::"}
    settings = environment(FLIQ_DATA_DIR=str(data_dir), **surroundings)
    with Started(settings) as fliq:
        fliq.wait_for("Ctrl-C stops it.")
        for port, path in ((settings["FLIQ_PORT"], "/v1/openapi.json"), (settings["FLIQ_ADMIN_PORT"], "/healthz")):
            for host in ("127.0.0.1", "[::1]"):
                async with ClientSession() as session, session.get(f"http://{host}:{port}{path}") as answer:
                    assert answer.status == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="the printed example is a curl command")
async def test_from_the_first_start_to_the_second(data_dir: Path) -> None:
    """
    The first start prints a token and an example that works as it stands; a second Fliq on the same data is refused in one line;
    SIGTERM ends it with 0; the second start prints no token and still knows the job.
    """
    settings = environment(FLIQ_DATA_DIR=str(data_dir), FLIQ_EGRESS_ALLOW="127.0.0.0/8")
    with Started(settings) as fliq:
        fliq.wait_for("Ctrl-C stops it.")
        fliq.wait_for("sleep 3; ")
        text = fliq.output()
        token = TOKEN.findall(text)[0]
        assert set(TOKEN.findall(text)) == {token}
        assert sorted(re.findall(r'"event":"started","service":"(\w+)"', text)) == sorted(SERVICES)
        example = text[text.index("      TOKEN=") :].partition("sleep 3; ")[0]
        created = await asyncio.to_thread(run, ["bash", "-euc", example], settings)
        assert created.returncode == 0
        job_id = re.findall(r'"id":"(job_\w+)"', created.stdout)[0]
        async with Client(fliq.url, token) as client:
            job = await client.wait_status(job_id)
        assert (job["status"], job["url"]) == ("success", f"{fliq.admin_url}/healthz")
        second = run([*FLIQ, "all"], environment(FLIQ_DATA_DIR=str(data_dir)))
        assert second.returncode == 1
        assert re.fullmatch(r"fliq: \S+ is in use by another Fliq \(process \d+\): .*\n", second.stderr)
        assert fliq.end(signal.SIGTERM) == 0
        assert "Traceback" not in fliq.output()
    with Started(settings) as fliq:
        fliq.wait_for("Ctrl-C stops it.")
        async with Client(fliq.url, token) as client:
            assert (await client.job(job_id))["status"] == "success"
        assert fliq.end(signal.SIGINT) == 0
        text = fliq.output()
        assert not TOKEN.search(text)
        assert f"Fliq is ready: {fliq.url} (docs/api.md" in text
        assert re.findall(r'"event":"stopped","service":"(\w+)"', text) == SERVICES[::-1]


def test_a_sigterm_while_the_database_is_made_leaves_nothing_running(data_dir: Path) -> None:
    """The start is undone: the process ends soon, and no server is left behind."""
    with Started(environment(FLIQ_DATA_DIR=str(data_dir))) as fliq:
        fliq.wait_for("creating the embedded PostgreSQL")
        assert fliq.end(signal.SIGTERM) == 130
        assert "Traceback" not in fliq.output()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


def test_on_a_terminal_lines_are_for_people_and_ctrl_c_ends_it(pg_dsn: str, tmp_path: Path) -> None:
    """Console lines, one per service; Ctrl-C drains and exits 0; nothing is left on the screen but words."""
    settings = environment(FLIQ_DATA_DIR=str(tmp_path), FLIQ_DATABASE_URL=pg_dsn, NO_COLOR="1")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(FLIQ[0], [*FLIQ, "all"], settings)  # noqa: S606 - pty.fork is the only way to be a terminal
    seen, is_interrupted, deadline = b"", False, time.monotonic() + 45
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                piece = os.read(terminal, 65_536)
            except OSError:  # the other side is closed: it has ended
                break
            seen += piece
        if b"sleep 3; curl" in seen and not is_interrupted:
            os.write(terminal, b"\x03")
            is_interrupted = True
    os.close(terminal)
    text = seen.decode()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    assert sorted(re.findall(r"started .*service=(\w+)", text)) == sorted(SERVICES)
    assert f"GET of {ELSEWHERE}" in text  # calls to this machine are not allowed here
    assert '"event"' not in text
    assert "\x1b" not in text
    assert len(text.splitlines()) < 50


def test_the_readme_shows_the_example_that_is_printed() -> None:
    """With the default settings and `make run`'s permission, word for word."""
    policy = EgressPolicy.parse("127.0.0.0/8,::1/128")
    text = greeting(
        address=address_of("127.0.0.1", 8080),
        admin_address=address_of("127.0.0.1", 9090),
        token="fliq_sk_...",
        check_url=policy.check_url,
        platform="linux",
    )
    example = [line.strip() for line in text[text.index("TOKEN=") :].splitlines()]
    assert "\n".join(example).strip() in "\n".join(line.strip() for line in read("README.md").splitlines())


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80"), ("::1", "http://[::1]:80"), ("h", "http://h:80")],
)
def test_an_address_can_be_reached(host: str, address: str) -> None:
    """A listener on every address is shown under one that works here."""
    assert address_of(host, 80) == address


def test_the_example_fits_the_system() -> None:
    """macOS has another `date`; without a new token there is no example."""
    policy = EgressPolicy.parse(None)
    arguments = {"address": "http://h:1", "admin_address": "http://h:2", "check_url": policy.check_url}
    assert "-v+2S" in greeting(token="t", platform="darwin", **arguments)  # type: ignore[arg-type]
    assert "TOKEN" not in greeting(token=None, platform="linux", **arguments)  # type: ignore[arg-type]
