"""What is sealed can be opened by the same key for the same purpose, and by nobody else."""

from __future__ import annotations

import os

import pytest

from services.console.sealing import SEALED_MAX, Seal

VALUE = {"token": "fliq_sk_" + "a" * 36, "scopes": ["read", "write"], "name": "Zoë"}


def seal(key: bytes = b"k") -> Seal:
    return Seal(key, os.urandom)


def test_what_is_sealed_comes_back() -> None:
    """The value is the same, also if another process with the same key opens it."""
    assert seal().open("session", seal().seal("session", VALUE)) == VALUE


def test_nothing_can_be_read_in_it() -> None:
    """Neither the token nor a part of it stands there, and the same value never looks the same twice."""
    first, second = seal().seal("session", VALUE), seal().seal("session", VALUE)

    assert first != second
    assert "fliq_sk_" not in first
    assert len(first) < SEALED_MAX


def test_another_purpose_and_another_key_open_nothing() -> None:
    """What one form says is no session, and what another installation sealed is nothing."""
    sealed = seal().seal("said", VALUE)

    assert seal().open("session", sealed) is None
    assert seal(b"other").open("said", sealed) is None


def test_a_changed_character_spoils_it() -> None:
    """Whichever character of it is changed."""
    sealed = seal().seal("session", VALUE)

    for at in range(len(sealed) - 1):  # the last one may hold bits that mean nothing
        changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        assert seal().open("session", changed) is None


@pytest.mark.parametrize("text", ["", "x", "=", "é", "A" * 60, "A" * 200, "A" * (SEALED_MAX + 1), "!!!!"])
def test_other_text_is_nothing(text: str) -> None:
    """And no error."""
    assert seal().open("session", text) is None
