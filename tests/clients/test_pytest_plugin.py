"""The dev server and the pytest plugin: a clock that a test moves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from fliq_client import job_request, verify
from fliq_client.pytest_plugin import DevFliq, DevServer, fliq_dev_server
from tests.fakes.pages import blocks, read

__all__ = ["fliq_dev_server"]

HOST = "app.example.com"


@pytest.fixture
def dev(fliq_dev_server: DevServer) -> Iterator[DevFliq]:
    """A client of the dev server with an account of its own."""
    with DevFliq(fliq_dev_server) as client:
        yield client


def test_a_month_of_a_daily_schedule_passes_in_a_moment(dev: DevFliq) -> None:
    """
    Thirty calls, each at its instant, with three steps of the clock each.

    What is judged is the number of steps, and that the fastest of three months takes no more than a busy machine excuses.
    """
    dev.answer(HOST, 200)
    schedule = dev.schedules.create(f"https://{HOST}/digest", cron="0 8 * * *")
    took = []
    for _ in range(3):
        began = dev.now
        done = dev.advance(days=30)
        took.append(done.clock_work_ms)
        assert done.now == began + timedelta(days=30)
        assert len(done.calls) == 30
        assert {(call.at.hour, call.at.minute, call.at.second) for call in done.calls} == {(8, 0, 0)}
        assert {call.schedule_id for call in done.calls} == {schedule.id}
        assert done.steps <= 3 * 30 + 3  # empty time costs nothing
    assert min(took) < 5_000


def test_jobs_are_called_in_the_order_of_their_instants(dev: DevFliq) -> None:
    """A hundred at one instant, and one before and after; what is not due yet waits."""
    dev.answer(HOST, 200)
    began = dev.now
    for days in (3, 1):
        dev.jobs.create(f"https://{HOST}/day-{days}", delay_seconds=days * 86_400)
    dev.jobs.create_many([job_request(f"https://{HOST}/together", delay_seconds=2 * 86_400) for _ in range(100)])
    assert dev.advance(hours=23).calls == []
    done = dev.advance(days=1, hours=2)
    assert [call.path for call in done.calls] == ["/day-1", *["/together"] * 100]
    assert [done.calls[0].at, done.calls[-1].at] == [began + timedelta(days=1), began + timedelta(days=2)]
    assert len(list(dev.jobs.list(status="success"))) == 101
    assert [call.path for call in dev.advance(to=began + timedelta(days=4)).calls] == ["/day-3"]


def test_retries_wait_by_the_clock_of_the_test(dev: DevFliq) -> None:
    """The second attempt is at least 22 s after the first by that clock, and answers come in their order."""
    dev.answer(HOST, 503, 200)
    job = dev.jobs.create(f"https://{HOST}/charge", delay_seconds=60, max_retries=1)
    dev.advance(hours=1)
    first, second = dev.calls("/charge")
    assert (first.status_code, second.status_code, second.attempt) == (503, 200, 2)
    assert second.at - first.at >= timedelta(seconds=22)
    assert dev.jobs.get(job.id).status == "success"


def test_signatures_carry_the_real_time(dev: DevFliq) -> None:
    """A receiver takes the call, though the clock of the test is years ahead."""
    dev.answer(HOST, 200)
    secret = dev.signing_secret.get().secret
    dev.advance(days=900)
    dev.jobs.create(f"https://{HOST}/charge", delay_seconds=1, json={"amount": 1})
    (call,) = dev.advance(seconds=2).calls
    assert call.at > datetime.now(UTC) + timedelta(days=800)
    assert call.body is not None
    assert verify(secret, call.headers, call.body.encode(), method="POST", url=call.url).message_id


def test_nothing_of_one_test_reaches_the_next(fliq_dev_server: DevServer) -> None:
    """A new account; jobs and schedules of the one before are stopped, calls and answers forgotten."""
    with DevFliq(fliq_dev_server) as before:
        before.answer(HOST, 200)
        before.schedules.create(f"https://{HOST}/left", cron="* * * * *")
        job = before.jobs.create(f"https://{HOST}/left", delay_seconds=60)
        with DevFliq(fliq_dev_server) as dev:
            assert list(dev.jobs.list()) == []
            assert dev.calls() == []
            assert dev.advance(days=1).calls == []
        assert before.jobs.get(job.id).status == "cancelled"


@pytest.mark.parametrize(
    ("method", "path", "document", "status"),
    [
        ("POST", "/clock/advance", {"by": "soon"}, 400),
        ("POST", "/clock/advance", {"by": -1}, 400),
        ("POST", "/clock/advance", {"by": True}, 400),
        ("POST", "/clock/advance", {"to": "2001-01-01T00:00:00Z"}, 400),
        ("POST", "/clock/advance", {}, 400),
        ("POST", f"/targets/{HOST}", {"status": 99}, 400),
        ("POST", f"/targets/{HOST}", {"answers": [{"state": 1}]}, 400),
        ("POST", "/nothing", {}, 404),
    ],
)
def test_a_wrong_request_is_refused(
    fliq_dev_server: DevServer, method: str, path: str, document: dict[str, object], status: int
) -> None:
    """With the API's shape of errors."""
    headers = {"Authorization": f"Bearer {fliq_dev_server.token}"}
    answer = httpx.request(method, f"{fliq_dev_server.url}/dev{path}", json=document, headers=headers)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_the_routes_need_the_token(fliq_dev_server: DevServer) -> None:
    """A page in the browser cannot move the clock or reset anything."""
    assert httpx.post(f"{fliq_dev_server.url}/dev/reset").status_code == 401


def test_the_example_of_the_page_passes(tmp_path: Path) -> None:
    """As a user runs it: the plugin named in conftest.py, and the server beside the client."""
    (example,) = [block.text for block in blocks(read("docs/development.md")) if block.language == "python"]
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["fliq_client.pytest_plugin"]\n', encoding="utf-8")
    (tmp_path / "test_example.py").write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
