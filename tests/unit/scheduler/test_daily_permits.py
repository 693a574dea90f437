"""Executions of a day: how an owner counts and asks, and what the owners of one account are granted together."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from libs.domain.instants import DAY_MS
from libs.store.control.daily_grants import GrantAsk, share_out
from services.scheduler.daily.daily_permits import PORTION, DailyPermits, PermitAsk

DAY = 20_000
NOON = DAY * DAY_MS + DAY_MS // 2


def permits(limit: int = 10, **used: int) -> DailyPermits:
    """Return the permits of a partition in which accounts have used so many executions of the day."""
    made = DailyPermits(lambda account: 0 if account == "free" else limit)
    made.load({(account, DAY): count for account, count in used.items()})
    return made


def one_waits(_: str) -> int:
    """One due job of the account waits."""
    return 1


def test_an_account_without_a_limit_never_asks() -> None:
    """It may always decide, and nothing is wanted."""
    free = permits()

    assert free.may_decide("free", DAY)
    assert not free.wanted
    assert not free.is_open


def test_nothing_is_decided_before_it_is_granted_and_nothing_beyond() -> None:
    """An owner begins without a grant; each execution that it decides, or reads, uses one up."""
    of = permits(acme=3)

    assert not of.may_decide("acme", DAY)
    (ask,) = of.asks(NOON, lambda _: 2, also_refused=False)
    assert ask == PermitAsk("acme", DAY, used=3, need=2, limit=10)
    of.granted(ask, 5)
    assert of.may_decide("acme", DAY)
    of.count("acme", DAY)
    assert of.may_decide("acme", DAY)
    of.count("acme", DAY)
    assert not of.may_decide("acme", DAY)
    assert of.wanted == {"acme": DAY}


def test_a_refused_account_is_asked_for_again_only_now_and_then() -> None:
    """Its turn comes again and again, and wakes nobody; the new day does."""
    of = permits()
    of.may_decide("acme", DAY)
    (ask,) = of.asks(NOON, one_waits, also_refused=False)
    of.granted(ask, 0)

    assert not of.may_decide("acme", DAY)
    assert not of.wanted
    assert of.is_open
    assert of.asks(NOON, one_waits, also_refused=False) == []
    assert len(of.asks(NOON, one_waits, also_refused=True)) == 1
    assert of.asks(NOON + DAY_MS, one_waits, also_refused=True)[0].day == DAY + 1
    assert not of.may_decide("acme", DAY + 1)
    assert of.wanted == {"acme": DAY + 1}


def test_what_is_asked_about_is_not_used_meanwhile() -> None:
    """A question says how many are used: one more in between would be over the limit if another owner got the rest."""
    of = permits()
    of.may_decide("acme", DAY)
    (ask,) = of.asks(NOON, lambda _: 3, also_refused=False)
    of.granted(ask, 3)
    (back,) = of.asks(NOON, lambda _: 0, also_refused=False)

    assert (back.used, back.need) == (0, 0)
    assert not of.may_decide("acme", DAY)


def test_no_more_than_a_portion_is_asked_for() -> None:
    """However many jobs wait here: other partitions want some, too."""
    of = permits(limit=1_000_000)
    of.may_decide("acme", DAY)

    assert of.asks(NOON, lambda _: 100_000, also_refused=False)[0].need == PORTION


def test_a_limit_that_is_taken_away_frees_its_account() -> None:
    """Whoever was refused or waits for an answer may decide again."""
    limit = [1]
    of = DailyPermits(lambda _: limit[0])
    of.may_decide("acme", DAY)
    of.granted(of.asks(NOON, one_waits, also_refused=False)[0], 0)
    limit[0] = 0

    assert of.forgive() == ["acme"]
    assert not of.is_open
    assert of.may_decide("acme", DAY)


def test_a_delay_is_remembered_until_the_last_of_its_jobs() -> None:
    """Those jobs are late for the limit, not for Fliq."""
    of = permits()
    of.may_decide("acme", DAY)
    of.granted(of.asks(NOON, one_waits, also_refused=False)[0], 0)

    assert of.was_delayed("acme", is_last=False)
    assert of.was_delayed("acme", is_last=True)
    assert not of.was_delayed("acme", is_last=True)
    assert not of.was_delayed("free", is_last=True)


def ask(partition: int, used: int, need: int, *, epoch: int = 1, limit: int = 10) -> GrantAsk:
    """What the owner of a partition asks."""
    return GrantAsk("acme", DAY, partition, epoch, used, need, limit)


def test_owners_share_one_limit() -> None:
    """The first one gets what it needs, the next one what is left, and nobody gets what is used."""
    assert share_out({}, [ask(0, 0, 7), ask(1, 0, 7), ask(2, 0, 7)]) == [7, 3, 0]
    assert share_out({("acme", DAY): {0: (1, 7)}}, [ask(1, 2, 5)]) == [3]
    assert share_out({("acme", DAY): {0: (1, 7)}}, [ask(0, 4, 0), ask(1, 0, 9)]) == [4, 6]


def test_more_than_the_limit_is_used_already() -> None:
    """The limit was lowered, or set in the middle of the day: nothing is granted, and nothing is taken back."""
    assert share_out({("acme", DAY): {1: (0, 50)}}, [ask(0, 5, 5)]) == [5]


def test_an_owner_that_was_replaced_changes_nothing() -> None:
    """Its successor's grant, of which more may be in use, stays."""
    charged = {("acme", DAY): {0: (5, 8)}}

    assert share_out(charged, [ask(0, 1, 1, epoch=4), ask(1, 0, 9)]) == [None, 2]
    assert share_out(charged, [ask(0, 1, 1, epoch=6), ask(1, 0, 9)]) == [2, 8]


@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 5))
def test_owners_never_decide_more_than_the_limit_together(seed: int, limit: int, partitions: int) -> None:
    """Whatever they ask, in any order, with answers lost and owners replaced; and all of it is used in the end."""
    draw = random.Random(seed)
    decided = dict.fromkeys(range(partitions), 0)
    charged: dict[int, tuple[int, int]] = {}
    owners = {partition: DailyPermits(lambda _: limit or 1) for partition in decided}
    epochs = dict.fromkeys(decided, 1)
    limit = limit or 1

    def step(partition: int, *, is_lost: bool) -> None:
        of = owners[partition]
        while of.may_decide("acme", DAY) and draw.random() < 0.8:
            of.count("acme", DAY)
            decided[partition] += 1
        for each in of.asks(NOON, lambda _: draw.randint(0, 3), also_refused=True):
            asked = GrantAsk(each.account, each.day, partition, epochs[partition], each.used, each.need, each.limit)
            (number,) = share_out({("acme", DAY): charged}, [asked])
            assert number is not None
            charged[partition] = epochs[partition], number
            if not is_lost:
                of.granted(each, number)

    for _ in range(60):
        partition = draw.choice(list(decided))
        if draw.random() < 0.1:
            owners[partition] = DailyPermits(lambda _: limit)
            owners[partition].load({("acme", DAY): decided[partition]})
            epochs[partition] += 1
        step(partition, is_lost=draw.random() < 0.2)
        assert sum(decided.values()) <= limit
