"""What docs/operations.md names is there: commands with their options, settings, alerts."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from libs.runtime.settings.table import TABLE
from services.__main__ import build_parser
from tests.fakes.pages import ROOT, read

PAGE = "docs/operations.md"
SETTINGS = {setting.name for setting in TABLE}
RULES = ROOT / "deploy" / "prometheus" / "fliq.alerts.yaml"


def lines_of_fliq() -> list[str]:
    """Return the page's command lines that call `fliq` with a command, as typed."""
    found = re.findall(r"(?:^|`|&& |-- )(fliq [a-z]+(?: [^`#\n&|;]*)?)", read(PAGE), re.MULTILINE)
    return sorted({line.strip() for line in found})


def subcommands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command."""
    (actions,) = [each for each in build_parser()._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(actions.choices)


@pytest.mark.parametrize("line", lines_of_fliq())
def test_a_command_line_is_taken_as_it_stands(line: str) -> None:
    """Its command exists, and so do its options; words in capitals stand for values."""
    command, *words = shlex.split(line)[1:]
    parser = subcommands()[command]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and words:
            parser = action.choices[words[0]]  # `fliq tokens create`
    options = {option for action in parser._actions for option in action.option_strings}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options


def test_command_lines_are_found() -> None:
    """The test above looks at something."""
    assert {"fliq doctor", "fliq partitions grow 128", "fliq drain --node worker-3", "fliq migrate --check"} <= set(
        lines_of_fliq()
    )


def test_every_setting_that_a_page_names_exists() -> None:
    """`FLIQ_...` on any page is a row of the table; a name that ends in a star stands for several."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named = {
        name for page in pages for name in re.findall(r"\bFLIQ_[A-Z_]*[A-Z](?:_\*)?", page.read_text(encoding="utf-8"))
    }
    tests_own = {name for name in named if name.startswith("FLIQ_TEST_")}
    assert len(named & SETTINGS) > 15
    client = {"FLIQ_URL", "FLIQ_TOKEN", "FLIQ_PROFILE"}  # of the Python client, which is not a part of the server
    compose = {"FLIQ_IMAGE"}  # of deploy/compose.yaml: which image it starts
    assert named - tests_own - client - compose - SETTINGS - {"FLIQ_KAFKA_*"} == set()


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    """Whoever is woken finds what to do under the alert's name."""
    alerts = set(re.findall(r"^\s*-?\s*alert: (\w+)", RULES.read_text(encoding="utf-8"), re.MULTILINE))
    assert alerts
    assert set(re.findall(r"^### (Fliq\w+)$", read(PAGE), re.MULTILINE)) == alerts


def test_every_command_is_on_the_page() -> None:
    """An operator's command that no procedure uses is not known to anybody."""
    page = read(PAGE)
    services = {"all", "api", "scheduler", "dispatcher", "webhooks", "console", "dev"}  # the last is no operator's
    assert [name for name in subcommands() if name not in services and f"fliq {name}" not in page] == []
