"""A record shown to an operator gives nobody's secrets away."""

from __future__ import annotations

from typing import Any

import pytest

from services.commands.log.lines import without_secrets


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("url", "https://a.example/p?token=canary&x=1", "https://a.example/p?***"),
        ("webhook_url", "https://a.example/?canary", "https://a.example/?***"),
        ("url", "https://a.example/p", "https://a.example/p"),
        ("headers", {"X-Key": "canary"}, {"X-Key": "***"}),
        ("webhook_headers", {"X-Key": "canary"}, {"X-Key": "***"}),
        ("body", "canary", "*** (6 bytes)"),
        ("webhook_url", None, None),
    ],
)
def test_secrets_are_hidden(name: str, value: Any, shown: Any) -> None:
    """Queries, bodies and values of headers are not shown; what identifies the target is."""
    assert without_secrets({name: value}) == {name: shown}
