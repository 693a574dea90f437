"""Jobs that tell webhook endpoints: what is sent, what signs it, and how health is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from libs.domain.endpoints.delivery import delivery_job, redelivery_job
from libs.domain.endpoints.endpoint import Endpoint, EndpointConfig
from libs.domain.endpoints.fan_out import Told
from libs.domain.endpoints.webhook_event import of_test
from libs.domain.job import create
from libs.egress.outcome import Outcome
from libs.events import JobScheduled
from libs.events.ids import delivery_id, new_endpoint_id, redelivery_account, share_of, told_endpoint
from libs.store.errors import StoreUnavailable
from services.dispatcher.attempt import outgoing
from services.dispatcher.endpoints import WRITE_EVERY_MS, EndpointHealth, EndpointSecrets
from services.scheduler.sharing.concurrency import Concurrency
from tests.fakes import events
from tests.fakes.targets import Tally
from tests.simulation.manual_clock import ManualClock

T = 1_775_034_000_000
ENDPOINT_ID = new_endpoint_id(T, 3, "acme", b"1234")
SECRET = "whsec_" + "A" * 32


def delivery(**config: object) -> JobScheduled:
    """Return the job that sends an endpoint a test."""
    asked = EndpointConfig(**({"url": "https://example.com/hook", "events": ("*",)} | config))  # type: ignore[arg-type]
    endpoint = Endpoint(endpoint_id=ENDPOINT_ID, account="acme", config=asked, version=1, created_at=T, changed_at=T)
    return delivery_job(Told(of_test(ENDPOINT_ID, T), endpoint, "endpoint.test"), 3)


def test_a_receiver_sees_the_delivery() -> None:
    """Its id is the same for each try, and nothing is said of the job that carries it."""
    job = delivery(headers={"X-Mine": "1", "content-type": "text/plain"})
    sent = [
        dict(
            outgoing(
                events.due(job.job_id, T, attempt, account=job.account),
                job.spec,
                secrets=[SECRET],
                timestamp_s=T // 1000,
                user_agent="Fliq/1",
            ).headers
        )
        for attempt in (1, 2)
    ]

    assert {name: value for name, value in sent[1].items() if "ignature" not in name} == {
        "X-Mine": "1",
        "Content-Type": "application/json",
        "X-Fliq-Event": "endpoint.test",
        "X-Fliq-Attempt": "2",
        "Idempotency-Key": delivery_id(job.job_id),
        "User-Agent": "Fliq/1",
        "X-Fliq-Timestamp": str(T // 1000),
        "webhook-id": delivery_id(job.job_id),
        "webhook-timestamp": str(T // 1000),
    }
    assert sent[0] == sent[1] | {"X-Fliq-Attempt": "1"}


def test_the_endpoints_of_an_account_share_as_one() -> None:
    """However many endpoints an account has, all of them together hold what one account may."""
    own = [new_endpoint_id(T + number, number % 4, "acme", bytes([number] * 4)) for number in range(100)]
    assert len({share_of(each) for each in own}) == 1
    assert share_of(own[0]) != share_of(new_endpoint_id(T, 0, "other", b"1234"))
    assert [share_of(each) for each in ("acme", "whe_", "whe_acme")] == ["acme", "whe_", "whe_acme"]
    concurrency = Concurrency(9)
    for number, endpoint_id in enumerate(own):
        concurrency.wait(f"job{number}", endpoint_id)
    concurrency.wait("of another", "other")

    started = []
    while (job_id := concurrency.next_ready()) is not None:
        concurrency.take(job_id, "other" if job_id == "of another" else own[int(job_id[3:])])
        started.append(job_id)

    assert "of another" in started
    assert len(started) == 6


class Secrets:
    """The secrets of accounts, or of endpoints."""

    def __init__(self, **known: str) -> None:
        self.known = known
        self.asked: list[list[str]] = []

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        self.asked.append(list(accounts))
        return {each: (self.known[each],) for each in accounts if each in self.known}

    sending_secrets = secrets = signing_secrets


async def test_an_endpoint_signs_with_its_own_secret() -> None:
    """Each is asked for those that it has, and for nothing if there is none."""
    accounts, endpoints = Secrets(acme="a"), Secrets(**{ENDPOINT_ID: "e"})
    secrets = EndpointSecrets(accounts, endpoints)

    assert await secrets.signing_secrets(["acme", ENDPOINT_ID]) == {"acme": ("a",), ENDPOINT_ID: ("e",)}
    assert await secrets.signing_secrets([ENDPOINT_ID]) == {ENDPOINT_ID: ("e",)}
    assert await secrets.signing_secrets(["acme"]) == {"acme": ("a",)}
    assert (accounts.asked, endpoints.asked) == ([["acme"], ["acme"]], [[ENDPOINT_ID], [ENDPOINT_ID]])


async def test_a_redelivery_is_signed_for_a_disabled_endpoint_as_well() -> None:
    """Only what was not asked for needs an endpoint that is not disabled."""

    class Disabled(Secrets):
        async def sending_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:  # type: ignore[override]
            return {}

    again = redelivery_account(ENDPOINT_ID)
    secrets = EndpointSecrets(Secrets(acme="a"), Disabled(**{ENDPOINT_ID: "e"}))
    assert await secrets.signing_secrets([ENDPOINT_ID, again, "acme"]) == {again: ("e",), "acme": ("a",)}
    assert (told_endpoint(again), told_endpoint(ENDPOINT_ID), told_endpoint("whe_x.again")) == (
        *(ENDPOINT_ID, ENDPOINT_ID, None),
    )
    assert share_of(again) == share_of(ENDPOINT_ID)


def test_a_redelivery_has_the_id_of_its_delivery() -> None:
    """The receiver sees the same `webhook-id`; Fliq's own headers of the job are not sent."""
    first = delivery()
    endpoint = Endpoint(
        endpoint_id=ENDPOINT_ID,
        account="acme",
        config=EndpointConfig(url="https://example.com/new", events=("*",), headers={"X-Mine": "2"}),
        version=2,
        created_at=T,
        changed_at=T,
    )
    again = redelivery_job(create(first, 0), first.spec, endpoint, at=T + 5, request_id="r")
    assert again == redelivery_job(create(first, 0), first.spec, endpoint, at=T + 5, request_id="r")
    assert again.job_id != redelivery_job(create(first, 0), first.spec, endpoint, at=T + 5, request_id="s").job_id
    due = events.due(again.job_id, T + 5, account=again.account)
    sent = outgoing(due, again.spec, secrets=[SECRET], timestamp_s=T // 1000, user_agent="Fliq/1")
    headers = dict(sent.headers)
    assert (headers["webhook-id"], headers["X-Mine"], sent.url) == (
        *(delivery_id(first.job_id), "2", "https://example.com/new"),
    )
    assert sent.body == (first.spec.body or "").encode()
    assert {name for name in headers if name.startswith("X-Fliq-")} == {
        *("X-Fliq-Event", "X-Fliq-Attempt", "X-Fliq-Timestamp"),
        *(name for name in headers if name == "X-Fliq-Signature"),
    }


class Table:
    """Where health is counted."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.fails = False

    async def failed(self, endpoint_id: str, status_code: int | None, at: int) -> str | None:
        self.calls.append((endpoint_id, status_code, at))
        return "gone" if status_code == 410 else None

    async def delivered(self, endpoint_ids: set[str]) -> None:
        if self.fails:
            raise StoreUnavailable("down, says the test")
        self.calls.append(sorted(endpoint_ids))


def outcome(status: int) -> Outcome:
    """Return an answer."""
    ok = status == 200
    return Outcome(
        ok=ok, status_code=status, error=None if ok else "HTTP", duration_ms=1, retry_after_ms=None, sent_at=0
    )


async def test_a_redelivery_says_nothing_of_health() -> None:
    """Whatever it is answered: it neither ends a run of failures nor counts as one."""
    clock, table = ManualClock(T), Table()
    health = EndpointHealth(table, clock, Tally())
    running = asyncio.create_task(health.run())
    for status in (200, 500, 410):
        health.note(redelivery_account(ENDPOINT_ID), outcome(status))
    health.note(ENDPOINT_ID, outcome(500))
    await clock.advance(WRITE_EVERY_MS)
    running.cancel()

    assert table.calls == [(ENDPOINT_ID, 500, T)]


async def test_health_is_written_once_a_second() -> None:
    """What came last of an endpoint counts; what cannot be written is not counted."""
    clock, table = ManualClock(T), Table()
    tally = Tally()
    health = EndpointHealth(table, clock, tally)
    running = asyncio.create_task(health.run())
    a, b, c = (new_endpoint_id(T, 0, "acme", bytes([0, 0, 0, number])) for number in range(3))
    for endpoint_id, statuses in {a: (500, 200), b: (200, 410), c: (500, 503)}.items():
        for status in statuses:
            health.note(endpoint_id, outcome(status))
    assert table.calls == []
    await clock.advance(WRITE_EVERY_MS)
    assert table.calls == [[a, b], (b, 410, T), (c, 503, T)]
    await clock.advance(WRITE_EVERY_MS)
    assert len(table.calls) == 3
    assert tally.counts == {"disabled: gone": 1}
    table.fails = True
    health.note(a, outcome(200))
    await clock.advance(WRITE_EVERY_MS)
    table.fails = False
    health.note(a, outcome(500))
    await clock.advance(WRITE_EVERY_MS)
    running.cancel()

    assert table.calls[3:] == [(a, 500, T + 3 * WRITE_EVERY_MS)]
