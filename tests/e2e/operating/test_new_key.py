"""A new FLIQ_SECRET_KEY, as docs/operations.md changes it."""

from __future__ import annotations

import pytest

from tests.fakes.running.client import TOKEN
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, FliqOf

pytestmark = pytest.mark.nightly


async def test_the_operators_tokens_outlive_a_new_key_and_nothing_else_is_touched(fliq_of: FliqOf, sink: Sink) -> None:
    """Tokens named in FLIQ_BOOTSTRAP_TOKENS go on, others end; jobs fire, signing secrets stay, old cursors are refused."""
    fliq = fliq_of("embedded")
    fliq.start(FLIQ_SECRET_KEY="k" * 48)
    try:
        async with Client(fliq.url) as client:
            made = (await client.call("POST", "/v1/tokens", {"name": "theirs", "scopes": ["read", "write"]}))[1]
            secret = (await client.call("GET", "/v1/signing-secret"))[1]
            jobs = [await client.create(f"{sink.url}/key", 12.0) for _ in range(3)]
            cursor = (await client.call("GET", "/v1/jobs?limit=1"))[1]["next_cursor"]
            assert cursor
        assert fliq.stop() == [0]

        fliq.start(FLIQ_SECRET_KEY="n" * 48)
        async with Client(fliq.url, TOKEN) as client:
            assert (await client.call("GET", "/v1/signing-secret"))[1] == secret
            status, body, _ = await client.call("GET", f"/v1/jobs?limit=1&cursor={cursor}")
            assert (status, body["error"]["code"]) == (400, "invalid_cursor")
            for job in jobs:
                assert (await client.wait_status(job["id"], timeout_s=40))["status"] == "success"
        async with Client(fliq.url, made["token"]) as theirs:
            assert (await theirs.call("GET", "/v1/jobs"))[0] == 401
        assert all(len(sink.of(job["id"])) == 1 for job in jobs)
    finally:
        fliq.close()
