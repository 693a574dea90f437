"""What the client makes of the bytes of an answer. No I/O."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import fliq_client
from fliq_client import (
    ApiError,
    BadRequest,
    Conflict,
    CreatedJob,
    InvalidScheduledAt,
    JobAlreadyFired,
    NewToken,
    NotAnswered,
    NotVerified,
    UnexpectedAnswer,
    webhook_payload,
)
from fliq_client import answers as reading
from fliq_client.call import Answer, Call, Request
from fliq_client.contract.error_codes import CODES
from fliq_client.contract.models import Job, JobList
from fliq_client.exchange import Retries, exchange

CREATED = {
    "id": "job_1",
    "url": "https://example.com/",
    "http_method": "POST",
    "scheduled_at": "9999-12-31T23:59:59.999Z",
    "max_retries": 0,
    "status": "scheduled",
    "created_at": "2026-04-01T11:00:00.5+02:00",
}


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=found, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def error(status: int, code: str) -> Answer:
    return answer({"error": {"code": code, "message": "why"}}, status)


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_class(code: str) -> None:
    """It is raised, it can be imported from the package, and it knows its status."""
    kind = CODES[code]
    raised = reading.refusal(error(kind.status, code))
    assert type(raised) is kind
    assert getattr(fliq_client, kind.__name__) is kind
    assert (kind.code, str(raised)) == (code, f"{kind.status} {code}: why")
    assert issubclass(kind, BadRequest) == (kind.status == 400)
    assert issubclass(kind, Conflict) == (kind.status == 409)


@pytest.mark.parametrize(("status", "kind"), [(400, BadRequest), (409, Conflict), (418, ApiError)])
def test_a_code_of_a_newer_fliq_is_an_error_of_its_status(status: int, kind: type[ApiError]) -> None:
    """What this version does not know is caught by the broader class."""
    raised = reading.refusal(error(status, "from_the_future"))
    assert type(raised) is kind
    assert (raised.code, raised.status) == ("from_the_future", status)


@pytest.mark.parametrize("body", [b"<html>502</html>", b"", b"\xff\xfe", b"[]", b'{"error": "x"}'])
def test_what_fliq_did_not_say_is_no_api_error(body: bytes) -> None:
    """A proxy's page is an UnexpectedAnswer."""
    assert isinstance(reading.refusal(answer(body, 502)), UnexpectedAnswer)


def test_a_redirect_says_where_to() -> None:
    """It is not followed: the token would go along."""
    raised = reading.refusal(answer(b"", 301, location="https://fliq.example.com/v1/jobs"))
    assert "https://fliq.example.com/v1/jobs" in str(raised)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"id": 1}', b"<html>"])
def test_an_answer_of_another_shape_is_unexpected(body: bytes) -> None:
    """It is no exception of the decoder."""
    steps = exchange(
        Call(request=Request(method="GET", path="/"), read=reading.one(CreatedJob)), Retries(), lambda: 0.0
    )
    next(steps)
    with pytest.raises(UnexpectedAnswer):
        steps.send(answer(body))


@pytest.mark.parametrize(
    "raised",
    [
        InvalidScheduledAt("why", 400, "invalid_scheduled_at", 1.5),
        NotAnswered("x", True),
        UnexpectedAnswer("x", 502),
        NotVerified("url", "x"),
    ],
)
def test_errors_can_be_pickled(raised: Exception) -> None:
    """They travel between processes with all that they know."""
    again = pickle.loads(pickle.dumps(raised))  # noqa: S301 - made here
    assert (type(again), str(again), vars(again)) == (type(raised), str(raised), vars(raised))


def test_instants_are_aware() -> None:
    """They come as datetimes with a time zone, up to the last one that there is."""
    job = reading.one(CreatedJob)(answer(CREATED))
    assert job.created_at == datetime(2026, 4, 1, 9, 0, 0, 500_000, tzinfo=UTC)
    assert job.scheduled_at == datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)


def test_what_a_newer_fliq_adds_is_ignored() -> None:
    """A field and a status that this version does not know do no harm."""
    job = reading.one(CreatedJob)(answer(CREATED | {"status": "paused", "colour": "red"}))
    assert job.status == "paused"


def test_headers_mark_what_was_read() -> None:
    """`Fliq-Stale` and `Idempotent-Replayed` are on every object of the answer."""
    made = reading.one(CreatedJob)(answer(CREATED, idempotent_replayed="true"))
    assert (made.is_replayed, made.is_stale) == (True, False)
    assert reading.one(CreatedJob)(answer(CREATED)).is_replayed is False
    read = reading.page(JobList, lambda found: (found.jobs, found.next_cursor))
    page = read(answer({"jobs": [CREATED | {"execution_count": 0}], "next_cursor": None}, fliq_stale="true"))
    assert page.is_stale
    assert [job.is_stale for job in page.items] == [True]


def test_a_batch_has_jobs_and_errors() -> None:
    """In order: a job, a known error, an unknown one."""
    found = reading.results(
        answer(
            {
                "results": [
                    {"job": CREATED},
                    {"error": {"code": "job_already_fired", "message": "why"}},
                    {"error": {"code": "from_the_future", "message": "why"}},
                ]
            }
        )
    )
    assert [type(each) for each in found] == [CreatedJob, JobAlreadyFired, ApiError]
    with pytest.raises(UnexpectedAnswer):
        reading.results(answer({"results": [{}]}))


def test_a_record_of_the_timeline_keeps_its_fields() -> None:
    """Beside the four that all have, the others stand in `fields`."""
    record = {"type": "job.scheduled", "at": "2026-04-01T09:00:00Z", "position": 3, "partition": 1, "fire_at": "x"}
    (event,) = reading.timeline(answer({"events": [record]}))
    assert (event.type, event.position, event.partition, event.fields) == ("job.scheduled", 3, 1, {"fire_at": "x"})
    with pytest.raises(msgspec.ValidationError):
        reading.timeline(answer({"events": [{"type": "job.scheduled"}]}))


def test_a_timeline_says_that_its_first_records_are_gone() -> None:
    """Then it has the attempts of the job."""
    attempt = {
        "id": "exec_1",
        "attempt_num": 1,
        "status": "success",
        "status_code": 200,
        "duration_ms": 7,
        "error": None,
    }
    attempt["executed_at"] = "2026-04-01T09:00:00Z"
    found = reading.timeline(answer({"events": [], "trimmed": True, "status": "success", "executions": [attempt]}))
    assert (found, found.is_trimmed, [each.attempt_num for each in found.executions]) == ([], True, [1])
    whole = reading.timeline(answer({"events": []}))
    assert (whole, whole.is_trimmed, list(whole.executions)) == ([], False, [])


def test_a_webhook_is_read() -> None:
    """Its body is an object; what is none is a ValueError."""
    body = {"job_id": "job_1", "status": "completed", "status_code": 200, "completed_at": "2026-04-01T09:00:01Z"}
    assert webhook_payload(json.dumps(body | {"attempt_num": 1, "last_error": None}).encode()).status_code == 200
    with pytest.raises(ValueError, match="attempt_num"):
        webhook_payload(json.dumps(body).encode())


def test_secrets_do_not_show() -> None:
    """An object in a log line shows neither tokens nor headers."""
    token = NewToken(
        id="tok_1", name="x", scopes=[], last_four="abcd", created_at=datetime.now(UTC), token="fliq_sk_secret"
    )
    job = msgspec.convert(CREATED | {"execution_count": 0, "headers": {"Authorization": "Bearer secret"}}, Job)
    for shown in (repr(token), repr(job)):
        assert "secret" not in shown
        assert "=..." in shown
