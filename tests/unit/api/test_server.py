"""Limits of the server that follow from the process."""

from __future__ import annotations

import pytest

from services.api.http.server import connections_within


@pytest.mark.parametrize(
    ("wanted", "files_max", "taken"),
    [(4096, 20_000, 4096), (4096, 1024, 512), (4096, 8, 16), (4096, -1, 4096), (2, 1024, 2)],
)
def test_connections_leave_files_for_the_rest(wanted: int, files_max: int, taken: int) -> None:
    """At most half of the files a process may open are callers' connections."""
    assert connections_within(wanted, files_max) == taken
