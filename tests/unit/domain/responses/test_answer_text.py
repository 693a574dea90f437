"""Which bodies are text, and which text."""

import pytest

from libs.domain.responses.answer_keeper import RawAnswer
from libs.domain.responses.answer_text import AnswerText, text_of


def answer(
    body: bytes, content_type: str | None = "text/plain", *, half: int = 4_096, is_whole: bool = True, **headers: str
) -> RawAnswer:
    sent = [] if content_type is None else [("content-type", content_type)]
    sent += [(name.replace("_", "-"), value) for name, value in headers.items()]
    head, rest = body[:half], body[half:]
    return RawAnswer(tuple(sent), head, rest[-half:], len(body), "", is_whole)


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/html; charset=utf-8", "äß€".encode(), "äß€"),
        ('TEXT/HTML ; CHARSET="UTF-8"', "€".encode(), "€"),
        ("application/json", b"{}", "{}"),
        ("application/problem+json", b"{}", "{}"),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        ("application/x-www-form-urlencoded", b"a=b", "a=b"),
        ("text/plain; charset=iso-8859-1", b"\xe4", "ä"),
        ("text/plain; charset=windows-1252", b"\x80", "€"),
        ("text/plain; charset=us-ascii", b"a", "a"),
        ("text/plain", b"", ""),
    ],
)
def test_text_is_decoded(content_type: str, body: bytes, text: str) -> None:
    """By its charset, UTF-8 if it names none."""
    assert text_of(answer(body, content_type)) == AnswerText(text, "")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b"text"),
        ("application/octet-stream", b"text"),
        ("image/png", b"\x89PNG"),
        ("text/plain", b"\xff\xfe\x00"),
        ("text/plain; charset=utf-16", "a".encode("utf-16")),
        ("text/plain; charset=zip", b"x"),
        ("text/plain; charset=punycode", b"x"),
        ("text/plain; charset=unicode_escape", b"\\x41"),
        ("text/plain; charset=windows-1252", b"\x81"),
        ("text/plain;;;charset=;charset=zip=", "é".encode("latin-1")),
    ],
)
def test_what_is_not_text_is_none(content_type: str | None, body: bytes) -> None:
    """Another type, bytes that are not valid in the charset, or a charset that is not on the list."""
    assert text_of(answer(body, content_type)) is None


def test_a_compressed_body_is_not_text() -> None:
    """Whatever its type says."""
    assert text_of(answer(b"plain", content_encoding="gzip")) is None
    assert text_of(answer(b"plain", content_encoding="Identity ")) == AnswerText("plain", "")


@pytest.mark.parametrize("half", range(1, 24))
def test_a_character_that_is_cut_is_left_out(half: int) -> None:
    """Wherever the cuts fall within characters of one to four bytes, head and tail are a beginning and an end of the text."""
    text = "aä€😀" * 12
    found = text_of(answer(text.encode(), half=half))

    assert found is not None
    assert text.startswith(found.head)
    assert text.endswith(found.tail)
    assert len(found.head.encode()) > half - 4
    assert len(found.tail.encode()) > half - 4


def test_a_body_that_broke_off_within_a_character_is_text() -> None:
    """The connection ended there: that is no fault of the text. In a whole body it is one."""
    broken = "abc€".encode()[:-1]
    assert text_of(answer(broken, is_whole=False)) == AnswerText("abc", "")
    assert text_of(answer(broken, is_whole=True)) is None
