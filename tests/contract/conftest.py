"""
Fixtures of the contract tests.

A test that asks only for `api` (and `other`) runs `here`, against the API in this process with all that is behind it in memory, and
against a running Fliq of each topology: real processes on a real database, with an account of its own. A test that asks for the
`harness`, or for the `service` itself, runs `here` only.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from services.api.service import ApiService
from tests.contract.harness import Harness
from tests.fakes.running.fold import assert_tables_are_the_fold
from tests.fakes.running.topologies import TOPOLOGIES, Client, FliqOf, RunningFliq, free_port, make_token

ACCOUNTS = 600
HERE = "here"


def _token(number: int) -> str:
    return make_token(f"contract{number:022d}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let tests that use nothing but clients run on all of it."""
    if "topology" not in metafunc.fixturenames:
        return
    if "api" not in metafunc.fixturenames:
        places: tuple[str, ...] = TOPOLOGIES
    elif _asks_for(metafunc, "harness", "service"):
        places = (HERE,)
    else:
        places = (*TOPOLOGIES, HERE)
    metafunc.parametrize("topology", places, indirect=True, scope="session")


def _asks_for(metafunc: pytest.Metafunc, *names: str) -> bool:
    """Say whether the test itself, rather than a fixture, asks for one of *names*."""
    return bool(set(metafunc.function.__code__.co_varnames[: metafunc.function.__code__.co_argcount]) & set(names))


@pytest.fixture(scope="session")
def topology(request: pytest.FixtureRequest) -> str:
    """What the API under test runs on: HERE, or one of TOPOLOGIES."""
    return str(request.param)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """The log, the fold and the tables."""
    harness = Harness()
    await harness.start()
    yield harness
    await harness.stop()


@pytest.fixture
async def service(harness: Harness) -> ApiService:
    """One API on the harness."""
    return await harness.replica()


@pytest.fixture(scope="session")
def contract_fliq(topology: str, fliq_of: FliqOf) -> Iterator[tuple[RunningFliq, Iterator[int]]]:
    """A running Fliq with many accounts, and the numbers of those that nobody has used yet."""
    tokens = ",".join(f"contract{number}={_token(number)}" for number in range(ACCOUNTS))
    with fliq_of(topology, FLIQ_BOOTSTRAP_TOKENS=tokens) as running:
        yield running, itertools.count()


@pytest.fixture(scope="module", autouse=True)
def tables_are_the_fold(fliq_of: FliqOf) -> Iterator[None]:
    """After each file the tables of every Fliq that runs must be the fold of its log, row for row."""
    yield
    for running in fliq_of.alive():
        assert_tables_are_the_fold(running)


@pytest.fixture
async def api(
    request: pytest.FixtureRequest, topology: str, harness: Harness, service: ApiService
) -> AsyncIterator[Client]:
    """A client of an account that has nothing yet."""
    if topology == HERE:
        url, token = f"http://127.0.0.1:{service.port}", harness.token()
    else:
        fliq, numbers = request.getfixturevalue("contract_fliq")
        url, token = fliq.url, _token(next(numbers))
    async with Client(url, token) as client:
        yield client


@pytest.fixture
async def other(request: pytest.FixtureRequest, topology: str, api: Client, harness: Harness) -> AsyncIterator[Client]:
    """A client of another account, of the same Fliq."""
    if topology == HERE:
        token = harness.token("other")
    else:
        _, numbers = request.getfixturevalue("contract_fliq")
        token = _token(next(numbers))
    async with Client(api.url, token) as client:
        yield client


@pytest.fixture(scope="session")
def replica_url(contract_fliq: tuple[RunningFliq, Iterator[int]]) -> Iterator[str]:
    """A second API process on the database of the running Fliq, which lets targets be public only, as by default."""
    fliq, _ = contract_fliq
    port = free_port()
    process = fliq.spawn("api", FLIQ_PORT=str(port), FLIQ_EGRESS_ALLOW="")
    try:
        process.wait_ready()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@pytest.fixture
async def pair(
    contract_fliq: tuple[RunningFliq, Iterator[int]], replica_url: str
) -> AsyncIterator[tuple[Client, Client]]:
    """One account's clients of two API processes: the first may call loopback, the second public addresses only."""
    async with _pair(contract_fliq, replica_url) as clients:
        yield clients


@pytest.fixture
async def other_pair(
    contract_fliq: tuple[RunningFliq, Iterator[int]], replica_url: str
) -> AsyncIterator[tuple[Client, Client]]:
    """The same of another account."""
    async with _pair(contract_fliq, replica_url) as clients:
        yield clients


@asynccontextmanager
async def _pair(fliq: tuple[RunningFliq, Iterator[int]], replica_url: str) -> AsyncIterator[tuple[Client, Client]]:
    token = _token(next(fliq[1]))
    async with Client(fliq[0].url, token) as one, Client(replica_url, token) as two:
        yield one, two


@pytest.fixture
async def running(contract_fliq: tuple[RunningFliq, Iterator[int]]) -> AsyncIterator[Client]:
    """A client of an account of the running Fliq that has nothing yet; its targets may be on loopback."""
    fliq, numbers = contract_fliq
    async with Client(fliq.url, _token(next(numbers))) as client:
        yield client


@pytest.fixture(scope="session")
def strict_token(contract_fliq: tuple[RunningFliq, Iterator[int]]) -> str:
    """The token of one account for all tests that look at nothing but refusals."""
    return _token(next(contract_fliq[1]))


@pytest.fixture
async def strict(replica_url: str, strict_token: str) -> AsyncIterator[Client]:
    """A client of a running Fliq whose targets must be public; its account is shared."""
    async with Client(replica_url, strict_token) as client:
        yield client
