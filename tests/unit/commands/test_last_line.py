"""What is wrong is the last line that a person reads."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from libs.runtime.settings.settings import Settings
from libs.runtime.telemetry import logging
from services.__main__ import main
from services.process import console
from services.start_error import StartError

REASON = "FLIQ_PORT: 127.0.0.1:80 is taken"
PATIENCE_S = 0.2  # as long as the thread of the log lines is held up, unless the reason comes before them


class SlowForTheLog(io.StringIO):
    """Takes what the log's thread writes only once the reason has come, or after a moment."""

    def __init__(self) -> None:
        super().__init__()
        self._has_reason = threading.Event()

    def write(self, text: str, /) -> int:
        if threading.current_thread() is threading.main_thread():
            written = super().write(text)
            self._has_reason.set()
            return written
        self._has_reason.wait(PATIENCE_S)
        return super().write(text)


def test_what_is_wrong_is_said_after_all_that_was_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log lines leave through a thread; the reason waits for them."""
    stream = SlowForTheLog()
    writer = logging.LineWriter(stream)

    async def refused(settings: Settings) -> int:
        writer.write('{"event":"stopped"}')
        raise StartError(REASON)

    monkeypatch.setattr(logging, "_writer", writer)
    monkeypatch.setattr(console, "run_console", refused)
    monkeypatch.setattr(sys, "stderr", stream)

    assert main(["console"]) == 1
    assert stream.getvalue() == f'{{"event":"stopped"}}\nfliq: {REASON}\n'
