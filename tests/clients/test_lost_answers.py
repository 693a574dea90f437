"""The client over a network that loses requests and answers: nothing is made twice, and nothing is left out."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fliq_client import ApiError, AsyncFliq, Fliq, NotAnswered, Retries, UnexpectedAnswer, job_request
from tests.clients.lossy_proxy import LossyProxy
from tests.fakes.running.topologies import TOKEN, RunningFliq
from tests.fakes.until import until

pytestmark = pytest.mark.topologies("embedded")

CREATES = 30
# One request in seven comes through: of 60 repeats all fail once in ten thousand calls, of 400 never.
PATIENT = Retries(count=400, first_wait_s=0.002, longest_wait_s=0.02, total_wait_s=30)


@pytest.fixture
def proxy(fliq: RunningFliq) -> Any:
    """A lossy network to the running Fliq; its seed is printed."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    with LossyProxy(fliq.port, seed) as proxy:
        yield proxy
    print(dict(proxy.met))


@pytest.fixture
def direct(fliq: RunningFliq) -> Any:
    with Fliq(fliq.url, TOKEN) as direct:
        yield direct


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def made(direct: Fliq, prefix: str) -> Counter[str]:
    """Return how many jobs there are for each URL that begins with *prefix*."""
    return Counter(job.url for job in direct.jobs.list() if job.url.startswith(prefix))


def test_no_create_makes_two_jobs(proxy: LossyProxy, direct: Fliq, connect: Callable[..., Any]) -> None:
    """Each of dozens of creates makes one job, though connections break before and after the request was passed on."""
    prefix = f"http://127.0.0.1:9000/lossy/{random.getrandbits(64):x}/"
    fliq = connect(proxy.url, TOKEN, retries=PATIENT)
    ids = [fliq.jobs.create(f"{prefix}{number}", at=tomorrow(), json={"n": number}).id for number in range(CREATES)]
    assert made(direct, prefix) == {f"{prefix}{number}": 1 for number in range(CREATES)}
    assert len(set(ids)) == CREATES
    assert proxy.accepted > CREATES, "no create was repeated after Fliq had accepted it: the test shows nothing"
    assert proxy.met["lose_answer"] > 0
    assert proxy.met["cut_request"] > 0


async def test_creates_at_the_same_time_make_one_job_each(proxy: LossyProxy, direct: Fliq) -> None:
    """The same with all creates under way at once."""
    prefix = f"http://127.0.0.1:9000/lossy/{random.getrandbits(64):x}/"
    async with AsyncFliq(proxy.url, TOKEN, retries=PATIENT) as fliq:
        await asyncio.gather(*[fliq.jobs.create(f"{prefix}{number}", at=tomorrow()) for number in range(CREATES)])
    found = await asyncio.to_thread(made, direct, prefix)
    assert found == {f"{prefix}{number}": 1 for number in range(CREATES)}
    assert proxy.accepted > CREATES


def test_threads_may_share_a_client(proxy: LossyProxy, direct: Fliq) -> None:
    """Creates of eight threads over one blocking client make one job each."""
    prefix = f"http://127.0.0.1:9000/lossy/{random.getrandbits(64):x}/"
    with Fliq(proxy.url, TOKEN, retries=PATIENT) as fliq, ThreadPoolExecutor(8) as threads:
        created = threads.map(lambda number: fliq.jobs.create(f"{prefix}{number}", at=tomorrow()), range(CREATES))
        assert len({job.id for job in created}) == CREATES
    assert made(direct, prefix) == {f"{prefix}{number}": 1 for number in range(CREATES)}


def test_no_batch_makes_two_jobs(proxy: LossyProxy, direct: Fliq, connect: Callable[..., Any]) -> None:
    """Each request of a batch makes one job, however often the batch is sent."""
    prefix = f"http://127.0.0.1:9000/lossy/{random.getrandbits(64):x}/"
    fliq = connect(proxy.url, TOKEN, retries=PATIENT)
    for batch in range(10):
        asked = [job_request(f"{prefix}{batch}/{number}", at=tomorrow()) for number in range(10)]
        results = fliq.jobs.create_many(asked)
        assert not [each for each in results if isinstance(each, ApiError)]
    assert made(direct, prefix) == {f"{prefix}{batch}/{number}": 1 for batch in range(10) for number in range(10)}


