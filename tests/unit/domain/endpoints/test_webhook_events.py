"""Which event of an account goes to which endpoint: 60 events, 24 endpoints, and what each gets, in words of its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import msgspec
import pytest

from libs.domain.endpoints.endpoint import EndpointConfig, Filter, name_for
from libs.domain.endpoints.webhook_event import (
    ALL,
    EVENTS,
    FAILING,
    TEST,
    Attempt,
    WebhookEvent,
    of_attempt,
    of_autopause,
    of_disabling,
    of_end,
    of_test,
    of_tick,
)
from libs.events import JobCancelled, JobFinished, ScheduleAutopaused
from libs.events.ids import new_job_id, new_schedule_id
from tests.fakes import events

JOB = new_job_id(1_000, 3, b"12345678")
A, B = new_schedule_id(1, 3, b"aaaaaaaa"), new_schedule_id(1, 3, b"bbbbbbbb")
AT = 1_000_000
URL = "https://example.com/hook"
# Of the jobs that call each host.
LABELS: dict[str, dict[str, str]] = {
    "a.example": {"tenant": "acme", "env": "prod"},
    "b.example": {"tenant": "zeta", "env": "prod"},
    "c.example": {"tenant": "acme", "env": "None"},
    "[::1]": {},
}


def ended(status: str) -> JobFinished | JobCancelled:
    """Return the end of the job with *status*."""
    if status == "cancelled":
        return JobCancelled(job_id=JOB, account="acme", at=AT)
    is_failed = status == "failed"
    return JobFinished(
        job_id=JOB,
        account="acme",
        at=AT,
        status="failed" if is_failed else "completed",
        attempt=2,
        status_code=503 if is_failed else 200,
        last_error="HTTP 503" if is_failed else None,
    )


def tried(*, ok: bool) -> WebhookEvent:
    """Return the end of the job's second attempt."""
    return judged(ok=ok, schedule_id=None, host=None)


def judged(*, ok: bool, schedule_id: str | None, host: str | None) -> WebhookEvent:
    """Return the end of the second attempt of a job of *schedule_id* that calls *host*."""
    attempt = Attempt(JOB, 2, ok, 200 if ok else 503, None if ok else "HTTP 503", 20, AT - 20)
    return of_attempt(attempt, at=AT, schedule_id=schedule_id, host=host, labels=LABELS.get(host or "", {}))


def sixty() -> list[tuple[str, str | None, str, WebhookEvent]]:
    """Return (what happened, schedule, host, event) for five happenings of twelve jobs."""
    found = []
    for schedule, host in product((None, A, B), ("a.example", "b.example", "c.example", "[::1]")):
        for status in ("completed", "failed", "cancelled"):
            event = of_end(ended(status), schedule_id=schedule, host=host, labels=LABELS[host])
            found.append((status, schedule, host, event))
        for word, ok in (("tried badly", False), ("tried well", True)):
            found.append((word, schedule, host, judged(ok=ok, schedule_id=schedule, host=host)))
    return found


