"""Unread decisions: how many there may be follows how long they take to be read back."""

from __future__ import annotations

from itertools import count

from services.scheduler.sharing.unread_decisions import READ_BACK_MS, UNREAD_MAX, UNREAD_MIN, UnreadDecisions


def live(unread: UnreadDecisions, accounts: int, per_s: int, seconds: int) -> int:
    """Let so many accounts decide whenever they may, and *per_s* be read back; return how many were."""
    names, waiting, read = count(), list[tuple[int, str]](), 0
    for now in range(0, seconds * 1_000, 20):
        for _ in range(per_s // 50):
            if waiting:
                decided_at, owner_id = waiting.pop(0)
                unread.read_back(owner_id, decided_at)
                read += 1
        unread.follow(now)
        for account in range(accounts):
            while unread.has_room(f"a{account}"):
                owner_id = f"job {next(names)}"
                unread.take(owner_id, f"a{account}")
                waiting.append((now, owner_id))
    return read


def test_where_folding_is_slow_few_are_unread() -> None:
    """Of five accounts that decide all they may, no decision waits much longer than it should, and nothing is idle."""
    unread = UnreadDecisions()
    read = live(unread, accounts=5, per_s=500, seconds=10)

    assert unread.total < UNREAD_MAX
    assert len(unread) / 500 <= READ_BACK_MS / 1_000
    assert read >= 0.98 * 500 * 10


def test_where_folding_is_fast_all_may_be_unread() -> None:
    """One account alone has half of them, as before."""
    unread = UnreadDecisions()
    live(unread, accounts=1, per_s=5_000, seconds=2)

    assert unread.total == UNREAD_MAX
    assert len(unread) == UNREAD_MAX // 2


def test_an_account_alone_is_as_fast_as_the_folding() -> None:
    """Where folding is slow, fewer of its decisions are unread, and all the same something can always be folded."""
    unread = UnreadDecisions()

    assert live(unread, accounts=1, per_s=500, seconds=10) >= 0.98 * 500 * 10


def test_however_slow_it_is_some_may_be_unread() -> None:
    """The least is there for every machine: else an account would wait for the round trip of each single decision."""
    unread = UnreadDecisions()
    live(unread, accounts=5, per_s=50, seconds=60)

    assert unread.total == UNREAD_MIN
