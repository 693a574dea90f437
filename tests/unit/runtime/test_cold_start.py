"""A start imports what calls need first: whatever answers HTTP comes when they leave already."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORTS = """
import sys
import services.__main__
services.__main__.build_parser(is_service=True)
{more}
late = {{"aiohttp", "services.api.service", "services.api.handlers", "services.console.site", "services.commands.registry", "rich"}}
print(sorted(late & set(sys.modules)))
"""


@pytest.mark.parametrize("more", ["", "import services.process.run"], ids=["the command", "what runs services"])
def test_what_calls_wait_for_is_imported_first(more: str) -> None:
    """aiohttp and the API take as long to import as all the rest, rich, which structlog would take, a tenth of it."""
    program = IMPORTS.format(more=more)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "[]\n"


def test_rich_may_be_imported_afterwards() -> None:
    """It was only hidden while structlog was imported."""
    program = "import services.__main__, rich.console, structlog; print(structlog.dev.rich)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "None\n"
