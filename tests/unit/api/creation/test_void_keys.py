"""A key whose reserved id is so old that it may be void: the tables say whether the request made its job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from libs.domain.history.choice import LATE_MS
from libs.events import Envelope, Spec, encode
from libs.events.ids import new_job_id
from libs.sealing.keyring import NO_SEALING
from services.api.contract.requests import JobRequest
from services.api.handlers.jobs.job_creation import JobCreation
from tests.fakes.store import MemoryStore

NOW = 1_800_000_000_000
FIRE_AT = NOW + 60_000


class Surroundings:
    """What the handler asks and does, over tables in memory into which nothing is folded but what a test puts there."""

    def __init__(self, *, folds: bool) -> None:
        self.database = MemoryStore().database
        self.appended: list[str] = []
        self._folds = folds
        context: Any = SimpleNamespace(
            check_url=str,
            keyring=NO_SEALING,
            sealed=lambda event, account: encode(event),
            read_index=self,
            queries=self,
            keys=self,
            limits=self,
            mint=SimpleNamespace(
                partition=lambda now: 0, job_id=lambda now, partition: new_job_id(now, partition, b"\1" * 8)
            ),
            append=self.append,
        )
        self.creation = JobCreation(context)

    async def find(self, _: int, ask: Any) -> Any:
        return await ask()

    async def job_status(self, job_id: str) -> object:
        return job_id if self._folds and job_id in self.appended else None

    async def append(self, account: str, partition: int, envelopes: list[Envelope], **_: object) -> None:
        self.appended += [each.key for each in envelopes]

    async def check_daily(self, account: str) -> None:
        pass

    async def replace(self, *args: Any) -> Any:
        return self.database.replace(*args)

    async def repeated(self, held_id: str) -> Any:
        """Repeat the request whose key was taken for *held_id*; return the reservation that counts."""
        self.database.reserve("acme", "k", b"hash", held_id, NOW - 1)
        held = self.database.reservation("acme", "k")
        job = JobRequest(Spec(url="https://example.com/"), FIRE_AT, 0, "k")
        room: Any = SimpleNamespace(take=lambda spec: None)
        return await self.creation._repeat(job, held, NOW, "acme", room)  # type: ignore[arg-type]


OLD = new_job_id(NOW - LATE_MS, 0, bytes(8))
YOUNG = new_job_id(NOW - LATE_MS + 1, 0, bytes(8))


@pytest.mark.parametrize(("held_id", "folds"), [(YOUNG, False), (YOUNG, True), (OLD, True)])
async def test_an_id_that_counts_keeps_its_key(held_id: str, folds: bool) -> None:
    """The request is appended again; a young id cannot be void, of an old one the tables show the job."""
    around = Surroundings(folds=folds)
    held = await around.repeated(held_id)

    assert (held.job_id, held.is_new) == (held_id, False)
    assert around.appended == [held_id]


async def test_a_void_id_gives_its_key_to_a_new_one() -> None:
    """The tables do not show the job of an old id although its record stands in the log: it never comes."""
    around = Surroundings(folds=False)
    held = await around.repeated(OLD)

    assert held.is_new
    assert held.job_id == new_job_id(NOW, 0, b"\1" * 8)
    assert held.created_at == NOW
    assert around.database.reservation("acme", "k").job_id == held.job_id  # type: ignore[union-attr]
