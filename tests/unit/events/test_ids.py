"""Ids: 128 bits that carry their instant and their partition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import ids

MAX_MS = (1 << 48) - 1
moments = st.integers(0, MAX_MS)
partitions = st.integers(0, ids.MAX_PARTITIONS - 1)
tails = st.integers(0, (1 << 64) - 1)


@given(moments, partitions, tails)
def test_an_id_gives_back_what_it_was_made_of(ms: int, partition: int, tail: int) -> None:
    """Instant, partition and number can be read from the text, and the text made again from the number."""
    job_id = ids.new_job_id(ms, partition, tail.to_bytes(8, "big"))

    assert ids.instant_of(job_id) == ms
    assert ids.partition_of(job_id) == partition
    assert ids.to_int(job_id) == ms << 80 | partition << 64 | tail
    assert ids.from_int("job", ids.to_int(job_id)) == job_id
    assert ids.is_id(job_id, "job")
    assert not ids.is_id(job_id, "sched")


@given(st.lists(st.tuples(moments, partitions, tails), min_size=2, max_size=2))
def test_ids_sort_by_their_instant(made_of: list[tuple[int, int, int]]) -> None:
    """Text order is the order of the numbers, so lists by id are lists by age."""
    one, other = (ids.ulid(*each) for each in made_of)

    assert (one < other) == (made_of[0] < made_of[1])


@pytest.mark.parametrize(
    ("ms", "partition", "tail"),
    [(-1, 0, 0), (MAX_MS + 1, 0, 0), (0, -1, 0), (0, ids.MAX_PARTITIONS, 0), (0, 0, -1), (0, 0, 1 << 64)],
)
def test_what_does_not_fit_is_refused(ms: int, partition: int, tail: int) -> None:
    """An id that would lie about its parts is not made."""
    with pytest.raises(ValueError, match="48 bits"):
        ids.ulid(ms, partition, tail)


def test_known_ids() -> None:
    """The text of an id never changes: these stand in logs."""
    schedule_id = ids.new_schedule_id(1_800_000_000_123, 3, b"\xff" * 8)

    assert schedule_id == "sched_01mcc5rm3v001zzzzzzzzzzzzz"
    assert ids.new_job_id(1_800_000_000_123, 3, bytes.fromhex("1234567890abcdef")) == "job_01mcc5rm3v001h4d2pf28aqkff"
    assert ids.new_endpoint_id(1_800_000_000_123, 3, "acme", b"\xff" * 4) == "whe_01mcc5rm3v001k09jqpfzzzzzz"
    assert ids.delivery_job_id(1_800_000_000_123, 3, "of what") == "job_01mcc5rm3v001q9kbx55gzfk66"
    assert ids.delivery_id("job_01mcc5rm3v001h4d2pf28aqkff") == "whd_01mcc5rm3v001h4d2pf28aqkff"
    assert ids.share_of("whe_01mcc5rm3v001k09jqpfzzzzzz") == "whe_302657b3"
    assert [ids.share_of(each) for each in ("acme", "whe_", "whe_acme")] == ["acme", "whe_", "whe_acme"]
    assert ids.execution_id("job_01mcc5rm3v001h4d2pf28aqkff", 1) == "exec_01mcc5rm3v001grnj5hbg6sfrs"
    assert ids.tick_job_id(schedule_id, 1_800_000_060_000) == "job_01mcc5tek0001vkpa0bc88qp0c"


def test_a_redelivery_has_an_account_that_names_its_endpoint() -> None:
    """So it is told from the first delivery, and shares with it what the endpoints of an account share."""
    endpoint_id = "whe_01mcc5rm3v001k09jqpfzzzzzz"
    again = ids.redelivery_account(endpoint_id)

    assert [ids.is_redelivery(each) for each in (again, endpoint_id, "acme", "acme.again")] == [True, *[False] * 3]
    assert ids.told_endpoint(again) == ids.told_endpoint(endpoint_id) == endpoint_id
    assert ids.share_of(again) == ids.share_of(endpoint_id)


def test_a_delivery_and_its_job_name_each_other() -> None:
    """Their ids differ in the prefix alone."""
    job_id = "job_01mcc5rm3v001h4d2pf28aqkff"

    assert ids.job_of_delivery(ids.delivery_id(job_id)) == job_id


@given(moments, partitions, tails, st.integers(1, 1000))
def test_ids_made_from_the_log_are_made_again_alike(ms: int, partition: int, tail: int, number: int) -> None:
    """If a decision is made twice, both times it has the same id, in the same partition; every other decision has another id."""
    schedule_id = ids.new_schedule_id(ms, partition, tail.to_bytes(8, "big"))
    job_id = ids.tick_job_id(schedule_id, number * 60_000)

    assert ids.tick_job_id(schedule_id, number * 60_000) == job_id
    assert ids.partition_of(job_id) == partition
    assert ids.instant_of(job_id) == number * 60_000
    assert ids.execution_id(job_id, number) != ids.execution_id(job_id, number + 1)
    assert ids.partition_of(ids.execution_id(job_id, number)) == partition
    assert ids.instant_of(ids.execution_id(job_id, number)) == number * 60_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "job_",
        "job_01mcc5rm3v001h4d2pf28aqkf",
        "job_01mcc5rm3v001h4d2pf28aqkfff",
        "job_81mcc5rm3v001h4d2pf28aqkff",
        "job_01MCC5RM3V001H4D2PF28AQKFF",
        "job_01mcc5rm3v001h4d2pf28aqkfl",
        "job_01mcc5rm3v001h4d2pf28aqkff\n",
        " job_01mcc5rm3v001h4d2pf28aqkff",
        "sched_01mcc5rm3v001h4d2pf28aqkff",
        "job_01mcc5rm3v001h4d2pf28aqkf\u0661",
    ],
)
def test_what_is_no_job_id(text: str) -> None:
    """Length, letters, prefix and the leading digit all count."""
    assert not ids.is_id(text, "job")
