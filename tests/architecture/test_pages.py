"""What the pages say is so: commands, links, the map, the words, the codes, the routes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fliq_client.cli.entrance import WORDS as USERS
from libs.domain.endpoints.webhook_event import STATUS_WORDS
from libs.domain.schedule import ScheduleStatus
from libs.egress import outcome
from libs.egress.caller_headers import INTERNAL_ERROR
from libs.egress.client import CONNECT_S
from libs.events.codec import KINDS
from libs.following import loader
from scripts.event_page import meanings
from services.__main__ import MEANINGS
from services.api.contract import header_rules
from services.api.contract.job_answers import PUBLIC_STATUS
from services.api.contract.query import LIMIT_DEFAULT, LIMIT_MAX
from services.api.http import request_body
from services.api.state import consistency
from services.commands.registry import COMMANDS
from services.dispatcher import attempt
from tests.fakes.pages import ROOT, anchors, commands, links, read

PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if path.is_file()
)
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))


def test_the_pages_that_everybody_looks_for_are_there() -> None:
    """The walk below covers them."""
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/api.md"} <= set(
        PAGES
    )


@pytest.mark.parametrize("name", PAGES)
def test_every_command_exists(name: str) -> None:
    """`make x` is a target with a line in `make help`, and `fliq x` a command."""
    page = read(name)
    assert commands(page, "make") <= TARGETS
    assert commands(page, "fliq") <= {*MEANINGS, *(command.NAME for command in COMMANDS), *USERS}


def test_commands_are_found() -> None:
    """The test above looks at something."""
    page = "`make run` and `FLIQ_PORT=1 fliq api`\n```sh\nFLIQ_X=1 make test ARGS=2\nx && make docs # y\n```\nmake sure"
    assert commands(page, "make") == {"run", "test", "docs"}
    assert commands(page, "fliq") == {"api"}
    assert {"run", "test", "demo"} <= commands(read("README.md"), "make")


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    """A relative link names a file or folder of the repository, and its anchor a heading there."""
    broken = []
    for link in links(read(name)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / name).parent / file if file else ROOT / name
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert not broken


def test_every_path_in_code_exists() -> None:
    """A path in backticks, `libs/...`, `tests/...`, is there: pages follow when files move."""
    named = {
        (name, path)
        for name in PAGES
        if name != "CHANGELOG.md"
        for path in re.findall(r"`((?:libs|services|tests|docs|scripts)/[\w/.-]+)`", read(name))
    }
    assert len(named) > 20
    assert not [(name, path) for name, path in named if not (ROOT / path).exists()]


def test_the_map_is_the_territory() -> None:
    """The README's tree names every folder that there is, and none that is not."""
    tree = read("README.md").partition("## The map")[2].split("```")[1]
    named = set(re.findall(r"^([a-z]+(?:/[a-z]+)?)/? ", tree, re.MULTILINE))
    top = {path.parts[-2] for path in ROOT.glob("*/__init__.py")} | {"clients", "deploy", "docs", "tests"}
    libs = {f"libs/{path.parts[-2]}" for path in ROOT.glob("libs/*/__init__.py")}
    assert named == (top - {"libs"}) | libs
    for folder, marked in (("services", "__init__.py"), ("tests", "")):
        line = next(line for line in tree.splitlines() if line.startswith(folder))
        there = {path.name for path in (ROOT / folder).iterdir() if path.is_dir() and _holds(path, marked)}
        assert there - {"fakes"} <= set(re.findall(r"\w+", line))


def _holds(folder: Path, marked: str) -> bool:
    return (folder / marked).is_file() if marked else any(folder.rglob("*.py"))


def test_the_glossary_has_every_status() -> None:
    """Each word that a job, a schedule, an execution or a webhook may show as its status is explained."""
    explained = set(re.findall(r"\w+", read("docs/glossary.md").partition("|---|")[2]))
    schedules = {status.name.lower() for status in ScheduleStatus}
    internal = {status.name.lower() for status in PUBLIC_STATUS}
    assert {*PUBLIC_STATUS.values(), *internal, *schedules, *STATUS_WORDS.values()} <= explained


def test_the_glossary_explains_a_word_once() -> None:
    """One row per word."""
    rows = re.findall(r"^\| ([^|]+) \| ", read("docs/glossary.md"), re.MULTILINE)
    words = [word.strip() for row in rows if row != "word" for word in row.split(",")]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_an_event_has_a_meaning(kind: object) -> None:
    """It is explained by its class, or by the list of fields that mean the same everywhere."""
    explained = meanings(kind.event)  # type: ignore[attr-defined]
    assert all(text.endswith(".") and len(text) > 5 for text in explained.values())


def test_decisions_are_short() -> None:
    """An ADR has at most 60 lines, a number of its own and a status."""
    pages = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    assert len(numbers) == len(set(numbers))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.match(rf"# 0*{int(page.name[:4])}\W", text)
        assert "\nStatus: " in text
        assert len(text.splitlines()) <= 60


def test_unreleased_changes_are_sorted_by_kind() -> None:
    """Keep a Changelog: the newest section first, known headings, no empty ones."""
    text = read("CHANGELOG.md")
    assert text.index("## [Unreleased]") == text.index("## [")
    headings = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert not re.search(r"^### .*\n+(#|\Z)", text, re.MULTILINE)


def test_the_api_page_has_the_limits_of_the_code() -> None:
    """The numbers that stand in its prose are those of the code; `make docs` writes those in its tables."""
    page = read("docs/api.md")
    limits = [
        f"`limit` 1–{LIMIT_MAX} ({LIMIT_DEFAULT})",
        f"cannot catch up within {consistency.WAIT_S:g} s",
        f"no connection within {CONNECT_S:g} s",
        f"at most {request_body.BODY_MAX >> 20} MiB",
    ]
    assert [limit for limit in limits if limit not in page] == []


def test_the_api_page_has_every_reserved_header() -> None:
    """Those that belong to the connection by name, the others by prefix."""
    said = read("docs/api.md").partition("Reserved, and refused")[2].split("\n\n")[0]
    named = {name.lower() for name in re.findall(r"`([\w*-]{2,})`", said)}
    assert named - {"headers", "webhook_headers"} == header_rules.RESERVED | {
        f"{prefix}*" for prefix in header_rules.RESERVED_PREFIXES
    }


def test_the_api_page_has_every_error_of_an_execution() -> None:
    """The words that `error` may hold are explained."""
    rows = read("docs/api.md").partition("| `error` | means |")[2].split("\n\n")[0]
    words = {value for name, value in vars(outcome).items() if name.isupper() and isinstance(value, str)}
    words |= {
        loader.SPEC_MISSING,
        loader.SECRET_MISSING,
        INTERNAL_ERROR,
        attempt.SNOOZED,
        attempt.STOPPED,
        attempt.TOO_LATE,
    }
    assert set(re.findall(r"`([a-z_]+)`", rows)) - {"timeout_seconds", "error_detail"} == words
