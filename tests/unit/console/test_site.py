"""Every page and every action, from a request to an answer, with an API that answers from a table."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from services.console.api_calls import ApiRefused
from services.console.http_messages import Request
from services.console.pages.routes import ROUTES
from tests.unit.console.logged_in import DELIVERY_ID, ENDPOINT_ID, JOB_ID, SCHEDULE_ID, TOKEN, Person


@pytest.fixture
async def person() -> Person:
    return await Person().log_in()


def placed(path: str) -> str:
    ids = {"/schedules": SCHEDULE_ID, "/webhooks/deliveries": DELIVERY_ID, "/webhooks": ENDPOINT_ID}
    return path.replace("{}", next((item for start, item in ids.items() if path.startswith(start)), JOB_ID))


@pytest.mark.parametrize("path", sorted({path for method, path, _, _ in ROUTES if method == "GET"}))
async def test_every_page_is_answered(person: Person, path: str) -> None:
    """With a page that is whole, is kept nowhere, and may load nothing from elsewhere."""
    answer = await person.send("GET", placed(path))

    assert answer.status == 200, answer.body.decode()[:3000]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert TOKEN.encode() not in answer.body


@pytest.mark.parametrize("page", ["jobs", "schedules"])
async def test_a_label_leads_to_what_has_it(person: Person, page: str) -> None:
    """Each row shows its labels; the list behind the link asks the API for the label, and its pages do, too."""
    shown = (await person.send("GET", f"/{page}")).body.decode()
    assert f'href="/console/{page}?label=tenant%3Aa%26b">tenant: a&amp;b</a>' in shown

    found = (await person.send("GET", f"/{page}?label=tenant%3Aa&q=")).body.decode()
    assert any(path.startswith(f"/v1/{page}?label=tenant%253Aa&limit=") for path in person.api.asked), person.api.asked
    if page == "schedules":
        assert "/console/schedules?label=tenant%253Aa&amp;cursor=more" in found


async def test_a_text_is_first_asked_for_as_a_name(person: Person) -> None:
    """What the API finds by it is shown alone, and nothing was looked through; with another filter the jobs are looked through."""
    found = (await person.send("GET", "/jobs?q=order-7")).body.decode()
    assert person.api.asked[-1] == "/v1/jobs?q=order-7&limit=50"
    assert "Looked through" not in found

    found = (await person.send("GET", "/jobs?q=order-7&host=a.example")).body.decode()
    assert person.api.asked[-1] == "/v1/jobs?limit=100"
    assert "Looked through the newest 1 jobs" in found


async def test_who_is_not_logged_in_gets_the_log_in(person: Person) -> None:
    """And comes back to the page afterwards."""
    person.cookies.clear()

    assert (await person.send("GET", "/jobs?status=failed")).headers["Location"] == (
        "/console/login?then=%2Fjobs%3Fstatus%3Dfailed"
    )
    answer = await person.send("POST", "/login", {"token": TOKEN, "then": "/jobs?status=failed"})
    assert answer.headers["Location"] == "/console/jobs?status=failed"
    assert (await person.send("POST", "/login", {"token": "odd"})).status == 400


@pytest.mark.parametrize("path", sorted({path for method, path, _, _ in ROUTES if method == "POST"}))
async def test_a_token_that_may_only_read_changes_nothing(path: str) -> None:
    """Each write is 403, and the API is not even asked."""
    reader = await Person(["read", "read:jobs"]).log_in()

    answer = await reader.do(placed(path), action="cancel", job=JOB_ID, url="https://a.example", sure="1")

    assert answer.status == 403
    assert b"does not have the scope write:" in answer.body
    assert reader.api.made == []


@pytest.mark.parametrize("form", [{}, {"secret": "guess"}])
async def test_a_form_without_the_secret_does_nothing(person: Person, form: dict[str, str]) -> None:
    """Whatever cookie comes with it."""
    answer = await person.send("POST", f"/jobs/{JOB_ID}/act", {"action": "cancel", **form})

    assert (answer.status, person.api.made) == (403, [])


@pytest.mark.parametrize(
    ("path", "form", "made", "place"),
    [
        (
            "/jobs",
            {"url": "https://a.example", "delay_seconds": "5"},
            ("POST", "/v1/jobs", {"url": "https://a.example", "delay_seconds": 5.0}),
            "/jobs/made_1",
        ),
        (f"/jobs/{JOB_ID}/act", {"action": "cancel"}, ("DELETE", f"/v1/jobs/{JOB_ID}", None), f"/jobs/{JOB_ID}"),
        (f"/jobs/{JOB_ID}/act", {"action": "stop"}, ("POST", f"/v1/jobs/{JOB_ID}/stop", None), f"/jobs/{JOB_ID}"),
        (f"/jobs/{JOB_ID}/act", {"action": "run"}, ("POST", f"/v1/jobs/{JOB_ID}/run", None), f"/jobs/{JOB_ID}"),
        (f"/jobs/{JOB_ID}/act", {"action": "replay"}, ("POST", f"/v1/jobs/{JOB_ID}/replay", None), f"/jobs/{JOB_ID}"),
        (
            f"/jobs/{JOB_ID}/change",
            {"url": "https://b.example", "body": "x", "old_headers": "A: 1", "headers": "B: 2"},
            (
                "PATCH",
                f"/v1/jobs/{JOB_ID}",
                {"url": "https://b.example", "body": "x", "webhook_url": None, "headers": {"A": None, "B": "2"}},
            ),
            f"/jobs/{JOB_ID}",
        ),
        (
            "/schedules",
            {"url": "https://a.example", "cron": "0 8 * * *"},
            ("POST", "/v1/schedules", {"url": "https://a.example", "cron": "0 8 * * *"}),
            "/schedules/made_1",
        ),
        (
            f"/schedules/{SCHEDULE_ID}/pause",
            {"note": "why", "until": ""},
            ("POST", f"/v1/schedules/{SCHEDULE_ID}/pause", {"note": "why"}),
            f"/schedules/{SCHEDULE_ID}",
        ),
        (
            f"/schedules/{SCHEDULE_ID}/resume",
            {},
            ("POST", f"/v1/schedules/{SCHEDULE_ID}/resume", None),
            f"/schedules/{SCHEDULE_ID}",
        ),
        (f"/schedules/{SCHEDULE_ID}/run", {}, ("POST", f"/v1/schedules/{SCHEDULE_ID}/run", None), f"/jobs/{JOB_ID}"),
        (
            f"/schedules/{SCHEDULE_ID}/change",
            {"url": "https://a.example", "kind": "every", "seconds": "60", "version": "3"},
            (
                "PATCH",
                f"/v1/schedules/{SCHEDULE_ID}",
                {
                    "url": "https://a.example",
                    "cron": None,
                    "timezone": None,
                    "every": {"seconds": 60},
                    "webhook_url": None,
                },
            ),
            f"/schedules/{SCHEDULE_ID}",
        ),
        (
            "/webhooks",
            {"url": "https://b.example", "event": "job.failed", "description": "d"},
            (
                "POST",
                "/v1/webhooks/endpoints",
                {"url": "https://b.example", "events": ["job.failed"], "description": "d"},
            ),
            "/webhooks/made_1",
        ),
        (
            f"/webhooks/{ENDPOINT_ID}/change",
            {"url": "https://b.example", "event": "*", "version": "3"},
            (
                "PATCH",
                f"/v1/webhooks/endpoints/{ENDPOINT_ID}",
                {"url": "https://b.example", "events": ["*"], "description": ""},
            ),
            f"/webhooks/{ENDPOINT_ID}",
        ),
        (
            f"/webhooks/{ENDPOINT_ID}/switch",
            {"disabled": ""},
            ("PATCH", f"/v1/webhooks/endpoints/{ENDPOINT_ID}", {"disabled": False}),
            f"/webhooks/{ENDPOINT_ID}",
        ),
        (
            f"/webhooks/{ENDPOINT_ID}/test",
            {},
            ("POST", f"/v1/webhooks/endpoints/{ENDPOINT_ID}/test", None),
            f"/webhooks/deliveries/{DELIVERY_ID}",
        ),
        (
            f"/webhooks/deliveries/{DELIVERY_ID}/redeliver",
            {},
            ("POST", f"/v1/webhooks/deliveries/{DELIVERY_ID}/redeliver", None),
            f"/webhooks/deliveries/{DELIVERY_ID}",
        ),
    ],
)
async def test_an_action_makes_one_call_and_shows_it(
    person: Person, path: str, form: dict[str, str], made: tuple[str, str, Any], place: str
) -> None:
    """The next page has it as a command, once."""
    answer = await person.do(path, **form)

    assert (answer.status, answer.headers.get("Location")) == (303, f"/console{place}"), answer.body.decode()[:2000]
    assert [(call.method, call.path, call.body) for call in person.api.made] == [made]
    shown = (await person.send("GET", "/jobs")).body.decode()
    assert made[1] in shown.partition('class="said')[2]
    assert 'class="said' not in (await person.send("GET", "/jobs")).body.decode()


@pytest.mark.parametrize(
    ("path", "form", "question", "call"),
    [
        ("/jobs/selected", {"action": "cancel", "job": JOB_ID}, "Cancel 1 job?", ("DELETE", f"/v1/jobs/{JOB_ID}")),
        ("/access/tokens/tok_1", {}, "Revoke 2 tokens?", ("DELETE", "/v1/tokens/tok_1")),
        ("/access/secret", {}, "Replace the signing secret?", ("POST", "/v1/signing-secret/rotate")),
        (f"/schedules/{SCHEDULE_ID}/delete", {}, "Delete this schedule?", ("DELETE", f"/v1/schedules/{SCHEDULE_ID}")),
        (
            f"/webhooks/{ENDPOINT_ID}/delete",
            {},
            "Delete this endpoint?",
            ("DELETE", f"/v1/webhooks/endpoints/{ENDPOINT_ID}"),
        ),
        (
            f"/webhooks/{ENDPOINT_ID}/recover",
            {"since": "2026-11-30T08:00:00Z"},
            "Send 2 deliveries again?",
            ("POST", f"/v1/webhooks/endpoints/{ENDPOINT_ID}/recover"),
        ),
        (
            f"/webhooks/{ENDPOINT_ID}/secret",
            {},
            "Replace the endpoint&#39;s secret?",
            ("POST", f"/v1/webhooks/endpoints/{ENDPOINT_ID}/secret/rotate"),
        ),
    ],
)
async def test_it_asks_first_and_then_does_it(
    person: Person, path: str, form: dict[str, str], question: str, call: tuple[str, str]
) -> None:
    """Nothing is changed by the question; the answer names what it was asked about."""
    page = (await person.do(path, **form)).body.decode()
    assert question in page
    assert person.api.made == []

    sure = re.search(r'name="sure" value="(\d+)"', page)
    assert sure is not None
    assert (await person.do(path, **form, sure=sure[1])).status == 303
    assert [(each.method, each.path) for each in person.api.made] == [call]


async def test_the_stream_is_passed_on_from_where_it_was(person: Person) -> None:
    """With its filters and the place that the browser reached; what is asked for from a minute ago is an instant for the API."""
    answer = await person.send("GET", "/events/stream?types=job.failed&label=tenant%3Aa&since=60")

    assert answer.stream is not None
    assert [piece async for piece in answer.stream.pieces()] == [b"retry: 1000\n", b"id: 1\n\n"]
    assert answer.content_type.startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    since = "2026-11-30T00%3A52%3A20.000Z"
    assert person.api.asked[-1] == f"/v1/events?types=job.failed&label=tenant%253Aa&since={since}"
    assert person.api.heard == [{}]


async def test_a_refused_stream_says_why(person: Person) -> None:
    """In JSON, with the API's status, so that the page can say it; without a session it is 401."""
    person.api.refusal = ApiRefused(429, "too_many_streams", "too many streams")
    answer = await person.send("GET", "/events/stream")
    assert (answer.status, answer.stream) == (429, None)
    assert json.loads(answer.body) == {"code": "too_many_streams", "message": "too many streams"}

    request = Request("GET", "/events/stream", (), (), {"hx-request": "true"})
    assert (await person.site.answer(request)).status == 401


