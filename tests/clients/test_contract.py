"""
The contract through the client: tests of tests/contract, run again with calls that go through `Fliq` and `AsyncFliq`.

Taken are the tests that ask for nothing but a client and the harness. What the client cannot say goes past it
(`contract_caller.py`); the last test here counts both. Not taken are the tests of raw bytes, of foreign and missing tokens, of
attacks and of generated requests: they are about requests that no client sends.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.api.service import ApiService
from tests.clients.contract_caller import ContractCaller
from tests.contract import test_attempts, test_idempotency, test_jobs, test_schedules, test_sentences
from tests.contract.conftest import HERE, harness, service
from tests.contract.harness import Harness
from tests.contract.lists import test_lists

__all__ = ["harness", "service"]

TAKEN = (test_attempts, test_idempotency, test_jobs, test_lists, test_schedules, test_sentences)
FIXTURES = {"api", "harness", "other", "service", "topology"}
counts: Counter[str] = Counter()


def _takes(test: Any) -> bool:
    """Say whether this module has the fixtures that *test* asks for."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    given = [mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0] for mark in marks]
    names = {name.strip() for each in given for name in each}
    return set(inspect.signature(test).parameters) <= FIXTURES | names


globals().update(
    {
        f"{name}__of_{module.__name__.rpartition('.')[2]}": test
        for module in TAKEN
        for name, test in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(test) and _takes(test)
    }
)


@pytest.fixture
def topology() -> str:
    """The API in this process, with all that is behind it in memory."""
    return HERE


@pytest.fixture(params=["sync", "async"])
async def api(request: pytest.FixtureRequest, harness: Harness, service: ApiService) -> AsyncIterator[ContractCaller]:
    """A client of an account that has nothing yet, whose calls go through the Python client."""
    url, is_async = f"http://127.0.0.1:{service.port}", request.param == "async"
    async with ContractCaller(url, harness.token(), is_async=is_async, counts=counts) as caller:
        yield caller


@pytest.fixture
async def other(api: ContractCaller, harness: Harness) -> AsyncIterator[ContractCaller]:
    """The same of another account."""
    async with ContractCaller(api.url, harness.token("other"), is_async=True, counts=counts) as caller:
        yield caller


def test_zz_most_calls_went_through_the_client() -> None:
    """The tests above say something about the client."""
    print(dict(counts))
    if not counts:
        pytest.skip("no contract test ran before this one in this process")
    assert counts["through"] > counts["past"]
