"""How facts are gathered: what is well is asked for once, and a check that does not answer hides no other."""

from __future__ import annotations

from typing import Any

import pytest

from libs.log.memory import MemoryLog
from libs.runtime.roles import READERS
from libs.store.errors import StoreUnavailable
from libs.store.examination import examination
from libs.store.examination.examination import Examination, found_by, settled
from libs.store.examination.findings import Finding, ok, wrong
from libs.store.health.database_report import Server, Size, Work
from libs.store.leases.lease_report import HeldLease, Member

NOW = 1_796_000_000_000


class Facts:
    """The tables of an installation with one partition, whose log is empty; *positions* are those of the tables, in turn."""

    def __init__(self, *positions: int) -> None:
        self.positions = list(positions)
        self.asked = 0

    async def server(self) -> Server:
        return Server(
            version=180_006,
            version_text="18.6",
            at=NOW,
            is_replica=False,
            unsafe=[],
            connections=5,
            connections_max=100,
        )

    async def work(self, _now: int, *, daily_limit: int) -> Work:
        raise StoreUnavailable(f"no tables today, and {daily_limit} a day")

    async def sizes(self) -> tuple[int, list[Size]]:
        return 3_000_000, [Size(table="fliq.jobs", bytes=2_000_000, dead=0.0)]

    async def leases(self) -> list[HeldLease]:
        self.asked += 1
        position = self.positions.pop(0) if len(self.positions) > 1 else self.positions[0]
        return [HeldLease(role=role, partition=0, node="a", left_s=3.0, epoch=1, position=position) for role in READERS]

    async def members(self) -> list[Member]:
        return [
            Member(node="a", role=role, seen_s=0.1, is_draining=False, partitions=1, version="1") for role in READERS
        ]


def examined(facts: Any) -> Examination:
    return Examination(facts, facts, now=lambda: NOW, daily_limit=7, connections_max=20)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at again is so at once."""
    monkeypatch.setattr(examination, "AGAIN_S", 0)
    monkeypatch.setattr(examination, "BETWEEN_S", 0)


async def test_what_does_not_answer_is_a_finding_among_the_others() -> None:
    """In the order in which it is worth reading."""
    log = MemoryLog(partitions=1)
    await log.start()

    found = await examined(Facts(-1)).findings(log)

    assert [(each.check, each.state) for each in found] == [
        ("database", "ok"),
        ("clocks", "ok"),
        ("members", "ok"),
        ("leases", "ok"),
        ("lag", "ok"),
        ("work", "wrong"),
        ("disk", "ok"),
    ]
    assert next(each for each in found if each.check == "work").text == "no tables today, and 7 a day"
    await log.stop()


async def test_tables_that_follow_are_read_once_and_others_twice() -> None:
    """Only what stands still is wrong."""
    log = MemoryLog(partitions=1)
    await log.start()
    follows, moves, ahead = Facts(-1), Facts(-2, -1), Facts(3)

    assert [each.state for each in await examined(follows).of_lags(log)] == ["ok"]
    assert follows.asked == 1
    assert [each.state for each in await examined(moves).of_lags(log)] == ["ok"]
    assert moves.asked == 2
    assert [each.state for each in await examined(ahead).of_lags(log)] == ["wrong"]
    await log.stop()


async def test_what_lasts_a_moment_is_not_reported() -> None:
    """A check that finds something wrong is made once more."""
    answers = [[wrong("leases", "nobody serves it", "wait")], [ok("leases", "all are served")]]

    async def check() -> list[Finding]:
        return answers.pop(0)

    assert [each.state for each in await settled(check)] == ["ok"]


async def test_a_defect_of_a_check_is_a_finding() -> None:
    """With its kind, so that it can be reported."""

    async def broken() -> list[Finding]:
        raise KeyError("x")

    (found,) = await found_by({"disk": broken})
    assert found.state == "wrong"
    assert "KeyError" in found.text
