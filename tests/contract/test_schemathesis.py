"""Generated requests: the API answers as its own OpenAPI document says, whatever is sent.

FLIQ_TEST_EXAMPLES (such as 100) asks for a long run: so many requests per operation, and the systematic phase besides.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from libs.domain.instants import rfc3339
from services.api.openapi.document import document
from tests.contract.harness import Harness

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
_NOW = 1_900_000_000_000
schemathesis.openapi.format("date-time", st.integers(_NOW, _NOW + 5 * 365 * 86_400_000).map(rfc3339))
schemathesis.openapi.format("uri", st.from_regex(r"https://example\.com/[a-z0-9/]{0,20}", fullmatch=True))
schema = schemathesis.openapi.from_dict(document("test"))
EXAMPLES = os.environ.get("FLIQ_TEST_EXAMPLES")
# The systematic phase takes ten seconds to write its cases down: for the long runs.
schema.config.phases.coverage.enabled = EXAMPLES is not None


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[str, str]]:
    """An API in a thread of its own: address and token."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[Harness, str, str]:
        harness = Harness()
        await harness.start()
        service = await harness.replica()
        return harness, f"http://127.0.0.1:{service.port}", harness.token()

    harness, url, token = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield url, token
    asyncio.run_coroutine_threadsafe(harness.stop(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


# A stream does not end: tests/contract/stream has its tests.
@schema.exclude(operation_id="streamEvents").parametrize()
@hypothesis.settings(
    max_examples=int(EXAMPLES or "20"),
    deadline=timedelta(seconds=5),
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_answers_as_described(case: Any, running: tuple[str, str]) -> None:
    """No 5xx, no answer outside the document, nothing malformed accepted, nothing served without a token."""
    url, token = running
    case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)
