"""What the Kafka log promises besides the port: topics that are fit, producers that are replaced, and brokers that come and go."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from libs.events import Envelope
from libs.log.kafka import KafkaAccess, KafkaLog
from libs.log.kafka.topic import SETTINGS, doubts, unfit
from libs.log.port import AppendFailed, LogError, LogUnavailable, RecordTooLarge
from tests.conformance.harness import Callers, envelope, everything, values
from tests.fakes.running.kafka import Kafka
from tests.fakes.running.stalls import Stalls
from tests.kafka.broker import PASSWORD, USER, Brokers
from tests.kafka.proxy import Proxy

FACT = envelope("fact")
DECISION = Envelope("attempt.due", 1, True, "3.nonce", "job_x", b"decision")


@asynccontextmanager
async def administrator(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def opened(bootstrap: str, topic: str, **options: Any) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(KafkaAccess(bootstrap=bootstrap), topic=topic, **{"partitions": 2, **options})
    try:
        await log.start()
        yield log
    finally:
        await log.stop()


@pytest.fixture
def own(kafka: Kafka) -> Brokers:
    """The brokers, if this run started them and may hurt them."""
    if kafka.brokers is None:
        pytest.skip("needs a broker that this run started")
    return kafka.brokers


async def make_again(admin: AIOKafkaAdminClient, topic: str, partitions: int) -> None:
    """Make a topic that was just deleted, as soon as the broker lets us."""
    while True:
        answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=SETTINGS)])
        if answer.topic_errors[0][1] == 0:
            return


async def make_topic(kafka: Kafka, topic: str, settings: dict[str, str], *, partitions: int = 2) -> None:
    async with administrator(kafka) as admin:
        await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=settings)])


UNFIT = {
    "retention.ms": "1000",
    "retention.bytes": "1000000",
    "cleanup.policy": "compact",
    "max.message.bytes": "100000",
    "unclean.leader.election.enable": "true",
    "compression.type": "lz4",
}


@pytest.mark.parametrize(("name", "value"), UNFIT.items(), ids=UNFIT.keys())
async def test_an_unfit_topic_is_refused(kafka: Kafka, kafka_topic: str, name: str, value: str) -> None:
    """A topic that forgets records, or takes too small ones, is refused at start, in one line that says what to set."""
    await make_topic(kafka, kafka_topic, {**SETTINGS, name: value})
    log = KafkaLog(KafkaAccess(bootstrap=kafka.bootstrap), topic=kafka_topic, partitions=2)
    with pytest.raises(LogError, match=rf"{kafka_topic} is not fit .*: {name} is {value}.* set it to .*") as failure:
        await log.start()
    assert "\n" not in str(failure.value)
    with pytest.raises(LogUnavailable):
        await log.append(0, [FACT])


async def test_brokers_defaults_are_refused(kafka: Kafka, kafka_topic: str) -> None:
    """A topic made with the broker's defaults would forget after a week; it is refused."""
    await make_topic(kafka, kafka_topic, {})
    with pytest.raises(LogError, match=r"retention.ms is 604800000"):
        async with opened(kafka.bootstrap, kafka_topic):
            pass


async def test_the_topic_is_made_fit(kafka: Kafka, kafka_topic: str) -> None:
    """A topic that is made at start has exactly the settings that the log rests on."""
    async with opened(kafka.bootstrap, kafka_topic), administrator(kafka) as admin:
        answer, *_ = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, kafka_topic)])
        found = {entry[0]: entry[1] for entry in answer.resources[0][4]}

    assert {name: found[name] for name in SETTINGS} == SETTINGS
    assert unfit(found) is None


def test_doubts_name_what_production_should_not_have() -> None:
    """Too few copies and the writers' clocks are no reason to refuse, but are named."""
    assert doubts({**SETTINGS, "min.insync.replicas": "2"}, 3) == []
    assert "replication factor 1" in doubts(SETTINGS, 1)[0]
    assert "min.insync.replicas" in doubts({**SETTINGS, "min.insync.replicas": "1"}, 3)[0]
    assert "LogAppendTime" in doubts({**SETTINGS, "message.timestamp.type": "CreateTime"}, 1)[-1]


