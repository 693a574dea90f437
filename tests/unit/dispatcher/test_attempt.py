"""The request of an attempt, header by header, and the facts of its end."""

import base64
import hashlib
import hmac

import pytest
from standardwebhooks import Webhook

from libs.domain.instants import rfc3339
from libs.egress.caller_headers import clean_error, host_of
from libs.egress.outcome import Outcome
from libs.events import AttemptDue, Spec, encode, read
from libs.events.ids import execution_id, new_job_id, new_schedule_id
from services.dispatcher.attempt import finished, not_made, outgoing
from tests.fakes import events
from tests.fakes.pages import ROOT

T = 1_775_034_000_000  # 2026-04-01T09:00:00Z
JOB = new_job_id(T, 3, b"12345678")
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()


def due(**changes: object) -> AttemptDue:
    fields = {"account": "default", "at": T - 75, "not_before": T + 30_000}
    return events.due(JOB, T, 2, **(fields | changes))


def request_of(event: AttemptDue, **spec: object):
    made = Spec(**({"url": "https://target.example/hook?a=1"} | spec))  # type: ignore[arg-type]
    return outgoing(
        event, made, secrets=[SECRET], timestamp_s=T // 1000, user_agent="Fliq/1.2.3", traceparent=made.traceparent
    )


def header(request, name: str) -> list[str]:
    return [value for key, value in request.headers if key.lower() == name.lower()]


def test_a_call_carries_every_header_of_the_contract() -> None:
    """Ids, attempt, instant, idempotency key, agent, and five of signature; each once."""
    request = request_of(due(), body='{"a":1}', headers={"Content-Type": "application/json"})

    assert {key: value for key, value in request.headers if "ignature" not in key} == {
        "Content-Type": "application/json",
        "X-Fliq-Job-Id": JOB,
        "X-Fliq-Execution-Id": execution_id(JOB, 2),
        "X-Fliq-Attempt": "2",
        "X-Fliq-Scheduled-At": "2026-04-01T09:00:00Z",
        "Idempotency-Key": execution_id(JOB, 2),
        "User-Agent": "Fliq/1.2.3",
        "X-Fliq-Timestamp": "1775034000",
        "webhook-id": execution_id(JOB, 2),
        "webhook-timestamp": "1775034000",
    }
    assert len({key.lower() for key, _ in request.headers}) == len(request.headers)
    assert (request.method, request.url, request.body) == ("POST", "https://target.example/hook?a=1", b'{"a":1}')


