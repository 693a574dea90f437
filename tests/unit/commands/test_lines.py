"""A record shown to an operator gives nobody's secrets away."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from libs.events import Claim, Envelope, RowsCarried, encode
from libs.log.port import Record
from services.commands.log.lines import fields, line, without_secrets
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


def test_what_is_carried_is_shown_without_secrets() -> None:
    """Rows are JSON of their own; those of specs hold what specs hold. With --show-secrets they are shown as they are."""
    row = b'["job_01mcc5rm3v001h4d2pf28aqkff",{"url":"https://a.example/p?token=canary","body":"canary"}]'
    carried = RowsCarried(begin=13, table="specs", rows=(msgspec.Raw(row),), at=5)
    record = Record(14, 5, encode(carried, Claim(1, "0123456789abcdef")))

    assert b"canary" not in line(0, record)
    assert fields(0, record)["event"]["rows"][0][1]["body"] == "*** (6 bytes)"
    assert list(fields(0, record, with_secrets=True)["event"]["rows"]) == [msgspec.json.decode(row)]