async def test_several_may_start_at_once(kafka: Kafka, kafka_topic: str) -> None:
    """Processes that start at the same moment on an empty cluster make one topic, and share it."""
    logs = [KafkaLog(KafkaAccess(bootstrap=kafka.bootstrap), topic=kafka_topic, partitions=2) for _ in range(4)]
    await asyncio.gather(*(log.start() for log in logs))
    places = sorted(await asyncio.gather(*(log.append(0, [FACT]) for log in logs)))
    await asyncio.gather(*(log.stop() for log in logs))

    assert places == [0, 1, 2, 3]


async def test_an_append_is_one_batch(kafka: Kafka, kafka_topic: str) -> None:
    """An append beyond what the topic takes at once is refused as a whole; one just below it is written as a whole."""
    async with opened(kafka.bootstrap, kafka_topic) as log:
        with pytest.raises(RecordTooLarge, match="the topic takes 4,194,304 at once"):
            await log.append(0, [envelope(b"x" * 840_000)] * 5)
        assert await log.append(0, [envelope(b"x" * 830_000)] * 5) == 0
        assert len(await everything(log)) == 5


async def test_a_refused_batch_costs_its_producer(kafka: Kafka, kafka_topic: str) -> None:
    """
    After a batch that the broker refused, the same partition takes the next one, through a new producer; the other kind's goes on.

    The hazard: an idempotent producer that gave up on a batch has a gap in its sequence, and refuses everything from then on.
    """
    async with opened(kafka.bootstrap, kafka_topic) as log, administrator(kafka) as admin:
        assert [await log.append(0, [FACT]), await log.append(0, [DECISION])] == [0, 1]
        facts, decisions = log._running._producers  # type: ignore[union-attr]
        smaller = ConfigResource(ConfigResourceType.TOPIC, kafka_topic, {**SETTINGS, "max.message.bytes": "1000"})
        await admin.alter_configs([smaller])
        refused = False
        while not refused:  # the broker learns of its new setting in its own time
            try:
                await log.append(0, [envelope(b"x" * 100_000)])
            except AppendFailed as failure:
                refused = "MessageSizeTooLarge" in str(failure)
        placed = await log.append(0, [FACT])
        assert await log.append(0, [DECISION]) == placed + 1

        assert (facts.started_count, decisions.started_count) == (2, 1)
        assert [record.envelope.value for record in await log.read(0, placed)] == [b"fact", b"decision"]


