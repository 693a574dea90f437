"""A record shown to an operator gives nobody's secrets away."""

from __future__ import annotations

from typing import Any

import pytest

from libs.events import Envelope
from libs.log.port import Record
from services.commands.log.lines import fields, without_secrets
from services.commands.log.stats import PartitionStats, facts


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("url", "https://a.example/p?token=canary&x=1", "https://a.example/~412c8d8e"),
        ("webhook_url", "https://hooks.example:8443/services/canary", "https://hooks.example:8443/~73b2a7a6"),
        ("url", "https://a.example/", "https://a.example/"),
        ("headers", {"X-Key": "canary"}, {"X-Key": "***"}),
        ("webhook_headers", {"X-Key": "canary"}, {"X-Key": "***"}),
        ("body", "canary", "*** (6 bytes)"),
        ("webhook_url", None, None),
    ],
)
def test_secrets_are_hidden(name: str, value: Any, shown: Any) -> None:
    """Paths, queries, bodies and values of headers are not shown; the host is, and digits by which one target is known again."""
    assert without_secrets({name: value}) == {name: shown}


@pytest.mark.parametrize("at", [2**62, -(2**62)])
def test_a_time_that_no_calendar_has_is_null(at: int) -> None:
    """Who wrote that record is not us; the others are shown all the same."""
    record = Record(0, at, Envelope("foreign", 1, False, None, "k", b"{}"))
    stats = PartitionStats(0, begin=0, end=1, is_whole=True)
    stats.add(record, is_wanted=True)

    assert fields(0, record)["at"] is None
    assert (facts([stats])["first_at"], facts([stats])["records"]) == (None, 1)
