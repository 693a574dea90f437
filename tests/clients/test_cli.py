"""The user's command against a running Fliq, as a person or a script calls it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path

import pytest

from fliq_client.cli import exits
from fliq_client.cli.entrance import main
from tests.fakes.running.topologies import TOKEN, RunningFliq, make_token

pytestmark = pytest.mark.topologies("embedded")

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(
    fliq: RunningFliq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs a command line, logged in: (words) -> (exit code, what it printed on both streams)."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("FLIQ_URL", "FLIQ_TOKEN", "FLIQ_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> tuple[int, str]:
        code = main(words)
        said = capsys.readouterr()
        return code, said.out + said.err

    monkeypatch.setattr("sys.stdin", StringIO(f"{TOKEN}\n"))
    assert run("login", fliq.url, "--no-input") == (0, f"logged in to {fliq.url} as profile default\n")
    yield run
    assert TOKEN in (tmp_path / "fliq/profiles.json").read_text(encoding="utf-8")


def test_a_job_is_made_shown_cancelled_and_listed(command: Command) -> None:
    """Text for people, JSON for programs; a cancel of a cancelled job is no error, as in the API."""
    code, said = command("jobs", "create", "https://example.com/cli", "--in", "1h", "-H", "X-A: b", "--json")
    job = json.loads(said)
    assert (code, job["status"]) == (0, "scheduled")
    assert command("jobs", "create", "https://example.com/cli", "--in", "1h", "--key", job["id"])[0] == 0
    code, said = command("jobs", "get", job["id"])
    assert (code, "POST https://example.com/cli" in said) == (0, True)
    assert command("jobs", "cancel", job["id"]) == (0, f"{job['id']}  cancelled\n")
    assert command("jobs", "cancel", job["id"])[0] == 0
    code, said = command("jobs", "list", "--status", "cancelled", "--ids")
    assert (code, job["id"] in said.split()) == (0, True)
    assert command("jobs", "replay", job["id"])[0] == exits.CONFLICT
    assert command("jobs", "get", "job_00000000000000000000000000")[0] == exits.NOT_FOUND


def test_a_job_is_watched_to_its_end(command: Command, fliq: RunningFliq) -> None:
    """Each record is printed once; the exit code is the job's: its target is a port where nobody listens."""
    job = json.loads(command("jobs", "create", "http://127.0.0.1:9/cli-watched", "--in", "0.1s", "--json")[1])
    code, said = command("jobs", "watch", job["id"])
    kinds = [line.split()[1] for line in said.splitlines()]
    assert code == exits.FAILED
    assert kinds == ["job.scheduled", "attempt.due", "attempt.finished", "job.finished"]
    code, said = command("failures", "--json")
    assert code == 0
    assert any(job["id"] in group["jobs"] and group["host"] == "127.0.0.1" for group in json.loads(said))
    code, said = command("jobs", "replay", job["id"], "--json")
    assert (code, json.loads(said)["replay_of"]) == (0, job["id"])


