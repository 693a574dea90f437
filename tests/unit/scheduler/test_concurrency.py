"""Credit: who may fire when not all may."""

from __future__ import annotations

from services.scheduler.concurrency import Credit


def drain(credit: Credit, account_of: dict[str, str]) -> list[str]:
    """Take whatever is ready, as the decider does, and return it in order."""
    taken = []
    while (job_id := credit.next_ready()) is not None:
        credit.take(job_id, account_of[job_id])
        taken.append(job_id)
    return taken


def queue(credit: Credit, **counts: int) -> dict[str, str]:
    """Queue so many jobs per account, one account after the other; return whose each is."""
    account_of = {f"{account}{number}": account for account, count in counts.items() for number in range(count)}
    for job_id, account in account_of.items():
        credit.wait(job_id, account)
    return account_of


def test_jobs_of_one_account_go_in_the_order_they_came() -> None:
    """First come, first served within an account."""
    credit = Credit(100)

    assert drain(credit, queue(credit, a=5)) == ["a0", "a1", "a2", "a3", "a4"]


def test_accounts_take_turns() -> None:
    """However many jobs an account has queued first, the others are served after one of its jobs each."""
    credit = Credit(100)

    assert drain(credit, queue(credit, a=4, b=2, c=1)) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_one_account_alone_leaves_a_quarter_free() -> None:
    """An account whose targets all hang cannot take what a newcomer needs."""
    credit = Credit(8)
    account_of = queue(credit, a=9)

    assert drain(credit, account_of) == ["a0", "a1", "a2", "a3", "a4", "a5"]
    assert (credit.taken_count, credit.waiting_count) == (6, 3)

    account_of |= queue(credit, b=3)
    assert drain(credit, account_of) == ["b0", "b1"]


def test_above_its_share_an_account_waits_for_plenty() -> None:
    """While credit is scarce, only accounts below their share go on."""
    credit = Credit(8)
    account_of = queue(credit, a=9, b=1)
    assert drain(credit, account_of) == ["a0", "b0", "a1", "a2", "a3", "a4"]

    credit.give_back("a0")
    assert drain(credit, account_of) == ["a5"]


def test_the_limit_holds_over_all_accounts() -> None:
    """Eight credits are eight attempts under way, whoever asks."""
    credit = Credit(8)
    account_of = queue(credit, a=3, b=3, c=3, d=3, e=3)

    assert len(drain(credit, account_of)) == 8
    assert credit.taken_count == 8


def test_a_credit_given_back_lets_the_next_one_go() -> None:
    """Giving back says whether somebody may wait for it."""
    credit = Credit(1)
    account_of = queue(credit, a=2)
    assert drain(credit, account_of) == ["a0"]

    assert credit.give_back("a0")
    assert drain(credit, account_of) == ["a1"]
    assert not credit.give_back("a1")
    assert not credit.give_back("a1")
    assert not credit.give_back("stranger")


def test_even_the_smallest_limit_lets_every_account_fire() -> None:
    """A quarter of one is one."""
    credit = Credit(1)
    account_of = queue(credit, a=1, b=1)

    assert drain(credit, account_of) == ["a0"]
    credit.give_back("a0")
    assert drain(credit, account_of) == ["b0"]


def test_a_job_holds_one_credit_and_one_place() -> None:
    """Taking or queueing twice counts once."""
    credit = Credit(8)
    credit.take("a0", "a")
    credit.take("a0", "a")
    credit.wait("a1", "a")
    credit.wait("a1", "a")

    assert (credit.taken_count, credit.waiting_count) == (1, 1)
    assert drain(credit, {"a1": "a"}) == ["a1"]


def test_who_is_withdrawn_is_passed_over() -> None:
    """A job that is not due any more leaves the queue, also when nobody is behind it."""
    credit = Credit(8)
    account_of = queue(credit, a=2, b=1)
    credit.withdraw("a0")
    credit.withdraw("b0")

    assert "a0" not in credit
    assert "a1" in credit
    assert drain(credit, account_of) == ["a1"]
    assert credit.waiting_count == 0


def test_who_comes_back_waits_behind_the_others() -> None:
    """A job that was withdrawn and queued again is served, and once."""
    credit = Credit(8)
    credit.wait("a0", "a")
    credit.withdraw("a0")
    credit.wait("a1", "a")
    credit.wait("a0", "a")

    assert sorted(drain(credit, {"a0": "a", "a1": "a"})) == ["a0", "a1"]
    assert credit.next_ready() is None


def test_what_runs_at_take_over_counts_beyond_the_limits() -> None:
    """A new owner may find more under way than it would have allowed; nobody fires until that has gone down."""
    credit = Credit(4)
    for number in range(6):
        credit.take(f"old{number}", "a")
    account_of = queue(credit, b=1)

    assert drain(credit, account_of) == []
    for number in range(3):
        credit.give_back(f"old{number}")
    assert drain(credit, account_of) == ["b0"]
