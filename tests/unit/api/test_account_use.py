"""Waiting jobs and stored bytes of an account: what is counted, when, and what is refused."""

from __future__ import annotations

import asyncio

import pytest

from libs.events import Spec
from libs.store.control.limits import Limits
from libs.store.errors import StoreUnavailable
from libs.store.projection.changes import stored_size
from libs.store.reads.account_queries import WaitingUse
from services.api.contract.api_error import ApiError
from services.api.state import account_use
from services.api.state.account_use import AccountUse, Room

SPEC = Spec(url="https://example.com/", body="x" * 100)
SIZE = stored_size(SPEC)


class Queries:
    """Tables with so many waiting jobs."""

    def __init__(self, jobs: int = 0, stored_bytes: int = 0) -> None:
        self.use = WaitingUse(jobs, stored_bytes)
        self.asked: list[tuple[int | None, bool]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.fails = False

    async def waiting_use(self, account: str, *, jobs_max: int | None, with_bytes: bool) -> WaitingUse:
        self.asked.append((jobs_max, with_bytes))
        await self.answers.wait()
        if self.fails:
            raise StoreUnavailable("away")
        return self.use


def use_of(queries: Queries, **limits: int) -> AccountUse:
    """The use of accounts that have *limits*."""

    async def catch_up() -> bool:
        return True

    return AccountUse(queries, catch_up, lambda _: Limits(**limits))  # type: ignore[arg-type]


def is_taken(room: Room, spec: Spec | None = SPEC) -> bool:
    """Whether one more job finds room."""
    try:
        room.take(spec)
    except ApiError as error:
        return (error.status, error.headers["Retry-After"]) != (429, str(account_use.RETRY_AFTER_S))
    return True


async def test_without_a_limit_nothing_is_counted() -> None:
    """And everything is taken."""
    queries = Queries()
    use = use_of(queries, requests_per_second=1)
    room = await use.room("acme")

    assert all(is_taken(room) for _ in range(100))
    assert queries.asked == []
    assert await use.use("acme") is None


async def test_jobs_up_to_the_limit() -> None:
    """Those in the tables, those of this request, and those of others that are being appended."""
    queries = Queries(jobs=7)
    use = use_of(queries, waiting_jobs=10)
    one, two = await use.room("acme"), await use.room("acme")

    assert [is_taken(one), is_taken(two), is_taken(one), is_taken(two)] == [True, True, True, False]
    one.done()
    two.done()
    assert not is_taken(await use.room("acme"))
    assert queries.asked == [(10, False)]


async def test_bytes_up_to_the_limit() -> None:
    """A copy brings none of its own; a smaller job may still fit."""
    queries = Queries(stored_bytes=1_000)
    room = await use_of(queries, stored_bytes=1_000 + SIZE + 60).room("acme")

    assert is_taken(room)
    assert not is_taken(room)
    assert is_taken(room, Spec(url="https://e.example/"))
    assert is_taken(room, None)
    with pytest.raises(ApiError, match="waiting jobs may send"):
        room.take(SPEC)
    assert queries.asked == [(None, True)]


async def test_what_was_cancelled_is_free_after_the_next_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was added is carried on: the rows say what there is."""
    queries = Queries(jobs=2)
    use = use_of(queries, waiting_jobs=3)
    room = await use.room("acme")
    assert is_taken(room)
    room.done()
    queries.use = WaitingUse(1, 0)
    assert not is_taken(await use.room("acme"))
    monkeypatch.setattr(account_use, "COUNT_EVERY_S", 0.0)
    monkeypatch.setattr(account_use, "DUTY", 0)

    room = await use.room("acme")
    assert [is_taken(room) for _ in range(3)] == [True, True, False]


async def test_while_it_is_counted_nothing_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far from its limit an account does not wait for the count; what it adds meanwhile counts."""
    queries = Queries(jobs=0)
    use = use_of(queries, waiting_jobs=10)
    room = await use.room("acme")
    assert [is_taken(room) for _ in range(6)] == [True] * 6
    room.done()
    monkeypatch.setattr(account_use, "COUNT_EVERY_S", 0.0)
    monkeypatch.setattr(account_use, "DUTY", 0)
    queries.answers.clear()
    queries.use = WaitingUse(6, 0)
    during = await use.room("acme")
    await asyncio.sleep(0)
    assert [is_taken(during) for _ in range(5)] == [True] * 4 + [False]
    during.done()
    queries.answers.set()
    assert (await use.use("acme")) in (WaitingUse(10, 0), WaitingUse(6, 0))


async def test_tables_that_do_not_answer_refuse_nobody() -> None:
    """A limit does not make an outage worse."""
    queries = Queries(jobs=100)
    queries.fails = True
    use = use_of(queries, waiting_jobs=3)

    assert is_taken(await use.room("acme"))
