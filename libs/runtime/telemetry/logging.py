"""
Logging: structlog for our own lines, the standard library's and Python's warnings through the same door.

`_log = structlog.get_logger("room")`, then `_log.info("what_happened", field=value)`: the name of an event is a few words with
underscores, by which lines are searched and counted; the fields say the rest. Every line passes the allow-list of redaction.py,
and leaves through a thread of its own: a reader who does not read stalls that thread, never the event loop. The
queue is bounded; what does not fit is dropped and counted.
"""

from __future__ import annotations

import atexit
import logging as stdlib
import os
import queue
import sys
import threading
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from libs.runtime.clock import SystemClock
from libs.runtime.telemetry.redaction import redact, to_json

_QUEUE_LINES = 10_000
_FLUSH_TIMEOUT_S = 2.0
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_clock = SystemClock()


class LineWriter:
    """Writes lines to a stream from a thread; never blocks the one who logs."""

    def __init__(self, stream: TextIO, *, limit: int = _QUEUE_LINES) -> None:
        self._stream = stream
        self._lines: queue.Queue[str | threading.Event] = queue.Queue(limit)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def flush(self, timeout_s: float = _FLUSH_TIMEOUT_S) -> bool:
        """Wait until what was written so far is out; False when the reader did not take it in time."""
        reached = threading.Event()
        try:
            self._lines.put(reached, timeout=timeout_s)
        except queue.Full:
            return False
        return reached.wait(timeout_s)

    def _run(self) -> None:
        while True:
            batch = [self._lines.get()]
            while len(batch) < 500 and not self._lines.empty():
                batch.append(self._lines.get())
            text = "".join(item + "\n" for item in batch if isinstance(item, str))
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                text += to_json({"event": "log_lines_dropped", "level": "warning", "dropped": dropped}) + "\n"
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                pass  # the reader is gone: there is nowhere left to say so
            for item in batch:
                if not isinstance(item, str):
                    item.set()


class _Logger:
    """What structlog calls with a finished line."""

    def __init__(self, writer: LineWriter, name: str) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = writer.write


_writer: LineWriter | None = None


def configure(level: str, form: str | None, *, stream: TextIO | None = None) -> LineWriter:
    """
    Route everything that is logged in this process to *stream* (standard error by default).

    Args:
        level: least important level that is written (FLIQ_LOG_LEVEL).
        form: `console`, `json`, or None for console on a terminal and json elsewhere (FLIQ_LOG_FORMAT).
    """
    global _writer
    target = stream if stream is not None else sys.stderr
    is_console = form == "console" if form else target.isatty()
    writer = LineWriter(target)
    first: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level if is_console else _add_level,
        _add_name,
        _add_time,
        _render_exception,
    ]
    last: list[Any] = [
        redact,
        _to_console(target.isatty() and not os.environ.get("NO_COLOR")) if is_console else _to_json,
    ]
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *names: _Logger(writer, str(names[0]) if names else ""),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(writer, last)
    root = stdlib.getLogger()
    root.handlers[:] = [handler]
    # Libraries speak up from warning on; their debug lines quote what passes through them.
    root.setLevel(max(_LEVELS[level], stdlib.WARNING))
    stdlib.captureWarnings(True)
    sys.excepthook = _uncaught
    if _writer is None:
        atexit.register(flush)
    _writer = writer
    return writer


def flush() -> None:
    """Wait, for a moment, until what was logged so far is out: so what is written after it comes after it."""
    if _writer is not None:
        _writer.flush()


class _Handler(stdlib.Handler):
    """Takes the standard library's records (asyncio's errors, warnings, libraries) through the same processors."""

    def __init__(self, writer: LineWriter, last: list[Any]) -> None:
        super().__init__()
        self._writer = writer
        self._last = last

    def emit(self, record: stdlib.LogRecord) -> None:
        line: MutableMapping[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.levelno >= stdlib.ERROR:
            line["exc_info"] = record.exc_info
        elif record.exc_info and record.exc_info[1] is not None:
            # A library that tries again after an error says so often: what it was is enough, not where.
            line["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        for processor in (_add_time, _render_exception, *self._last):
            line = processor(None, "", line)
        self._writer.write(str(line))


def _add_level(_logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    line["level"] = "error" if method == "exception" else method
    return line


def _add_name(logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if getattr(logger, "name", ""):
        line["logger"] = logger.name
    return line


def _add_time(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    line["at"] = _clock.now()
    return line


def _render_exception(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Write the traceback as text: files, lines and functions, never the values of variables."""
    given = line.pop("exc_info", None)
    if isinstance(given, BaseException):
        error: BaseException | None = given
    elif isinstance(given, tuple):
        error = given[1]
    else:
        error = sys.exc_info()[1] if given else None
    if error is not None:
        line["error_type"] = type(error).__name__
        line["exception"] = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=False, limit=-30).format()
        ).rstrip()
    return line


def _to_json(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> str:
    return to_json(line)


def _to_console(colors: bool) -> Any:
    render = structlog.dev.ConsoleRenderer(
        colors=colors, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
    )

    def to_console(logger: Any, method: str, line: MutableMapping[str, Any]) -> str:
        milliseconds = line.pop("at", 0)
        seconds, rest = divmod(milliseconds, 1000)
        line["time"] = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}Z"
        return str(render(logger, method, line))

    return to_console


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        os.write(2, b"\n")
        return
    structlog.get_logger("process").critical("uncaught_error", exc_info=(kind, error, trace))