Expected = Callable[[str, str | None, str], bool]
ENDS = ("completed", "failed", "cancelled")
# (events, filter, which of the sixty it gets)
ENDPOINTS: list[tuple[tuple[str, ...], Filter | None, Expected]] = [
    (("job.failed",), None, lambda what, _s, _h: what == "failed"),
    (("job.completed",), None, lambda what, _s, _h: what == "completed"),
    (("job.cancelled",), None, lambda what, _s, _h: what == "cancelled"),
    (("attempt.failed",), None, lambda what, _s, _h: what == "tried badly"),
    (("attempt.finished",), None, lambda what, _s, _h: what.startswith("tried")),
    (("attempt.failed", "attempt.finished"), None, lambda what, _s, _h: what.startswith("tried")),
    (("job.completed", "job.failed"), None, lambda what, _s, _h: what in ("completed", "failed")),
    (("endpoint.disabled",), None, lambda _w, _s, _h: False),
    ((ALL,), None, lambda _w, _s, _h: True),
    ((ALL, "job.failed"), None, lambda _w, _s, _h: True),
    ((ALL,), Filter(), lambda _w, _s, _h: True),
    ((ALL,), Filter(schedule_ids=(A,)), lambda _w, schedule, _h: schedule == A),
    ((ALL,), Filter(schedule_ids=(A, B)), lambda _w, schedule, _h: schedule is not None),
    ((ALL,), Filter(hosts=("a.example",)), lambda _w, _s, host: host == "a.example"),
    ((ALL,), Filter(hosts=("b.example", "[::1]")), lambda _w, _s, host: host in ("b.example", "[::1]")),
    ((ALL,), Filter(labels=("tenant:acme",)), lambda _w, _s, host: host in ("a.example", "c.example")),
    ((ALL,), Filter(labels=("tenant:acme", "tenant:zeta")), lambda _w, _s, host: host != "[::1]"),
    (
        (ALL,),
        Filter(labels=("tenant:acme", "env:prod", "tenant:zeta")),
        lambda _w, _s, host: host in ("a.example", "b.example"),
    ),
    (
        ("job.failed",),
        Filter(labels=("env:None",), schedule_ids=(A,)),
        lambda what, schedule, host: what == "failed" and schedule == A and host == "c.example",
    ),
    ((ALL,), Filter(status_codes=(503,)), lambda what, _s, _h: what in ("failed", "tried badly")),
    ((ALL,), Filter(status_codes=(200, 503)), lambda what, _s, _h: what != "cancelled"),
    (("job.failed",), Filter(status_codes=(500,)), lambda _w, _s, _h: False),
    (
        ("job.failed", "job.cancelled"),
        Filter(schedule_ids=(B,), hosts=("c.example",)),
        lambda what, schedule, host: what in ("failed", "cancelled") and schedule == B and host == "c.example",
    ),
    (
        (ALL,),
        Filter(schedule_ids=(A,), hosts=("a.example",), status_codes=(200,)),
        lambda what, schedule, host: what in ("completed", "tried well") and schedule == A and host == "a.example",
    ),
]


@pytest.mark.parametrize("row", range(len(ENDPOINTS)))
def test_an_endpoint_gets_what_it_asks_for(row: int) -> None:
    """Of sixty events each endpoint gets exactly those that its events name and its filter lets through."""
    asked, wanted, expected = ENDPOINTS[row]
    config = EndpointConfig(url=URL, events=asked, filter=wanted)

    got = [name_for(config, event) is not None for *_, event in sixty()]

    assert got == [expected(what, schedule, host) for what, schedule, host, _ in sixty()]


def test_the_table_has_its_size() -> None:
    """Twenty-four endpoints and sixty events are compared."""
    assert (len(ENDPOINTS), len(sixty())) == (24, 60)


def test_an_attempt_that_failed_is_told_once() -> None:
    """It is called `attempt.failed` where that is asked for, else `attempt.finished`."""
    event = tried(ok=False)

    names = [
        name_for(EndpointConfig(url=URL, events=asked), event)
        for asked in (("attempt.finished",), ("attempt.finished", "attempt.failed"), (ALL,))
    ]

    assert names == ["attempt.finished", "attempt.failed", "attempt.failed"]


def test_a_filter_holds_back_no_event_that_is_about_no_job() -> None:
    """An endpoint that asks for one schedule's jobs is told all the same that another endpoint was disabled."""
    config = EndpointConfig(
        url=URL, events=("endpoint.disabled",), filter=Filter(schedule_ids=(A,), status_codes=(200,))
    )

    assert name_for(config, of_disabling("whe_1", URL, FAILING, AT)) == "endpoint.disabled"


def test_no_endpoint_asks_for_tests() -> None:
    """A test is sent when it is asked for; its name is none of the events."""
    assert TEST not in EVENTS
    assert of_test("whe_1", AT).names == (TEST,)


def test_every_event_can_be_made() -> None:
    """The names of `EVENTS` are those of the events that records give."""
    tick = events.ticked(A, AT, missed_count=1, skipped=(AT,))
    pause = ScheduleAutopaused(schedule_id=A, account="acme", at=AT, failures=1, version=1)
    others = (*of_tick(tick), of_autopause(pause), of_disabling("whe_1", URL, FAILING, AT))
    made = {name for event in (*[event for *_, event in sixty()], *others) for name in event.names}

    assert made == set(EVENTS)


def test_a_stored_endpoint_without_newer_fields_is_read() -> None:
    """What stands in the tables has only the fields that were set; the others have their defaults."""
    stored = msgspec.json.decode(b'{"url":"https://example.com/hook","events":["job.failed"]}', type=EndpointConfig)

    assert stored == EndpointConfig(url=URL, events=("job.failed",))
    assert msgspec.json.encode(stored) == b'{"url":"https://example.com/hook","events":["job.failed"]}'
