"""What the doctor makes of the facts."""

from __future__ import annotations

import msgspec
import pytest

from libs.log.kafka.inspect import PartitionReport, TopicReport, problems
from libs.log.kafka.topic import SETTINGS
from libs.log.log_report import LogReport
from libs.store.control.account_keys import KeyCount
from libs.store.control.stale_secrets import ClearCount
from libs.store.examination import findings as judge
from libs.store.examination.findings import Finding
from libs.store.health.database_report import Server, Work
from libs.store.leases.lease_report import HeldLease, Member
from libs.store.schema.migrate import Schema, Step

SERVER = Server(
    version=180_006, version_text="18.6", at=0, is_replica=False, unsafe=[], connections=20, connections_max=100
)
NONE_CLEAR = ClearCount(0, 0)
GOOD_TOPIC = {**SETTINGS, "min.insync.replicas": "2"}
STEP = Step(3, "0003_more.sql", "SELECT 1", True)


def states(found: list[Finding]) -> list[str]:
    return [each.state for each in found]


def member(node: str = "a", role: str = "scheduler", **changes: object) -> Member:
    facts = {"seen_s": 0.5, "is_draining": False, "partitions": 4, "version": "1"} | changes
    return Member(node=node, role=role, **facts)  # type: ignore[arg-type]


def everybody(node: str = "a", **changes: object) -> list[Member]:
    return [member(node, role, **changes) for role in judge.NAMES]


def lease(partition: int, position: int = 5, *, role: str = "scheduler", left_s: float | None = 3.0) -> HeldLease:
    return HeldLease(role=role, partition=partition, node="a", left_s=left_s, epoch=1, position=position)


def partition(number: int, *, leader: int | None = 1, in_sync: tuple[int, ...] = (1, 2, 3)) -> PartitionReport:
    return PartitionReport(partition=number, leader=leader, replicas=(1, 2, 3), in_sync=in_sync)


def test_schedulers_with_different_zone_data_are_told() -> None:
    """They would not agree on what a time zone means. Those that report none, as other roles do, are passed over."""
    same = [member("a", zone_data="2026f"), member("b", zone_data="2026f"), member("c", zone_data=None)]
    others = everybody()[1:]
    found = judge.of_members([*same, *others], 4)
    assert states(found) == ["ok"]

    (found_one,) = judge.of_members([*same, member("d", zone_data="2026e"), *others], 4)
    assert found_one.state == "warning"
    assert "2026e, 2026f" in found_one.text
    assert "tzdata" in (found_one.advice or "")


@pytest.mark.parametrize(
    ("changes", "state", "word"),
    [
        ({}, "ok", "18.6"),
        ({"version": 140_010, "version_text": "14.10"}, "wrong", "15 or newer"),
        ({"is_replica": True}, "wrong", "primary"),
        ({"unsafe": ["fsync"]}, "warning", "power cut"),
        ({"connections": 90}, "warning", "max_connections"),
    ],
)
def test_a_server(changes: dict[str, object], state: str, word: str) -> None:
    """Too old or read-only is wrong; unsafe or nearly full may become so."""
    facts = {name: getattr(SERVER, name) for name in SERVER.__struct_fields__} | changes
    (found,) = judge.of_server(Server(**facts), 20)
    assert found.state == state
    assert word in f"{found.text} {found.advice}"


@pytest.mark.parametrize(
    ("schema", "state"),
    [
        (Schema(frozenset({1, 2}), (), (), (), 4), "ok"),
        (Schema(frozenset({1, 2}), (STEP,), (), (), 4), "wrong"),
        (Schema(frozenset({1, 2, 3}), (), ((3, True),), (), 4), "warning"),
        (Schema(frozenset({1, 2, 3}), (), ((3, False),), (), 4), "wrong"),
        (Schema(frozenset({1, 2}), (), (), ("0001_initial.sql",), 4), "wrong"),
    ],
)
def test_a_schema(schema: Schema, state: str) -> None:
    """Behind this build, or beyond it in a way that it cannot bear, is wrong; an upgrade under way is not."""
    assert states(judge.of_schema(schema)) == [state]


