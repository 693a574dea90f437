"""The user's command without a Fliq: options, profiles, exit codes, help, and who does which word."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from fliq_client import ApiError, NotAnswered, UnexpectedAnswer
from fliq_client.cli import exits, options, profiles
from fliq_client.cli.entrance import WORDS, build_parser, main
from fliq_client.cli.profiles import Profile
from tests.fakes.pages import blocks, read

ROOT = Path(__file__).parents[3]
TOKEN = "fliq_sk_" + "0" * 36


def words_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the words that *parser* takes, with their parsers."""
    (found,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)] or [None]
    return {} if found is None else dict(found.choices)


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Return the parsers of all commands that do something."""
    if not (words := words_of(parser)):
        yield parser
    for each in words.values():
        yield from leaves(each)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles of the test's own, and no Fliq in the environment."""
    for name in ("FLIQ_URL", "FLIQ_TOKEN", "FLIQ_PROFILE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "fliq/profiles.json"


@pytest.mark.parametrize(("text", "wanted"), [("90", 90), ("1.5h", 5_400), ("15m", 900), ("7d", 604_800)])
def test_a_duration_is_read_in_seconds(text: str, wanted: float) -> None:
    """A number with a unit; seconds without one."""
    assert options.seconds(text) == wanted


@pytest.mark.parametrize(
    "refused",
    [
        lambda: options.seconds("soon"),
        lambda: options.instant("2027-01-31T09:00:00"),
        lambda: options.instant("tomorrow"),
        lambda: options.headers(["no colon"]),
        lambda: options.settings(["no equals"]),
        lambda: options.body("a", "1"),
        lambda: options.body(None, "{"),
    ],
)
def test_what_cannot_be_right_is_wrong_usage(refused: Any) -> None:
    """One line says what to write instead; nothing is sent."""
    with pytest.raises(exits.UsageError):
        refused()


def test_options_become_fields() -> None:
    """Instants with their zone, headers, and any field whose value is JSON or else a text."""
    assert options.instant("2027-01-31T09:00:00Z") == datetime(2027, 1, 31, 9, tzinfo=UTC)
    assert options.headers(["X-Tenant: acme", "Accept:a:b"]) == {"X-Tenant": "acme", "Accept": "a:b"}
    assert options.settings(['retry={"max_retries": 3}', "timeout_seconds=60", "misfire=skip"]) == {
        "retry": {"max_retries": 3},
        "timeout_seconds": 60,
        "misfire": "skip",
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ApiError("m", 400, "invalid_url"), exits.FAILED),
        (ApiError("m", 401, "unauthorized"), exits.NOT_ALLOWED),
        (ApiError("m", 403, "forbidden"), exits.NOT_ALLOWED),
        (ApiError("m", 404, "not_found"), exits.NOT_FOUND),
        (ApiError("m", 409, "job_already_fired"), exits.CONFLICT),
        (ApiError("m", 412, "version_conflict"), exits.CONFLICT),
        (ApiError("m", 429, "too_many_requests"), exits.TRY_LATER),
        (ApiError("m", 503, "unavailable"), exits.TRY_LATER),
        (NotAnswered("m", may_have_happened=False), exits.TRY_LATER),
        (UnexpectedAnswer("m", 302), exits.FAILED),
        (UnexpectedAnswer("m", 502), exits.TRY_LATER),
    ],
)
def test_the_exit_code_says_which_class_of_error(error: Any, code: int) -> None:
    """A script tells a conflict from a token that is wrong, and both from a Fliq that is away."""
    assert exits.exit_code(error) == code


def test_profiles_are_kept_for_their_owner_alone(home: Path) -> None:
    """Mode 0600, also of a file that is replaced; what others may read is refused with the remedy."""
    for name in ("default", "production"):
        profiles.save(home, profiles.load(home) | {name: Profile("https://fliq.example.com", TOKEN)})
        assert home.stat().st_mode & 0o777 == 0o600
    assert [*profiles.load(home)] == ["default", "production"]
    assert [each.name for each in home.parent.iterdir()] == [home.name]
    home.chmod(0o644)
    with pytest.raises(exits.UsageError, match="chmod 600"):
        profiles.load(home)


