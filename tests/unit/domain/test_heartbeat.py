"""The heartbeat: when it is due, whose turn it is, and that two who give it give the same job."""

from __future__ import annotations

import pytest

from libs.domain.heartbeat import ACCOUNT, AHEAD_MS, URL, heartbeat, partition_of_slot, slot_after
from libs.events.ids import partition_of

PERIOD_MS = 10_000


@pytest.mark.parametrize(
    ("now", "slot_at"),
    [(0, 10_000), (7_999, 10_000), (8_000, 20_000), (10_000, 20_000)],
    ids=["far", "just in time", "too near", "at one"],
)
def test_the_next_slot_can_still_be_asked_for(now: int, slot_at: int) -> None:
    """It is a whole number of periods, and more than AHEAD_MS away."""
    assert slot_after(now, PERIOD_MS) == slot_at
    assert slot_at - now > AHEAD_MS


def test_every_partition_has_its_turn() -> None:
    """As many slots in a row as there are partitions are one of each."""
    turns = [partition_of_slot(number * PERIOD_MS, PERIOD_MS, 4) for number in range(7, 11)]

    assert sorted(turns) == [0, 1, 2, 3]


def test_two_who_give_it_give_the_same_job() -> None:
    """Its id is made of instant and partition, not of when it was asked for; no caller could have asked for its target."""
    one, two = heartbeat(20_000, 3, 17_000), heartbeat(20_000, 3, 17_500)

    assert one.job_id == two.job_id != heartbeat(30_000, 3, 17_000).job_id
    assert partition_of(one.job_id) == 3
    assert (one.account, one.fire_at, one.at, one.spec.url) == (ACCOUNT, 20_000, 17_000, URL)
    assert not URL.startswith("http")
