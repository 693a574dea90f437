"""
Feed: how the stream of events is read, and begun again where it broke off. Pure.

Events that came are not asked for again: each connection says where the one before was (`Last-Event-ID`). Those that came after the
last place that Fliq named may come twice; they have the same `id` both times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from fliq_client.answers import refusal, retry_after_s
from fliq_client.call import Answer, Call, Failure
from fliq_client.contract.models import Answered
from fliq_client.errors import FliqError, NotAnswered, UnexpectedAnswer
from fliq_client.exchange import Retries

SILENCE_S: Final = 45.0  # Fliq writes something every 15 s
LINE_MAX: Final = 1_048_576  # bytes
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})


class StreamEvent(Answered, frozen=True, kw_only=True):
    """
    Something that happened to a job or a schedule: a CloudEvent.

    Args:
        id: the same if the event comes twice.
        type: such as `sh.fliq.job.failed.v1`.
        source: `/v1/jobs` or `/v1/schedules`.
        subject: the id of the job or schedule.
        time: when it happened.
        data: what there is to say; docs/api.md, "Stream", has the fields.
        place: where the stream is: as `last_event_id` it goes on behind what was told up to here. Empty before the first place.
    """

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    data: dict[str, Any]
    place: str = ""

    @property
    def name(self) -> str:
        """The type without its frame, such as `job.failed`."""
        return self.type.removeprefix("sh.fliq.").rpartition(".")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """
    A stream.

    Args:
        call_of: gives the request that begins behind a place; None for the first one.
        patience_s: how long nothing may be heard of Fliq before the stream is given up, in seconds.
    """

    call_of: Callable[[str | None], Call[None]]
    patience_s: float


class EventLines:
    """Makes events of the bytes of a stream, connection after connection."""

    def __init__(self) -> None:
        self.place: str | None = None
        self._rest = b""
        self._data: list[bytes] = []

    def connected(self) -> None:
        """Forget what was left over of the connection before."""
        self._rest, self._data = b"", []

    def take(self, chunk: bytes) -> Iterator[StreamEvent]:
        """Yield the events that are complete with *chunk*; raises UnexpectedAnswer if it is no stream of events."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LINE_MAX:
            raise UnexpectedAnswer("a line of the stream does not end", 200)
        for line in lines:
            name, _, value = line.rstrip(b"\r").partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                self._data.append(value)
            elif name == b"id":
                self.place = value.decode("ascii", "replace")
            elif not line.strip() and self._data:
                text, self._data = b"\n".join(self._data), []
                try:
                    event = msgspec.json.decode(text, type=StreamEvent)
                except msgspec.DecodeError as error:
                    raise UnexpectedAnswer(f"an event has another shape than this client knows: {error}", 200) from None
                yield msgspec.structs.replace(event, place=self.place or "")


class Patience:
    """How long to wait before a stream is begun again, and when it is given up."""

    def __init__(self, retries: Retries, patience_s: float) -> None:
        self._retries = retries
        self._patience_s = patience_s
        self._troubles = 0
        self._since_s: float | None = None

    def heard(self) -> None:
        """Note that Fliq was heard of."""
        self._troubles, self._since_s = 0, None

    def wait_s(self, outcome: Answer | Failure, now_s: float, jitter: float) -> float:
        """
        Return how long to wait, in seconds, after a connection ended with *outcome*.

        Raises:
            FliqError: Fliq refused the stream, or was not heard of for too long.
        """
        asked_s = 0.0
        if isinstance(outcome, Answer):
            error: FliqError = refusal(outcome)
            if outcome.status not in _LATER:
                raise error
            asked_s = retry_after_s(outcome) or 0.0
        else:
            error = NotAnswered(outcome.reason, False)
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s > self._patience_s:
            raise error
        self._troubles += 1
        return max(self._retries.wait_s(self._troubles, jitter), asked_s)
