"""Schedules as code, against a running Fliq."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fliq_client import Fliq
from fliq_client.cli import exits
from fliq_client.cli.entrance import main
from tests.fakes.running.topologies import TOKEN, RunningFliq

pytestmark = pytest.mark.topologies("embedded")

Command = Callable[..., tuple[int, str]]
DIGEST: dict[str, Any] = {"cron": "0 8 * * 1-5", "url": "https://example.com/digest", "timezone": "Europe/Berlin"}
HOURLY: dict[str, Any] = {"every": {"seconds": 3600}, "url": "https://example.com/hourly", "retry": {"max_retries": 3}}


@pytest.fixture
def command(fliq: RunningFliq, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line: (words) -> (exit code, what it printed on both streams)."""
    monkeypatch.setenv("FLIQ_URL", fliq.url)
    monkeypatch.setenv("FLIQ_TOKEN", TOKEN)

    def run(*words: str) -> tuple[int, str]:
        code = main(words)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Writes a manifest, of an owner of the test's own: (schedules) -> its file."""
    owner = str(abs(hash(request.node.nodeid)))

    def write(*, of: str = owner, **schedules: Any) -> str:
        path = tmp_path / f"{of}.yaml"
        path.write_text(json.dumps({"fliq": 1, "owner": of, "schedules": schedules}), encoding="utf-8")
        return str(path)

    return write


def test_what_is_applied_is_there_and_applied_again_nothing_happens(
    command: Command, file: Callable[..., str], fliq: RunningFliq
) -> None:
    """`diff` says 2, then 0; the second `apply` appends no record: version and timeline stay as they are."""
    path = file(**{"code.digest": DIGEST, "code.hourly": HOURLY})
    code, said = command("diff", "-f", path)
    assert (code, said.count("\n+ ") + said.startswith("+ ")) == (exits.DIFFERENT, 2)
    code, said = command("apply", "-f", path)
    assert (code, said.splitlines()[-2:]) == (exits.OK, ["2 of 2 schedules differ from the file", "applied"])
    assert command("diff", "-f", path) == (exits.OK, "0 of 2 schedules differ from the file\n")

    with Fliq(fliq.url, TOKEN) as client:
        before = [client.schedules.get_by_key(key) for key in ("code.digest", "code.hourly")]
        records = [len(client.schedules.events(each.id)) for each in before]
        assert command("apply", "-f", path)[0] == exits.OK
        assert [client.schedules.get_by_key(str(each.key)) for each in before] == before
        assert [len(client.schedules.events(each.id)) for each in before] == records


def test_a_change_is_told_and_made(command: Command, file: Callable[..., str]) -> None:
    """With what it is and what it will be; values that may be secrets are not shown."""
    assert command("apply", "-f", file(**{"code.changed": DIGEST}))[0] == exits.OK
    path = file(**{"code.changed": DIGEST | {"cron": "0 9 * * *", "headers": {"Authorization": "Bearer hidden"}}})

    code, said = command("apply", "-f", path, "--dry-run")
    assert (code, "hidden" in said) == (exits.OK, False)
    assert 'cron: "0 8 * * 1-5" → "0 9 * * *"' in said
    assert "headers changes" in said
    assert command("diff", "-f", path)[0] == exits.DIFFERENT
    assert command("apply", "-f", path)[0] == exits.OK
    assert command("diff", "-f", path)[0] == exits.OK
    assert '"cron": "0 9 * * *"' in command("schedules", "get", "code.changed", "--json")[1]


