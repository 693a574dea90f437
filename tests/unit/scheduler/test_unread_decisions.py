"""Unread decisions: accounts share how many there may be."""

from __future__ import annotations

from services.scheduler.sharing.unread_decisions import UNREAD_MAX, UnreadDecisions


def test_an_account_alone_has_half_and_the_next_one_finds_room() -> None:
    """What one account has decided leaves room for others; what is read back, it may decide again."""
    unread = UnreadDecisions()
    count = 0
    while unread.has_room("a"):
        unread.take(f"job {count}", "a")
        count += 1
    assert count == len(unread) == UNREAD_MAX // 2
    assert unread.has_room("b")
    assert "job 0" in unread

    unread.wait("job later", "a")
    assert unread.has_waiting("job later")
    assert unread.next_ready() is None
    assert unread.read_back("job 0")
    assert "job 0" not in unread
    assert unread.next_ready() == "job later"
