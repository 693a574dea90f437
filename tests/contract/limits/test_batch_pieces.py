"""A batch for which its account's share has no room at once: it is taken piece by piece, and each job's result is its own."""

from __future__ import annotations

import pytest

from libs.log.memory import LOST, WRITTEN
from services.api.handlers.jobs.batch_append import PIECE_UNITS
from services.api.state import unfolded_records
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client

JOB = {"url": "https://example.com/x", "scheduled_at": "2032-01-01T00:00:00Z"}
COUNT = 3 * PIECE_UNITS


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for one piece of one account."""
    monkeypatch.setattr(unfolded_records, "TOTAL", 2 * PIECE_UNITS)
    monkeypatch.setattr(unfolded_records, "TOTAL_MIN", 2 * PIECE_UNITS)


async def test_a_batch_is_taken_in_pieces(little_room: None, api: Client, harness: Harness) -> None:
    """All of it is taken, in more appends than one."""
    status, answer, _ = await api.call("POST", "/v1/jobs/batch", {"jobs": [JOB] * COUNT})
    assert status == 200
    assert len({result["job"]["id"] for result in answer["results"]}) == COUNT


async def test_a_piece_that_is_not_taken_is_told_for_its_jobs(little_room: None, api: Client, harness: Harness) -> None:
    """The jobs before it are there, its own are refused each, those behind it are there."""
    harness.faults.plan(WRITTEN, LOST)
    status, answer, _ = await api.call("POST", "/v1/jobs/batch", {"jobs": [JOB] * COUNT})
    assert status == 200
    said = ["job" if "job" in result else result["error"]["code"] for result in answer["results"]]
    assert said == ["job"] * PIECE_UNITS + ["unavailable"] * PIECE_UNITS + ["job"] * PIECE_UNITS
    listed = (await api.call("GET", "/v1/jobs?limit=100"))[1]["jobs"]
    assert len(listed) == 2 * PIECE_UNITS
