"""A run of a schedule whose reserved id is so old that it may be void: the tables say whether the request made its job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from libs.domain.history.choice import LATE_MS
from libs.events import Envelope, Spec, encode
from libs.events.ids import new_job_id, new_schedule_id
from libs.sealing.keyring import NO_SEALING
from services.api.contract.schedules.requests import run_hash
from services.api.handlers.schedules.schedule_runs import ScheduleRuns
from tests.fakes.store import MemoryStore

NOW = 1_800_000_000_000
SCHEDULE = new_schedule_id(1, 0, bytes(8))
SPEC = Spec(url="https://example.com/")
OLD = new_job_id(NOW - LATE_MS, 0, bytes(8))
YOUNG = new_job_id(NOW - LATE_MS + 1, 0, bytes(8))
NEW = new_job_id(NOW, 0, b"\1" * 8)


class Surroundings:
    """What the handler asks and does; *folds* says whether the tables show what was appended."""

    def __init__(self, *, folds: bool) -> None:
        self.database = MemoryStore().database
        self.appended: list[str] = []
        self._folds = folds
        context: Any = SimpleNamespace(
            keyring=NO_SEALING,
            sealed=lambda event, account: encode(event),
            clock=SimpleNamespace(now=lambda: NOW),
            read_index=self,
            queries=self,
            keys=self,
            limits=self,
            mint=SimpleNamespace(partition=lambda now: 0, job_id=lambda now, partition: NEW),
            append=self.append,
        )
        self.runs = ScheduleRuns(context, SimpleNamespace())  # type: ignore[arg-type]

    async def find(self, _: int, ask: Any) -> Any:
        return await ask()

    async def get_job(self, account: str, job_id: str) -> Any:
        return (None, SPEC) if self._folds and job_id in self.appended else None

    async def append(self, account: str, partition: int, envelopes: list[Envelope]) -> None:
        self.appended += [each.key for each in envelopes]

    async def check_daily(self, account: str) -> None:
        pass

    async def reservation(self, account: str, key: str) -> Any:
        return self.database.reservation(account, key)

    async def reserve(self, *args: Any) -> Any:
        return self.database.reserve(*args)

    async def replace(self, *args: Any) -> Any:
        return self.database.replace(*args)


@pytest.mark.parametrize(
    ("held_id", "folds", "appended"),
    [(YOUNG, False, [YOUNG]), (OLD, True, [OLD]), (OLD, False, [OLD, NEW])],
)
async def test_a_void_id_gives_its_key_to_a_new_one(held_id: str, folds: bool, appended: list[str]) -> None:
    """Its process died before the append, and the request comes again: a young id counts, an old one only if the tables show it."""
    around = Surroundings(folds=folds)
    around.database.reserve("acme", "k", run_hash(SCHEDULE, {}), held_id, NOW - 1)
    state = SimpleNamespace(account="acme", schedule_id=SCHEDULE, spec_id=SCHEDULE, max_retries=0, more=None)
    row, room = SimpleNamespace(state=state, spec=SPEC), SimpleNamespace(take=lambda spec: None)
    reply = await around.runs._run(row, {}, "k", room)  # type: ignore[arg-type]

    assert around.appended == appended
    assert appended[-1].encode() in reply.body
    assert around.database.reservation("acme", "k").job_id == appended[-1]  # type: ignore[union-attr]
