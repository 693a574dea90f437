"""Feed: the stream's bytes to events, and when a stream is begun again."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fliq_client import Forbidden, NotAnswered, Retries, UnexpectedAnswer
from fliq_client.call import Answer, Failure
from fliq_client.groups.feed import LINE_MAX, EventLines, Patience, StreamEvent

EVENT = {
    "specversion": "1.0",
    "id": "evt_1",
    "type": "sh.fliq.job.failed.v1",
    "source": "/v1/jobs",
    "subject": "job_1",
    "time": "2027-01-01T00:00:00Z",
    "data": {"status": "failed", "text": "a\u2028b"},
}
STREAM = b"retry: 1000\nid: a\n\n" + b"data: %b\n\ndata: %b\nid: b\n\n: ping\nid: c\n\n" % (
    (json.dumps(EVENT, ensure_ascii=False).encode(),) * 2
)


def refusal(status: int, code: str) -> Answer:
    body = json.dumps({"error": {"code": code, "message": "no"}}).encode()
    return Answer(status=status, headers={}, body=body)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_is_read_in_any_pieces(cuts: list[int]) -> None:
    """Events and places are the same, however the network cuts the bytes; an event has the place that was named up to it."""
    lines, found = EventLines(), list[StreamEvent]()
    edges = [0, *sorted(cuts), len(STREAM)]
    for begin, end in pairwise(edges):
        found += lines.take(STREAM[begin:end])
    assert [(each.name, each.subject, each.place) for each in found] == [
        ("job.failed", "job_1", "a"),
        ("job.failed", "job_1", "b"),
    ]
    assert found[0].data == EVENT["data"]
    assert lines.place == "c"


def test_half_an_event_is_forgotten_with_its_connection() -> None:
    """What the next connection brings does not continue it."""
    lines = EventLines()
    assert list(lines.take(b"id: a\n\ndata: {")) == []
    lines.connected()
    assert [each.place for each in lines.take(b"data: %b\nid: b\n\n" % json.dumps(EVENT).encode())] == ["b"]


def test_what_is_no_stream() -> None:
    """A line without an end, and data that is no event, are told."""
    with pytest.raises(UnexpectedAnswer):
        list(EventLines().take(b"x" * (LINE_MAX + 1)))
    with pytest.raises(UnexpectedAnswer):
        list(EventLines().take(b"data: []\n\n"))


def test_patience() -> None:
    """A refusal for good is raised at once; trouble is waited for, longer each time, until nothing was heard for too long."""
    patience = Patience(Retries(first_wait_s=1, longest_wait_s=4), 10)
    with pytest.raises(Forbidden):
        patience.wait_s(refusal(403, "forbidden"), 0, 0)
    gone = Failure(reason="gone", was_sent=True)
    assert [patience.wait_s(gone, at, 0) for at in (0, 1, 3)] == [1, 2, 4]
    patience.heard()
    assert patience.wait_s(refusal(503, "unavailable"), 50, 0) == 1
    with pytest.raises(NotAnswered):
        patience.wait_s(gone, 61, 0)