async def test_a_page_from_tables_that_may_be_old_says_so(person: Person) -> None:
    """The API marks what it reads while the log does not answer."""
    assert 'class="stale"' not in (await person.send("GET", "/jobs")).body.decode()
    person.api.said = {"fliq-stale": "true"}
    assert 'class="stale"' in (await person.send("GET", "/jobs")).body.decode()


async def test_what_is_wrong_stands_before_what_is_well(person: Person) -> None:
    """Each finding with its remedy; findings are shown to operators alone."""
    found = (await person.send("GET", "/system/findings")).body.decode()
    assert (
        found.index("no &lt;dispatcher&gt; is alive")
        < found.index("little is free")
        < found.index("nothing is overdue")
    )
    assert "start <code>&lt;one&gt;</code>" in found
    assert 'id="findings"' in (await person.send("GET", "/system")).body.decode()

    reader = await Person(["read", "read:jobs"]).log_in()
    assert 'id="findings"' not in (await reader.send("GET", "/system")).body.decode()


async def test_jobs_are_counted_by_status(person: Person) -> None:
    """Above the list, with a link for each; not if something else is asked for, of which the counts say nothing."""
    found = (await person.send("GET", "/jobs?status=failed")).body.decode()
    assert '<a href="/console/jobs?status=success">success <strong>1,000+</strong></a>' in found
    assert '<a href="/console/jobs?status=failed" aria-current="true">failed <strong>1</strong></a>' in found
    found = (await person.send("GET", "/jobs?status=failed&label=tenant:acme")).body.decode()
    assert '<a href="/console/jobs?status=success&amp;label=tenant%3Aacme">success</a>' in found
    assert person.api.asked.count("/v1/account/activity") == 1