def test_prune_deletes_what_its_owner_no_longer_has_and_nothing_else(
    command: Command, file: Callable[..., str], fliq: RunningFliq
) -> None:
    """Without --prune it is only told; another owner's schedules and those without one stay; nobody is asked with --yes alone."""
    assert command("apply", "-f", file(**{"code.kept": DIGEST, "code.gone": HOURLY}))[0] == exits.OK
    assert command("apply", "-f", file(of="neighbour", **{"code.theirs": HOURLY}))[0] == exits.OK
    command("schedules", "put", "code.nobodys", "https://example.com/", "--cron", "@daily")
    path = file(**{"code.kept": DIGEST})

    code, said = command("diff", "-f", path)
    assert (code, "? code.gone" in said) == (exits.OK, True)
    assert command("apply", "-f", path)[0] == exits.OK
    assert command("diff", "-f", path, "--prune")[0] == exits.DIFFERENT
    code, said = command("apply", "-f", path, "--prune", "--no-input")
    assert (code, "--yes" in said) == (exits.FAILED, True)
    assert command("apply", "-f", path, "--prune", "--yes")[0] == exits.OK
    with Fliq(fliq.url, TOKEN) as client:
        left = {each.key for each in client.schedules.list()}
    assert {"code.kept", "code.theirs", "code.nobodys"} <= left
    assert "code.gone" not in left


def test_a_schedule_of_another_owner_is_not_taken(command: Command, file: Callable[..., str]) -> None:
    """Exit code 3, and nothing of the file is done."""
    assert command("apply", "-f", file(of="first", **{"code.contested": DIGEST}))[0] == exits.OK
    path = file(of="second", **{"code.new": HOURLY, "code.contested": HOURLY})
    code, said = command("apply", "-f", path)
    assert (code, "it is first's" in said) == (exits.CONFLICT, True)
    assert command("schedules", "get", "code.new")[0] == exits.NOT_FOUND


def test_of_two_applies_that_cross_one_is_refused(
    command: Command, file: Callable[..., str], monkeypatch: pytest.MonkeyPatch, fliq: RunningFliq
) -> None:
    """Both looked at the same version; the second to write gets exit code 3, and what the first wrote stays."""
    from fliq_client.cli import manifests

    assert command("apply", "-f", file(**{"code.raced": DIGEST}))[0] == exits.OK
    both, plan = threading.Barrier(2, timeout=30), manifests._plan

    def together(*args: Any, **kwargs: Any) -> Any:
        steps = plan(*args, **kwargs)
        both.wait()  # both have looked before one of them writes
        return steps

    monkeypatch.setattr(manifests, "_plan", together)
    paths = []
    for n in (1, 2):
        path = Path(file(**{"code.raced": DIGEST | {"cron": f"0 {n} * * *"}}))
        paths.append(path.rename(path.with_name(f"racer-{n}.yaml")))
    codes: dict[int, int] = {}
    racers = [
        threading.Thread(target=lambda n=n: codes.update({n: main(["apply", "-f", str(paths[n])])})) for n in (0, 1)
    ]
    for each in racers:
        each.start()
    for each in racers:
        each.join(60)
    assert sorted(codes.values()) == [exits.OK, exits.CONFLICT]
    winner = next(n for n, code in codes.items() if code == exits.OK)
    with Fliq(fliq.url, TOKEN) as client:
        assert client.schedules.get_by_key("code.raced").cron == f"0 {winner + 1} * * *"


def test_what_is_exported_makes_no_difference(command: Command, file: Callable[..., str], tmp_path: Path) -> None:
    """The manifest of what is there, in YAML and JSON; schedules without an owner are taken over by their keys."""
    command("schedules", "put", "code.old", "https://example.com/old", "--every", "1h", "--set", "misfire=skip")
    code, said = command("export", "--owner", "exporter", "code.old")
    assert (code, "code.old:" in said) == (exits.OK, True)
    path = tmp_path / "old.yaml"
    path.write_text(said, encoding="utf-8")
    code, said = command("diff", "-f", str(path))
    assert (code, "fliq.owner" in said, said.count("    ")) == (exits.DIFFERENT, True, 1)
    assert command("apply", "-f", str(path))[0] == exits.OK
    for form in ((), ("--json",)):
        code, said = command("export", "--owner", "exporter", *form)
        path.write_text(said, encoding="utf-8")
        assert command("diff", "-f", str(path), "--prune") == (exits.OK, "0 of 1 schedules differ from the file\n")