def test_case_20_a_body_gets_no_content_type_of_ours() -> None:
    """Fliq does not know what the body is. docs/api.md says so, beside an example that sets the type."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

    assert header(request_of(due(), body='{"a":1}'), "Content-Type") == []
    assert "Fliq sends no `Content-Type` of its own" in page
    assert '"headers": {"Content-Type": "application/json"}, "body"' in page


def test_the_signature_is_over_the_bytes_that_are_sent() -> None:
    """HMAC-SHA256 of timestamp.METHOD.url.body, in hex."""
    request = request_of(due(), method="PUT", body="héllo")
    signed = b"1775034000.PUT.https://target.example/hook?a=1." + "héllo".encode()
    expected = hmac.new(bytes(range(32)), signed, hashlib.sha256).hexdigest()

    assert header(request, "X-Fliq-Signature") == [f"v1={expected}"]


def test_during_a_rotation_old_and_new_both_sign() -> None:
    """A target that knows either secret can verify."""
    request = outgoing(
        due(), Spec(url="https://t.example/"), secrets=[SECRET, OLD_SECRET], timestamp_s=1, user_agent="Fliq/1"
    )

    assert header(request, "X-Fliq-Signature")[0].count("v1=") == 2
    assert len(header(request, "webhook-signature")[0].split(" ")) == 2


def test_a_spawned_job_names_its_schedule() -> None:
    """X-Fliq-Schedule-Id is there for jobs of a schedule, and only for them."""
    schedule_id = new_schedule_id(T, 3, b"87654321")

    assert header(request_of(due(schedule_id=schedule_id)), "X-Fliq-Schedule-Id") == [schedule_id]
    assert header(request_of(due()), "X-Fliq-Schedule-Id") == []


def test_a_spawned_job_says_why_and_at_which_local_time() -> None:
    """X-Fliq-Trigger is there for jobs of a schedule, X-Fliq-Local-Time for those of one with a time zone."""
    schedule_id, local = new_schedule_id(T, 3, b"87654321"), "2026-04-01T11:00:00+02:00[Europe/Berlin]"
    plain, late = due(schedule_id=schedule_id), due(schedule_id=schedule_id, trigger="catchup", local_time=local)

    assert header(request_of(plain), "X-Fliq-Trigger") == ["schedule"]
    assert header(request_of(late), "X-Fliq-Trigger") == ["catchup"]
    assert header(request_of(late), "X-Fliq-Local-Time") == [local]
    assert header(request_of(plain), "X-Fliq-Local-Time") == []
    assert header(request_of(due()), "X-Fliq-Trigger") == []


def test_a_job_with_a_policy_says_how_far_it_is() -> None:
    """How many attempts there are, what the last one was answered, and from when none may start: each only if there is one."""
    names = ("X-Fliq-Max-Attempts", "X-Fliq-Previous-Status", "X-Fliq-Expires-At")
    first = due(max_attempts=4, too_late_at=T + 60_000)
    second = due(attempt=2, max_attempts=4, previous_status_code=503)

    assert [header(request_of(first), name) for name in names] == [["4"], [], [rfc3339(T + 60_000)]]
    assert [header(request_of(second), name) for name in names] == [["4"], ["503"], []]
    assert [header(request_of(due()), name) for name in names] == [[], [], []]


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_the_jobs_own_idempotency_key_wins(name: str) -> None:
    """Whatever its letter case, it is sent as given, and ours is not."""
    request = request_of(due(), headers={name: "order-17"})

    assert header(request, "Idempotency-Key") == ["order-17"]


def test_the_jobs_own_user_agent_and_traceparent_win() -> None:
    """Neither is sent twice."""
    request = request_of(due(), headers={"user-agent": "mine", "Traceparent": "00-a-b-01"}, traceparent="00-c-d-01")

    assert header(request, "User-Agent") == ["mine"]
    assert header(request, "traceparent") == ["00-a-b-01"]


def test_the_trace_of_the_request_goes_on_to_the_target() -> None:
    """traceparent is sent where there is one."""
    assert header(request_of(due(), traceparent="00-c-d-01"), "traceparent") == ["00-c-d-01"]
    assert header(request_of(due()), "traceparent") == []


@pytest.mark.parametrize(
    "name",
    ["X-Fliq-Signature", "x-fliq-anything", "webhook-id", "Webhook-Signature", "Host", "Content-Length", "Connection"],
)
def test_reserved_headers_of_an_old_spec_are_left_out(name: str) -> None:
    """A stored spec cannot forge what only Fliq may say, nor take part in framing."""
    request = request_of(due(), headers={name: "forged"})

    assert "forged" not in [value for _, value in request.headers]


def test_no_body_is_sent_where_the_job_has_none() -> None:
    """None stays None, and an empty text is an empty body."""
    assert request_of(due()).body is None
    assert request_of(due(), body="").body == b""


def test_the_standard_library_of_the_scheme_verifies_the_call() -> None:
    """The three Standard Webhooks headers verify with their own implementation."""
    import time

    body = '{"a":1}'
    request = outgoing(
        due(), Spec(url="https://t.example/", body=body), secrets=[SECRET], timestamp_s=int(time.time()), user_agent="x"
    )

    assert Webhook(SECRET).verify(body, {key.lower(): value for key, value in request.headers}) == {"a": 1}


def test_a_success_has_no_error() -> None:
    """Whatever the client noted besides: the status decides."""
    outcome = Outcome(
        ok=True, status_code=200, error=None, duration_ms=143, retry_after_ms=None, sent_at=T, is_truncated=True
    )
    event = finished(due(), outcome, at=T + 143)

    assert (event.ok, event.status_code, event.error, event.duration_ms) == (True, 200, None, 143)
    assert (event.started_at, event.at) == (T, T + 143)


def test_an_attempt_that_was_not_made_does_not_start_before_its_instant() -> None:
    """executed_at of such an attempt is its own instant, or later."""
    event = not_made(due(), "spec_missing", at=T)

    assert (event.ok, event.error, event.started_at) == (False, "spec_missing", T + 30_000)


def test_every_fact_can_be_read_back() -> None:
    """What is written fits the event's own checks."""
    outcome = Outcome(
        ok=False, status_code=None, error="a\x00b\ud800" + "c" * 500, duration_ms=-1, retry_after_ms=None, sent_at=T
    )
    for event in (finished(due(), outcome, at=T), not_made(due(), "x" * 999, at=T)):
        assert read(3, encode(event)) == event


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "internal_error"),
        ("", "internal_error"),
        ("HTTP 500", "HTTP 500"),
        ("a\nb\x00c", "a b c"),
        ("\ud800x", " x"),
        ("x" * 300, "x" * 200),
    ],
)
def test_an_error_is_one_short_clean_line(text: str | None, expected: str) -> None:
    """No control characters, no lone surrogates, at most 200 characters."""
    assert clean_error(text) == expected


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a.example/", "http://a.example"),
        ("http://a.example:8080/x/y?z", "http://a.example:8080"),
        ("https://[2606:4700::1]:8443/x", "https://[2606:4700::1]:8443"),
        ("https://a.example", "https://a.example"),
    ],
)
def test_a_host_is_scheme_name_and_port(url: str, host: str) -> None:
    """What a per-host limit counts by."""
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("url", "sent"),
    [("http://host", "http://host/"), ("http://host:81/x", "http://host:81/x"), ("http://h/?a", "http://h/?a")],
)
def test_case_17_a_call_is_signed_as_it_is_sent(url: str, sent: str) -> None:
    """A URL without a path is called at `/`, and a receiver that rebuilds the URL from the request gets the signed text."""
    request = request_of(due(), url=url, body="{}")

    expected = hmac.new(
        base64.b64decode(SECRET.removeprefix("whsec_")), f"{T // 1000}.POST.{sent}.{{}}".encode(), hashlib.sha256
    ).hexdigest()
    assert header(request, "X-Fliq-Signature") == [f"v1={expected}"]
