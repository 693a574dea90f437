"""Kept logs: what earlier builds wrote folds into what they made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from libs.events.codec import KINDS
from services import VERSION
from tests.golden import kept_logs


def covers(now: Any, then: Any) -> bool:
    """Whether *now* says all that *then* said; fields that came later may be there besides."""
    if isinstance(then, Mapping):
        return isinstance(now, Mapping) and all(name in now and covers(now[name], each) for name, each in then.items())
    return bool(now == then)


@pytest.mark.parametrize("version", kept_logs.versions())
def test_a_kept_log_folds_into_the_same_rows(version: str) -> None:
    """Every row that the build which wrote the log made of it is made by this one: the same ones, with the same values."""
    now, then = kept_logs.fold(kept_logs.load(version)), kept_logs.folded(version)
    assert now.keys() == then.keys()
    for partition, rows in then.items():
        for table, expected in rows.items():
            if isinstance(expected, dict):
                assert now[partition][table].keys() == expected.keys(), (partition, table)
            assert covers(now[partition][table], expected), (partition, table)


def test_kept_logs_are_not_changed() -> None:
    """Their checksums are those noted when they were kept."""
    assert list(kept_logs.sums()) == kept_logs.SUMS.read_text(encoding="ascii").splitlines()


def test_this_version_has_its_log_and_it_has_everything() -> None:
    """`make golden` was run for it, and every kind of event, every status and every verdict but a breach is in it."""
    records = kept_logs.load(VERSION)
    assert {envelope.type for _, _, envelope in records} >= {kind.name for kind in KINDS}
    rows = kept_logs.folded(VERSION)
    statuses = {job["status"] for partition in rows.values() for job in partition["jobs"].values()}
    assert statuses >= {0, 4, 5, 6}
    verdicts = {verdict for partition in rows.values() for verdict in partition["verdicts"]}
    assert verdicts >= {"applied", "repeated", "void", "poison", "skipped"}


def test_a_lost_row_would_be_seen() -> None:
    """The comparison looks at something: a row less, or another value, is a difference; a new field is none."""
    then = {"jobs": {"a": {"status": 4}}}
    assert covers({"jobs": {"a": {"status": 4, "colour": None}}}, then)
    assert not covers({"jobs": {}}, then)
    assert not covers({"jobs": {"a": {"status": 5}}}, then)
