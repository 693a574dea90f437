"""A log that dies while a process starts: one line says so, and what was opened is closed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import services.process.resources
from libs.log.port import LogUnavailable
from libs.runtime.roles import ROLES
from libs.runtime.settings.settings import Settings
from services.process.resources import open_resources
from services.start_error import StartError


class DyingLog:
    """A log that is opened well and then cannot be reached: *last* is the first call that fails."""

    def __init__(self, last: str) -> None:
        self.last = last
        self.has_stopped = False

    def _answer(self, call: str) -> None:
        if call == self.last:
            raise LogUnavailable("nobody answers")

    async def append(self) -> int:
        raise AssertionError("nothing is written at the start")

    async def partitions(self) -> int:
        self._answer("partitions")
        return 4

    async def identity(self) -> str:
        self._answer("identity")
        return "postgres"

    async def stop(self) -> None:
        self.has_stopped = True


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({}, "FLIQ_DATABASE_URL: nobody answers (postgresql://nobody@127.0.0.1/x)"),
        ({"FLIQ_KAFKA_BOOTSTRAP": "kafka:9092"}, "FLIQ_KAFKA_BOOTSTRAP: nobody answers"),
    ],
)
@pytest.mark.parametrize("last", ["partitions", "identity"])
async def test_a_log_that_dies_right_after_it_was_opened_refuses_the_start(
    last: str, environ: dict[str, str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the variable where it is mended, as when the log cannot be opened; the log is closed."""
    log = DyingLog(last)

    async def open_log(_settings: Settings, _dsn: str, stack: AsyncExitStack) -> Any:
        stack.push_async_callback(log.stop)
        return log

    monkeypatch.setattr(services.process.resources, "open_log", open_log)
    settings = Settings.from_env(
        {"FLIQ_DATA_DIR": str(tmp_path), "FLIQ_DATABASE_URL": "postgresql://nobody@127.0.0.1/x", **environ}
    )
    with pytest.raises(StartError) as error:
        async with AsyncExitStack() as stack:
            await open_resources(settings, ROLES, stack)

    assert str(error.value) == line
    assert log.has_stopped
