"""
Answer text: whether the bytes of a body are text, and which.

Text is what says so by its type, in a charset of the closed list `_CODECS`, and is valid in it. A list, because the codecs of the
language have names that no target must be able to choose. A body that was compressed is not text.
"""

from codecs import getincrementaldecoder
from typing import Final, NamedTuple

from libs.domain.responses.answer_keeper import RawAnswer

_CODECS: Final = {
    **dict.fromkeys(("", "utf-8", "utf8", "us-ascii", "ascii"), "utf-8"),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1"), "latin-1"),
    **dict.fromkeys(("windows-1252", "cp1252"), "cp1252"),
}
_TYPES: Final = frozenset(
    {
        *("application/json", "application/xml", "application/x-www-form-urlencoded"),
        *("application/x-ndjson", "application/javascript", "application/graphql"),
    }
)
_CONTINUATION: Final = range(0x80, 0xC0)  # bytes of UTF-8 that begin no character
_CONTINUATIONS_MAX: Final = 3


class AnswerText(NamedTuple):
    """Head and tail of a body as text; *tail* is empty if nothing between them is missing."""

    head: str
    tail: str


def text_of(answer: RawAnswer) -> AnswerText | None:
    """Return the text of *answer*; None if it is not text. A character that was cut is left out."""
    headers = dict(reversed(answer.headers))  # of several the first counts
    kind, charset = _media_type(headers.get("content-type", ""))
    is_text = kind.startswith("text/") or kind in _TYPES or kind.endswith(("+json", "+xml"))
    codec = _CODECS.get(charset)
    if not is_text or codec is None or headers.get("content-encoding", "identity").strip().lower() != "identity":
        return None
    try:
        if not answer.is_cut:
            return AnswerText(_decoded(answer.head + answer.tail, codec, is_end=answer.is_whole), "")
        head = _decoded(answer.head, codec, is_end=False)
        tail = answer.tail if codec != "utf-8" else _from_a_character(answer.tail)
        return AnswerText(head, _decoded(tail, codec, is_end=answer.is_whole))
    except UnicodeDecodeError:
        return None


def _decoded(data: bytes, codec: str, *, is_end: bool) -> str:
    return getincrementaldecoder(codec)().decode(data, is_end)


def _from_a_character(data: bytes) -> bytes:
    start = 0
    while start < min(_CONTINUATIONS_MAX, len(data)) and data[start] in _CONTINUATION:
        start += 1
    return data[start:]


def _media_type(value: str) -> tuple[str, str]:
    """Return the type and the charset that a `Content-Type` names, in lower case; the charset is empty if it names none."""
    kind, *parameters = value.lower().split(";")
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip() == "charset":
            return kind.strip(), text.strip().strip("\"'")
    return kind.strip(), ""