def test_no_schedule_is_made_twice(proxy: LossyProxy, direct: Fliq, connect: Callable[..., Any]) -> None:
    """Created once, paused, resumed and deleted, though each of these requests may arrive several times."""
    prefix = f"http://127.0.0.1:9000/lossy/{random.getrandbits(64):x}/"
    fliq = connect(proxy.url, TOKEN, retries=PATIENT)
    ids = [fliq.schedules.create(f"{prefix}{number}", cron="0 8 1 1 *").id for number in range(10)]
    found = [schedule for schedule in direct.schedules.list() if schedule.url.startswith(prefix)]
    assert sorted(schedule.id for schedule in found) == sorted(ids)
    for each in ids:
        assert fliq.schedules.pause(each).status == "paused"
        assert fliq.schedules.resume(each).status == "active"
        fliq.schedules.delete(each)
    assert not [schedule for schedule in direct.schedules.list() if schedule.url.startswith(prefix)]


async def test_no_replay_makes_two_copies(fliq: RunningFliq, proxy: LossyProxy) -> None:
    """Each replay of a failed job makes one copy of it."""
    url = f"http://127.0.0.1:9/lossy/{random.getrandbits(64):x}"  # nobody listens there

    async with AsyncFliq(fliq.url, TOKEN) as direct, AsyncFliq(proxy.url, TOKEN, retries=PATIENT) as lossy:
        job = await direct.jobs.create(url, at=datetime.now(UTC) + timedelta(seconds=1))

        async def failed() -> bool:
            return (await direct.jobs.get(job.id)).status == "failed"

        await until(failed)
        copies = [(await lossy.jobs.replay(job.id)).id for _ in range(10)]
        found = [each.id async for each in direct.jobs.list() if each.url == url]
    assert sorted(found) == sorted([job.id, *copies])


def test_cancels_are_decided_once(proxy: LossyProxy, direct: Fliq, connect: Callable[..., Any]) -> None:
    """A cancel that is sent again is the same cancel."""
    fliq = connect(proxy.url, TOKEN, retries=PATIENT)
    for _ in range(10):
        job = direct.jobs.create("http://127.0.0.1:9000/cancelled", at=tomorrow())
        fliq.jobs.cancel(job.id)
        assert direct.jobs.get(job.id).status == "cancelled"


def test_a_token_is_not_made_twice(fliq: RunningFliq, direct: Fliq, connect: Callable[..., Any]) -> None:
    """A create without a key is sent once: if its answer is lost, the error says that it may have happened."""
    with LossyProxy(fliq.port, 1, ("lose_answer",)) as proxy, pytest.raises(NotAnswered) as raised:
        connect(proxy.url, TOKEN, retries=PATIENT).tokens.create(name="lost")
    assert raised.value.may_have_happened
    lost = [token for token in direct.tokens.list() if token.name == "lost"]
    assert len(lost) == 1
    direct.tokens.revoke(lost[0].id)


@pytest.mark.parametrize(
    ("way", "raised"),
    [("reset_before", NotAnswered), ("unavailable", UnexpectedAnswer), ("bad_gateway", UnexpectedAnswer)],
)
def test_trouble_that_does_not_end_is_raised(
    fliq: RunningFliq, connect: Callable[..., Any], way: str, raised: type[Exception]
) -> None:
    """After `count` repeats the caller gets the error of the last one."""
    with LossyProxy(fliq.port, 1, (way,)) as proxy:
        with pytest.raises(raised):
            connect(proxy.url, TOKEN, retries=Retries(count=2, first_wait_s=0.001)).signing_secret.get()
        assert proxy.met[way] == 3


def test_nobody_listens(connect: Callable[..., Any]) -> None:
    """If the request cannot leave, nothing can have happened."""
    with LossyProxy(1, 1) as proxy:
        url = proxy.url
    with pytest.raises(NotAnswered) as raised:
        connect(url, TOKEN, retries=Retries(count=1, first_wait_s=0.001)).jobs.create(
            "http://x.example/", at=tomorrow()
        )
    assert not raised.value.may_have_happened
