"""Fixtures of the contract tests: the API in this process, over a small world."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.api.service import ApiService
from tests.contract.world import World
from tests.fakes.running import Client


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """The log, the fold and the tables."""
    world = World()
    await world.start()
    yield world
    await world.stop()


@pytest.fixture
async def service(world: World) -> ApiService:
    """One API on the world."""
    return await world.replica()


@pytest.fixture
async def api(world: World, service: ApiService) -> AsyncIterator[Client]:
    """A client of account `default`."""
    async with Client(f"http://127.0.0.1:{service.port}", world.token()) as client:
        yield client


@pytest.fixture
async def other(world: World, service: ApiService) -> AsyncIterator[Client]:
    """A client of another account."""
    async with Client(f"http://127.0.0.1:{service.port}", world.token("other")) as client:
        yield client
