"""New jobs: of which jobs it is certain that the tables do not hold them."""

import random

import pytest

from services.scheduler.new_jobs import NOTED_MAX, NewJobs


def name(number: int) -> str:
    return f"job_{number:06}"


def test_a_job_below_the_floor_may_be_in_the_tables() -> None:
    """Of what was there at the start nothing is new."""
    jobs = NewJobs(name(5))

    assert [number for number in range(8) if name(number) in jobs] == [6, 7]


def test_a_job_is_new_once() -> None:
    """Whatever the order in which jobs come, one that was folded is not new any more, and its neighbours are."""
    jobs = NewJobs("")
    for number in (9, 3, 6):
        jobs.note(name(number))

    assert [number for number in range(11) if name(number) in jobs] == [0, 1, 2, 4, 5, 7, 8, 10]


@pytest.mark.parametrize("seed", range(5))
def test_of_many_jobs_none_that_was_folded_is_new(seed: int) -> None:
    """If there are too many ids to be noted, the lowest ones may be in the tables: no id that was folded becomes new again."""
    draw = random.Random(seed)
    jobs, folded = NewJobs(""), set[str]()
    for at in range(3 * NOTED_MAX):
        each = name(max(0, at + draw.randint(-300, 0)))
        jobs.note(each)
        folded.add(each)
        assert each not in jobs
    assert [each for each in folded if each in jobs] == []
    assert name(4 * NOTED_MAX) in jobs
    assert name(NOTED_MAX) not in jobs