def test_a_failed_job_shows_what_its_target_answered(command: Command, fliq: RunningFliq) -> None:
    """The reason stands in the body of the answer more often than in its status."""

    class Target(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(500)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"no such customer")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Target) as target:
        threading.Thread(target=target.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{target.server_port}/cli-answer"
        job = json.loads(command("jobs", "create", url, "--in", "0.1s", "--json")[1])
        assert command("jobs", "watch", job["id"])[0] == exits.FAILED
        target.shutdown()
    code, said = command("jobs", "get", job["id"])
    assert (code, "HTTP 500" in said, "no such customer" in said) == (0, True, True)


def test_a_schedule_lives_under_its_key(command: Command) -> None:
    """Made, replaced only at its version, paused with a reason, run, and deleted after a yes."""
    line = ("schedules", "put", "cli-digest", "https://example.com/digest", "--cron", "0 8 * * 1-5")
    code, said = command(*line, "--timezone", "Europe/Berlin", "--json")
    schedule = json.loads(said)
    assert (code, schedule["key"]) == (0, "cli-digest")
    assert json.loads(command(*line, "--timezone", "Europe/Berlin", "--json")[1])["version"] == schedule["version"]
    assert command(*line, "--max-retries", "2", "--if-version", "9")[0] == exits.CONFLICT
    assert "why not" in command("schedules", "pause", "cli-digest", "--note", "why not")[1]
    assert command("schedules", "resume", schedule["id"])[0] == 0
    code, said = command("schedules", "preview", "cli-digest", "-n", "3")
    assert (code, said.splitlines()[0], len(said.splitlines())) == (
        0,
        "At 08:00 on Monday to Friday, Europe/Berlin time",
        4,
    )
    code, said = command("schedules", "preview", "--cron", "@daily", "-n", "2", "--json")
    assert (code, len(json.loads(said)["runs"])) == (0, 2)
    assert command("schedules", "run", "cli-digest")[0] == 0
    assert "cli-digest" in command("schedules", "list")[1]
    code, said = command("schedules", "delete", "cli-digest", "--no-input")
    assert (code, "--yes" in said) == (exits.FAILED, True)
    assert command("schedules", "delete", "cli-digest", "--yes")[0] == 0
    assert command("schedules", "get", "cli-digest")[0] == exits.NOT_FOUND


def test_a_preview_shows_the_night_on_which_clocks_change(command: Command) -> None:
    """The rule in words, each run with why it is not at its time, and the warning with its remedy; any field may be tried."""
    rule = ("schedules", "preview", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "-n", "1")
    code, said = command(*rule, "--after", "2027-03-27T12:00:00Z")
    assert (code, said.splitlines()[:2]) == (
        0,
        [
            "At 02:30 every day, Europe/Berlin time",
            "2027-03-28T01:00:00Z  2027-03-28T03:00:00+02:00[Europe/Berlin]  gap: clocks skip 02:30",
        ],
    )
    assert "set dst.gap to skip" in said
    said = command(*rule, "--after", "2027-03-27T12:00:00Z", "--set", 'dst={"gap": "skip"}')[1]
    assert said.splitlines()[1].startswith("2027-03-29T00:30:00Z")
    said = command(*rule, "--after", "2027-10-30T12:00:00Z", "--set", 'dst={"fold": "both"}')[1]
    assert said.splitlines()[1].endswith("fold: clocks show 02:30 twice")


def test_a_schedule_is_changed_and_made_up_for(command: Command) -> None:
    """A change leaves what it does not name; a back-fill says how many jobs it makes, and makes them after a yes, once."""
    line = ("schedules", "put", "cli-report", "http://127.0.0.1:9/report", "--cron", "30 2 * * *")
    assert command(*line, "--timezone", "Europe/Berlin", "--max-retries", "2")[0] == 0
    code, said = command(
        "schedules", "change", "cli-report", "--cron", "30 3 * * *", "--set", "max_retries=null", "--json"
    )
    changed = json.loads(said)
    assert (code, changed["cron"], changed["timezone"]) == (0, "30 3 * * *", "Europe/Berlin")
    assert (changed["version"], changed["max_retries"]) == (2, 0)
    assert (
        command("schedules", "change", "cli-report", "--url", "http://127.0.0.1:9/x", "--if-version", "1")[0]
        == exits.CONFLICT
    )
    assert command("schedules", "change", "cli-report")[0] == exits.USAGE
    days = (
        "schedules",
        "backfill",
        "cli-report",
        "--since",
        "2026-01-01T00:00:00Z",
        "--before",
        "2026-01-03T00:00:00Z",
    )
    assert "2 jobs" in command(*days, "--dry-run")[1]
    code, said = command(*days, "--no-input")
    assert (code, "2 jobs" in said, "--yes" in said) == (exits.FAILED, True, True)
    assert "2 jobs" in command(*days, "--yes")[1]
    assert "0 jobs" in command(*days, "--dry-run")[1]
    assert command("schedules", "delete", "cli-report", "--yes")[0] == 0


def test_a_wrong_token_is_not_kept(
    command: Command, fliq: RunningFliq, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A login tries the token first; the profile that is there stays."""
    monkeypatch.setattr("sys.stdin", StringIO(make_token("w" * 30) + "\n"))
    assert command("login", fliq.url, "--no-input", "--profile", "other")[0] == exits.NOT_ALLOWED
    assert "other" not in (tmp_path / "fliq/profiles.json").read_text(encoding="utf-8")