def test_the_nearest_word_says_which_fliq(home: Path) -> None:
    """`--profile` and FLIQ_PROFILE first, then FLIQ_URL with FLIQ_TOKEN, then the profile `default`."""
    profiles.save(home, {"default": Profile("http://a", "a"), "b": Profile("http://b", "b")})
    given = {"XDG_CONFIG_HOME": str(home.parent.parent), "FLIQ_URL": "http://c", "FLIQ_TOKEN": "c"}
    assert profiles.chosen(None, given).url == "http://c"
    assert profiles.chosen("b", given).url == "http://b"
    assert profiles.chosen(None, given | {"FLIQ_PROFILE": "b"}).url == "http://b"
    assert profiles.chosen(None, given | {"FLIQ_TOKEN": ""}).url == "http://a"
    with pytest.raises(exits.UsageError, match="there is: b, default"):
        profiles.chosen("x", given)


def test_without_a_login_the_command_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback: one line and the exit code of wrong usage."""
    assert main(["jobs", "list"]) == exits.USAGE
    assert "fliq login" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["jobs"], ["jobs", "list", "--status", "gone"], ["jobs", "create", "http://a"], []])
def test_wrong_usage_has_an_exit_code_of_its_own(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """64, since 2 is what `diff` says when there is a difference."""
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(line)
    assert ended.value.code == exits.USAGE
    assert "--help" in capsys.readouterr().err


def test_every_command_has_help_and_the_general_options() -> None:
    """What it does, and `--json`, `--profile` and `--no-input`."""
    found = list(leaves(build_parser()))
    assert len(found) >= 18
    for each in found:
        assert each.description, each.prog
        assert {"--json", "--profile", "--no-input", "--help"} <= set(each._option_string_actions), each.prog
        assert all(action.help for action in each._actions), each.prog


def test_every_command_of_the_pages_is_one() -> None:
    """The examples of docs/cli.md and of the help texts are command lines that the parser takes."""
    import shlex

    parser, seen = build_parser(), 0
    texts = [block.text for block in blocks(read("docs/cli.md")) if block.language == "sh"]
    texts += [each.description or "" for word in words_of(parser).values() for each in (word, *leaves(word))]
    for text in texts:
        for line in text.splitlines():
            for part in line.strip().split("|"):
                if not part.strip().startswith("fliq "):
                    continue
                words = shlex.split(part.replace("xargs ", "").partition("      ")[0])
                words = words[1 : words.index(">") if ">" in words else None]
                if words[0] in WORDS:
                    parser.parse_args(words)
                    seen += 1
    assert seen >= 12


def test_both_distributions_name_their_own_words() -> None:
    """The entry points `fliq.commands` are the words of the parsers, so each script finds those of the other."""
    from services.__main__ import build_parser as server_parser

    for file, words, place in (
        ("clients/python/pyproject.toml", WORDS, "fliq_client.cli.entrance:main"),
        ("pyproject.toml", words_of(server_parser()), "services.__main__:main"),
    ):
        named = tomllib.loads((ROOT / file).read_text(encoding="utf-8"))["project"]["entry-points"]["fliq.commands"]
        assert named == dict.fromkeys(words, place)
    assert set(words_of(build_parser())) == set(WORDS)
    assert not set(WORDS) & set(words_of(server_parser()))


@pytest.mark.parametrize(("entrance", "line"), [("fliq_client.cli.entrance", "drain"), ("services.__main__", "jobs")])
def test_each_script_does_the_words_of_the_other(entrance: str, line: str) -> None:
    """Which of the two distributions was installed last makes no difference."""
    assert {found.name for found in entry_points(group="fliq.commands")} >= {"drain", "jobs"}
    code = f"import sys; from {entrance} import main; sys.exit(main(['{line}', '--help']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: fliq {line}")


def test_a_shell_completes_words_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    """What bash reads is a script that its own parser takes."""
    assert main(["completion", "bash"]) == exits.OK
    script = capsys.readouterr().out
    assert "replay" in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=20)


def test_a_broken_file_of_profiles_is_named(home: Path) -> None:
    """The message says which file, and what to do."""
    home.parent.mkdir()
    home.write_text(json.dumps([1]), encoding="utf-8")
    home.chmod(0o600)
    with pytest.raises(exits.UsageError, match="log in again"):
        profiles.load(home)
