"""Claims: how they are written in a header, and which claims and decisions count."""

from __future__ import annotations

import pytest

from libs.domain.admission import admits_claim, admits_decision
from libs.events import Claim, OwnerClaimed

NONCE = "0123456789abcdef"


def test_how_a_claim_is_written() -> None:
    """`epoch.nonce`."""
    assert str(Claim(42, NONCE)) == f"42.{NONCE}"


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
