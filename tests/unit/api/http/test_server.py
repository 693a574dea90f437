"""The server: its limits that follow from the process, and what it uses of aiohttp."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from aiohttp import base_protocol, web_protocol, web_request, web_server

from services.api.http import server
from services.api.http.server import connections_within


@pytest.mark.parametrize(
    ("wanted", "files_max", "taken"),
    [(4096, 20_000, 4096), (4096, 1024, 512), (4096, 8, 16), (4096, -1, 4096), (2, 1024, 2)],
)
def test_connections_leave_files_for_the_rest(wanted: int, files_max: int, taken: int) -> None:
    """At most half of the files a process may open are callers' connections."""
    assert connections_within(wanted, files_max) == taken


def test_aiohttp_is_used_by_its_public_parts() -> None:
    """No attribute that aiohttp keeps to itself is read or set: it may be gone in the next release."""
    private = re.compile(r"\.(_[a-z]\w*)")
    theirs = {
        name
        for module in (base_protocol, web_protocol, web_request, web_server)
        for name in private.findall(inspect.getsource(module))
    }
    texts = [path.read_text() for path in Path(server.__file__).parent.glob("*.py")]
    ours = {name for text in texts if "aiohttp" in text for name in private.findall(text)}

    assert {"_waiter", "_messages", "_message"} <= theirs
    assert ours & theirs == set()
