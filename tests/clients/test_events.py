"""The stream of events through the Python client and the user's command, against a running Fliq."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fliq_client import AsyncFliq, Fliq, InvalidLastEventId, Retries, StreamEvent
from fliq_client.cli.entrance import main
from tests.clients.cut_proxy import CutProxy
from tests.fakes.running.topologies import TOKEN, RunningFliq

pytestmark = pytest.mark.topologies("embedded")

URL = "https://example.com/streamed"
IN_AN_HOUR = timedelta(hours=1)


def cancelled_jobs(fliq: Fliq, count: int, label: str) -> list[str]:
    jobs = [fliq.jobs.create(URL, at=datetime.now(UTC) + IN_AN_HOUR, labels={"test": label}).id for _ in range(count)]
    for job in jobs:
        fliq.jobs.cancel(job)
    return jobs


def ends(jobs: list[str]) -> list[tuple[str, str]]:
    return [("job.cancelled", job) for job in jobs]


def test_both_clients_follow_and_resume(fliq: RunningFliq) -> None:
    """The blocking and the async client tell the same; a later stream goes on behind the place of an event."""
    with Fliq(fliq.url, TOKEN) as client:
        since = datetime.now(UTC)
        jobs = cancelled_jobs(client, 6, "both")
        wanted = {"types": ["job.cancelled"], "labels": {"test": "both"}, "since": since}
        told: list[StreamEvent] = []
        for event in client.events.stream(**wanted):  # type: ignore[arg-type]
            told.append(event)
            if len(told) == 6:
                break
        assert [(each.name, each.subject) for each in told] == [
            each for each in [(e.name, e.subject) for e in told] if each in ends(jobs)
        ]
        assert {each.subject for each in told} == set(jobs)

        async def followed() -> list[str]:
            found: list[str] = []
            async with AsyncFliq(fliq.url, TOKEN) as other:
                stream = other.events.stream(**wanted)  # type: ignore[arg-type]
                async with aclosing(stream):  # type: ignore[type-var]
                    async for event in stream:
                        found.append(event.subject)
                        if len(found) == 6:
                            return found
            raise AssertionError("a stream does not end")

        assert set(asyncio.run(followed())) == set(jobs)
        more = cancelled_jobs(client, 1, "both")
        later = client.events.stream(types=["job.cancelled"], labels={"test": "both"}, last_event_id=told[-1].place)
        assert next(each.subject for each in later if each.subject not in jobs) == more[0]
        with pytest.raises(InvalidLastEventId):
            next(client.events.stream(last_event_id="nonsense"))


def test_a_stream_over_a_network_that_breaks(fliq: RunningFliq) -> None:
    """A stream whose connections are cut again and again misses nothing; what comes twice has the same id."""
    with Fliq(fliq.url, TOKEN) as direct:
        since = datetime.now(UTC)
        jobs = cancelled_jobs(direct, 30, "lossy")
    with (
        CutProxy(urlsplit(fliq.url).port or 80) as proxy,
        Fliq(proxy.url, TOKEN, retries=Retries(first_wait_s=0.01)) as client,
    ):
        seen: dict[str, str] = {}
        for event in client.events.stream(types=["job.cancelled"], labels={"test": "lossy"}, since=since):
            seen[event.id] = event.subject
            if len(seen) % 5 == 0:
                proxy.cut()
            if set(seen.values()) == set(jobs):
                break
        assert sorted(seen.values()) == sorted(jobs)


@pytest.fixture
def command(fliq: RunningFliq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command line against the Fliq."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("FLIQ_URL", fliq.url)
    monkeypatch.setenv("FLIQ_TOKEN", TOKEN)
    return lambda *words: main(words)


def test_events_tail(command: Callable[..., int], fliq: RunningFliq, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each event; with --json each line is the event."""
    with Fliq(fliq.url, TOKEN) as client:
        jobs = cancelled_jobs(client, 2, "tail")
    words = ("events", "tail", "--since", "5m", "--label", "test:tail", "--type", "job.cancelled", "-n", "2")
    assert command(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["job.cancelled"] * 2
    assert command(*words, "--json") == 0
    assert {json.loads(line)["subject"] for line in capsys.readouterr().out.splitlines()} == set(jobs)
    assert command("events", "tail", "--type", "nonsense") == 1


def test_lists_by_label(command: Callable[..., int], fliq: RunningFliq, capsys: pytest.CaptureFixture[str]) -> None:
    """`--label` of the lists leaves out what does not have it."""
    with Fliq(fliq.url, TOKEN) as client:
        (job,) = cancelled_jobs(client, 1, "listed")
        client.schedules.put("labelled", cron="0 8 * * *", url=URL, labels={"test": "listed"})
    assert command("jobs", "list", "--label", "test:listed", "--ids") == 0
    assert capsys.readouterr().out.split() == [job]
    assert command("schedules", "list", "--label", "test:listed", "--json") == 0
    assert [each["key"] for each in json.loads(capsys.readouterr().out)] == ["labelled"]
    assert command("failures", "--label", "test:listed", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert command("jobs", "get", job) == 0
    assert "test:listed" in capsys.readouterr().out


class _Application(BaseHTTPRequestHandler):
    calls: list[tuple[str, str, str | None, bytes]] = []  # noqa: RUF012 - one for all

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.calls.append((self.path, self.headers["X-Fliq-Job-Id"], self.headers["X-Fliq-Forwarded"], body))
        self.send_response(202)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_listen(command: Callable[..., int], fliq: RunningFliq) -> None:
    """A call that Fliq makes to a host that nobody serves here is made again to the local application, marked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Application) as application, Fliq(fliq.url, TOKEN) as client:
        threading.Thread(target=application.serve_forever, daemon=True).start()
        local = f"http://127.0.0.1:{application.server_port}"
        listening = threading.Thread(
            target=command, args=("listen", local, "--label", "test:listen", "-n", "1"), daemon=True
        )
        listening.start()
        made: list[str] = []
        ends_at = time.monotonic() + 60
        while listening.is_alive() and time.monotonic() < ends_at:  # until it listens, and has seen one
            made.append(
                client.jobs.create(
                    "http://127.0.0.1:9/charge?n=1", delay_seconds=1, body="paid", labels={"test": "listen"}
                ).id
            )
            listening.join(1)
        application.shutdown()
    ((path, job, mark, body),) = _Application.calls
    assert (path, mark, body) == ("/charge?n=1", "true", b"paid")
    assert job in made