async def test_the_overview_says_what_is_wrong_now(person: Person) -> None:
    """With a link to the reason; an operator sees what is wrong with the installation, too."""
    shown = (await person.send("GET", "/")).body.decode().partition('class="alerts"')[2].partition("</ul>")[0]
    assert "Fliq disabled the webhook endpoint https://b.example/events: it took nothing for five days." in shown
    assert f'href="/console/webhooks/{ENDPOINT_ID}"' in shown
    assert "No dispatcher process is alive: no call is made." in shown

    reader = await Person(["read", "read:jobs"]).log_in()
    assert "No dispatcher" not in (await reader.send("GET", "/")).body.decode()


async def test_a_back_fill_says_how_many_jobs_it_makes(person: Person) -> None:
    """By a dry run; then the form that was asked about is what is done."""
    form = {"since": "2026-11-01T00:00:00Z", "before": "2026-11-08T00:00:00Z", "existing": "skip", "pace_seconds": "2"}
    page = (await person.do(f"/schedules/{SCHEDULE_ID}/backfill", **form)).body.decode()
    assert "Make 3 jobs?" in page
    assert "names 5 runs in this time, of which 2 have a job" in page
    assert [call.body["dry_run"] for call in person.api.made] == [True]

    answer = await person.do(f"/schedules/{SCHEDULE_ID}/backfill", **form, sure="1")
    assert answer.headers["Location"] == f"/console/schedules/{SCHEDULE_ID}"
    assert person.api.made[-1].body == {**form, "pace_seconds": 2.0}


