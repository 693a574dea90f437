"""Cursors: only Fliq makes them, each for one account and one list."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.ids import new_job_id
from services.api.contract.api_error import ApiError
from services.api.contract.cursor import Cursors

JOB = new_job_id(1_700_000_000_000, 3, b"12345678")
CURSORS = Cursors(b"a key")
TEXT = CURSORS.write(JOB, account="a", listing="jobs")


def refused(text: str, *, account: str = "a", listing: str = "jobs", cursors: Cursors = CURSORS) -> bool:
    try:
        cursors.read(text, kind="job", account=account, listing=listing)
    except ApiError as error:
        return (error.status, error.code) == (400, "invalid_cursor")
    return False


def test_round_trip() -> None:
    """A cursor leads back to the id it was made for."""
    assert CURSORS.read(TEXT, kind="job", account="a", listing="jobs") == JOB
    assert Cursors(b"a key").read(TEXT, kind="job", account="a", listing="jobs") == JOB


def test_bound() -> None:
    """Another account's, another list's and another installation's cursor are refused."""
    assert refused(TEXT, account="b")
    assert refused(TEXT, listing="jobs failed")
    assert refused(TEXT, cursors=Cursors(b"another key" * 20))


@pytest.mark.parametrize(
    "text", ["", "x", "x" * 43, "\x00" * 43, "é" * 43, "a" * 10_000, TEXT + "=", TEXT + "A", " " + TEXT]
)
def test_junk(text: str) -> None:
    """What Fliq did not write is refused (P9)."""
    assert refused(text)


@given(st.integers(0, len(TEXT) - 1), st.sampled_from(string.ascii_letters + string.digits + "-_"))
def test_a_changed_character(place: int, letter: str) -> None:
    """Changing any character spoils a cursor, the last one's unused bits included."""
    changed = TEXT[:place] + letter + TEXT[place + 1 :]

    assert changed == TEXT or refused(changed)
