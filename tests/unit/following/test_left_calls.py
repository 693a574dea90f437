"""Which calls are left in the tables: marks by account and lane."""

from libs.following.left_calls import LeftCalls


def test_what_comes_behind_a_mark_is_left_too() -> None:
    """The mark of a lane speaks for the lane, the mark without a lane for the account, and neither for others."""
    left = LeftCalls()
    left.leave(0, "a", "slow", (5, "x"))
    left.leave(0, "b", None, (7, "x"))

    assert left.has_left(0, "a", "slow", (5, "x"))
    assert left.has_left(0, "a", "slow", (9, "a"))
    assert not left.has_left(0, "a", "slow", (5, "w"))
    assert not left.has_left(0, "a", "other", (9, "a"))
    assert left.has_left(0, "b", "any", (8, "a"))
    assert not left.has_left(1, "b", "any", (8, "a"))
    assert left.accounts(0) == ["a", "b"]


def test_a_mark_moves_forward_only_if_it_is_taken_first() -> None:
    """The earliest call that is left counts."""
    left = LeftCalls()
    left.leave(0, "a", "slow", (5, "x"))
    left.leave(0, "a", "slow", (9, "x"))
    left.leave(0, "a", None, (7, "x"))
    assert left.marks(0, "a") == {"slow": (5, "x"), None: (7, "x")}

    assert left.take(0, "a", ["slow", None]) == (5, "x")
    assert left.accounts(0) == []
    left.leave(0, "a", "slow", (9, "x"))
    assert left.marks(0, "a") == {"slow": (9, "x")}


def test_the_account_that_was_served_last_is_served_last_again() -> None:
    """Its marks that stay go to the end."""
    left = LeftCalls()
    for account in "abc":
        left.leave(0, account, None, (1, "x"))
        left.leave(0, account, "slow", (2, "x"))
    left.take(0, "a", [None])
    assert left.accounts(0) == ["b", "c", "a"]
    left.forget(0)
    assert left.accounts(0) == []