async def test_the_changes_of_a_schedule_are_shown_without_its_ticks(person: Person) -> None:
    """The runs are shown as jobs already."""
    shown = (await person.send("GET", f"/schedules/{SCHEDULE_ID}")).body.decode()
    assert "<strong>schedule.changed</strong>" in shown
    assert "schedule.ticked" not in shown


async def test_a_group_of_failures_is_asked_about_before_it_is_replayed(person: Person) -> None:
    """With the number of its jobs."""
    form = {"action": "replay", "host": "a.example", "code": "503", "error": "HTTP 503"}
    page = (await person.do("/failures/replay", **form)).body.decode()

    assert "Replay 1 job?" in page
    assert JOB_ID in page
    assert person.api.made == []


async def test_a_new_token_is_in_one_page_alone(person: Person) -> None:
    """Not in an address, not in a cookie, not in the next page."""
    answer = await person.do("/access/tokens", name="n", scope="read")

    assert TOKEN.encode() in answer.body
    assert "Set-Cookie" not in answer.headers
    assert TOKEN.encode() not in (await person.send("GET", "/access")).body


@pytest.mark.parametrize(
    ("refusal", "status", "text"),
    [
        (ApiRefused(409, "job_already_fired", "the job has fired"), 409, "the job has fired"),
        (ApiRefused(404, "not_found", "there is no such job"), 404, "There is no such thing"),
        (ApiRefused(503, "unreachable", "the API does not answer"), 503, "Fliq does not answer at the moment"),
        (ApiRefused(401, "unauthorized", "revoked"), 303, ""),
    ],
)
async def test_what_the_api_refuses_is_a_page(person: Person, refusal: ApiRefused, status: int, text: str) -> None:
    """With its status and its reason; a token that was revoked ends the session."""
    person.api.refusal = refusal
    answer = await person.do(f"/jobs/{JOB_ID}/act", action="cancel")

    assert answer.status == status
    assert text in answer.body.decode()
    if status == 303:
        assert answer.headers["Location"] == "/console/login?ended=1"
        assert person.cookies["fliq_console"] == ""


async def test_static_files_need_no_session_and_are_not_sent_twice(person: Person) -> None:
    """By their tags; there are no others than those of the folder."""
    first = await person.site.answer(Request("GET", "/static/console.css", (), (), {}))
    again = await person.site.answer(
        Request("GET", "/static/console.css", (), (), {"if-none-match": first.headers["ETag"]})
    )

    assert (first.status, first.content_type, again.status, again.body) == (200, "text/css; charset=utf-8", 304, b"")
    for name in ("../site.py", "htmx.LICENSE", "", "none.css"):
        assert (await person.site.answer(Request("GET", f"/static/{name}", (), (), {}))).status == 404
