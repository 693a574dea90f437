"""Claims as they stand in a header, and whom they admit."""

from __future__ import annotations

import pytest

from libs.domain.admission import admits_claim, admits_decision
from libs.events import Claim, OwnerClaimed
from libs.events.envelope import parse_claim

NONCE = "0123456789abcdef"


def test_a_claim_is_written_and_read_back() -> None:
    """`epoch.nonce`, both ways."""
    assert str(Claim(42, NONCE)) == f"42.{NONCE}"
    assert parse_claim(f"42.{NONCE}") == Claim(42, NONCE)


@pytest.mark.parametrize("text", ["", "42", "42.", ".abc", "x.abc", "-1.abc", "٤٢.abc", "1" * 16 + ".abc", "4 2.abc"])
def test_what_is_no_claim(text: str) -> None:
    """Anything else is None, never an error: it stood in a log."""
    assert parse_claim(text) is None


@pytest.mark.parametrize(
    ("current", "epoch", "expected"),
    [(None, 1, True), (Claim(1, NONCE), 2, True), (Claim(2, NONCE), 2, False), (Claim(3, NONCE), 2, False)],
)
def test_a_claim_counts_only_if_it_is_higher(current: Claim | None, epoch: int, expected: bool) -> None:
    """An equal epoch is not: a store that was restored hands the same one out twice."""
    assert admits_claim(current, OwnerClaimed(epoch=epoch, nonce="f" * 16, node="n", at=0)) is expected


@pytest.mark.parametrize(
    ("current", "stamp", "expected"),
    [
        (Claim(2, NONCE), f"2.{NONCE}", True),
        (Claim(2, NONCE), "2.ffffffffffffffff", False),
        (Claim(2, NONCE), f"1.{NONCE}", False),
        (Claim(2, NONCE), None, False),
        (None, f"2.{NONCE}", False),
        (None, None, False),
    ],
)
def test_a_decision_counts_only_under_the_current_claim(
    current: Claim | None, stamp: str | None, expected: bool
) -> None:
    """Epoch and nonce must both be those of the last admitted claim."""
    assert admits_decision(current, stamp) is expected