async def test_a_silent_batch_costs_its_producer(
    own: Brokers, kafka_topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch without an answer is given up after its time, whoever still waits for it; the next one has a new producer."""
    proxies = [Proxy(broker.proxied, broker.through) for broker in own.brokers]
    for proxy in proxies:
        await proxy.start()
    bootstrap = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
    async with opened(bootstrap, kafka_topic) as log:
        assert await log.append(0, [FACT]) == 0
        facts, decisions = log._running._producers  # type: ignore[union-attr]
        monkeypatch.setattr("libs.log.kafka.partition_writer.PRODUCE_S", 0.3)
        for proxy in proxies:
            proxy.hold()
        with pytest.raises(AppendFailed, match=r"no acknowledgement within 0\.3 s"):
            await log.append(0, [FACT], timeout_s=20)
        for proxy in proxies:
            proxy.release()
        monkeypatch.setattr("libs.log.kafka.partition_writer.PRODUCE_S", 10.0)
        assert await log.append(0, [FACT]) in (1, 2)  # what was given up may have landed, once
        assert (facts.started_count, decisions.started_count) == (2, 1)
    for proxy in proxies:
        await proxy.stop()


async def test_producers_are_recycled(kafka: Kafka, kafka_topic: str) -> None:
    """A producer that has served its time is replaced between two batches, and nothing is lost or reordered."""
    async with opened(kafka.bootstrap, kafka_topic) as log:
        await log.append(0, [FACT])
        facts, _ = log._running._producers  # type: ignore[union-attr]
        appends = [asyncio.ensure_future(log.append(0, [envelope(str(turn))])) for turn in range(20)]
        facts._life.recycle_at = 0.0
        appends += [asyncio.ensure_future(log.append(0, [envelope(str(turn))])) for turn in range(20, 40)]
        assert await asyncio.gather(*appends) == list(range(1, 41))

        assert facts.started_count == 2
        assert await values(log) == ["fact", *map(str, range(40))]


async def test_a_stranger_s_record_is_passed_over(kafka: Kafka, kafka_topic: str) -> None:
    """A record without our headers, or without a value, takes its position and is of no type that anybody must understand."""
    async with opened(kafka.bootstrap, kafka_topic) as log:
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
            await producer.send_and_wait(kafka_topic, b"hello", partition=0)
            await producer.send_and_wait(
                kafka_topic, None, key=b"\xff", partition=0, headers=[("m", b"1"), ("v", b"x")]
            )
        assert await log.append(0, [FACT]) == 2
        first, second, third = [record.envelope for record in await everything(log)]

        assert first == Envelope("", 0, False, None, "", b"hello")
        assert second == Envelope("", 0, False, None, "\ufffd", b"")
        assert third == FACT


async def test_g4_a_gap_stops_the_reader(kafka: Kafka, kafka_topic: str) -> None:
    """G4: where an offset holds no record (a stranger's transaction ended there), reading raises instead of going past it."""
    async with opened(kafka.bootstrap, kafka_topic) as log:
        await log.append(0, [FACT])
        async with (
            AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=kafka_topic) as producer,
            producer.transaction(),
        ):
            await producer.send_and_wait(kafka_topic, b"hello", partition=0)
        while await log.end(0) < 3:
            pass  # the broker writes the transaction's end in its own time
        assert await log.append(0, [FACT]) == 3
        assert [record.position for record in await log.read(0, 1)] == [1]
        for _ in range(2):
            with pytest.raises(LogError, match=r"\Athe log is damaged: partition 0 has no record at 2\Z"):
                await log.read(0, 2)


async def test_a_topic_that_was_made_anew_is_noticed(kafka: Kafka, kafka_topic: str) -> None:
    """A topic that was deleted and made again under a running log is noticed by appends, by `end` and by reads."""
    async with opened(kafka.bootstrap, kafka_topic, partitions=1) as log, administrator(kafka) as admin:
        await log.append(0, [FACT] * 10)
        await admin.delete_topics([kafka_topic])
        await make_again(admin, kafka_topic, 1)
        with pytest.raises(AppendFailed, match="the log lost records"):
            await log.append(0, [FACT])
        with pytest.raises(LogError, match="the log is damaged: partition 0 ends at 1, though 9 was written"):
            await log.end(0)
        with pytest.raises(LogError):
            await log.read(0, 10)


async def test_topics_are_told_apart(kafka: Kafka, kafka_topic: str) -> None:
    """Another topic has another identity, and so has one that was deleted and made again under the same name."""
    async with opened(kafka.bootstrap, kafka_topic) as log, opened(kafka.bootstrap, f"{kafka_topic}.other") as other:
        first, second = await log.identity(), await other.identity()
    async with administrator(kafka) as admin:
        await admin.delete_topics([kafka_topic, f"{kafka_topic}.other"])
        await make_again(admin, kafka_topic, 2)
    async with opened(kafka.bootstrap, kafka_topic) as log:
        third = await log.identity()

    assert len({first, second, third}) == 3
    assert first.partition("/")[0] == second.partition("/")[0] == third.partition("/")[0]  # the cluster is the same


async def test_positions_are_shown_to_kafka_s_tools(kafka: Kafka, kafka_topic: str) -> None:
    """What was shown is what Kafka's own tools find for the group: the offset that is read next. The notes are ours."""
    group = f"{kafka_topic}.group"
    async with opened(kafka.bootstrap, kafka_topic) as log, administrator(kafka) as admin:
        await log.append(0, [FACT] * 5)
        await log.report_positions(group, {0: 3, 1: -1}, "db 1")
        await log.report_positions(group, {0: 4}, "db 2")
        assert await log.reported_notes(group) == {0: "db 2", 1: "db 1"}
        shown = await admin.list_consumer_group_offsets(group)

    assert {place.partition: found.offset for place, found in shown.items()} == {0: 5, 1: 0}
    with pytest.raises(LogUnavailable):
        await log.report_positions(group, {0: 4})


async def test_nobody_there(kafka: Kafka) -> None:
    """Where nothing listens, start says so in one line."""
    log = KafkaLog(KafkaAccess(bootstrap="127.0.0.1:1"))
    with pytest.raises(LogUnavailable, match=r"\AKafka cannot be reached: .*127.0.0.1"):
        await log.start()


class TestSecure:
    """TLS and SCRAM, on a broker of ours."""

    @pytest.fixture
    def access(self, own: Brokers) -> KafkaAccess:
        if own.certificates is None:
            pytest.skip("needs a broker with certificates")
        return KafkaAccess(
            bootstrap=own.secure_bootstrap,
            tls=True,
            ca_file=own.certificates.authority,
            username=USER,
            password=PASSWORD,
        )

    async def test_tls_and_scram(self, access: KafkaAccess, kafka_topic: str) -> None:
        """With the authority's certificate and the right password the log is as any other."""
        log = KafkaLog(access, topic=kafka_topic, partitions=1)
        await log.start()
        assert await log.append(0, [FACT, DECISION]) == 0
        assert [record.envelope for record in await everything(log)] == [FACT, DECISION]
        await log.stop()

    @pytest.mark.parametrize(
        ("change", "why"),
        [({"password": "wrong"}, "Authentication"), ({"ca_file": None}, "certificate verify failed")],
        ids=["password", "authority"],
    )
    async def test_refused(self, access: KafkaAccess, kafka_topic: str, change: dict[str, Any], why: str) -> None:
        """With a wrong password, or a broker that we have no reason to trust, the log says why it does not start, and no secret."""
        wrong = KafkaAccess(**{name: getattr(access, name) for name in access.__struct_fields__} | change)
        with pytest.raises(LogUnavailable) as failure:
            await KafkaLog(wrong, topic=kafka_topic).start()
        assert why in str(failure.value)
        assert PASSWORD not in f"{failure.value} {wrong!r}"

    @pytest.mark.parametrize(
        "bad",
        [
            {"username": "a"},
            {"password": "a"},
            {"ca_file": "x"},
            {"username": "a", "password": "b", "mechanism": "PLAIN"},
        ],
    )
    def test_half_of_an_access(self, bad: dict[str, Any]) -> None:
        """Half of a pair, certificates without TLS, and a password in the clear are refused before anything is sent."""
        with pytest.raises(ValueError):
            KafkaAccess(bootstrap="a:1", **bad)


async def test_g1_a_killed_broker_loses_nothing(kafka: Kafka, own: Brokers, kafka_topic: str) -> None:
    """
    G1, G6: the broker is killed in the middle of appends and started again. What was acknowledged is there, nothing twice, and log
    and readers go on by themselves.
    """
    broker = own.brokers[0]
    async with opened(kafka.bootstrap, kafka_topic, timeout_s=1.0) as log:
        callers = Callers(log, timeout_s=30)
        await callers.more(50)
        await asyncio.to_thread(own.order, broker, "kill")
        with pytest.raises(LogUnavailable):
            await log.end(0)
        await asyncio.to_thread(own.start_one, broker)
        await asyncio.to_thread(own.wait_one, broker)
        await callers.more(50)
        await callers.stop()


async def test_a_silent_broker_holds_nobody_up(kafka: Kafka, own: Brokers, kafka_topic: str, stalls: Stalls) -> None:
    """
    G6, G7: the only broker stops where it is. Appends and questions end within their time; when it goes on so does the log,
    and what was given up is there once or not at all.
    """
    broker = own.brokers[0]
    async with opened(kafka.bootstrap, kafka_topic, timeout_s=1.0) as log:
        assert await log.append(0, [envelope("before")]) == 0
        own.order(broker, "stop")
        try:
            began_s = time.monotonic()
            with pytest.raises(AppendFailed):
                await log.append(0, [envelope("given up")], timeout_s=0.2)
            with pytest.raises(LogUnavailable):
                await log.append(0, [envelope("never sent")], timeout_s=0.2)
            with pytest.raises(LogUnavailable):
                await log.end(0)
            assert time.monotonic() - began_s < 3 + 2 * stalls.longest_ms / 1000
        finally:
            own.order(broker, "go on")
        await log.append(0, [envelope("after")], timeout_s=30)
        found = await values(log)

    assert found in (["before", "after"], ["before", "given up", "after"])
