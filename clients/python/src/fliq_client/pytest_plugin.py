"""
Pytest plugin: a Fliq for tests, whose clock the test moves.

In conftest.py: `pytest_plugins = ["fliq_client.pytest_plugin"]`. The server has to be installed beside the client.

    fliq_dev_server   session: a running `fliq dev --virtual-clock`
    fliq              test: a client with an account of its own; what earlier tests left is cancelled
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from fliq_client.client import Fliq

T = TypeVar("T")

ADVANCE_S: Final = 600.0  # calls to the application are real, and take their time
STOP_S: Final = 20.0
_FLIQ: Final = (
    "import sys; from fliq_client.cli.entrance import main; sys.exit(main())"  # `fliq`, wherever its script is
)


class MadeCall(msgspec.Struct, frozen=True, kw_only=True):
    """
    One call that Fliq made.

    Args:
        at: when, by the clock of the test.
        headers: as they were sent, signatures included.
        status_code: of the answer; None if none came.
        error: why it is a failure; None for 200 to 299.
    """

    at: datetime
    method: str
    url: str
    headers: dict[str, str]
    body: str | None
    job_id: str | None
    schedule_id: str | None
    attempt: int | None
    status_code: int | None
    error: str | None

    @property
    def path(self) -> str:
        """The path of the URL."""
        return urlsplit(self.url).path


class Advanced(msgspec.Struct, frozen=True, kw_only=True):
    """
    What happened while the clock moved.

    Args:
        now: where it stands.
        calls: those that were made meanwhile, oldest first.
        steps: at how many instants something was due.
        clock_work_ms: how long it took, without the calls themselves.
        is_partial: too much was due: the clock stands before its target.
    """

    now: datetime
    calls: list[MadeCall]
    steps: int
    clock_work_ms: int
    is_partial: bool


class _Calls(msgspec.Struct, frozen=True):
    calls: list[MadeCall]


class _Reset(msgspec.Struct, frozen=True):
    token: str


class _Clock(msgspec.Struct, frozen=True):
    now: datetime


class DevServer(NamedTuple):
    """A running dev server: its address and its token."""

    url: str
    token: str


class DevFliq(Fliq):
    """The client of a test: all that `Fliq` has, and the clock, the calls, and the answers of targets."""

    def __init__(self, server: DevServer) -> None:
        headers = {"Authorization": f"Bearer {server.token}"}
        self._dev = httpx.Client(base_url=f"{server.url}/dev", headers=headers, timeout=ADVANCE_S)
        self.url = server.url
        self.token = self._ask("POST", "/reset", _Reset).token
        super().__init__(server.url, self.token)

    @property
    def now(self) -> datetime:
        """Where the clock stands."""
        return self._ask("GET", "/clock", _Clock).now

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, to: datetime | None = None
    ) -> Advanced:
        """Move the clock, and return when all that was due until then has happened; without a span, what is due now."""
        if to is not None:
            return self._ask("POST", "/clock/advance", Advanced, {"to": to.isoformat()})
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self._ask("POST", "/clock/advance", Advanced, {"by": span.total_seconds()})

    def calls(self, path: str | None = None) -> list[MadeCall]:
        """Return the calls of this test, oldest first: all, or those to a path."""
        return [each for each in self._ask("GET", "/calls", _Calls).calls if path in (None, each.path)]

    def answer(self, host: str, *statuses: int, delay_ms: int = 0) -> None:
        """
        Have calls to *host* answered with *statuses*, one after the other; the last one stays. Nothing of them leaves.

        Args:
            delay_ms: real time that each answer takes.
        """
        answers = [{"status": status, "delay_ms": delay_ms} for status in statuses]
        self._ask("POST", f"/targets/{host}", dict[str, Any], {"answers": answers})

    def close(self) -> None:
        """Close the connections."""
        self._dev.close()
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, method: str, path: str, kind: type[T], document: Mapping[str, Any] | None = None) -> T:
        answer = self._dev.request(method, path, json=document)
        if answer.is_error:
            raise AssertionError(f"{method} /dev{path}: {answer.status_code} {answer.text}")
        return msgspec.json.decode(answer.content, type=kind)


@pytest.fixture(scope="session")
def fliq_dev_server() -> Iterator[DevServer]:
    """A Fliq whose clock stands still, for the whole session; it ends with the process of the tests."""
    command = [sys.executable, "-c", _FLIQ, "dev", "--port", "0", "--json", "--virtual-clock"]
    with subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        out, into = _pipes(process)
        line = out.readline()
        if not line:
            raise pytest.UsageError("fliq dev did not start: the server has to be installed beside the client")
        started = json.loads(line)
        yield DevServer(started["url"], started["token"])
        into.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture
def fliq(fliq_dev_server: DevServer) -> Iterator[DevFliq]:
    """A client with an account of its own; the clock goes on from where the test before left it."""
    with DevFliq(fliq_dev_server) as client:
        yield client


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdout is not None  # noqa: S101 - asked for
    assert process.stdin is not None  # noqa: S101
    return process.stdout, process.stdin