def test_a_topic_as_it_should_be() -> None:
    """Three replicas in sync, kept for ever: one line, and all is well."""
    topic = TopicReport(brokers=3, partitions=[partition(0), partition(1)], settings=GOOD_TOPIC)
    assert states(judge.of_log(LogReport("a topic", 2, problems("fliq.log", topic)))) == ["ok"]


@pytest.mark.parametrize(
    ("topic", "state", "word"),
    [
        (TopicReport(brokers=3, partitions=[], settings={}), "wrong", "fliq migrate"),
        (
            TopicReport(brokers=3, partitions=[partition(0)], settings=GOOD_TOPIC | {"retention.ms": "604800000"}),
            "wrong",
            "-1",
        ),
        (TopicReport(brokers=3, partitions=[partition(0, leader=None)], settings=GOOD_TOPIC), "wrong", "leader"),
        (TopicReport(brokers=3, partitions=[partition(0, in_sync=(1,))], settings=GOOD_TOPIC), "wrong", "appended"),
        (TopicReport(brokers=3, partitions=[partition(0, in_sync=(1, 2))], settings=GOOD_TOPIC), "warning", "in sync"),
        (
            TopicReport(brokers=3, partitions=[partition(0)], settings=GOOD_TOPIC | {"min.insync.replicas": "1"}),
            "warning",
            "single broker",
        ),
    ],
)
def test_a_topic_that_is_not(topic: TopicReport, state: str, word: str) -> None:
    """What would lose or refuse jobs is wrong; a missing replica is a warning."""
    found = [each for each in judge.of_log(LogReport("a topic", 1, problems("fliq.log", topic))) if each.state != "ok"]
    assert states(found) == [state]
    assert word in f"{found[0].text} {found[0].advice}"


@pytest.mark.parametrize(
    ("skew_ms", "state"), [(0, "ok"), (-99, "ok"), (100, "warning"), (-1_000, "wrong"), (60_000, "wrong")]
)
def test_a_clock(skew_ms: float, state: str) -> None:
    """Calls leave by a machine's clock: a tenth of a second is worth a look, a second is wrong."""
    assert judge.of_clock("clocks", "PostgreSQL", skew_ms).state == state


def test_members() -> None:
    """All roles alive is well; a missing role is wrong, and so is one whose every process drains."""
    assert states(judge.of_members(everybody(), 4)) == ["ok"]
    assert states(judge.of_members([member()], 4)) == ["wrong", "wrong"]
    assert states(judge.of_members(everybody(seen_s=60.0), 4)) == ["wrong"] * 3
    assert states(judge.of_members([*everybody("a", is_draining=True), *everybody("b")], 4)) == ["warning"]
    assert "wrong" in states(judge.of_members(everybody(is_draining=True), 4))


def test_members_that_are_behind() -> None:
    """Who knows fewer partitions than there are is to be restarted; two builds at once are an upgrade under way."""
    grown = judge.of_members(everybody(), 6)
    assert states(grown) == ["warning"] * 3
    assert "restart" in (grown[0].advice or "")
    mixed = judge.of_members([*everybody("a"), *everybody("b", version="2")], 4)
    assert states(mixed) == ["warning"]


def test_leases() -> None:
    """A partition that nobody serves is wrong, named once for each role."""
    held = [lease(number, role=role) for role in judge.NAMES for number in range(12)]
    assert states(judge.of_leases(held)) == ["ok"]
    free = [lease(number, left_s=-1.0 if number % 2 else None) for number in range(12)]
    (found,) = judge.of_leases(free)
    assert found.state == "wrong"
    assert found.text == "partitions 0, 1, 2, 3, 4, 5, 6, 7 and 4 more: no scheduler serves them"


