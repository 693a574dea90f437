"""Captured: the answer of a target as it is stored."""

from collections.abc import Iterable
from typing import Final

import msgspec

from libs.domain.responses.answer_keeper import RawAnswer
from libs.domain.responses.answer_text import text_of
from libs.domain.responses.redaction import Redactor

SHORT: Final = 512  # characters that are kept once an account has had its share of a day
# Headers of a request that hold no secret; the same words stand in many answers.
_NO_SECRETS: Final = frozenset(
    {
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "content-type"),
        *("idempotency-key", "traceparent", "user-agent", "webhook-id", "webhook-timestamp"),
    }
)
_NO_SECRET_BEGINNINGS: Final = ("x-fliq-",)
_SIGNATURES: Final = "signature"


class Captured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What is kept of an answer.

    Args:
        headers: by name in lower case; values of the same name joined by commas.
        length: bytes of the body that were read.
        sha256: of these bytes, as they came; in hex.
        head: the beginning of the body, or all of it; None if it is not text.
        tail: the end of what was read; None if *head* is all of that, or the rest must not be kept.
        truncated: something of the body is not here.
        redacted: in how many places something was taken out.
    """

    headers: dict[str, str]
    length: int
    sha256: str
    head: str | None = None
    tail: str | None = None
    truncated: bool = False
    redacted: int = 0


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Captured).decode


def secret_headers(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Return the values in *headers* of a request that an answer must not show."""
    found = []
    for name, value in headers:
        lower = name.lower()
        is_plain = lower in _NO_SECRETS or lower.startswith(_NO_SECRET_BEGINNINGS)
        if not is_plain or _SIGNATURES in lower:
            found.append(value)
    return found


def captured(answer: RawAnswer, redactor: Redactor, *, has_names: bool, is_short: bool = False) -> Captured:
    """
    Return what is kept of *answer*.

    Args:
        has_names: values are told by their names. Then of a body with a gap only the beginning is kept: what stands behind the gap
            may be the value of a name within it.
        is_short: keep the beginning alone.
    """
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    headers = {name: redactor.redacted(value, is_end_cut=True) for name, value in headers.items()}
    text = text_of(answer)
    head = tail = None
    is_truncated = answer.is_cut or not answer.is_whole
    if text is not None:
        is_end_cut = answer.is_cut or not answer.is_whole
        head = redactor.redacted(text.head, is_end_cut=is_end_cut)
        if answer.is_cut and not has_names and not is_short:
            tail = redactor.redacted(text.tail, is_start_cut=True, is_end_cut=not answer.is_whole)
        if is_short and len(head) > SHORT:
            head, is_truncated = head[:SHORT], True
    return Captured(
        headers=headers,
        length=answer.length,
        sha256=answer.sha256,
        head=head,
        tail=tail,
        truncated=is_truncated or (head is None and answer.length > 0),
        redacted=redactor.count,
    )
