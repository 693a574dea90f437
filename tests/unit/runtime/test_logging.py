"""Log lines: what may leave, in which form, and that writing them never blocks."""

from __future__ import annotations

import io
import json
import logging as stdlib
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from libs.runtime.telemetry.logging import LineWriter, configure
from libs.runtime.telemetry.redaction import ALLOWED, clean_text, redact, reduce_url


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where lines go; everything that configure() changes is put back."""
    root, show, hook = stdlib.getLogger(), warnings.showwarning, sys.excepthook
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    stdlib.captureWarnings(False)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    warnings.showwarning, sys.excepthook = show, hook


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_only_named_fields_leave(stream: io.StringIO) -> None:
    """A field that is not on the list is withheld, and only its name is told."""
    writer = configure("info", "json", stream=stream)
    structlog.get_logger("room").info("done", job_id="job_1", body="hunter2", headers={"authorization": "hunter2"})
    assert writer.flush()
    (line,) = lines_of(stream)
    assert "hunter2" not in stream.getvalue()
    assert line["withheld"] == ["body", "headers"]
    assert (line["event"], line["level"], line["logger"], line["job_id"]) == ("done", "info", "room", "job_1")
    assert isinstance(line["at"], int)


def test_below_the_level_nothing_is_written(stream: io.StringIO) -> None:
    """Debug lines of ours and info lines of libraries stay away at level info."""
    writer = configure("info", "json", stream=stream)
    structlog.get_logger().debug("quiet")
    stdlib.getLogger("asyncpg").info("quiet")
    assert writer.flush()
    assert stream.getvalue() == ""


def test_a_traceback_has_no_values_of_variables_and_no_secrets(stream: io.StringIO) -> None:
    """Files, lines and functions are told; locals are not, and secrets in a message are hidden."""
    writer = configure("info", "json", stream=stream)
    try:
        hidden = "hunter2"
        raise ValueError(f"{len(hidden)} fliq_sk_abcdef https://u:p@h.example/t?k=v")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert writer.flush()
    (line,) = lines_of(stream)
    assert line["level"] == "error"
    assert line["error_type"] == "ValueError"
    assert "test_a_traceback_has_no" in line["exception"]
    shown = line["exception"].splitlines()[-1]
    assert shown.startswith("ValueError: 7 fliq_sk_*** https://h.example/~")
    for secret in ("hunter2'", "abcdef ", "u:p", "k=v"):
        assert secret not in shown


def test_warnings_and_the_standard_library_take_the_same_way(stream: io.StringIO) -> None:
    """asyncio's errors and Python's warnings are lines like ours."""
    writer = configure("info", "json", stream=stream)
    stdlib.getLogger("asyncio").error("task failed: %s", "Bearer abc.def", exc_info=KeyError("k"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    assert writer.flush()
    first, second = lines_of(stream)
    assert (first["logger"], first["event"]) == ("asyncio", "task failed: Bearer ***")
    assert first["error_type"] == "KeyError"
    assert second["logger"] == "py.warnings"


def test_a_librarys_warning_names_the_error_without_its_traceback(stream: io.StringIO) -> None:
    """A library that retries says what failed in one short line."""
    writer = configure("info", "json", stream=stream)
    stdlib.getLogger("asyncpg.pool").warning("trying again", exc_info=ConnectionRefusedError("refused"))
    assert writer.flush()
    (line,) = lines_of(stream)
    assert line["error"] == "ConnectionRefusedError: refused"
    assert "exception" not in line


def test_a_line_is_a_line(stream: io.StringIO) -> None:
    """Line breaks in what others sent cannot forge a second line in either form."""
    for form in ("json", "console"):
        stream.seek(0)
        stream.truncate()
        writer = configure("info", form, stream=stream)
        structlog.get_logger().info("said", reason="x\n12:00:00 [info] forged\x1b[2J")
        assert writer.flush()
        assert len(stream.getvalue().splitlines()) == 1
        assert "\x1b" not in stream.getvalue()


class Blocked(io.StringIO):
    """A reader that does not read until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.reading.wait(10)
        return super().write(text)


def test_a_reader_that_does_not_read_stalls_nobody() -> None:
    """Lines beyond the queue are dropped and counted; when the reader comes back it learns how many."""
    blocked = Blocked()
    writer = LineWriter(blocked, limit=3)
    writer.write("first")
    assert blocked.reached.wait(10)
    for number in range(10):
        writer.write(f"line {number}")
    assert not writer.flush(0.01)
    blocked.reading.set()
    assert writer.flush(10)
    writer.write("last")
    assert writer.flush(10)
    text = blocked.getvalue()
    assert "first\nline 0\nline 1\nline 2\n" in text
    assert '"dropped":7' in text
    assert text.rstrip().endswith("last")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@Example.com:8443/", "https://example.com:8443/"),
        ("http://h.example", "http://h.example/"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("http://h.example:99999/x", "malformed-url"),
        ("http://[::1/x", "malformed-url"),
    ],
)
def test_an_address_keeps_scheme_and_host_only(url: str, shown: str) -> None:
    """User info, path and query stay out."""
    assert reduce_url(url) == shown


def test_two_paths_can_be_told_apart() -> None:
    """The same path gives the same digits, another one others."""
    assert reduce_url("https://h/a?k=1") == reduce_url("https://h/a?k=1") != reduce_url("https://h/a?k=2")
    assert "k=1" not in reduce_url("https://h/a?k=1")


def test_secrets_in_texts_are_hidden() -> None:
    """Tokens, signing secrets, credentials and database passwords are recognised in any text."""
    text = clean_text("fliq_sk_AAA whsec_BBB= Bearer CCC basic DDD postgresql://u:EEE@h/d")
    assert not any(secret in text for secret in ("AAA", "BBB", "CCC", "DDD", "EEE"))


def test_what_the_database_quotes_is_hidden() -> None:
    """A refused row, parameter or text is not repeated, also where an error is shown by its repr; what refused it is."""
    row = 'violates check constraint "c"\nDETAIL:  Failing row contains (default, c4n4ry).'
    for text in (
        row,
        repr(ValueError(row)),
        "invalid input for query argument $3: 'c4n4ry' (value out of int64 range)",
        'invalid input syntax for type uuid: "c4n4ry"',
    ):
        assert "c4n4ry" not in clean_text(text)
    assert clean_text(f"{row}\n  File x") == 'violates check constraint "c"\nDETAIL: ***\n  File x'


def test_a_value_that_cannot_be_printed_does_not_break_the_line() -> None:
    """The line that reports a fault arrives, whatever it carries."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    line = redact(
        None, "", {"event": "e", "reason": Broken(), "error": "x" * 10_000, "count": 3, "job_id": ["a", b"b"]}
    )
    assert line["reason"] == "unprintable Broken: RuntimeError"
    assert len(str(line["error"])) < 2_100
    assert (line["count"], line["job_id"]) == (3, ["a", "b'b'"])


def test_the_list_has_no_field_that_carries_other_peoples_data() -> None:
    """Bodies, headers, tokens and addresses of callers are never on the list."""
    assert not ALLOWED & {"body", "headers", "webhook_headers", "token", "secret", "authorization", "query", "dsn"}