def test_lag() -> None:
    """Behind and moving catches up; behind and still stands; ahead of the log means that the log lost something."""
    before = {0: lease(0, 5)}
    assert "follow" in judge.of_lag(before, [lease(0, 9)], {0: 10})[0].text
    catching_up = judge.of_lag(before, [lease(0, 7)], {0: 10})
    assert (catching_up[0].state, "2 records" in catching_up[0].text) == ("ok", True)
    assert states(judge.of_lag(before, [lease(0, 5)], {0: 10})) == ["wrong"]
    lost = judge.of_lag({0: lease(0, 20)}, [lease(0, 20)], {0: 10})
    assert (lost[0].state, "ahead" in lost[0].text) == ("wrong", True)


def test_positions_that_passed_the_end_meanwhile_are_no_loss() -> None:
    """The end was taken before: what was appended and folded since then is beyond it, and nothing is missing."""
    assert states(judge.of_lag({0: lease(0, 9)}, [lease(0, 12)], {0: 10})) == ["ok"]


def work(oldest_due_at: int | None = None, stuck_count: int = 0, oldest_webhook_at: int | None = None) -> Work:
    return Work(
        oldest_due_at=oldest_due_at, stuck_count=stuck_count, webhook_count=1, oldest_webhook_at=oldest_webhook_at
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (work(None, 0), ["ok"]),
        (work(100_000, 0), ["ok"]),
        (work(94_000, 0), ["warning"]),
        (work(1_000, 0), ["wrong"]),
        (work(None, 2), ["wrong"]),
        (work(oldest_webhook_at=1_000), ["warning"]),
        (work(oldest_webhook_at=98_000), ["ok"]),
        (msgspec.structs.replace(work(), disabled_endpoints=["whe_1", "whe_2", "whe_3", "whe_4"]), ["warning"]),
    ],
)
def test_work(found: Work, expected: list[str]) -> None:
    """What is overdue by seconds is worth a look, by a minute it is wrong; so is a call that never ends."""
    assert states(judge.of_work(found, 99_000)) == expected


def test_a_disk() -> None:
    """Less than a tenth free is a warning."""
    assert judge.of_disk("/data", 50, 100).state == "ok"
    assert judge.of_disk("/data", 9, 100).state == "warning"


def test_every_finding_says_what_to_do() -> None:
    """Whatever is not ok comes with advice, and durations read as people say them."""
    found = [
        *judge.of_members([], 4),
        *judge.of_work(msgspec.structs.replace(work(0, 1), over_day=[f"a{number}" for number in range(9)]), 99_000),
    ]
    assert all(each.advice for each in found)
    assert [judge.seconds(ms) for ms in (4, 1_500, 600_000, 9_000_000)] == ["4 ms", "1.5 s", "10 min", "2 h"]


def test_sealing_is_judged_by_file_and_database() -> None:
    """Off is a warning; sealed data without a file is wrong; with one it says how much from before is in clear."""
    keys = KeyCount(2, 3, 0)

    assert states(judge.of_sealing(None, None, KeyCount(0, 0, 0), 7, NONE_CLEAR)) == ["warning"]
    assert states(judge.of_sealing(None, "abcd", keys, 0, NONE_CLEAR)) == ["wrong"]
    (sealed,) = judge.of_sealing("master.key", "abcd", keys, 7, NONE_CLEAR)
    assert (sealed.state, "7 specs from before are not sealed" in sealed.text) == ("ok", True)
    (all_sealed,) = judge.of_sealing("master.key", "abcd", keys, 0, NONE_CLEAR)
    assert "not sealed" not in all_sealed.text
    _, left = judge.of_sealing("master.key", "abcd", keys, 0, ClearCount(2, 5))
    assert (left.state, "2 webhook endpoints and 5 signing secrets" in left.text) == ("warning", True)
    assert "fliq keys seal" in str(left.advice)
