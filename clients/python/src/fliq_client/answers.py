"""
Answers: from the bytes of an answer to objects and errors. Pure.

What this version does not know is passed over: a field that a newer Fliq adds is ignored, a code that it adds is an `ApiError` of
its status.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from fliq_client.call import Answer
from fliq_client.contract.error_codes import CODES
from fliq_client.contract.models import Answered, CreatedJob, Execution, WebhookPayload
from fliq_client.errors import ApiError, BadRequest, Conflict, FliqError, UnexpectedAnswer

T = TypeVar("T")
A = TypeVar("A", bound=Answered)
W = TypeVar("W")

_SHOWN_MAX: Final = 200  # characters of a strange answer
_TOO_MANY: Final = 429
_RESETS: Final = re.compile(r";\s*t=([0-9]+)")
_BY_STATUS: Final = {400: BadRequest, 409: Conflict}


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """
    One page of a list.

    Args:
        items: newest first.
        next_cursor: of the page behind it; None on the last one.
        is_stale: the log could not be asked, so the page may lack what was accepted before.
        is_partial: Fliq went through as many rows as it may; the search goes on at *next_cursor*, however few items there are.
    """

    items: list[T]
    next_cursor: str | None
    is_stale: bool = False
    is_partial: bool = False


class TimelineEvent(Answered, frozen=True, kw_only=True):
    """
    One record of a job's timeline; docs/events.md explains them.

    Args:
        type: such as `attempt.finished`.
        at: when it was written.
        position: its number in the job's life, from 0 on.
        partition: the part of the log that the job is in.
        fields: everything else that the record says.
    """

    type: str
    at: datetime
    position: int
    partition: int
    fields: dict[str, Any]


class _Refusal(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Refused(msgspec.Struct, frozen=True):
    error: _Refusal


class _Result(msgspec.Struct, frozen=True):
    job: CreatedJob | None = None
    existing: str | None = None
    error: _Refusal | None = None


class _Results(msgspec.Struct, frozen=True):
    results: list[_Result]


class Timeline(list[TimelineEvent]):
    """
    The records of a job or of a schedule, oldest first.

    Attributes:
        is_trimmed: the first records of the job are not in the log any more.
        executions: if so, all attempts of the job.
    """

    is_trimmed = False
    executions: Sequence[Execution] = ()


class _Timeline(msgspec.Struct, frozen=True):
    events: list[dict[str, Any]]
    trimmed: bool = False
    executions: list[Execution] = []


def nothing(_: Answer) -> None:
    """Read an answer without a body."""


def one(kind: type[A]) -> Callable[[Answer], A]:
    """Return what reads one object of *kind*."""
    decoder = msgspec.json.Decoder(kind)
    return lambda answer: _marked(decoder.decode(answer.body), answer)


def items(kind: type[W], of: Callable[[W], list[A]]) -> Callable[[Answer], list[A]]:
    """Return what reads the list that *of* finds in an answer of *kind*."""
    decoder = msgspec.json.Decoder(kind)
    return lambda answer: [_marked(item, answer) for item in of(decoder.decode(answer.body))]


def page(kind: type[W], of: Callable[[W], tuple[list[A], str | None]]) -> Callable[[Answer], Page[A]]:
    """Return what reads a page, of which *of* finds the items and the next cursor in an answer of *kind*."""
    decoder = msgspec.json.Decoder(kind)

    def read(answer: Answer) -> Page[A]:
        decoded = decoder.decode(answer.body)
        found, next_cursor = of(decoded)
        return Page(
            items=[_marked(item, answer) for item in found],
            next_cursor=next_cursor,
            is_stale=_says(answer, "fliq-stale"),
            is_partial=bool(getattr(decoded, "partial", None)),
        )

    return read


def results(answer: Answer) -> list[CreatedJob | ApiError]:
    """Read the answer to a batch: for each request the job, or the error that refused it."""
    found: list[CreatedJob | ApiError] = []
    for result in msgspec.json.decode(answer.body, type=_Results).results:
        if result.job is not None:
            found.append(result.job if result.existing is None else _existing(result.job, result.existing))
        elif result.error is not None:
            known = CODES.get(result.error.code, ApiError)
            found.append(known(result.error.message, known.status, result.error.code))
        else:
            raise UnexpectedAnswer("a result of the batch is neither a job nor an error", answer.status)
    return found


def timeline(answer: Answer) -> Timeline:
    """Read the timeline of a job or of a schedule."""
    said = msgspec.json.decode(answer.body, type=_Timeline)
    found = Timeline()
    found.is_trimmed, found.executions = said.trimmed, said.executions
    for record in said.events:
        own = {name: record.pop(name) for name in ("type", "at", "position", "partition") if name in record}
        found.append(msgspec.convert(own | {"fields": record}, TimelineEvent))
    return found


def webhook_payload(body: bytes) -> WebhookPayload:
    """Read the body of a webhook, which `verify` has passed; raises ValueError if it is none."""
    return msgspec.json.decode(body, type=WebhookPayload)  # its error is a ValueError


def refusal(answer: Answer) -> FliqError:
    """Return the error that *answer*, whose status is not 200 to 299, stands for."""
    try:
        told = msgspec.json.decode(answer.body, type=_Refused).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        if 300 <= answer.status < 400:
            return UnexpectedAnswer(f"redirected to {answer.headers.get('location')}: use that URL", answer.status)
        text = answer.body[:_SHOWN_MAX].decode("utf-8", "replace")
        return UnexpectedAnswer(f"Fliq did not answer this, so look at the URL: {text!r}", answer.status)
    kind = CODES.get(told.code) or _BY_STATUS.get(answer.status, ApiError)
    return kind(told.message, answer.status, told.code, retry_after_s(answer))


def retry_after_s(answer: Answer) -> float | None:
    """Return the seconds of Retry-After; of a 429 without it, those of RateLimit. Fliq sends no dates; one counts as absent."""
    text = answer.headers.get("retry-after", "").strip()
    if not text and answer.status == _TOO_MANY:
        # A proxy that knows only the newer field may have made this answer (draft-ietf-httpapi-ratelimit-headers).
        found = _RESETS.search(answer.headers.get("ratelimit", ""))
        text = found[1] if found else ""
    return float(text) if text.isdecimal() and text.isascii() and len(text) <= 9 else None


def _says(answer: Answer, name: str) -> bool:
    return answer.headers.get(name) == "true"


def _marked(item: A, answer: Answer) -> A:
    existing = answer.headers.get("fliq-existing")
    if existing is not None:
        return _existing(item, existing)
    is_stale, is_replayed = _says(answer, "fliq-stale"), _says(answer, "idempotent-replayed")
    change = answer.headers.get("fliq-change")
    if not is_stale and not is_replayed and change is None:
        return item
    return msgspec.structs.replace(item, is_stale=is_stale, is_replayed=is_replayed, change=change)


def _existing(item: A, existing: str) -> A:
    return msgspec.structs.replace(item, existing=existing)
