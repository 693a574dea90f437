"""Concurrency: who may fire when not all may."""

from __future__ import annotations

from services.scheduler.sharing.concurrency import Concurrency


def drain(concurrency: Concurrency, account_of: dict[str, str]) -> list[str]:
    """Take whatever is ready, as the decider does, and return it in order."""
    taken = []
    while (job_id := concurrency.next_ready()) is not None:
        concurrency.take(job_id, account_of[job_id])
        taken.append(job_id)
    return taken


def queue(concurrency: Concurrency, **counts: int) -> dict[str, str]:
    """Queue so many jobs per account, one account after the other; return whose each is."""
    account_of = {f"{account}{number}": account for account, count in counts.items() for number in range(count)}
    for job_id, account in account_of.items():
        concurrency.wait(job_id, account)
    return account_of


def test_jobs_of_one_account_go_in_the_order_they_came() -> None:
    """First come, first served within an account."""
    concurrency = Concurrency(100)

    assert drain(concurrency, queue(concurrency, a=5)) == ["a0", "a1", "a2", "a3", "a4"]


def test_accounts_take_turns() -> None:
    """However many jobs an account has queued first, the others are served after one of its jobs each."""
    concurrency = Concurrency(100)

    assert drain(concurrency, queue(concurrency, a=4, b=2, c=1)) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_one_account_alone_leaves_half_free() -> None:
    """An account whose targets all hang cannot take what a newcomer needs."""
    concurrency = Concurrency(8)
    account_of = queue(concurrency, a=9)

    assert drain(concurrency, account_of) == ["a0", "a1", "a2", "a3"]
    assert (concurrency.taken_count, concurrency.waiting_count) == (4, 5)

    account_of |= queue(concurrency, b=3)
    assert drain(concurrency, account_of) == ["b0", "b1"]


def test_above_its_share_an_account_waits_until_more_is_free() -> None:
    """It takes a slot once it then holds no more than was free, whoever gave one back."""
    concurrency = Concurrency(8)
    account_of = queue(concurrency, a=9, b=1)
    assert drain(concurrency, account_of) == ["a0", "b0", "a1", "a2", "a3"]

    concurrency.give_back("b0")
    assert drain(concurrency, account_of) == []
    concurrency.give_back("a0")
    assert drain(concurrency, account_of) == ["a4"]


def test_the_limit_holds_over_all_accounts() -> None:
    """Eight slots are eight attempts under way, whichever accounts ask."""
    concurrency = Concurrency(8)
    account_of = queue(concurrency, a=3, b=3, c=3, d=3, e=3, f=3, g=3, h=3)

    assert len(drain(concurrency, account_of)) == 8
    assert concurrency.taken_count == 8


def test_a_slot_given_back_lets_the_next_one_go() -> None:
    """Giving back says whether somebody may wait for it."""
    concurrency = Concurrency(1)
    account_of = queue(concurrency, a=2)
    assert drain(concurrency, account_of) == ["a0"]

    assert concurrency.give_back("a0")
    assert drain(concurrency, account_of) == ["a1"]
    assert not concurrency.give_back("a1")
    assert not concurrency.give_back("a1")
    assert not concurrency.give_back("stranger")


def test_even_the_smallest_limit_lets_every_account_fire() -> None:
    """A quarter of one is one."""
    concurrency = Concurrency(1)
    account_of = queue(concurrency, a=1, b=1)

    assert drain(concurrency, account_of) == ["a0"]
    concurrency.give_back("a0")
    assert drain(concurrency, account_of) == ["b0"]


def test_a_job_holds_one_slot_and_one_place() -> None:
    """Taking or queueing twice counts once."""
    concurrency = Concurrency(8)
    concurrency.take("a0", "a")
    concurrency.take("a0", "a")
    concurrency.wait("a1", "a")
    concurrency.wait("a1", "a")

    assert (concurrency.taken_count, concurrency.waiting_count) == (1, 1)
    assert drain(concurrency, {"a1": "a"}) == ["a1"]


def test_who_is_withdrawn_is_passed_over() -> None:
    """A job that is not due any more leaves the queue, also when nobody is behind it."""
    concurrency = Concurrency(8)
    account_of = queue(concurrency, a=2, b=1)
    concurrency.withdraw("a0")
    concurrency.withdraw("b0")

    assert "a0" not in concurrency
    assert "a1" in concurrency
    assert drain(concurrency, account_of) == ["a1"]
    assert concurrency.waiting_count == 0


def test_who_comes_back_waits_behind_the_others() -> None:
    """A job that was withdrawn and queued again is served, and once."""
    concurrency = Concurrency(8)
    concurrency.wait("a0", "a")
    concurrency.withdraw("a0")
    concurrency.wait("a1", "a")
    concurrency.wait("a0", "a")

    assert sorted(drain(concurrency, {"a0": "a", "a1": "a"})) == ["a0", "a1"]
    assert concurrency.next_ready() is None


def test_what_runs_at_take_over_counts_beyond_the_limits() -> None:
    """A new owner may find more under way than it would have allowed; nobody fires until that has gone down."""
    concurrency = Concurrency(4)
    for number in range(6):
        concurrency.take(f"old{number}", "a")
    account_of = queue(concurrency, b=1)

    assert drain(concurrency, account_of) == []
    for number in range(3):
        concurrency.give_back(f"old{number}")
    assert drain(concurrency, account_of) == ["b0"]
